//! One alert: its window, and whether it fires.
//!
//! It is a function of what it is shown and when: no clock, no book, nobody told. It turns from quiet to
//! firing and back, never twice the same way in a row.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::window::{Growth, Window, quantile};
use crate::config::model::{Alert, Condition, Series};
use crate::record::ConfigName;
use crate::telemetry::metrics::Tally;

/// An alert that is watched for.
#[derive(Debug)]
pub(super) struct Watch {
    alert: Alert,
    window: Window,
    /// Since when it fires, if it does.
    firing_since: Option<SystemTime>,
    /// What was compared last.
    value: Option<f64>,
}

/// Where an alert stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// The alert.
    pub name: ConfigName,
    /// Its condition, as it is written.
    pub when: ConfigName,
    /// Since when it fires; `None` where it does not.
    pub firing_since: Option<SystemTime>,
    /// What was compared at the last look, in the unit of the condition; `None` where nothing could be.
    pub value: Option<f64>,
}

/// A change: it fires now, or no longer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Change {
    pub(super) is_firing: bool,
    /// What was compared with the threshold; `None` where nothing could be.
    pub(super) value: Option<f64>,
    /// Since when it fires, or did.
    pub(super) since: SystemTime,
}

impl Watch {
    /// Begins to watch. `zero` is a moment at which nothing had been counted yet; without one, only what
    /// is counted from the first look on matters.
    pub(super) fn new(alert: Alert, zero: Option<Instant>) -> Self {
        let over = alert.when.condition.over();
        let window = match zero {
            Some(at) => Window::from_zero(over, at),
            None => Window::new(over),
        };
        Self { alert, window, firing_since: None, value: None }
    }

    /// The alert.
    pub(super) fn alert(&self) -> &Alert {
        &self.alert
    }

    /// Takes over what only says who is told. Whether it fires stays as it is.
    pub(super) fn adopt(&mut self, alert: Alert) {
        self.alert = alert;
    }

    /// Whether it fires.
    pub(super) fn is_firing(&self) -> bool {
        self.firing_since.is_some()
    }

    /// Where it stands.
    pub(super) fn standing(&self) -> Standing {
        Standing {
            name: self.alert.name.clone(),
            when: self.alert.when.shown.clone(),
            firing_since: self.firing_since,
            value: self.value,
        }
    }

    /// What it has to be shown.
    pub(super) fn series(&self) -> Vec<Series> {
        self.alert.when.condition.series()
    }

    /// How far it looks back.
    pub(super) fn over(&self) -> Duration {
        self.alert.when.condition.over()
    }

    /// Judges what is counted by now. `wall` is the same moment on the wall clock.
    pub(super) fn judge(
        &mut self,
        now: Instant,
        wall: SystemTime,
        tallies: &[Tally],
    ) -> Option<Change> {
        let growth = self.window.slide(now, tallies)?;
        let condition = &self.alert.when.condition;
        let value = value(condition, tallies, &growth);
        self.value = value;
        let is_firing = value.is_some_and(|value| value > condition.threshold());
        match (is_firing, self.firing_since) {
            (true, None) => {
                self.firing_since = Some(wall);
                Some(Change { is_firing, value, since: wall })
            }
            (false, Some(since)) => {
                self.firing_since = None;
                Some(Change { is_firing, value, since })
            }
            _ => None,
        }
    }

    /// Ends the watch; a change where it was firing.
    pub(super) fn end(self) -> Option<(Alert, Change)> {
        let change = |since| Change { is_firing: false, value: None, since };
        self.firing_since.map(|since| (self.alert, change(since)))
    }
}

/// What is compared with the threshold.
#[expect(clippy::cast_precision_loss, reason = "shares and counts far below 2^53")]
fn value(condition: &Condition, tallies: &[Tally], growth: &[Growth]) -> Option<f64> {
    match (condition, growth) {
        (Condition::Rate { .. }, [of]) => Some(of.count as f64),
        (Condition::Quantile { percent, .. }, [of]) => {
            let share = f64::from(*percent) / 100.0;
            quantile(share, &tallies.first()?.bounds, &of.buckets)
        }
        (Condition::Ratio { .. }, [of, to]) if to.count > 0 => {
            Some(100.0 * of.count as f64 / to.count as f64)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::Config;

    const TICK: Duration = Duration::from_secs(5);

    fn watch(when: &str) -> Watch {
        let text = format!(
            "upstream.url = \"http://127.0.0.1:1\"\n[[alerts]]\nname = \"a\"\nwhen = \"{when}\""
        );
        let config = Config::from_toml(&text).unwrap_or_else(|errors| panic!("{errors}"));
        Watch::new(config.alerts[0].clone(), Some(Instant::now()))
    }

    fn counts(counts: &[u64]) -> Vec<Tally> {
        counts.iter().map(|count| Tally { count: *count, ..Tally::default() }).collect()
    }

    /// What becomes of it at each tick: `+` fires, `-` resolved, `.` nothing.
    fn course(watch: &mut Watch, shown: impl IntoIterator<Item = Vec<Tally>>) -> String {
        let start = Instant::now();
        let step = |(tick, tallies): (u32, Vec<Tally>)| match watch.judge(
            start + tick * TICK,
            SystemTime::UNIX_EPOCH,
            &tallies,
        ) {
            Some(change) if change.is_firing => '+',
            Some(_) => '-',
            None => '.',
        };
        (1..).zip(shown).map(step).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn one_event_fires_and_a_quiet_minute_resolves() {
        let mut watch = watch("status_5xx > 0/min");
        let shown = [0, 0, 1].into_iter().chain(std::iter::repeat_n(1, 14));
        let course = course(&mut watch, shown.map(|count| counts(&[count])));
        assert_eq!(course, "..+...........-..");
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_must_be_exceeded_within_a_minute() {
        let mut watch = watch("errors > 10/min");
        // Ten a minute for ever, then eleven at once.
        let slow = (1..=60).map(|tick| tick * 10 / 13);
        let fast = (0..3).map(|_| 46 + 11);
        let course = course(&mut watch, slow.chain(fast).map(|count| counts(&[count])));
        assert_eq!(course.find('+'), Some(60), "{course}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_share_of_nothing_is_no_share() {
        let mut watch = watch("ratio(errors, requests) > 1% over 1m");
        let shown = [[0, 0], [1, 0], [1, 100], [2, 101]].map(|pair| counts(&pair));
        assert_eq!(course(&mut watch, shown), "...+");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_tail_fires() {
        let mut watch = watch("p95(duration) > 5s over 5m");
        let spread = |fast: u64, slow: u64| {
            let bounds = vec![1.0, 5.0, 7.5];
            vec![Tally { count: fast + slow, buckets: vec![fast, 0, slow, 0], bounds }]
        };
        let shown = [spread(0, 0), spread(95, 5), spread(95, 6), spread(1000, 6)];
        assert_eq!(course(&mut watch, shown), "..+-");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_ends_while_it_fires_is_resolved() {
        let mut firing = watch("errors > 0/min");
        assert_eq!(course(&mut firing, [counts(&[1])]), "+");
        assert!(firing.is_firing());
        let standing = firing.standing();
        assert_eq!((&*standing.when, standing.value), ("errors > 0/min", Some(1.0)));
        assert_eq!(standing.firing_since, Some(SystemTime::UNIX_EPOCH));
        assert!(firing.end().is_some_and(|(_, change)| !change.is_firing));
        assert!(watch("errors > 0/min").end().is_none());
    }

    proptest! {
        #[test]
        fn it_never_turns_the_same_way_twice(
            steps in prop::collection::vec((0_u64..4, 0_u64..4, 0_u32..40), 0..200),
            when in prop::sample::select(vec!["errors > 2/min", "ratio(errors, requests) > 40% over 10s"]),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let _entered = runtime.enter();
            let (mut watch, mut now) = (watch(when), Instant::now());
            let (mut sums, mut is_firing) = ([0, 0], false);
            for (more, most, seconds) in steps {
                // Sometimes the sums begin again.
                sums = if seconds == 39 { [0, 0] } else { [sums[0] + more, sums[1] + more + most] };
                now += Duration::from_secs(u64::from(seconds));
                let series = watch.series().len();
                let change = watch.judge(now, SystemTime::UNIX_EPOCH, &counts(&sums[..series]));
                if let Some(change) = change {
                    prop_assert_eq!(change.is_firing, !is_firing);
                    is_firing = change.is_firing;
                }
                prop_assert_eq!(watch.is_firing(), is_firing);
            }
        }
    }
}
