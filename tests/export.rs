//! What becomes of spans while the collector is down, slow, full or mistaken, and of requests then:
//! nothing. The ledger balances whenever somebody looks.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::Instant;
use vital_sidecar::app::App;
use vital_sidecar::config::model::{OtlpProtocol, OtlpTarget};
use vital_sidecar::telemetry::Console;
use vital_sidecar::telemetry::ledger::Account;

use crate::support::collector::{Collector, Reply};
use crate::support::house::{self, House, config};
use crate::support::process::{Process, command, output};
use crate::support::upstream::{self, Upstream};
use crate::support::{PATIENCE, eventually};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
/// Spans of a request that no route matches: SERVER and CLIENT.
const EACH: u64 = 2;

/// A sidecar that exports every trace to this collector.
async fn exporting(upstream: &Upstream, collector: &Collector, more: &str) -> House {
    let mut config = config(upstream.address, more);
    let target = OtlpTarget::new(collector.endpoint(), OtlpProtocol::Http);
    config.otlp.traces = Some(OtlpTarget { timeout: Duration::from_millis(300), ..target });
    house::open(&config).await
}

fn spooling(directory: &Path) -> String {
    format!("[spool]\ndirectory = \"{}\"\n", directory.display())
}

/// The account of the spans, as `/status` shows it; it balances.
fn traces(status: &Value) -> Value {
    let ledger = status["ledger"].as_array().expect("a ledger");
    let account = ledger.iter().find(|account| account["signal"] == "traces").expect("an account");
    let lost: u64 =
        account["dropped"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
    let count = |name: &str| account[name].as_u64().expect("a count");
    let parts = count("exported") + lost + count("in_flight");
    assert_eq!(count("accepted"), parts, "{account}");
    assert!(count("spooled") <= count("in_flight"), "{account}");
    account.clone()
}

async fn account(house: &House) -> Value {
    traces(&house.ask("/status").await.json())
}

/// Asks for the account until it is as it should be.
async fn until(house: &House, what: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let account = account(house).await;
        if what(&account) {
            return account;
        }
        assert!(began.elapsed() < 2 * PATIENCE, "never happened: {account}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Four clients ask for so much each; every one is served.
async fn load(house: &House, each: usize) -> u64 {
    let mut clients = JoinSet::new();
    for _ in 0..4 {
        let mut client = house.client().await;
        clients.spawn(async move {
            for _ in 0..each {
                assert_eq!(client.get("/a").await.status, 200);
            }
        });
    }
    while let Some(served) = clients.join_next().await {
        served.expect("every request is served");
    }
    4 * each as u64 * EACH
}

fn spans(farewell: &vital_sidecar::app::Farewell) -> Account {
    let ledger = farewell.ledger.snapshot();
    ledger.into_iter().find(|account| account.signal == "traces").expect("an account")
}

#[tokio::test]
async fn a_collector_in_trouble_gets_everything_once_it_is_well() {
    let troubles: [&[Reply]; 5] = [
        &[Reply::Status(503, None), Reply::Status(502, None), Reply::Status(504, None)],
        &[Reply::Status(429, Some(1)), Reply::Status(503, Some(0))],
        &[Reply::Reset, Reply::Reset, Reply::Reset],
        &[Reply::Delay(Duration::from_mins(1)), Reply::Delay(Duration::from_mins(1))],
        &[Reply::Delay(Duration::from_millis(200)), Reply::Delay(Duration::from_millis(200))],
    ];
    for trouble in troubles {
        let upstream = upstream::answering(OK).await;
        let collector = Collector::start().await;
        collector.script(trouble.iter().cloned());
        let house = exporting(&upstream, &collector, "").await;
        let mut asked = 0;
        for _ in 0..5 {
            asked += load(&house, 20).await;
            account(&house).await;
        }
        let account = until(&house, |account| account["in_flight"] == 0).await;
        assert_eq!(account["exported"], asked, "{trouble:?}: {account}");
        assert_eq!(collector.spans(1).await.len() as u64, asked, "each once");
        house.close().await;
    }
}

#[tokio::test]
async fn a_collector_that_says_no_is_believed_and_the_next_batch_tried() {
    let upstream = upstream::answering(OK).await;
    let collector = Collector::start().await;
    collector.script([Reply::Status(400, None)]);
    let house = exporting(&upstream, &collector, "").await;
    let refused = load(&house, 1).await;
    until(&house, |account| account["dropped"]["refused"] == refused).await;
    let taken = load(&house, 1).await;
    until(&house, |account| account["exported"] == taken).await;
    house.close().await;
}

#[tokio::test]
async fn a_collector_that_hangs_costs_no_request_and_no_time_at_the_end() {
    let upstream = upstream::answering(OK).await;
    let collector = Collector::start().await;
    collector.script(vec![Reply::Delay(Duration::from_mins(1)); 1000]);
    let house =
        exporting(&upstream, &collector, "[server.drain]\ndelay = \"0s\"\ntimeout = \"4s\"\n")
            .await;
    let asked = load(&house, 50).await;
    let before = account(&house).await;
    assert_eq!((&before["accepted"], &before["in_flight"]), (&asked.into(), &asked.into()));
    let began = Instant::now();
    let account = spans(&house.close().await);
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    assert_eq!((account.dropped["shutdown"], account.in_flight), (asked, 0));
}

#[tokio::test]
async fn every_span_of_an_outage_arrives_where_there_is_a_spool() {
    let upstream = upstream::answering(OK).await;
    let mut collector = Collector::start().await;
    let directory = tempfile::tempdir().unwrap();
    let house = exporting(&upstream, &collector, &spooling(directory.path())).await;
    let mut asked = load(&house, 10).await;
    let account = until(&house, |account| account["exported"] == asked).await;
    assert_eq!(account["spool_bytes"], 0, "a healthy collector leaves the disk alone");

    collector.go_away().await;
    for _ in 0..5 {
        asked += load(&house, 50).await;
    }
    let account = until(&house, |account| account["spooled"] == account["in_flight"]).await;
    assert!(account["spooled"].as_u64().unwrap() > 0, "{account}");
    let bytes = account["spool_bytes"].as_f64().unwrap();
    let series = "sidecar_telemetry_spool_bytes{signal=\"traces\",sink=\"otlp\"}";
    house.until_metric(series, bytes).await;

    collector.come_back().await;
    asked += load(&house, 10).await;
    let account = until(&house, |account| account["in_flight"] == 0).await;
    assert_eq!((&account["exported"], &account["spool_bytes"]), (&asked.into(), &0.into()));
    assert_eq!(collector.spans(1).await.len() as u64, asked, "each once");
    house.close().await;
    assert_eq!(files(directory.path()), ["lock"]);
}

#[tokio::test]
async fn what_a_sidecar_leaves_in_the_spool_the_next_one_delivers() {
    let upstream = upstream::answering(OK).await;
    let mut collector = Collector::start().await;
    collector.go_away().await;
    let directory = tempfile::tempdir().unwrap();
    let house = exporting(&upstream, &collector, &spooling(directory.path())).await;
    let asked = load(&house, 20).await;
    let farewell = house.close().await;
    let account = spans(&farewell);
    assert_eq!((account.spooled, account.lost()), (asked, 0));
    let words = farewell.ledger.to_string();
    assert!(words.contains(&format!("{asked} in flight ({asked} in the spool)")), "{words}");

    collector.come_back().await;
    let house = exporting(&upstream, &collector, &spooling(directory.path())).await;
    let account = until(&house, |account| account["exported"] == asked).await;
    assert_eq!((&account["accepted"], &account["recovered"]), (&asked.into(), &asked.into()));
    assert_eq!(collector.spans(1).await.len() as u64, asked);
    house.close().await;
}

#[tokio::test]
async fn kill_9_loses_nothing_that_was_in_the_spool() {
    let upstream = upstream::answering(OK).await;
    let mut collector = Collector::start().await;
    collector.go_away().await;
    let spool = tempfile::tempdir().unwrap();
    let text = format!(
        "upstream.url = \"http://{}\"\notlp.endpoint = \"{}\"\n{}",
        upstream.address,
        collector.endpoint(),
        spooling(spool.path())
    );
    let process = Process::start(&text).await;
    let mut client = process.client().await;
    for _ in 0..20 {
        assert_eq!(client.get("/a").await.status, 200);
    }
    let asked = 20 * EACH;
    let began = Instant::now();
    while traces(&process.ask("/status").await.json())["spooled"] != asked {
        assert!(began.elapsed() < 2 * PATIENCE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    process.signal("KILL").await;
    assert_eq!(process.remains().await.code, None, "it was killed");
    // Half a file, as a cut write leaves one, and something that is none of ours.
    std::fs::write(spool.path().join("00000000000000ff.traces"), b"VSspool\n\x01\0").unwrap();
    std::fs::write(spool.path().join("00000000000000fe.traces.tmp"), b"VSsp").unwrap();
    std::fs::write(spool.path().join("README"), b"mine").unwrap();

    collector.come_back().await;
    let process = Process::start(&text).await;
    assert_eq!(collector.spans(usize::try_from(asked).unwrap()).await.len() as u64, asked);
    process.signal("INT").await;
    let remains = process.remains().await;
    assert_eq!(remains.code, Some(0), "{remains:?}");
    let words = format!("traces to otlp: {asked} accepted ({asked} recovered) = {asked} exported");
    assert!(remains.stderr.contains(&words), "{}", remains.stderr);
    remains.assert_balanced();
    assert_eq!(files(spool.path()), ["README", "lock"]);
}

#[tokio::test]
async fn a_full_spool_forgets_the_oldest_and_says_how_much() {
    let upstream = upstream::answering(OK).await;
    let mut collector = Collector::start().await;
    collector.go_away().await;
    let directory = tempfile::tempdir().unwrap();
    let more = format!("{}max_size = \"1MiB\"\n", spooling(directory.path()));
    let more = format!("{more}[service]\nname = \"{}\"\n", "n".repeat(200));
    let mut config = config(upstream.address, &more);
    // Not compressed: it fills sooner.
    config.otlp.traces = Some(OtlpTarget::new(collector.endpoint(), OtlpProtocol::Http));
    let house = house::open(&config).await;
    let mut asked = 0;
    while account(&house).await["dropped"].get("spool_full").is_none() {
        asked += load(&house, 100).await;
        assert!(asked < 100_000, "{}", account(&house).await);
    }
    let size: u64 = files(directory.path())
        .iter()
        .filter_map(|name| std::fs::metadata(directory.path().join(name)).ok())
        .map(|file| file.len())
        .sum();
    assert!(size <= 1 << 20, "{size}");
    collector.come_back().await;
    let account = until(&house, |account| account["in_flight"] == 0).await;
    let exported = account["exported"].as_u64().unwrap();
    assert_eq!(exported + account["dropped"]["spool_full"].as_u64().unwrap(), asked);
    house.close().await;
}

#[tokio::test]
async fn a_spool_that_cannot_be_used_refuses_to_start() {
    let upstream = upstream::answering(OK).await;
    let directory = tempfile::tempdir().unwrap();
    let config = config(upstream.address, &spooling(directory.path()));
    let first = house::open(&config).await;
    let second = App::start(&config, Console::To(Box::new(Vec::new()))).await;
    let Err(error) = second else { panic!("one process per directory") };
    let error = error.to_string();
    assert!(error.contains("is in use by another process; give each"), "{error}");
    first.close().await;
    house::open(&config).await.close().await;

    let file = directory.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let spool = file.join("spool");
    let arguments = ["run", "--upstream", "http://127.0.0.1:3000", "--listen", "127.0.0.1:0"];
    let arguments = [&arguments[..], &["--admin", "127.0.0.1:0"]].concat();
    let mut run = command(directory.path(), &arguments);
    run.env("VITAL_SIDECAR__SPOOL__DIRECTORY", &spool);
    let (code, _, stderr) = output(run).await;
    assert_eq!(code, 78, "{stderr}");
    for words in
        ["`spool.directory` is not a directory", &format!("`{}` is a file", file.display())]
    {
        assert!(stderr.contains(words), "{stderr}");
    }
}

#[tokio::test]
async fn no_span_in_the_spool_can_be_read_by_others() {
    use std::os::unix::fs::PermissionsExt;

    let upstream = upstream::answering(OK).await;
    let mut collector = Collector::start().await;
    collector.go_away().await;
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("deep/spool");
    let house = exporting(&upstream, &collector, &spooling(&directory)).await;
    load(&house, 1).await;
    eventually("a parcel is spooled", || files(&directory).len() == 2).await;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    for name in files(&directory) {
        assert_eq!(mode(&directory.join(&name)), 0o600, "{name}");
    }
    house.close().await;
}

/// The names of the files in a directory, in their order; drafts are on their way out.
fn files(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| !name.contains(".tmp")).collect();
    names.sort();
    names
}
