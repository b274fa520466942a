//! The gates of a request in the order in which it meets them, one line each.

use super::upstream;
use crate::config::Loaded;
use crate::config::model::{
    Action, AuditMode, Cost, IdentitySource, LimitKey, Mode, Need, Place, RateLimit, Take,
};
use crate::proxy::explain::{Gate, Trial};
use crate::proxy::limits::Stage;
use crate::record::Refusal;

/// Everything about one request.
#[derive(Debug)]
pub(super) struct Gates {
    /// The route, by template and name.
    pub(super) route: String,
    /// What the client would get, as far as the head decides.
    pub(super) answer: String,
    /// In the order of the walk.
    pub(super) all: Vec<Line>,
}

/// One gate.
#[derive(Debug)]
pub(super) struct Line {
    /// Its name.
    pub(super) name: String,
    /// `enforce`, `shadow` or `off`; for identity `required`, `optional` or `none`.
    pub(super) mode: &'static str,
    /// `pass`, `refuse`, `would deny`, `depends` or `-`.
    pub(super) decision: &'static str,
    /// What it goes by.
    pub(super) facts: String,
    /// Where that is written.
    pub(super) source: &'static str,
}

/// What lines are made from.
struct Maker<'a> {
    loaded: &'a Loaded,
    trial: &'a Trial,
    /// The place of its route in `[[routes]]`.
    index: Option<usize>,
}

impl Gates {
    pub(super) fn of(loaded: &Loaded, trial: &Trial) -> Self {
        let names = &trial.route.names;
        let is_it = |name: &_| loaded.config.routes.iter().position(|route| route.name == *name);
        let index = names.name.as_ref().and_then(is_it);
        let maker = Maker { loaded, trial, index };
        let mut all = vec![maker.target()];
        if trial.path.is_ok() {
            all.push(maker.overload());
            all.extend(maker.limits(Stage::Door));
            all.extend([maker.action(), maker.length(), maker.csrf(), maker.identity()]);
            all.extend(maker.limits(Stage::Known));
            all.extend(maker.captures());
            all.push(maker.validation());
            all.extend(maker.limits(Stage::Body));
            all.extend([upstream::breaker(loaded), maker.audit(), upstream::pool(loaded)]);
        }
        let route = match &names.name {
            Some(name) if **name != *names.template => format!("{} ({name})", names.template),
            _ => names.template.to_string(),
        };
        Self { route, answer: answer(trial), all }
    }
}

fn answer(trial: &Trial) -> String {
    match trial.refusals.first() {
        Some((_, refusal)) => {
            let error = refusal.error_type();
            format!("{} {} ({})", refusal.status(), refusal.title(), error.as_str())
        }
        None => "the upstream's, if the gates that depend on more than the head let it pass".into(),
    }
}

impl Maker<'_> {
    /// What a gate has decided about the head, but for these refusals, which another line shows.
    fn decided(&self, gate: Gate, is_mine: impl Fn(Refusal) -> bool) -> &'static str {
        let is_refused = |(by, why): &(Gate, Refusal)| *by == gate && is_mine(*why);
        if self.trial.refusals.iter().any(is_refused) { "refuse" } else { "pass" }
    }

    /// Where a key of the route, or of the defaults for all routes, is written.
    fn source(&self, key: &str) -> &'static str {
        let written = &self.loaded.written;
        if self.index.is_some_and(|route| written.route_has(route, key)) {
            "the route"
        } else if written.has("route_defaults", key) {
            "route_defaults"
        } else {
            "default"
        }
    }

    fn target(&self) -> Line {
        let asked = "one canonical path, and nothing that two readers could take for two requests";
        let facts = self.trial.broken.unwrap_or(asked);
        Line {
            name: "target".into(),
            mode: "enforce",
            decision: self.decided(Gate::Target, |_| true),
            facts: facts.into(),
            source: if self.loaded.written.has("server", "path") {
                "server.path"
            } else {
                "default"
            },
        }
    }

    fn overload(&self) -> Line {
        let overload = &self.loaded.config.overload;
        let facts = format!(
            "at most {} in flight, a wait of {} ms",
            overload.max_in_flight,
            overload.queue_timeout.as_millis()
        );
        let is_written = self.loaded.written.has("overload", "max_in_flight");
        let source = if is_written { "overload" } else { "default" };
        Line { name: "overload".into(), mode: "enforce", decision: "depends", facts, source }
    }

    /// The limits that are asked at a stage.
    fn limits(&self, stage: Stage) -> Vec<Line> {
        let limits = &self.loaded.config.rate_limits;
        let line = |slot: &crate::proxy::limits::Slot| {
            let name = slot.limiter().name();
            let limit = limits.iter().find(|limit| limit.name == *name);
            let facts = limit.map(|limit| quota(limit, stage) + &self.unknown(limit));
            Line {
                name: format!("limit {name}"),
                mode: slot.mode().as_str(),
                decision: "depends",
                facts: facts.unwrap_or_default(),
                source: self.source("rate_limits"),
            }
        };
        self.trial.route.limits.at(stage).iter().map(line).collect()
    }

    /// The parts of a limit's key that nobody knows of this caller.
    fn unknown(&self, limit: &RateLimit) -> String {
        let identity = self.trial.identity.as_ref();
        let is_known = |part: &&LimitKey| match part {
            LimitKey::User => identity.is_some_and(|identity| identity.user().is_some()),
            LimitKey::Tenant => identity.is_some_and(|identity| identity.tenant().is_some()),
            LimitKey::Claim(name) => identity.is_some_and(|it| it.claim(name).is_some()),
            _ => true,
        };
        let unknown = limit.key.iter().filter(|part| !is_known(part));
        let unknown: Vec<_> = unknown.map(key_part).collect();
        if unknown.is_empty() || self.trial.needs_keys {
            return String::new();
        }
        format!("; this caller has no {}", unknown.join(", no "))
    }

    fn action(&self) -> Line {
        let is_refused = |refusal| self.trial.refusals.contains(&(Gate::Head, refusal));
        let (facts, source) = match self.trial.route.action {
            Action::Deny => ("denied: 403", self.source("action")),
            Action::Forward if is_refused(Refusal::NotFound) => {
                ("no route or operation knows it: 404", "security.unmatched")
            }
            Action::Forward if is_refused(Refusal::MethodNotAllowed) => {
                ("its path is known, its method is not: 405", "security.unmatched")
            }
            Action::Forward => ("forwarded", self.source("action")),
        };
        let decision = self.decided(Gate::Head, |why| why != Refusal::BodyTooLarge);
        Line { name: "action".into(), mode: "enforce", decision, facts: facts.into(), source }
    }

    fn length(&self) -> Line {
        let facts = format!("a body of at most {} bytes", self.trial.route.max_request_body);
        let decision = self.decided(Gate::Head, |why| why == Refusal::BodyTooLarge);
        let is_own = self
            .index
            .is_some_and(|route| self.loaded.written.route_has(route, "max_request_body"));
        let source = if is_own { "the route" } else { "server.limits" };
        Line { name: "length".into(), mode: "enforce", decision, facts, source }
    }

    fn csrf(&self) -> Line {
        let csrf = self.trial.route.gates.csrf;
        let facts = if self.trial.is_foreign {
            "a page of another origin asks for what may have effects"
        } else {
            "no page of another origin asks for what may have effects"
        };
        let decision = decision(csrf, self.trial.is_foreign);
        let (name, source) = ("csrf".to_owned(), self.source("csrf"));
        Line { name, mode: csrf.as_str(), decision, facts: facts.to_owned(), source }
    }

    fn identity(&self) -> Line {
        let mode = self.trial.route.gates.identity.as_str();
        let (decision, facts) = self.caller();
        let source = self.source("identity");
        Line { name: "identity".into(), mode, decision, facts, source }
    }

    /// What is decided about who calls, and why.
    fn caller(&self) -> (&'static str, String) {
        let source = &self.loaded.config.identity.source;
        if self.trial.route.gates.identity == Need::None {
            return ("-", "nobody looks".into());
        }
        if matches!(source, IdentitySource::Mtls) {
            return ("depends", "the client's certificate says who calls".into());
        }
        if self.trial.needs_keys {
            return ("depends", "the keys are fetched by a running sidecar, not here".into());
        }
        let refusal = self.trial.refusals.iter().find(|(by, _)| *by == Gate::Identity);
        if let Some((_, refusal)) = refusal {
            let (title, error) = (refusal.title(), refusal.error_type());
            let check = self.trial.rejection.map(|check| format!(": {}", check.as_str()));
            let asked = match source {
                IdentitySource::Headers => ", as asked from this machine",
                _ => "",
            };
            let facts = format!("{title} ({}{}){asked}", error.as_str(), check.unwrap_or_default());
            return ("refuse", facts);
        }
        match (source, &self.trial.identity) {
            (IdentitySource::None, _) => ("pass", "`identity.source` is none".into()),
            (_, Some(identity)) => {
                let tenant = if identity.tenant().is_some() { "a tenant" } else { "no tenant" };
                ("pass", format!("verified: a user and {tenant}"))
            }
            (IdentitySource::Jwt(_), None) => ("pass", "carries no bearer token".into()),
            (IdentitySource::Headers | IdentitySource::Mtls, None) => {
                ("depends", "a trusted proxy may say who calls".into())
            }
        }
    }

    /// What is read of bodies, paths and heads.
    fn captures(&self) -> Option<Line> {
        let config = &self.loaded.config;
        let names = &config.routes.get(self.index?)?.captures;
        let told = names.iter().filter_map(|name| {
            let capture = config.captures.iter().find(|capture| capture.name == *name)?;
            Some(format!("{name}: {} of {}", taken(&capture.take), place(&capture.place)))
        });
        let told: Vec<_> = told.collect();
        let reads_body = self.trial.route.captures.is_some();
        let bound = format!("; a body of up to {} bytes is read first", config.inspect.max_body);
        let facts = told.join(", ") + if reads_body { &bound } else { "" };
        (!told.is_empty()).then(|| Line {
            name: "captures".into(),
            mode: "enforce",
            decision: if reads_body { "depends" } else { "pass" },
            facts,
            source: "the route",
        })
    }

    fn validation(&self) -> Line {
        let validation = self.trial.route.gates.validation;
        let (decision, facts) = match &self.trial.operation {
            None => ("-", "no operation of a document".to_owned()),
            Some(plan) => {
                let id = plan.operation.id.as_deref().unwrap_or("an operation without an id");
                let of = plan.template.as_str();
                let is_refused =
                    self.trial.would_refuse || self.decided(Gate::Validation, |_| true) == "refuse";
                let decision = match decision(validation, is_refused) {
                    "pass" if plan.operation.body().is_some() => "depends",
                    decided => decided,
                };
                let breaks = self.trial.violations.iter().map(|violation| {
                    let (place, rule) = (violation.place.as_str(), violation.rule.as_str());
                    format!("; {place} {} breaks `{rule}`", violation.pointer)
                });
                let breaks: String = breaks.collect();
                let most = self.loaded.config.inspect.max_body;
                let body = match plan.operation.body() {
                    Some(_) => {
                        format!(", then a JSON body of up to {most} bytes (`inspect.max_body`)")
                    }
                    None => String::new(),
                };
                (decision, format!("{id} ({of}): parameters{body}{breaks}"))
            }
        };
        let (mode, source) = (validation.as_str(), self.source("validation"));
        Line { name: "validation".into(), mode, decision, facts, source }
    }

    fn audit(&self) -> Line {
        let audit = &self.loaded.config.audit;
        let (mode, decision, facts) = match &self.trial.route.names.audit {
            None => ("off", "-", "not audited".to_owned()),
            Some(event) => {
                let mode = match audit.mode {
                    AuditMode::Strict => "enforce",
                    AuditMode::BestEffort => "shadow",
                };
                let wait = audit.deadline.as_millis();
                (mode, "depends", format!("{event}, durable within {wait} ms"))
            }
        };
        Line { name: "audit".into(), mode, decision, facts, source: self.source("audit") }
    }
}

/// What a gate in this mode makes of a request that it is against, or not.
fn decision(mode: Mode, is_against: bool) -> &'static str {
    match (mode, is_against) {
        (Mode::Off, _) => "-",
        (_, false) => "pass",
        (Mode::Shadow, true) => "would deny",
        (Mode::Enforce, true) => "refuse",
    }
}

fn taken(take: &Take) -> &'static str {
    match take {
        Take::Value(_) => "a listed value",
        Take::Length => "the length",
        Take::Number => "the number",
        Take::Hmac => "a pseudonym",
    }
}

fn place(place: &Place) -> String {
    match place {
        Place::Path(name) => format!("path:{name}"),
        Place::RequestBody(pointer) => format!("request.body:{pointer}"),
        Place::ResponseHeader(name) => format!("response.header:{name}"),
        Place::ResponseBody(pointer) => format!("response.body:{pointer}"),
    }
}

/// A part of a limit's key, as the configuration names it.
fn key_part(part: &LimitKey) -> String {
    match part {
        LimitKey::Ip => "ip".to_owned(),
        LimitKey::Route => "route".to_owned(),
        LimitKey::Header(name) => format!("header:{name}"),
        LimitKey::User => "user".to_owned(),
        LimitKey::Tenant => "tenant".to_owned(),
        LimitKey::Claim(name) => format!("claim:{name}"),
        LimitKey::Capture(name) => format!("capture:{name}"),
    }
}

/// A limit in a few words: how much, for whom, and when it is asked.
fn quota(limit: &RateLimit, stage: Stage) -> String {
    let key: Vec<_> = limit.key.iter().map(key_part).collect();
    let when = match stage {
        Stage::Door => "with the head alone",
        Stage::Known => "once the caller is known",
        Stage::Body => "once the body was looked into",
    };
    let cost = match &limit.cost {
        Cost::Request => String::new(),
        Cost::Capture { name, .. } => format!(", costs what {name} says"),
    };
    let (count, per) = (limit.rate.count, limit.rate.per.as_secs_f64());
    let tiers = if limit.tiers.is_empty() { "" } else { ", by tier" };
    format!(
        "{count} per {per} s, burst {}{tiers}, by {}{cost}, {when}",
        limit.burst,
        key.join(" + ")
    )
}
