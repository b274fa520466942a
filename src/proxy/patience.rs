//! How long a client may keep the rest of its request body back.
//!
//! Each pause is bounded by `body_idle_timeout`. With `min_body_rate` all pauses together are bounded,
//! too: by that same timeout, and the time that the bytes so far would have taken at that rate. Only
//! the client's own pauses count, so a slow upstream costs it nothing.

use std::time::Duration;

use crate::config::model::ServerLimits;

/// What is left of it.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    idle: Duration,
    /// In bytes per second; 0 = off.
    rate: u64,
    waited: Duration,
}

impl Patience {
    /// All of it.
    pub fn new(limits: &ServerLimits) -> Self {
        Self { idle: limits.body_idle_timeout, rate: limits.min_body_rate, waited: Duration::ZERO }
    }

    /// How long the next pause may be, `bytes` having come so far.
    pub fn next_pause(&self, bytes: u64) -> Duration {
        match bytes.saturating_mul(1000).checked_div(self.rate) {
            None => self.idle,
            Some(earned) => {
                let allowed = self.idle.saturating_add(Duration::from_millis(earned));
                self.idle.min(allowed.saturating_sub(self.waited))
            }
        }
    }

    /// Notes a pause that is over.
    pub fn spend(&mut self, pause: Duration) {
        self.waited = self.waited.saturating_add(pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const SECOND: Duration = Duration::from_secs(1);

    fn patience(min_body_rate: u64) -> Patience {
        let mut limits = Config::for_upstream(([127, 0, 0, 1], 1).into()).server.limits;
        limits.min_body_rate = min_body_rate;
        limits.body_idle_timeout = 10 * SECOND;
        Patience::new(&limits)
    }

    #[test]
    fn without_a_rate_every_pause_may_be_as_long() {
        let mut patience = patience(0);
        patience.spend(1000 * SECOND);
        assert_eq!(patience.next_pause(1), 10 * SECOND);
    }

    #[test]
    fn with_a_rate_pauses_are_paid_for_with_bytes() {
        let mut patience = patience(100);
        assert_eq!(patience.next_pause(0), 10 * SECOND);
        patience.spend(8 * SECOND);
        assert_eq!(patience.next_pause(50), 2 * SECOND + SECOND / 2);
        assert_eq!(patience.next_pause(100_000), 10 * SECOND, "no pause is longer for it");
        patience.spend(20 * SECOND);
        assert_eq!(patience.next_pause(50), Duration::ZERO);
        assert_eq!(patience.next_pause(u64::MAX), 10 * SECOND);
    }
}
