//! The configuration compiled for the data path: names resolved, values parsed, handles at hand.
//!
//! A request sees exactly one [`Plan`], from its first byte to its last, whatever is reloaded
//! meanwhile. Compiling cannot fail: what could go wrong was checked in [`crate::config`].

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use ipnet::IpNet;

use super::claims::{self, Removed};
use super::error_classes::ErrorClasses;
use super::inspect::{Captures, HeaderFacts, PathFacts};
use super::limits::store::Store;
use super::limits::{Limits, Staged};
use super::operations::{self, Known, Operations};
use super::security_headers::SecurityHeaders;
use crate::audit::Event;
use crate::config::Config;
use crate::config::model::{
    Action, AuditMode, Capture, Gates, HostHeader, IdentitySource, LogHeader, Mode, Need, PathForm,
    Place, Propagators, Route, ServerLimits, Timeouts, Trust, Unmatched,
};
use crate::http::cache_status::Fields;
use crate::http::forwarded;
use crate::http::hop;
use crate::http::shape::Words;
use crate::http::template::{Table, Template};
use crate::openapi;
use crate::record::{Policy, PseudonymKey, RouteNames};
use crate::telemetry::metrics::{Metrics, RouteMetrics};
use crate::telemetry::sampling::Sampling;

/// The compiled configuration.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub struct Plan {
    /// Bounds of what a client may send.
    pub limits: ServerLimits,
    /// What path the upstream gets.
    pub path: PathForm,
    /// Clocks of the upstream leg.
    pub timeouts: Timeouts,
    /// The header that carries the request id.
    pub request_id_header: HeaderName,
    /// Whose trace context is believed.
    pub trust: Trust,
    /// What is read of a trace context, and what is written of it.
    pub propagators: Propagators,
    /// Whose spans are kept.
    pub sampling: Sampling,
    /// The Host for the upstream, where it is not the client's.
    pub rewritten_host: Option<HeaderValue>,
    /// The upstream's own authority, for requests that name no host.
    pub authority: HeaderValue,
    /// The header fields that tell of caches.
    pub cache_fields: Fields,
    /// What browsers are told of every answer.
    pub security_headers: SecurityHeaders,
    /// Whether the beginning of an exchange is a line of the log.
    pub request_start: bool,
    /// Fields whose values may be logged.
    pub log_headers: Option<Arc<[LogHeader]>>,
    /// Fields that clients may not send through.
    pub removed_fields: Option<Removed>,
    /// The same for trailers, where a request id of the client's has no business at all.
    pub removed_trailers: Option<Arc<[HeaderName]>>,
    /// Origins whose pages may ask for anything.
    pub csrf_trusted_origins: Box<[Box<str>]>,
    /// What becomes of what nobody knows.
    pub unmatched_action: Unmatched,
    /// Whether answers say where their time went.
    pub server_timing: bool,
    /// Whether captured facts become the metrics of the `GenAI` conventions.
    pub genai: bool,
    /// Prefix of a problem's `type`.
    pub errors_type_base: String,
    /// Names for errors that the upstream answers with.
    pub error_classes: Option<ErrorClasses>,
    /// What happens when the audit is not available.
    pub audit_mode: AuditMode,
    /// How long a request waits for its durable record.
    pub audit_deadline: std::time::Duration,
    /// How long a request waits for its permit.
    pub queue_timeout: std::time::Duration,
    /// What a body may cost to inspect.
    pub inspect: crate::config::model::Inspect,
    /// The policy of a request that no route knows.
    pub unmatched: Arc<RoutePlan>,
    /// What is known of the API.
    pub operations: Option<Operations>,
    /// The policy of a request refused as ambiguous.
    pub invalid: Arc<RoutePlan>,
    /// What of a path that no route knows may be shown.
    pub words: Words,
    /// All limits, kept so that the next plan can take their buckets over.
    pub rate_limits: Limits,
    /// Whether identities come from the fields of a trusted proxy.
    pub believes_identities: bool,
    /// The key of pseudonyms: of a file, or the process's own, which a reload keeps.
    pub pseudonym_key: PseudonymKey,
    trusted: Vec<IpNet>,
    table: Table,
    routes: Vec<Arc<RoutePlan>>,
}

/// The policy of one route.
#[derive(Debug)]
pub struct RoutePlan {
    /// Its names in telemetry.
    pub names: Arc<RouteNames>,
    /// Its template; `None` for the unmatched and the invalid.
    pub template: Option<Template>,
    /// Whether `[[routes]]` has it; where it does not, the template is at most the document's.
    pub is_configured: bool,
    /// Forward or deny.
    pub action: Action,
    /// Bytes a request body may have.
    pub max_request_body: u64,
    /// Its own clock for the response head, or the plan's.
    pub response_header: Option<std::time::Duration>,
    /// Limits, in the order they are asked.
    pub limits: Staged,
    /// What is asked of a request, and how strictly.
    pub gates: Gates,
    /// Facts to take from the path.
    pub path_captures: Option<PathFacts>,
    /// Facts to take from the request body.
    pub captures: Option<Captures>,
    /// Facts to take from the answer's head.
    pub head_captures: Option<HeaderFacts>,
    /// Facts to take from the answer's body.
    pub answer_captures: Option<Captures>,
    /// Whether answers may be read, so that they must come in the clear.
    pub reads_answers: bool,
    /// The audit event.
    pub audit: Option<Event>,
    /// Resolved metric handles.
    pub metrics: Arc<RouteMetrics>,
}

impl Plan {
    /// Compiles a configuration. Limits of `previous` keep their buckets where their quota is the
    /// same. With a `store` they are shared.
    pub fn compile(
        config: &Config,
        metrics: &Metrics,
        store: Option<&Arc<dyn Store>>,
        previous: Option<&Self>,
    ) -> Self {
        let rate_limits = Limits::compile(config, store, previous.map(|plan| &plan.rate_limits));
        let pseudonym_key = pseudonym_key(config, previous);
        let compile = |route: Compiled<'_>| {
            compile_route(config, metrics, &rate_limits, &pseudonym_key, route)
        };
        let (mut entries, mut routes) = (Vec::new(), Vec::new());
        for route in &config.routes {
            // A template that does not parse was refused by `check`; here it simply never matches.
            let Ok(template) = Template::parse(&route.template) else { continue };
            entries.push((route.method.clone(), template.clone()));
            routes.push(Arc::new(compile(Compiled::Matched(route, template))));
        }
        Self {
            limits: config.server.limits,
            path: config.server.path,
            timeouts: config.upstream.timeouts,
            request_id_header: header_name(&config.request_id_header),
            trust: config.tracing.trust,
            propagators: config.tracing.propagators,
            sampling: Sampling::compile(config, previous.map(|plan| &plan.sampling)),
            rewritten_host: (config.upstream.host_header == HostHeader::Rewrite)
                .then(|| authority(config)),
            authority: authority(config),
            cache_fields: Fields::new(config.cache.headers.iter().map(|name| &**name)),
            security_headers: SecurityHeaders::compile(&config.security),
            request_start: config.log.request_start,
            log_headers: Some(&config.log.headers[..])
                .filter(|some| !some.is_empty())
                .map(Arc::from),
            removed_trailers: claims::removed_trailers(config),
            removed_fields: claims::removed_fields(config),
            csrf_trusted_origins: config.security.csrf_trusted_origins.clone().into(),
            unmatched_action: config.security.unmatched,
            server_timing: config.server.server_timing,
            genai: config.genai,
            errors_type_base: config.errors_type_base.clone(),
            error_classes: ErrorClasses::compile(config, metrics),
            audit_mode: config.audit.mode,
            audit_deadline: config.audit.deadline,
            queue_timeout: config.overload.queue_timeout,
            inspect: config.inspect,
            operations: config.openapi.as_ref().map(|document| {
                Operations::compile(document, |path| compile(Compiled::Described(path)))
            }),
            unmatched: Arc::new(compile(Compiled::Unmatched)),
            invalid: Arc::new(compile(Compiled::Invalid)),
            words: words(config),
            believes_identities: matches!(config.identity.source, IdentitySource::Headers),
            trusted: config.server.trusted_proxies.clone(),
            table: Table::new(entries),
            routes,
            rate_limits,
            pseudonym_key,
        }
    }

    /// The policy for a canonical path: the first route that matches, else `unmatched`.
    pub fn find(&self, method: &Method, path: &str) -> &Arc<RoutePlan> {
        self.table
            .find(method, path)
            .and_then(|index| self.routes.get(index))
            .unwrap_or(&self.unmatched)
    }

    /// Whether a route or an operation knows a method and a canonical path.
    pub fn knows(&self, method: &Method, path: &str) -> bool {
        self.find(method, path).template.is_some()
            || operations::find(self, method, path).operation().is_some()
    }

    /// The methods for which a canonical path is known, as `Allow` has them; `None` where it is not.
    /// Methods that are denied are not told of.
    pub fn allow(&self, method: &Method, path: &str) -> Option<HeaderValue> {
        let is_open = |index: &usize| {
            self.routes.get(*index).is_some_and(|route| route.action != Action::Deny)
        };
        let routes = self.table.all(path).filter(is_open).filter_map(|i| self.table.method(i));
        let documented = match operations::find(self, method, path) {
            Known::MethodNotAllowed(allow, _) => allow.to_str().unwrap_or_default(),
            Known::Operation(..) | Known::Unknown => "",
        };
        let mut methods: Vec<&str> = Vec::new();
        for method in routes.map(Method::as_str).chain(documented.split(", ")) {
            if !method.is_empty() && !methods.contains(&method) {
                methods.push(method);
            }
        }
        if methods.is_empty() { None } else { HeaderValue::try_from(methods.join(", ")).ok() }
    }

    /// Whether somebody relies on seeing every request to this path.
    pub fn has_policy(&self, method: &Method, path: &str) -> bool {
        let route = self.find(method, path);
        let known = operations::find(self, method, path);
        let is_judged = known.operation().is_some() && route.gates.validation == Mode::Enforce;
        let is_denied = self.denies_unmatched() && !self.knows(method, path);
        route.has_policy() || is_judged || is_denied
    }

    /// Whether only what is known is passed on.
    pub fn denies_unmatched(&self) -> bool {
        self.unmatched_action == Unmatched::Deny
    }

    /// How many routes there are.
    pub fn route_count(&self) -> usize {
        self.routes.len()
    }

    /// Whether a peer's `X-Forwarded-*`, request id and trace context are believed.
    pub fn trusts(&self, ip: IpAddr) -> bool {
        !self.trusted.is_empty() && forwarded::is_trusted(ip, &self.trusted)
    }

    /// Whether a peer's trace context is believed. `is_trusted` is what [`Self::trusts`] says of it.
    pub fn believes(&self, is_trusted: bool) -> bool {
        match self.trust {
            Trust::Always => true,
            Trust::TrustedProxies => is_trusted,
            Trust::Never => false,
        }
    }

    /// The client's address, as far as it is to be believed.
    pub fn client_ip(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if self.trusted.is_empty() {
            return peer;
        }
        forwarded::client_ip(peer, headers, &self.trusted)
    }
}

impl RoutePlan {
    /// Whether somebody relies on this route to see every request to its path: it denies, asks who
    /// calls, limits, audits or captures.
    pub fn has_policy(&self) -> bool {
        self.action == Action::Deny
            || self.gates.identity == Need::Required
            || self.gates.csrf == Mode::Enforce
            || !self.limits.is_empty()
            || self.audit.is_some()
            || self.path_captures.is_some()
            || self.captures.is_some()
            || self.head_captures.is_some()
            || self.answer_captures.is_some()
    }
}

enum Compiled<'a> {
    Matched(&'a Route, Template),
    Unmatched,
    /// No route knows the path, but the API's document does.
    Described(&'a openapi::Path),
    Invalid,
}

/// What the configuration names in paths.
fn words(config: &Config) -> Words {
    let described = config.openapi.iter().flat_map(|document| document.paths());
    let described = described.map(|path| path.template.as_str());
    Words::of(config.routes.iter().map(|route| &*route.template).chain(described))
}

fn compile_route(
    config: &Config,
    metrics: &Metrics,
    limits: &Limits,
    key: &PseudonymKey,
    compiled: Compiled<'_>,
) -> RoutePlan {
    let (route, template, name) = match compiled {
        Compiled::Matched(route, template) => (Some(route), Some(template), route.template.clone()),
        Compiled::Unmatched => (None, None, RouteNames::UNMATCHED.into()),
        Compiled::Described(path) => (None, Some(path.template.clone()), path.name.clone()),
        Compiled::Invalid => (None, None, RouteNames::INVALID.into()),
    };
    let gates = route.map_or(config.default_gates, |route| route.gates);
    let limits = limits.resolve(
        route.map_or(&config.default_rate_limits, |route| &route.rate_limits),
        gates.rate_limits,
    );
    let names = Arc::new(RouteNames {
        policy: Policy {
            identity: gates.identity.as_str(),
            csrf: gates.csrf.as_str(),
            validation: gates.validation.as_str(),
            limits: limits.shown(),
        },
        template: name,
        name: route.map(|route| route.name.clone()),
        span: route.and_then(|route| route.span.clone()),
        audit: route.and_then(|route| route.audit.clone()),
    });
    let captures: Vec<&Capture> = route
        .map_or(&[][..], |route| &route.captures)
        .iter()
        .filter_map(|name| config.captures.iter().find(|capture| capture.name == *name))
        .collect();
    let bodies = |is_there: fn(&Place) -> bool| {
        let there = captures.iter().copied().filter(|capture| is_there(&capture.place));
        Some(Captures::compile(there, key)).filter(|captures| !captures.is_empty())
    };
    let labels = captures.iter().filter(|capture| capture.metric);
    let labels: Vec<_> = labels.map(|capture| capture.name.clone()).collect();
    let answer_captures = bodies(|place| matches!(place, Place::ResponseBody(_)));
    let reads_errors = config.error_classes.iter().any(|class| class.body.is_some());
    RoutePlan {
        template,
        is_configured: route.is_some(),
        action: route.map_or(Action::Forward, |route| route.action),
        max_request_body: route
            .and_then(|route| route.max_request_body)
            .unwrap_or(config.server.limits.max_request_body),
        response_header: route
            .and_then(|route| route.response_header)
            .or(config.upstream.timeouts.response_header),
        limits,
        gates,
        path_captures: PathFacts::compile(captures.iter().copied(), key),
        captures: bodies(|place| matches!(place, Place::RequestBody(_))),
        head_captures: HeaderFacts::compile(captures.iter().copied(), key),
        reads_answers: answer_captures.is_some() || reads_errors,
        answer_captures,
        audit: names.audit.as_deref().and_then(Event::parse),
        metrics: metrics.route_with(&names, &labels),
        names,
    }
}

/// The configured key, else the one that the process has made for itself.
fn pseudonym_key(config: &Config, previous: Option<&Plan>) -> PseudonymKey {
    let kept = || previous.map(|plan| plan.pseudonym_key.clone());
    config.pseudonym_key.clone().or_else(kept).unwrap_or_else(PseudonymKey::random)
}

fn header_name(name: &str) -> HeaderName {
    if hop::REQUEST_ID == name {
        return hop::REQUEST_ID; // Its clones count no references, which all workers would share.
    }
    HeaderName::from_bytes(name.as_bytes()).unwrap_or(hop::REQUEST_ID)
}

fn authority(config: &Config) -> HeaderValue {
    HeaderValue::from_str(&config.upstream.authority)
        .unwrap_or_else(|_| HeaderValue::from_static("localhost"))
}
