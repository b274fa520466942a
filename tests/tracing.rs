//! Traces of whole requests, from the client's header to the collector and the upstream.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use vital_sidecar::config::Config;

use crate::captures::ORCHESTRATE;
use crate::support::client::Client;
use crate::support::collector::{Collector, Received, Reply};
use crate::support::house::{self, House, config};
use crate::support::recorder::{Recorder, Seen, recording};
use crate::support::upstream;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const UNSAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

struct Scene {
    recorder: Recorder,
    collector: Collector,
    house: House,
}

fn exporting(upstream: SocketAddr, endpoint: &str, more: &str) -> Config {
    let base = endpoint.strip_suffix("/v1/traces").expect("a traces endpoint");
    config(
        upstream,
        &format!("[otlp]\nendpoint = \"{base}\"\ntimeout = \"2s\"\n{more}{ORCHESTRATE}"),
    )
}

async fn scene(more: &str) -> Scene {
    let (recorder, collector) = (recording().await, Collector::start().await);
    let config = exporting(recorder.upstream.address, &collector.endpoint(), more);
    let house = house::open(&config).await;
    Scene { recorder, collector, house }
}

impl Scene {
    /// Sends a GET with these fields; gives what the upstream saw, and the spans by kind.
    async fn visit(self, fields: &str) -> (Seen, BTreeMap<i32, Received>) {
        let mut client = self.house.client().await;
        client.say(format!("GET /x HTTP/1.1\r\nhost: a\r\n{fields}\r\n")).await;
        assert_eq!(client.answer().await.status, 200);
        self.house.close().await;
        let spans = self.collector.spans(2).await;
        (self.recorder.only(), by_kind(spans))
    }
}

fn by_kind(spans: Vec<Received>) -> BTreeMap<i32, Received> {
    let count = spans.len();
    let kinds: BTreeMap<_, _> = spans.into_iter().map(|span| (span.span.kind, span)).collect();
    assert_eq!(kinds.len(), count, "one span of each kind");
    kinds
}

/// Bytes in lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("memory takes it");
        text
    })
}

const SERVER: i32 = SpanKind::Server as i32;
const INTERNAL: i32 = SpanKind::Internal as i32;
const CLIENT: i32 = SpanKind::Client as i32;

#[tokio::test]
async fn a_request_is_one_trace_from_the_client_to_the_upstream() {
    let scene = scene("").await;
    let body = r#"{"mode":"rag_query","query":"four"}"#;
    let answer = scene.house.client().await.post("/api/orchestrate", body).await;
    assert_eq!(answer.status, 200);
    let line = scene.house.lines(1).await.remove(0);
    assert!(scene.house.close().await.is_clean());

    let spans = by_kind(scene.collector.spans(3).await);
    let (server, internal, client) = (&spans[&SERVER], &spans[&INTERNAL], &spans[&CLIENT]);
    assert_eq!(server.span.name, "POST /api/orchestrate");
    assert_eq!(internal.span.name, "orchestration.execute");
    assert_eq!(client.span.name, "POST");
    assert!(server.span.parent_span_id.is_empty() && server.span.links.is_empty());
    assert_eq!(internal.span.parent_span_id, server.span.span_id);
    assert_eq!(client.span.parent_span_id, internal.span.span_id);
    assert_eq!(internal.attribute("orchestration.mode").as_deref(), Some("rag_query"));
    assert_eq!(internal.attribute("orchestration.query_length").as_deref(), Some("4"));
    let id = answer.field("x-request-id").map(str::to_owned);
    assert_eq!(server.attribute("sidecar.request_id"), id);

    let trace = hex(&server.span.trace_id);
    let told = scene.recorder.only();
    let expected = format!("00-{trace}-{}-03", hex(&client.span.span_id));
    assert_eq!(told.field("traceparent"), Some(&*expected), "the upstream's parent is our CLIENT");
    assert_eq!(line["traceId"], trace, "the log line is in the trace");
    assert_eq!(line["spanId"], hex(&server.span.span_id));
}

#[tokio::test]
async fn a_strangers_trace_is_linked_and_neither_continued_nor_obeyed() {
    for parent in [PARENT, UNSAMPLED] {
        let scene = scene("").await;
        let fields = format!("traceparent: {parent}\r\ntracestate: vendor=CANARY\r\n");
        let (told, spans) = scene.visit(&fields).await;
        let server = &spans[&SERVER].span;
        assert_ne!(hex(&server.trace_id), &PARENT[3..35]);
        assert!(server.parent_span_id.is_empty());
        assert_eq!(server.links.len(), 1);
        assert_eq!(hex(&server.links[0].trace_id), &PARENT[3..35]);
        assert_eq!(hex(&server.links[0].span_id), &PARENT[36..52]);
        let traceparent = told.field("traceparent").expect("a context of ours");
        assert_eq!(traceparent[3..35], hex(&server.trace_id));
        assert_eq!(told.field("tracestate"), None, "a stranger's state goes nowhere");
    }
}

#[tokio::test]
async fn a_trusted_proxys_trace_is_continued_with_its_state() {
    let scene = scene("[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n").await;
    let fields = format!("traceparent: {PARENT}\r\ntracestate: vendor=1\r\n");
    let (told, spans) = scene.visit(&fields).await;
    let server = &spans[&SERVER].span;
    assert_eq!(hex(&server.trace_id), &PARENT[3..35]);
    assert_eq!(hex(&server.parent_span_id), &PARENT[36..52]);
    assert!(server.links.is_empty());
    assert_eq!(told.field("tracestate"), Some("vendor=1"));
    let expected = format!("{}{}-01", &PARENT[..36], hex(&spans[&CLIENT].span.span_id));
    assert_eq!(told.field("traceparent"), Some(&*expected));
}

#[tokio::test]
async fn a_trusted_proxys_decision_is_kept_against_the_ratio() {
    for (parent, ratio, spans) in [(UNSAMPLED, "1.0", 0), (PARENT, "0.0", 2)] {
        let scene = scene(&format!(
            "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n[tracing.sampling]\nratio = {ratio}\n"
        ))
        .await;
        let mut client = scene.house.client().await;
        client.say(format!("GET /x HTTP/1.1\r\nhost: a\r\ntraceparent: {parent}\r\n\r\n")).await;
        assert_eq!(client.answer().await.status, 200);
        let farewell = scene.house.close().await;
        let accounts = farewell.ledger.snapshot();
        let account = accounts.iter().find(|account| account.signal == "traces").expect("spans");
        assert_eq!((account.accepted, account.exported), (spans, spans));
        let told = scene.recorder.only();
        let flags = &told.field("traceparent").expect("a context")[53..];
        assert_eq!(flags, &parent[53..], "the upstream hears the same decision");
    }
}

#[tokio::test]
async fn at_ratio_zero_nothing_is_sent_and_the_upstream_is_told_so() {
    let scene = scene("[tracing.sampling]\nratio = 0.0\n").await;
    let mut client = scene.house.client().await;
    for _ in 0..20 {
        client.get("/x").await;
    }
    scene.house.close().await;
    assert!(scene.collector.requests().is_empty());
    for told in scene.recorder.seen() {
        assert!(
            told.field("traceparent").expect("a context").ends_with("-02"),
            "random, not sampled"
        );
    }
}

#[tokio::test]
async fn malformed_contexts_are_as_good_as_none() {
    let twice = format!("traceparent: {PARENT}\r\ntraceparent: {PARENT}\r\n");
    for fields in ["traceparent: 00-zz\r\n", "traceparent: \u{e9}\r\n", &twice] {
        let (_told, spans) = scene("[tracing]\ntrust = \"always\"\n").await.visit(fields).await;
        let server = &spans[&SERVER].span;
        assert!(server.parent_span_id.is_empty() && server.links.is_empty(), "{fields:?}");
        assert_ne!(hex(&server.trace_id), &PARENT[3..35]);
    }
}

#[tokio::test]
async fn refusals_and_failures_have_their_spans_too() {
    let collector = Collector::start().await;
    let nobody = upstream::nobody().await;
    let house = house::open(&exporting(nobody, &collector.endpoint(), "")).await;
    assert_eq!(house.client().await.get("/a%00b").await.status, 400);
    assert_eq!(house.client().await.get("/x").await.status, 502);
    house.close().await;
    let spans = collector.spans(3).await;
    let refused = spans.iter().find(|span| span.span.name == "GET _invalid").expect("a refusal");
    assert_eq!(refused.attribute("error.type").as_deref(), Some("bad_request"));
    let failed = spans.iter().find(|span| span.span.name == "GET _unmatched").expect("a failure");
    assert_eq!(failed.attribute("error.type").as_deref(), Some("upstream_connect"));
}

/// Ten requests that must not notice what the collector does, and how their spans ended.
async fn ten_through(endpoint: &str) -> (u64, BTreeMap<&'static str, u64>) {
    let recorder = recording().await;
    let mut config = exporting(recorder.upstream.address, endpoint, "");
    config.otlp.traces.as_mut().unwrap().timeout = Duration::from_millis(200);
    config.server.drain.timeout = Duration::from_secs(2);
    let house = house::open(&config).await;
    let mut client = Client::connect(house.data).await;
    for _ in 0..10 {
        assert_eq!(client.get("/x").await.status, 200);
    }
    assert_eq!(house.lines(10).await.len(), 10, "the other voices speak on");
    let farewell = house.close().await;
    assert!(farewell.all_finished);
    let accounts = farewell.ledger.snapshot();
    let traces = accounts.iter().find(|account| account.signal == "traces").expect("an account");
    assert_eq!((traces.accepted, traces.exported + traces.lost()), (20, 20));
    (traces.exported, traces.dropped.clone())
}

#[tokio::test]
async fn a_collector_that_is_not_there_costs_spans_and_nothing_else() {
    let endpoint = format!("http://{}/v1/traces", upstream::nobody().await);
    let (exported, dropped) = ten_through(&endpoint).await;
    assert_eq!((exported, dropped.values().sum::<u64>()), (0, 20), "{dropped:?}");
}

#[tokio::test]
async fn a_collector_that_refuses_costs_spans_and_nothing_else() {
    let collector = Collector::start().await;
    collector.script(std::iter::repeat_n(Reply::Status(400, None), 50));
    let (exported, dropped) = ten_through(&collector.endpoint()).await;
    assert_eq!((exported, dropped.values().sum::<u64>()), (0, 20), "{dropped:?}");
}

#[tokio::test]
async fn a_collector_that_hangs_up_costs_spans_and_nothing_else() {
    let collector = Collector::start().await;
    collector.script(std::iter::repeat_n(Reply::Reset, 500));
    let (exported, dropped) = ten_through(&collector.endpoint()).await;
    assert_eq!((exported, dropped.values().sum::<u64>()), (0, 20), "{dropped:?}");
}

#[tokio::test]
async fn a_collector_that_never_answers_costs_spans_and_nothing_else() {
    let collector = Collector::start().await;
    collector.script(std::iter::repeat_n(Reply::Delay(Duration::from_mins(5)), 500));
    let (exported, dropped) = ten_through(&collector.endpoint()).await;
    assert_eq!((exported, dropped.values().sum::<u64>()), (0, 20), "{dropped:?}");
}
