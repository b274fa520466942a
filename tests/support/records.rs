//! A record to start from.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use vital_sidecar::http::ids::RequestId;
use vital_sidecar::http::method::Method;
use vital_sidecar::http::traceparent::{SpanId, TraceId};
use vital_sidecar::record::{
    Caller, Fact, Kept, Outcome, Policy, Record, RouteNames, Trace, Trail, UpstreamLeg, Value,
};

/// A served `POST /api/orchestrate` with an INTERNAL span: three spans, new ids each time.
pub(crate) fn orchestration() -> Record {
    Record {
        request_id: RequestId::generate(),
        client_request_id: None,
        trace: Trace {
            trace_id: TraceId::generate(),
            server_span: SpanId::generate(),
            client_span: SpanId::generate(),
            internal_span: SpanId::generate(),
            parent: None,
            link: None,
            sampled: true,
            is_random: true,
            state: None,
        },
        kept: Some(Kept::Head),
        started: SystemTime::now(),
        duration: Duration::from_millis(12),
        ttfb: Some(Duration::from_millis(2)),
        overhead: Duration::from_micros(42),
        upstream: Some(UpstreamLeg {
            offset: Duration::from_micros(40),
            to_head: Duration::from_millis(2),
            duration: Duration::from_millis(11),
            status: Some(200),
        }),
        method: Method::Post,
        scheme: "http",
        protocol: "1.1",
        route: Arc::new(RouteNames {
            template: "/api/orchestrate".into(),
            name: Some("orchestrate".into()),
            span: Some("orchestration.execute".into()),
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

/// A request that matched no route and was passed on: two spans.
pub(crate) fn unmatched() -> Record {
    let route = RouteNames {
        template: RouteNames::UNMATCHED.into(),
        name: None,
        span: None,
        audit: None,
        policy: Policy::default(),
    };
    Record { route: Arc::new(route), shape: Some("/a/{}".into()), facts: vec![], ..orchestration() }
}
