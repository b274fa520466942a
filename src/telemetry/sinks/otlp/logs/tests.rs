//! What we write is what the generated types make of the same entries, byte for byte.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::ScopeLogs;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use prost::Message;

use super::{record, reference};
use crate::audit::AuditResult;
use crate::config::model::{LogLevel, Schema};
use crate::http::ids::{ClientRequestId, RequestId};
use crate::http::method::Method;
use crate::http::traceparent::TraceId;
use crate::record::{Record, Refusal, Rejection, Stack};
use crate::telemetry::log::line::{Form, Format};
use crate::telemetry::log::{Audited, Datum, Entry, Incoming, Said, sample};
use crate::telemetry::sinks::otlp::envelope::Envelope;
use crate::telemetry::sinks::otlp::spans::tests::records;
use crate::telemetry::sinks::otlp::wire::Writer;

prop_compose! {
    /// A record with what is on a log line and on no span.
    fn completed()(
        record in records(),
        (bytes_in, bytes_out) in any::<(u64, u64)>(),
        [has_agent, has_id, has_operation, has_limit, is_rejected, is_shadowed, has_stack] in
            any::<[bool; 7]>(),
        ttfb in proptest::option::of((0..1_u64 << 50).prop_map(Duration::from_nanos)),
    ) -> Record {
        Record {
            bytes_in,
            bytes_out,
            ttfb,
            overhead: Duration::from_micros(bytes_in >> 40),
            user_agent: has_agent.then(|| "curl/8.0".into()),
            client_request_id: has_id.then(|| ClientRequestId::parse(b"theirs-1").unwrap()),
            operation: has_operation.then(|| "createOrder".into()),
            limited_by: has_limit.then(|| "per-caller".into()),
            stack: has_stack.then(|| Stack::caught("vital_sidecar::a\nvital_sidecar::b")),
            rejection: is_rejected.then_some(Rejection::NoToken),
            would_refuse: is_shadowed.then_some(Refusal::RateLimited),
            ..record
        }
    }
}

fn incoming() -> impl Strategy<Value = Incoming> {
    completed().prop_map(|record| Incoming {
        at: record.started,
        request_id: record.request_id,
        trace: (record.trace.trace_id, record.trace.server_span),
        sampled: record.trace.sampled,
        method: Method::Get,
        route: record.route,
        shape: record.shape,
        caller: record.caller,
        user_agent: record.user_agent,
    })
}

fn said() -> impl Strategy<Value = Said> {
    let datum = prop_oneof![
        ".{0,200}".prop_map(Datum::Text),
        any::<i64>().prop_map(Datum::Signed),
        any::<u64>().prop_map(Datum::Unsigned),
        (-1e300..1e300).prop_map(Datum::Float),
        any::<bool>().prop_map(Datum::Bool),
    ];
    let level = prop_oneof![
        Just(LogLevel::Error),
        Just(LogLevel::Warn),
        Just(LogLevel::Info),
        Just(LogLevel::Debug)
    ];
    let key = prop_oneof![Just("error"), Just("endpoint"), Just("file")];
    let fields = proptest::collection::vec((key, datum), 0..4);
    (level, ".{0,200}", fields, 1..1_u64 << 60).prop_map(|(level, message, fields, nanos)| Said {
        at: SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos),
        level,
        message,
        fields,
    })
}

fn audited() -> impl Strategy<Value = Audited> {
    let result = proptest::sample::select(&AuditResult::ALL[..]);
    (any::<u64>(), 1..1_u64 << 60, result).prop_map(|(seq, nanos, result)| Audited {
        at: SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos),
        event: "DATA_ACCESS".into(),
        seq,
        result,
        request_id: RequestId::generate(),
        trace_id: TraceId::generate(),
    })
}

fn entries() -> impl Strategy<Value = Entry> {
    prop_oneof![
        3 => completed().prop_map(|record| Entry::Completed(Arc::new(record))),
        1 => incoming().prop_map(|request| Entry::Incoming(Arc::new(request))),
        1 => audited().prop_map(|record| Entry::Audited(Arc::new(record))),
        1 => said().prop_map(|said| Entry::Said(Arc::new(said))),
    ]
}

proptest! {
    #[test]
    fn entries_are_written_as_the_generated_types_write_them(
        entries in proptest::collection::vec(entries(), 1..4),
    ) {
        let log_records = entries.iter().map(reference::of).collect();
        let expected = ScopeLogs { log_records, ..ScopeLogs::default() };
        let mut written = Writer::default();
        for entry in &entries {
            record::write(entry, &mut written);
        }
        prop_assert_eq!(ScopeLogs::decode(written.as_bytes()).unwrap(), expected.clone());
        prop_assert_eq!(written.into_bytes(), expected.encode_to_vec());
    }
}

#[test]
fn log_records_stand_in_the_envelope_of_spans() {
    let service = sample::service();
    let entry = Entry::Completed(Arc::new(sample::record()));
    let mut written = Writer::default();
    record::write(&entry, &mut written);
    let request = Envelope::new(&service).unwrap().around(written.as_bytes());
    let request = ExportLogsServiceRequest::decode(&request[..]).unwrap();
    let [resource] = &request.resource_logs[..] else { panic!("one resource") };
    let attributes = &resource.resource.as_ref().unwrap().attributes;
    assert!(attributes.iter().any(|pair| pair.key == "service.instance.id"), "{attributes:?}");
    let [scope] = &resource.scope_logs[..] else { panic!("one scope") };
    assert_eq!(scope.scope.as_ref().unwrap().name, service.name);
    assert_eq!(scope.log_records, [reference::of(&entry)]);
}

/// The names of the attributes that a log record has, and those of the line of the schema `otel`.
fn names(entry: &Entry) -> [BTreeSet<String>; 2] {
    let mut line = Vec::new();
    Format::new(&sample::service(), Form::Json(Schema::Otel)).write(entry, &mut line);
    let line: serde_json::Value = serde_json::from_slice(&line).unwrap();
    let shipped = reference::of(entry).attributes.into_iter().map(|pair| pair.key).collect();
    [shipped, line["Attributes"].as_object().unwrap().keys().cloned().collect()]
}

#[test]
fn attributes_have_the_names_that_the_schema_otel_gives_them() {
    for record in [sample::record(), sample::failed(), sample::full()] {
        let [shipped, said] = names(&Entry::Completed(Arc::new(record)));
        assert_eq!(shipped.difference(&said).count(), 0, "{shipped:?}\n{said:?}");
        // Headers are for lines alone; the flags say what is sampled.
        let is_elsewhere =
            |name: &str| name == "sidecar.sampled" || name.starts_with("http.request.header.");
        assert!(said.difference(&shipped).all(|name| is_elsewhere(name)), "{shipped:?}\n{said:?}");
    }
    let mut runner = TestRunner::deterministic();
    let (request, record) = (incoming(), audited()).new_tree(&mut runner).unwrap().current();
    for entry in [Entry::Incoming(Arc::new(request)), Entry::Audited(Arc::new(record))] {
        let [shipped, said] = names(&entry);
        assert_eq!(shipped, said);
    }
}
