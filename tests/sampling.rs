//! Which exchanges leave spans: by the head decision, or at the end for a reason and within its budget.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::collector::{Collector, Received};
use crate::support::house::{self, House, config};
use crate::support::upstream::{self, Upstream};

/// A service whose path says how it behaves.
async fn service() -> Upstream {
    upstream::scripted(|mut wire| async move {
        while let Some(head) = wire.head().await {
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            match path.as_str() {
                "/error" => wire.say("HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n").await,
                "/missing" => wire.say("HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n").await,
                "/slow" => {
                    tokio::time::sleep(Duration::from_millis(1100)).await;
                    wire.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
                }
                "/stream" => {
                    let kind = "content-type: text/event-stream";
                    wire.say(format!("HTTP/1.1 200 OK\r\n{kind}\r\n\r\ndata: 1\n\n")).await;
                    tokio::time::sleep(Duration::from_millis(1100)).await;
                    return wire.say("data: 2\n\n").await;
                }
                "/stalls" => {
                    wire.say("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await;
                    wire.closed().await;
                    return;
                }
                "/breaks" => {
                    wire.say("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await;
                    return;
                }
                _ => wire.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await,
            }
        }
    })
    .await
}

struct Scene {
    upstream: Upstream,
    collector: Collector,
    house: House,
}

/// A sidecar whose ratio is zero.
async fn scene(more: &str) -> Scene {
    let (upstream, collector) = (service().await, Collector::start().await);
    let endpoint = collector.endpoint();
    let base = endpoint.strip_suffix("/v1/traces").expect("a traces endpoint");
    let text = format!("[otlp]\nendpoint = \"{base}\"\n[tracing.sampling]\nratio = 0.0\n{more}");
    let house = house::open(&config(upstream.address, &text)).await;
    Scene { upstream, collector, house }
}

impl Scene {
    async fn visit(&self, path: &str) {
        let mut client = self.house.client().await;
        client.say(format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")).await;
        client.rest().await;
    }

    /// What `/status` says of the reasons.
    async fn counts(&self) -> Value {
        self.house.ask("/status").await.json()["sampling"].clone()
    }

    async fn close(self) -> Vec<Received> {
        self.house.close().await;
        self.collector.spans(0).await
    }
}

/// The reasons of the SERVER spans, in the order of their arrival.
fn reasons(spans: &[Received]) -> Vec<String> {
    let servers = spans.iter().filter(|it| it.attribute("sidecar.request_id").is_some());
    servers.map(|it| it.attribute("sampling.reason").unwrap_or_default()).collect()
}

/// Whether each line of the log says that its spans are kept.
fn kept(lines: &[Value]) -> Vec<bool> {
    lines.iter().map(|line| line["sampled"].as_bool().expect("a flag")).collect()
}

#[tokio::test]
async fn errors_cut_answers_and_chosen_statuses_are_kept_with_their_reason() {
    let more = "keep_status = [404]\n[upstream.timeouts]\nidle = \"100ms\"\n";
    let scene = scene(more).await;
    for path in ["/fine", "/error", "/stalls", "/breaks", "/missing", "/fine"] {
        scene.visit(path).await;
    }
    let lines = scene.house.lines(6).await;
    assert_eq!(kept(&lines), [false, true, true, true, true, false]);
    let counts = scene.counts().await;
    assert_eq!(counts["error"], json!({ "kept": 1, "over_budget": 0 }));
    assert_eq!(counts["aborted"], json!({ "kept": 2, "over_budget": 0 }));
    let heads = scene.upstream.heads();
    let spans = scene.close().await;
    assert_eq!(reasons(&spans), ["error", "aborted", "aborted", "status"]);
    assert_eq!(spans.len(), 8, "SERVER and CLIENT of each, and nothing of the others");
    let carrying = spans.iter().filter(|it| it.attribute("sampling.reason").is_some());
    assert_eq!(carrying.count(), 4, "the SERVER span alone carries the reason");
    assert_eq!(heads.len(), 6);
    for head in heads {
        let parent = head.lines().find(|line| line.starts_with("traceparent:")).expect("a context");
        assert!(parent.ends_with("-02"), "the service was told of the head decision: {parent}");
    }
}

#[tokio::test]
async fn slow_answers_are_kept_and_a_long_stream_is_not_slow() {
    let scene = scene("keep_slow = \"1s\"\n").await;
    tokio::join!(scene.visit("/slow"), scene.visit("/stream"), scene.visit("/fine"));
    let lines = scene.house.lines(3).await;
    for line in &lines {
        let is_slow = line["ttfb"].as_f64().expect("milliseconds") >= 1000.0;
        assert_eq!(line["sampled"], is_slow, "{line}");
    }
    assert_eq!(kept(&lines).iter().filter(|kept| **kept).count(), 1);
    assert_eq!(lines.iter().filter(|line| line["duration"].as_f64() >= Some(1000.0)).count(), 2);
    assert_eq!(reasons(&scene.close().await), ["slow"]);
}

#[tokio::test]
async fn a_flood_of_errors_spends_its_budget_and_no_other() {
    let scene = scene("keep_per_second = 5\nkeep_status = [404]\n").await;
    let began = Instant::now();
    let mut client = scene.house.client().await;
    for _ in 0..100 {
        assert_eq!(client.get("/error").await.status, 500);
    }
    let seconds = began.elapsed().as_secs() + 1;
    assert_eq!(client.get("/missing").await.status, 404);
    let lines = scene.house.lines(101).await;
    let counts = scene.counts().await;
    let [kept_errors, refused] = ["kept", "over_budget"].map(|key| counts["error"][key].as_u64());
    let [kept_errors, refused] = [kept_errors, refused].map(|count| count.expect("a number"));
    assert_eq!(kept_errors + refused, 100);
    assert!((5..=5 + 5 * seconds).contains(&kept_errors), "{kept_errors} in {seconds} s");
    assert_eq!(counts["status"], json!({ "kept": 1, "over_budget": 0 }), "it has its own");
    let said = kept(&lines).iter().filter(|kept| **kept).count() as u64;
    assert_eq!(said, kept_errors + 1, "the log says what was kept");
    let spans = scene.close().await;
    assert_eq!(spans.len() as u64, 2 * (kept_errors + 1), "nothing leaves of what was dropped");
}

#[tokio::test]
async fn what_the_head_decision_keeps_needs_no_reason_and_no_budget() {
    let more = "keep_per_second = 0\n[tracing]\ntrust = \"always\"\n";
    let scene = scene(more).await;
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";
    let mut client = scene.house.client().await;
    for flags in ["01", "00"] {
        let context = format!("traceparent: {parent}-{flags}");
        client.say(format!("GET /error HTTP/1.1\r\nhost: a\r\n{context}\r\n\r\n")).await;
        assert_eq!(client.answer().await.status, 500);
    }
    assert_eq!(kept(&scene.house.lines(2).await), [true, false]);
    assert_eq!(reasons(&scene.close().await), [""]);
}

#[tokio::test]
async fn an_error_in_a_trace_that_its_caller_did_not_sample_is_kept_in_that_trace() {
    let scene = scene("[tracing]\ntrust = \"always\"\n").await;
    let mut client = scene.house.client().await;
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    client.say(format!("GET /error HTTP/1.1\r\nhost: a\r\ntraceparent: {parent}\r\n\r\n")).await;
    assert_eq!(client.answer().await.status, 500);
    let told = scene.upstream.heads().concat();
    assert!(told.contains("0af7651916cd43dd8448eb211c80319c-") && !told.contains(parent), "{told}");
    let spans = scene.close().await;
    assert_eq!(reasons(&spans), ["error"]);
    assert!(spans.iter().all(|it| it.span.trace_id[..2] == [0x0a, 0xf7]));
}
