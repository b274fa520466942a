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
    let mut announced = verdict.budgets().filter(|budget| budget.limiter.announce);
    let Some(first) = announced.next() else { return };
    let mut limits = Vec::new();
    write_limit(&mut limits, first);
    // One policy alone, the usual case, is a value made when the limit was compiled.
    let mut policies = first.limiter.policy.clone();
    for budget in announced {
        limits.extend_from_slice(b", ");
        write_limit(&mut limits, budget);
        let list = [policies.as_bytes(), b", ", budget.limiter.policy.as_bytes()].concat();
        policies = HeaderValue::try_from(list).unwrap_or(policies);
    }
    if let Ok(value) = HeaderValue::try_from(limits) {
        headers.append(LIMIT, value);
    }
    headers.append(POLICY, policies);
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
