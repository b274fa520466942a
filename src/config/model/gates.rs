//! What may come in, and how much of it at once: rate limits, overload.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::record::ConfigName;
use crate::units::Rate;

/// One of `[rate_limits]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Its name.
    pub name: ConfigName,
    /// What a bucket belongs to.
    pub key: Vec<LimitKey>,
    /// How fast it fills.
    pub rate: Rate,
    /// How many tokens it holds.
    pub burst: NonZeroU32,
    /// What an empty bucket means.
    pub mode: Mode,
    /// Buckets kept.
    pub max_keys: usize,
}

/// A part of a limit's key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LimitKey {
    /// The client's address (IPv6 by /64).
    Ip,
    /// The route's template.
    Route,
    /// A header's value, by lower-case name.
    Header(Arc<str>),
}

/// `mode` of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Refuse.
    Enforce,
    /// Only count.
    Shadow,
    /// Not there.
    Off,
}

/// The gates of a route: `[route_defaults]`, and what the route itself names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gates {
    /// Whether a caller must say who it is.
    pub identity: Need,
    /// What a request that a browser sent for another site means.
    pub csrf: Mode,
    /// What a request that does not fit its operation's schema means.
    pub validation: Mode,
}

/// `identity` of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Without a verified identity: 401.
    Required,
    /// Anonymous requests pass; an identity that cannot be verified does not.
    Optional,
    /// Nobody looks.
    None,
}

/// `rate_limit_headers.form`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateLimitHeaders {
    /// `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10).
    Ietf,
    /// None.
    Off,
}

/// `[overload]`: how much runs at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overload {
    /// Requests between their head and their record.
    pub max_in_flight: usize,
    /// Streams that do not count as in flight.
    pub max_streams: usize,
    /// How long a request waits for its turn.
    pub queue_timeout: Duration,
}
