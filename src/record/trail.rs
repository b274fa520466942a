//! How far an exchange came, and what the gates on its way said: what `explain REQUEST-ID` tells.
//!
//! Numbers and words of closed sets, a few bytes for each exchange. What a route asks of its requests is
//! kept once, with the route's names.

use super::ConfigName;

/// The gates, in the order in which a request meets them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The form of the target.
    #[default]
    Target,
    /// A permit.
    Overload,
    /// The limits that need the head alone.
    Door,
    /// The route's action, unknown paths, the declared length.
    Action,
    /// Whether a page of another origin asks.
    Csrf,
    /// Who calls, and for which tenant.
    Identity,
    /// The limits that need to know who calls.
    Known,
    /// Whether it fits its operation.
    Validation,
    /// The limits that need facts of the body.
    Body,
    /// Whether the upstream can be reached at all.
    Breaker,
    /// The durable record.
    Audit,
    /// On to the upstream.
    Upstream,
}

/// What the gates said to one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trail {
    /// The last gate that it came to.
    pub reached: Step,
    /// Whether it was a preflight, which most gates let by.
    pub is_preflight: bool,
    /// The gates in shadow mode that would have refused it, by [`Step::bit`].
    pub would_refuse: u16,
    /// What its limits said.
    pub limits: Limited,
    /// The first rule that it broke, of HTTP or of its operation: the part of the request, and the rule.
    pub broken: Option<(&'static str, &'static str)>,
}

/// What the limits of a route said to one request, in their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limited {
    asked: u8,
    /// Those of the first 32 that had too few tokens, the first one lowest.
    short: u32,
}

/// What a route asks of its requests, in the words of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// `required`, `optional` or `none`.
    pub identity: &'static str,
    /// `enforce`, `shadow` or `off`.
    pub csrf: &'static str,
    /// `enforce`, `shadow` or `off`.
    pub validation: &'static str,
    /// Its limits in the order in which they are asked: where, which, and `enforce` or `shadow`.
    pub limits: Box<[(Step, ConfigName, &'static str)]>,
}

impl Step {
    /// Its place in a set of gates.
    pub fn bit(self) -> u16 {
        1 << self as u16
    }
}

impl Trail {
    /// Notes that a gate in shadow mode would have refused.
    pub fn note_shadow(&mut self, step: Step) {
        self.would_refuse |= step.bit();
    }

    /// Whether a gate in shadow mode would have refused.
    pub fn has_shadow(&self, step: Step) -> bool {
        self.would_refuse & step.bit() != 0
    }
}

impl Limited {
    /// Notes what the next limit said.
    pub fn note(&mut self, is_short: bool) {
        let bit = 1_u32.checked_shl(self.asked.into()).unwrap_or(0);
        self.short |= if is_short { bit } else { 0 };
        self.asked = self.asked.saturating_add(1);
    }

    /// Whether the limit of this place in [`Policy::limits`] had too few tokens. `None` where it was
    /// not asked.
    pub fn was_short(self, index: usize) -> Option<bool> {
        let bit = u32::try_from(index).ok().and_then(|index| 1_u32.checked_shl(index)).unwrap_or(0);
        (index < usize::from(self.asked)).then_some(self.short & bit != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_that_was_asked_keeps_its_word() {
        let mut limits = Limited::default();
        for index in 0..300 {
            limits.note(index % 2 == 1);
        }
        for (index, expected) in [(0, false), (1, true), (30, false), (31, true)] {
            assert_eq!(limits.was_short(index), Some(expected));
        }
        assert_eq!(limits.was_short(33), Some(false), "beyond 32, only that it was asked");
        assert_eq!(Limited::default().was_short(0), None);
    }

    #[test]
    fn every_gate_has_a_bit_of_its_own() {
        let mut trail = Trail::default();
        trail.note_shadow(Step::Csrf);
        trail.note_shadow(Step::Upstream);
        assert!(trail.has_shadow(Step::Csrf) && trail.has_shadow(Step::Upstream));
        assert!(!trail.has_shadow(Step::Target) && !trail.has_shadow(Step::Validation));
    }
}
