//! How the real process ends: in order, within its deadline, and never twice.

use std::time::Duration;

use tokio::sync::watch;
use vital_sidecar::app::Ask;
use vital_sidecar::record::{Abort, Outcome};

use crate::support::eventually;
use crate::support::house::{self, config};
use crate::support::process::Process;
use crate::support::upstream::{self, Upstream};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// An upstream that answers `/slow` only in part until it is told to go on.
async fn waiting() -> (Upstream, watch::Sender<bool>) {
    let (go, wait) = watch::channel(false);
    let upstream = upstream::scripted(move |mut wire| {
        let mut wait = wait.clone();
        async move {
            while let Some(head) = wire.head().await {
                if !head.starts_with("GET /slow") {
                    wire.say(OK).await;
                    continue;
                }
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

async fn start(upstream: &Upstream, delay: &str, timeout: &str) -> Process {
    Process::start(&format!(
        "[upstream]\nurl = \"http://{}\"\n[otlp]\nendpoint = \"\"\n[log]\ndirectory = \"logs\"\n\
         [server.drain]\ndelay = \"{delay}\"\ntimeout = \"{timeout}\"\n",
        upstream.address
    ))
    .await
}

async fn slow_client(process: &Process) -> crate::support::client::Client {
    let mut client = process.client().await;
    client.say("GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await;
    client.until(b"half").await;
    client
}

#[tokio::test]
async fn sigterm_drains_in_order_and_loses_nothing() {
    let (upstream, go) = waiting().await;
    // Long enough for a busy machine to ask all its questions within the delay.
    let process = start(&upstream, "6s", "30s").await;
    process.until("/readyz", 200).await;
    let mut running = slow_client(&process).await;
    process.signal("TERM").await;

    process.until("/readyz", 503).await;
    assert_eq!(process.ask("/livez").await.status, 200);
    let mut newcomer = process.client().await;
    let answer = newcomer.get("/new").await;
    assert_eq!(answer.status, 200, "accepting all through the delay");
    assert_eq!(answer.field("connection"), Some("close"), "but for one answer each");
    assert!(newcomer.rest().await.is_empty());
    // After the delay the door closes; the running exchange goes on.
    let data = process.data;
    let closing = async {
        while tokio::net::TcpStream::connect(data).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), closing).await.expect("a closed door");
    assert_eq!(process.ask("/livez").await.status, 200, "the operators' door closes last");
    go.send(true).expect("an upstream");
    running.until(b" full").await;

    let operators = process.admin;
    let remains = process.remains().await;
    assert_eq!(remains.code, Some(0), "{remains:?}");
    assert!(remains.stderr.contains("Tracing terminated"), "{}", remains.stderr);
    remains.assert_balanced();
    assert!(
        remains.stderr.contains("logs to console: 2 accepted = 2 exported"),
        "{}",
        remains.stderr
    );
    assert_eq!(house::lines(remains.stdout.as_bytes()).len(), 2);
    let kept = std::fs::read(remains.path("logs/combined.log")).expect("a log");
    let requests =
        house::lines(&kept).into_iter().filter(|line| line["message"] == "Request completed");
    assert_eq!(requests.count(), 2);
    assert!(tokio::net::TcpStream::connect(operators).await.is_err());
}

#[tokio::test]
async fn one_worker_serves_and_drains_as_several_do() {
    let upstream = upstream::answering(OK).await;
    for workers in [1, 3] {
        let process = Process::start(&format!(
            "[upstream]\nurl = \"http://{}\"\n[server]\nworkers = {workers}\n[otlp]\nendpoint = \"\"\n",
            upstream.address
        ))
        .await;
        let (first, second) = tokio::join!(process.client(), process.client());
        for mut client in [first, second] {
            assert_eq!(client.get("/").await.status, 200);
        }
        process.signal("INT").await;
        let remains = process.remains().await;
        assert_eq!(remains.code, Some(0), "{workers} workers: {remains:?}");
        remains.assert_balanced();
    }
}

#[tokio::test]
async fn sigint_skips_the_delay() {
    let upstream = upstream::answering(OK).await;
    let process = start(&upstream, "20s", "25s").await;
    assert_eq!(process.client().await.get("/").await.status, 200);
    let began = tokio::time::Instant::now();
    process.signal("INT").await;
    let remains = process.remains().await;
    assert_eq!(remains.code, Some(0), "{remains:?}");
    assert!(began.elapsed() < Duration::from_secs(15), "no delay");
    remains.assert_balanced();
}

#[tokio::test]
async fn a_second_signal_ends_at_once_and_says_that_it_cut() {
    for (first, second) in [("TERM", "TERM"), ("TERM", "INT"), ("INT", "INT")] {
        let (upstream, _go) = waiting().await;
        let process = start(&upstream, "30s", "60s").await;
        let mut running = slow_client(&process).await;
        process.signal(first).await;
        process.until("/readyz", 503).await;
        let began = tokio::time::Instant::now();
        process.signal(second).await;
        running.rest().await;
        let remains = process.remains().await;
        assert!(began.elapsed() < Duration::from_secs(10), "{first}, {second}");
        assert_eq!(remains.code, Some(1), "{first}, {second}: {remains:?}");
        assert!(remains.stderr.contains("Error terminating tracing"), "{}", remains.stderr);
        assert!(remains.stderr.contains("what still ran was cut"), "{}", remains.stderr);
        remains.assert_balanced();
        let lines = house::lines(remains.stdout.as_bytes());
        assert_eq!(
            (&lines[0]["outcome"], &lines[0]["errorType"]),
            (&"aborted".into(), &"drain".into())
        );
    }
}

#[tokio::test]
async fn a_second_signal_does_not_wait_for_a_sink_that_hangs() {
    let upstream = upstream::answering(OK).await;
    let collector = upstream::stalling("").await;
    let process = Process::start(&format!(
        "[upstream]\nurl = \"http://{}\"\n[otlp]\nendpoint = \"http://{}\"\ntimeout = \"50s\"\n\
         [server.drain]\ndelay = \"0s\"\ntimeout = \"60s\"\n",
        upstream.address, collector.address
    ))
    .await;
    process.client().await.get("/").await;
    eventually("the collector hangs", || !collector.heads().is_empty()).await;
    process.signal("TERM").await;
    let began = tokio::time::Instant::now();
    process.signal("INT").await; // Another one: two of a kind may arrive as one.

    let remains = process.remains().await;
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert_eq!(remains.code, Some(1), "{remains:?}");
    assert!(remains.stderr.contains("traces to otlp"), "{}", remains.stderr);
}

#[tokio::test]
async fn a_second_signal_does_not_wait_for_a_collector_that_is_away() {
    let (upstream, _go) = waiting().await;
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let away = nobody.local_addr().expect("an address");
    drop(nobody);
    let process = Process::start(&format!(
        "[upstream]\nurl = \"http://{}\"\n[otlp]\nendpoint = \"http://{away}\"\n",
        upstream.address
    ))
    .await;
    let mut running = slow_client(&process).await;
    process.signal("INT").await;
    process.until("/readyz", 503).await;
    let began = tokio::time::Instant::now();
    process.signal("INT").await;
    running.rest().await;
    let remains = process.remains().await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    remains.assert_balanced();
}

#[tokio::test]
async fn the_deadline_cuts_what_still_runs_and_records_it_as_drain() {
    let (upstream, _go) = waiting().await;
    let process = start(&upstream, "0s", "2s").await;
    let mut running = slow_client(&process).await;
    let began = tokio::time::Instant::now();
    process.signal("TERM").await;
    running.rest().await;
    let remains = process.remains().await;
    assert!(began.elapsed() < Duration::from_secs(10), "within the deadline");
    assert_eq!(remains.code, Some(1), "{remains:?}");
    remains.assert_balanced();
    let lines = house::lines(remains.stdout.as_bytes());
    assert_eq!(lines.len(), 1, "one line for the cut exchange");
    assert_eq!(
        lines[0]["errorType"],
        Outcome::Aborted(Abort::Drain).error_type(None).unwrap().as_str()
    );
    assert_eq!((&lines[0]["level"], &lines[0]["status"]), (&"error".into(), &200.into()));
}

#[tokio::test]
async fn idle_connections_do_not_hold_a_drain_up() {
    let upstream = upstream::answering(OK).await;
    let mut config = config(upstream.address, "");
    config.server.drain.timeout = Duration::from_secs(20);
    let house = house::open(&config).await;
    let mut idle = house.client().await;
    assert_eq!(idle.get("/").await.status, 200);
    let _silent = house.client().await;
    let began = tokio::time::Instant::now();
    house.tell(Ask::Drain).await;
    assert!(house.farewell().await.is_clean());
    assert!(began.elapsed() < Duration::from_secs(8), "took {:?}", began.elapsed());
    idle.rest().await;
}

#[tokio::test]
async fn an_answer_that_comes_during_the_drain_closes_its_connection() {
    let (go, wait) = watch::channel(false);
    let upstream = upstream::scripted(move |mut wire| {
        let mut wait = wait.clone();
        async move {
            while let Some(head) = wire.head().await {
                if head.starts_with("GET /slow") && wait.wait_for(|go| *go).await.is_err() {
                    return;
                }
                wire.say(OK).await;
            }
        }
    })
    .await;
    let house = house::open(&config(upstream.address, "")).await;
    let mut client = house.client().await;
    assert_eq!(client.get("/").await.field("connection"), None, "before the drain");
    client.say("GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await;
    eventually("it is with the upstream", || upstream.heads().len() == 2).await;
    house.tell(Ask::Drain).await;
    let data = house.data;
    let closing = async { while tokio::net::TcpStream::connect(data).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(10), closing).await.expect("a closed door");
    go.send(true).expect("an upstream");
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.field("connection")), (200, Some("close")));
    assert!(client.rest().await.is_empty());
    assert!(house.farewell().await.is_clean());
}

/// An upstream that streams an event for each number it is told, and ends with 0.
async fn streaming() -> (Upstream, watch::Sender<u32>) {
    let (tell, told) = watch::channel(1);
    let upstream = upstream::scripted(move |mut wire| {
        let mut told = told.clone();
        async move {
            wire.head().await;
            wire.say("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n").await;
            wire.say("transfer-encoding: chunked\r\n\r\n").await;
            loop {
                let number = *told.borrow_and_update();
                if number == 0 {
                    return wire.say("0\r\n\r\n").await;
                }
                wire.say(format!("9\r\ndata: {number}\n\n\r\n")).await;
                if told.changed().await.is_err() {
                    return;
                }
            }
        }
    })
    .await;
    (upstream, tell)
}

#[tokio::test]
async fn a_stream_runs_on_through_the_drain_until_it_ends() {
    let (upstream, tell) = streaming().await;
    let mut config = config(upstream.address, "");
    config.server.drain.timeout = Duration::from_mins(1);
    let house = house::open(&config).await;
    let mut client = house.client().await;
    client.say("GET /events HTTP/1.1\r\nhost: a\r\n\r\n").await;
    client.until(b"data: 1").await;
    house.tell(Ask::Drain).await;
    house.until("/readyz", 503).await;
    for number in [2, 3] {
        tell.send(number).expect("an upstream");
        client.until(format!("data: {number}\n\n").as_bytes()).await;
    }
    tell.send(0).expect("an upstream");
    client.until(b"0\r\n\r\n").await;
    let paper = house.paper.clone();
    assert!(house.farewell().await.is_clean());
    let lines = paper.lines();
    assert_eq!((lines.len(), &lines[0]["outcome"]), (1, &"served".into()));
    assert_eq!((&lines[0]["events"], &lines[0]["stream"]), (&3.into(), &true.into()));
}

#[tokio::test]
async fn a_stream_that_does_not_end_is_cut_at_the_deadline() {
    let (upstream, tell) = streaming().await;
    let mut config = config(upstream.address, "");
    config.server.drain.timeout = Duration::from_secs(2);
    let house = house::open(&config).await;
    let mut client = house.client().await;
    client.say("GET /events HTTP/1.1\r\nhost: a\r\n\r\n").await;
    client.until(b"data: 1").await;
    house.tell(Ask::Drain).await;
    house.until("/readyz", 503).await;
    tell.send(2).expect("an upstream");
    client.until(b"data: 2").await;
    client.rest().await;
    let paper = house.paper.clone();
    assert!(!house.farewell().await.all_finished);
    let lines = paper.lines();
    assert_eq!(lines.len(), 1);
    assert_eq!(
        (&lines[0]["outcome"], &lines[0]["errorType"]),
        (&"aborted".into(), &"drain".into())
    );
    assert_eq!((&lines[0]["events"], &lines[0]["status"]), (&2.into(), &200.into()));
}

#[tokio::test]
async fn a_cut_exchange_leaves_its_audit_end_too() {
    let (upstream, _go) = waiting().await;
    let directory = tempfile::tempdir().unwrap();
    let mut config =
        config(upstream.address, "[[routes]]\nmatch = \"* /slow\"\naudit = \"DATA_ACCESS\"\n");
    config.audit.directory = directory.path().join("audit");
    config.audit.deadline = Duration::from_secs(10);
    config.server.drain.timeout = Duration::from_secs(1);
    let house = house::open(&config).await;
    let mut client = house.client().await;
    client.say("GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await;
    client.until(b"half").await;
    let farewell = house.close().await;
    assert!(
        !farewell.all_finished && farewell.audit.as_ref().is_some_and(|audit| audit.is_finished)
    );
    let (report, is_ok) = vital_sidecar::cli::audit::verify(&config.audit.directory);
    assert!(is_ok, "{report}");
    let name = vital_sidecar::audit::segment_name(1);
    let trail = house::lines(&std::fs::read(config.audit.directory.join(name)).unwrap());
    assert_eq!((trail.len(), &trail[1]["result"]), (2, &"aborted".into()));
}
