//! The doors through real sockets.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::config::model::Config;

/// A door that is open until the test ends.
struct Open {
    address: SocketAddr,
    house: Arc<House>,
    is_upstream_well: Arc<AtomicBool>,
    stop: CancellationToken,
    serving: JoinSet<()>,
}

async fn open(door: Door, token: Option<&str>) -> Open {
    let config = Config::for_upstream(SocketAddr::from(([127, 0, 0, 1], 9)));
    let is_upstream_well = Arc::new(AtomicBool::new(true));
    let seen = Arc::clone(&is_upstream_well);
    let probe = move || {
        if seen.load(Ordering::Relaxed) { Ok(()) } else { Err("connection refused".to_owned()) }
    };
    let house = Arc::new(House {
        metrics: Metrics::new(&config.service),
        health: Arc::new(Health::new(vec![("upstream", Box::new(probe))])),
        status: Box::new(|| json!({ "version": "test" })),
        explain: Box::new(|id| (id == "known.id-1").then(|| json!({ "requestId": id }))),
        drain: CancellationToken::new(),
        reload: reload::channel(None).0,
        token: ArcSwapOption::from_pointee(token.map(Secret::new)),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let mut serving = JoinSet::new();
    serving.spawn(serve(listener, door, Arc::clone(&house), stop.clone()));
    Open { address, house, is_upstream_well, stop, serving }
}

impl Open {
    async fn ask(&self, method: &str, path: &str, headers: &str) -> (u16, String) {
        let host = self.address;
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n");
        let answer = self.send(&head).await;
        (answer[9..12].parse().unwrap(), answer)
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let (status, answer) = self.ask("GET", path, "Connection: close\r\n").await;
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        (status, serde_json::from_str(body).unwrap_or_default())
    }

    /// Sends a head and reads to the end of the connection.
    async fn send(&self, head: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        timeout(Duration::from_secs(5), read).await.unwrap().unwrap();
        answer
    }

    async fn close(mut self) {
        self.stop.cancel();
        timeout(Duration::from_secs(5), self.serving.join_next()).await.unwrap().unwrap().unwrap();
    }
}

#[tokio::test]
async fn readiness_follows_start_probes_and_drain() {
    let door = open(Door::Operators, None).await;
    assert_eq!(door.get("/livez").await, (200, json!({ "alive": true })));
    assert_eq!(door.get("/startupz").await.0, 503);
    assert_eq!(door.get("/readyz").await.0, 503);

    door.house.health.start();
    assert_eq!(door.get("/startupz").await.0, 200);
    assert_eq!(door.get("/readyz").await, (200, json!({ "ready": true, "reasons": [] })));

    door.is_upstream_well.store(false, Ordering::Relaxed);
    let reasons = json!([{ "check": "upstream", "reason": "connection refused" }]);
    assert_eq!(door.get("/readyz").await, (503, json!({ "ready": false, "reasons": reasons })));
    door.is_upstream_well.store(true, Ordering::Relaxed);

    door.house.health.drain();
    let (status, document) = door.get("/readyz").await;
    assert_eq!((status, &document["reasons"][0]["check"]), (503, &json!("draining")));
    assert_eq!(door.get("/livez").await.0, 200);
    door.close().await;
}

#[tokio::test]
async fn metrics_come_as_the_scraper_likes_them() {
    let door = open(Door::Operators, None).await;
    let (status, text) = door.ask("GET", "/metrics", "").await;
    assert_eq!(status, 200);
    assert!(text.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    assert!(text.contains("\nsidecar_build_info{version="));
    let accept = "Accept: text/plain;q=0.1\r\nAccept: application/openmetrics-text\r\n";
    let (_, open_metrics) = door.ask("GET", "/metrics", accept).await;
    assert!(open_metrics.ends_with("# EOF\n"));
    door.close().await;
}

#[tokio::test]
async fn a_drain_is_asked_for_by_post_only() {
    let door = open(Door::Operators, None).await;
    door.house.health.start();
    let (status, answer) = door.ask("GET", "/drain", "").await;
    assert_eq!(status, 405);
    assert!(answer.contains("allow: POST\r\n"));
    let (status, _) = door.ask("POST", "/drain", "Origin: http://evil.example\r\n").await;
    assert_eq!(status, 403);
    assert!(!door.house.drain.is_cancelled());

    let (status, _) = door.ask("POST", "/drain", "Content-Length: 0\r\n").await;
    assert_eq!(status, 202);
    assert!(door.house.drain.is_cancelled());
    assert_eq!(door.get("/readyz").await.0, 503);
    door.close().await;
}

#[tokio::test]
async fn a_foreign_or_missing_host_gets_nothing() {
    let door = open(Door::Operators, None).await;
    let heads = [
        "GET /status HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        "GET /status HTTP/1.1\r\n\r\n",
        "GET /status HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        "GET http://evil.example/status HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ];
    for head in heads {
        let answer = door.send(head).await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{head}: {answer}");
        assert!(answer.contains("application/problem+json"));
    }
    let answer = door.send("GET /status HTTP/1.1\r\nHost: localhost:1\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 "));
    door.close().await;
}

#[tokio::test]
async fn a_token_is_asked_for_on_every_page_of_the_operators() {
    let door = open(Door::Operators, Some("s3cret")).await;
    for path in ["/livez", "/metrics", "/status", "/nothing"] {
        let (status, answer) = door.ask("GET", path, "").await;
        assert_eq!(status, 401, "{path}");
        assert!(answer.contains("www-authenticate: Bearer\r\n"));
    }
    let (status, _) = door.ask("GET", "/status", "Authorization: Bearer s3cret\r\n").await;
    assert_eq!(status, 200);
    door.close().await;
}

#[tokio::test]
async fn scrapers_get_four_pages_and_no_reasons() {
    let door = open(Door::Scrapers, Some("s3cret")).await;
    door.house.health.start();
    for path in ["/metrics", "/livez", "/readyz", "/startupz"] {
        let head = format!("GET {path} HTTP/1.1\r\nHost: sidecar.cluster.example\r\n\r\n");
        let answer = door.send(&head).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{path}");
        assert_eq!(door.ask("POST", path, "Content-Length: 0\r\n").await.0, 405, "{path}");
    }
    for path in ["/", "/status", "/drain", "/metrics/", "/metrics/x"] {
        assert_eq!(door.ask("GET", path, "").await.0, 404, "{path}");
        assert_eq!(door.ask("POST", path, "Content-Length: 0\r\n").await.0, 404, "{path}");
    }
    assert!(!door.house.drain.is_cancelled());
    door.is_upstream_well.store(false, Ordering::Relaxed);
    let reasons = json!([{ "check": "upstream" }]);
    assert_eq!(door.get("/readyz").await, (503, json!({ "ready": false, "reasons": reasons })));
    door.close().await;
}

#[tokio::test]
async fn head_has_the_length_of_get_and_no_body() {
    let door = open(Door::Operators, None).await;
    let (_, get) = door.ask("GET", "/livez", "").await;
    let (status, head) = door.ask("HEAD", "/livez", "").await;
    assert_eq!(status, 200);
    let length = |answer: &str| {
        let line = answer.lines().find(|line| line.starts_with("content-length: ")).unwrap();
        line.to_owned()
    };
    assert_eq!(length(&get), length(&head));
    assert!(head.ends_with("\r\n\r\n"));
    door.close().await;
}

#[tokio::test]
async fn a_large_or_endless_body_is_refused_unread() {
    let door = open(Door::Operators, None).await;
    for framing in ["Content-Length: 5000\r\n", "Transfer-Encoding: chunked\r\n"] {
        let (status, _) = door.ask("POST", "/drain", framing).await;
        assert_eq!(status, 413, "{framing}");
    }
    assert!(!door.house.drain.is_cancelled());
    door.close().await;
}

#[tokio::test]
async fn a_full_door_lets_its_oldest_go_for_the_next_one() {
    let door = open(Door::Scrapers, None).await;
    let request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut held = VecDeque::new();
    for _ in 0..=MAX_CONNECTIONS {
        let mut stream = TcpStream::connect(door.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let served = timeout(Duration::from_secs(5), stream.read_u8()).await;
        assert_eq!(served.unwrap().unwrap(), b'H');
        held.push_back(stream);
    }
    let mut oldest = held.pop_front().unwrap();
    let mut rest = Vec::new();
    // Closed or reset: either way it is over, long before its time.
    let ended = timeout(Duration::from_secs(5), oldest.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "the oldest is still open");
    let mut second = held.pop_front().unwrap();
    let mut rest = [0; 1024];
    let size = second.read(&mut rest).await.unwrap();
    assert!(size > 0, "the second oldest was ended, too");
    door.close().await;
}

#[tokio::test]
async fn silent_clients_do_not_keep_a_probe_out() {
    let door = open(Door::Scrapers, None).await;
    let mut silent = Vec::new();
    for _ in 0..4 * MAX_CONNECTIONS {
        silent.push(TcpStream::connect(door.address).await.unwrap());
    }
    let probe = timeout(HEADER_TIMEOUT / 2, door.get("/livez")).await;
    assert_eq!(probe.unwrap().0, 200);
    door.close().await;
}

#[tokio::test]
async fn an_exchange_is_explained_to_operators_alone_while_it_is_remembered() {
    let door = open(Door::Operators, None).await;
    let (status, document) = door.get("/explain/known.id-1").await;
    assert_eq!((status, &document["requestId"]), (200, &json!("known.id-1")));
    for forgotten in ["/explain/another", "/explain/known.id-1/x", "/explain/", "/explain"] {
        assert_eq!(door.get(forgotten).await.0, 404, "{forgotten}");
    }
    assert_eq!(door.ask("POST", "/explain/known.id-1", "Connection: close\r\n").await.0, 405);
    door.close().await;
    let guarded = open(Door::Operators, Some("s3cret")).await;
    assert_eq!(guarded.get("/explain/known.id-1").await.0, 401);
    guarded.close().await;
    let scrapers = open(Door::Scrapers, None).await;
    assert_eq!(scrapers.get("/explain/known.id-1").await.0, 404);
    scrapers.close().await;
}

#[tokio::test]
async fn stopping_ends_idle_connections() {
    let door = open(Door::Operators, None).await;
    let mut idle = TcpStream::connect(door.address).await.unwrap();
    let head = format!("GET /livez HTTP/1.1\r\nHost: {}\r\n\r\n", door.address);
    idle.write_all(head.as_bytes()).await.unwrap();
    idle.read_u8().await.unwrap();
    let address = door.address;
    door.close().await;

    let mut rest = Vec::new();
    let read = idle.read_to_end(&mut rest);
    timeout(Duration::from_secs(5), read).await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

/// With the clock paused, time passes only when everybody waits.
#[tokio::test(start_paused = true)]
async fn a_head_that_never_ends_is_cut_at_its_deadline() {
    let door = open(Door::Scrapers, None).await;
    let began = tokio::time::Instant::now();
    let mut slow = TcpStream::connect(door.address).await.unwrap();
    slow.write_all(b"GET /livez HTTP/1.1\r\nHost: loc").await.unwrap();
    let mut answer = Vec::new();
    slow.read_to_end(&mut answer).await.unwrap();
    assert!(began.elapsed() < LIFETIME);
    door.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_is_let_go() {
    let door = open(Door::Scrapers, None).await;
    let began = tokio::time::Instant::now();
    let mut silent = TcpStream::connect(door.address).await.unwrap();
    let mut answer = Vec::new();
    silent.read_to_end(&mut answer).await.unwrap();
    assert!(began.elapsed() <= LIFETIME + GRACE);
    door.close().await;
}
