//! Records for the tests of whoever writes them down.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use crate::config::model::Service;
use crate::http::ids::{ClientRequestId, RequestId};
use crate::http::method::Method;
use crate::http::traceparent::{SpanId, TraceId};
use crate::record::{
    Caller, Fact, Failure, Kept, LoggedHeader, Outcome, Policy, Record, Refusal, Rejection,
    RouteNames, Stack, Stream, StreamKind, Trace, Trail, UpstreamLeg, User, Value,
};

pub(in crate::telemetry) fn service() -> Service {
    Service {
        name: "vital-orchestrator".to_owned(),
        version: "1.0.0".to_owned(),
        environment: "test".to_owned(),
        attributes: Vec::new(),
    }
}

pub(in crate::telemetry) fn record() -> Record {
    Record {
        request_id: RequestId::Inherited(ClientRequestId::parse(b"req-1").unwrap()),
        client_request_id: None,
        trace: Trace {
            trace_id: TraceId([0xab; 16]),
            server_span: SpanId([1; 8]),
            client_span: SpanId([2; 8]),
            internal_span: SpanId([3; 8]),
            parent: None,
            link: None,
            sampled: true,
            is_random: true,
            state: None,
        },
        kept: Some(Kept::Head),
        started: UNIX_EPOCH + Duration::from_secs(1_709_251_199),
        duration: Duration::from_micros(12_340),
        ttfb: Some(Duration::from_micros(2_001)),
        overhead: Duration::from_micros(42),
        upstream: Some(UpstreamLeg {
            offset: Duration::from_micros(40),
            to_head: Duration::from_millis(2),
            duration: Duration::from_millis(12),
            status: Some(200),
        }),
        method: Method::Post,
        scheme: "http",
        protocol: "1.1",
        route: Arc::new(RouteNames {
            template: "/api/orchestrate".into(),
            name: None,
            span: None,
            audit: None,
            policy: Policy::default(),
        }),
        shape: None,
        status: Some(200),
        outcome: Outcome::Served,
        bytes_in: 10,
        bytes_out: 20,
        stream: None,
        user_agent: Some("curl/8".into()),
        client_ip: [192, 0, 2, 77].into(),
        caller: Caller::default(),
        operation: None,
        rejection: None,
        stack: None,
        trail: Trail::default(),
        class: None,
        would_refuse: None,
        facts: vec![
            Fact { name: "orchestration.mode".into(), value: Value::Member("rag_query".into()) },
            Fact { name: "orchestration.query_length".into(), value: Value::Length(7) },
        ],
        limited_by: None,
        headers: Box::default(),
        cache: None,
        store_calls: Vec::new(),
    }
}

pub(in crate::telemetry) fn failed() -> Record {
    let outcome = Outcome::Failed(Failure::UpstreamConnect);
    Record { status: Some(502), outcome, upstream: None, ttfb: None, facts: vec![], ..record() }
}

/// One that has every field a record may have.
pub(in crate::telemetry) fn full() -> Record {
    Record {
        client_request_id: ClientRequestId::parse(b"theirs-1"),
        caller: Caller { user: Some(User::Raw("somebody".into())), tenant: Some("acme".into()) },
        headers: [LoggedHeader { name: "x-kind".into(), text: "a b".into() }].into(),
        operation: Some("orchestrate".into()),
        rejection: Some(Rejection::NoToken),
        stack: Some(Stack::caught(
            "vital_sidecar::proxy::a (src/proxy/a.rs:1:1)\nvital_sidecar::b",
        )),
        would_refuse: Some(Refusal::Forbidden),
        limited_by: Some("per-user".into()),
        stream: Some(Box::new(Stream { events: 3, ..Stream::of(StreamKind::Lines) })),
        shape: Some("/api/{}".into()),
        outcome: Outcome::Failed(Failure::UpstreamReset),
        ..record()
    }
}
