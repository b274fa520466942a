//! What one audit record says, before it has a place in the chain.
//!
//! A [`Draft`] is cheap to make: it holds values and shared names, no text is formatted. Its members
//! are those of the contract. It does not know its `seq`, `prev` and `hash`; the writer gives them.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use super::Evidence;
use crate::http::ids::RequestId;
use crate::http::method::Method;
use crate::http::sanitise::UserAgent;
use crate::http::traceparent::TraceId;
use crate::record::{ConfigName, Fact, Outcome};

/// Everything about a record but its place in the chain.
#[derive(Clone, Debug)]
pub struct Draft {
    /// When it happened, by the wall clock; written in UTC with milliseconds.
    pub timestamp: SystemTime,
    /// What the route says this request is.
    pub event: Event,
    /// Beginning or end.
    pub stage: Stage,
    /// How it ended, or `initiated`.
    pub result: AuditResult,
    /// The verified user, raw; `None` without an identity.
    pub user_id: Option<Evidence>,
    /// The verified tenant.
    pub tenant_id: Option<Evidence>,
    /// The client's address, in full.
    pub ip_address: IpAddr,
    /// The sanitised user agent.
    pub user_agent: Option<UserAgent>,
    /// See [`resource_id`](crate::audit::facts::resource_id).
    pub resource_id: Option<Evidence>,
    /// See [`resource_type`](crate::audit::facts::resource_type).
    pub resource_type: Option<ConfigName>,
    /// See [`Action::of`].
    pub action: Action,
    /// The method, from a closed set.
    pub method: Method,
    /// The canonical path, without the query.
    pub path: Evidence,
    /// The route's template.
    pub route: ConfigName,
    /// The id of the exchange: it joins `initiated` and `completed`.
    pub request_id: RequestId,
    /// The trace of the exchange.
    pub trace_id: TraceId,
    /// What the client got; `None` if nothing (yet).
    pub status: Option<u16>,
    /// How long it took; `None` at the beginning.
    pub duration: Option<Duration>,
    /// Captured facts, in the order of the route's `captures`.
    pub facts: Vec<Fact>,
    /// Why it ended badly, from a closed set of ours (the check of who calls that
    /// refused it, `crash`, `abandoned`, …).
    pub reason: Option<&'static str>,
}

impl Draft {
    /// What the request does, as the contract words it: [`Action::of`] under the draft's own name.
    pub fn action_for(method: Method, event: Event) -> Action {
        Action::of(method, event)
    }
}

/// What kind of access a route is. The set is closed, so it is safe as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Event {
    /// Somebody signs in.
    UserLogin,
    /// Somebody signs out.
    UserLogout,
    /// Data is read.
    DataAccess,
    /// Data is changed.
    DataModification,
    /// Roles or permissions are changed.
    PermissionChange,
    /// An orchestration is started.
    OrchestrationRequest,
    /// Somebody uses the sidecar's own admin port.
    AdminAction,
    /// A request names another tenant than its token.
    TenantMismatch,
}

impl Event {
    /// All of them, in the order of [`Self::index`].
    pub const ALL: [Self; 8] = [
        Self::UserLogin,
        Self::UserLogout,
        Self::DataAccess,
        Self::DataModification,
        Self::PermissionChange,
        Self::OrchestrationRequest,
        Self::AdminAction,
        Self::TenantMismatch,
    ];

    /// The name in configuration, records and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UserLogin => "USER_LOGIN",
            Self::UserLogout => "USER_LOGOUT",
            Self::DataAccess => "DATA_ACCESS",
            Self::DataModification => "DATA_MODIFICATION",
            Self::PermissionChange => "PERMISSION_CHANGE",
            Self::OrchestrationRequest => "ORCHESTRATION_REQUEST",
            Self::AdminAction => "ADMIN_ACTION",
            Self::TenantMismatch => "TENANT_MISMATCH",
        }
    }

    /// The event of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.as_str() == name)
    }

    /// This event's place in a table of `ALL.len()`.
    pub fn index(self) -> usize {
        self as usize
    }
}

/// Which of the two records of an exchange this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Durable before the upstream sees a byte.
    Initiated,
    /// The end; a refusal leaves only this one.
    Completed,
}

impl Stage {
    /// The name in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Initiated => "initiated",
            Self::Completed => "completed",
        }
    }
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum AuditResult {
    /// It has only begun.
    Initiated,
    /// The upstream answered below 400, and the whole answer was handed on.
    Success,
    /// The upstream refused or failed, or we could not.
    Failure,
    /// We said no; the upstream saw nothing.
    Denied,
    /// It was cut short: the client left, a deadline of ours, a crash.
    Aborted,
}

impl AuditResult {
    /// All of them, in the order of [`Self::index`].
    pub const ALL: [Self; 5] =
        [Self::Initiated, Self::Success, Self::Failure, Self::Denied, Self::Aborted];

    /// The name in records and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Initiated => "initiated",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Denied => "denied",
            Self::Aborted => "aborted",
        }
    }

    /// What an exchange's ending is called in its `completed` record.
    pub fn of(outcome: Outcome, status: Option<u16>) -> Self {
        match outcome {
            Outcome::Served if status.is_some_and(|status| status < 400) => Self::Success,
            Outcome::Served | Outcome::Failed(_) | Outcome::Panicked => Self::Failure,
            Outcome::Refused(_) => Self::Denied,
            Outcome::Gone { .. } | Outcome::Aborted(_) => Self::Aborted,
        }
    }

    /// Which record of an exchange has this result.
    pub fn stage(self) -> Stage {
        match self {
            Self::Initiated => Stage::Initiated,
            Self::Success | Self::Failure | Self::Denied | Self::Aborted => Stage::Completed,
        }
    }

    /// This result's place in a table of `ALL.len()`.
    pub fn index(self) -> usize {
        self as usize
    }
}

/// What the request does to the resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Starts an orchestration.
    Execute,
    /// POST.
    Create,
    /// GET, HEAD and the other safe methods.
    Read,
    /// PUT and PATCH, and every method nobody knows: the stronger assumption.
    Update,
    /// DELETE.
    Delete,
}

impl Action {
    /// `execute` for an orchestration, else by method.
    pub fn of(method: Method, event: Event) -> Self {
        match method {
            _ if event == Event::OrchestrationRequest => Self::Execute,
            Method::Post => Self::Create,
            Method::Get | Method::Head | Method::Options | Method::Trace => Self::Read,
            Method::Put | Method::Patch | Method::Connect | Method::Other => Self::Update,
            Method::Delete => Self::Delete,
        }
    }

    /// The name in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Execute => "execute",
            Self::Create => "create",
            Self::Read => "read",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Abort, Failure, Phase, Refusal};

    #[test]
    fn events_are_read_back_by_name_and_indexed_by_order() {
        for (index, event) in Event::ALL.into_iter().enumerate() {
            assert_eq!(Event::parse(event.as_str()), Some(event));
            assert_eq!(event.index(), index);
        }
        assert_eq!(Event::parse("data_access"), None);
    }

    #[test]
    fn the_action_is_execute_for_an_orchestration_else_by_method() {
        let by_method = |method| Draft::action_for(method, Event::DataAccess).as_str();
        assert_eq!(Draft::action_for(Method::Get, Event::OrchestrationRequest), Action::Execute);
        assert_eq!(by_method(Method::Post), "create");
        assert_eq!(by_method(Method::Head), "read");
        assert_eq!(by_method(Method::Patch), "update");
        assert_eq!(by_method(Method::Delete), "delete");
        assert_eq!(by_method(Method::Other), "update");
    }

    #[test]
    fn every_ending_of_an_exchange_has_its_result() {
        let of = |outcome, status| AuditResult::of(outcome, status).as_str();
        assert_eq!(of(Outcome::Served, Some(204)), "success");
        assert_eq!(of(Outcome::Served, Some(404)), "failure");
        assert_eq!(of(Outcome::Refused(Refusal::RateLimited), Some(429)), "denied");
        assert_eq!(of(Outcome::Failed(Failure::UpstreamConnect), Some(502)), "failure");
        assert_eq!(of(Outcome::Gone { phase: Phase::Response }, Some(200)), "aborted");
        assert_eq!(of(Outcome::Aborted(Abort::Drain), Some(200)), "aborted");
        assert_eq!(of(Outcome::Panicked, None), "failure");
    }
}
