//! The gates that a route may set for itself, over those of `[route_defaults]`.

use crate::config::model::{Gates, Mode, Need};
use crate::config::section::Section;

/// The modes of a gate.
pub(super) const MODES: [(&str, Mode); 3] =
    [("enforce", Mode::Enforce), ("shadow", Mode::Shadow), ("off", Mode::Off)];
const NEEDS: [(&str, Need); 3] =
    [("required", Need::Required), ("optional", Need::Optional), ("none", Need::None)];

/// The gates that a table names, and the defaults for the others.
pub(super) fn gates(section: &Section<'_>, defaults: Gates) -> Gates {
    Gates {
        identity: section.choice("identity", &NEEDS).unwrap_or(defaults.identity),
        csrf: section.choice("csrf", &MODES).unwrap_or(defaults.csrf),
        validation: section.choice("validation", &MODES).unwrap_or(defaults.validation),
        rate_limits: section.choice("rate_limit_mode", &MODES).unwrap_or(defaults.rate_limits),
    }
}
