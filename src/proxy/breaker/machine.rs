//! The breaker as a pure machine: what happened and when goes in, who may pass comes out.
//!
//! At most one request finds out at a time; should it never tell, the next may try after `open_for`. It
//! reads no clock, takes no lock and tells nobody.

use std::time::Duration;

use tokio::time::Instant;

/// Counts failures in a row, refuses for a while, then lets one through to find out.
#[derive(Debug)]
pub(super) struct Machine {
    failures: u32,
    open_for: Duration,
    place: Place,
    probes: u64,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Closed {
        failures: u32,
    },
    Open {
        until: Instant,
    },
    /// One is finding out. Should it never tell, the next may try at `until`.
    Probing {
        id: u64,
        until: Instant,
    },
}

/// Where a breaker is, as metrics and people see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Everything passes.
    Closed,
    /// One request is finding out, the others wait for it.
    HalfOpen,
    /// Nothing passes.
    Open,
}

/// What the machine says to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// Go ahead.
    Pass,
    /// Go ahead, alone; tell how it went under this number.
    Probe(u64),
    /// Not now; perhaps after this time.
    Wait(Duration),
}

impl State {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Closed, Self::HalfOpen, Self::Open];

    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }
}

impl Machine {
    /// A closed one that opens after this many failures in a row, for this long.
    pub(super) fn new(failures: u32, open_for: Duration) -> Self {
        Self { failures, open_for, place: Place::Closed { failures: 0 }, probes: 0 }
    }

    /// Where it is.
    pub(super) fn state(&self) -> State {
        match self.place {
            Place::Closed { .. } => State::Closed,
            Place::Probing { .. } => State::HalfOpen,
            Place::Open { .. } => State::Open,
        }
    }

    /// Judges a request that comes now.
    pub(super) fn admit(&mut self, now: Instant) -> Admission {
        match self.place {
            Place::Closed { .. } => Admission::Pass,
            Place::Open { until } | Place::Probing { until, .. } if now < until => {
                Admission::Wait(until - now)
            }
            Place::Open { .. } | Place::Probing { .. } => {
                self.probes += 1;
                self.place = Place::Probing { id: self.probes, until: now + self.open_for };
                Admission::Probe(self.probes)
            }
        }
    }

    /// Whether a request that came now would have to wait.
    pub(super) fn is_waiting(&self, now: Instant) -> bool {
        match self.place {
            Place::Closed { .. } => false,
            Place::Open { until } | Place::Probing { until, .. } => now < until,
        }
    }

    /// A request found no connection. One that was under way when the breaker opened changes
    /// nothing any more.
    pub(super) fn fail(&mut self, now: Instant) {
        self.place = match self.place {
            Place::Closed { failures } if failures + 1 < self.failures => {
                Place::Closed { failures: failures + 1 }
            }
            Place::Closed { .. } | Place::Probing { .. } => {
                Place::Open { until: now + self.open_for }
            }
            open @ Place::Open { .. } => open,
        };
    }

    /// Somebody got a connection.
    pub(super) fn succeed(&mut self) {
        self.place = Place::Closed { failures: 0 };
    }

    /// The upstream seems to be back: one request may find out, without further waiting.
    pub(super) fn hope(&mut self, now: Instant) {
        if let Place::Open { until } = &mut self.place {
            *until = now.min(*until);
        }
    }

    /// The probe of this number ended without having found out, e.g. because its client left.
    pub(super) fn give_up(&mut self, id: u64, now: Instant) {
        if matches!(self.place, Place::Probing { id: current, .. } if current == id) {
            self.place = Place::Open { until: now };
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OPEN_FOR: Duration = Duration::from_secs(5);

    #[test]
    fn failures_in_a_row_open_it_and_one_probe_decides() {
        let start = Instant::now();
        let mut machine = Machine::new(3, OPEN_FOR);
        machine.fail(start);
        machine.fail(start);
        machine.succeed();
        machine.fail(start);
        machine.fail(start);
        assert_eq!(machine.admit(start), Admission::Pass, "not in a row");
        machine.fail(start);
        assert_eq!(machine.admit(start), Admission::Wait(OPEN_FOR));

        let later = start + OPEN_FOR;
        assert_eq!(machine.admit(later), Admission::Probe(1));
        assert_eq!(machine.admit(later), Admission::Wait(OPEN_FOR));
        machine.fail(later);
        assert_eq!(machine.state(), State::Open);

        let later = later + OPEN_FOR;
        assert_eq!(machine.admit(later), Admission::Probe(2));
        machine.succeed();
        assert_eq!((machine.admit(later), machine.state()), (Admission::Pass, State::Closed));
    }

    #[test]
    fn a_probe_that_ends_without_a_word_frees_its_place() {
        let start = Instant::now();
        let mut machine = Machine::new(1, OPEN_FOR);
        machine.fail(start);
        let later = start + OPEN_FOR;
        assert_eq!(machine.admit(later), Admission::Probe(1));
        machine.give_up(1, later);
        assert_eq!(machine.admit(later), Admission::Probe(2));
        machine.give_up(1, later);
        assert_eq!(machine.admit(later), Admission::Wait(OPEN_FOR), "that was another's");
    }

    #[test]
    fn hope_ends_the_wait_but_does_not_close() {
        let start = Instant::now();
        let mut machine = Machine::new(1, OPEN_FOR);
        machine.fail(start);
        machine.hope(start);
        assert_eq!(machine.admit(start), Admission::Probe(1));
        machine.hope(start);
        assert_eq!(machine.admit(start), Admission::Wait(OPEN_FOR));
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Ask,
        Fail,
        Succeed,
        Hope,
        GiveUp,
        Pass(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => Just(Step::Ask),
            4 => Just(Step::Fail),
            1 => Just(Step::Succeed),
            1 => Just(Step::Hope),
            1 => Just(Step::GiveUp),
            3 => (0_u64..7000).prop_map(Step::Pass),
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        #[test]
        fn it_keeps_its_word_whatever_happens(max in 1_u32..6, steps in steps()) {
            let mut now = Instant::now();
            let mut machine = Machine::new(max, OPEN_FOR);
            let (mut in_a_row, mut opened, mut last_probe) = (0, None::<Instant>, None::<u64>);
            for step in steps {
                let before = machine.state();
                match step {
                    Step::Pass(millis) => now += Duration::from_millis(millis),
                    Step::Fail => {
                        machine.fail(now);
                        in_a_row += 1;
                        if before != State::Open && machine.state() == State::Open {
                            opened = Some(now);
                        }
                        // It opens with the last failure it bears in a row, and no sooner.
                        prop_assert_eq!(
                            before == State::Closed && machine.state() == State::Closed,
                            before == State::Closed && in_a_row < max
                        );
                        prop_assert!(before == State::Closed || machine.state() == State::Open);
                    }
                    Step::Succeed => {
                        machine.succeed();
                        (in_a_row, opened) = (0, None);
                        prop_assert_eq!(machine.state(), State::Closed);
                    }
                    Step::Hope => {
                        machine.hope(now);
                        opened = opened.filter(|_| before != State::Open);
                        prop_assert_eq!(machine.state(), before);
                    }
                    Step::GiveUp => {
                        if let Some(id) = last_probe {
                            machine.give_up(id, now);
                            opened = opened.filter(|_| before != State::HalfOpen);
                        }
                    }
                    Step::Ask => match machine.admit(now) {
                        Admission::Pass => prop_assert_eq!(before, State::Closed),
                        Admission::Wait(left) => {
                            prop_assert_ne!(before, State::Closed);
                            prop_assert!(left > Duration::ZERO && left <= OPEN_FOR);
                        }
                        Admission::Probe(id) => {
                            prop_assert_ne!(before, State::Closed);
                            prop_assert!(last_probe.is_none_or(|last| id > last));
                            // Neither the wait nor another's probe is cut short.
                            prop_assert!(opened.is_none_or(|opened| now >= opened + OPEN_FOR));
                            (last_probe, opened) = (Some(id), Some(now));
                        }
                    },
                }
            }
        }
    }
}
