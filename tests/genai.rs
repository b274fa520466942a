//! The metrics of the `GenAI` conventions: from captured facts, and from nothing else.

use std::time::Duration;

use vital_sidecar::config::Config;

use crate::support::house::config;
use crate::support::sidecar::{self, Sidecar};
use crate::support::upstream::{self, Upstream, Wire};

const CHAT: &str = r#"
[captures."gen_ai.usage.input_tokens"]
from = "response.body:/usage/prompt_tokens"
take = "number"
[captures."gen_ai.usage.output_tokens"]
from = "response.body:/usage/completion_tokens"
take = "number"
[captures."gen_ai.response.model"]
from = "response.body:/model"
values = ["small-1", "large-1"]
[captures."gen_ai.provider.name"]
from = "response.body:/provider"
values = ["openai"]
[captures."gen_ai.operation.name"]
from = "response.body:/operation"
values = ["chat"]
[[routes]]
match = "* /chat"
captures = [
    "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "gen_ai.response.model",
    "gen_ai.provider.name", "gen_ai.operation.name",
]
"#;

const ON: &str = "[genai]\nenabled = true\n";
const SILENCE: Duration = Duration::from_millis(30);

fn chatting(upstream: &Upstream, switch: &str) -> Config {
    config(upstream.address, &format!("{switch}{CHAT}"))
}

async fn document(body: &str) -> Upstream {
    let length = body.len();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    upstream::answering(format!("{head}content-length: {length}\r\n\r\n{body}")).await
}

/// An upstream that streams two tokens, with silence before each, and then what is given.
async fn stream(last: &'static str) -> Upstream {
    upstream::scripted(move |mut wire: Wire| async move {
        wire.head().await;
        wire.say("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n: soon\n\n").await;
        for _ in 0..2 {
            tokio::time::sleep(SILENCE).await;
            wire.say("data: {\"text\":\"word\"}\n\n").await;
        }
        wire.say(last).await;
    })
    .await
}

fn page(sidecar: &Sidecar) -> String {
    let metrics = sidecar.proxy.telemetry().metrics();
    let page = metrics.expose(vital_sidecar::telemetry::metrics::Format::Text).expect("a page");
    String::from_utf8(page.body).expect("UTF-8")
}

/// The samples of the conventions on the page.
fn samples(sidecar: &Sidecar) -> Vec<String> {
    page(sidecar).lines().filter(|line| line.starts_with("gen_ai_")).map(str::to_owned).collect()
}

#[track_caller]
fn assert_sample(sidecar: &Sidecar, series: &str, expected: f64) {
    let found = sidecar.metric(&format!("{series} "));
    assert!((found - expected).abs() < f64::EPSILON, "{series}: {found}\n{}", page(sidecar));
}

#[tokio::test]
async fn reported_tokens_are_counted_by_what_was_captured() {
    let body = r#"{"model":"small-1","provider":"openai","operation":"chat",
        "usage":{"prompt_tokens":100,"completion_tokens":7}}"#;
    let upstream = document(body).await;
    let mut sidecar = sidecar::with(&chatting(&upstream, ON)).await;
    assert_eq!(sidecar.client().await.get("/chat").await.body, body.as_bytes());
    sidecar.record().await;

    let labels = "gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"openai\",\
                  gen_ai_response_model=\"small-1\",gen_ai_token_type";
    for (kind, tokens, bound) in [("input", 100.0, "256.0"), ("output", 7.0, "16.0")] {
        let name = "gen_ai_client_token_usage";
        let labels = format!("{labels}=\"{kind}\"");
        assert_sample(&sidecar, &format!("{name}_sum{{{labels}}}"), tokens);
        assert_sample(&sidecar, &format!("{name}_count{{{labels}}}"), 1.0);
        let bucket = page(&sidecar);
        let bucket = bucket.lines().find(|line| {
            line.starts_with(&format!("{name}_bucket{{{labels}"))
                && line.contains(&format!("le=\"{}\"", bound.trim_end_matches(".0")))
        });
        assert!(bucket.is_some_and(|line| line.ends_with(" 1")), "{bucket:?}");
    }
    let names = samples(&sidecar);
    assert!(names.iter().all(|line| line.starts_with("gen_ai_client_token_usage")), "no stream");
}

#[tokio::test]
async fn a_stream_says_how_long_its_first_chunk_and_each_further_one_took() {
    let upstream = stream("data: {\"usage\":{\"completion_tokens\":2}}\n\n").await;
    let mut sidecar = sidecar::with(&chatting(&upstream, ON)).await;
    sidecar.client().await.get("/chat").await;
    let record = sidecar.record().await;

    assert_sample(&sidecar, "gen_ai_client_token_usage_sum{gen_ai_token_type=\"output\"}", 2.0);
    let first = sidecar.metric("gen_ai_client_operation_time_to_first_chunk_seconds_sum");
    let whole = record.duration.as_secs_f64();
    assert!(first >= SILENCE.as_secs_f64() && first < whole, "a comment is no chunk: {first}");
    let gaps = record.stream.as_ref().expect("a stream").gaps.clone();
    let count = sidecar.metric("gen_ai_client_operation_time_per_output_chunk_seconds_count");
    let sum = sidecar.metric("gen_ai_client_operation_time_per_output_chunk_seconds_sum");
    let expected = f64::from(u32::try_from(gaps.count()).expect("a few"));
    assert!((count - expected).abs() < f64::EPSILON && expected >= 1.0);
    assert!((sum - gaps.sum().as_secs_f64()).abs() < 1e-6);
    // A first chunk that a busy machine reads late shortens the gap behind it.
    assert!(sum >= (SILENCE / 2).as_secs_f64(), "{sum}");
}

#[tokio::test]
async fn without_facts_there_is_nothing() {
    let upstream = stream("data: [DONE]\n\n").await;
    let mut sidecar = sidecar::with(&chatting(&upstream, ON)).await;
    sidecar.client().await.get("/chat").await;
    assert!(sidecar.record().await.stream.is_some());
    assert_eq!(samples(&sidecar), Vec::<String>::new());
}

#[tokio::test]
async fn it_is_off_unless_asked_for() {
    let upstream = document(r#"{"usage":{"prompt_tokens":100}}"#).await;
    let mut sidecar = sidecar::with(&chatting(&upstream, "")).await;
    sidecar.client().await.get("/chat").await;
    assert_eq!(sidecar.record().await.facts.len(), 1);
    assert_eq!(samples(&sidecar), Vec::<String>::new());
}
