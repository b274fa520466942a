//! One request and its answer: begun before the first `.await`, ended exactly once.
//!
//! An [`Exchange`] gathers what happens on the way. It ends when the last byte of the answer has been
//! handed to the client's connection, or when whoever holds it drops it; either way one
//! [`Record`](crate::record::Record) leaves, with the right ending. `Drop` builds the record and emits
//! it; it decides nothing beyond naming what it interrupts.
//!
//! It does not answer, forward or judge.

mod ending;
mod stop;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::request::Parts;
use http::{HeaderValue, Version};
use tokio::time::Instant;

use super::identity::Identity;
use super::limits::Due;
use super::limits::store::Call;
use super::operations::OperationPlan;
use super::overload::{Holding, Permit};
use super::peer::{Busy, Link, Peer};
use super::plan::{Plan, RoutePlan};
use super::request_body::{Meter, State};
use super::survey::Survey;
use super::{Proxy, request_id, trace};
use crate::audit::Evidence;
use crate::http::ids::{ClientRequestId, RequestId};
use crate::http::method::Method;
use crate::http::sanitise::UserAgent;
use crate::http::shape::PathShape;
use crate::http::traceparent::SpanId;
use crate::record::{
    Cache, Caller, ConfigName, Fact, LoggedHeader, Outcome, Phase, Refusal, Rejection, Step,
    StoreCall, Stream, Trace, Trail,
};
use crate::telemetry::log::{Entry, Incoming};
use crate::telemetry::metrics::{ActiveGuard, Decision, Gate};
use crate::telemetry::sinks::audit::Seat;

pub use stop::Stop;

/// A running exchange. See the module.
#[derive(Debug)]
pub struct Exchange {
    proxy: Arc<Proxy>,
    /// The plan this exchange lives under, from begin to end.
    pub plan: Arc<Plan>,
    /// The policy that applies; `unmatched` until [`Self::enter`].
    pub route: Arc<RoutePlan>,
    /// Where it is; says what a dropped exchange was doing.
    pub phase: Phase,
    /// The id as a header value, for the upstream and the client.
    pub request_id: HeaderValue,
    /// Ids and head decision.
    pub trace: Trace,
    /// Who called, as telemetry may show it.
    pub caller: Caller,
    /// Why it is refused for who sent it.
    pub rejection: Option<Rejection>,
    /// The `OpenAPI` operation the request is one of.
    pub operation: Option<Arc<OperationPlan>>,
    /// How far it has come, and what the gates said.
    pub trail: Trail,
    /// What a gate in shadow mode would have refused; the first one that would.
    pub would_refuse: Option<Refusal>,
    /// Captured facts: the request's, then the answer's.
    pub facts: Vec<Fact>,
    /// The captures of the request that should have given a fact, and could not.
    pub unfit: Vec<ConfigName>,
    /// The client's address, as far as it is to be believed.
    pub client_ip: IpAddr,
    /// Who the request comes from; `None` until that is verified, and for who comes without a name.
    pub identity: Option<Arc<Identity>>,
    /// The limit that refused, or would have.
    pub limited_by: Option<ConfigName>,
    /// What the answer's cache headers said.
    pub cache: Option<Cache>,
    /// The class of the upstream's error, as far as it is known.
    pub class: Option<ConfigName>,
    /// The calls to the shared rate-limit store.
    pub store_calls: Vec<StoreCall>,
    /// `Some` once the answer is known to be a stream.
    pub stream: Option<Box<Stream>>,
    /// Bytes of the answer's body handed on.
    pub bytes_out: u64,
    /// The status the client gets.
    pub status: Option<u16>,
    /// What it holds of the permits of all.
    pub permit: Permit,
    /// What its tenant holds with it.
    pub holding: Option<Holding>,
    /// What limits reserved for it, to be settled when it ends.
    pub dues: Vec<Due>,
    /// The place reserved in the audit.
    pub seat: Option<Seat>,
    /// The canonical path, kept only where the audit will want it.
    pub audit_path: Option<Evidence>,
    id: RequestId,
    client_request_id: Option<ClientRequestId>,
    began: Instant,
    started: SystemTime,
    first_byte: Option<Duration>,
    handed_on: Option<Duration>,
    leg: Option<Leg>,
    has_body: bool,
    meter: Option<Arc<Meter>>,
    method: Method,
    scheme: &'static str,
    protocol: &'static str,
    shape: Option<PathShape>,
    user_agent: Option<UserAgent>,
    headers: Box<[LoggedHeader]>,
    is_announced: bool,
    link: Arc<Link>,
    busy: Option<Busy>,
    _active: ActiveGuard,
}

#[derive(Clone, Copy, Debug)]
struct Leg {
    offset: Duration,
    to_head: Option<Duration>,
    status: Option<u16>,
    answered: Option<Duration>,
}

impl Exchange {
    /// Begins an exchange for a parsed head. Everything a record needs to make sense is known after
    /// this; nothing here waits or fails.
    pub fn begin(
        proxy: &Arc<Proxy>,
        plan: Arc<Plan>,
        peer: &Peer,
        head: &Parts,
        survey: &mut Survey,
        has_body: bool,
    ) -> Box<Self> {
        let (began, started) = (Instant::now(), SystemTime::now());
        let (id, client_request_id) = request_id::assign(survey, started);
        let method = Method::from(&head.method);
        // Boxed: it is half a kilobyte, and changes hands several times before it ends.
        Box::new(Self {
            route: Arc::clone(&plan.invalid),
            phase: Phase::Head,
            request_id: request_id::header_value(&id),
            trace: trace::open(&plan, survey, &head.headers),
            caller: Caller::default(),
            rejection: None,
            operation: None,
            trail: Trail::default(),
            would_refuse: None,
            facts: Vec::new(),
            unfit: Vec::new(),
            client_ip: plan.client_ip(peer.ip, &head.headers),
            identity: None,
            limited_by: None,
            cache: None,
            class: None,
            store_calls: Vec::new(),
            stream: None,
            bytes_out: 0,
            status: None,
            permit: Permit::None,
            holding: None,
            dues: Vec::new(),
            seat: None,
            audit_path: None,
            id,
            client_request_id,
            began,
            started,
            first_byte: None,
            handed_on: None,
            leg: None,
            has_body,
            meter: None,
            method,
            scheme: peer.scheme,
            protocol: protocol(head.version),
            shape: None,
            user_agent: survey.user_agent.take(),
            headers: std::mem::take(&mut survey.logged),
            is_announced: false,
            busy: Some(peer.link.begin()),
            link: Arc::clone(&peer.link),
            _active: proxy.telemetry.metrics().active(method),
            proxy: Arc::clone(proxy),
            plan,
        })
    }

    /// Notes the route the request belongs to. `path` is the canonical path.
    pub fn enter(&mut self, route: &Arc<RoutePlan>, path: &str) {
        self.route = Arc::clone(route);
        if route.audit.is_some() {
            self.audit_path = Some(Evidence::of(path));
        }
        if let (Some(captures), Some(template)) = (&route.path_captures, &route.template) {
            (self.facts, self.unfit) = captures.read(template, path);
        }
        if route.template.is_none() {
            self.shape = Some(self.plan.words.shape(path));
        }
    }

    /// Says in the log that it has begun, where that is wanted; once, as soon as it is known who calls,
    /// or when it ends before.
    pub fn announce(&mut self) {
        if self.plan.request_start && !self.is_announced {
            self.is_announced = true;
            self.proxy.telemetry.log().say(&Entry::Incoming(Arc::new(self.beginning())));
        }
    }

    fn beginning(&self) -> Incoming {
        Incoming {
            at: self.started,
            request_id: self.id.clone(),
            trace: (self.trace.trace_id, self.trace.server_span),
            sampled: self.trace.sampled,
            method: self.method,
            route: Arc::clone(&self.route.names),
            shape: self.shape.clone(),
            caller: self.caller.clone(),
            user_agent: self.user_agent.clone(),
        }
    }

    /// Keeps the canonical path for the audit, also where the route itself is not audited.
    pub fn note_path(&mut self, path: &str) {
        self.audit_path = Some(Evidence::of(path));
    }

    /// Notes the meter of the request body.
    pub fn measure(&mut self, meter: &Arc<Meter>) {
        self.meter = Some(Arc::clone(meter));
    }

    /// Notes that the upstream leg begins now.
    pub fn depart(&mut self, now: Instant) {
        self.phase = Phase::Upstream;
        self.trail.reached = Step::Upstream;
        let offset = now.saturating_duration_since(self.began);
        self.leg = Some(Leg { offset, to_head: None, status: None, answered: None });
    }

    /// Notes that the upstream's head is here, or that there will be none.
    pub fn arrive(&mut self, status: Option<u16>) {
        let now = self.began.elapsed();
        if let Some(leg) = &mut self.leg {
            leg.to_head = Some(now.saturating_sub(leg.offset));
            leg.answered = Some(now);
            leg.status = status;
        }
    }

    /// Notes that the first byte of the answer's body has been handed on.
    pub fn note_first_byte(&mut self, now: Instant) {
        if self.first_byte.is_none() {
            let at = now.saturating_duration_since(self.began);
            self.first_byte = Some(at);
            self.handed_on.get_or_insert(at);
        }
    }

    /// Notes that the answer's head has been handed on: its body is waited for. `now` is asked only the
    /// first time.
    pub fn note_handed_on(&mut self, now: impl FnOnce() -> Instant) {
        let began = self.began;
        self.handed_on.get_or_insert_with(|| now().saturating_duration_since(began));
    }

    /// Notes a call to the shared rate-limit store.
    pub fn note_store_call(&mut self, call: Call) {
        self.store_calls.push(StoreCall {
            span: SpanId::generate(),
            offset: call.began.saturating_duration_since(self.began),
            duration: call.took,
            ending: call.ending,
        });
    }

    /// How long it has waited for the shared rate-limit store.
    pub fn waited_for_store(&self) -> Duration {
        self.store_calls.iter().map(|call| call.duration).sum()
    }

    /// What the request's body makes of the exchange, where it broke.
    pub fn broken_request(&self) -> Option<Outcome> {
        match self.meter.as_ref()?.state() {
            State::TooLarge => Some(Outcome::Refused(Refusal::BodyTooLarge)),
            State::Malformed => Some(Outcome::Refused(Refusal::BadRequest)),
            State::Gone => Some(Outcome::Gone { phase: self.phase }),
            State::Idle | State::Waiting | State::Complete => None,
        }
    }

    /// Whether the client was never asked for the body it announced.
    pub fn is_body_untouched(&self) -> bool {
        let is_idle = |meter: &Arc<Meter>| meter.state() == State::Idle && meter.bytes() == 0;
        self.has_body && self.meter.as_ref().is_some_and(is_idle)
    }

    /// The house this exchange is in.
    pub fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// When the head was complete.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// From the start of the upstream leg to the upstream's head, if it is here.
    pub fn upstream_time(&self) -> Option<Duration> {
        self.leg.and_then(|leg| leg.to_head)
    }

    /// The line to the client's connection.
    pub fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// The id of this exchange.
    pub fn id(&self) -> &RequestId {
        &self.id
    }

    /// The method, from the closed set.
    pub fn method(&self) -> Method {
        self.method
    }

    /// Whether the client came over TLS.
    pub fn is_tls(&self) -> bool {
        self.scheme == "https"
    }

    /// Notes that a gate refused the request, or would have. Returns whether it is the first of its
    /// route.
    pub fn note_gate(&self, gate: Gate, decision: Decision) -> bool {
        self.proxy.telemetry.metrics().gate_decided(gate, decision, &self.route.names.template)
    }

    /// The version the client speaks, as spans name it: `1.0`, `1.1`, `2`.
    pub fn protocol(&self) -> &'static str {
        self.protocol
    }

    /// When the exchange began, on the wall clock.
    pub fn started(&self) -> SystemTime {
        self.started
    }

    /// The sanitised user agent.
    pub fn user_agent(&self) -> Option<&UserAgent> {
        self.user_agent.as_ref()
    }

    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        self.busy.is_none()
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
}
