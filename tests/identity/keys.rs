//! Keys from a URL: an issuer that is away, slow, or talks nonsense; keys that come and go.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::{AUDIENCE, ISSUER, ROUTES, bearer, good};
use crate::support::house::{self, House, config};
use crate::support::issuer::{Key, set};
use crate::support::recorder::{Recorder, recording};
use crate::support::upstream::{self, Upstream};
use crate::support::{eventually, until};

/// What the issuer's server says.
#[derive(Clone)]
enum Says {
    Keys(String),
    Text(String),
    Nothing,
    Close,
}

struct Scene {
    server: Upstream,
    says: Arc<Mutex<Says>>,
    _recorder: Recorder,
    house: House,
}

async fn scene(first: Says) -> Scene {
    let says = Arc::new(Mutex::new(first));
    let spoken = Arc::clone(&says);
    let server = upstream::scripted(move |mut wire| {
        let says = Arc::clone(&spoken);
        async move {
            while wire.head().await.is_some() {
                let now = says.lock().clone();
                match now {
                    Says::Keys(body) => {
                        let length = body.len();
                        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
                        wire.say(head + &body).await;
                    }
                    Says::Text(text) => wire.say(text).await,
                    Says::Nothing => return wire.closed().await,
                    Says::Close => return,
                }
            }
        }
    })
    .await;
    let recorder = recording().await;
    let text = format!(
        "[identity]\nsource = \"jwt\"\n[identity.jwt]\njwks_url = \"http://{}/keys\"\n\
         issuer = \"{ISSUER}\"\naudience = \"{AUDIENCE}\"\n{ROUTES}",
        server.address
    );
    let house = house::open(&config(recorder.upstream.address, &text)).await;
    Scene { server, says, _recorder: recorder, house }
}

impl Scene {
    async fn ask(&self, token: &str) -> (u16, String) {
        let mut client = self.house.client().await;
        let fields = bearer(token);
        client.say(format!("GET /api/a HTTP/1.1\r\nhost: a\r\n{fields}\r\n")).await;
        let answer = client.answer().await;
        if answer.status == 503 {
            let seconds = answer.field("retry-after").expect("a time").parse::<u64>();
            assert!((1..=31).contains(&seconds.expect("seconds")), "{}", answer.head);
        }
        let body = if answer.status == 200 { json!({}) } else { answer.json() };
        (answer.status, body["error_type"].as_str().unwrap_or_default().to_owned())
    }

    /// What `/status` says of the keys.
    async fn keys(&self) -> Value {
        self.house.ask("/status").await.json()["identity"]["keys"].clone()
    }

    /// How often it was asked for its keys.
    fn fetches(&self) -> usize {
        self.server.heads().len()
    }
}

fn unavailable() -> (u16, String) {
    (503, "jwks_unavailable".to_owned())
}

#[tokio::test]
async fn keys_are_fetched_once_for_many_requests_and_readiness_waits_for_them() {
    let key = Key::ec("a");
    let scene = scene(Says::Keys(set(&[&key]))).await;
    scene.house.until("/readyz", 200).await;
    for _ in 0..20 {
        assert_eq!(scene.ask(&key.token(&good())).await.0, 200);
    }
    assert_eq!(scene.fetches(), 1);
    assert!(scene.server.has_seen("GET /keys HTTP/1.1"));
    scene.house.close().await;
}

#[tokio::test]
async fn without_keys_nobody_can_know_until_there_are_some() {
    for (nonsense, trouble) in [
        (Says::Close, "connection closed"),
        (Says::Nothing, ""),
        (Says::Text("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n".to_owned()), "is 500, not 200"),
        (
            Says::Text(
                "HTTP/1.1 302 Elsewhere\r\nlocation: /more\r\ncontent-length: 0\r\n\r\n".to_owned(),
            ),
            "is 302, not 200",
        ),
        (Says::Text("SSH-2.0-OpenSSH_9.6\r\n\r\n".to_owned()), "HTTP"),
        (Says::Keys("<html>".to_owned()), "not a JWK set"),
        (Says::Keys(r#"{"keys":[]}"#.to_owned()), "no public key for an algorithm"),
        (
            Says::Keys(r#"{"keys":[{"kty":"oct","k":"AAAA","kid":"a"}]}"#.to_owned()),
            "no public key for an algorithm",
        ),
        (
            Says::Keys(format!("{{\"keys\":[],\"x\":\"{}\"}}", "x".repeat(300_000))),
            "longer than 256 KiB",
        ),
    ] {
        let is_silent = matches!(nonsense, Says::Nothing);
        let key = Key::ec("a");
        let scene = scene(nonsense).await;
        eventually("somebody asks", || scene.fetches() > 0).await;
        assert_eq!(scene.ask(&key.token(&good())).await, unavailable());
        assert_eq!(scene.ask("not.a.token").await, unavailable());
        let ready = scene.house.ask("/readyz").await;
        assert_eq!(ready.status, 503);
        assert!(String::from_utf8_lossy(&ready.body).contains("keys"));
        let keys = until("the trouble is known", async || {
            let keys = scene.keys().await;
            let known = keys["trouble"].as_str().unwrap_or_default().to_owned();
            known.contains(trouble).then_some(keys)
        })
        .await;
        assert_eq!((&keys["count"], &keys["usable"]), (&json!(0), &json!(false)), "{keys}");
        assert_eq!(keys["age_seconds"], Value::Null);
        // Who needs no identity is served all the same.
        assert_eq!(scene.house.client().await.get("/page").await.status, 200);
        if !is_silent {
            *scene.says.lock() = Says::Keys(set(&[&key]));
            scene.house.until("/readyz", 200).await;
            assert_eq!(scene.ask(&key.token(&good())).await.0, 200);
            let keys = scene.keys().await;
            assert_eq!((&keys["count"], &keys["trouble"]), (&json!(1), &Value::Null), "{keys}");
            assert!(keys["age_seconds"].is_u64(), "{keys}");
        }
        scene.house.close().await;
    }
}

#[tokio::test]
async fn rotated_keys_are_known_at_the_first_token_and_the_old_ones_are_gone_with_their_tokens() {
    let (old, new) = (Key::ec("old"), Key::ed("new"));
    let scene = scene(Says::Keys(set(&[&old]))).await;
    scene.house.until("/readyz", 200).await;
    let old_token = old.token(&good());
    assert_eq!(scene.ask(&old_token).await.0, 200);

    *scene.says.lock() = Says::Keys(set(&[&new]));
    assert_eq!(scene.ask(&old_token).await.0, 200, "nobody knows yet");
    assert_eq!(scene.ask(&new.token(&good())).await.0, 200);

    assert_eq!(scene.fetches(), 2);
    assert_eq!(scene.ask(&old_token).await.0, 401, "no cache outlives its key");
    scene.house.close().await;
}

#[tokio::test]
async fn a_flood_of_unknown_keys_costs_the_issuer_one_question() {
    let key = Key::ec("known");
    let scene = scene(Says::Keys(set(&[&key]))).await;
    scene.house.until("/readyz", 200).await;

    let mut flood = tokio::task::JoinSet::new();
    let address = scene.house.data;
    for number in 0..200 {
        let header = json!({"alg": "ES256", "kid": format!("flood-{number}")});
        let token = key.sign(&header, &good());
        flood.spawn(async move {
            let mut client = crate::support::client::Client::connect(address).await;
            let fields = bearer(&token);
            client.say(format!("GET /api/a HTTP/1.1\r\nhost: a\r\n{fields}\r\n")).await;
            client.answer().await.status
        });
    }
    let statuses = flood.join_all().await;

    assert!(statuses.iter().all(|status| *status == 401), "{statuses:?}");
    assert_eq!(scene.fetches(), 2, "the first, and one for all of them");
    assert_eq!(scene.ask(&key.token(&good())).await.0, 200);
    scene.house.close().await;
}

#[tokio::test]
async fn known_keys_outlive_an_issuer_that_hangs_and_no_request_waits_long() {
    let key = Key::ec("a");
    let scene = scene(Says::Keys(set(&[&key]))).await;
    scene.house.until("/readyz", 200).await;
    *scene.says.lock() = Says::Nothing;

    let asked = tokio::time::Instant::now();
    let stranger = key.sign(&json!({"alg": "ES256", "kid": "stranger"}), &good());
    assert_eq!(scene.ask(&stranger).await.0, 401);
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());

    assert_eq!(scene.ask(&key.token(&good())).await.0, 200);
    scene.house.until("/readyz", 200).await;
    scene.house.close().await;
}

#[tokio::test]
async fn an_issuer_that_cannot_be_reached_is_told_as_that() {
    let nobody = upstream::nobody().await;
    // It speaks first, and no TLS.
    let plain =
        upstream::scripted(async |mut wire| wire.say("SSH-2.0-OpenSSH_9.6\r\n").await).await;
    for (url, trouble) in [
        (format!("http://{nobody}/keys"), "Connection refused"),
        (format!("https://{}/keys", plain.address), "TLS: "),
    ] {
        let recorder = recording().await;
        let text = format!(
            "[identity]\nsource = \"jwt\"\n[identity.jwt]\njwks_url = \"{url}\"\n\
             issuer = \"{ISSUER}\"\naudience = \"{AUDIENCE}\"\n{ROUTES}"
        );
        let house = house::open(&config(recorder.upstream.address, &text)).await;
        until("the trouble is known", async || {
            let status = house.ask("/status").await.json();
            let known =
                status["identity"]["keys"]["trouble"].as_str().unwrap_or_default().to_owned();
            known.contains(trouble).then_some(())
        })
        .await;
        house.close().await;
    }
}
