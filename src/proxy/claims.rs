//! What clients claim that they may not: an identity, or to come through a proxy.
//!
//! Such fields never reach the upstream. They are counted, and each kind is worth one warning per
//! process, because it usually means that a proxy in front is missing from `trusted_proxies`, or that
//! the app used to believe its clients.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::HeaderName;

use super::plan::Plan;
use crate::config::Config;
use crate::http::hop;
use crate::telemetry::metrics::Metrics;

/// Claims seen so far.
#[derive(Debug)]
pub struct Claims {
    metrics: Metrics,
    has_warned_of_identity: AtomicBool,
    has_warned_of_forwarding: AtomicBool,
}

/// The claims of one head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Claimed {
    /// Identity fields.
    identities: u64,
    /// Whether it names the scheme or the host of an earlier hop that is not believed.
    forwarding: bool,
}

impl Claimed {
    /// Finds them among the fields that were taken out.
    pub fn among(taken: &[HeaderName], plan: &Plan, is_trusted: bool) -> Self {
        let is_forwarding =
            |name: &HeaderName| matches!(name.as_str(), "x-forwarded-proto" | "x-forwarded-host");
        let own = plan.removed_fields.as_ref().map_or(&[][..], Removed::identities);
        let is_own =
            |name: &HeaderName| own.iter().any(|own| hop::is_twin(name.as_str(), own.as_str()));
        let is_identity = |name: &&HeaderName| hop::is_identity(name) || is_own(name);
        // Where the proxy in front says who calls, its word is no claim.
        let is_believed = is_trusted && plan.believes_identities;
        let identities = if is_believed { 0 } else { taken.iter().filter(is_identity).count() };
        Self {
            identities: identities as u64,
            forwarding: !is_trusted && taken.iter().any(is_forwarding),
        }
    }
}

/// Fields that clients may not send through by the configuration's word. The usual identity fields are
/// known without it.
#[derive(Debug)]
pub struct Removed {
    all: Box<[HeaderName]>,
    /// How many of them, from the first on, are claims of an identity.
    identities: usize,
}

impl Removed {
    /// All of them.
    pub fn all(&self) -> &[HeaderName] {
        &self.all
    }

    /// What is set from claims: who sends that claims to be somebody. Naming a tenant is no claim, for a
    /// caller may name its own.
    fn identities(&self) -> &[HeaderName] {
        self.all.get(..self.identities).unwrap_or_default()
    }
}

/// What is set from claims, what names a tenant, and what the operator lists. `None` where that is
/// nothing.
pub(super) fn removed_fields(config: &Config) -> Option<Removed> {
    let identity = &config.identity;
    let field = |name: &Arc<str>| HeaderName::from_bytes(name.as_bytes()).ok();
    let is_new = |name: &HeaderName| !hop::is_identity(name);
    let claimed = identity.forward.iter().filter_map(|(name, _)| field(name)).filter(is_new);
    let mut all: Vec<_> = claimed.collect();
    let identities = all.len();
    all.extend(identity.tenant_header.iter().filter_map(field).filter(is_new));
    all.extend(config.security.remove_request_headers.iter().cloned());
    (!all.is_empty()).then(|| Removed { all: all.into(), identities })
}

/// What trailers of requests lose besides what all lose. The usual request id is among that.
pub(super) fn removed_trailers(config: &Config) -> Option<Arc<[HeaderName]>> {
    let request_id = HeaderName::from_bytes(config.request_id_header.as_bytes()).ok();
    let request_id = request_id.filter(|name| *name != hop::REQUEST_ID);
    let mut all = removed_fields(config).map_or_else(Vec::new, |removed| removed.all.into_vec());
    all.extend(request_id);
    (!all.is_empty()).then(|| all.into())
}

impl Claims {
    /// Counts in these metrics.
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            metrics: metrics.clone(),
            has_warned_of_identity: AtomicBool::new(false),
            has_warned_of_forwarding: AtomicBool::new(false),
        }
    }

    /// Counts the claims of one head, and warns of the first of each kind.
    pub fn note(&self, claimed: Claimed, peer: &IpAddr) {
        if claimed == Claimed::default() {
            return;
        }
        let is_first = |flag: &AtomicBool| !flag.swap(true, Ordering::Relaxed);
        if claimed.identities > 0 {
            self.metrics.identity_headers_removed(claimed.identities);
            if is_first(&self.has_warned_of_identity) {
                tracing::warn!(%peer, "A client sent identity headers; they are always removed.");
            }
        }
        if claimed.forwarding && is_first(&self.has_warned_of_forwarding) {
            tracing::warn!(
                %peer,
                "An untrusted peer sent X-Forwarded-Proto or -Host; if it is your proxy, add it to \
                 `server.trusted_proxies`."
            );
        }
    }
}
