//! Error events of whole requests: at least one, at most a bucketful, and nothing private in them.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use vital_sidecar::app::Farewell;

use crate::support::house::{self, House, config};
use crate::support::sentry_inbox::Inbox;
use crate::support::upstream;

/// Stands in every place a client can write to.
const CANARY: &str = "c4n4ry";

async fn reporting(upstream: SocketAddr, inbox: &Inbox) -> House {
    let text = format!(
        "[upstream.breaker]\nmode = \"off\"\n\
         [sentry]\ndsn = \"{}\"\ndisabled_environments = []\n\
         [[routes]]\nmatch = \"* /api/things/{{id}}\"\n[[routes]]\nmatch = \"* /denied\"\n\
         action = \"deny\"\n",
        inbox.dsn()
    );
    house::open(&config(upstream, &text)).await
}

/// A request that carries the canary wherever it can, and an answer with it from the upstream.
fn request() -> String {
    format!(
        "POST /api/things/{CANARY}?token={CANARY} HTTP/1.1\r\nhost: {CANARY}.example\r\n\
         user-agent: {CANARY}/1\r\nauthorization: Bearer {CANARY}\r\ncookie: a={CANARY}\r\n\
         x-request-id: {CANARY}\r\nreferer: http://{CANARY}/\r\nx-{CANARY}: {CANARY}\r\n\
         x-forwarded-for: 203.0.113.77\r\ntracestate: v={CANARY}\r\ncontent-length: {}\r\n\r\n{CANARY}",
        CANARY.len()
    )
}

fn errors(farewell: &Farewell) -> vital_sidecar::telemetry::ledger::Account {
    let accounts = farewell.ledger.snapshot();
    accounts.into_iter().find(|account| account.signal == "errors").expect("an account")
}

#[tokio::test]
async fn a_killed_upstream_gives_at_least_one_and_at_most_a_bucketful_of_events() {
    let inbox = Inbox::start().await;
    let house = reporting(upstream::nobody().await, &inbox).await;
    let mut ids = BTreeSet::new();
    let mut client = house.client().await;
    for _ in 0..60 {
        client.say(request()).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, 502);
        ids.insert(answer.field("x-request-id").expect("an id").to_owned());
    }
    let lines = house.lines(60).await;
    let farewell = house.close().await;

    let envelopes = inbox.envelopes();
    assert!((1..=10).contains(&envelopes.len()), "{} events", envelopes.len());
    let account = errors(&farewell);
    assert_eq!(account.exported, envelopes.len() as u64);
    assert_eq!((account.accepted, account.lost()), (60, 60 - account.exported));
    assert_eq!(account.dropped["rate_limited"], account.lost());
    for envelope in &envelopes {
        let event = envelope.event();
        let id = event["tags"]["request_id"].as_str().expect("a request id");
        assert!(ids.contains(id), "the id that the client got");
        let line = lines.iter().find(|line| line["requestId"] == id).expect("its line");
        assert_eq!(event["contexts"]["trace"]["trace_id"], line["traceId"]);
        assert_eq!(event["contexts"]["trace"]["span_id"], line["spanId"]);
        assert_eq!(event["tags"]["error.type"], "upstream_connect");
        assert_eq!(event["transaction"], "POST /api/things/{id}");
        assert_eq!(event["release"], "vital-orchestrator@1.0.0");
    }
}

#[tokio::test]
async fn an_event_holds_nothing_that_a_client_or_the_upstream_said() {
    let upstream = upstream::scripted(async |mut wire| {
        wire.head().await;
        let said = format!(
            "HTTP/1.1 200 OK\r\nx-{CANARY}: {CANARY}\r\ncontent-length: 99\r\n\r\n{CANARY}"
        );
        wire.say(said).await;
        wire.reset();
    })
    .await;
    let inbox = Inbox::start().await;
    let house = reporting(upstream.address, &inbox).await;
    let mut client = house.client().await;
    client.say(request()).await;
    client.rest().await;
    house.lines(1).await;
    house.close().await;

    let envelopes = inbox.envelopes();
    assert_eq!(envelopes.len(), 1);
    let envelope = &envelopes[0];
    assert_eq!(envelope.path, "/api/42/envelope/");
    assert!(envelope.headers.contains_key("x-sentry-auth"));
    let text = format!("{:?} {}", envelope.headers, String::from_utf8_lossy(&envelope.body));
    for private in [CANARY, "203.0.113", "127.0.0.1/", "token", "Bearer", "cookie", "server_name"] {
        assert!(!text.contains(private), "{private} in {text}");
    }
    let event = envelope.event();
    let members: BTreeSet<_> =
        event.as_object().expect("an object").keys().map(String::as_str).collect();
    let allowed = BTreeSet::from([
        "event_id",
        "level",
        "timestamp",
        "logentry",
        "exception",
        "transaction",
        "fingerprint",
        "environment",
        "release",
        "tags",
        "contexts",
        "platform",
    ]);
    assert!(members.is_subset(&allowed), "{members:?}");
    let tags: BTreeSet<_> = event["tags"].as_object().expect("tags").keys().cloned().collect();
    let expected =
        ["error.type", "http.status_code", "method", "request_id", "route"].map(str::to_owned);
    assert_eq!(tags, BTreeSet::from(expected));
}

#[tokio::test]
async fn refusals_and_the_upstreams_own_errors_give_no_event() {
    let answer = "HTTP/1.1 500 Oh no\r\ncontent-length: 0\r\n\r\n";
    let upstream = upstream::answering(answer).await;
    let inbox = Inbox::start().await;
    let house = reporting(upstream.address, &inbox).await;
    let mut client = house.client().await;
    assert_eq!(client.get("/denied").await.status, 403);
    assert_eq!(client.get("/a%00b").await.status, 400);
    assert_eq!(house.client().await.get("/api/things/1").await.status, 500);
    house.lines(3).await;
    let farewell = house.close().await;
    assert!(inbox.envelopes().is_empty());
    assert_eq!(errors(&farewell).accepted, 0);
}

#[tokio::test]
async fn a_sentry_that_is_not_there_costs_events_and_nothing_else() {
    let text = format!(
        "[upstream.breaker]\nmode = \"off\"\n\
         [sentry]\ndsn = \"http://k@{}/1\"\ndisabled_environments = []\n",
        upstream::nobody().await
    );
    let house = house::open(&config(upstream::nobody().await, &text)).await;
    let mut client = house.client().await;
    for _ in 0..20 {
        assert_eq!(client.get("/").await.status, 502);
    }
    let account = errors(&house.close().await);
    assert_eq!((account.accepted, account.exported, account.lost()), (20, 0, 20));
}
