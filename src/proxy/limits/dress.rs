//! What an answer says about limits: `RateLimit-Policy`, `RateLimit` (draft-ietf-httpapi-ratelimit-
//! headers-10), `Retry-After` (RFC 9110 §10.2.3), and on request the older `X-RateLimit-*`.
//!
//! A limit in shadow mode is never mentioned.

use std::time::Duration;

use governor::Quota;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use parking_lot::Mutex;

use super::limiter::Tariff;
use super::{Budget, Verdict};
use crate::config::model::RateLimitHeaders;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const OLD_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const OLD_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const OLD_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// Adds what the verdict has to say. Fields of the draft that the upstream wrote stay, for they are
/// lists; the older ones hold one number each, and ours is the one that counts here.
pub fn dress(headers: &mut HeaderMap, verdict: &Verdict) {
    if let Some(wait) = verdict.denied.as_ref().and_then(|denial| denial.retry_after) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds(wait)));
    }
    // The form is the configuration's, so one limit speaks for all.
    let Some(first) = verdict.budgets().next() else { return };
    let form = first.limiter.form;
    if matches!(form, RateLimitHeaders::Ietf | RateLimitHeaders::Both) {
        // One limit alone, the usual case, is made of values that are there already.
        let mut limits = written(first);
        let mut policies = promised(first);
        for budget in verdict.budgets().skip(1) {
            limits = listed(limits, &written(budget));
            policies = listed(policies, &promised(budget));
        }
        headers.append(LIMIT, limits);
        headers.append(POLICY, policies);
    }
    if matches!(form, RateLimitHeaders::Legacy | RateLimitHeaders::Both) {
        // Of several limits, the one that comes to its end first.
        let tightest = verdict.budgets().min_by_key(|budget| budget.remaining).unwrap_or(first);
        let burst = tightest.quota().burst_size().get();
        headers.insert(OLD_LIMIT, HeaderValue::from(burst));
        headers.insert(OLD_REMAINING, HeaderValue::from(tightest.remaining));
        headers.insert(OLD_RESET, HeaderValue::from(seconds(tightest.reset)));
    }
}

/// What an answer says of this budget.
fn written(budget: &Budget) -> HeaderValue {
    let tariff = budget.tariff();
    tariff.written.of(&tariff.quoted, budget.remaining, seconds(budget.reset))
}

/// What an answer says of this limit: what holds now, also while the store of all replicas is away.
fn promised(budget: &Budget) -> HeaderValue {
    let tariff = budget.tariff();
    match budget.divided {
        None => tariff.policy.clone(),
        Some(_) => policy(&tariff.quoted, budget.quota()),
    }
}

impl Budget {
    fn tariff(&self) -> &Tariff {
        self.limiter.tariff(self.tariff)
    }
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
    /// Tokens left, and the seconds until the bucket is full again,
    /// or after a denial until the next token.
    fn of(&self, quoted: &[u8], tokens: u32, wait: u64) -> HeaderValue {
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
        let text = [quoted, b";r=", left.as_bytes(), b";t=", until.as_bytes()];
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
