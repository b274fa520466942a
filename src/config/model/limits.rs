//! `[rate_limits.…]` and `[rate_limit_headers]`: how often somebody may ask, and who is told.

use std::num::NonZeroU32;
use std::sync::Arc;

use super::Mode;
use crate::record::ConfigName;
use crate::units::Rate;

/// One of `[rate_limits]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Its name.
    pub name: ConfigName,
    /// What a bucket belongs to.
    pub key: Vec<LimitKey>,
    /// How fast it fills.
    pub rate: Rate,
    /// How many tokens it holds, in every tier.
    pub burst: NonZeroU32,
    /// What an empty bucket means.
    pub mode: Mode,
    /// Buckets kept.
    pub max_keys: usize,
    /// How many tokens a request costs.
    pub cost: Cost,
    /// The claim that names the caller's tier: a name or a JSON pointer.
    pub tier_claim: Option<Arc<str>>,
    /// How fast the buckets of each tier fill.
    pub tiers: Vec<(ConfigName, Rate)>,
}

impl RateLimit {
    /// A limit that is enforced, without tiers, of one token per request, and with the usual bound on
    /// its buckets.
    pub fn new(name: ConfigName, key: Vec<LimitKey>, rate: Rate, burst: NonZeroU32) -> Self {
        Self {
            name,
            key,
            rate,
            burst,
            mode: Mode::Enforce,
            max_keys: crate::config::defaults::MAX_KEYS,
            cost: Cost::Request,
            tier_claim: None,
            tiers: Vec::new(),
        }
    }

    /// Whether it counts by who calls, or at a rate that depends on it.
    pub fn needs_caller(&self) -> bool {
        let is_of_caller = |part: &LimitKey| {
            matches!(part, LimitKey::User | LimitKey::Tenant | LimitKey::Claim(_))
        };
        self.tier_claim.is_some() || self.key.iter().any(is_of_caller)
    }

    /// The captures that this limit reads.
    pub fn captures(&self) -> impl Iterator<Item = &ConfigName> {
        let keys = self.key.iter().filter_map(|part| match part {
            LimitKey::Capture(name) => Some(name),
            _ => None,
        });
        let cost = match &self.cost {
            Cost::Request => None,
            Cost::Capture { name, .. } => Some(name),
        };
        keys.chain(cost)
    }
}

/// A part of a limit's key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LimitKey {
    /// The client's address (IPv6 by /64).
    Ip,
    /// The route's template.
    Route,
    /// A header's value, by lower-case name.
    Header(Arc<str>),
    /// The verified user.
    User,
    /// The verified tenant.
    Tenant,
    /// A verified claim, by name or JSON pointer.
    Claim(Arc<str>),
    /// A captured fact of the request.
    Capture(ConfigName),
}

/// `rate_limits.*.cost`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cost {
    /// One token.
    Request,
    /// As many tokens as a captured number says.
    Capture {
        /// Its name in `[captures]`.
        name: ConfigName,
        /// Tokens taken until the number is known, and for good where it never is.
        reserve: NonZeroU32,
    },
}

/// `rate_limit_headers.form`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateLimitHeaders {
    /// `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10).
    Ietf,
    /// `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset`.
    Legacy,
    /// Both of them.
    Both,
    /// None.
    Off,
}
