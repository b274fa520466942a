//! Trying again, where the upstream has not seen a byte.
//!
//! Only connecting is tried again: at that point no request has been sent, so any method may be. The
//! budget bounds how many do so at once, as a share of the requests under way; an upstream that is
//! down is not knocked at twice by everybody. All attempts of a request share one `connect` deadline,
//! so an attempt that ran into it is not repeated.
//!
//! A request that a dying idle connection gave back unsent is no retry; [`super::send`] sees to it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::config::model;

/// The pause before the first retry; it doubles with each further one.
const PAUSE: Duration = Duration::from_millis(25);

/// The retries of one upstream.
#[derive(Debug)]
pub(super) struct Retries {
    max: u32,
    budget: f64,
    under_way: AtomicUsize,
}

/// A request that is being tried again; it counts until it is dropped.
#[derive(Debug)]
pub(super) struct Retrying<'a>(&'a Retries);

impl Retries {
    pub(super) fn new(config: model::Retry) -> Self {
        Self { max: config.max_retries, budget: config.budget, under_way: AtomicUsize::new(0) }
    }

    /// The pause before the next attempt of a request that was tried again `tried` times already;
    /// `None` if that was the last.
    pub(super) fn pause(&self, tried: u32) -> Option<Duration> {
        (tried < self.max)
            .then(|| PAUSE.saturating_mul(1_u32.checked_shl(tried).unwrap_or(u32::MAX)))
    }

    /// A place in the budget while `requests` are under way, if there is one.
    pub(super) fn begin(&self, requests: usize) -> Option<Retrying<'_>> {
        let allowed = share(requests, self.budget);
        let take = |now: usize| (now < allowed).then_some(now + 1);
        self.under_way.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).ok()?;
        Some(Retrying(self))
    }
}

impl Drop for Retrying<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A share of a number of requests, rounded up: where there is a budget, one may always try.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "at most a million requests, of which at most all"
)]
fn share(requests: usize, budget: f64) -> usize {
    (requests as f64 * budget).ceil() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retries(max_retries: u32, budget: f64) -> Retries {
        Retries::new(model::Retry { max_retries, budget })
    }

    #[test]
    fn the_budget_is_a_share_of_what_is_under_way() {
        let retries = retries(1, 0.1);
        let first = retries.begin(1);
        assert!(first.is_some() && retries.begin(10).is_none());
        let second = retries.begin(11);
        assert!(second.is_some() && retries.begin(20).is_none());
        drop(first);
        assert!(retries.begin(20).is_some());
    }

    #[test]
    fn no_budget_and_no_retries_mean_none() {
        assert!(retries(1, 0.0).begin(1000).is_none());
        assert_eq!(retries(0, 1.0).pause(0), None);
    }

    #[test]
    fn pauses_grow() {
        let retries = retries(3, 1.0);
        let pauses: Vec<_> = (0..4).map(|tried| retries.pause(tried)).collect();
        let millis = |millis| Some(Duration::from_millis(millis));
        assert_eq!(pauses, [millis(25), millis(50), millis(100), None]);
    }
}
