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
        let is_identity = |name: &&HeaderName| hop::is_identity(name);
        // Where the proxy in front says who calls, its word is no claim.
        let is_believed = is_trusted && plan.believes_identities;
        let identities = if is_believed { 0 } else { taken.iter().filter(is_identity).count() };
        Self {
            identities: identities as u64,
            forwarding: !is_trusted && taken.iter().any(is_forwarding),
        }
    }
}

/// What clients may not send through by the configuration's word: what is set from claims, what names a
/// tenant, and what the operator lists. The usual identity fields are known without it.
pub(super) fn removed_fields(config: &Config) -> Option<Arc<[HeaderName]>> {
    let identity = &config.identity;
    let names = identity.forward.iter().map(|(name, _)| name).chain(&identity.tenant_header);
    let names = names.filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok());
    let claimed = names.filter(|name| !hop::is_identity(name));
    let listed = config.security.remove_request_headers.iter().cloned();
    let all: Arc<[_]> = claimed.chain(listed).collect();
    (!all.is_empty()).then_some(all)
}

/// What trailers of requests lose besides what all lose. The usual request id is among that.
pub(super) fn removed_trailers(config: &Config) -> Option<Arc<[HeaderName]>> {
    let removed = removed_fields(config);
    let request_id = HeaderName::from_bytes(config.request_id_header.as_bytes()).ok();
    let Some(request_id) = request_id.filter(|name| *name != hop::REQUEST_ID) else {
        return removed;
    };
    Some(removed.iter().flat_map(|all| all.iter().cloned()).chain([request_id]).collect())
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
