//! The lines of each schema, word for word, and that none of them can be forged.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;
use serde_json::Value as Json;

use crate::audit::AuditResult;
use crate::config::model::{LogLevel, Schema, TAKEN_BEGINNINGS, TAKEN_FIELDS};
use crate::http::sanitise::UserAgent;
use crate::http::traceparent::{SpanId, TraceId};
use crate::record::{Caller, ConfigName, Fact, Record, RouteNames, User, Value};
use crate::strict_json::{self, Unread};
use crate::telemetry::log::line::{Form, Format};
use crate::telemetry::log::sample::{failed, full, record, service};
use crate::telemetry::log::{Audited, Datum, Entry, Incoming, Said};

const SCHEMAS: [Schema; 3] = [Schema::Winston, Schema::Otel, Schema::Ecs];

fn line(form: Form, entry: &Entry) -> String {
    let mut out = Vec::new();
    Format::new(&service(), form).write(entry, &mut out);
    String::from_utf8(out).unwrap()
}

/// Reads JSON in which no key is there twice.
fn parse(text: &str) -> Result<Json, Unread> {
    strict_json::read(text.as_bytes(), 16)
}

fn json(schema: Schema, entry: &Entry) -> Json {
    let line = line(Form::Json(schema), entry);
    parse(&line).unwrap_or_else(|why| panic!("{why:?}: {line}"))
}

fn completed(record: Record) -> Entry {
    Entry::Completed(Arc::new(record))
}

fn at() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_709_251_199)
}

fn incoming() -> Entry {
    Entry::Incoming(Arc::new(Incoming {
        at: at(),
        request_id: record().request_id,
        trace: (TraceId([0xab; 16]), SpanId([1; 8])),
        sampled: true,
        method: record().method,
        route: record().route,
        shape: None,
        caller: Caller { user: None, tenant: Some("acme".into()) },
        user_agent: Some("curl/8".into()),
    }))
}

fn audited() -> Entry {
    Entry::Audited(Arc::new(Audited {
        at: at(),
        event: "DATA_ACCESS".into(),
        seq: 7,
        result: AuditResult::Denied,
        request_id: record().request_id,
        trace_id: TraceId([0xab; 16]),
    }))
}

fn said(fields: Vec<(&'static str, Datum)>) -> Entry {
    let message = "The doors are open.".to_owned();
    Entry::Said(Arc::new(Said { at: at(), level: LogLevel::Info, message, fields }))
}

#[test]
fn an_otel_line_has_the_names_of_the_log_data_model() {
    let written = line(Form::Json(Schema::Otel), &completed(record()));
    let (before, rest) = written.split_once(r#""Resource":{"#).unwrap();
    let start = concat!(
        r#"{"Timestamp":"1709251199012340000","SeverityText":"INFO","SeverityNumber":9,"#,
        r#""Body":"Request completed","TraceId":"abababababababababababababababab","#,
        r#""SpanId":"0101010101010101","TraceFlags":1,"#,
    );
    assert_eq!(before, start);
    let (resource, attributes) = rest.split_once(r#"},"Attributes":"#).unwrap();
    assert!(resource.starts_with(r#""service.name":"vital-orchestrator","#), "{resource}");
    let expected = concat!(
        r#"{"sidecar.request_id":"req-1","http.request.method":"POST","#,
        r#""http.route":"/api/orchestrate","url.path":"/api/orchestrate","url.scheme":"http","#,
        r#""network.protocol.version":"1.1","user_agent.original":"curl/8","#,
        r#""client.address":"192.0.2.0","http.request.body.size":10,"#,
        r#""http.response.status_code":200,"http.response.body.size":20,"#,
        r#""sidecar.duration":0.01234,"sidecar.time_to_first_byte":0.002001,"sidecar.upstream.duration":0.012,"#,
        r#""sidecar.overhead":0.000042,"sidecar.outcome":"served","sidecar.sampled":true,"#,
        r#""orchestration.mode":"rag_query","orchestration.query_length":7}}"#,
        "\n"
    );
    assert_eq!(attributes, expected);
}

#[test]
fn an_ecs_line_has_the_names_of_the_elastic_common_schema() {
    let expected = concat!(
        r#"{"@timestamp":"2024-02-29T23:59:59.012Z","log.level":"info","#,
        r#""message":"Request completed","ecs.version":"8.17.0","#,
        r#""service.name":"vital-orchestrator","service.environment":"test","#,
        r#""service.version":"1.0.0","event.dataset":"sidecar.access","http.request.id":"req-1","#,
        r#""http.request.method":"POST","http.version":"1.1","url.path":"/api/orchestrate","#,
        r#""url.scheme":"http","sidecar.route":"/api/orchestrate","user_agent.original":"curl/8","#,
        r#""client.ip":"192.0.2.0","http.request.body.bytes":10,"#,
        r#""trace.id":"abababababababababababababababab","span.id":"0101010101010101","#,
        r#""sidecar.sampled":true,"http.response.status_code":200,"http.response.body.bytes":20,"#,
        r#""event.duration":12340000,"event.outcome":"success","sidecar.outcome":"served","#,
        r#""sidecar.time_to_first_byte":0.002001,"sidecar.upstream.duration":0.012,"#,
        r#""sidecar.overhead":0.000042,"labels.orchestration_mode":"rag_query","#,
        r#""labels.orchestration_query_length":7}"#,
        "\n"
    );
    assert_eq!(line(Form::Json(Schema::Ecs), &completed(record())), expected);
}

#[test]
fn an_error_says_so_in_every_schema() {
    let otel = json(Schema::Otel, &completed(failed()));
    assert_eq!((&otel["SeverityText"], &otel["SeverityNumber"]), (&"ERROR".into(), &17.into()));
    let ecs = json(Schema::Ecs, &completed(failed()));
    assert_eq!((&ecs["log.level"], &ecs["event.outcome"]), (&"error".into(), &"failure".into()));
    for line in [&otel["Attributes"], &ecs, &json(Schema::Winston, &completed(failed()))] {
        assert_eq!(line["error.type"], "upstream_connect", "{line}");
        assert_eq!(line["error.message"], "Upstream unreachable.", "{line}");
    }
}

#[test]
fn a_user_is_called_by_the_name_that_says_whether_it_is_a_pseudonym() {
    let otel = json(Schema::Otel, &completed(full()));
    let ecs = json(Schema::Ecs, &completed(full()));
    assert_eq!(otel["Attributes"]["user.id"], "somebody");
    assert_eq!((&ecs["user.id"], &ecs["organization.id"]), (&"somebody".into(), &"acme".into()));
    assert_eq!((ecs.get("user.hash"), otel["Attributes"].get("user.hash")), (None, None));
}

#[test]
fn a_logged_header_stands_under_its_own_name() {
    let entry = completed(full());
    assert_eq!(json(Schema::Winston, &entry)["headers.x-kind"], "a b");
    let otel = json(Schema::Otel, &entry)["Attributes"].take();
    assert_eq!(otel["http.request.header.x-kind"], serde_json::json!(["a b"]));
    assert_eq!(json(Schema::Ecs, &entry)["http.request.headers.x-kind"], "a b");
}

#[test]
fn the_beginning_of_an_exchange_has_the_fields_of_the_contract() {
    let expected = concat!(
        r#"{"timestamp":"2024-02-29T23:59:59.000Z","level":"info","message":"Incoming request","#,
        r#""service":"vital-orchestrator","environment":"test","version":"1.0.0","#,
        r#""requestId":"req-1","method":"POST","url":"/api/orchestrate","userId":null,"#,
        r#""tenantId":"acme","userAgent":"curl/8"}"#,
        "\n"
    );
    assert_eq!(line(Form::Json(Schema::Winston), &incoming()), expected);
    let otel = json(Schema::Otel, &incoming());
    assert_eq!((&otel["Body"], &otel["TraceFlags"]), (&"Incoming request".into(), &1.into()));
    assert_eq!(otel["Attributes"]["tenant.id"], "acme");
    let ecs = json(Schema::Ecs, &incoming());
    assert_eq!(
        (&ecs["http.request.id"], &ecs["url.path"]),
        (&"req-1".into(), &"/api/orchestrate".into())
    );
}

#[test]
fn an_audit_line_names_the_event_its_number_its_stage_its_result_and_its_request() {
    let winston = json(Schema::Winston, &audited());
    assert_eq!((&winston["message"], &winston["event"]), (&"AUDIT".into(), &"DATA_ACCESS".into()));
    assert_eq!((&winston["seq"], &winston["requestId"]), (&7.into(), &"req-1".into()));
    let trace = Json::from("ab".repeat(16));
    assert_eq!((&winston["stage"], &winston["result"]), (&"completed".into(), &"denied".into()));
    assert_eq!(winston["traceId"], trace);
    let mut otel = json(Schema::Otel, &audited());
    assert_eq!((&otel["TraceId"], otel.get("SpanId")), (&trace, None));
    let otel = otel["Attributes"].take();
    assert_eq!(otel["sidecar.audit.event"], "DATA_ACCESS");
    assert_eq!(
        (&otel["sidecar.audit.seq"], &otel["sidecar.request_id"]),
        (&7.into(), &"req-1".into())
    );
    let ecs = json(Schema::Ecs, &audited());
    assert_eq!((&ecs["event.action"], &ecs["event.sequence"]), (&"DATA_ACCESS".into(), &7.into()));
    assert_eq!((&ecs["event.dataset"], &ecs["trace.id"]), (&"sidecar.audit".into(), &trace));
    for line in [&otel, &ecs] {
        assert_eq!(line["sidecar.audit.stage"], "completed");
        assert_eq!(line["sidecar.audit.result"], "denied");
    }
}

#[test]
fn a_diagnostic_keeps_its_fields() {
    let fields = vec![("audit.path", Datum::Text("/a".to_owned())), ("lost", Datum::Unsigned(3))];
    let entry = said(fields);
    assert_eq!(json(Schema::Winston, &entry)["audit.path"], "/a");
    assert_eq!(json(Schema::Otel, &entry)["Attributes"]["lost"], 3);
    let ecs = json(Schema::Ecs, &entry);
    assert_eq!((&ecs["labels.audit_path"], &ecs["labels.lost"]), (&"/a".into(), &3.into()));
    let alone = json(Schema::Otel, &said(Vec::new()));
    assert_eq!((&alone["Attributes"], alone.get("TraceId")), (&serde_json::json!({}), None));
}

#[test]
fn the_names_of_all_fields_are_taken_so_no_capture_has_one() {
    let winston = json(Schema::Winston, &completed(full()));
    let otel = json(Schema::Otel, &completed(full()))["Attributes"].take();
    let mut names = 0;
    for line in [winston, otel] {
        for name in
            line.as_object().unwrap().keys().filter(|name| !name.starts_with("orchestration"))
        {
            let is_taken = TAKEN_FIELDS.contains(&&**name)
                || TAKEN_BEGINNINGS.iter().any(|beginning| name.starts_with(beginning));
            assert!(is_taken, "a capture may be called `{name}`");
            names += 1;
        }
    }
    assert!(names > 55, "{names}");
    let ecs = json(Schema::Ecs, &completed(full()));
    let labels = ecs.as_object().unwrap().keys().filter(|name| name.starts_with("labels."));
    assert_eq!(labels.count(), 2, "nothing of ours is a label");
}

/// What a stranger may write, with what forgers like in it.
fn nasty() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[\\x00-\\x1f\\x7f-\\x9f\\u{2028}\\u{2029}\"\\\\{}\\[\\],:a]{0,40}",
        Just("\"},{\"level\":\"error\",\"message\":\"".to_owned()),
        Just("\\u000a\\\",\\\"".to_owned()),
        Just("x".repeat(8 * 1024)),
    ]
}

#[test]
fn a_panicked_exchange_has_the_way_to_its_panic_in_every_schema() {
    let stack = "vital_sidecar::proxy::a (src/proxy/a.rs:1:1)\nvital_sidecar::b";
    let panicked = completed(full());
    let said = |schema| json(schema, &panicked);
    assert_eq!(said(Schema::Winston)["stack"], stack);
    assert_eq!(said(Schema::Otel)["Attributes"]["exception.stacktrace"], stack);
    assert_eq!(said(Schema::Ecs)["error.stack_trace"], stack);
    assert_eq!(said(Schema::Winston)["error.type"], "upstream_reset");
    assert!(json(Schema::Winston, &completed(failed())).get("stack").is_none());
}

/// A name made of any text, though the configuration would refuse most.
fn name(text: &str) -> ConfigName {
    ConfigName::configured(text)
}

fn is_printable(line: &str) -> bool {
    let is_ended = line.ends_with('\n') && line.matches('\n').count() == 1;
    let mut letters = line.trim_end_matches('\n').chars();
    is_ended && !letters.any(|letter| letter.is_control() || "\u{2028}\u{2029}".contains(letter))
}

proptest! {
    #[test]
    fn whatever_a_record_says_is_one_line_that_says_the_same(
        texts in proptest::collection::vec(nasty(), 6),
        fact in "[a-z]{1,8}\\.[a-z]{1,8}",
    ) {
        let [user, tenant, agent, template, member, shape] = &texts[..] else { unreachable!() };
        let shown = crate::record::Shown::verified;
        let record = Record {
            caller: Caller { user: Some(User::Raw(shown(user))), tenant: Some(shown(tenant)) },
            user_agent: Some(UserAgent::sanitised(agent.as_bytes())),
            route: Arc::new(RouteNames { template: name(template), ..(*record().route).clone() }),
            shape: Some(crate::http::shape::Words::default().shape(shape)),
            facts: vec![Fact { name: name(&format!("c.{fact}")), value: Value::Member(name(member)) }],
            ..full()
        };
        let agent = record.user_agent.as_deref().unwrap().to_owned();
        let entry = completed(record);
        for schema in SCHEMAS {
            let written = line(Form::Json(schema), &entry);
            prop_assert!(is_printable(&written), "{written:?}");
            let read = json(schema, &entry);
            let fields = if schema == Schema::Otel { &read["Attributes"] } else { &read };
            let [agent_key, tenant_key, route_key, fact_key] = match schema {
                Schema::Winston => ["userAgent", "tenantId", "route", &format!("c.{fact}")],
                Schema::Otel => {
                    ["user_agent.original", "tenant.id", "http.route", &format!("c.{fact}")]
                }
                Schema::Ecs => [
                    "user_agent.original",
                    "organization.id",
                    "sidecar.route",
                    &format!("labels.c_{}", fact.replace('.', "_")),
                ],
            };
            prop_assert_eq!(&fields[agent_key], &*agent);
            prop_assert_eq!(&fields[tenant_key], &*shown(tenant));
            prop_assert_eq!(&fields[route_key], template.as_str());
            prop_assert_eq!(&fields[fact_key], member.as_str());
        }
        let pretty = line(Form::Pretty, &entry);
        prop_assert!(is_printable(&pretty), "{pretty:?}");
        let (_, fields) = pretty.split_once(" [error]: Request completed ").unwrap();
        let read = parse(fields);
        prop_assert!(read.is_ok(), "{pretty:?}");
        prop_assert_eq!(&read.unwrap()["tenantId"], &*shown(tenant));
    }

    #[test]
    fn whatever_a_diagnostic_says_is_one_line_that_says_the_same(
        message in nasty(),
        text in nasty(),
        number in any::<f64>(),
    ) {
        let fields = vec![("text", Datum::Text(text.clone())), ("number", Datum::Float(number))];
        let level = LogLevel::Warn;
        let entry = Entry::Said(Arc::new(Said { at: at(), level, message: message.clone(), fields }));
        for schema in SCHEMAS {
            prop_assert!(is_printable(&line(Form::Json(schema), &entry)));
            let read = json(schema, &entry);
            let (told, found) = match schema {
                Schema::Winston => (&read["message"], &read["text"]),
                Schema::Otel => (&read["Body"], &read["Attributes"]["text"]),
                Schema::Ecs => (&read["message"], &read["labels.text"]),
            };
            prop_assert_eq!((told, found), (&Json::from(message.clone()), &Json::from(text.clone())));
        }
        prop_assert!(is_printable(&line(Form::Pretty, &entry)));
    }
}
