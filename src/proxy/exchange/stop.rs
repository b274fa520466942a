//! Why a walk ends before the upstream's answer.

use http::HeaderMap;

use crate::openapi::Violation;
use crate::record::{Failure, Refusal};

/// Why a walk stopped before the upstream's answer.
#[derive(Debug)]
pub enum Stop {
    /// We said no. Some refusals carry header fields of their own (`RateLimit`, `Retry-After`).
    Refused(Refusal, Box<HeaderMap>),
    /// We said no, because the request does not fit its operation: this is why.
    Invalid(Vec<Violation>),
    /// We could not.
    Failed(Failure),
    /// The client left while its body was being read.
    Gone,
    /// A stage panicked.
    Panicked,
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal, Box::default())
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}
