//! Who asks twice for the end of the real process, and who only seems to.

use std::time::Duration;

use crate::support::client::Client;
use crate::support::eventually;
use crate::support::process::{Process, Remains};
use crate::support::upstream::{self, Upstream};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A sidecar with a running exchange, whose answer has begun, and which has been told to drain by the
/// admin port.
async fn drained(upstream: &Upstream) -> (Process, Client) {
    let process = Process::start(&format!(
        "[upstream]\nurl = \"http://{}\"\n[otlp]\nendpoint = \"\"\n\
         [server.drain]\ndelay = \"2s\"\ntimeout = \"60s\"\n",
        upstream.address
    ))
    .await;
    let mut running = process.client().await;
    running.say("GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await;
    running.until(b"half").await;
    let mut operator = Client::connect(process.admin).await;
    operator.say("POST /drain HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(operator.answer().await.status, 202);
    process.until("/readyz", 503).await;
    (process, running)
}

/// An upstream that finishes its answer when it is told to.
async fn waiting() -> (Upstream, tokio::sync::watch::Sender<bool>) {
    let (go, wait) = tokio::sync::watch::channel(false);
    let upstream = upstream::scripted(move |mut wire| {
        let mut wait = wait.clone();
        async move {
            while wire.head().await.is_some() {
                wire.say("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await;
                if wait.wait_for(|go| *go).await.is_err() {
                    return;
                }
                wire.say(" full").await;
            }
        }
    })
    .await;
    (upstream, go)
}

#[tokio::test]
async fn the_signal_that_follows_a_drain_at_the_admin_port_cuts_nothing() {
    for signal in ["TERM", "INT"] {
        let (upstream, go) = waiting().await;
        let (process, mut running) = drained(&upstream).await;
        process.signal(signal).await;
        // The delay passes, or is skipped, and the door closes; the exchange runs on.
        let data = process.data;
        let closing = async {
            while tokio::net::TcpStream::connect(data).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), closing).await.expect("a closed door");
        go.send(true).expect("an upstream");
        running.until(b" full").await;
        let remains = process.remains().await;
        assert_eq!(remains.code, Some(0), "{signal}: {remains:?}");
        assert!(!remains.stderr.contains("Asked again"), "{signal}: {}", remains.stderr);
        remains.assert_balanced();
    }
}

#[tokio::test]
async fn a_second_signal_after_a_drain_at_the_admin_port_ends_at_once() {
    let (upstream, _go) = waiting().await;
    let (process, mut running) = drained(&upstream).await;
    let began = tokio::time::Instant::now();
    process.signal("TERM").await;
    process.signal("INT").await;
    running.rest().await;
    let remains = process.remains().await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(remains.code, Some(1), "{remains:?}");
    assert!(remains.stderr.contains("what still ran was cut"), "{}", remains.stderr);
    assert!(remains.stderr.contains("Asked again"), "{}", remains.stderr);
    remains.assert_balanced();
}

/// Asks twice while the collector hangs.
async fn hurried(more: &str) -> Remains {
    let upstream = upstream::answering(OK).await;
    let collector = upstream::scripted(async |mut wire| {
        wire.head().await;
        wire.closed().await;
    })
    .await;
    let process = Process::start(&format!(
        "[upstream]\nurl = \"http://{}\"\n[otlp]\nendpoint = \"http://{}\"\ntimeout = \"50s\"\n\
         [log.otlp]\nendpoint = \"\"\n[server.drain]\ndelay = \"0s\"\ntimeout = \"60s\"\n{more}",
        upstream.address, collector.address
    ))
    .await;
    assert_eq!(process.client().await.get("/").await.status, 200);
    eventually("the collector hangs", || !collector.heads().is_empty()).await;
    assert_eq!(process.client().await.get("/").await.status, 200);
    let began = tokio::time::Instant::now();
    process.signal("TERM").await;
    process.signal("INT").await; // Another one: two of a kind may arrive as one.
    let remains = process.remains().await;
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert_eq!(remains.code, Some(1), "{remains:?}");
    assert!(remains.stderr.contains("asked again: audit and sinks got"), "{}", remains.stderr);
    assert!(!remains.stderr.contains("what still ran was cut"), "nothing was: {}", remains.stderr);
    remains
}

#[tokio::test]
async fn a_second_signal_leaves_in_the_spool_what_the_collector_did_not_take() {
    let remains = hurried("[spool]\ndirectory = \"spool\"\n").await;
    let account =
        "traces to otlp: 4 accepted = 0 exported + 0 dropped + 4 in flight (4 in the spool)";
    assert!(remains.stderr.contains(account), "{}", remains.stderr);
    let files = std::fs::read_dir(remains.path("spool")).expect("a spool");
    let names = files.map(|file| file.expect("a file").file_name().into_string().expect("a name"));
    assert!(names.filter(|name| name.ends_with(".traces")).count() > 0);
}

#[tokio::test]
async fn a_second_signal_drops_nothing_uncounted_where_there_is_no_spool() {
    let remains = hurried("").await;
    remains.assert_balanced();
    assert!(remains.stderr.contains("4 dropped"), "{}", remains.stderr);
}
