//! Which requests need an identity, and what becomes of it.

use serde_json::json;
use vital_sidecar::record::{Caller, Outcome, Refusal, Rejection, User};

use super::{Scene, bearer, file, good, jwt, knowing};
use crate::support::house::config;
use crate::support::issuer::{Key, claims, hs256};
use crate::support::recorder::recording;
use crate::support::sidecar;

#[tokio::test]
async fn a_verified_identity_reaches_the_upstream_and_telemetry_gets_a_pseudonym() {
    let key = Key::ec("a");
    let mut scene = knowing(&[&key], "").await;
    let forged = "x-user-id: eve\r\nx_user_id: eve\r\nx-user-roles: admin\r\n";

    let answer = scene.get("/api/a", &(bearer(&key.token(&good())) + forged)).await;

    assert_eq!(answer.status, 200);
    let head = scene.seen().pop().expect("a request");
    assert!(
        head.contains("\r\nx-user-id: u-4711\r\n") && head.contains("\r\nx-tenant-id: acme\r\n")
    );
    assert!(head.contains("\r\nauthorization: bearer "), "it goes on: {head}");
    assert!(!head.contains("eve") && !head.contains("x-user-roles"), "{head}");
    let record = scene.record().await;
    assert_eq!(record.outcome, Outcome::Served);
    assert!(matches!(record.caller.user, Some(User::Hash(_))), "{:?}", record.caller);
    assert_eq!(record.caller.tenant.as_deref(), Some("acme"));
}

#[tokio::test]
async fn who_says_nothing_is_asked_where_it_is_required_and_anonymous_elsewhere() {
    let mut scene = knowing(&[&Key::ec("a")], "").await;

    let refused = scene.get("/api/a", "").await;

    assert_eq!(refused.status, 401);
    assert_eq!(refused.field("www-authenticate"), Some("bearer realm=\"vital-orchestrator\""));
    assert_eq!(refused.json()["title"], "Unauthorized");
    let record = scene.record().await;
    assert_eq!(record.outcome, Outcome::Refused(Refusal::Unauthenticated));
    assert_eq!(scene.get("/api/a", "authorization: Basic YTpi\r\n").await.status, 401);
    scene.record().await;
    let anonymous = scene.get("/page", "x-user-id: eve\r\n").await;
    assert_eq!(anonymous.status, 200);
    assert_eq!(scene.record().await.caller, Caller::default());
    assert!(!scene.seen().pop().expect("a request").contains("x-user-id"));
}

#[tokio::test]
async fn a_bad_token_is_refused_where_tokens_are_optional_and_not_looked_at_where_nobody_asks() {
    let mut scene = knowing(&[&Key::ec("a")], "").await;
    let stranger = Key::ec("a").token(&good());
    assert_eq!(scene.get("/page", &bearer(&stranger)).await.status, 401);
    scene.record().await;

    let open = scene.get("/login", &bearer(&stranger)).await;

    assert_eq!(open.status, 200);
    assert_eq!(scene.record().await.caller, Caller::default());
}

#[tokio::test]
async fn a_bearer_scheme_with_something_odd_behind_it_is_a_bad_token_and_not_nobody() {
    let key = Key::ec("a");
    let mut scene = knowing(&[&key], "").await;
    let token = key.token(&good());
    for odd in [
        "Bearer".to_owned(),
        format!("Bearer\t{token}"),
        format!("bearer\t{token}"),
        format!("BEARER\t {token}"),
        format!("Bearer \t{token}"),
        format!("Bearer {token} {token}"),
        format!("Bearer {token},Basic YTpi"),
    ] {
        let answer = scene.get("/page", &format!("authorization: {odd}\r\n")).await;
        assert_eq!(answer.status, 401, "{odd:?}");
        assert_eq!(scene.record().await.rejection, Some(Rejection::Malformed), "{odd:?}");
    }
    assert!(scene.seen().is_empty(), "the upstream saw one");
    for other in [format!("Bearer={token}"), format!("Bearerish\t{token}"), "Basic YTpi".to_owned()]
    {
        let answer = scene.get("/page", &format!("authorization: {other}\r\n")).await;
        assert_eq!(answer.status, 200, "{other:?} is another scheme");
        assert_eq!(scene.record().await.caller, Caller::default());
    }
}

#[tokio::test]
async fn a_token_that_is_over_has_an_error_type_of_its_own() {
    let key = Key::ed("a");
    let mut scene = knowing(&[&key], "").await;
    let over = key.token(&claims(&json!({"exp": crate::support::issuer::now() - 31})));

    let answer = scene.with(&over).await;

    assert_eq!((answer.status, &answer.json()["error_type"]), (401, &json!("token_expired")));
    let challenge = answer.field("www-authenticate").expect("a challenge");
    assert!(challenge.contains("error=\"invalid_token\"") && challenge.contains("expired"));
    assert_eq!(scene.record().await.outcome, Outcome::Refused(Refusal::TokenExpired));
}

#[tokio::test]
async fn a_preflight_is_never_refused_and_any_other_options_is() {
    let mut scene = knowing(&[&Key::ec("a")], "").await;
    let preflight = "origin: https://app.example\r\naccess-control-request-method: POST\r\n";
    let ask =
        |method: &str, fields: &str| format!("{method} /api/a HTTP/1.1\r\nhost: a\r\n{fields}\r\n");
    for (request, status) in [
        (ask("OPTIONS", preflight), 200),
        // A browser sends none with a preflight (Fetch standard), so this is another request.
        (ask("OPTIONS", &format!("{preflight}authorization: Bearer x\r\n")), 401),
        (ask("OPTIONS", &format!("{preflight}cookie: a=b\r\n")), 401),
        (ask("OPTIONS", &format!("{preflight}x-http-method-override: DELETE\r\n")), 401),
        (ask("OPTIONS", &format!("{preflight}origin: https://b.example\r\n")), 401),
        (ask("OPTIONS", &format!("{preflight}connection: upgrade\r\nupgrade: x\r\n")), 401),
        (ask("OPTIONS", &format!("{preflight}content-length: 2\r\n")) + "{}", 401),
        (ask("OPTIONS", "origin: https://app.example\r\n"), 401),
        (ask("OPTIONS", "access-control-request-method: POST\r\n"), 401),
        (ask("POST", preflight), 401),
    ] {
        let mut client = scene.sidecar.client().await;
        client.say(&request).await;
        assert_eq!(client.answer().await.status, status, "{request}");
        scene.record().await;
    }
}

#[tokio::test]
async fn a_handshake_of_a_websocket_is_checked_like_any_request() {
    let key = Key::ec("a");
    let mut scene = knowing(&[&key], "").await;
    let handshake = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                     sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    assert_eq!(scene.get("/api/ws", handshake).await.status, 401);
    scene.record().await;
    let fields = format!("{handshake}{}", bearer(&key.token(&good())));
    assert_eq!(scene.get("/api/ws", &fields).await.status, 200, "the upstream's own answer");
}

#[tokio::test]
async fn every_kind_of_key_and_every_place_for_one_works() {
    let keys = [Key::rsa(), Key::ec("ec"), Key::ed("ed")];
    let mut scene = knowing(&[&keys[0], &keys[1], &keys[2]], "").await;
    for key in &keys {
        scene.accepts(&key.token(&good())).await;
        scene.accepts(&key.token(&good())).await;
    }
    // Without a name every key that could have made it is asked.
    scene.accepts(&keys[2].sign(&json!({"alg": "EdDSA"}), &good())).await;
    for key in &keys {
        let file = file(&key.pem());
        let recorder = recording().await;
        let text = jwt("public_key_file", &file, "") + super::ROUTES;
        let sidecar = sidecar::with(&config(recorder.upstream.address, &text)).await;
        let mut scene = Scene { recorder, sidecar, _file: file };
        scene.accepts(&key.token(&good())).await;
    }
    let secret = "0123456789abcdef0123456789abcdef";
    let file = file(&format!("{secret}\n"));
    let recorder = recording().await;
    let text = jwt("secret_file", &file, "") + super::ROUTES;
    let sidecar = sidecar::with(&config(recorder.upstream.address, &text)).await;
    let mut scene = Scene { recorder, sidecar, _file: file };
    scene.accepts(&hs256(secret.as_bytes(), &json!({"alg": "HS256"}), &good())).await;
}

#[tokio::test]
async fn what_nobody_can_have_refuses_rather_than_passes() {
    use vital_sidecar::config::model::Need;
    let recorder = recording().await;
    let mut config = config(recorder.upstream.address, "");
    // `check` refuses to start with this.
    config.default_gates.identity = Need::Required;
    let sidecar = sidecar::with(&config).await;
    assert_eq!(sidecar.client().await.get("/").await.status, 401);
    assert!(recorder.seen().is_empty());
}
