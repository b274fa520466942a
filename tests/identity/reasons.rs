//! Which check a refused request failed: in the record, in the metric, in the log; never in the answer.

use serde_json::json;
use vital_sidecar::record::Rejection;

use super::{ROUTES, bearer, file, good, jwt, knowing};
use crate::support::house::{self, config};
use crate::support::issuer::{Key, claims, now, set};
use crate::support::recorder::recording;

/// What a request brings, and which check it fails.
fn rows(known: &Key, stranger: &Key) -> Vec<(String, Rejection)> {
    let with = |more| known.token(&claims(&more));
    let header = |algorithm: &str, id: &str| json!({"alg": algorithm, "typ": "JWT", "kid": id});
    let mut typed = header("ES256", "ec");
    typed["typ"] = "logout+jwt".into();
    let tokens = [
        ("a.b.c".to_owned(), Rejection::Malformed),
        (known.sign(&typed, &good()), Rejection::Unsupported),
        (known.sign(&header("HS256", "ec"), &good()), Rejection::Algorithm),
        (known.sign(&header("none", "ec"), &good()), Rejection::Algorithm),
        (known.sign(&header("ES256", "gone"), &good()), Rejection::UnknownKey),
        (stranger.sign(&header("ES256", "ec"), &good()), Rejection::Signature),
        (with(json!({"iss": "https://evil.example"})), Rejection::Issuer),
        (with(json!({"aud": "another"})), Rejection::Audience),
        (with(json!({"exp": now() - 60})), Rejection::Expired),
        (with(json!({"nbf": now() + 120})), Rejection::NotYetValid),
        (with(json!({"exp": null})), Rejection::Claims),
        (with(json!({"sub": null})), Rejection::Claims),
    ];
    let mut rows: Vec<_> = tokens.map(|(token, why)| (bearer(&token), why)).into();
    rows.push((String::new(), Rejection::NoToken));
    rows.push(("authorization: Basic YTpi\r\n".to_owned(), Rejection::Scheme));
    rows.push((bearer("a.b.c") + &bearer("a.b.c"), Rejection::Malformed));
    rows
}

#[tokio::test]
async fn each_refusal_names_the_check_that_failed_and_counts_it() {
    let (known, stranger) = (Key::ec("ec"), Key::ec("ec"));
    let mut scene = knowing(&[&known], "").await;
    for (fields, why) in rows(&known, &stranger) {
        let series = format!("sidecar_identity_rejections_total{{reason=\"{}\"}}", why.as_str());
        let before = scene.sidecar.metric(&series);
        let answer = scene.get("/api/a", &fields).await;
        assert_eq!(answer.status, 401, "{why:?}");
        assert_eq!(scene.record().await.rejection, Some(why), "{fields}");
        assert!((scene.sidecar.metric(&series) - before - 1.0).abs() < f64::EPSILON, "{why:?}");
    }
}

#[tokio::test]
async fn the_answer_does_not_say_which_check_it_was() {
    let (known, stranger) = (Key::ec("ec"), Key::ec("ec"));
    let scene = knowing(&[&known], "").await;
    let mut said = std::collections::BTreeSet::new();
    for (fields, why) in rows(&known, &stranger) {
        if matches!(why, Rejection::NoToken | Rejection::Scheme | Rejection::Expired) {
            continue; // The challenge tells these apart, as RFC 6750 wants it.
        }
        let answer = scene.get("/api/a", &fields).await;
        let mut problem = answer.json();
        // The ids of the request.
        problem["request_id"].take();
        problem["instance"].take();
        said.insert((answer.field("www-authenticate").map(str::to_owned), problem.to_string()));
    }
    assert_eq!(said.len(), 1, "{said:?}");
}

#[tokio::test]
async fn who_passes_has_no_reason() {
    let known = Key::ec("ec");
    let mut scene = knowing(&[&known], "").await;
    for (path, fields) in [
        ("/api/a", bearer(&known.token(&good()))),
        ("/login", bearer("a.b.c")),
        ("/login", String::new()),
    ] {
        assert_eq!(scene.get(path, &fields).await.status, 200, "{path}");
        assert_eq!(scene.record().await.rejection, None, "{path}");
    }
}

#[tokio::test]
async fn the_log_line_has_the_reason_where_there_is_one() {
    let known = Key::ec("ec");
    let recorder = recording().await;
    let file = file(&set(&[&known]));
    let text = jwt("jwks_file", &file, "") + ROUTES;
    let house = house::open(&config(recorder.upstream.address, &text)).await;
    let mut client = house.client().await;
    assert_eq!(client.get("/api/a").await.status, 401);
    assert_eq!(client.get("/login").await.status, 200);
    let lines = house.lines(2).await;
    assert_eq!(lines[0]["identityReason"], "no_token");
    assert_eq!(lines[0]["errorType"], "unauthenticated");
    assert!(lines[1].get("identityReason").is_none(), "{}", lines[1]);
    house.close().await;
}
