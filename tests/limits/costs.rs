//! What a request costs, where that is more than one token.

use crate::support::eventually;
use crate::support::house::{self, config};
use crate::support::sidecar::{self, Sidecar};
use crate::support::store::Store;
use crate::support::upstream::{self, Upstream, content_length};

/// Ten tokens a bucket, three of them reserved, and no more for an hour.
const TOKENS: &str = r#"
[captures."tokens.asked"]
from = "request.body:/max_tokens"
take = "number"
[captures."tokens.used"]
from = "response.body:/usage"
take = "number"
[rate_limits.asked]
key = ["ip"]
rate = "1/h"
burst = 10
cost = "capture:tokens.asked"
[rate_limits.used]
key = ["ip"]
rate = "1/h"
burst = 10
cost = "capture:tokens.used"
reserve = 3
[[routes]]
match = "POST /asked"
captures = ["tokens.asked"]
rate_limits = ["asked"]
[[routes]]
match = "* /used"
captures = ["tokens.used"]
rate_limits = ["used"]
"#;

/// An upstream whose answers say that they cost as many tokens as the request's body names.
async fn costly() -> (Upstream, Sidecar) {
    let upstream = costly_upstream().await;
    let sidecar = sidecar::with(&config(upstream.address, TOKENS)).await;
    (upstream, sidecar)
}

async fn costly_upstream() -> Upstream {
    upstream::scripted(|mut wire| async move {
        while let Some(head) = wire.head().await {
            let body = wire.body(content_length(&head)).await;
            let asked = String::from_utf8(body).expect("UTF-8");
            let said = format!("{{\"usage\":{}}}", asked.trim());
            let length = said.len();
            let fields = format!("content-type: application/json\r\ncontent-length: {length}");
            wire.say(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n{said}")).await;
        }
    })
    .await
}

/// Statuses, and what the `RateLimit` field says is left.
async fn asked(sidecar: &mut Sidecar, path: &str, bodies: &[&str]) -> Vec<(u16, u64)> {
    let mut client = sidecar.client().await;
    let mut answers = Vec::new();
    for body in bodies {
        let answer = client.post(path, body).await;
        // The record comes with the end of the exchange, when the limit has been settled.
        sidecar.record().await;
        answers.push((answer.status, super::parameter(&answer, "ratelimit", "r")));
    }
    answers
}

#[tokio::test]
async fn a_number_in_the_request_is_taken_at_once_and_no_request_may_name_an_absurd_one() {
    let (_upstream, mut sidecar) = costly().await;
    let mut client = sidecar.client().await;
    for cost in [
        "11",
        "9007199254740992",
        "9007199254740993.0",
        "18446744073709551615",
        "18446744073709551616",
        "100000000000000000000000000000000",
        "1e300",
    ] {
        let answer = client.post("/asked", &format!("{{\"max_tokens\":{cost}}}")).await;
        assert_eq!((answer.status, answer.field("retry-after")), (429, None), "{cost}");
        let detail = answer.json()["detail"].clone();
        assert_eq!(detail, "The request costs more than this limit ever admits at once.");
        assert_eq!(sidecar.record().await.limited_by.as_deref(), Some("asked"));
    }
    let bodies = [
        "{\"max_tokens\":4}",
        "{}",
        "{\"max_tokens\":6}",
        "{\"max_tokens\":0}",
        "{\"max_tokens\":null}",
    ];
    let answers = asked(&mut sidecar, "/asked", &bodies).await;
    assert_eq!(answers, [(200, 6), (200, 5), (429, 0), (200, 4), (200, 3)]);
}

#[tokio::test]
async fn what_should_be_a_number_and_is_none_costs_the_whole_burst() {
    let long = format!("{{\"max_tokens\":1,\"pad\":\"{}\"}}", "x".repeat(70_000));
    for body in [
        "{\"max_tokens\":\"9\"}",
        "{\"max_tokens\":-1}",
        "{\"max_tokens\":1.5}",
        "{\"max_tokens\":-1e300}",
        "{\"max_tokens\":1e400}",
        "{\"max_tokens\":[1]}",
        "{\"max_tokens\":1",
        &long,
    ] {
        let (_upstream, mut sidecar) = costly().await;
        let answers = asked(&mut sidecar, "/asked", &[body, "{}"]).await;
        assert_eq!(answers, [(200, 0), (429, 0)], "{body:.40}");
    }
}

#[tokio::test]
async fn a_number_in_the_answer_is_settled_against_the_reserve() {
    let (_upstream, mut sidecar) = costly().await;
    // Each is told what its reserve left; what it really cost shows with the next one.
    let answers = asked(&mut sidecar, "/used", &["1", "0", "2", "5", "1"]).await;
    assert_eq!(answers, [(200, 7), (200, 6), (200, 6), (200, 4), (429, 0)]);
}

#[tokio::test]
async fn without_a_number_in_the_answer_the_reserve_is_the_cost() {
    let (_upstream, mut sidecar) = costly().await;
    let answers = asked(&mut sidecar, "/used", &["null", "-1", "\"9\"", "1"]).await;
    assert_eq!(answers, [(200, 7), (200, 4), (200, 1), (429, 0)]);
}

#[tokio::test]
async fn an_absurd_number_in_an_answer_costs_the_burst() {
    let (_upstream, mut sidecar) = costly().await;
    let most = u64::MAX.to_string();
    let mut client = sidecar.client().await;
    assert_eq!(client.post("/used", &most).await.status, 200);
    sidecar.record().await;
    let refused = client.post("/used", "1").await;
    let wait: u64 = refused.field("retry-after").expect("a wait").parse().expect("seconds");
    assert_eq!(refused.status, 429);
    assert!((3 * 3600 - 60..=3 * 3600).contains(&wait), "the reserve is back in {wait} s");
}

#[tokio::test]
async fn what_an_answer_cost_is_charged_in_the_shared_store_up_to_the_burst() {
    let (upstream, store) = (costly_upstream().await, Store::start().await);
    let shared = format!(
        "[rate_limit_store]\nredis_url = \"redis://{}\"\ntimeout = \"400ms\"\n{TOKENS}",
        store.address,
    );
    let house = house::open(&config(upstream.address, &shared)).await;
    house.until_metric("sidecar_rate_limit_degraded", 0.0).await;
    let mut client = house.client().await;
    // Three were reserved; what is due besides is one hour for each token.
    for (cost, due) in [("5", "7200"), ("0", "-10800"), ("9007199254740992", "25200")] {
        assert_eq!(client.post("/used", cost).await.status, 200);
        let charge = ["0", "0", "36000", "0", due, "0"];
        let is_charged = || store.asked().iter().any(|call| call[4..] == charge);
        eventually("the charge arrives", is_charged).await;
    }
    assert_eq!(client.post("/used", "1").await.status, 429);
    house.close().await;
}
