//! The breaker: while nobody gets a connection to the upstream, requests are told so at once.
//!
//! Requests in a row that got no connection open it; after `open_for` one request may try, and what it
//! finds decides. While it is closed, which is nearly always, [`Breaker::admit`] costs one atomic load.
//! In shadow mode it keeps its state and its voice, and refuses nobody.
//!
//! It judges connections only: an upstream that accepts them and answers badly is not its business.

use std::sync::atomic::{AtomicBool, Ordering};

use http::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::exchange::Stop;
use crate::config::model::{self, Mode};
use crate::record::Refusal;

mod machine;

pub use machine::State;
use machine::{Admission, Machine};

/// The breaker of one upstream.
#[derive(Debug)]
pub struct Breaker {
    mode: Mode,
    is_closed: AtomicBool,
    machine: Mutex<Machine>,
}

/// The one request that finds out. Dropped without a verdict, it leaves the place to the next.
#[derive(Debug)]
pub struct Probe<'a> {
    breaker: &'a Breaker,
    id: u64,
}

impl Breaker {
    /// A closed one.
    pub fn new(config: model::Breaker) -> Self {
        Self {
            mode: config.mode,
            is_closed: AtomicBool::new(true),
            machine: Mutex::new(Machine::new(config.failures, config.open_for)),
        }
    }

    /// Lets a request in, or refuses it with a `Retry-After`. A probe is to be held until the request
    /// has its head, or has failed.
    pub fn admit(&self) -> Result<Option<Probe<'_>>, Stop> {
        if self.is_closed() {
            return Ok(None);
        }
        match self.turn(Machine::admit) {
            Admission::Pass => Ok(None),
            Admission::Probe(id) => Ok(Some(Probe { breaker: self, id })),
            Admission::Wait(_) if self.mode != Mode::Enforce => Ok(None),
            Admission::Wait(left) => {
                let mut headers = HeaderMap::new();
                // Rounded up: too early would be refused again.
                let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
                headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
                Err(Stop::Refused(Refusal::CircuitOpen, Box::new(headers)))
            }
        }
    }

    /// A request found no connection.
    pub fn fail(&self) {
        if self.mode != Mode::Off {
            self.turn(Machine::fail);
        }
    }

    /// A request got a new connection.
    pub fn succeed(&self) {
        if self.mode != Mode::Off {
            self.turn(|machine, _| machine.succeed());
        }
    }

    /// Somebody who is not a request got a connection.
    pub fn hope(&self) {
        if !self.is_closed() {
            self.turn(Machine::hope);
        }
    }

    /// Whether everything passes.
    pub fn is_closed(&self) -> bool {
        // Nothing else is read on the strength of this, so no order is needed.
        self.is_closed.load(Ordering::Relaxed)
    }

    /// Where it is; `None` where it is off.
    pub fn state(&self) -> Option<State> {
        (self.mode != Mode::Off).then(|| self.machine.lock().state())
    }

    /// Whether a request that came now would be refused. Once somebody may try again it is not, so
    /// that whoever sends traffic by `/readyz` sends the request that finds out.
    pub fn refuses(&self) -> bool {
        self.mode == Mode::Enforce
            && !self.is_closed()
            && self.machine.lock().is_waiting(Instant::now())
    }

    fn turn<T>(&self, act: impl FnOnce(&mut Machine, Instant) -> T) -> T {
        let mut machine = self.machine.lock();
        let before = machine.state();
        let result = act(&mut machine, Instant::now());
        let after = machine.state();
        self.is_closed.store(after == State::Closed, Ordering::Relaxed);
        drop(machine);
        if before != after {
            self.tell(before, after);
        }
        result
    }

    fn tell(&self, before: State, after: State) {
        let is_shadow = self.mode == Mode::Shadow;
        match (before, after) {
            (State::Closed, _) => {
                tracing::warn!(is_shadow, "The breaker opens: nobody gets a connection upstream.");
            }
            (_, State::Closed) => {
                tracing::info!(is_shadow, "The breaker closes: the upstream is back.");
            }
            _ => tracing::debug!(is_shadow, state = after.as_str(), "The breaker moves."),
        }
    }
}

impl Probe<'_> {
    /// It was answered, be it on a connection that had stayed: nobody need wait any longer.
    pub fn succeed(self) {
        self.breaker.succeed();
    }
}

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        self.breaker.turn(|machine, now| machine.give_up(self.id, now));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn breaker(mode: Mode) -> Breaker {
        Breaker::new(model::Breaker { mode, failures: 2, open_for: Duration::from_millis(1500) })
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_breaker_says_when_to_come_again() {
        let breaker = breaker(Mode::Enforce);
        breaker.fail();
        assert!(breaker.admit().is_ok_and(|probe| probe.is_none()));
        breaker.fail();
        let Err(Stop::Refused(refusal, headers)) = breaker.admit() else { panic!("let in") };
        assert_eq!((refusal, headers[RETRY_AFTER].as_bytes()), (Refusal::CircuitOpen, &b"2"[..]));
        assert!(breaker.refuses());
    }

    #[tokio::test(start_paused = true)]
    async fn one_probe_at_a_time_and_a_dropped_one_makes_room() {
        let breaker = breaker(Mode::Enforce);
        breaker.fail();
        breaker.fail();
        tokio::time::advance(Duration::from_millis(1500)).await;
        let probe = breaker.admit().unwrap();
        assert!(probe.is_some() && breaker.admit().is_err());
        drop(probe);
        let probe = breaker.admit().unwrap();
        assert!(probe.is_some());
        breaker.succeed();
        drop(probe);
        assert!(breaker.is_closed() && breaker.admit().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_shadow_knows_but_refuses_nobody_and_off_knows_nothing() {
        let (shadow, off) = (breaker(Mode::Shadow), breaker(Mode::Off));
        for breaker in [&shadow, &off] {
            breaker.fail();
            breaker.fail();
            assert!(breaker.admit().is_ok_and(|probe| probe.is_none()));
            assert!(!breaker.refuses());
        }
        assert_eq!((shadow.state(), off.state()), (Some(State::Open), None));
    }
}
