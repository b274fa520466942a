//! What the house says about itself: readiness probes, `/status`, and the collectors of `/metrics`.
//!
//! Everything here is a snapshot of numbers kept elsewhere. Collectors hold the proxy weakly, so
//! that two sidecars can live and die in one process.

use std::sync::{Arc, Weak};

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::audit::{AuditResult, Event};
use crate::config::Config;
use crate::config::model::Listen;
use crate::proxy::Proxy;
use crate::proxy::breaker::State;
use crate::proxy::limits::{Limiter, store};
use crate::record::Reason;
use crate::server::admin::{Health, Probe};
use crate::server::reload;
use crate::telemetry::alerts::Standing;
use crate::telemetry::metrics::{Metrics, sources};
use crate::telemetry::sampling::Counts;
use crate::telemetry::sinks::audit::{Audit, Stats};
use crate::telemetry::{resource, timestamp};

/// What must hold for `/readyz`.
pub(super) fn probes(proxy: &Arc<Proxy>) -> Vec<Probe> {
    let mut probes: Vec<Probe> = Vec::new();
    let upstream = Arc::clone(proxy.upstream());
    probes.push((
        "upstream",
        Box::new(move || match upstream.trouble() {
            Some((trouble, _)) => Err(trouble.to_string()),
            None if upstream.is_reachable() => Ok(()),
            None => Err("has not been connected to yet".to_owned()),
        }),
    ));
    let upstream = Arc::clone(proxy.upstream());
    probes.push((
        "breaker",
        Box::new(move || {
            let refuses = upstream.breaker().refuses();
            (!refuses).then_some(()).ok_or_else(|| "is open".to_owned())
        }),
    ));
    let upstream = Arc::clone(proxy.upstream());
    probes.push((
        "upstream_health",
        Box::new(move || match upstream.health() {
            Some(verdict) if !verdict.is_well() => Err(format!("the health check {verdict}")),
            _ => Ok(()),
        }),
    ));
    let weak = Arc::downgrade(proxy);
    probes.push((
        "keys",
        Box::new(move || {
            let has_keys = weak.upgrade().is_none_or(|proxy| proxy.identities().has_keys());
            has_keys.then_some(()).ok_or_else(|| "are not loaded, or too old".to_owned())
        }),
    ));
    if let Some(audit) = proxy.audit().cloned() {
        probes.push((
            "audit",
            Box::new(move || {
                let is_writable = audit.stats().is_writable;
                is_writable.then_some(()).ok_or_else(|| "cannot be written".to_owned())
            }),
        ));
    }
    probes
}

/// Puts limits, audit and reloads on the pages of `/metrics`.
pub(super) fn register(proxy: &Arc<Proxy>, reload: &reload::Handle, metrics: &Metrics) {
    let handle = reload.clone();
    metrics.register(sources::reloads(move || {
        let state = handle.state();
        (state.complaint.is_none(), state.last_success)
    }));
    let weak = Arc::downgrade(proxy);
    metrics.register(sources::rules(move || rules(&weak)));
    let weak = Arc::downgrade(proxy);
    metrics.register(sources::store(move || store_state(&weak)));
    let weak = Arc::downgrade(proxy);
    metrics.register(sources::breaker(move || breaker(&weak)));
    if let Some(audit) = proxy.audit() {
        let commits = metrics.clone();
        audit.observe_commits(move |took| commits.audit_committed(took));
        let weak = Arc::downgrade(proxy);
        metrics.register(sources::audit(move || {
            weak.upgrade().and_then(|proxy| proxy.audit().map(counts)).unwrap_or_default()
        }));
    }
}

/// The maker of `/status`.
pub(super) fn document(
    config: &Config,
    listen: &Listen,
    proxy: &Arc<Proxy>,
    health: &Arc<Health>,
    reload: &reload::Handle,
) -> Box<dyn Fn() -> Value + Send + Sync> {
    let (weak, health, reload) = (Arc::downgrade(proxy), Arc::clone(health), reload.clone());
    let began = Instant::now();
    let service = config.service.clone();
    let upstream = config.upstream.shown();
    let listen = listen.to_string();
    Box::new(move || {
        let Some(proxy) = weak.upgrade() else { return Value::Null };
        let telemetry = proxy.telemetry();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "service": { "name": service.name, "version": service.version, "environment": service.environment, "instance": resource::instance() },
            "uptime_seconds": began.elapsed().as_secs(),
            "started": health.is_started(),
            "draining": health.is_draining(),
            "config": { "file": reload.file(), "listen": listen, "upstream": upstream, "routes": proxy.plan().route_count() },
            "last_reload": attempt(&reload.state()),
            "upstream": upstream_of(&proxy),
            "connections": { "open": telemetry.metrics().open_connections() },
            "alerts": telemetry.alerts().iter().map(alert).collect::<Vec<_>>(),
            "ledger": telemetry.ledger().snapshot(),
            "identity": identity(&proxy),
            "limits": limits(&proxy),
            "rate_limit_store": proxy.limit_store().map(|store| limit_store(&store.health())),
            "overload": load(&proxy),
            "sampling": kept(&proxy),
            "audit": proxy.audit().map(|audit| trail(&audit.stats())),
        })
    })
}

fn alert(standing: &Standing) -> Value {
    json!({
        "name": &*standing.name,
        "when": &*standing.when,
        "firing": standing.firing_since.is_some(),
        "since": standing.firing_since.map(timestamp::format),
        "value": standing.value,
    })
}

fn upstream_of(proxy: &Proxy) -> Value {
    let upstream = proxy.upstream();
    let (trouble, away) = upstream.trouble().unzip();
    let pool = upstream.places();
    json!({
        "reachable": upstream.is_reachable(),
        "reason": trouble.map(|trouble| trouble.to_string()),
        "away_seconds": away.map(|away| away.as_secs()),
        "pool": { "in_use": pool.in_use, "idle": pool.idle, "max": pool.max },
        "breaker": upstream.breaker().state().map(State::as_str),
        "health": upstream.health().map(|verdict| verdict.to_string()),
    })
}

fn identity(proxy: &Proxy) -> Value {
    let standing = proxy.identities().standing();
    let keys = standing.keys.map(|keys| {
        json!({
            "count": keys.count,
            "usable": keys.are_usable,
            "age_seconds": keys.age.map(|age| age.as_secs()),
            "trouble": keys.trouble.as_deref(),
        })
    });
    json!({ "source": standing.source, "keys": keys, "signs_with": standing.signs_with })
}

/// The places a breaker can be in, and whether it is there; none where it is off.
fn breaker(weak: &Weak<Proxy>) -> Vec<(&'static str, bool)> {
    let state = weak.upgrade().and_then(|proxy| proxy.upstream().breaker().state());
    let Some(now) = state else { return Vec::new() };
    State::ALL.iter().map(|state| (state.as_str(), *state == now)).collect()
}

fn limits(proxy: &Proxy) -> Vec<Value> {
    let plan = proxy.plan();
    let show = |limiter: &Limiter| {
        let counts = limiter.counts();
        json!({
            "name": &**limiter.name(),
            "allowed": counts.allow,
            "denied": counts.deny,
            "would_deny": counts.would_deny,
            "keys": limiter.keys(),
        })
    };
    plan.rate_limits.iter().map(show).collect()
}

fn limit_store(health: &store::Health) -> Value {
    let (reason, away) = health.trouble.clone().unzip();
    let decisions = health.degraded.iter().map(|(rule, count)| (rule.to_string(), (*count).into()));
    json!({
        "url": health.url,
        "degraded": health.is_degraded,
        "reason": reason,
        "away_seconds": away.map(|away| away.as_secs()),
        "degraded_decisions": decisions.collect::<serde_json::Map<_, _>>(),
        "forgotten": health.forgotten,
    })
}

fn attempt(state: &reload::State) -> Value {
    json!({
        "successful": state.complaint.is_none(),
        "last_success": timestamp::format(state.last_success),
        "errors": state.complaint,
    })
}

fn load(proxy: &Proxy) -> Value {
    let load = proxy.overload().load();
    json!({ "in_flight": load.in_flight, "streams": load.streams, "waiting": load.waiting })
}

/// What was kept at the end by each reason, and what its budget refused.
fn kept(proxy: &Proxy) -> Value {
    let counts = proxy.plan().sampling.counts().into_iter();
    let show = |(reason, counts): (Reason, Counts)| {
        let counts = json!({ "kept": counts.kept, "over_budget": counts.over_budget });
        (reason.as_str().to_owned(), counts)
    };
    counts.map(show).collect::<serde_json::Map<_, _>>().into()
}

fn rules(weak: &Weak<Proxy>) -> Vec<sources::RuleCounts> {
    let Some(proxy) = weak.upgrade() else { return Vec::new() };
    let plan = proxy.plan();
    let count = |limiter: &Limiter| {
        let counts = limiter.counts();
        sources::RuleCounts {
            rule: limiter.name().clone(),
            allowed: counts.allow,
            denied: counts.deny,
            would_deny: counts.would_deny,
            keys: limiter.keys() as u64,
        }
    };
    plan.rate_limits.iter().map(count).collect()
}

fn store_state(weak: &Weak<Proxy>) -> Option<sources::StoreState> {
    let health = weak.upgrade()?.limit_store()?.health();
    Some(sources::StoreState { is_degraded: health.is_degraded, decisions: health.degraded })
}

fn counts(audit: &Audit) -> sources::AuditCounts {
    let stats = audit.stats();
    let mut records = Vec::new();
    for event in Event::ALL {
        for result in AuditResult::ALL {
            let count = stats.records[event.index()][result.index()];
            if count > 0 {
                records.push((event.as_str(), result.as_str(), count));
            }
        }
    }
    sources::AuditCounts {
        records,
        failures: stats.failures + stats.denied_dropped + stats.lost,
        sequence: stats.sequence,
    }
}

fn trail(stats: &Stats) -> Value {
    let results: serde_json::Map<_, _> = AuditResult::ALL
        .into_iter()
        .map(|result| (result.as_str().to_owned(), stats.records_with(result).into()))
        .collect();
    json!({
        "writable": stats.is_writable,
        "sequence": stats.sequence,
        "records": results,
        "failures": stats.failures,
        "denied_dropped": stats.denied_dropped,
        "lost": stats.lost,
        "waiting": stats.waiting,
        "closed_after_crash": stats.closed_after_crash,
        "commits": stats.commits,
    })
}
