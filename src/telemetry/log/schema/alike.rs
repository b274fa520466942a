//! The fields that `otel` and `ecs` call alike: by names of our own, or by names that both conventions have.

use crate::record::{Caller, Level, Record, User};
use crate::telemetry::log::fields::{Fields, key};

/// How the exchange went on: its times in seconds, and its stream.
pub(super) fn course(fields: &mut Fields<'_>, record: &Record) {
    if let Some(ttfb) = record.ttfb {
        fields.seconds(key!("sidecar.time_to_first_byte"), ttfb);
    }
    if let Some(leg) = record.upstream {
        fields.seconds(key!("sidecar.upstream.duration"), leg.duration);
    }
    fields.seconds(key!("sidecar.overhead"), record.overhead);
    if let Some(stream) = &record.stream {
        fields.token(key!("sidecar.stream.kind"), stream.kind.as_str().as_bytes());
        if stream.kind.is_counted() {
            fields.number(key!("sidecar.stream.events"), stream.events);
        }
    }
}

/// What broke, and what the gates said.
pub(super) fn verdicts(fields: &mut Fields<'_>, record: &Record) {
    if let Some(error_type) = record.error_type() {
        fields.text(key!("error.type"), error_type.as_str());
    }
    if record.level() == Level::Error {
        fields.text(key!("error.message"), &record.outcome.message(record.status));
    }
    if let Some(rejection) = record.rejection {
        fields.token(key!("sidecar.identity.reason"), rejection.as_str().as_bytes());
    }
    if let Some(refusal) = record.would_refuse {
        fields.token(key!("sidecar.would_refuse"), refusal.error_type().as_str().as_bytes());
    }
    if let Some(limit) = &record.limited_by {
        fields.text(key!("sidecar.rate_limit"), limit);
    }
}

/// Who calls, under the name that says whether it is a pseudonym.
pub(super) fn user(fields: &mut Fields<'_>, caller: &Caller) {
    match &caller.user {
        Some(user @ User::Hash(_)) => user.with_str(|user| fields.text(key!("user.hash"), user)),
        Some(user @ User::Raw(_)) => user.with_str(|user| fields.text(key!("user.id"), user)),
        None => {}
    }
}
