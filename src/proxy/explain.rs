//! What the gates would decide about a request that nobody has sent.
//!
//! It is walked through the stages of the [pipeline](super::pipeline), on an exchange of its own, as far
//! as its head decides; nothing is connected to, no body is read, and nobody is told. Where the
//! pipeline stops at the first refusal, this goes on: all of them are worth knowing.

use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http_body::{Body, Frame, SizeHint};

use super::exchange::{Exchange, Stop};
use super::identity::{Identity, Sender};
use super::limits::{Stage, Verdict};
use super::operations::OperationPlan;
use super::peer::Peer;
use super::plan::RoutePlan;
use super::survey::Survey;
use super::{Proxy, admission, csrf, identify, operations, preflight, screen, target, validation};
use crate::config::model::Mode;
use crate::http::method;
use crate::openapi::Violation;
use crate::record::{Refusal, Rejection};

/// What was decided about a request.
#[derive(Debug)]
pub struct Trial {
    /// Its canonical path, or why it has none.
    pub path: Result<String, Refusal>,
    /// The rule of HTTP that its head breaks.
    pub broken: Option<&'static str>,
    /// The policy it meets.
    pub route: Arc<RoutePlan>,
    /// The operation it is one of.
    pub operation: Option<Arc<OperationPlan>>,
    /// Who calls, where the token in its head holds.
    pub identity: Option<Arc<Identity>>,
    /// Why it is refused for who sent it, where it is.
    pub rejection: Option<Rejection>,
    /// Whether who sent it cannot be judged here: the keys are fetched by a running sidecar.
    pub needs_keys: bool,
    /// Whether a page of another origin asks, as the rule of `csrf` sees it.
    pub is_foreign: bool,
    /// What does not fit its operation, where validation refuses for it.
    pub violations: Vec<Violation>,
    /// Whether validation in shadow mode would refuse it.
    pub would_refuse: bool,
    /// What the gates refuse, in the order in which they are asked. The first one is the answer.
    pub refusals: Vec<(Gate, Refusal)>,
}

impl Trial {
    /// Of a request that has no canonical path: it meets nothing else.
    fn without_path(broken: target::Broken, route: &Arc<RoutePlan>) -> Self {
        let target::Broken { refusal, rule } = broken;
        Self {
            path: Err(refusal),
            broken: Some(rule),
            route: Arc::clone(route),
            operation: None,
            identity: None,
            rejection: None,
            needs_keys: false,
            is_foreign: false,
            violations: Vec::new(),
            would_refuse: false,
            refusals: vec![(Gate::Target, refusal)],
        }
    }
}

/// A gate that judges a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// The form of the target, and what may be on its routes.
    Target,
    /// The limits that need the head alone.
    Door,
    /// The route's action and the declared length.
    Head,
    /// Where a browser's request comes from.
    Csrf,
    /// Who calls, and for which tenant.
    Identity,
    /// The limits that need a caller.
    Known,
    /// The parameters of its operation.
    Validation,
}

/// Asks every stage that judges a head.
pub async fn judge(proxy: &Arc<Proxy>, head: &Parts) -> Trial {
    let plan = proxy.plan();
    let peer = Peer::new(IpAddr::V4(Ipv4Addr::LOCALHOST), "http", Arc::default());
    let mut survey = Survey::of(&head.headers, &plan, &peer);
    let body = Declared::by(head);
    let has_body = body.0 > 0;
    let mut exchange =
        Exchange::begin(proxy, Arc::clone(&plan), &peer, head, &mut survey, has_body);
    let target = match target::canonical(&plan, head) {
        Ok(target) => target,
        Err(broken) => return Trial::without_path(broken, &exchange.route),
    };
    let method = method::in_capitals(&head.method);
    let known = operations::find(&plan, method, target.path());
    let route = plan.find(method, target.path());
    exchange.enter(known.policy(route), target.path());
    exchange.operation = known.operation().cloned();
    let mut notes = Notes::default();
    let mut note = |gate, judged| notes.take(gate, judged);
    let judged = target.judge(&plan, method);
    note(Gate::Target, judged.map_err(|broken| broken.refusal.into()));
    let is_preflight = preflight::is_preflight(head, &survey, has_body);
    let mut verdict = Verdict::default();
    if !is_preflight {
        let door = admission::admit(Stage::Door, &mut exchange, &head.headers, &mut verdict).await;
        note(Gate::Door, door);
    }
    note(Gate::Head, screen::judge(&mut exchange, &head.method, &target, &body, is_preflight));
    note(Gate::Csrf, csrf::judge(&mut exchange, head, &survey).map_err(Stop::from));
    let identities = proxy.identities();
    if !is_preflight {
        if identities.are_asked_for(exchange.route.gates.identity) {
            let sender = Sender { is_trusted: survey.is_trusted, certified: None };
            let known = identify::identify(identities, &mut exchange, head, sender, target.path());
            note(Gate::Identity, known.await);
        }
        let known = admission::admit(Stage::Known, &mut exchange, &head.headers, &mut verdict);
        note(Gate::Known, known.await);
    }
    if let Some(operation) = known.operation()
        && !is_preflight
        && exchange.route.gates.validation != Mode::Off
    {
        let judged = validation::judge_parameters(&mut exchange, operation, head, target.path());
        note(Gate::Validation, judged);
    }
    Trial {
        path: Ok(target.path().to_owned()),
        broken: judged.err().map(|broken| broken.rule),
        route: Arc::clone(&exchange.route),
        operation: exchange.operation.clone(),
        is_foreign: csrf::is_foreign(&exchange, head, &survey),
        violations: notes.violations,
        identity: exchange.identity.clone(),
        rejection: exchange.rejection,
        needs_keys: notes.needs_keys,
        would_refuse: exchange.would_refuse.is_some(),
        refusals: notes.refusals,
    }
}

/// What the stages said.
#[derive(Default)]
struct Notes {
    refusals: Vec<(Gate, Refusal)>,
    violations: Vec<Violation>,
    needs_keys: bool,
}

impl Notes {
    fn take(&mut self, gate: Gate, judged: Result<(), Stop>) {
        match judged {
            // Files were read with the configuration, so only those of a URL can be missing.
            Err(Stop::Refused(Refusal::JwksUnavailable, _)) => self.needs_keys = true,
            Err(Stop::Refused(refusal, _)) => self.refusals.push((gate, refusal)),
            Err(Stop::Invalid(found)) => {
                self.refusals.push((gate, Refusal::SchemaViolation));
                self.violations.extend(found);
            }
            _ => {}
        }
    }
}

/// A body of which only the declared length is known.
struct Declared(u64);

impl Declared {
    fn by(head: &Parts) -> Self {
        let length = head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        Self(length.and_then(|length| length.trim().parse().ok()).unwrap_or(0))
    }
}

impl Body for Declared {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(None)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0)
    }
}
