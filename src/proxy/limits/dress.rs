//! What an answer says about limits: `RateLimit-Policy`, `RateLimit` (draft-ietf-httpapi-ratelimit-
//! headers-10) and `Retry-After` (RFC 9110 §10.2.3).
//!
//! A limit in shadow mode is never mentioned.

use std::time::Duration;

use governor::Quota;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::{Budget, Verdict};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Adds what the verdict has to say. Fields that the upstream wrote stay: both are lists.
pub fn dress(headers: &mut HeaderMap, verdict: &Verdict) {
    if let Some(denial) = &verdict.denied {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds(denial.retry_after)));
    }
    let announced = || verdict.budgets().filter(|budget| budget.limiter.announce);
    if announced().next().is_none() {
        return;
    }
    let mut limits = Vec::new();
    let mut policies = Policies::None;
    for budget in announced() {
        if !limits.is_empty() {
            limits.extend_from_slice(b", ");
        }
        write_limit(&mut limits, budget);
        policies.add(&budget.limiter.policy);
    }
    if let Ok(value) = HeaderValue::from_maybe_shared(bytes::Bytes::from(limits)) {
        headers.append(LIMIT, value);
    }
    if let Some(value) = policies.into_value() {
        headers.append(POLICY, value);
    }
}

/// The policies to name. One alone, the usual case, is a value made when the limit was compiled.
enum Policies {
    None,
    One(HeaderValue),
    Many(Vec<u8>),
}

impl Policies {
    fn add(&mut self, policy: &HeaderValue) {
        match self {
            Self::None => *self = Self::One(policy.clone()),
            Self::One(first) => {
                *self = Self::Many([first.as_bytes(), b", ", policy.as_bytes()].concat());
            }
            Self::Many(list) => {
                list.extend_from_slice(b", ");
                list.extend_from_slice(policy.as_bytes());
            }
        }
    }

    fn into_value(self) -> Option<HeaderValue> {
        match self {
            Self::None => None,
            Self::One(policy) => Some(policy),
            Self::Many(list) => HeaderValue::from_maybe_shared(bytes::Bytes::from(list)).ok(),
        }
    }
}

/// Writes one member of `RateLimit`: tokens left, and the seconds until the bucket is full again,
/// or after a denial until the next token.
fn write_limit(out: &mut Vec<u8>, budget: &Budget) {
    let (mut tokens, mut wait) = (itoa::Buffer::new(), itoa::Buffer::new());
    let parts: [&[u8]; 5] = [
        &budget.limiter.quoted,
        b";r=",
        tokens.format(budget.remaining).as_bytes(),
        b";t=",
        wait.format(seconds(budget.reset)).as_bytes(),
    ];
    // Exact, because a vector without spare room becomes a header value without another allocation.
    out.reserve_exact(parts.iter().map(|part| part.len()).sum());
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// The value of `RateLimit-Policy` for one limit: the burst, and the time in which it comes back.
pub(super) fn policy(quoted: &[u8], quota: Quota) -> HeaderValue {
    let window = quota.replenish_interval().saturating_mul(quota.burst_size().get());
    let mut policy = quoted.to_vec();
    policy.extend_from_slice(format!(";q={};w={}", quota.burst_size(), seconds(window)).as_bytes());
    // `quoted` is printable ASCII, so it makes a value.
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static(""))
}

/// A name as a string of RFC 8941 §3.3.3, which holds printable ASCII only.
pub(super) fn quoted(name: &str) -> Box<[u8]> {
    let mut quoted = vec![b'"'];
    for character in name.chars() {
        match character {
            '"' | '\\' => quoted.extend([b'\\', character as u8]),
            ' '..='~' => quoted.push(character as u8),
            _ => quoted.push(b'?'),
        }
    }
    quoted.push(b'"');
    quoted.into()
}

/// Whole seconds, rounded up and at least one: nobody is invited too early.
fn seconds(duration: Duration) -> u64 {
    (duration.as_secs() + u64::from(duration.subsec_nanos() > 0)).max(1)
}
