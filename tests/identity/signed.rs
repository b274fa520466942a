//! The signed identity that the upstream gets, verified as an app would: with the public key and a
//! library of its own.

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use rcgen::{KeyPair, PKCS_ED25519};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use super::{ROUTES, Scene, bearer, file, good, jwt};
use crate::support::client::Client;
use crate::support::h2;
use crate::support::house::{self, config};
use crate::support::issuer::{Key, claims, now, set};
use crate::support::recorder::{Recorder, Seen, recording};
use crate::support::sidecar;
use crate::support::until;

fn signing_key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ED25519).expect("a key")
}

/// `identity.signing_key_file`.
fn signing(file: &NamedTempFile) -> String {
    format!("signing_key_file = \"{}\"", file.path().display())
}

/// A sidecar that knows one issuer's key and signs with ours; the files it reads; what the app has.
async fn signed() -> (Scene, Key, NamedTempFile, DecodingKey) {
    let (issuer, own) = (Key::ec("a"), signing_key());
    let file = file(&own.serialize_pem());
    let scene = super::knowing(&[&issuer], &signing(&file)).await;
    (scene, issuer, file, public(&own))
}

fn public(pair: &KeyPair) -> DecodingKey {
    DecodingKey::from_ed_pem(pair.public_key_pem().as_bytes()).expect("a public key")
}

/// What the app makes of a token: only `EdDSA`, only for this service, and only while it holds.
fn verified(token: &str, key: &DecodingKey) -> Result<Value, jsonwebtoken::errors::Error> {
    let mut rules = Validation::new(Algorithm::EdDSA);
    rules.set_issuer(&["vital-orchestrator"]);
    rules.leeway = 0;
    rules.validate_aud = false;
    decode::<Value>(token, key, &rules).map(|token| token.claims)
}

fn last(recorder: &Recorder) -> Seen {
    recorder.seen().pop().expect("a request")
}

#[tokio::test]
async fn the_upstream_can_prove_who_calls() {
    let (scene, issuer, _file, key) = signed().await;
    let before = now();
    assert_eq!(scene.with(&issuer.token(&good())).await.status, 200);

    let seen = scene.recorder.only();
    let token = seen.field("x-identity").expect("a signed identity");
    let claims = verified(token, &key).expect("a token that holds");
    assert_eq!((&claims["sub"], &claims["tenant"]), (&json!("u-4711"), &json!("acme")));
    assert_eq!(claims["jti"], json!(seen.field("x-request-id")));
    let begun = claims["iat"].as_u64().expect("a time");
    assert!((before..=now()).contains(&begun), "{claims}");
    assert_eq!(claims["exp"], json!(begun + 60));
    assert_eq!(claims.as_object().map(serde_json::Map::len), Some(6), "no other claim: {claims}");
    let head = decode_header(token).expect("a header");
    assert_eq!((head.alg, head.typ.as_deref()), (Algorithm::EdDSA, Some("JWT")));
    assert_eq!(head.kid.map(|kid| kid.len()), Some(43), "a thumbprint");

    assert!(verified(token, &public(&signing_key())).is_err(), "another key");
    let (message, _) = token.rsplit_once('.').expect("three parts");
    assert!(verified(&format!("{message}."), &key).is_err(), "no signature");
}

#[tokio::test]
async fn each_request_has_a_word_of_its_own_also_over_http2() {
    let (scene, issuer, _file, key) = signed().await;
    let client = h2::Client::connect(scene.sidecar.address).await;
    let mut request = h2::get("/api/a");
    let bearer = format!("Bearer {}", issuer.token(&good()));
    request.headers_mut().insert("authorization", bearer.parse().unwrap());
    request.headers_mut().insert("x-identity", "forged".parse().unwrap());
    for _ in 0..2 {
        assert_eq!(client.send(request.clone()).await.unwrap().status(), 200);
    }

    let seen = scene.recorder.seen();
    let ids: Vec<_> = seen
        .iter()
        .map(|seen| verified(seen.field("x-identity").unwrap(), &key).unwrap()["jti"].clone())
        .collect();
    assert!(ids.len() == 2 && ids[0] != ids[1], "{ids:?}");
    assert!(seen.iter().all(|seen| !seen.head.contains("forged")));
}

#[tokio::test]
async fn who_has_no_identity_has_no_signed_one_and_no_forged_one_either() {
    let (scene, issuer, _file, _) = signed().await;
    let forged = "x-identity: forged\r\nx_identity: forged\r\nX-Identity: forged\r\n";
    // A login takes no notice of tokens, so there is nobody to speak of.
    let login = forged.to_owned() + &bearer(&issuer.token(&good()));
    for (path, fields) in [("/page", forged), ("/login", login.as_str())] {
        assert_eq!(scene.get(path, fields).await.status, 200);
        let head = last(&scene.recorder).head.to_lowercase();
        assert!(!head.contains("identity") && !head.contains("forged"), "{head}");
    }
    // Nor can it be put over the one that is signed.
    let both = forged.to_owned() + &bearer(&issuer.token(&good()));
    assert_eq!(scene.get("/api/a", &both).await.status, 200);
    let head = last(&scene.recorder).head.to_lowercase();
    assert_eq!(head.matches("x-identity:").count(), 1, "{head}");
    assert!(!head.contains("forged") && !head.contains("x_identity"), "{head}");
}

#[tokio::test]
async fn without_a_key_nothing_is_signed() {
    let issuer = Key::ec("a");
    let scene = super::knowing(&[&issuer], "").await;
    assert_eq!(scene.with(&issuer.token(&claims(&json!({"tenant_id": null})))).await.status, 200);
    assert_eq!(scene.recorder.only().field("x-identity"), None);
}

#[tokio::test]
async fn a_user_without_a_tenant_is_signed_without_one() {
    let (scene, issuer, _file, key) = signed().await;
    let token = issuer.token(&claims(&json!({"tenant_id": null})));
    assert_eq!(scene.with(&token).await.status, 200);
    let seen = scene.recorder.only();
    let claims = verified(seen.field("x-identity").unwrap(), &key).unwrap();
    assert_eq!((claims.get("tenant"), &claims["sub"]), (None, &json!("u-4711")));
}

#[tokio::test]
async fn a_signed_identity_is_over_after_its_minute() {
    let (scene, issuer, _file, key) = signed().await;
    scene.with(&issuer.token(&good())).await;
    let seen = scene.recorder.only();
    let token = seen.field("x-identity").unwrap();
    let mut rules = Validation::new(Algorithm::EdDSA);
    (rules.leeway, rules.validate_aud) = (0, false);
    assert!(decode::<Value>(token, &key, &rules).is_ok());
    // As if this were a minute later: what must still hold in 61 seconds does not.
    rules.reject_tokens_expiring_in_less_than = 61;
    assert!(decode::<Value>(token, &key, &rules).is_err());
}

#[tokio::test]
async fn a_new_key_signs_without_a_restart() {
    let (issuer, old, new) = (Key::ec("a"), signing_key(), signing_key());
    let (set, own) = (file(&set(&[&issuer])), file(&old.serialize_pem()));
    let recorder = recording().await;
    let text = jwt("jwks_file", &set, &signing(&own)) + ROUTES;
    let house = house::open(&config(recorder.upstream.address, &text)).await;
    let signed_by = async |key: &DecodingKey| {
        let mut client = Client::connect(house.data).await;
        let fields = bearer(&issuer.token(&good()));
        client.say(format!("GET /api/a HTTP/1.1\r\nhost: a\r\n{fields}\r\n")).await;
        assert_eq!(client.answer().await.status, 200);
        let seen = last(&recorder);
        verified(seen.field("x-identity").expect("signed"), key).ok()
    };
    assert!(signed_by(&public(&old)).await.is_some());

    std::fs::write(own.path(), new.serialize_pem()).expect("a write");
    let next = public(&new);
    until("the new key signs", async || signed_by(&next).await).await;

    assert!(signed_by(&public(&old)).await.is_none());
    house.close().await;
}

#[tokio::test]
async fn an_identity_of_a_trusted_proxy_is_signed_too() {
    let own = signing_key();
    let key_file = file(&own.serialize_pem());
    let recorder = recording().await;
    let text = format!(
        "server.trusted_proxies = [\"127.0.0.1/32\"]\nupstream.url = \"http://{}\"\n\
         [identity]\nsource = \"headers\"\n{}\n",
        recorder.upstream.address,
        signing(&key_file)
    );
    let sidecar = sidecar::with(&vital_sidecar::config::Config::from_toml(&text).unwrap()).await;
    let mut client = sidecar.client().await;
    client.say("GET / HTTP/1.1\r\nhost: a\r\nx-user-id: u1\r\nx-identity: forged\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 200);
    let seen = recorder.only();
    let claims = verified(seen.field("x-identity").unwrap(), &public(&own)).unwrap();
    assert_eq!(claims["sub"], "u1");
    assert!(!seen.head.contains("forged"));
}

#[test]
fn nothing_that_is_said_shows_the_key() {
    let own = file(&signing_key().serialize_pem());
    let text = format!("[identity]\n{}\n", signing(&own));
    let text = format!("upstream.url = \"http://127.0.0.1:3000\"\n{text}");
    let config = vital_sidecar::config::Config::from_toml(&text).unwrap();
    let shown = format!("{config:?}");
    let pem = std::fs::read_to_string(own.path()).unwrap();
    let secret = pem.lines().nth(1).expect("a line of the key");
    assert!(shown.contains("Signer(") && !shown.contains(&secret[..24]), "{shown}");
}
