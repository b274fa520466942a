//! Header fields that answers get and requests lose.

use super::{ask, scene};
use crate::support::{house, sidecar, upstream};

const PAGE: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nserver: app/1\r\nx-powered-by: Next.js\r\n\
                    set-cookie: a=1; HttpOnly\r\nset-cookie: b=2\r\ncontent-length: 2\r\n\r\nhi";

async fn answered(security: &str, answer: &'static str) -> crate::support::client::Answer {
    let upstream = upstream::answering(answer).await;
    let text = format!("[security]\n{security}");
    let sidecar = sidecar::with(&house::config(upstream.address, &text)).await;
    sidecar.client().await.get("/").await
}

#[tokio::test]
async fn by_default_an_answer_is_not_guessed_at_and_does_not_say_what_made_it() {
    let answer = answered("", PAGE).await;
    assert_eq!(answer.fields("x-content-type-options"), ["nosniff"]);
    assert_eq!(answer.fields("referrer-policy"), ["no-referrer"]);
    for absent in ["server", "x-powered-by", "strict-transport-security", "content-security-policy"]
    {
        assert_eq!(answer.field(absent), None, "{absent}");
    }
    assert_eq!(answer.fields("set-cookie"), ["a=1; httponly", "b=2"], "cookies are not ours");
}

#[tokio::test]
async fn strict_is_the_whole_list_of_the_contract() {
    let answer = answered("headers = \"strict\"", PAGE).await;
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("content-security-policy", "frame-ancestors 'none'; object-src 'none'; base-uri 'self'"),
        ("permissions-policy", "camera=(), microphone=(), geolocation=()"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(answer.fields(name), [value]);
    }
    // Which this connection is not.
    assert_eq!(answer.field("strict-transport-security"), None, "over TLS only");
}

#[tokio::test]
async fn the_service_s_own_field_wins() {
    const OWN: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nreferrer-policy: origin\r\n\
                       content-security-policy: default-src 'self'\r\ncontent-length: 0\r\n\r\n";
    let answer = answered("headers = \"strict\"", OWN).await;
    assert_eq!(answer.fields("referrer-policy"), ["origin"]);
    assert_eq!(answer.fields("content-security-policy"), ["default-src 'self'"]);
}

#[tokio::test]
async fn off_touches_nothing_and_an_override_goes_over_any_preset() {
    let answer = answered("headers = \"off\"", PAGE).await;
    assert_eq!(answer.field("server"), Some("app/1"));
    assert_eq!(answer.field("x-powered-by"), Some("next.js"));
    assert_eq!(answer.field("x-content-type-options"), None);

    let text = "override = { server = \"\", referrer-policy = \"same-origin\", x-frame-options = \"DENY\" }";
    let answer = answered(text, PAGE).await;
    assert_eq!(answer.field("server"), Some("app/1"));
    assert_eq!(answer.field("x-powered-by"), None);
    assert_eq!(answer.fields("referrer-policy"), ["same-origin"]);
    assert_eq!(answer.fields("x-frame-options"), ["deny"]);
}

#[tokio::test]
async fn answers_of_the_sidecar_s_own_are_dressed_too() {
    let policy =
        "[security]\nheaders = \"strict\"\n[[routes]]\nmatch = \"GET /no\"\naction = \"deny\"\n";
    let (_recorder, sidecar) = scene(policy).await;
    let refused = ask(&sidecar, "GET /no", &["accept: text/html"]).await;
    assert_eq!(refused.status, 403);
    assert_eq!(refused.fields("x-content-type-options"), ["nosniff"]);
    assert!(refused.field("content-security-policy").is_some(), "it is a page");
    let arrived = ask(&sidecar, "OPTIONS /", &["max-forwards: 0"]).await;
    assert_eq!((arrived.status, arrived.field("referrer-policy")), (200, Some("no-referrer")));
    // What is refused before it is a request is written by the guard.
    let mut client = sidecar.client().await;
    client.say("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n").await;
    let malformed = client.answer().await;
    assert_eq!(
        (malformed.status, malformed.field("x-content-type-options")),
        (400, Some("nosniff"))
    );
}

#[tokio::test]
async fn fields_that_clients_may_not_send_through_end_here() {
    let policy = "[security]\nremove_request_headers = [\"X-Debug\", \"x-original-url\"]\n";
    let (recorder, sidecar) = scene(policy).await;
    let fields =
        ["X-DEBUG: 1", "x_debug: 2", "x-original-url: /admin", "x-debugger: 3", "cookie: s=1"];
    assert_eq!(ask(&sidecar, "GET /", &fields).await.status, 200);
    let head = recorder.only().head;
    for gone in ["x-debug:", "x_debug:", "x-original-url:"] {
        assert!(!head.contains(gone), "{head}");
    }
    assert!(head.contains("x-debugger: 3\r\n") && head.contains("cookie: s=1\r\n"), "{head}");
}

#[tokio::test]
async fn nor_may_they_come_in_a_trailer() {
    let upstream = upstream::reading_aloud().await;
    let policy = "[security]\nremove_request_headers = [\"x-debug\"]\n";
    let sidecar = sidecar::with(&house::config(upstream.address, policy)).await;
    let mut client = sidecar.client().await;
    client
        .say(
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
             3\r\nabc\r\n0\r\nx-sum: 7\r\nx-debug: 1\r\nx_debug: 1\r\n\r\n",
        )
        .await;
    let seen = String::from_utf8(client.answer().await.body).unwrap();
    assert!(seen.contains("x-sum: 7") && !seen.contains("debug"), "{seen}");
}
