//! Another configuration for a sidecar that runs: what changes, what must not, and who is told.

mod followed;
mod level;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::client::Client;
use crate::support::house::{self, House};
use crate::support::upstream::{self, Upstream};
use crate::support::{PATIENCE, eventually};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

const SLOW: &str = "[rate_limits.slow]\nkey = [\"route\"]\nrate = \"1/h\"\nburst = 3\n";

/// A file in a directory of its own.
struct Place {
    directory: TempDir,
    upstream: std::net::SocketAddr,
}

impl Place {
    fn new(upstream: &Upstream) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        Self { directory, upstream: upstream.address }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("sidecar.toml")
    }

    /// A whole configuration with these tables.
    fn text(&self, more: &str) -> String {
        let upstream = self.upstream;
        format!(
            "server.listen = \"127.0.0.1:0\"\nadmin.listen = \"127.0.0.1:0\"\n\
             upstream.url = \"http://{upstream}\"\nlog.console = \"json\"\notlp.endpoint = \"\"\n\
             server.drain.delay = \"0s\"\n{more}"
        )
    }

    fn write(&self, more: &str) {
        write(&self.file(), &self.text(more));
    }

    /// A sidecar that reloads only when it is asked to.
    async fn open(&self, more: &str) -> House {
        self.write(more);
        house::open_from(&self.file(), false).await
    }

    /// A sidecar that also watches its file.
    async fn open_watching(&self) -> House {
        house::open_from(&self.file(), true).await
    }
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("a file");
}

/// One who asks for the same path over and over, and keeps every head.
async fn keep_asking(mut client: Client, is_over: Arc<AtomicBool>) -> Vec<String> {
    let mut heads = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let answer = client.get("/items/1").await;
        assert_eq!(answer.status, 200, "{}", answer.head);
        heads.push(answer.head);
    }
    heads
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_reloads_under_load_fail_no_request_and_mix_no_plans() {
    let upstream = upstream::answering(OK).await;
    let place = Place::new(&upstream);
    let limit = "[rate_limits.l]\nkey = [\"ip\"]\nrate = \"1000000/s\"\nburst = 1000000\n";
    let plans = [
        format!(
            "request_id.header = \"x-id-a\"\nroute_defaults.rate_limits = [\"l\"]\n{limit}\
             [[routes]]\nmatch = \"GET /items/{{id}}\"\nrate_limits = [\"l\"]\n"
        ),
        "request_id.header = \"x-id-b\"\n".to_owned(),
    ];
    let house = place.open(&plans[1]).await;
    let is_over = Arc::<AtomicBool>::default();
    let mut clients = JoinSet::new();
    for _ in 0..4 {
        clients.spawn(keep_asking(house.client().await, Arc::clone(&is_over)));
    }
    for round in 0..50 {
        place.write(&plans[round % 2]);
        let answer = house.reload().await;
        assert_eq!(answer.status, 200, "{:?}", answer.json());
        let seen = upstream.heads().len();
        eventually("requests go on", || upstream.heads().len() > seen + 8).await;
    }
    is_over.store(true, Ordering::Relaxed);
    let heads: Vec<String> = clients.join_all().await.into_iter().flatten().collect();

    let lines = house.lines(heads.len()).await;
    let routes: BTreeMap<_, _> =
        lines.iter().map(|line| (line["requestId"].as_str().unwrap(), &line["route"])).collect();
    let mut met = [0, 0];
    for head in &heads {
        let id = |name| {
            let field = head.lines().find_map(|line| line.strip_prefix(name));
            field.and_then(|value| value.strip_prefix(": "))
        };
        let is_limited = head.contains("\r\nratelimit: ");
        let (plan, id, route) = match (id("x-id-a"), id("x-id-b")) {
            (Some(id), None) => (0, id, "/items/{id}"),
            (None, Some(id)) => (1, id, "_unmatched"),
            both => panic!("{both:?} in {head}"),
        };
        assert_eq!((is_limited, routes[id]), (plan == 0, &route.into()), "{head}");
        met[plan] += 1;
    }
    assert!(met[0] > 100 && met[1] > 100, "both plans were met: {met:?}");
    assert_eq!((lines.len(), routes.len()), (heads.len(), heads.len()), "one record each");
    assert!(house.close().await.is_clean());
}

#[tokio::test]
async fn an_exchange_ends_under_the_plan_it_began_with() {
    let (go, wait) = watch::channel(false);
    let upstream = upstream::scripted(move |mut wire| {
        let mut wait = wait.clone();
        async move {
            wire.head().await;
            if wait.wait_for(|go| *go).await.is_ok() {
                wire.say(OK).await;
            }
        }
    })
    .await;
    let place = Place::new(&upstream);
    let house = place.open("[[routes]]\nmatch = \"* /jobs/{id}\"\n").await;
    let mut client = house.client().await;
    client.say("GET /jobs/1 HTTP/1.1\r\nhost: a\r\n\r\n").await;
    eventually("it is with the upstream", || upstream.heads().len() == 1).await;
    place.write("");
    let answer = house.reload().await;
    assert_eq!(answer.json(), serde_json::json!({ "reloaded": true, "changed": ["routes"] }));
    assert_eq!(house.ask("/status").await.json()["config"]["routes"], 0);
    go.send(true).expect("an upstream");
    assert_eq!(client.answer().await.status, 200);
    assert_eq!(house.lines(1).await[0]["route"], "/jobs/{id}");
    let series = "http_server_request_duration_seconds_count{http_request_method=\"GET\",\
                  http_route=\"/jobs/{id}\"";
    house.until_metric(series, 1.0).await;
    assert!(house.close().await.is_clean());
}

#[tokio::test]
async fn buckets_survive_while_their_quota_is_the_same() {
    let upstream = upstream::answering(OK).await;
    let place = Place::new(&upstream);
    let rules = |more: &str| format!("route_defaults.rate_limits = [\"slow\"]\n{more}{SLOW}");
    let house = place.open(&rules("")).await;
    let mut client = house.client().await;
    assert_eq!(client.get("/").await.status, 200);
    assert_eq!(client.get("/").await.status, 200);

    place.write(&rules("[[routes]]\nmatch = \"GET /free\"\nrate_limits = []\n"));
    assert_eq!(house.reload().await.status, 200);
    assert_eq!(client.get("/free").await.status, 200);
    assert_eq!(client.get("/").await.status, 200, "the third token");
    assert_eq!(client.get("/").await.status, 429, "there were three, before and after together");

    place.write(&rules("").replace("burst = 3", "burst = 1"));
    assert_eq!(house.reload().await.json()["changed"][0], "rate_limits.slow.burst");
    assert_eq!(client.get("/").await.status, 200, "another quota begins anew");
    assert_eq!(client.get("/").await.status, 429);
    house.close().await;
}

#[tokio::test]
async fn status_names_the_file_and_when_it_was_last_read() {
    let upstream = upstream::answering(OK).await;
    let place = Place::new(&upstream);
    place.write("");
    let house = place.open_watching().await;
    let status = house.ask("/status").await.json();
    assert_eq!(status["config"]["file"].as_str().map(Path::new), Some(&*place.file()));
    let since = status["last_reload"]["last_success"].as_str().expect("a time").to_owned();
    assert!(since.len() == 24 && since.starts_with("20") && since.ends_with('Z'), "{since}");
    house.close().await;
}

#[tokio::test]
async fn a_mistake_keeps_the_old_plan_and_is_told_in_full() {
    let upstream = upstream::answering(OK).await;
    let place = Place::new(&upstream);
    let house = place.open("request_id.header = \"x-old\"\n").await;
    let succeeded = "sidecar_config_last_reload_successful";
    let since = "sidecar_config_last_reload_success_timestamp_seconds";
    assert!((house.metric(succeeded).await - 1.0).abs() < 0.1);
    let began = house.metric(since).await;
    assert!(began > 1e9, "{began}");

    place.write("request_id.header = \"x-new\"\nserver.lisetn = 1\noverload.max_streams = -1\n");
    let answer = house.reload().await;
    assert_eq!(
        (answer.status, answer.field("content-type")),
        (422, Some("application/problem+json"))
    );
    let problem = answer.json();
    let errors = problem["detail"].as_str().expect("errors");
    for words in [
        "error: unknown key `lisetn` in `server`",
        "sidecar.toml:8:8",
        "help: did you mean `listen`?",
        "sidecar.toml:9:24",
        "error: the configuration has 2 errors",
    ] {
        assert!(errors.contains(words), "`{words}` is missing in:\n{errors}");
    }
    assert!(house.metric(succeeded).await < 0.1);
    assert!((house.metric(since).await - began).abs() < 1e-6);
    let status = house.ask("/status").await.json();
    assert_eq!(status["last_reload"]["successful"], false);
    assert_eq!(status["last_reload"]["errors"].as_str(), Some(errors));
    let mut client = house.client().await;
    assert!(client.get("/").await.field("x-old").is_some());

    std::fs::remove_file(place.file()).expect("a file");
    let answer = house.reload().await;
    assert_eq!(answer.status, 422);
    assert!(answer.json()["detail"].as_str().is_some_and(|text| text.contains("cannot be read")));

    place.write("request_id.header = \"x-new\"\n");
    assert_eq!(house.reload().await.status, 200);
    assert!(client.get("/").await.field("x-new").is_some(), "on the same connection");
    assert!((house.metric(succeeded).await - 1.0).abs() < 0.1);
    assert!(house.metric(since).await > began);
    house.close().await;
}

#[tokio::test]
async fn what_needs_a_restart_is_refused_by_name_and_nothing_else_changes() {
    let upstream = upstream::answering(OK).await;
    let place = Place::new(&upstream);
    let house = place.open("").await;
    place.write(
        "request_id.header = \"x-new\"\nserver.workers = 7\naudit.directory = \"elsewhere\"\n\
         upstream.pool.max_idle = 1\nupstream.timeouts.connect = \"9s\"\n",
    );
    let answer = house.reload().await;
    assert_eq!(answer.status, 422);
    let problem = answer.json();
    let errors = problem["detail"].as_str().expect("errors");
    for key in
        ["server.workers", "audit.directory", "upstream.pool.max_idle", "upstream.timeouts.connect"]
    {
        let title = format!("error: `{key}` cannot change while the sidecar runs");
        assert!(errors.contains(&title), "`{title}` is missing in:\n{errors}");
    }
    assert!(errors.contains("help: restart the sidecar, or put the old value back"));
    assert!(!errors.contains("request_id.header` cannot"), "{errors}");
    assert!(house.client().await.get("/").await.field("x-request-id").is_some());
    house.close().await;
}

#[tokio::test]
async fn raised_limits_let_waiting_requests_in() {
    let upstream = upstream::scripted(async |mut wire| {
        let head = wire.head().await.unwrap_or_default();
        if head.starts_with("GET /quick") {
            wire.say(OK).await;
        }
        wire.closed().await;
    })
    .await;
    let place = Place::new(&upstream);
    let house = place.open("overload = { max_in_flight = 1, queue_timeout = \"10s\" }\n").await;
    let mut running = house.client().await;
    running.say("GET /stuck HTTP/1.1\r\nhost: a\r\n\r\n").await;
    eventually("one runs", || upstream.heads().len() == 1).await;
    let mut waiting = house.client().await;
    waiting.say("GET /quick HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let asking = async { while house.ask("/status").await.json()["overload"]["waiting"] != 1 {} };
    tokio::time::timeout(PATIENCE, asking).await.expect("one waits");
    place.write("overload = { max_in_flight = 2, queue_timeout = \"10s\" }\n");
    assert_eq!(house.reload().await.status, 200);
    assert_eq!(waiting.answer().await.status, 200);
    drop(running);
    house.close().await;
}

#[tokio::test]
async fn the_token_is_read_again_and_guards_the_reload() {
    let upstream = upstream::answering(OK).await;
    let place = Place::new(&upstream);
    let token = place.directory.path().join("token");
    write(&token, "first\n");
    let house = place.open(&format!("admin.token_file = \"{}\"\n", token.display())).await;
    let ask = async |method: &str, fields: &str| {
        let head = format!("{method} /reload HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n");
        house.ask_as(&head).await.status
    };
    let (first, second) = ("authorization: Bearer first\r\n", "authorization: Bearer second\r\n");
    write(&token, "second\n");
    assert_eq!(ask("POST", "").await, 401);
    assert_eq!(ask("POST", second).await, 401, "not yet");
    assert_eq!(ask("GET", first).await, 405);
    assert_eq!(ask("POST", &format!("{first}origin: http://evil.example\r\n")).await, 403);
    assert_eq!(ask("POST", first).await, 200);
    assert_eq!(ask("POST", first).await, 401);
    assert_eq!(ask("POST", second).await, 200);
    house.close().await;
}

#[tokio::test]
async fn a_house_without_a_source_says_that_it_cannot_reload() {
    let upstream = upstream::answering(OK).await;
    let house = house::open(&house::config(upstream.address, "")).await;
    let answer = house.reload().await;
    assert_eq!(answer.status, 503);
    assert!(answer.json()["detail"].as_str().is_some_and(|text| text.contains("cannot reload")));
    house.close().await;
}
