//! Durations, sizes and rates as the configuration writes them.
//!
//! Every parser says what it expected; none panics, none overflows.

use std::num::NonZeroU32;
use std::time::Duration;

/// A token rate: `count` tokens per `per`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Tokens per period.
    pub count: NonZeroU32,
    /// The period.
    pub per: Duration,
}
