//! The gates of a route and their modes, and `[overload]`: what may come in, and how much of it at once.

use std::time::Duration;

/// `mode` of a gate, from the strictest to none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Refuse.
    Enforce,
    /// Only count.
    Shadow,
    /// Not there.
    Off,
}

impl Mode {
    /// As the configuration writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Shadow => "shadow",
            Self::Off => "off",
        }
    }
}

/// The gates of a route: `[route_defaults]`, and what the route itself names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gates {
    /// Whether a caller must say who it is.
    pub identity: Need,
    /// What a request that a browser sent for another site means.
    pub csrf: Mode,
    /// What a request that does not fit its operation's schema means.
    pub validation: Mode,
    /// How strictly its rate limits are taken at most.
    pub rate_limits: Mode,
}

/// `identity` of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Without a verified identity: 401.
    Required,
    /// Anonymous requests pass; an identity that cannot be verified does not.
    Optional,
    /// Nobody looks.
    None,
}

impl Need {
    /// As the configuration writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Optional => "optional",
            Self::None => "none",
        }
    }
}

/// `[overload]`: how much runs at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overload {
    /// Requests between their head and their record.
    pub max_in_flight: usize,
    /// Streams that do not count as in flight.
    pub max_streams: usize,
    /// How long a request waits for its turn.
    pub queue_timeout: Duration,
    /// The part of `max_in_flight` that one tenant may have while somebody waits; 1 is all of it.
    pub tenant_share: Share,
}

/// A part of a whole, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share(pub u16);

impl Share {
    /// So much of this many, rounded up: at least one of any.
    pub fn of(self, all: u64) -> u64 {
        all.saturating_mul(u64::from(self.0)).div_ceil(1000).max(1)
    }
}
