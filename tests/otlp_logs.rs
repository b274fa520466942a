//! Log records at a collector: their ids are those of the spans, and what becomes of them while the
//! collector is down or mistaken is what becomes of spans.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_semantic_conventions::attribute as semconv;
use serde_json::Value;
use tokio::time::Instant;
use vital_sidecar::config::model::{OtlpProtocol, OtlpTarget};

use crate::support::PATIENCE;
use crate::support::collector::{Collector, ReceivedLog, Reply};
use crate::support::house::{self, House, config};
use crate::support::upstream::{self, Upstream};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const SAMPLED: u32 = 1;

/// A sidecar that sends its log to this collector, and nothing else.
async fn exporting(upstream: &Upstream, collector: &Collector, more: &str) -> House {
    let mut config = config(upstream.address, more);
    let target = OtlpTarget::new(collector.logs_endpoint(), OtlpProtocol::Http);
    config.otlp.logs = Some(OtlpTarget { timeout: Duration::from_millis(300), ..target });
    house::open(&config).await
}

/// A sidecar that sends everything there.
async fn sending_all(upstream: &Upstream, collector: &Collector, more: &str) -> House {
    let base = collector.endpoint();
    let text = format!("[otlp]\nendpoint = \"{base}\"\ncompression = \"gzip\"\n{more}");
    house::open(&config(upstream.address, &text)).await
}

fn spooling(directory: &Path) -> String {
    format!("[spool]\ndirectory = \"{}\"\n", directory.display())
}

async fn load(house: &House, requests: usize) {
    let mut client = house.client().await;
    for _ in 0..requests {
        assert_eq!(client.get("/a").await.status, 200);
    }
}

/// Asks for the account of the log records until it is as it should be; it always balances.
async fn until(house: &House, what: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let status = house.ask("/status").await.json();
        let ledger = status["ledger"].as_array().expect("a ledger");
        let is_ours = |account: &&Value| account["signal"] == "logs" && account["sink"] == "otlp";
        let account = ledger.iter().find(is_ours).expect("an account").clone();
        let dropped = account["dropped"].as_object().expect("reasons");
        let lost: u64 = dropped.values().filter_map(Value::as_u64).sum();
        let count = |name: &str| account[name].as_u64().expect("a count");
        let parts = count("exported") + lost + count("in_flight");
        assert_eq!(count("accepted"), parts, "{account}");
        if what(&account) {
            return account;
        }
        assert!(began.elapsed() < 2 * PATIENCE, "never happened: {account}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn is_done(requests: u64) -> impl Fn(&Value) -> bool {
    move |account| account["in_flight"] == 0 && account["exported"].as_u64() >= Some(requests)
}

/// Waits for the exchanges of so many requests; each came once.
async fn each_once(collector: &Collector, requests: usize) {
    let logs = collector.exchanges(requests).await;
    let ids: BTreeSet<_> = logs.iter().map(|log| log.attribute("sidecar.request_id")).collect();
    assert_eq!((logs.len(), ids.len()), (requests, requests), "each once");
}

fn said(log: &ReceivedLog) -> &str {
    match log.record.body.as_ref().and_then(|body| body.value.as_ref()) {
        Some(Any::StringValue(text)) => text,
        other => panic!("a body that is no text: {other:?}"),
    }
}

#[tokio::test]
async fn a_log_record_carries_the_ids_of_its_span_and_the_words_of_the_conventions() {
    let (upstream, collector) = (upstream::answering(OK).await, Collector::start().await);
    let more = "[[routes]]\nmatch = \"POST /orders/{id}\"\n";
    let house = sending_all(&upstream, &collector, more).await;
    let mut client = house.client().await;
    let head = "POST /orders/4711?secret=1 HTTP/1.1\r\nhost: a\r\nuser-agent: curl/8.5.0\r\n";
    client.say(format!("{head}content-length: 3\r\n\r\nabc")).await;
    assert_eq!(client.answer().await.status, 200);
    let (spans, logs) = (collector.spans(2).await, collector.exchanges(1).await);
    house.close().await;

    let server = spans.iter().find(|span| span.span.kind == SpanKind::Server as i32).unwrap();
    let [log] = &logs[..] else { panic!("one line of the log") };
    let record = &log.record;
    assert_eq!((&record.trace_id, &record.span_id), (&server.span.trace_id, &server.span.span_id));
    assert_eq!(record.flags & 0xff, server.span.flags & 0xff, "they say the same of the trace");
    assert_eq!(record.flags & SAMPLED, SAMPLED);
    assert_eq!((said(log), &*record.severity_text), ("Request completed", "INFO"));
    assert_eq!(record.severity_number, 9);
    assert_eq!((&log.resource, &log.scope), (&server.resource, &server.scope));
    for (key, value) in [
        (semconv::HTTP_REQUEST_METHOD, "POST"),
        (semconv::HTTP_ROUTE, "/orders/{id}"),
        (semconv::URL_PATH, "/orders/{id}"),
        (semconv::HTTP_RESPONSE_STATUS_CODE, "200"),
        (semconv::USER_AGENT_ORIGINAL, "curl/8.5.0"),
        (semconv::CLIENT_ADDRESS, "127.0.0.0"),
        (semconv::HTTP_REQUEST_BODY_SIZE, "3"),
        (semconv::HTTP_RESPONSE_BODY_SIZE, "2"),
        ("sidecar.outcome", "served"),
    ] {
        assert_eq!(log.attribute(key).as_deref(), Some(value), "{key}");
    }
    let id = |key| (log.attribute(key), server.attribute(key));
    let (of_log, of_span) = id("sidecar.request_id");
    assert!(of_log.is_some() && of_log == of_span);
    assert!(!format!("{record:?}").contains("4711"), "no path of a client");
    let heads = collector.log_requests();
    assert!(heads.iter().all(|head| head["content-encoding"] == "gzip"), "{heads:?}");
}

#[tokio::test]
async fn an_exchange_whose_spans_are_not_kept_still_tells_its_trace() {
    let (upstream, collector) = (upstream::answering(OK).await, Collector::start().await);
    let more = "[tracing.sampling]\nratio = 0.0\n";
    let house = sending_all(&upstream, &collector, more).await;
    load(&house, 3).await;
    let logs = collector.exchanges(3).await;
    house.close().await;
    assert!(collector.requests().is_empty(), "no span was sent");
    for log in logs {
        // The collector has looked at the ids.
        assert_eq!((log.record.trace_id.len(), log.record.flags & SAMPLED), (16, 0));
    }
}

#[tokio::test]
async fn severity_follows_the_level_of_the_line() {
    let collector = Collector::start().await;
    let nobody = upstream::nobody().await;
    let more = "[[routes]]\nmatch = \"* /closed\"\naction = \"deny\"\n";
    let mut config = config(nobody, more);
    config.otlp.logs = Some(OtlpTarget::new(collector.logs_endpoint(), OtlpProtocol::Http));
    let house = house::open(&config).await;
    let mut client = house.client().await;
    assert_eq!(client.get("/closed").await.status, 403);
    assert_eq!(client.get("/a").await.status, 502);
    let logs = collector.exchanges(2).await;
    house.close().await;
    let found: Vec<_> = logs.iter().map(|log| log.record.severity_number).collect();
    assert_eq!(found, [13, 17]);
    assert_eq!(logs[0].attribute(semconv::ERROR_TYPE).as_deref(), Some("forbidden"));
    assert_eq!(logs[1].attribute(semconv::ERROR_TYPE).as_deref(), Some("upstream_connect"));
    let message = |log: &ReceivedLog| log.attribute("error.message");
    assert!(message(&logs[0]).is_none() && message(&logs[1]).is_some());
}

#[tokio::test]
async fn a_collector_in_trouble_gets_every_log_record_once_it_is_well() {
    let troubles: [&[Reply]; 3] = [
        &[Reply::Status(503, None), Reply::Status(429, Some(1))],
        &[Reply::Reset, Reply::Reset],
        &[Reply::Delay(Duration::from_mins(1))],
    ];
    for trouble in troubles {
        let (upstream, collector) = (upstream::answering(OK).await, Collector::start().await);
        collector.script(trouble.iter().cloned());
        let house = exporting(&upstream, &collector, "").await;
        load(&house, 20).await;
        load(&house, 20).await;
        let account = until(&house, is_done(40)).await;
        assert_eq!(account["dropped"], serde_json::json!({}), "{trouble:?}");
        assert!(account["attempts"]["failure"].as_u64() >= Some(1), "{account}");
        each_once(&collector, 40).await;
        house.close().await;
    }
}

#[tokio::test]
async fn a_no_and_a_partial_yes_are_counted() {
    let (upstream, collector) = (upstream::answering(OK).await, Collector::start().await);
    collector.script([Reply::Status(400, None), Reply::Partial(2)]);
    let house = exporting(&upstream, &collector, "").await;
    load(&house, 3).await;
    until(&house, |account| account["dropped"]["refused"] == 3).await;
    load(&house, 5).await;
    let account = until(&house, |account| account["dropped"]["rejected"] == 2).await;
    assert_eq!(account["exported"], 3, "{account}");
    let attempts = serde_json::json!({"failure": 1, "partial": 1});
    assert_eq!(account["attempts"], attempts, "{account}");
    let series =
        "sidecar_telemetry_dropped_total{signal=\"logs\",sink=\"otlp\",reason=\"refused\"}";
    house.until_metric(series, 3.0).await;
    house.close().await;
}

#[tokio::test]
async fn what_waits_in_the_spool_the_next_sidecar_delivers() {
    let (upstream, mut collector) = (upstream::answering(OK).await, Collector::start().await);
    collector.go_away().await;
    let directory = tempfile::tempdir().unwrap();
    let house = exporting(&upstream, &collector, &spooling(directory.path())).await;
    load(&house, 20).await;
    until(&house, |account| account["accepted"].as_u64() >= Some(20)).await;
    let farewell = house.close().await;
    let ledger = farewell.ledger.snapshot();
    let is_ours = |account: &&vital_sidecar::telemetry::ledger::Account| {
        account.signal == "logs" && account.sink == "otlp"
    };
    let account = ledger.iter().find(is_ours).expect("an account");
    assert!(account.spooled >= 20 && account.is_balanced() && account.lost() == 0, "{account}");

    collector.come_back().await;
    let house = exporting(&upstream, &collector, &spooling(directory.path())).await;
    let account = until(&house, is_done(account.spooled)).await;
    assert!(account["recovered"].as_u64() >= Some(20), "{account}");
    each_once(&collector, 20).await;
    house.close().await;
}

#[tokio::test]
async fn nobody_is_sent_a_log_without_having_been_named() {
    let upstream = upstream::answering(OK).await;
    let house = house::open(&config(upstream.address, "")).await;
    load(&house, 1).await;
    let status = house.ask("/status").await.json();
    let sinks: Vec<_> =
        status["ledger"].as_array().unwrap().iter().map(|account| &account["sink"]).collect();
    assert_eq!(sinks, ["console"]);
    house.close().await;
}
