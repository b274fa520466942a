//! Limits shared in a store: what replicas count together, and what a request sees of a store that is
//! away, slow, hostile, or back.

use std::cmp::Ordering;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;
use vital_sidecar::config::Config;
use vital_sidecar::record::StoreEnding;

use crate::support::house::{self, House, config};
use crate::support::recorder::{Recorder, recording};
use crate::support::store::{Manner, Store};
use crate::support::{PATIENCE, eventually, sidecar, until};

mod sentinels;

/// What a request may wait here. Wide, because the tests share their processors.
const BUDGET: Duration = Duration::from_millis(400);
/// What a request may take beyond its budget for everything else.
const SLACK: Duration = Duration::from_millis(350);

/// Three per bucket, full again too late for a test to see it.
const LIMIT: &str = "[rate_limits.few]\nkey = [\"ip\"]\nrate = \"60/h\"\nburst = 3\n\
                     [[routes]]\nmatch = \"* /api/a\"\nrate_limits = [\"few\"]\n";
const DEGRADED: &str = "sidecar_rate_limit_degraded";
const LOCAL: &str = "sidecar_rate_limit_decisions_total{rule=\"few\",decision=\"degraded\"}";

fn shared(recorder: &Recorder, url: &str, more: &str) -> Config {
    let table = format!("[rate_limit_store]\nredis_url = \"{url}\"\ntimeout = \"400ms\"\n");
    config(recorder.upstream.address, &format!("{table}{more}"))
}

fn url(store: &Store) -> String {
    format!("redis://{}", store.address)
}

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    listener.local_addr().expect("address")
}

/// A sidecar that has reached its store.
async fn joined(recorder: &Recorder, store: &Store, more: &str) -> House {
    let house = house::open(&shared(recorder, &url(store), more)).await;
    house.until_metric(DEGRADED, 0.0).await;
    house
}

async fn status(house: &House) -> u16 {
    house.client().await.get("/api/a").await.status
}

/// The status, and how long it took.
async fn timed(house: &House) -> (u16, Duration) {
    let mut client = house.client().await;
    let began = Instant::now();
    let status = client.get("/api/a").await.status;
    (status, began.elapsed())
}

async fn page(house: &House) -> Value {
    house.ask("/status").await.json()["rate_limit_store"].clone()
}

#[tokio::test]
async fn two_replicas_have_one_bucket() {
    let (recorder, store) = (recording().await, Store::start().await);
    let (a, b) = (joined(&recorder, &store, LIMIT).await, joined(&recorder, &store, LIMIT).await);

    let first = a.client().await.get("/api/a").await;
    assert_eq!((first.status, first.field("ratelimit-policy")), (200, Some("\"few\";q=3;w=180")));
    assert!(first.field("ratelimit").is_some_and(|field| field.starts_with("\"few\";r=2;")));
    let second = b.client().await.get("/api/a").await;
    assert!(second.field("ratelimit").is_some_and(|field| field.starts_with("\"few\";r=1;")));
    assert_eq!((status(&a).await, status(&b).await, status(&a).await), (200, 429, 429));

    let refused = b.client().await.get("/api/a").await;
    let wait: u64 = refused.field("retry-after").expect("a time").parse().expect("seconds");
    assert!((50..=60).contains(&wait), "the next token comes within a minute: {wait}");
    assert_eq!(store.asked().len(), 6, "one call for each request");
    let key = &store.asked()[0][3];
    assert!(key.starts_with("sidecar:{") && key.len() == 42, "a hash, for a cluster: {key}");
    assert!(a.metric("sidecar_rate_limit_store_seconds_count{result=\"ok\"}").await >= 3.0);
    assert!(a.metric(LOCAL).await + b.metric(LOCAL).await < 1.0);
    a.close().await;
    b.close().await;
}

#[tokio::test]
async fn a_store_that_is_not_there_stops_neither_start_nor_requests() {
    let recorder = recording().await;
    let nobody = nobody();
    let more = format!("replicas = 3\n{LIMIT}");
    let house = house::open(&shared(&recorder, &format!("redis://{nobody}"), &more)).await;

    let (passed, took) = timed(&house).await;
    assert!(passed == 200 && took < SLACK, "{passed} after {took:?}");
    assert_eq!(status(&house).await, 429, "a third of the burst");
    let refused = house.client().await.get("/api/a").await;
    assert_eq!(refused.field("ratelimit-policy"), Some("\"few\";q=1;w=180"), "what holds now");
    let reason = async || page(&house).await["reason"].as_str().map(str::to_owned);
    let expected = "it cannot be reached: Connection refused (os error 111)";
    assert_eq!(until("a reason", reason).await, expected);
    assert_eq!(house.metric(DEGRADED).await.total_cmp(&1.0), Ordering::Equal);
    assert_eq!(house.metric(LOCAL).await.total_cmp(&3.0), Ordering::Equal);
    let page = page(&house).await;
    assert_eq!(page["degraded"], true);
    assert_eq!(page["degraded_decisions"]["few"], 3);
    house.close().await;
}

#[tokio::test]
async fn answers_say_this_replicas_share_while_the_store_is_away_and_the_whole_when_it_is_back() {
    let (recorder, store) = (recording().await, Store::start().await);
    let more = format!(
        "replicas = 3\n[rate_limit_headers]\nform = \"both\"\n{}",
        LIMIT.replace("= 3", "= 6")
    );
    let house = joined(&recorder, &store, &more).await;
    let told = async || {
        let answer = house.client().await.get("/api/a").await;
        let of = |name: &str| answer.field(name).map(str::to_owned);
        (of("ratelimit-policy"), of("x-ratelimit-limit"), of("x-ratelimit-remaining"))
    };
    let say = |policy: &str, limit: &str, left: &str| {
        (Some(format!("\"few\";{policy}")), Some(limit.to_owned()), Some(left.to_owned()))
    };
    assert_eq!(told().await, say("q=6;w=360", "6", "5"));
    store.behave(Manner::Closes);
    assert_eq!(told().await, say("q=2;w=360", "2", "1"), "a third of six, at a third of the rate");
    store.behave(Manner::Well);
    house.until_metric(DEGRADED, 0.0).await;
    assert_eq!(told().await.0, say("q=6;w=360", "", "").0);
    house.close().await;
}

/// Requests of a burst under a store that misbehaves: nobody fails, nobody waits beyond the budget, and
/// after the first trouble nobody waits at all; when it is well again, limits are shared again.
async fn survives(manner: Manner) {
    let (recorder, store) = (recording().await, Store::start().await);
    let house = joined(&recorder, &store, LIMIT).await;
    store.behave(manner.clone());
    let (first, waited) = timed(&house).await;
    assert!(first == 200 && waited < BUDGET + SLACK, "{manner:?}: {first} after {waited:?}");
    assert_eq!(house.metric(DEGRADED).await.total_cmp(&1.0), Ordering::Equal, "{manner:?}");
    let calls = store.asked().len();
    for expected in [200, 200, 429] {
        let (status, waited) = timed(&house).await;
        assert!(status == expected && waited < SLACK, "{manner:?}: {status} after {waited:?}");
    }
    assert_eq!(store.asked().len(), calls, "{manner:?}: nobody asked");
    assert_eq!(house.metric(LOCAL).await.total_cmp(&4.0), Ordering::Equal, "{manner:?}");

    store.behave(Manner::Well);
    house.until_metric(DEGRADED, 0.0).await;
    assert_eq!(
        status(&house).await,
        429,
        "{manner:?}: what was granted meanwhile is not forgotten"
    );
    assert!(page(&house).await["reason"].is_null(), "{manner:?}");
    house.close().await;
}

#[tokio::test]
async fn a_store_that_hangs_costs_one_budget() {
    survives(Manner::Silent).await;
}

#[tokio::test]
async fn a_store_that_is_too_late_costs_one_budget() {
    survives(Manner::Late(2 * BUDGET)).await;
}

#[tokio::test]
async fn a_store_that_hangs_up_costs_nobody_a_request() {
    survives(Manner::Closes).await;
}

#[tokio::test]
async fn a_store_that_talks_nonsense_costs_nobody_a_request() {
    for says in [
        &b"*3\r\n:1\r\n"[..],
        b"*3\r\n:7\r\n:0\r\n:0\r\n",
        b"*3\r\n:1\r\n:0\r\n:9999999999999\r\n",
        b"*3\r\n$1\r\nx\r\n:0\r\n:0\r\n",
        b"+OK\r\n",
        b"$-1\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\xff\xfe\x00\r\n",
    ] {
        survives(Manner::Says(says.to_vec())).await;
    }
}

#[tokio::test]
async fn a_store_that_refuses_costs_nobody_a_request() {
    for says in [
        "-NOPERM User x has no permissions\r\n",
        "-OOM command not allowed when used memory > 'maxmemory'.\r\n",
        "-READONLY You can't write against a read only replica.\r\n",
        "-NOREPLICAS Not enough good replicas to write.\r\n",
        "-NOAUTH Authentication required.\r\n",
        "-MOVED 1 127.0.0.1:1\r\n",
        "-LOADING Redis is loading the dataset in memory\r\n",
    ] {
        survives(Manner::Says(says.into())).await;
    }
}

#[tokio::test]
async fn a_store_that_announces_too_much_is_left_at_once() {
    for says in [&b"$999999999\r\n"[..], b"*1000000\r\n", b"*2\r\n*2\r\n", b">3\r\n"] {
        survives(Manner::Says(says.to_vec())).await;
    }
}

#[tokio::test]
async fn a_store_that_never_stops_talking_fills_no_memory() {
    let (recorder, store) = (recording().await, Store::start().await);
    let house = joined(&recorder, &store, LIMIT).await;
    for pours in [&[b'+'; 4096][..], b":1\r\n:1\r\n:1\r\n", b"$4000\r\n"] {
        store.behave(Manner::Pours(pours.to_vec()));
        assert!(matches!(status(&house).await, 200 | 429));
        let is_left = async || (store.open() == 0).then_some(());
        until("the connection is closed", is_left).await;
        store.behave(Manner::Well);
        house.until_metric(DEGRADED, 0.0).await;
    }
    house.close().await;
}

#[tokio::test]
async fn a_store_that_forgot_the_script_is_told_again() {
    let (recorder, store) = (recording().await, Store::start().await);
    let house = joined(&recorder, &store, LIMIT).await;
    store.behave(Manner::Forgetful);
    for expected in [200, 200, 200, 429] {
        assert_eq!(status(&house).await, expected);
    }
    assert!(house.metric(LOCAL).await < 1.0);
    let told = store.heard("EVAL");
    assert!(told.len() == 4 && told[0][1].contains("redis.call('TIME')"), "with its text");
    house.close().await;
}

#[tokio::test]
async fn all_limits_of_a_request_have_one_budget() {
    let more = "[rate_limits.a]\nkey = [\"ip\"]\nrate = \"60/h\"\nburst = 9\n\
                [rate_limits.b]\nkey = [\"ip\"]\nrate = \"60/h\"\nburst = 9\n\
                [rate_limits.c]\nkey = [\"ip\"]\nrate = \"60/h\"\nburst = 9\n\
                [[routes]]\nmatch = \"* /api/a\"\nrate_limits = [\"a\", \"b\", \"c\"]\n";
    let (recorder, store) = (recording().await, Store::start().await);
    let house = joined(&recorder, &store, more).await;
    store.behave(Manner::Late(BUDGET * 3 / 5));
    let (passed, waited) = timed(&house).await;
    assert!(passed == 200 && waited < BUDGET + SLACK, "{passed} after {waited:?}");
    assert!(waited >= BUDGET, "it used it up: {waited:?}");
    let late = "sidecar_rate_limit_store_seconds_count{result=\"timeout\"}";
    assert!(house.metric(late).await >= 1.0);
    assert_eq!(
        house.metric(DEGRADED).await.total_cmp(&0.0),
        Ordering::Equal,
        "half a budget proves nothing"
    );
    house.close().await;
}

#[tokio::test]
async fn credentials_reach_the_store_and_nobody_else() {
    let (recorder, store) = (recording().await, Store::start().await);
    let url = format!("redis://app:s3cr%40t-word@{}/2", store.address);
    let house = house::open(&shared(&recorder, &url, LIMIT)).await;
    house.until_metric(DEGRADED, 0.0).await;
    assert_eq!(store.heard("AUTH"), [["AUTH", "app", "s3cr@t-word"]]);
    assert_eq!(store.heard("SELECT"), [["SELECT", "2"]]);
    store.behave(Manner::Says(b"-WRONGPASS s3cr@t-word is not it\r\n".to_vec()));
    assert_eq!(status(&house).await, 200);
    let shown = page(&house).await;
    assert_eq!(shown["url"], format!("redis://{}/2", store.address));
    assert_eq!(shown["reason"], "it does not accept the credentials");
    assert!(!shown.to_string().contains("s3cr") && !house.page().await.contains("s3cr"));
    house.close().await;
}

#[tokio::test]
async fn a_store_that_hangs_does_not_hold_the_end_up() {
    let (recorder, store) = (recording().await, Store::start().await);
    let house = joined(&recorder, &store, LIMIT).await;
    store.behave(Manner::Silent);
    assert_eq!(status(&house).await, 200);
    let began = Instant::now();
    assert!(house.close().await.is_clean());
    assert!(began.elapsed() < PATIENCE / 2, "{:?}", began.elapsed());
}

#[tokio::test]
async fn what_a_request_says_it_costs_is_taken_in_the_store() {
    let more = "[captures.\"tokens.asked\"]\nfrom = \"request.body:/tokens\"\ntake = \"number\"\n\
                [rate_limits.tokens]\nkey = [\"ip\"]\nrate = \"60/h\"\nburst = 10\n\
                cost = \"capture:tokens.asked\"\n\
                [[routes]]\nmatch = \"POST /api/a\"\nrate_limits = [\"tokens\"]\n\
                captures = [\"tokens.asked\"]\n";
    let (recorder, store) = (recording().await, Store::start().await);
    let (a, b) = (joined(&recorder, &store, more).await, joined(&recorder, &store, more).await);
    assert_eq!(a.client().await.post("/api/a", "{\"tokens\":7}").await.status, 200);
    // Seven, one minute each, in one call.
    let calls = store.asked();
    assert!(calls.iter().any(|call| call[4..] == ["420", "0", "600", "0", "0", "0"]), "{calls:?}");
    let mut client = b.client().await;
    let absurd = client.post("/api/a", "{\"tokens\":9007199254740992}").await;
    assert_eq!((absurd.status, absurd.field("retry-after")), (429, None));
    for expected in [200, 200, 200, 429] {
        assert_eq!(client.post("/api/a", "{\"tokens\":1}").await.status, expected);
    }
    a.close().await;
    b.close().await;
}

#[tokio::test]
async fn a_record_tells_of_each_call_and_what_became_of_it() {
    let (recorder, store) = (recording().await, Store::start().await);
    let mut sidecar = sidecar::with(&shared(&recorder, &url(&store), LIMIT)).await;
    let link = Arc::clone(sidecar.proxy.limit_store().expect("a store"));
    let mut tending = tokio::task::JoinSet::new();
    let tended = Arc::clone(&link);
    tending.spawn(async move { tended.tend().await });
    eventually("the store is reached", || !link.health().is_degraded).await;

    let mut client = sidecar.client().await;
    client.get("/api/a").await;
    let record = sidecar.record().await;
    let [call] = record.store_calls[..] else { panic!("one call: {:?}", record.store_calls) };
    assert_eq!(call.ending, StoreEnding::Answered);
    assert!(call.offset + call.duration <= record.duration, "{call:?}");

    for (manner, ending) in
        [(Manner::Silent, StoreEnding::Late), (Manner::Says(b"+\r\n".into()), StoreEnding::Failed)]
    {
        store.behave(manner);
        client.get("/api/a").await;
        let record = sidecar.record().await;
        let endings: Vec<_> = record.store_calls.iter().map(|call| call.ending).collect();
        assert_eq!(endings, [ending]);
        client.get("/api/a").await;
        assert!(sidecar.record().await.store_calls.is_empty(), "nobody asked");
        store.behave(Manner::Well);
        eventually("the store is back", || !link.health().is_degraded).await;
    }
    sidecar.stop().await;
}

#[tokio::test]
async fn budget_and_replicas_follow_a_reload() {
    let (recorder, store) = (recording().await, Store::start().await);
    let sidecar = sidecar::with(&shared(&recorder, &url(&store), LIMIT)).await;
    let mut client = sidecar.client().await;
    assert_eq!(client.get("/api/a").await.status, 200, "nobody has reached the store yet");
    let more = format!("replicas = 3\n{LIMIT}");
    sidecar.proxy.adopt(&shared(&recorder, &url(&store), &more));
    assert_eq!(client.get("/api/a").await.status, 429, "of a third, one was all");
}
