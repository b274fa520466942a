//! What telemetry shows of a caller: a pseudonym and the tenant, and nothing else of a token.

use serde_json::{Value, json};

use super::{ROUTES, bearer, file, jwt};
use crate::support::house::{self, config};
use crate::support::issuer::{Key, claims, set};
use crate::support::recorder::recording;
use crate::support::sidecar;

/// The access log lines of a sidecar that was asked with a token full of private things.
async fn logged(more: &str) -> (Vec<Value>, String, String) {
    let key = Key::ec("a");
    let file = file(&set(&[&key]));
    let recorder = recording().await;
    let text = jwt("jwks_file", &file, more) + ROUTES;
    let house = house::open(&config(recorder.upstream.address, &text)).await;
    let private = json!({"sub": "zebra-canary-user", "email": "zebra@canary.example"});
    let token = key.token(&claims(&private));
    let mut client = house.client().await;
    for (path, token) in [("/api/a", token.clone()), ("/api/a", format!("{token}x"))] {
        let fields = bearer(&token);
        client.say(format!("GET {path} HTTP/1.1\r\nhost: a\r\n{fields}\r\n")).await;
        client.answer().await;
    }
    let page = house.page().await;
    let status = String::from_utf8(house.ask("/status").await.body).expect("UTF-8");
    let paper = house.paper.clone();
    house.close().await;
    let lines = paper.lines();
    let lines = lines.into_iter().filter(|line| line["message"] == "Request completed").collect();
    let all = String::from_utf8(paper.bytes()).expect("UTF-8") + &page + &status;
    (lines, all, token)
}

#[tokio::test]
async fn the_log_carries_a_pseudonym_and_nothing_shows_the_token_or_its_claims() {
    let (lines, all, token) = logged("").await;
    assert_eq!(lines.len(), 2);
    let user = lines[0]["userId"].as_str().expect("a user");
    assert!(user.len() == 32 && user.bytes().all(|b| b.is_ascii_hexdigit()), "{user}");
    assert_eq!(lines[0]["tenantId"], "acme");
    assert_eq!((&lines[1]["userId"], &lines[1]["tenantId"]), (&Value::Null, &Value::Null));
    assert_eq!(lines[1]["errorType"], "unauthenticated");
    for private in token.split('.').chain(["zebra", "canary.example", "issuer.example"]) {
        let piece = &private[..private.len().min(24)];
        assert!(!all.contains(piece), "`{piece}` came out");
    }
}

#[tokio::test]
async fn the_operator_may_have_users_raw_or_not_at_all() {
    let (lines, ..) = logged("telemetry_user = \"raw\"").await;
    assert_eq!(lines[0]["userId"], "zebra-canary-user");
    let (lines, ..) = logged("telemetry_user = \"none\"").await;
    assert_eq!((&lines[0]["userId"], &lines[0]["tenantId"]), (&Value::Null, &json!("acme")));
}

#[tokio::test]
async fn a_trusted_proxy_may_say_who_calls_and_a_stranger_may_not() {
    for (trusted, user) in [("127.0.0.1/32", Some("u1")), ("192.0.2.1/32", None)] {
        let recorder = recording().await;
        let text = format!(
            "server.trusted_proxies = [\"{trusted}\"]\n[identity]\nsource = \"headers\"\n\
             telemetry_user = \"raw\"\n"
        );
        let text = format!("{text}[[routes]]\nmatch = \"GET /a\"\nidentity = \"optional\"\n");
        let config = config(recorder.upstream.address, "");
        let own = text + &format!("[upstream]\nurl = \"http://{}\"\n", recorder.upstream.address);
        let mut from_text = vital_sidecar::config::Config::from_toml(&own).expect("valid");
        from_text.server.listen = config.server.listen;
        let mut sidecar = sidecar::with(&from_text).await;
        let mut client = sidecar.client().await;
        client
            .say("GET /a HTTP/1.1\r\nhost: a\r\nx-user-id: u1\r\nx-user-roles: admin\r\n\r\n")
            .await;
        assert_eq!(client.answer().await.status, 200);
        let shown = sidecar.record().await.caller.user.clone();
        assert_eq!(shown.map(|user| user.with_str(str::to_owned)).as_deref(), user);
        let seen = recorder.only();
        assert_eq!(seen.field("x-user-id"), user);
        assert_eq!(seen.field("x-user-roles"), None);
    }
}
