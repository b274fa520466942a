//! Which trace an exchange belongs to, decided before anything else happens.
//!
//! A believed caller's context is continued, its decision kept (parent-based). Anybody else gets a
//! new trace with a link to what it sent, and no field of its context goes on in any form, so a client
//! can neither force nor suppress tracing, here or in the service behind. Of a believed caller the
//! fields of a configured propagator are read and written anew; of the others, those that we do not
//! speak pass as they came, but for baggage, which passes only where it is asked for.
//!
//! Where a caller sends several contexts, W3C is believed before B3, and B3's one header before its
//! several.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::plan::Plan;
use super::survey::Survey;
use crate::config::model::Propagators;
use crate::http::b3::{self, B3, Decision};
use crate::http::baggage;
use crate::http::traceparent::{SpanId, TraceId, TraceParent};
use crate::http::tracers;
use crate::http::tracestate::TraceState;
use crate::record::Trace;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// What applications tell each other along a trace.
pub const BAGGAGE: HeaderName = HeaderName::from_static("baggage");

/// What a field of a request head tells of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// `traceparent`.
    Parent,
    /// `tracestate`.
    State,
    /// `b3` or `X-B3-*`, also with underscores.
    B3,
    /// `baggage`.
    Baggage,
    /// One of a tracer that we never speak: `sentry-trace`, `x-datadog-…`.
    Foreign,
}

impl Field {
    /// The field of this name, if it is one. The first byte sorts out most others.
    pub fn of(name: &HeaderName) -> Option<Self> {
        let name = name.as_str();
        match (name.as_bytes().first()?, name) {
            (b't', "traceparent") => Some(Self::Parent),
            (b't', "tracestate") => Some(Self::State),
            (b'b', "baggage") => Some(Self::Baggage),
            (b'b' | b'x', name) if b3::is_field(name) => Some(Self::B3),
            _ if tracers::is_field(name) => Some(Self::Foreign),
            _ => None,
        }
    }

    /// Whether it goes on as it came, if its sender is believed.
    pub fn passes(self, spoken: Propagators) -> bool {
        match self {
            Self::Parent | Self::State => !spoken.tracecontext,
            Self::B3 => !spoken.speaks_b3(),
            Self::Baggage => spoken.baggage,
            Self::Foreign => true,
        }
    }
}

/// What a caller said of its trace.
#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    context: Option<(TraceId, SpanId)>,
    sampled: Option<bool>,
    is_random: bool,
}

impl Sent {
    fn of(survey: &Survey) -> Self {
        if let Some(parent) = survey.parent {
            let (context, sampled) =
                (Some((parent.trace_id, parent.span_id)), Some(parent.sampled));
            return Self { context, sampled, is_random: parent.is_random };
        }
        survey.b3.map_or_else(Self::default, |b3| Self {
            context: b3.context,
            sampled: b3.decision.map(Decision::is_sampled),
            is_random: false,
        })
    }
}

/// Opens the trace of an exchange.
pub fn open(plan: &Plan, survey: &Survey, headers: &HeaderMap) -> Trace {
    let sent = Sent::of(survey);
    let believed = if survey.is_believed { sent } else { Sent::default() };
    let (trace_id, parent, is_random) = match believed.context {
        Some((trace_id, span_id)) => (trace_id, Some(span_id), believed.is_random),
        None => (TraceId::generate(), None, true),
    };
    let state = || TraceState::parse(headers.get_all(TRACESTATE).iter().map(HeaderValue::as_bytes));
    Trace {
        trace_id,
        server_span: SpanId::generate(),
        client_span: SpanId::generate(),
        internal_span: SpanId::generate(),
        parent,
        link: sent.context.filter(|_| !survey.is_believed),
        sampled: believed.sampled.unwrap_or_else(|| plan.sampling.starts(trace_id)),
        is_random,
        // The companion of `traceparent`: without one that is believed it means nothing.
        state: if survey.is_believed && survey.parent.is_some() { state() } else { None },
    }
}

/// Reads B3, the one header before the several. A field that comes twice says nothing.
pub fn read_b3(headers: &HeaderMap) -> Option<B3> {
    let field = |name: &str| {
        let mut lines = headers.get_all(name).iter().map(HeaderValue::as_bytes);
        lines.next().filter(|_| lines.next().is_none())
    };
    field(b3::SINGLE).and_then(B3::single).or_else(|| {
        let [trace_id, span_id] = [b3::TRACE_ID, b3::SPAN_ID].map(field);
        B3::multi(trace_id, span_id, field(b3::SAMPLED), field(b3::FLAGS))
    })
}

/// Whether the baggage of a head may go on.
pub fn is_baggage_sound(headers: &HeaderMap) -> bool {
    baggage::is_valid(headers.get_all(BAGGAGE).iter().map(HeaderValue::as_bytes))
}

/// Writes the context the upstream sees, in every configured form: our CLIENT span as the parent.
pub fn propagate(plan: &Plan, survey: &Survey, trace: &Trace, headers: &mut HeaderMap) {
    if plan.propagators.tracecontext {
        write_w3c(trace, headers);
    }
    if plan.propagators.speaks_b3() {
        let debug = survey.b3.filter(|b3| b3.decision == Some(Decision::Debug));
        let decision = match debug {
            Some(_) if survey.is_believed && survey.parent.is_none() => Decision::Debug,
            _ if trace.sampled => Decision::Accept,
            _ => Decision::Deny,
        };
        write_b3(plan.propagators, trace, decision, headers);
    }
}

fn write_w3c(trace: &Trace, headers: &mut HeaderMap) {
    let parent = TraceParent {
        trace_id: trace.trace_id,
        span_id: trace.client_span,
        sampled: trace.sampled,
        is_random: trace.is_random,
    };
    put(headers, TRACEPARENT, &parent.encode());
    if let Some(state) = &trace.state {
        put(headers, TRACESTATE, state.as_str().as_bytes());
    }
}

fn write_b3(spoken: Propagators, trace: &Trace, decision: Decision, headers: &mut HeaderMap) {
    if spoken.b3 {
        let value = B3::write(trace.trace_id, trace.client_span, decision);
        put(headers, HeaderName::from_static(b3::SINGLE), &value);
    }
    if spoken.b3multi {
        put(headers, HeaderName::from_static(b3::TRACE_ID), &trace.trace_id.hex());
        put(headers, HeaderName::from_static(b3::SPAN_ID), &trace.client_span.hex());
        // Debug implies sampled, and the two are not sent together.
        if decision == Decision::Debug {
            put(headers, HeaderName::from_static(b3::FLAGS), b"1");
        } else {
            put(headers, HeaderName::from_static(b3::SAMPLED), &[decision.digit()]);
        }
    }
}

/// Everything we write is visible ASCII.
fn put(headers: &mut HeaderMap, name: HeaderName, value: &[u8]) {
    if let Ok(value) = HeaderValue::from_bytes(value) {
        headers.insert(name, value);
    }
}
