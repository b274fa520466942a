//! One token per attack: each is refused, and the upstream sees nothing of it.
//!
//! The keys that are known are an RSA, a P-256 and an Ed25519 one. What a test changes is the one
//! thing that is wrong with a token: `the_same_token_without_an_attack_passes` holds for all.

use serde_json::{Value, json};

use super::{Scene, bearer, good, knowing};
use crate::support::issuer::{Key, base64url, claims, hs256, now};

struct Attack {
    scene: Scene,
    rsa: Key,
    ec: Key,
    ed: Key,
}

async fn attack() -> Attack {
    let (rsa, ec, ed) = (Key::rsa(), Key::ec("ec"), Key::ed("ed"));
    let scene = knowing(&[&rsa, &ec, &ed], "").await;
    Attack { scene, rsa, ec, ed }
}

fn header(algorithm: &str, id: &str) -> Value {
    json!({"alg": algorithm, "typ": "JWT", "kid": id})
}

/// Header and claims, and any text for a signature.
fn unsigned(header: &Value, claims: &Value, signature: &str) -> String {
    let part = |value: &Value| base64url(value.to_string().as_bytes());
    format!("{}.{}.{signature}", part(header), part(claims))
}

#[tokio::test]
async fn the_same_token_without_an_attack_passes() {
    let mut attack = attack().await;
    for key in [&attack.rsa, &attack.ec, &attack.ed] {
        let token = key.sign(&header(key.algorithm(), key.id), &good());
        attack.scene.accepts(&token).await;
    }
}

#[tokio::test]
async fn alg_none_is_refused_in_every_spelling() {
    let mut attack = attack().await;
    for none in ["none", "None", "NONE", "nOnE", ""] {
        for signature in ["", "AA"] {
            attack.scene.refuses(&unsigned(&header(none, "ec"), &good(), signature)).await;
            let nameless = unsigned(&json!({"alg": none}), &good(), signature);
            attack.scene.refuses(&nameless).await;
        }
        // Even with a good signature.
        let signed = attack.ec.sign(&header(none, "ec"), &good());
        attack.scene.refuses(&signed).await;
    }
}

#[tokio::test]
async fn a_public_key_is_no_secret() {
    let mut attack = attack().await;
    let pem = attack.rsa.pem();
    let jwk = attack.rsa.jwk();
    let modulus = jwk["n"].as_str().expect("a modulus");
    for secret in [pem.as_bytes(), pem.trim().as_bytes(), modulus.as_bytes(), b"", b"secret"] {
        for id in ["rsa", "ec"] {
            let token = hs256(secret, &header("HS256", id), &good());
            attack.scene.refuses(&token).await;
        }
        let nameless = hs256(secret, &json!({"alg": "HS256"}), &good());
        attack.scene.refuses(&nameless).await;
    }
}

#[tokio::test]
async fn the_header_does_not_choose_the_algorithm_of_a_key() {
    let mut attack = attack().await;
    // Signed well, by an algorithm of the key that is not in `algorithms`.
    let pss = attack.rsa.sign_pss(&header("PS256", "rsa"), &good());
    attack.scene.refuses(&pss).await;
    for claimed in ["RS384", "RS512", "PS256", "ES256", "EdDSA", "HS256", "rs256", "RS256 "] {
        let token = attack.rsa.sign(&header(claimed, "rsa"), &good());
        attack.scene.refuses(&token).await;
    }
    // The right algorithm with another's name.
    let token = attack.ec.sign(&header("ES256", "ed"), &good());
    attack.scene.refuses(&token).await;
}

#[tokio::test]
async fn a_key_id_is_a_name_and_nothing_else() {
    let mut attack = attack().await;
    for id in [
        "../../dev/null",
        "/etc/passwd",
        "ec\u{0}",
        "EC",
        "",
        "' OR '1'='1",
        "ec; DROP TABLE keys",
        "http://127.0.0.1:1/keys",
        "${jndi:ldap://127.0.0.1/a}",
    ] {
        let token = attack.ec.sign(&header("ES256", id), &good());
        attack.scene.refuses(&token).await;
        // The content of an empty file would be an empty secret.
        let token = hs256(b"", &header("HS256", id), &good());
        attack.scene.refuses(&token).await;
    }
    for id in [json!(1), json!(null), json!(["ec"]), json!({"ec": true})] {
        let token = attack.ec.sign(&json!({"alg": "ES256", "kid": id}), &good());
        attack.scene.refuses(&token).await;
    }
}

#[tokio::test]
async fn keys_and_addresses_in_a_header_are_not_looked_at() {
    let mut attack = attack().await;
    let evil = Key::ec("ec");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let url = format!("http://{}/keys", listener.local_addr().expect("an address"));
    for name in ["jku", "x5u"] {
        let mut header = header("ES256", "ec");
        header[name] = url.as_str().into();
        let forged = evil.sign(&header, &good());
        attack.scene.refuses(&forged).await;
        let own = attack.ec.sign(&header, &good());
        attack.scene.accepts(&own).await;
    }
    for (name, value) in [("jwk", evil.jwk()), ("x5c", json!(["AAAA"]))] {
        let mut header = header("ES256", "ec");
        header[name] = value;
        let forged = evil.sign(&header, &good());
        attack.scene.refuses(&forged).await;
    }
    let visit = tokio::time::timeout(std::time::Duration::from_millis(50), listener.accept());
    assert!(visit.await.is_err(), "somebody followed the header");
}

#[tokio::test]
async fn a_token_that_is_over_or_early_is_refused() {
    let mut attack = attack().await;
    let over = attack.ec.token(&claims(&json!({"exp": now() - 60})));
    let answer = attack.scene.with(&over).await;
    assert_eq!(answer.json()["error_type"], "token_expired");
    attack.scene.record().await;
    let early = attack.ec.token(&claims(&json!({"nbf": now() + 120})));
    attack.scene.refuses(&early).await;
    let endless = attack.ec.token(&claims(&json!({"exp": null})));
    attack.scene.refuses(&endless).await;
}

#[tokio::test]
async fn another_issuer_or_audience_is_refused() {
    let mut attack = attack().await;
    for wrong in [
        json!({"iss": "https://evil.example"}),
        json!({"iss": "https://issuer.example/"}),
        json!({"iss": "HTTPS://ISSUER.EXAMPLE"}),
        json!({"iss": ["https://issuer.example"]}),
        json!({"iss": null}),
        json!({"aud": "another"}),
        json!({"aud": ["another", "orchestrators"]}),
        json!({"aud": []}),
        json!({"aud": {"orchestrator": 1}}),
        json!({"aud": null}),
    ] {
        let token = attack.ec.token(&claims(&wrong));
        attack.scene.refuses(&token).await;
    }
    let several = attack.ec.token(&claims(&json!({"aud": ["another", "orchestrator"]})));
    attack.scene.accepts(&several).await;
}

#[tokio::test]
async fn a_claim_that_is_there_twice_is_refused() {
    let mut attack = attack().await;
    let header = header("ES256", "ec").to_string();
    let good = good().to_string();
    let with = |more: &str| good.replacen('{', &format!("{{{more},"), 1);
    for more in
        ["\"sub\":\"admin\"", "\"\\u0073ub\":\"admin\"", "\"exp\":9999999999", "\"aud\":\"x\""]
    {
        let token = attack.ec.sign_text(&header, &with(more));
        attack.scene.refuses(&token).await;
    }
    let deep = with("\"realm\":{\"role\":\"user\",\"role\":\"admin\"}");
    let token = attack.ec.sign_text(&header, &deep);
    attack.scene.refuses(&token).await;
    let twice = header.replacen('{', "{\"alg\":\"none\",", 1);
    let token = attack.ec.sign_text(&twice, &good);
    attack.scene.refuses(&token).await;
}

#[tokio::test]
async fn a_token_within_a_token_or_an_encrypted_one_is_refused() {
    let mut attack = attack().await;
    let inner = attack.ec.token(&good());
    let mut nested = header("ES256", "ec");
    nested["cty"] = "JWT".into();
    let token = attack.ec.sign_text(&nested.to_string(), &inner);
    attack.scene.refuses(&token).await;
    let token = attack.ec.sign_text(&header("ES256", "ec").to_string(), &inner);
    attack.scene.refuses(&token).await;
    let token = attack.ec.sign(&header("ES256", "ec"), &json!(inner));
    attack.scene.refuses(&token).await;
    // Five parts: JWE (RFC 7516 §3).
    let jwe =
        format!("{}.a.b.c.d", base64url(br#"{"alg":"RSA-OAEP","enc":"A256GCM","kid":"rsa"}"#));
    attack.scene.refuses(&jwe).await;
    for (name, value) in [
        ("crit", json!(["exp"])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("enc", json!("A256GCM")),
        ("typ", json!("logout+jwt")),
        ("typ", json!("secevent+jwt")),
    ] {
        let mut header = header("ES256", "ec");
        header[name] = value;
        let token = attack.ec.sign(&header, &good());
        attack.scene.refuses(&token).await;
    }
}

#[tokio::test]
async fn a_huge_token_is_refused_before_it_is_read() {
    let mut attack = attack().await;
    let padded = |length: usize| claims(&json!({"padding": "x".repeat(length)}));
    // The token is four thirds of its claims.
    let token = attack.ec.token(&padded(5_500));
    attack.scene.accepts(&token).await;
    let token = attack.ec.token(&padded(6_500));
    assert!(token.len() > 8 * 1024, "{}", token.len());
    attack.scene.refuses(&token).await;
    let deep = format!("{}{}", "[".repeat(2000), "]".repeat(2000));
    let token =
        attack.ec.sign_text(&header("ES256", "ec").to_string(), &format!("{{\"a\":{deep}}}"));
    attack.scene.refuses(&token).await;
}

#[tokio::test]
async fn claims_of_the_wrong_type_are_refused() {
    let mut attack = attack().await;
    for wrong in [
        json!({"exp": "9999999999"}),
        json!({"exp": true}),
        json!({"exp": [9_999_999_999_u64]}),
        json!({"exp": -1}),
        json!({"nbf": "0"}),
        json!({"iat": "yesterday"}),
        json!({"sub": null}),
        json!({"sub": ""}),
        json!({"sub": {"$ne": ""}}),
        json!({"sub": ["u-4711"]}),
        json!({"sub": true}),
        json!({"sub": "u-4711\r\nx-user-roles: admin"}),
        json!({"sub": " u-4711"}),
        json!({"tenant_id": ["acme", "other"]}),
        json!({"tenant_id": {"id": "acme"}}),
        json!({"tenant_id": "acme\u{0}"}),
    ] {
        let token = attack.ec.token(&claims(&wrong));
        attack.scene.refuses(&token).await;
    }
    for text in ["[]", "null", "1", "\"text\"", "", "{", "{}{}"] {
        let token = attack.ec.sign_text(&header("ES256", "ec").to_string(), text);
        attack.scene.refuses(&token).await;
    }
}

#[tokio::test]
async fn a_signature_is_over_exactly_what_is_read() {
    let mut attack = attack().await;
    let token = attack.ec.token(&good());
    let parts: Vec<&str> = token.split('.').collect();
    let other = base64url(claims(&json!({"sub": "admin"})).to_string().as_bytes());
    let forged = [
        format!("{}.{other}.{}", parts[0], parts[2]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}", parts[0], parts[1]),
        format!("{}.{}.{}.", parts[0], parts[1], parts[2]),
        format!(".{}.{}", parts[1], parts[2]),
        format!("{token}="),
        format!("{token}A"),
        token.replacen('.', "..", 1),
        token[..token.len() - 2].to_owned(),
        "a.b.c".to_owned(),
        "...".to_owned(),
        ".".to_owned(),
        "x".to_owned(),
    ];
    for forged in forged {
        attack.scene.refuses(&forged).await;
    }
    // A zero signature once passed for a good one elsewhere (CVE-2022-21449).
    let zero = format!("{}.{}.{}", parts[0], parts[1], base64url(&[0; 64]));
    attack.scene.refuses(&zero).await;
    attack.scene.accepts(&token).await;
}

#[tokio::test]
async fn a_token_twice_or_in_two_fields_is_refused() {
    let attack = attack().await;
    let token = attack.ec.token(&good());
    for fields in [
        bearer(&token) + &bearer(&token),
        format!("authorization: Basic YTpi\r\n{}", bearer(&token)),
        bearer(&format!("{token}, Bearer {token}")),
        bearer(&format!("{token} {token}")),
        "authorization: Bearer\r\n".to_owned(),
    ] {
        assert_eq!(attack.scene.get("/api/a", &fields).await.status, 401, "{fields}");
    }
    assert_eq!(attack.scene.seen().len(), 0);
}
