//! Light mixed traffic: the clients of the demo.
//!
//! Requests start at a fixed rate over kept-alive connections: questions whole and streamed, pages,
//! log-ins, broken bodies, clients that leave in the middle, and now and then a burst that a rate
//! limit will cut. Every request and every connection is owned by [`run`] and counted in its
//! [`Totals`]; what chance decides comes from the seed.
//!
//! It does not measure: it makes work for the sidecar to observe.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::act::Act;
use super::visit::{Ending, Lines};

/// Questions of one burst, asked at once.
pub const BURST: usize = 60;
/// Requests under way at once; beyond it a request is skipped and counted.
const MAX_IN_FLIGHT: usize = 128;
/// Requests per second; it is a demo, not a load test.
const MAX_RATE: u32 = 1000;
/// The first burst comes this long after the start.
const FIRST_BURST_SECONDS: u64 = 3;
/// From one burst to the next.
const BURST_EVERY_SECONDS: u64 = 30;
/// What requests under way get after the stop.
const GRACE: Duration = Duration::from_secs(2);

/// What became of all requests: `sent` is the sum of the answers by status, `broken` and `left`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests that were begun.
    pub sent: u64,
    /// Complete answers, by status.
    pub statuses: BTreeMap<u16, u64>,
    /// No connection, or an answer that broke off, or none within 15 seconds.
    pub broken: u64,
    /// We left first: on purpose, or because the traffic was stopped.
    pub left: u64,
    /// Not begun, because too many were under way.
    pub skipped: u64,
}

impl Totals {
    fn count(&mut self, ended: Result<Ending, JoinError>) {
        match ended {
            Ok(Ending::Answered(status)) => {
                *self.statuses.entry(status.as_u16()).or_default() += 1;
            }
            Ok(Ending::Left) => self.left += 1,
            Err(error) if error.is_cancelled() => self.left += 1,
            Ok(Ending::Broken) | Err(_) => self.broken += 1,
        }
    }
}

impl fmt::Display for Totals {
    /// One line for the end of the demo.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answers: Vec<_> =
            self.statuses.iter().map(|(status, count)| format!("{status}: {count}")).collect();
        let Self { sent, broken, left, skipped, .. } = self;
        write!(f, "{sent} requests; answers by status: {}", answers.join(", "))?;
        write!(f, "; {broken} broke off, {left} left early, {skipped} skipped")
    }
}

/// Sends `rate` requests per second (1 to 1,000) to `target` until `stop`, and counts them.
///
/// Bursts come on top of the rate: 60 questions three seconds after the start, then every half
/// minute. After the stop, requests under way have two seconds. Dropping the future ends them all.
pub async fn run(target: SocketAddr, rate: u32, seed: u64, stop: CancellationToken) -> Totals {
    let lines = Arc::new(Lines::to(target));
    let rate = rate.clamp(1, MAX_RATE);
    let mut dice = Rng::with_seed(seed);
    let mut totals = Totals::default();
    let mut visits = JoinSet::new();
    let mut clock = tokio::time::interval(Duration::from_secs(1) / rate);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut tick = 0_u64;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(ended) = visits.join_next() => totals.count(ended),
            _ = clock.tick() => {
                for act in acts(tick, u64::from(rate), &mut dice) {
                    if visits.len() >= MAX_IN_FLIGHT {
                        totals.skipped += 1;
                        continue;
                    }
                    totals.sent += 1;
                    let lines = Arc::clone(&lines);
                    visits.spawn(async move { lines.visit(act).await });
                }
                tick += 1;
            }
        }
    }
    let deadline = Instant::now() + GRACE;
    while let Ok(Some(ended)) = tokio::time::timeout_at(deadline, visits.join_next()).await {
        totals.count(ended);
    }
    visits.abort_all();
    while let Some(ended) = visits.join_next().await {
        totals.count(ended);
    }
    lines.close().await;
    totals
}

/// What happens at this tick: one request, or a burst.
fn acts(tick: u64, rate: u64, dice: &mut Rng) -> Vec<Act> {
    let first = rate * FIRST_BURST_SECONDS;
    if tick >= first && (tick - first).is_multiple_of(rate * BURST_EVERY_SECONDS) {
        return (0..BURST).map(|_| Act::question(dice)).collect();
    }
    vec![Act::draw(dice)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_totals_read_as_a_sentence() {
        let statuses = BTreeMap::from([(200, 5), (429, 1)]);
        let totals = Totals { sent: 9, statuses, broken: 1, left: 2, skipped: 0 };
        assert_eq!(
            totals.to_string(),
            "9 requests; answers by status: 200: 5, 429: 1; 1 broke off, 2 left early, 0 skipped"
        );
    }

    #[test]
    fn a_burst_comes_after_three_seconds_and_then_every_half_minute() {
        let mut dice = Rng::with_seed(1);
        let bursts: Vec<_> =
            (0..200).filter(|tick| acts(*tick, 5, &mut dice).len() == BURST).collect();
        assert_eq!(bursts, [15, 165]);
    }
}
