//! Spans on the wire: their shape, and what becomes of them when the collector misbehaves.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ScopeSpans, Span};
use opentelemetry_semantic_conventions::attribute as semconv;
use prost::Message;
use tokio::time::Instant;
use vital_sidecar::config::Config;
use vital_sidecar::config::model::{OtlpProtocol, OtlpTarget};
use vital_sidecar::http::traceparent::{SpanId, TraceId};
use vital_sidecar::record::{Failure, Outcome, Record, Refusal};
use vital_sidecar::secret::Secret;
use vital_sidecar::telemetry::export::transport::ConnectError;
use vital_sidecar::telemetry::ledger::{Account, Book};
use vital_sidecar::telemetry::sinks::otlp::OtlpError;
use vital_sidecar::telemetry::sinks::otlp::spans::{self, OtlpSpans, Site};
use vital_sidecar::telemetry::worker;

use crate::support::collector::{Collector, Received, Reply};
use crate::support::records::{orchestration, unmatched};

fn config(endpoint: &str) -> Config {
    let mut config = Config::for_upstream(SocketAddr::from(([127, 0, 0, 1], 3000)));
    config.otlp.traces = Some(OtlpTarget::new(endpoint, OtlpProtocol::Http));
    config
}

fn target(config: &mut Config) -> &mut OtlpTarget {
    config.otlp.traces.as_mut().unwrap()
}

/// Exports the records, stops, and gives the account.
async fn export(config: &Config, records: Vec<Record>) -> Account {
    let sink = OtlpSpans::start(config, None).unwrap().unwrap();
    let (lane, worker) = worker::start(sink, "spans", 1000, 100);
    for record in records {
        assert!(lane.offer(Arc::new(record)));
    }
    worker.stop(Instant::now() + Duration::from_secs(20)).await;
    let account = lane.account();
    assert!(account.is_balanced(), "{account}");
    account
}

fn of_kind(spans: &[Received], kind: SpanKind) -> &Received {
    let mut found = spans.iter().filter(|received| received.span.kind == kind as i32);
    let first = found.next().expect("a span of this kind");
    assert!(found.next().is_none(), "only one");
    first
}

#[tokio::test]
async fn an_exchange_leaves_server_internal_and_client_spans_under_each_other() {
    let collector = Collector::start().await;
    let mut record = orchestration();
    record.trace.parent = Some(SpanId([9; 8]));
    let account = export(&config(&collector.endpoint()), vec![record.clone()]).await;
    assert_eq!((account.accepted, account.exported), (3, 3));

    let spans = collector.spans(3).await;
    let server = of_kind(&spans, SpanKind::Server);
    let internal = of_kind(&spans, SpanKind::Internal);
    let client = of_kind(&spans, SpanKind::Client);
    assert_eq!(server.span.name, "POST /api/orchestrate");
    assert_eq!(server.span.parent_span_id, [9; 8]);
    assert_eq!(internal.span.name, "orchestration.execute");
    assert_eq!(internal.span.parent_span_id, server.span.span_id);
    assert_eq!(client.span.parent_span_id, internal.span.span_id);
    assert_eq!(client.span.span_id, record.trace.client_span.0, "the upstream was told this id");
    assert_eq!(server.attribute("http.route").as_deref(), Some("/api/orchestrate"));
    assert_eq!(server.attribute("client.address").as_deref(), Some("192.0.2.0"));
    assert_eq!(server.attribute("sidecar.request_id"), Some(record.request_id.to_string()));
    assert_eq!(internal.attribute("orchestration.mode").as_deref(), Some("rag_query"));
    assert_eq!(internal.attribute("orchestration.query_length").as_deref(), Some("7"));
    assert_eq!(client.attribute("server.port").as_deref(), Some("3000"));
    assert_eq!(
        client.attribute("url.full").as_deref(),
        Some("http://127.0.0.1:3000/api/orchestrate")
    );
    assert_eq!(server.scope, "vital-orchestrator");
    assert_eq!(server.resource["service.name"], "vital-orchestrator");
    assert_eq!(server.resource["deployment.environment.name"], "development");
    assert!(server.resource.contains_key("service.instance.id"));
}

#[tokio::test]
async fn bodies_are_gzipped_only_where_asked_and_headers_are_sent() {
    let collector = Collector::start().await;
    let mut config = config(&collector.endpoint());
    target(&mut config).compress = true;
    target(&mut config).headers = vec![("x-api-key".to_owned(), Secret::new("100%41"))];
    export(&config, vec![orchestration()]).await;
    target(&mut config).compress = false;
    export(&config, vec![unmatched()]).await;

    assert_eq!(collector.spans(5).await.len(), 5);
    let requests = collector.requests();
    assert_eq!(requests[0]["content-encoding"], "gzip");
    assert_eq!(requests[0]["x-api-key"], "100%41", "sent as it is written");
    assert_eq!(requests[1].get("content-encoding"), None);
}

#[tokio::test]
async fn a_failure_marks_every_span_and_says_it_in_our_words() {
    let collector = Collector::start().await;
    let mut record = orchestration();
    record.status = Some(502);
    record.outcome = Outcome::Failed(Failure::UpstreamReset);
    export(&config(&collector.endpoint()), vec![record]).await;

    let spans = collector.spans(3).await;
    for received in &spans {
        assert_eq!(received.span.status.as_ref().unwrap().code, StatusCode::Error as i32);
        assert_eq!(received.attribute("error.type").as_deref(), Some("upstream_reset"));
    }
    let [event] = &of_kind(&spans, SpanKind::Internal).span.events[..] else {
        panic!("one exception event");
    };
    assert_eq!(event.name, "exception");
    let text = format!("{:?}", event.attributes);
    assert!(
        text.contains("upstream_reset") && text.contains("Upstream connection lost."),
        "{text}"
    );
}

#[test]
fn a_refusal_is_no_error_of_the_service() {
    let mut record = orchestration();
    record.status = Some(429);
    record.outcome = Outcome::Refused(Refusal::RateLimited);
    record.upstream = None;
    let count = spans::count(&record);
    let spans = spans_of(record);
    assert_eq!(spans.len() as u64, count);
    assert!(
        spans.iter().all(|span| span.status.as_ref().unwrap().code == StatusCode::Unset as i32)
    );
}

#[tokio::test]
async fn a_client_error_of_the_upstream_is_an_error_of_the_client_span_only() {
    let collector = Collector::start().await;
    let mut record = unmatched();
    record.status = Some(404);
    record.upstream.as_mut().unwrap().status = Some(404);
    export(&config(&collector.endpoint()), vec![record]).await;

    let spans = collector.spans(2).await;
    let client = of_kind(&spans, SpanKind::Client);
    let server = of_kind(&spans, SpanKind::Server);
    assert_eq!(client.span.status.as_ref().unwrap().code, StatusCode::Error as i32);
    assert_eq!(client.attribute("error.type").as_deref(), Some("404"));
    assert_eq!(server.span.status.as_ref().unwrap().code, StatusCode::Unset as i32);
    assert_eq!(server.span.name, "POST _unmatched");
    assert_eq!(client.span.parent_span_id, server.span.span_id);
}

#[tokio::test]
async fn an_untrusted_caller_is_linked_and_not_believed() {
    let collector = Collector::start().await;
    let mut record = unmatched();
    record.trace.link = Some((TraceId([7; 16]), SpanId([8; 8])));
    export(&config(&collector.endpoint()), vec![record]).await;

    let spans = collector.spans(2).await;
    let server = of_kind(&spans, SpanKind::Server);
    assert!(server.span.parent_span_id.is_empty());
    assert_eq!(server.span.links[0].trace_id, [7; 16]);
    assert_eq!(server.span.links[0].span_id, [8; 8]);
}

#[test]
fn attribute_keys_are_those_of_the_semantic_conventions() {
    let mut record = orchestration();
    record.outcome = Outcome::Failed(Failure::ResponseHeaderTimeout);
    let known = [
        semconv::CLIENT_ADDRESS,
        semconv::ERROR_TYPE,
        semconv::HTTP_REQUEST_METHOD,
        semconv::HTTP_RESPONSE_STATUS_CODE,
        semconv::HTTP_ROUTE,
        semconv::NETWORK_PROTOCOL_VERSION,
        semconv::SERVER_ADDRESS,
        semconv::SERVER_PORT,
        semconv::URL_FULL,
        semconv::URL_PATH,
        semconv::URL_SCHEME,
        semconv::EXCEPTION_TYPE,
        semconv::EXCEPTION_MESSAGE,
        "sidecar.request_id",
        "orchestration.mode",
        "orchestration.query_length",
    ];
    let mut unused: Vec<_> = known.to_vec();
    for span in spans_of(record) {
        let events = span.events.iter().flat_map(|event| &event.attributes);
        for attribute in span.attributes.iter().chain(events) {
            let key = attribute.key.as_str();
            assert!(known.contains(&key), "{key} is not a known attribute");
            unused.retain(|known| *known != key);
        }
    }
    assert_eq!(unused, [""; 0]);
}

#[tokio::test]
async fn a_busy_collector_is_asked_again_after_the_pause_it_wants() {
    let collector = Collector::start().await;
    collector.script([Reply::Status(503, Some(0)), Reply::Reset, Reply::Status(429, None)]);
    let account = export(&config(&collector.endpoint()), vec![orchestration()]).await;
    assert_eq!((account.exported, account.lost()), (3, 0));
    assert_eq!(collector.requests().len(), 4);
    assert!(account.last_success.is_some());
}

#[tokio::test]
async fn what_the_collector_rejects_is_counted() {
    let collector = Collector::start().await;
    collector.script([Reply::Partial(2)]);
    let account = export(&config(&collector.endpoint()), vec![orchestration()]).await;
    assert_eq!(account.exported, 1);
    assert_eq!(account.dropped, BTreeMap::from([("rejected", 2)]));
    assert_eq!(account.attempts, BTreeMap::from([("partial", 1)]));
}

#[tokio::test]
async fn a_refused_batch_is_not_sent_again() {
    let collector = Collector::start().await;
    collector.script([Reply::Status(400, None)]);
    let account = export(&config(&collector.endpoint()), vec![orchestration()]).await;
    assert_eq!(account.dropped, BTreeMap::from([("refused", 3)]));
    assert_eq!(collector.requests().len(), 1);
}

#[tokio::test]
async fn at_the_end_nobody_waits_for_a_collector_that_asks_for_an_hour() {
    let collector = Collector::start().await;
    for asked in [3600, u64::MAX] {
        collector.script([Reply::Status(503, Some(asked))]);
        let account = export(&config(&collector.endpoint()), vec![orchestration()]).await;
        assert_eq!(account.dropped, BTreeMap::from([("shutdown", 3)]));
        assert_eq!(account.attempts, BTreeMap::from([("failure", 1)]));
    }
}

#[tokio::test]
async fn an_attempt_that_takes_too_long_is_made_again() {
    let collector = Collector::start().await;
    collector.script([Reply::Delay(Duration::from_mins(1))]);
    let mut config = config(&collector.endpoint());
    target(&mut config).timeout = Duration::from_millis(100);
    let account = export(&config, vec![orchestration()]).await;
    assert_eq!((account.exported, account.lost()), (3, 0));
    assert_eq!(account.attempts, BTreeMap::from([("failure", 1), ("success", 1)]));
}

#[tokio::test]
async fn without_a_collector_spans_are_dropped_at_once_and_counted() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut config = config(&format!("http://{free}/v1/traces"));
    target(&mut config).is_configured = false;
    let started = Instant::now();
    let account = export(&config, vec![orchestration(), unmatched()]).await;
    assert_eq!(account.dropped, BTreeMap::from([("unreachable", 5)]));
    assert!(
        started.elapsed() < target(&mut config).timeout,
        "no patience for what nobody asked for"
    );
}

#[test]
fn settings_that_cannot_work_are_named_without_their_secrets() {
    let error = OtlpSpans::start(&config("ftp://example/v1/traces"), None).unwrap_err();
    assert!(matches!(error, OtlpError::Target(ConnectError::Endpoint)), "{error}");
    let mut config = config("http://localhost:4318/v1/traces");
    target(&mut config).headers = vec![("x-key".to_owned(), Secret::new("hidden\n"))];
    let error = OtlpSpans::start(&config, None).unwrap_err().to_string();
    assert!(error.contains("`x-key`") && !error.contains("hidden"), "{error}");
    config.otlp.traces = None;
    assert!(OtlpSpans::start(&config, None).unwrap().is_none());
}

#[tokio::test]
async fn the_collector_of_these_tests_is_strict() {
    let collector = Collector::start().await;
    let mut record = unmatched();
    record.trace.server_span = SpanId([0; 8]);
    record.trace.client_span = SpanId([0; 8]);
    let account = export(&config(&collector.endpoint()), vec![record]).await;
    assert_eq!(account.dropped, BTreeMap::from([("refused", 2)]));
    let complaints = collector.complaints().join("\n");
    assert!(
        complaints.contains("malformed id") && complaints.contains("came twice"),
        "{complaints}"
    );
}

fn spans_of(record: Record) -> Vec<Span> {
    let config = Config::for_upstream(SocketAddr::from(([127, 0, 0, 1], 3000)));
    let encoded = spans::encode(&[Arc::new(record)], &Site::new(&config.upstream));
    ScopeSpans::decode(&encoded[..]).unwrap().spans
}
