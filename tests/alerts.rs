//! Alerts in the process: what fires on which traffic, who is told, and how often.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use vital_sidecar::telemetry::ledger::Account;

use crate::support::eventually;
use crate::support::house::{self, House, config};
use crate::support::sentry_inbox::Inbox;
use crate::support::upstream::{self, Upstream, Wire, content_length};

/// Makes the books be looked at often.
const OFTEN: &str = "[[alerts]]\nname = \"often\"\nwhen = \"ratio(errors, requests) > 100% over 2s\"\n\
                     notify = []\n";

/// A chat that keeps what is posted to it.
struct Chat {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    posts: Arc<Mutex<Vec<Value>>>,
    _tasks: JoinSet<()>,
}

impl Chat {
    /// One that answers with these statuses in turn, then with 200.
    async fn start(statuses: &[u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let (heads, posts) = (Arc::default(), Arc::<Mutex<Vec<Value>>>::default());
        let (kept, seen) = (Arc::clone(&posts), Arc::<Mutex<Vec<String>>>::clone(&heads));
        let statuses = Arc::new(Mutex::new(statuses.to_vec()));
        let mut tasks = JoinSet::new();
        let upstream = upstream::scripted_at(listener, move |mut wire: Wire| {
            let (kept, seen, statuses) =
                (Arc::clone(&kept), Arc::clone(&seen), Arc::clone(&statuses));
            async move {
                while let Some(head) = wire.head().await {
                    let body = wire.body(content_length(&head)).await;
                    seen.lock().push(head);
                    kept.lock().push(serde_json::from_slice(&body).expect("JSON"));
                    let status = {
                        let mut left = statuses.lock();
                        if left.is_empty() { 200 } else { left.remove(0) }
                    };
                    wire.say(format!("HTTP/1.1 {status} X\r\ncontent-length: 2\r\n\r\nok")).await;
                }
            }
        });
        tasks.spawn(async move {
            let _upstream = upstream;
            std::future::pending::<()>().await;
        });
        Self { address, heads, posts, _tasks: tasks }
    }

    /// What to put into `notify`.
    fn word(&self) -> String {
        format!("webhook:http://{}/services/T0/s3cret", self.address)
    }

    /// What was told, as `name status`.
    fn told(&self) -> Vec<String> {
        let posts = self.posts.lock();
        let told = posts.iter().map(|post| {
            let word = |name: &str| post[name].as_str().expect("a word").to_owned();
            format!("{} {}", word("alert"), word("status"))
        });
        told.collect()
    }

    async fn until_told(&self, expected: &[&str]) {
        eventually("it is told", || self.told() == expected).await;
    }
}

/// Answers by the path: `/fail` 500, `/pool` 503 without connections, `/slow` late.
async fn service() -> Upstream {
    upstream::scripted(async |mut wire: Wire| {
        while let Some(head) = wire.head().await {
            let (status, body) = match &head {
                _ if head.contains("/fail") => (500, "no"),
                _ if head.contains("/pool") => (503, "Too many connections for role app"),
                _ => (200, "ok"),
            };
            if head.contains("/slow") {
                wire.closed_or(Duration::from_millis(5200)).await;
            }
            let length = body.len();
            wire.say(format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n{body}"))
                .await;
        }
    })
    .await
}

async fn ask(house: &House, path: &str, times: usize) {
    let mut client = house.client().await;
    for _ in 0..times {
        client.get(path).await;
    }
}

fn account(house: &[Account], sink: &str) -> Account {
    let mut found = house.iter().filter(|account| account.signal == "alerts");
    found.find(|account| account.sink == sink).expect("an account").clone()
}

fn firing(name: &str) -> String {
    format!("sidecar_alert_firing{{alert=\"{name}\"}}")
}

/// The five of the defaults, told to this webhook.
fn usual(word: &str) -> String {
    let alert = |(name, when): (&str, &str)| {
        format!(
            "[[alerts]]\nname = \"{name}\"\nwhen = \"{when}\"\nnotify = [\"log\", \"{word}\"]\n"
        )
    };
    [
        ("high_error_rate", "errors > 10/min"),
        ("critical_errors", "status_5xx > 0/min"),
        ("performance_degradation", "p95(duration, stream=false) > 5s over 5m"),
        ("security_rate_limited", "rate_limit_blocked > 100/min"),
        ("database_errors", "errors{type=db_pool_exhausted} > 0/min"),
    ]
    .map(alert)
    .concat()
}

#[tokio::test]
async fn the_usual_five_fire_on_the_traffic_that_they_are_for() {
    let (upstream, chat) = (service().await, Chat::start(&[]).await);
    let text = format!(
        "[service]\nenvironment = \"production\"\n\
         [rate_limits.few]\nkey = [\"route\"]\nrate = \"1/h\"\nburst = 1\n\
         [[routes]]\nmatch = \"GET /limited\"\nrate_limits = [\"few\"]\n\
         [[errors.classify]]\ntype = \"db_pool_exhausted\"\nbody = \"(?i)too many connections\"\n{}{OFTEN}",
        usual(&chat.word())
    );
    let house = house::open(&config(upstream.address, &text)).await;
    let slow = async {
        // Slow ones among few others: one request of one.
        ask(&house, "/slow", 1).await;
    };
    let others = async {
        ask(&house, "/fail", 1).await;
        house.until_metric(&firing("critical_errors"), 1.0).await;
        assert!(house.metric(&firing("high_error_rate")).await < 0.5, "one is not more than ten");
        assert!(house.metric(&firing("database_errors")).await < 0.5, "a class of its own");
        ask(&house, "/fail", 9).await;
        ask(&house, "/pool", 1).await;
        house.until_metric(&firing("high_error_rate"), 1.0).await;
        house.until_metric(&firing("database_errors"), 1.0).await;
    };
    tokio::join!(slow, others);
    house.until_metric(&firing("performance_degradation"), 1.0).await;
    let status = house.ask("/status").await.json();
    let critical = status["alerts"].as_array().and_then(|alerts| alerts.get(1)).expect("five");
    assert_eq!((&critical["name"], &critical["firing"]), (&"critical_errors".into(), &true.into()));
    assert_eq!(critical["value"], 11.0, "{status}");
    assert!(critical["since"].as_str().is_some_and(|since| since.ends_with('Z')), "{status}");
    ask(&house, "/limited", 102).await;
    house.until_metric(&firing("security_rate_limited"), 1.0).await;
    // A hundred fast answers, though refusals, are the end of a slow tail.
    eventually("all are told", || chat.told().len() == 6).await;
    let farewell = house.close().await;
    let mut told = chat.told();
    told.sort();
    let expected = [
        "critical_errors firing",
        "database_errors firing",
        "high_error_rate firing",
        "performance_degradation firing",
        "performance_degradation resolved",
        "security_rate_limited firing",
    ];
    assert_eq!(told, expected, "each once");
    let account = account(&farewell.ledger.snapshot(), "webhook");
    assert_eq!((account.accepted, account.exported), (6, 6));
}

/// Fires while more than half of the requests of the last two seconds failed.
fn failing(name: &str, notify: &str) -> String {
    format!(
        "[[alerts]]\nname = \"{name}\"\nwhen = \"ratio(status_5xx, requests) > 50% over 2s\"\n\
         notify = [{notify}]\n"
    )
}

#[tokio::test]
async fn an_alert_is_told_once_when_it_fires_and_once_when_it_is_over() {
    let (upstream, chat, inbox) = (service().await, Chat::start(&[]).await, Inbox::start().await);
    let notify = format!("\"log\", \"sentry\", \"{}\"", chat.word());
    let text = format!(
        "[sentry]\ndsn = \"{}\"\ndisabled_environments = []\n{}",
        inbox.dsn(),
        failing("failing", &notify)
    );
    let house = house::open(&config(upstream.address, &text)).await;
    house.until_metric(&firing("failing"), 0.0).await;
    ask(&house, "/fail", 5).await;
    chat.until_told(&["failing firing"]).await;
    let status = house.ask("/status").await.json();
    let shown = &status["alerts"][0];
    assert_eq!(shown["name"], "failing");
    assert_eq!(shown["when"], "ratio(status_5xx, requests) > 50% over 2s");
    assert!(shown["firing"].is_boolean() && status["alerts"][1].is_null(), "{status}");
    ask(&house, "/fail", 5).await;
    house.until_metric(&firing("failing"), 0.0).await;
    chat.until_told(&["failing firing", "failing resolved"]).await;
    let after = house.ask("/status").await.json();
    let shown = &after["alerts"][0];
    assert_eq!((&shown["firing"], &shown["since"]), (&false.into(), &Value::Null), "{after}");
    let farewell = house.close().await;

    let post = chat.posts.lock()[0].clone();
    assert_eq!(post["when"], "ratio(status_5xx, requests) > 50% over 2s");
    assert_eq!((&post["value"], &post["threshold"]), (&100.0.into(), &50.0.into()));
    assert!(post["text"].as_str().expect("a text").starts_with("[firing] failing: "), "{post}");
    assert_eq!(post["environment"], "development");
    let instance = status["service"]["instance"].as_str().expect("an instance");
    assert_eq!(post["instance"], instance);
    assert!(post["text"].as_str().expect("a text").ends_with(instance), "{post}");
    let head = chat.heads.lock()[0].to_lowercase();
    assert!(head.starts_with("post /services/t0/s3cret http/1.1\r\n"), "{head}");
    assert!(head.contains("content-type: application/json\r\n"), "{head}");

    let events: Vec<_> =
        inbox.envelopes().iter().map(crate::support::sentry_inbox::Envelope::event).collect();
    let levels: Vec<_> = events.iter().map(|event| event["level"].as_str()).collect();
    // `error` is the level of an event that names none.
    assert_eq!(levels, [None, Some("info")], "{events:?}");
    for event in events {
        assert_eq!(event["fingerprint"], serde_json::json!(["alert", "failing"]));
        let instance = event["tags"]["service.instance.id"].as_str();
        assert!(instance.is_some_and(|id| !id.is_empty()), "which replica: {event}");
    }
    let accounts = farewell.ledger.snapshot();
    for sink in ["webhook", "sentry"] {
        let account = account(&accounts, sink);
        assert_eq!((account.accepted, account.exported), (2, 2), "{account}");
    }
}

/// A file that a sidecar can read again.
struct Place(tempfile::TempDir);

impl Place {
    fn write(&self, upstream: &Upstream, more: &str) -> std::path::PathBuf {
        let text = format!(
            "server.listen = \"127.0.0.1:0\"\nadmin.listen = \"127.0.0.1:0\"\n\
             upstream.url = \"http://{}\"\nlog.console = \"json\"\notlp.endpoint = \"\"\n\
             server.drain.delay = \"0s\"\n{more}",
            upstream.address
        );
        let path = self.0.path().join("sidecar.toml");
        std::fs::write(&path, text).expect("a file");
        path
    }
}

#[tokio::test]
async fn a_reload_keeps_what_fires_and_ends_what_goes() {
    let (upstream, chat) = (service().await, Chat::start(&[]).await);
    let place = Place(tempfile::tempdir().expect("a directory"));
    let alert = |name: &str| {
        format!(
            "[[alerts]]\nname = \"{name}\"\nwhen = \"status_5xx > 0/min\"\nnotify = [\"{}\"]\n",
            chat.word()
        )
    };
    // The webhook is opened with the first alert that names it.
    let path = place.write(&upstream, "alerts = []\n");
    let house = house::open_from(&path, false).await;
    ask(&house, "/fail", 1).await;
    let reload = async |text: &str| {
        place.write(&upstream, text);
        let answer = house.reload().await;
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    };
    reload(&format!("{OFTEN}{}", alert("kept"))).await;
    house.until_metric(&firing("kept"), 0.0).await;
    ask(&house, "/ok", 1).await;
    assert_eq!(chat.told(), [""; 0], "what was counted before does not matter");

    // The first look is at once; what comes after it counts.
    let fired = async || {
        ask(&house, "/fail", 1).await;
        (!chat.told().is_empty()).then_some(())
    };
    crate::support::until("it fires", fired).await;
    chat.until_told(&["kept firing"]).await;
    reload(&format!("{}{OFTEN}", alert("kept"))).await;
    reload(&format!("server.server_timing = true\n{}{OFTEN}", alert("kept"))).await;
    ask(&house, "/fail", 3).await;
    reload(&format!("{}{OFTEN}", alert("another"))).await;
    chat.until_told(&["kept firing", "kept resolved"]).await;
    let page = house.page().await;
    assert!(page.contains(&firing("another")) && !page.contains(&firing("kept")), "{page}");
    house.close().await;
}

#[tokio::test]
async fn a_webhook_in_trouble_is_tried_again_and_costs_traffic_nothing() {
    let (upstream, chat) = (service().await, Chat::start(&[503]).await);
    let nobody = format!("webhook:http://{}/s3cret", upstream::nobody().await);
    let text = failing("again", &format!("\"{}\"", chat.word()))
        + &failing("nowhere", &format!("\"{nobody}\""));
    let house = house::open(&config(upstream.address, &text)).await;
    ask(&house, "/fail", 5).await;
    house.until_metric(&firing("nowhere"), 1.0).await;
    ask(&house, "/ok", 5).await;
    chat.until_told(&["again firing", "again firing"]).await;
    let page = house.page().await;
    assert!(!page.contains("s3cret"));
    let farewell = house.close().await;
    let account = account(&farewell.ledger.snapshot(), "webhook");
    assert!(account.lost() >= 1 && account.exported >= 1, "{account}");
    assert!(account.attempts["failure"] >= 4, "each request counts: {:?}", account.attempts);
}

#[test]
fn no_voice_of_the_configuration_shows_a_webhook() {
    let text = "upstream.url = \"http://127.0.0.1:1\"\n[[alerts]]\nname = \"a\"\nwhen = \"errors > 0/min\"\n\
                notify = [\"webhook:https://hooks.example/s3cret\"]\n";
    let config = vital_sidecar::config::Config::from_toml(text).expect("a valid configuration");
    assert!(!format!("{config:?}").contains("s3cret"));
    for wrong in ["webhok:", "webhook:", "webhook:ftp://", "https://"] {
        let text = text.replace("webhook:https://", wrong).replace("hooks", "a b/hooks");
        let errors =
            vital_sidecar::config::Config::from_toml(&text).expect_err("refused").to_string();
        assert!(!errors.contains("s3cret"), "{errors}");
    }
    let broken = text.replace("s3cret\"]", "s3cret");
    let errors =
        vital_sidecar::config::Config::from_toml(&broken).expect_err("no TOML").to_string();
    assert!(!errors.contains("s3cret"), "{errors}");
}
