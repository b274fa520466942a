//! `security.unmatched = "deny"`: only what is known is passed on.

use vital_sidecar::record::{Outcome, Refusal};

use super::{ask, scene};

const DENY: &str = r#"
[security]
unmatched = "deny"
[[routes]]
match = "POST /api/orchestrate"
[[routes]]
match = "GET /api/orchestrate"
[[routes]]
match = "* /static/{*rest}"
[[routes]]
match = "DELETE /api/closed"
action = "deny"
"#;

#[tokio::test]
async fn what_no_route_knows_is_not_found() {
    let (recorder, mut sidecar) = scene(DENY).await;
    for line in [
        "GET /",
        "GET /api",
        "POST /api/orchestrate/",
        "GET /api/closed",
        "OPTIONS *",
        "GET /API/orchestrate",
    ] {
        let answer = ask(&sidecar, line, &[]).await;
        assert_eq!((answer.status, answer.field("allow")), (404, None), "{line}");
        assert_eq!(answer.json()["error_type"], "not_found");
        let record = sidecar.record().await;
        assert_eq!(record.outcome, Outcome::Refused(Refusal::NotFound));
        assert_eq!(&*record.route.template, "_unmatched");
    }
    assert!(recorder.seen().is_empty());
    for line in ["POST /api/orchestrate", "GET /static/", "PUT /static/x"] {
        assert_eq!(ask(&sidecar, line, &[]).await.status, 200, "{line}");
    }
}

#[tokio::test]
async fn a_path_that_is_known_for_other_methods_says_for_which() {
    let (recorder, sidecar) = scene(DENY).await;
    for line in ["PUT /api/orchestrate", "DELETE /api/%6Frchestrate", "OPTIONS /api/orchestrate"] {
        let answer = ask(&sidecar, line, &[]).await;
        assert_eq!((answer.status, answer.field("allow")), (405, Some("post, get")), "{line}");
        assert_eq!(answer.json()["error_type"], "method_not_allowed");
    }
    let mut client = sidecar.client().await;
    client.say("HEAD /api/orchestrate HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(client.head_only().await.status, 405, "a GET route says nothing of HEAD");
    assert!(recorder.seen().is_empty());
}

#[tokio::test]
async fn a_preflight_passes_where_its_path_is_known() {
    let (recorder, sidecar) = scene(DENY).await;
    let fields = ["origin: https://spa.example", "access-control-request-method: POST"];
    assert_eq!(ask(&sidecar, "OPTIONS /api/orchestrate", &fields).await.status, 200);
    assert_eq!(ask(&sidecar, "OPTIONS /api/unknown", &fields).await.status, 404);
    assert_eq!(ask(&sidecar, "OPTIONS /api/closed", &fields).await.status, 404);
    assert_eq!(recorder.seen().len(), 1);
}

#[tokio::test]
async fn as_is_every_reading_of_a_path_must_be_known() {
    let (recorder, sidecar) = scene(&format!("[server]\npath = \"as_is\"\n{DENY}")).await;
    for (line, status) in [
        ("GET /static/..%2fadmin", 400),
        ("GET /static/../admin", 400),
        ("GET /static/..%5cadmin", 400),
        ("GET /x/../static/y", 400),
        ("GET /x//y", 404),
        ("GET /static/a//b", 200),
        ("GET /static/a%2fb", 200),
    ] {
        assert_eq!(ask(&sidecar, line, &[]).await.status, status, "{line}");
    }
    assert_eq!(recorder.seen().len(), 2);
}

#[tokio::test]
async fn as_is_a_lenient_route_is_no_way_around_the_defaults() {
    let policy = "[server]\npath = \"as_is\"\n[route_defaults]\ncsrf = \"enforce\"\n\
                  [[routes]]\nmatch = \"POST /hooks/{*rest}\"\ncsrf = \"off\"\n";
    let (recorder, sidecar) = scene(policy).await;
    let foreign = ["origin: https://evil.example"];
    for (path, status) in [
        ("/hooks/a", 200),
        ("/hooks/a//b", 200),
        ("/hooks/..%2faccount", 400),
        ("/hooks/../account", 400),
        ("/x//y", 403),
    ] {
        assert_eq!(ask(&sidecar, &format!("POST {path}"), &foreign).await.status, status, "{path}");
    }
    assert_eq!(recorder.seen().len(), 2);
}

#[tokio::test]
async fn the_default_forwards_what_nobody_knows() {
    let (_recorder, sidecar) = scene("[[routes]]\nmatch = \"POST /a\"\n").await;
    assert_eq!(ask(&sidecar, "GET /a", &[]).await.status, 200);
    assert_eq!(ask(&sidecar, "GET /b", &[]).await.status, 200);
}
