//! What an answer says about limits: `RateLimit-Policy`, `RateLimit` (draft-ietf-httpapi-ratelimit-
//! headers-10) and `Retry-After` (RFC 9110 §10.2.3).
//!
//! A limit in shadow mode is never mentioned.

use std::time::Duration;

use governor::Quota;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use parking_lot::Mutex;

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
    // One limit alone, the usual case, is made of values that are there already.
    let mut limits = first.limiter.written.of(first);
    let mut policies = first.limiter.policy.clone();
    for budget in announced {
        limits = listed(limits, &budget.limiter.written.of(budget));
        policies = listed(policies, &budget.limiter.policy);
    }
    headers.append(LIMIT, limits);
    headers.append(POLICY, policies);
}

fn listed(list: HeaderValue, member: &HeaderValue) -> HeaderValue {
    let longer = [list.as_bytes(), b", ", member.as_bytes()].concat();
    HeaderValue::try_from(longer).unwrap_or(list)
}

/// The last `RateLimit` that was written. Most clients are far from their limit, so most answers say
/// the same.
#[derive(Debug, Default)]
pub(super) struct Written(Mutex<Option<(u32, u64, HeaderValue)>>);

impl Written {
    /// What an answer says of this budget: tokens left, and the seconds until the bucket is full again,
    /// or after a denial until the next token.
    fn of(&self, budget: &Budget) -> HeaderValue {
        let (tokens, wait) = (budget.remaining, seconds(budget.reset));
        // Where another thread is looking, writing it is faster than waiting.
        let mut known = self.0.try_lock();
        if let Some(Some((known_tokens, known_wait, value))) = known.as_deref()
            && (*known_tokens, *known_wait) == (tokens, wait)
        {
            return value.clone();
        }
        let (mut left, mut until) = (itoa::Buffer::new(), itoa::Buffer::new());
        let (left, until) = (left.format(tokens), until.format(wait));
        // In one piece without spare room, which becomes a value without another allocation.
        let text = [&*budget.limiter.quoted, b";r=", left.as_bytes(), b";t=", until.as_bytes()];
        // `quoted` is printable ASCII, so it makes a value.
        let value = HeaderValue::try_from(text.concat()).unwrap_or(HeaderValue::from_static(""));
        if let Some(known) = known.as_deref_mut() {
            *known = Some((tokens, wait, value.clone()));
        }
        value
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
