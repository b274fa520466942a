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
use http::Method;
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http_body::{Body, Frame, SizeHint};

use super::exchange::{Exchange, Stop};
use super::limits::{Stage, Verdict};
use super::operations::{self, OperationPlan};
use super::peer::Peer;
use super::plan::RoutePlan;
use super::survey::Survey;
use super::{Proxy, admission, screen, target, validation};
use crate::openapi::Violation;
use crate::record::Refusal;

/// What was decided about a request.
#[derive(Debug)]
pub struct Trial {
    /// Its canonical path, or why it has none.
    pub path: Result<String, Refusal>,
    /// The policy it meets.
    pub route: Arc<RoutePlan>,
    /// The operation of the API's document, if one is loaded and knows it.
    pub operation: Option<Arc<OperationPlan>>,
    /// What does not fit that operation, where validation refuses for it.
    pub violations: Vec<Violation>,
    /// What validation would refuse for, were it enforced.
    pub would_refuse: Option<Refusal>,
    /// What the gates refuse, in the order in which they are asked. The first one is the answer.
    pub refusals: Vec<(Gate, Refusal)>,
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
    /// The operation's parameters, and what the head says of a body.
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
        Err(refusal) => {
            let route = Arc::clone(&exchange.route);
            return Trial {
                path: Err(refusal),
                route,
                operation: None,
                violations: Vec::new(),
                would_refuse: None,
                refusals: vec![(Gate::Target, refusal)],
            };
        }
    };
    let route = plan.find(&head.method, target.path());
    let known = operations::find(&plan, &head.method, target.path());
    exchange.enter(known.policy(route), target.path());
    exchange.operation = known.operation().cloned();
    let (mut refusals, mut violations) = (Vec::new(), Vec::new());
    let mut note = |gate, judged: Result<(), Stop>| match judged {
        Err(Stop::Refused(refusal, _)) => refusals.push((gate, refusal)),
        Err(Stop::Invalid(found)) => {
            refusals.push((gate, Refusal::SchemaViolation));
            violations.extend(found);
        }
        Err(Stop::Failed(_) | Stop::Gone | Stop::Panicked) | Ok(()) => {}
    };
    note(Gate::Target, target.judge(&plan, &head.method).map_err(Stop::from));
    let mut verdict = Verdict::default();
    let door = admission::admit(Stage::Door, &mut exchange, &head.headers, &mut verdict).await;
    note(Gate::Door, door);
    note(Gate::Head, screen::judge(&exchange, &body).map_err(Stop::from));
    let has_body = has_body || takes_body(&head.method);
    let fits = validation::judge_head(&mut exchange, head, target.path(), has_body);
    note(Gate::Validation, fits.map(drop));
    Trial {
        path: Ok(target.path().to_owned()),
        route: Arc::clone(&exchange.route),
        operation: exchange.operation.clone(),
        violations,
        would_refuse: exchange.would_refuse,
        refusals,
    }
}

/// Whether a request of this method is taken to have a body, also where no length was given.
fn takes_body(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
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
