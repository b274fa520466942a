//! The log at Datadog: what an entry says, that every request is within the intake's limits, and what
//! becomes of entries while the intake refuses, is busy, or away. The key is seen by nobody else.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::client::Client;
use crate::support::collector::Collector;
use crate::support::house::{self, House, config};
use crate::support::intake::{Intake, KEY};
use crate::support::process::Process;
use crate::support::upstream::{self, Upstream};
use crate::support::{PATIENCE, eventually};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// `[log.datadog]` towards this intake, with the key in a file of this directory.
fn shipping(intake: &Intake, directory: &Path, key: &str) -> String {
    let file = directory.join("datadog.key");
    std::fs::write(&file, format!("{key}\n")).expect("a file");
    format!(
        "[log.datadog]\nenabled = true\napi_key_file = \"{}\"\nurl = \"http://{}\"\n\
         tags = [\"team:shop\"]\n",
        file.display(),
        intake.address
    )
}

async fn scene(intake: &Intake, more: &str) -> (Upstream, House, tempfile::TempDir) {
    let (upstream, directory) = (upstream::answering(OK).await, tempfile::tempdir().unwrap());
    let text = shipping(intake, directory.path(), KEY) + more;
    let house = house::open(&config(upstream.address, &text)).await;
    (upstream, house, directory)
}

async fn load(mut client: Client, requests: usize) {
    for _ in 0..requests {
        assert_eq!(client.get("/a").await.status, 200);
    }
}

/// The account of what is shipped, as `/status` shows it; it balances.
fn shipped(status: &Value) -> Value {
    let ledger = status["ledger"].as_array().expect("a ledger");
    let account = ledger.iter().find(|account| account["sink"] == "datadog").expect("an account");
    assert_eq!(account["signal"], "logs");
    let dropped = account["dropped"].as_object().expect("reasons");
    let lost: u64 = dropped.values().filter_map(Value::as_u64).sum();
    let count = |name: &str| account[name].as_u64().expect("a count");
    assert_eq!(count("accepted"), count("exported") + lost + count("in_flight"), "{account}");
    account.clone()
}

/// Asks for the account until it is as it should be.
async fn until(house: &House, what: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let account = shipped(&house.ask("/status").await.json());
        if what(&account) {
            return account;
        }
        assert!(began.elapsed() < 2 * PATIENCE, "never happened: {account}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn is_done(entries: u64) -> impl Fn(&Value) -> bool {
    move |account| account["in_flight"] == 0 && account["exported"].as_u64() >= Some(entries)
}

/// The entries of exchanges; each came once.
fn exchanges(intake: &Intake) -> Vec<Value> {
    let mut entries = intake.entries();
    entries.retain(|entry| entry["message"] == "Request completed");
    let ids: BTreeSet<_> = entries.iter().map(|entry| entry["requestId"].to_string()).collect();
    assert_eq!(ids.len(), entries.len(), "each once");
    entries
}

#[tokio::test]
async fn an_entry_is_the_line_and_leads_to_its_trace() {
    let (intake, collector) = (Intake::start().await, Collector::start().await);
    let more = format!("[otlp]\nendpoint = \"{}\"\n", collector.endpoint());
    let (_upstream, house, _directory) = scene(&intake, &more).await;
    load(house.client().await, 1).await;
    let spans = collector.spans(2).await;
    let line = house.lines(1).await.swap_remove(0);
    eventually("an entry arrives", || !exchanges(&intake).is_empty()).await;
    house.close().await;

    let entry = exchanges(&intake).swap_remove(0);
    for (key, value) in [
        ("ddsource", json!("vital-sidecar")),
        ("ddtags", json!("team:shop,env:development")),
        ("service", json!("vital-orchestrator")),
        ("status", json!("info")),
        ("http.status_code", json!(200)),
    ] {
        assert_eq!(entry[key], value, "{key}");
    }
    for key in ["requestId", "traceId", "spanId", "url", "outcome", "timestamp"] {
        assert!(entry[key] == line[key] && !entry[key].is_null(), "{key}: {entry} {line}");
    }
    let server = spans.iter().find(|span| span.attribute("http.route").is_some()).unwrap();
    let lower = server.span.trace_id.last_chunk().expect("an id");
    let trace = u64::from_be_bytes(*lower).to_string();
    let span = u64::from_be_bytes(server.span.span_id[..].try_into().unwrap()).to_string();
    assert_eq!((&entry["dd.trace_id"], &entry["dd.span_id"]), (&trace.into(), &span.into()));
}

#[tokio::test]
async fn thousands_of_entries_come_within_the_limits_of_the_intake() {
    let intake = Intake::start().await;
    let (_upstream, house, _directory) = scene(&intake, "").await;
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..4 {
        clients.spawn(load(house.client().await, 800));
    }
    while let Some(served) = clients.join_next().await {
        served.expect("every request is served");
    }
    let account = until(&house, is_done(3200)).await;
    assert_eq!(account["dropped"], json!({}), "{account}");
    house.close().await;
    assert_eq!(exchanges(&intake).len(), 3200);
    assert!(intake.answers().iter().all(|status| *status == 202), "{:?}", intake.answers());
}

#[tokio::test]
async fn a_busy_intake_is_asked_again_after_the_pause_it_wants() {
    let intake = Intake::start().await;
    intake.script([(429, Some(1)), (408, None), (500, None), (503, Some(0))]);
    let (_upstream, house, _directory) = scene(&intake, "").await;
    let began = Instant::now();
    load(house.client().await, 5).await;
    let account = until(&house, is_done(5)).await;
    assert!(began.elapsed() >= Duration::from_secs(1), "it asked for a second");
    assert_eq!((&account["dropped"], &account["failing"]), (&json!({}), &Value::Null));
    assert!(account["attempts"]["failure"].as_u64() >= Some(4), "{account}");
    house.close().await;
    assert_eq!(exchanges(&intake).len(), 5);
}

#[tokio::test]
async fn an_intake_that_says_no_is_believed_at_once() {
    for status in [400, 401, 403, 413] {
        let intake = Intake::start().await;
        intake.script([(status, None)]);
        let (_upstream, house, _directory) = scene(&intake, "").await;
        load(house.client().await, 3).await;
        until(&house, |account| account["dropped"]["refused"] == 3).await;
        load(house.client().await, 2).await;
        until(&house, is_done(2)).await;
        house.close().await;
        assert_eq!(intake.answers(), [status, 202]);
    }
}

#[tokio::test]
async fn a_wrong_key_is_told_once_counted_always_and_shown_nowhere() {
    let (upstream, intake) = (upstream::answering(OK).await, Intake::start().await);
    let directory = tempfile::tempdir().unwrap();
    let wrong = "feedfacefeedfacefeedfacefeedface";
    let text = format!(
        "[upstream]\nurl = \"http://{}\"\n[otlp]\nendpoint = \"\"\n[server.drain]\ndelay = \"0s\"\n\
         [log]\nlevel = \"debug\"\nconsole = \"json\"\n{}",
        upstream.address,
        shipping(&intake, directory.path(), wrong)
    );
    let process = Process::start(&text).await;
    for asked in 1..=3 {
        load(process.client().await, 1).await;
        eventually("the intake says no", || intake.answers().len() >= asked).await;
    }
    let mut shown = String::new();
    for path in ["/status", "/metrics", "/config", "/readyz"] {
        shown += &String::from_utf8_lossy(&process.ask(path).await.body);
    }
    process.signal("INT").await;
    let remains = process.remains().await;
    assert_eq!(remains.code, Some(0), "{remains:?}");
    remains.assert_balanced();
    assert!(intake.answers().iter().all(|status| *status == 403), "{:?}", intake.answers());
    let told = remains.stderr.matches("Logs cannot be delivered").count();
    assert_eq!(told, 1, "{}", remains.stderr);
    assert!(remains.stderr.contains("the intake answered 403"), "{}", remains.stderr);
    for (place, text) in
        [("a page", &shown), ("stdout", &remains.stdout), ("stderr", &remains.stderr)]
    {
        assert!(!text.contains(wrong), "the key is on {place}: {text}");
    }
}

#[tokio::test]
async fn what_waits_in_the_spool_the_next_sidecar_ships() {
    let mut intake = Intake::start().await;
    intake.go_away().await;
    let spool = tempfile::tempdir().unwrap();
    let more = format!("[spool]\ndirectory = \"{}\"\n", spool.path().display());
    let (upstream, house, directory) = scene(&intake, &more).await;
    load(house.client().await, 20).await;
    until(&house, |account| account["accepted"].as_u64() >= Some(20)).await;
    let farewell = house.close().await;
    let ledger = farewell.ledger.snapshot();
    let account = ledger.iter().find(|account| account.sink == "datadog").expect("an account");
    assert!(account.spooled >= 20 && account.is_balanced() && account.lost() == 0, "{account}");

    intake.come_back().await;
    let text = shipping(&intake, directory.path(), KEY) + &more;
    let house = house::open(&config(upstream.address, &text)).await;
    let account = until(&house, is_done(account.spooled)).await;
    assert!(account["recovered"].as_u64() >= Some(20), "{account}");
    house.close().await;
    assert_eq!(exchanges(&intake).len(), 20);
}
