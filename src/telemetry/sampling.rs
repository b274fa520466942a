//! Which exchanges leave spans: a head decision at the start, and a second look at the end.
//!
//! The head decision is the one that is propagated: a believed caller's, else the ratio. Where it
//! said no, the end may still give a reason to keep the spans: an error, an answer that was cut, a
//! slow one, a status that was asked for. Each reason has a budget of its own, so that an outage
//! cannot flood the collector, nor one kind of trouble hide another: the first reason that applies
//! decides, and where its budget is spent no other is tried. What the sidecar itself refused has
//! budgets apart: any client can be refused as often as it likes, and must not hide what the service
//! did. What the budgets refuse is counted.
//!
//! Where nobody gets spans nothing is kept, and no budget spent; the head decision is told all the same,
//! because the service may have a collector of its own.
//!
//! The ordinary exchange pays a few comparisons. Nothing is built here; who is not kept is never
//! handed to the exporter.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::config::Config;
use crate::http::traceparent::TraceId;
use crate::record::{Failure, Kept, Outcome, Reason};

/// The compiled rules. A plan has one; its budgets outlive a reload.
#[derive(Debug)]
pub struct Sampling {
    /// The head ratio, as [`TraceId::is_below`] wants it.
    threshold: u64,
    /// Whether there is a collector of spans.
    is_sent: bool,
    errors: bool,
    slow: Option<Duration>,
    statuses: Box<[u16]>,
    /// `None` keeps nothing at the end.
    per_second: Option<NonZeroU32>,
    budgets: Arc<Budgets>,
}

/// What of an ending the rules ask for.
#[derive(Clone, Copy, Debug)]
pub struct Ending {
    /// How it ended.
    pub outcome: Outcome,
    /// The status the client got.
    pub status: Option<u16>,
    /// From the complete head to the end of the answer.
    pub duration: Duration,
    /// From the complete head to the first byte of the answer's body.
    pub ttfb: Option<Duration>,
    /// Whether the answer is a stream, which is meant to last.
    pub is_stream: bool,
}

/// What became of the exchanges with one reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Spans were kept.
    pub kept: u64,
    /// The budget was spent.
    pub over_budget: u64,
}

impl Sampling {
    /// Compiles the rules. The budgets of `previous` go on as they are.
    pub fn compile(config: &Config, previous: Option<&Self>) -> Self {
        let tracing = &config.tracing;
        let budgets = previous.map(|previous| Arc::clone(&previous.budgets));
        Self {
            threshold: threshold(tracing.ratio),
            is_sent: config.otlp.traces.is_some(),
            errors: tracing.keep.errors,
            slow: tracing.keep.slow,
            statuses: tracing.keep.statuses.clone().into(),
            per_second: NonZeroU32::new(tracing.keep.per_second),
            budgets: budgets.unwrap_or_else(|| Arc::new(Budgets::new())),
        }
    }

    /// The head decision where no believed caller made it.
    pub fn starts(&self, trace_id: TraceId) -> bool {
        trace_id.is_below(self.threshold)
    }

    /// Whether the spans of an exchange that ends `now` are kept. `is_sampled` is the head decision.
    pub fn keep(&self, is_sampled: bool, ending: &Ending, now: Instant) -> Option<Kept> {
        if !self.is_sent {
            return self.reason(ending).map(Kept::Unsent);
        }
        if is_sampled {
            return Some(Kept::Head);
        }
        let reason = self.reason(ending)?;
        let is_refused = matches!(ending.outcome, Outcome::Refused(_));
        let is_kept = self.budgets.take(reason, is_refused, self.per_second?, now);
        is_kept.then_some(Kept::End(reason))
    }

    /// How often each reason came up since the start.
    pub fn counts(&self) -> [(Reason, Counts); 4] {
        Reason::ALL.map(|reason| (reason, self.budgets.counts(reason)))
    }

    fn reason(&self, ending: &Ending) -> Option<Reason> {
        if self.errors && ending.outcome.is_error(ending.status) {
            return Some(if ending.is_cut() { Reason::Aborted } else { Reason::Error });
        }
        if self.slow.is_some_and(|slow| ending.waited() >= slow) {
            return Some(Reason::Slow);
        }
        let is_asked_for = |status| self.statuses.contains(&status);
        ending.status.is_some_and(is_asked_for).then_some(Reason::Status)
    }
}

impl Ending {
    /// Whether the client got the beginning of an answer and not its end, by our doing or the
    /// upstream's. A client that leaves cuts nothing.
    fn is_cut(&self) -> bool {
        match self.outcome {
            Outcome::Aborted(_) => true,
            // Its trailers told of an error: it was whole.
            Outcome::Failed(Failure::GrpcStatus(_)) => false,
            Outcome::Failed(_) => self.status.is_some_and(|status| status < 500),
            _ => false,
        }
    }

    /// How long the client waited. Of a stream the first byte counts, or all of it where none came:
    /// otherwise every stream would be slow.
    fn waited(&self) -> Duration {
        self.ttfb.filter(|_| self.is_stream).unwrap_or(self.duration)
    }
}

/// One budget per reason for what the service did, and one for what was refused.
#[derive(Debug)]
struct Budgets {
    epoch: Instant,
    served: [Bucket; 4],
    refused: [Bucket; 4],
}

impl Budgets {
    fn new() -> Self {
        Self { epoch: Instant::now(), served: Default::default(), refused: Default::default() }
    }

    fn counts(&self, reason: Reason) -> Counts {
        let [served, refused] = [&self.served, &self.refused].map(|of| of[reason.index()].counts());
        Counts {
            kept: served.kept + refused.kept,
            over_budget: served.over_budget + refused.over_budget,
        }
    }

    fn take(&self, reason: Reason, is_refused: bool, per_second: NonZeroU32, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.epoch).as_nanos();
        let buckets = if is_refused { &self.refused } else { &self.served };
        // Nanoseconds fill 64 bits in 584 years.
        buckets[reason.index()].take(u64::try_from(since).unwrap_or(u64::MAX), per_second)
    }
}

/// A token bucket in one number (GCRA): when it will be full again. It holds one second's worth.
#[derive(Debug, Default)]
struct Bucket {
    full_at: AtomicU64,
    kept: AtomicU64,
    over_budget: AtomicU64,
}

impl Bucket {
    fn take(&self, now: u64, per_second: NonZeroU32) -> bool {
        let interval = 1_000_000_000 / u64::from(per_second.get());
        let depth = interval * u64::from(per_second.get());
        let spend = |full_at: u64| {
            let full_at = full_at.max(now).saturating_add(interval);
            (full_at - now <= depth).then_some(full_at)
        };
        // Relaxed: the number stands for itself, nothing else is read by it.
        let taken = self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend).is_ok();
        let counter = if taken { &self.kept } else { &self.over_budget };
        counter.fetch_add(1, Ordering::Relaxed);
        taken
    }

    fn counts(&self) -> Counts {
        Counts {
            kept: self.kept.load(Ordering::Relaxed),
            over_budget: self.over_budget.load(Ordering::Relaxed),
        }
    }
}

/// `ratio * 2^63`: the head ratio in the unit of the trace id's last 63 bits.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a ratio of 0.0 to 1.0 stays within 0 to 2^63, and float casts saturate"
)]
fn threshold(ratio: f64) -> u64 {
    (ratio.clamp(0.0, 1.0) * (1_u64 << 63) as f64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Abort, Phase, Refusal};

    fn sampling(toml: &str) -> Sampling {
        let text = format!("upstream.url = \"http://127.0.0.1:1\"\n[tracing.sampling]\n{toml}");
        Sampling::compile(&Config::from_toml(&text).unwrap(), None)
    }

    fn ended(outcome: Outcome, status: u16) -> Ending {
        let (duration, ttfb) = (Duration::from_millis(3), Some(Duration::from_millis(2)));
        Ending { outcome, status: Some(status), duration, ttfb, is_stream: false }
    }

    fn why(sampling: &Sampling, ending: &Ending) -> Option<Reason> {
        sampling.keep(false, ending, Instant::now()).and_then(Kept::reason)
    }

    #[test]
    fn each_ending_has_its_reason() {
        let sampling = sampling("keep_status = [404, 429]");
        for (outcome, status, reason) in [
            (Outcome::Served, 200, None),
            (Outcome::Served, 404, Some(Reason::Status)),
            (Outcome::Served, 503, Some(Reason::Error)),
            (Outcome::Refused(Refusal::RateLimited), 429, Some(Reason::Status)),
            (Outcome::Refused(Refusal::Overloaded), 503, Some(Reason::Error)),
            (Outcome::Failed(Failure::UpstreamConnect), 502, Some(Reason::Error)),
            (Outcome::Failed(Failure::UpstreamReset), 200, Some(Reason::Aborted)),
            (Outcome::Failed(Failure::GrpcStatus(13)), 200, Some(Reason::Error)),
            (Outcome::Aborted(Abort::StreamIdleTimeout), 200, Some(Reason::Aborted)),
            (Outcome::Panicked, 500, Some(Reason::Error)),
            (Outcome::Gone { phase: Phase::Response }, 200, None),
        ] {
            assert_eq!(why(&sampling, &ended(outcome, status)), reason, "{outcome:?} {status}");
        }
    }

    #[test]
    fn a_stream_is_slow_by_its_first_byte() {
        let sampling = sampling("keep_slow = \"1s\"");
        let (second, less) = (Duration::from_secs(1), Duration::from_millis(999));
        let served = ended(Outcome::Served, 200);
        let plain = |duration| Ending { duration, ttfb: Some(duration), ..served };
        assert_eq!(why(&sampling, &plain(less)), None);
        assert_eq!(why(&sampling, &plain(second)), Some(Reason::Slow));
        let stream = |ttfb| Ending { duration: 60 * second, ttfb, is_stream: true, ..served };
        assert_eq!(why(&sampling, &stream(Some(less))), None);
        assert_eq!(why(&sampling, &stream(Some(second))), Some(Reason::Slow));
        assert_eq!(why(&sampling, &stream(None)), Some(Reason::Slow));
    }

    #[test]
    fn every_reason_can_be_turned_off() {
        let error = ended(Outcome::Failed(Failure::UpstreamConnect), 502);
        assert_eq!(why(&sampling("keep_errors = false"), &error), None);
        assert_eq!(why(&sampling("keep_per_second = 0"), &error), None);
        let slow = Ending { duration: Duration::from_hours(1), ..ended(Outcome::Served, 200) };
        assert_eq!(why(&sampling(""), &slow), Some(Reason::Slow));
        assert_eq!(why(&sampling("keep_slow = \"0s\""), &slow), None);
        assert_eq!(sampling("").keep(true, &error, Instant::now()), Some(Kept::Head));
    }

    #[test]
    fn each_reason_spends_its_own_budget_and_gets_it_back_in_time() {
        let sampling = sampling("keep_per_second = 5");
        let error = ended(Outcome::Failed(Failure::UpstreamConnect), 502);
        let cut = ended(Outcome::Failed(Failure::UpstreamReset), 200);
        let now = Instant::now() + Duration::from_secs(5);
        let kept =
            |ending, now| (0..20).filter(|_| sampling.keep(false, ending, now).is_some()).count();
        assert_eq!((kept(&error, now), kept(&error, now), kept(&cut, now)), (5, 0, 5));
        assert_eq!(kept(&error, now + Duration::from_millis(199)), 0);
        assert_eq!(kept(&error, now + Duration::from_millis(200)), 1);
        assert_eq!(kept(&error, now + Duration::from_hours(1)), 5, "no more than a second's worth");
        let [error, aborted, ..] = sampling.counts();
        assert_eq!(error, (Reason::Error, Counts { kept: 11, over_budget: 89 }));
        assert_eq!(aborted, (Reason::Aborted, Counts { kept: 5, over_budget: 15 }));
    }

    #[test]
    fn a_flood_of_refusals_hides_nothing_that_the_service_did() {
        let sampling = sampling("keep_per_second = 2\nkeep_status = [404, 429]");
        let now = Instant::now();
        let kept = |ending: Ending| {
            (0..9).filter(|_| sampling.keep(false, &ending, now).is_some()).count()
        };
        assert_eq!(kept(ended(Outcome::Refused(Refusal::Overloaded), 503)), 2);
        assert_eq!(kept(ended(Outcome::Failed(Failure::UpstreamConnect), 502)), 2);
        assert_eq!(kept(ended(Outcome::Refused(Refusal::RateLimited), 429)), 2);
        assert_eq!(kept(ended(Outcome::Served, 404)), 2);
        let [error, .., status] = sampling.counts();
        assert_eq!(error, (Reason::Error, Counts { kept: 4, over_budget: 14 }));
        assert_eq!(status, (Reason::Status, Counts { kept: 4, over_budget: 14 }));
    }

    #[test]
    fn a_spent_budget_is_not_made_up_for_by_another() {
        let sampling = sampling("keep_per_second = 1\nkeep_status = [502]");
        let error = ended(Outcome::Failed(Failure::UpstreamConnect), 502);
        let slow = Ending { duration: Duration::from_mins(1), ..error };
        let now = Instant::now();
        let kept = (0..9).filter(|_| sampling.keep(false, &slow, now).is_some()).count();
        assert_eq!(kept, 1);
    }

    #[test]
    fn a_reload_does_not_fill_the_budgets() {
        let first = sampling("keep_per_second = 3");
        let error = ended(Outcome::Failed(Failure::UpstreamConnect), 502);
        let now = Instant::now();
        let kept = |it: &Sampling| (0..9).filter(|_| it.keep(false, &error, now).is_some()).count();
        assert_eq!(kept(&first), 3);
        let config = Config::from_toml(
            "upstream.url = \"http://127.0.0.1:1\"\n[tracing.sampling]\nkeep_per_second = 3",
        );
        let second = Sampling::compile(&config.unwrap(), Some(&first));
        assert_eq!(kept(&second), 0);
        assert_eq!(second.counts()[0].1, Counts { kept: 3, over_budget: 15 });
    }

    #[test]
    fn without_a_collector_nothing_is_kept_and_no_budget_is_spent() {
        let text = "upstream.url = \"http://127.0.0.1:1\"\notlp.endpoint = \"\"\n";
        let sampling = Sampling::compile(&Config::from_toml(text).unwrap(), None);
        let error = ended(Outcome::Failed(Failure::UpstreamConnect), 502);
        let fine = ended(Outcome::Served, 200);
        for is_sampled in [true, false] {
            let keep = |ending| sampling.keep(is_sampled, ending, Instant::now());
            assert_eq!(keep(&error), Some(Kept::Unsent(Reason::Error)));
            assert_eq!(keep(&fine), None);
        }
        assert!(sampling.counts().iter().all(|(_, counts)| *counts == Counts::default()));
        let id = TraceId([9; 16]);
        assert!(sampling.starts(id), "the service is told what it would be told");
    }

    #[test]
    fn threads_share_one_budget() {
        let sampling = sampling("keep_per_second = 100");
        let error = ended(Outcome::Failed(Failure::UpstreamConnect), 502);
        let now = Instant::now();
        let take = || (0..500).filter(|_| sampling.keep(false, &error, now).is_some()).count();
        let kept: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(kept, 100);
    }
}
