//! The access log of a whole sidecar: one line per exchange, that nobody can forge or stop.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::task::JoinSet;
use vital_sidecar::telemetry::Console;

use crate::support::client::Client;
use crate::support::house::{self, Paper, config, lines};
use crate::support::upstream;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
/// Digits keep it out of a path's shape; no token of a user agent that holds it may survive.
const CANARY: &str = "c4n4ry@example.com";

#[tokio::test]
async fn an_exchange_leaves_one_line_on_the_console_and_in_its_files() {
    let upstream = upstream::scripted(async |mut wire| {
        while let Some(head) = wire.head().await {
            let status = if head.contains("/broken") { "500 No" } else { "200 OK" };
            wire.say(format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\nok")).await;
        }
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let text = "[[routes]]\nmatch = \"* /api/users/{id}\"\n[[routes]]\nmatch = \"* /no\"\naction = \"deny\"\n";
    let mut config = config(upstream.address, text);
    config.log.directory = Some(directory.path().join("logs"));
    let house = house::open(&config).await;
    let mut client = house.client().await;
    let mut ids = Vec::new();
    for path in ["/api/users/4711?q=1", "/no", "/broken"] {
        let answer = client.get(path).await;
        ids.push(answer.field("x-request-id").expect("an id").to_owned());
    }
    let console = house.lines(3).await;
    let farewell = house.close().await;

    for account in farewell.ledger.snapshot().iter().filter(|account| account.signal == "logs") {
        assert_eq!((account.accepted, account.exported), (3, 3), "{account}");
    }
    let read =
        |name: &str| lines(&std::fs::read(directory.path().join("logs").join(name)).unwrap());
    assert_eq!(read("combined.log"), console);
    assert_eq!(read("error.log"), [console[2].clone()], "errors only");
    let expected = [
        ("info", "GET", "/api/users/{id}", 200, "served"),
        ("warn", "GET", "/no", 403, "refused"),
        ("error", "GET", "/{}", 500, "served"),
    ];
    for ((line, id), (level, method, url, status, outcome)) in console.iter().zip(ids).zip(expected)
    {
        assert_eq!(line["message"], "Request completed");
        assert_eq!((&line["level"], &line["method"]), (&level.into(), &method.into()));
        assert_eq!((&line["url"], &line["status"]), (&url.into(), &status.into()));
        assert_eq!((&line["requestId"], &line["outcome"]), (&id.into(), &outcome.into()));
        assert_eq!(
            (&line["service"], &line["clientIp"]),
            (&"vital-orchestrator".into(), &"127.0.0.0".into())
        );
        assert!(line["duration"].is_number() && line["traceId"].is_string());
    }
}

#[tokio::test]
async fn no_bytes_of_a_client_forge_a_line() {
    let upstream = upstream::answering(OK).await;
    let house = house::open(&config(upstream.address, "")).await;
    let forged = "{\\\"level\\\":\\\"info\\\"}";
    let mut heads: Vec<Vec<u8>> = Vec::new();
    for nasty in [
        &b"\"},{\"level\":\"error\"}"[..],
        b"\\\",\\\"x\\\":\\\"",
        b"\x1b[2J\x1b]0;owned\x07",
        b"\xff\xfe\xc3\x28\xed\xa0\x80",
        b"\xe2\x80\xa8\xe2\x80\xae",
        b"\x7f\x01\x08",
        b"a\nb",
        b"a\rb",
        b"%0d%0a%1b%5b2J",
        forged.as_bytes(),
    ] {
        let build = |before: &[u8], after: &[u8]| [before, nasty, after].concat();
        heads.push(build(b"GET /a HTTP/1.1\r\nhost: a\r\nuser-agent: x", b"\r\n\r\n"));
        heads.push(build(b"GET /a HTTP/1.1\r\nhost: a\r\nx-other: ", b"\r\n\r\n"));
        heads.push(build(b"GET /a HTTP/1.1\r\nhost: a\r\nx-request-id: ", b"\r\n\r\n"));
        heads.push(build(b"GET /a HTTP/1.1\r\nhost: ", b"\r\n\r\n"));
        heads.push(build(b"GET /p", b"?q HTTP/1.1\r\nhost: a\r\n\r\n"));
        heads.push(build(b"GET /p?", b" HTTP/1.1\r\nhost: a\r\n\r\n"));
        heads.push(build(b"G", b" /m HTTP/1.1\r\nhost: a\r\n\r\n"));
    }
    let mut ids = BTreeSet::new();
    for head in heads {
        let mut client = house.client().await;
        client.say(head).await;
        let answer = String::from_utf8_lossy(&client.until(b"\r\n\r\n").await).to_lowercase();
        // A head that could not be parsed has no exchange, so no id and no line.
        if let Some((_, rest)) = answer.split_once("x-request-id: ") {
            ids.insert(rest.lines().next().expect("an id").to_owned());
        }
    }
    assert!(ids.len() > 20, "most of it is HTTP: {}", ids.len());
    house.lines(ids.len()).await;
    let paper = house.paper.clone();
    house.close().await;

    let bytes = paper.bytes();
    let found: BTreeSet<_> = lines(&bytes)
        .iter()
        .map(|line| line["requestId"].as_str().expect("an id").to_owned())
        .collect();
    assert_eq!((found.len(), found), (lines(&bytes).len(), ids));
    let control = bytes.iter().filter(|byte| byte.is_ascii_control() && **byte != b'\n').count();
    assert_eq!((control, bytes.is_ascii()), (0, true), "nothing steers a terminal");
}

#[tokio::test]
async fn what_a_client_says_leaks_into_no_voice() {
    let answer = format!("HTTP/1.1 200 OK\r\nx-a: {CANARY}\r\ncontent-length: 6\r\n\r\nc4n4ry");
    let upstream = upstream::answering(answer).await;
    let text = "[captures.kind]\nfrom = \"request.body:/kind\"\nvalues = [\"a\"]\n\
                [[routes]]\nmatch = \"* /api/{id}\"\ncaptures = [\"kind\"]\n";
    let house = house::open(&config(upstream.address, text)).await;
    let body = format!("{{\"kind\":\"{CANARY}\",\"{CANARY}\":1}}");
    for path in ["/api/c4n4ry", "/other/c4n4ry/c4n4ry", "/%63%34n4ry"] {
        let mut client = house.client().await;
        client
            .say(format!(
                "POST {path}?a={CANARY} HTTP/1.1\r\nhost: c4n4ry\r\nuser-agent: ok {CANARY}\r\n\
                 cookie: {CANARY}\r\nauthorization: {CANARY}\r\nx-request-id: !{CANARY}\r\n\
                 x-user-id: {CANARY}\r\nx-c4n4ry: {CANARY}\r\ntraceparent: {CANARY}\r\n\
                 content-length: {}\r\n\r\n{body}",
                body.len()
            ))
            .await;
        assert_eq!(client.answer().await.status, 200);
    }
    let lines = house.lines(3).await;
    assert_eq!(lines[0]["kind"], "_other");
    assert_eq!(lines[0]["userAgent"], "ok ?", "the one exception, after sanitising");
    let log = String::from_utf8(house.paper.bytes()).expect("UTF-8");
    let status = String::from_utf8(house.ask("/status").await.body).expect("UTF-8");
    for (name, page) in [("log", log), ("metrics", house.page().await), ("status", status)] {
        assert!(!page.contains("c4n4ry"), "{name}: {page}");
    }
}

/// A console whose reader stalls.
#[derive(Clone, Default)]
struct Stalled(Arc<(Mutex<bool>, Condvar)>);

impl Stalled {
    fn release(&self) {
        *self.0.0.lock() = true;
        self.0.1.notify_all();
    }
}

impl Write for Stalled {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut released = self.0.0.lock();
        self.0.1.wait_while(&mut released, |released| !*released);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_console_that_nobody_reads_stops_no_traffic_and_its_losses_are_counted() {
    let upstream = upstream::answering(OK).await;
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(upstream.address, "[[routes]]\nmatch = \"* /no\"\naction = \"deny\"\n");
    config.server.drain.timeout = Duration::from_secs(2);
    config.log.directory = Some(directory.path().to_owned());
    let stalled = Stalled::default();
    let console = Console::To(Box::new(stalled.clone()));
    let house = house::open_with(&config, console, Paper::default()).await;

    // More lines than the lane and the batch in the writer's hands can hold.
    let mut flood = JoinSet::new();
    for _ in 0..4 {
        flood.spawn(refused(house.data, 5_000));
    }
    flood.join_all().await;
    assert_eq!(house.client().await.get("/still-here").await.status, 200);
    let dropped = "sidecar_telemetry_dropped_total{signal=\"logs\",sink=\"console\"";
    assert!(house.metric(dropped).await > 1_000.0, "{}", house.page().await);

    let farewell = house.close().await;
    stalled.release();
    assert!(farewell.all_finished);
    let accounts = farewell.ledger.snapshot();
    let of = |sink| accounts.iter().find(|account| account.sink == sink).expect("an account");
    assert_eq!((of("console").accepted, of("console").exported), (20_001, 0));
    assert!(of("console").dropped["queue_full"] > 1_000);
    let file = of("file");
    assert_eq!((file.accepted, file.exported + file.lost()), (20_001, 20_001), "{file}");
    assert!(file.exported > 10_000, "the file has a reader of its own: {file}");
}

async fn refused(door: std::net::SocketAddr, count: usize) {
    let mut client = Client::connect(door).await;
    for _ in 0..count {
        assert_eq!(client.get("/no").await.status, 403);
    }
}

#[tokio::test]
async fn a_strangers_request_id_is_a_note_and_a_trusted_proxys_is_the_id() {
    const MADE: &str = "0192F3A4-5b6c-7d8e-9fa0-b1c2d3e4f506";
    // An id that may be somebody's name is nothing to note.
    for (sent, is_trusted) in
        [(MADE, false), (MADE, true), ("their-Id_1.x", false), ("their-Id_1.x", true)]
    {
        let upstream = upstream::answering(OK).await;
        let trust = "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n";
        let house =
            house::open(&config(upstream.address, if is_trusted { trust } else { "" })).await;
        let mut client = house.client().await;
        client.say(format!("GET / HTTP/1.1\r\nhost: a\r\nx-request-id: {sent}\r\n\r\n")).await;
        let answer = client.answer().await;
        let given = answer.field("x-request-id").expect("an id").to_owned();
        let line = house.lines(1).await.remove(0);
        assert_eq!(line["requestId"].as_str().map(str::to_lowercase), Some(given.clone()));
        assert_eq!(line["requestId"] == sent, is_trusted);
        assert_eq!(line["clientRequestId"] == sent, !is_trusted && sent == MADE);
        assert!(upstream.heads()[0].to_lowercase().contains(&format!("x-request-id: {given}\r\n")));
    }
}

/// A console that breaks in one of two ways.
struct Broken {
    panics: bool,
}

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        assert!(!self.panics, "a scripted panic");
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_console_that_breaks_costs_lines_and_nothing_else() {
    for panics in [false, true] {
        let upstream = upstream::answering(OK).await;
        let console = Console::To(Box::new(Broken { panics }));
        let house =
            house::open_with(&config(upstream.address, ""), console, Paper::default()).await;
        let mut client = house.client().await;
        for _ in 0..10 {
            assert_eq!(client.get("/").await.status, 200);
        }
        let farewell = house.close().await;
        assert!(farewell.is_clean());
        let account = &farewell.ledger.snapshot()[0];
        assert_eq!((account.accepted, account.exported, account.lost()), (10, 0, 10), "{account}");
    }
}
