//! What the lines look like, and which are said.

use std::sync::Arc;

use super::line::{Form, Format};
use super::sample::{failed, full, record, service};
use super::*;
use crate::config::model::Schema;
use crate::record::{Record, Stream, StreamKind};
use crate::telemetry::ledger::Book;

const JSON: Form = Form::Json(Schema::Winston);

fn line(form: Form, record: &Record) -> String {
    let entry = Entry::Completed(Arc::new(record.clone()));
    let mut out = Vec::new();
    Format::new(&service(), form).write(&entry, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_json_line_has_the_fields_of_the_contract_in_its_order() {
    let expected = concat!(
        r#"{"timestamp":"2024-02-29T23:59:59.012Z","level":"info","message":"Request completed","#,
        r#""service":"vital-orchestrator","environment":"test","version":"1.0.0","#,
        r#""requestId":"req-1","method":"POST","url":"/api/orchestrate","#,
        r#""route":"/api/orchestrate","status":200,"duration":12.34,"ttfb":2.001,"#,
        r#""userId":null,"tenantId":null,"userAgent":"curl/8","clientIp":"192.0.2.0","#,
        r#""bytesIn":10,"bytesOut":20,"stream":false,"outcome":"served","#,
        r#""traceId":"abababababababababababababababab","spanId":"0101010101010101","#,
        r#""sampled":true,"upstreamMs":12,"overheadUs":42,"orchestration.mode":"rag_query","#,
        r#""orchestration.query_length":7}"#,
        "\n"
    );
    assert_eq!(line(JSON, &record()), expected);
}

#[test]
fn an_error_line_says_what_broke_in_our_words() {
    let json: serde_json::Value = serde_json::from_str(&line(JSON, &failed())).unwrap();
    assert_eq!(json["level"], "error");
    assert_eq!(json["errorType"], "upstream_connect");
    assert_eq!(json["error.type"], "upstream_connect");
    assert_eq!(json["error.message"], "Upstream unreachable.");
    assert_eq!(json.get("upstreamMs"), None);
    assert_eq!(json["ttfb"], serde_json::Value::Null);
}

#[test]
fn a_stream_says_how_many_events_passed() {
    let record = Record {
        stream: Some(Box::new(Stream { events: 3, ..Stream::of(StreamKind::Lines) })),
        ..record()
    };
    assert!(line(JSON, &record).contains(r#""stream":true,"events":3,"#));
}

#[test]
fn a_tunnel_does_not_say_that_no_events_passed() {
    let record = Record { status: Some(101), stream: Some(Box::default()), ..record() };
    let line = line(JSON, &record);
    assert!(line.contains(r#""stream":true,"outcome""#), "{line}");
}

#[test]
fn the_pretty_form_is_for_people() {
    let line = line(Form::Pretty, &record());
    let start = concat!(
        r#"2024-02-29T23:59:59.012Z [info]: Request completed {"method":"POST","#,
        r#""url":"/api/orchestrate","status":200,"duration":12.34,"#,
    );
    assert!(line.starts_with(start), "{line}");
    for constant in ["null", "vital-orchestrator", "environment", "version", "outcome"] {
        assert!(!line.contains(constant), "{constant}: {line}");
    }
}

#[test]
fn the_pretty_form_leaves_out_nothing_that_differs() {
    let of = |line: String| {
        let fields = &line[line.find('{').unwrap()..];
        serde_json::from_str::<serde_json::Map<_, _>>(fields).unwrap()
    };
    for record in [full(), failed()] {
        let (pretty, mut json) = (of(line(Form::Pretty, &record)), of(line(JSON, &record)));
        for constant in ["timestamp", "level", "message", "service", "environment", "version"] {
            json.remove(constant).unwrap();
        }
        if record.shape.is_none() {
            assert_eq!(json.remove("route").as_ref(), Some(&pretty["url"]));
        }
        json.retain(|_, value| !value.is_null());
        assert_eq!(pretty, json);
    }
}

#[test]
fn nothing_in_a_record_can_forge_a_line() {
    let url = "/x\"}\n{\"level\":\"error\u{1b}[2J\u{9b}\u{2028}";
    let record = Record { shape: Some(url.into()), ..record() };
    for form in [JSON, Form::Pretty] {
        let line = line(form, &record);
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        assert!(!line.trim_end().chars().any(char::is_control), "{line}");
    }
    let json: serde_json::Value = serde_json::from_str(&line(JSON, &record)).unwrap();
    assert_eq!(json["url"], url);
    assert_eq!(json["level"], "info");
}

#[test]
fn the_level_decides_before_anything_is_queued() {
    let heard = |level, record: Record| {
        let mut log = Log::silent(level);
        let lane = Arc::new(Lane::new("logs", "test", 10, |_| 1));
        log.hear(Arc::clone(&lane));
        log.say(&Entry::Completed(Arc::new(record)));
        lane.account().accepted == 1
    };
    assert!(heard(LogLevel::Info, record()) && !heard(LogLevel::Warn, record()));
    assert!(heard(LogLevel::Error, failed()) && heard(LogLevel::Debug, record()));
}

#[test]
fn another_level_is_in_force_at_once() {
    let mut log = Log::silent(LogLevel::Info);
    let lane = Arc::new(Lane::new("logs", "test", 10, |_| 1));
    log.hear(Arc::clone(&lane));
    let record = Entry::Completed(Arc::new(record()));
    log.say(&record);
    log.listen_from(LogLevel::Warn);
    log.say(&record);
    assert!(!log.hears(LogLevel::Info) && log.hears(LogLevel::Warn));
    assert_eq!(lane.account().accepted, 1);
}
