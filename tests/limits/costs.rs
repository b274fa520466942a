//! What a request costs, where that is more than one token.

use crate::support::house::config;
use crate::support::sidecar::{self, Sidecar};
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
    let upstream = upstream::scripted(|mut wire| async move {
        while let Some(head) = wire.head().await {
            let body = wire.body(content_length(&head)).await;
            let asked = String::from_utf8(body).expect("UTF-8");
            let said = format!("{{\"usage\":{}}}", asked.trim());
            let length = said.len();
            let fields = format!("content-type: application/json\r\ncontent-length: {length}");
            wire.say(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n{said}")).await;
        }
    })
    .await;
    let sidecar = sidecar::with(&config(upstream.address, TOKENS)).await;
    (upstream, sidecar)
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
async fn a_number_in_the_request_is_charged_at_once_and_may_be_owed() {
    let (_upstream, mut sidecar) = costly().await;
    let bodies = ["{\"max_tokens\":4}", "{}", "{\"max_tokens\":100}", "{\"max_tokens\":1}"];
    let answers = asked(&mut sidecar, "/asked", &bodies).await;
    assert_eq!(answers, [(200, 6), (200, 5), (200, 0), (429, 0)]);
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
async fn an_absurd_number_is_a_debt_and_nothing_worse() {
    let (_upstream, mut sidecar) = costly().await;
    let most = u64::MAX.to_string();
    let answers = asked(&mut sidecar, "/used", &[&most, "1"]).await;
    assert_eq!(answers, [(200, 7), (429, 0)]);
}
