//! What the lines look like, and what happens when they cannot be written.

use std::sync::mpsc::Sender as StdSender;
use std::time::{Duration, UNIX_EPOCH};

use tokio::time::Instant;

use super::*;
use crate::http::ids::{ClientRequestId, RequestId};
use crate::http::method::Method;
use crate::http::traceparent::{SpanId, TraceId};
use crate::record::{
    Caller, Fact, Failure, Kept, Outcome, RouteNames, Stream, StreamKind, Trace, UpstreamLeg, Value,
};
use crate::telemetry::ledger::Book;
use crate::telemetry::worker;

fn service() -> Service {
    Service {
        name: "vital-orchestrator".to_owned(),
        version: "1.0.0".to_owned(),
        environment: "test".to_owned(),
        attributes: Vec::new(),
    }
}

fn record() -> Record {
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
        class: None,
        would_refuse: None,
        facts: vec![
            Fact { name: "orchestration.mode".into(), value: Value::Member("rag_query".into()) },
            Fact { name: "orchestration.query_length".into(), value: Value::Length(7) },
        ],
        limited_by: None,
        cache: None,
        store_calls: Vec::new(),
    }
}

fn failed() -> Record {
    let outcome = Outcome::Failed(Failure::UpstreamConnect);
    Record { status: Some(502), outcome, upstream: None, ttfb: None, facts: vec![], ..record() }
}

fn line(form: Form, record: &Record) -> String {
    let mut out = Vec::new();
    Format::new(&service(), form).write(record, &mut out);
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
    assert_eq!(line(Form::Json, &record()), expected);
}

#[test]
fn an_error_line_says_what_broke_in_our_words() {
    let json: serde_json::Value = serde_json::from_str(&line(Form::Json, &failed())).unwrap();
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
    assert!(line(Form::Json, &record).contains(r#""stream":true,"events":3,"#));
}

#[test]
fn a_tunnel_does_not_say_that_no_events_passed() {
    let record = Record { status: Some(101), stream: Some(Box::default()), ..record() };
    let line = line(Form::Json, &record);
    assert!(line.contains(r#""stream":true,"outcome""#), "{line}");
}

#[test]
fn the_pretty_form_is_for_people() {
    let line = line(Form::Pretty, &record());
    let start = r#"2024-02-29T23:59:59.012Z [info]: Request completed {"service":"vital-"#;
    assert!(line.starts_with(start), "{line}");
    assert!(line.ends_with("7}\n"), "{line}");
}

#[test]
fn nothing_in_a_record_can_forge_a_line() {
    let url = "/x\"}\n{\"level\":\"error\u{1b}[2J\u{9b}\u{2028}";
    let record = Record { shape: Some(url.into()), ..record() };
    for form in [Form::Json, Form::Pretty] {
        let line = line(form, &record);
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        assert!(!line.trim_end().chars().any(char::is_control), "{line}");
    }
    let json: serde_json::Value = serde_json::from_str(&line(Form::Json, &record)).unwrap();
    assert_eq!(json["url"], url);
    assert_eq!(json["level"], "info");
}

#[test]
fn the_level_decides_before_anything_is_queued() {
    assert!(wants(LogLevel::Info, &record()) && !wants(LogLevel::Warn, &record()));
    assert!(wants(LogLevel::Error, &failed()) && wants(LogLevel::Debug, &record()));
}

#[tokio::test]
async fn files_take_every_line_and_errors_twice() {
    let directory = tempfile::tempdir().unwrap();
    let logs = directory.path().join("deep/logs");
    let sink = AccessLog::files(&service(), &logs).unwrap();
    let (lane, worker) = worker::start(sink, "logs", 10, 10);
    assert!(lane.offer(Arc::new(record())) && lane.offer(Arc::new(failed())));
    worker.stop(Instant::now() + Duration::from_secs(10)).await;

    let read = |name| std::fs::read_to_string(logs.join(name)).unwrap();
    assert_eq!(read("combined.log").lines().count(), 2);
    assert_eq!(read("error.log"), line(Form::Json, &failed()));
    assert_eq!(lane.account().exported, 2);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(logs.join("error.log")).unwrap().permissions().mode();
        assert_eq!(mode & 0o027, 0, "nobody else reads it, the group does not write it");
    }
}

/// Fails every write, or never returns from one.
enum Broken {
    Full,
    Stalled(StdSender<()>, Receiver<()>),
}

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        if let Self::Stalled(started, never) = self {
            started.send(()).unwrap();
            never.recv().ok();
        }
        Err(io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_full_disk_is_counted_and_nothing_else() {
    let sink = AccessLog::console(&service(), Form::Json, Box::new(Broken::Full)).unwrap();
    let (lane, worker) = worker::start(sink, "logs", 10, 1);
    assert!(lane.offer(Arc::new(record())) && lane.offer(Arc::new(record())));
    worker.stop(Instant::now() + Duration::from_secs(10)).await;
    let account = lane.account();
    assert_eq!(account.dropped.get("io"), Some(&2));
    assert!(account.is_balanced());
}

#[tokio::test]
async fn a_reader_that_stalls_fills_the_lane_and_stops_nobody() {
    let (started, stalled) = std::sync::mpsc::channel();
    let (_hold, never) = std::sync::mpsc::channel();
    let out = Broken::Stalled(started, never);
    let sink = AccessLog::console(&service(), Form::Json, Box::new(out)).unwrap();
    let (lane, worker) = worker::start(sink, "logs", 4, 1);
    assert!(lane.offer(Arc::new(record())));
    tokio::task::spawn_blocking(move || stalled.recv().unwrap()).await.unwrap();
    let taken = (0..10).filter(|_| lane.offer(Arc::new(record()))).count();
    assert_eq!(taken, 3, "four are held: one in the writer's hands, three waiting");
    worker.stop(Instant::now()).await;
    let account = lane.account();
    assert_eq!(account.dropped.get("queue_full"), Some(&7));
    assert_eq!(account.dropped.get("shutdown"), Some(&4));
    assert!(account.is_balanced());
}
