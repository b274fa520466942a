//! Requests that a page of another origin makes a browser send.

use http::Request;
use vital_sidecar::record::{Outcome, Refusal};

use super::{ask, scene};
use crate::support::house;
use crate::support::recorder::recording;

const ENFORCE: &str = "[security]\ncsrf_trusted_origins = [\"https://SSO.example:443\"]\n\
                       [route_defaults]\ncsrf = \"enforce\"\n";
const DENIED: &str = "sidecar_gate_decisions_total{gate=\"csrf\",decision=\"deny\"";
const WOULD_BE: &str = "sidecar_gate_decisions_total{gate=\"csrf\",decision=\"would_deny\"";

#[tokio::test]
async fn a_page_of_another_origin_changes_nothing() {
    let (recorder, mut sidecar) = scene(ENFORCE).await;
    for method in ["POST", "PUT", "PATCH", "DELETE", "PROPFIND"] {
        let line = format!("{method} /api/orchestrate");
        let fields = ["sec-fetch-site: cross-site", "origin: https://evil.example", "cookie: s=1"];
        let answer = ask(&sidecar, &line, &fields).await;
        assert_eq!(answer.status, 403, "{method}");
        let problem = answer.json();
        assert_eq!(problem["error_type"], "csrf");
        assert_eq!(problem["request_id"].as_str(), answer.field("x-request-id"));
        assert_eq!(sidecar.record().await.outcome, Outcome::Refused(Refusal::Csrf));
    }
    assert!(recorder.seen().is_empty(), "the service saw none of it");
    assert!((sidecar.metric(DENIED) - 5.0).abs() < f64::EPSILON);
    assert!(sidecar.metric(WOULD_BE) < 1.0);
}

#[tokio::test]
async fn own_pages_friends_programs_and_safe_methods_pass() {
    let (_recorder, sidecar) = scene(ENFORCE).await;
    for (line, fields) in [
        ("POST /", &["sec-fetch-site: same-origin", "cookie: s=1"][..]),
        ("POST /", &["sec-fetch-site: none"]),
        ("POST /", &["origin: http://app.example", "cookie: s=1"]),
        ("POST /", &["origin: https://APP.example", "cookie: s=1"]),
        ("POST /", &["origin: https://sso.example", "sec-fetch-site: cross-site"]),
        ("POST /", &["cookie: s=1"]),
        ("POST /", &["authorization: Bearer t", "origin: https://spa.example"]),
        ("GET /", &["sec-fetch-site: cross-site", "cookie: s=1"]),
        ("OPTIONS /", &["sec-fetch-site: cross-site", "origin: https://evil.example"]),
    ] {
        assert_eq!(ask(&sidecar, line, fields).await.status, 200, "{line} {fields:?}");
    }
}

#[tokio::test]
async fn odd_origins_are_nobodys() {
    let (recorder, sidecar) = scene(ENFORCE).await;
    for fields in [
        &["origin: null"][..],
        &["origin: http://app.example:8080"],
        &["origin: http://app.example.evil.example"],
        &["origin: http://app.example@evil.example"],
        &["origin: http://app.example", "origin: http://app.example"],
        &["origin: http://app.example, http://app.example"],
        &["origin: app.example"],
        &["origin: http://[::1]"],
        &["origin: \u{e9}"],
        &["sec-fetch-site: same-site", "origin: http://app.example"],
        &["sec-fetch-site: same-origin", "sec-fetch-site: cross-site"],
        &["authorization: Bearer t", "cookie: s=1", "origin: https://evil.example"],
        &["authorization: Basic dDp0", "origin: https://evil.example"],
        &["authorization: Bearer t", "authorization: Basic dDp0", "origin: https://evil.example"],
    ] {
        let answer = ask(&sidecar, "POST /", fields).await;
        assert_eq!(answer.status, 403, "{fields:?}");
    }
    assert!(recorder.seen().is_empty());
}

#[tokio::test]
async fn the_host_that_is_asked_is_that_of_the_target_where_it_names_one() {
    let (recorder, sidecar) = scene(ENFORCE).await;
    // An absolute target rules over `Host`, here as towards the service.
    let status = async |target: &str, host: &str, origin: &str| {
        let mut client = sidecar.client().await;
        client
            .say(format!("POST {target} HTTP/1.1\r\nhost: {host}\r\norigin: {origin}\r\n\r\n"))
            .await;
        client.answer().await.status
    };
    let absolute = "http://app.example:8080/";
    assert_eq!(status(absolute, "app.example:8080", "http://app.example:8080").await, 200);
    assert_eq!(status("/", "[::1]:8080", "http://[::1]:8080").await, 200);
    assert_eq!(status("/", "app.example:443", "https://app.example").await, 200);
    assert_eq!(status("/", "app.example:80", "https://app.example").await, 403);
    assert_eq!(recorder.seen().len(), 3);
}

#[tokio::test]
async fn over_http2_the_authority_is_the_host() {
    let (recorder, sidecar) = scene(ENFORCE).await;
    let client = crate::support::h2::Client::connect(sidecar.address).await;
    let send = async |origin: &str| {
        let request = Request::post("http://app.example/x").header("origin", origin);
        client.send(request.body(()).unwrap()).await.unwrap().status()
    };
    assert_eq!(send("http://app.example").await, 200);
    assert_eq!(send("http://evil.example").await, 403);
    assert_eq!(send("null").await, 403);
    assert_eq!(recorder.seen().len(), 1);
}

#[tokio::test]
async fn a_websocket_handshake_is_judged_though_it_is_a_get() {
    let (recorder, sidecar) = scene(ENFORCE).await;
    let handshake = ["connection: upgrade", "upgrade: websocket", "cookie: s=1"];
    let with = |more: &[&'static str]| [&handshake[..], more].concat();
    for foreign in [
        &["origin: https://evil.example"][..],
        &["origin: null"],
        &["sec-fetch-site: cross-site"],
        &["origin: https://evil.example", "sec-fetch-site: cross-site"],
    ] {
        assert_eq!(ask(&sidecar, "GET /chat", &with(foreign)).await.status, 403, "{foreign:?}");
    }
    assert!(recorder.seen().is_empty());
    for ours in [
        &["origin: http://app.example"][..],
        &["origin: https://sso.example"],
        &["origin: http://app.example", "sec-fetch-site: cross-site"],
        &["sec-fetch-site: same-origin"],
        &[],
    ] {
        assert_eq!(ask(&sidecar, "GET /chat", &with(ours)).await.status, 200, "{ours:?}");
    }
}

#[tokio::test]
async fn shadow_is_the_default_it_lets_everything_pass_and_counts() {
    let (recorder, mut sidecar) =
        scene("[[routes]]\nmatch = \"POST /off\"\ncsrf = \"off\"\n").await;
    for path in ["/", "/", "/off"] {
        let answer =
            ask(&sidecar, &format!("POST {path}"), &["origin: https://evil.example"]).await;
        assert_eq!(answer.status, 200);
        assert_eq!(sidecar.record().await.outcome, Outcome::Served);
    }
    assert_eq!(recorder.seen().len(), 3);
    let counted = sidecar.metric(&format!("{WOULD_BE},http_route=\"_unmatched\"}}"));
    assert!((counted - 2.0).abs() < f64::EPSILON, "{counted}");
    assert!(
        (sidecar.metric(WOULD_BE) - 2.0).abs() < f64::EPSILON,
        "a gate that is off is not there"
    );
}

#[tokio::test]
async fn a_route_overrides_the_default() {
    let routes = "[[routes]]\nmatch = \"POST /hook\"\ncsrf = \"off\"\n\
                  [[routes]]\nmatch = \"POST /try\"\ncsrf = \"shadow\"\n";
    let (_recorder, sidecar) = scene(&format!("{ENFORCE}{routes}")).await;
    for (path, status) in [("/hook", 200), ("/try", 200), ("/other", 403)] {
        let answer =
            ask(&sidecar, &format!("POST {path}"), &["origin: https://evil.example"]).await;
        assert_eq!(answer.status, status, "{path}");
    }
}

#[tokio::test]
async fn a_refused_body_is_never_asked_for() {
    let (recorder, sidecar) = scene(ENFORCE).await;
    let mut client = sidecar.client().await;
    client
        .say(
            "POST / HTTP/1.1\r\nhost: app.example\r\norigin: null\r\ncontent-length: 9\r\n\
             expect: 100-continue\r\n\r\n",
        )
        .await;
    let text = String::from_utf8(client.rest().await).unwrap();
    assert!(text.starts_with("HTTP/1.1 403"), "{text}");
    assert!(recorder.seen().is_empty());
}

#[tokio::test]
async fn no_origin_is_told_to_anyone() {
    let recorder = recording().await;
    let house = house::open(&house::config(recorder.upstream.address, ENFORCE)).await;
    let mut client = house.client().await;
    client
        .say("POST / HTTP/1.1\r\nhost: app.example\r\norigin: https://secret.example\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.status, 403);
    let lines = house.lines(1).await;
    assert_eq!(lines[0]["errorType"], "csrf");
    let page = house.page().await;
    house.close().await;
    assert!(!format!("{lines:?}{page}").contains("secret.example"));
}
