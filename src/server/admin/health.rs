//! Whether we are alive, started, and ready for traffic, and if not, why.
//!
//! A probe is asked at each visit, on the visitor's thread: it reads what somebody else found out
//! and never waits itself.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

/// Something that must be well before traffic may come, by name. `Err` says what is wrong, in words
/// fit for an operator.
pub type Probe = (&'static str, Box<dyn Fn() -> Result<(), String> + Send + Sync>);

/// The state of the process, as `/startupz` and `/readyz` show it.
pub struct Health {
    is_started: AtomicBool,
    is_draining: AtomicBool,
    probes: Vec<Probe>,
}

/// The reasons for which traffic should stay away; none means ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// What is not well, and why.
    pub reasons: Vec<(&'static str, String)>,
}

impl Health {
    /// Not started, not draining.
    pub fn new(probes: Vec<Probe>) -> Self {
        Self { is_started: AtomicBool::new(false), is_draining: AtomicBool::new(false), probes }
    }

    /// Says that every door is open.
    pub fn start(&self) {
        self.is_started.store(true, Ordering::Release);
    }

    /// Says that no new traffic is wanted.
    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::Release);
    }

    /// Whether every door is open.
    pub fn is_started(&self) -> bool {
        self.is_started.load(Ordering::Acquire)
    }

    /// Whether no new traffic is wanted.
    pub fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Acquire)
    }

    /// Asks every probe.
    pub fn readiness(&self) -> Readiness {
        let mut reasons = Vec::new();
        if !self.is_started() {
            reasons.push(("started", "the sidecar is still starting".to_owned()));
        }
        if self.is_draining() {
            reasons.push(("draining", "the sidecar is shutting down".to_owned()));
        }
        for (name, probe) in &self.probes {
            if let Err(reason) = probe() {
                reasons.push((name, reason));
            }
        }
        Readiness { reasons }
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health")
            .field("is_started", &self.is_started())
            .field("is_draining", &self.is_draining())
            .finish_non_exhaustive()
    }
}
