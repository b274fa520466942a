//! The hall: what happens to a request between the door and the upstream.
//!
//! [`pipeline`] tells the story; every other file is one of its stages or one of its nouns. Stages
//! never import each other: `pipeline` calls them, `plan` compiles their policies, an [`exchange`]
//! begins and ends with some, and [`explain`] asks them about a request that nobody has sent.
//!
//! - Before the walk: [`survey`] looks the head over, [`request_id`] and [`trace`] say who it is.
//! - The stages, in the order of the walk: [`target`], [`operations`], [`overload`], [`preflight`],
//!   [`admission`] (three times), [`screen`], [`csrf`], [`last_hop`], [`identify`], [`validation`],
//!   [`inspect_body`], [`seat`], [`forward`], [`classify`]; then [`answer`], or [`upgrade`].
//! - What stages put to use: [`limits`], [`identity`], [`inspect`], [`breaker`], [`upstream`],
//!   [`error_classes`], [`security_headers`], [`claims`].
//! - What travels: an [`exchange`] under its [`plan`], from a [`peer`]; [`request_body`] and [`reply`]
//!   carry it through the bodies, [`tunnel`] past a 101; [`clock`] and [`patience`] time it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;

use crate::config::Config;
use crate::telemetry::Telemetry;
use crate::telemetry::sinks::audit::Audit;

pub mod admission;
pub mod answer;
pub mod breaker;
pub mod claims;
pub mod classify;
pub mod clock;
pub mod csrf;
pub mod error_classes;
pub mod exchange;
pub mod explain;
pub mod forward;
pub mod identify;
pub mod identity;
pub mod inspect;
pub mod inspect_body;
pub mod last_hop;
pub mod limits;
pub mod operations;
pub mod overload;
pub mod patience;
pub mod peer;
pub mod pipeline;
pub mod plan;
pub mod preflight;
pub mod reply;
pub mod request_body;
pub mod request_id;
mod roots;
pub mod screen;
pub mod seat;
pub mod security_headers;
pub mod survey;
pub mod target;
pub mod trace;
pub mod tunnel;
pub mod upgrade;
pub mod upstream;
pub mod validation;

use identity::Identities;
use limits::store::{Remote, Store};
use overload::Overload;
use plan::Plan;
use upstream::Upstream;

/// Everything a request meets on its way.
#[derive(Debug)]
pub struct Proxy {
    plan: ArcSwap<Plan>,
    telemetry: Arc<Telemetry>,
    upstream: Arc<Upstream>,
    audit: Option<Audit>,
    overload: Overload,
    inspection: inspect::Budget,
    claims: claims::Claims,
    identities: Identities,
    limit_store: Option<Arc<Remote>>,
    is_draining: AtomicBool,
    is_cut: AtomicBool,
}

impl Proxy {
    /// A proxy for this configuration. `audit` is needed where a route names an event.
    pub fn new(config: &Config, telemetry: Arc<Telemetry>, audit: Option<Audit>) -> Self {
        let limit_store = Remote::new(config, telemetry.metrics());
        let store = limit_store.clone().map(|store| store as Arc<dyn Store>);
        let plan = Plan::compile(config, telemetry.metrics(), store.as_ref(), None);
        let key = plan.pseudonym_key.clone();
        Self {
            plan: ArcSwap::from_pointee(plan),
            upstream: Arc::new(Upstream::new(&config.upstream, telemetry.metrics())),
            overload: Overload::new(config.overload),
            inspection: inspect::Budget::new(config.inspect.max_memory),
            claims: claims::Claims::new(telemetry.metrics()),
            identities: Identities::new(config, &key),
            limit_store,
            telemetry,
            audit,
            is_draining: AtomicBool::new(false),
            is_cut: AtomicBool::new(false),
        }
    }

    /// Puts another configuration in force for the requests to come. Limits whose quota is the same
    /// keep their buckets. What is bound at the start (ports, pool, sinks) stays as it is.
    pub fn adopt(&self, config: &Config) {
        let store = self.limit_store.clone().map(|store| store as Arc<dyn Store>);
        let previous = self.plan.load();
        let next = Plan::compile(config, self.telemetry.metrics(), store.as_ref(), Some(&previous));
        self.plan.store(Arc::new(next));
        if let Some(store) = &self.limit_store {
            store.adopt(&config.rate_limit_store);
        }
        self.overload.resize(config.overload);
        self.inspection.resize(config.inspect.max_memory);
    }

    /// The plan in force.
    pub fn plan(&self) -> Arc<Plan> {
        self.plan.load_full()
    }

    /// The service behind.
    pub fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// Where records go.
    pub fn telemetry(&self) -> &Arc<Telemetry> {
        &self.telemetry
    }

    /// The audit, where there is one.
    pub fn audit(&self) -> Option<&Audit> {
        self.audit.as_ref()
    }

    /// The permits of all requests together.
    pub fn overload(&self) -> &Overload {
        &self.overload
    }

    /// The memory that inspection may use, of all requests together.
    pub fn inspection(&self) -> &inspect::Budget {
        &self.inspection
    }

    /// The buckets that all replicas share, where there are any.
    pub fn limit_store(&self) -> Option<&Arc<Remote>> {
        self.limit_store.as_ref()
    }

    /// What clients claim that they may not.
    pub fn claims(&self) -> &claims::Claims {
        &self.claims
    }

    /// Who can be known, and how.
    pub fn identities(&self) -> &Identities {
        &self.identities
    }

    /// From now on, answers ask HTTP/1 clients to close their connections and go elsewhere.
    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    /// Whether clients are asked to go elsewhere.
    pub fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }

    /// From now on, an exchange that is dropped was cut by the shutdown, not left by its client.
    pub fn cut(&self) {
        self.is_cut.store(true, Ordering::Relaxed);
    }

    /// Whether the shutdown is cutting what still runs.
    pub fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::Relaxed)
    }
}
