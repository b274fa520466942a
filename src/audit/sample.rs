//! Drafts for tests.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use super::Evidence;
use super::entry::{Action, AuditResult, Draft, Event, Stage};
use crate::http::ids::{ClientRequestId, RequestId};
use crate::http::method::Method;
use crate::http::traceparent::TraceId;
use crate::record::{Fact, Value};

/// A beginning, with a request id made of the number.
pub(crate) fn initiated(id: u64) -> Draft {
    Draft {
        timestamp: SystemTime::UNIX_EPOCH + Duration::from_millis(1_792_676_922_345),
        event: Event::OrchestrationRequest,
        stage: Stage::Initiated,
        result: AuditResult::Initiated,
        user_id: None,
        tenant_id: None,
        ip_address: IpAddr::from([192, 0, 2, 7]),
        user_agent: Some("odd \"agent\"".into()),
        resource_id: None,
        resource_type: Some("orchestrate".into()),
        action: Action::Execute,
        method: Method::Post,
        path: Evidence::of("/api/orchestrate"),
        route: "/api/orchestrate".into(),
        request_id: RequestId::Inherited(
            ClientRequestId::parse(format!("r-{id}").as_bytes()).unwrap(),
        ),
        trace_id: TraceId([0xab; 16]),
        status: None,
        duration: None,
        facts: vec![
            Fact { name: "orchestration.mode".into(), value: Value::Member("rag_query".into()) },
            Fact { name: "orchestration.query_length".into(), value: Value::Length(42) },
        ],
        reason: None,
    }
}

/// Its end.
pub(crate) fn completed(id: u64) -> Draft {
    Draft {
        stage: Stage::Completed,
        result: AuditResult::Success,
        status: Some(200),
        duration: Some(Duration::from_millis(17)),
        ..initiated(id)
    }
}

/// A refusal.
pub(crate) fn denied(id: u64) -> Draft {
    Draft {
        stage: Stage::Completed,
        result: AuditResult::Denied,
        status: Some(429),
        reason: Some("rate_limited"),
        facts: Vec::new(),
        ..initiated(id)
    }
}
