//! CORS preflights: past the gates, but not past what is denied, and nothing else than a preflight.

use vital_sidecar::record::Outcome;

use super::{ask, scene};

const ORIGIN: &str = "origin: https://spa.example";
const METHOD: &str = "access-control-request-method: POST";
const POLICY: &str = r#"
[[routes]]
match = "* /api/closed"
action = "deny"
[[routes]]
match = "* /api/{*rest}"
csrf = "enforce"
rate_limits = ["one"]
[rate_limits.one]
key = ["ip"]
rate = "1/h"
burst = 1
"#;

#[tokio::test]
async fn a_preflight_reaches_the_service_and_uses_up_no_limit() {
    let (recorder, mut sidecar) = scene(POLICY).await;
    for _ in 0..3 {
        let answer = ask(&sidecar, "OPTIONS /api/x", &[ORIGIN, METHOD]).await;
        assert_eq!((answer.status, answer.field("ratelimit")), (200, None));
        let record = sidecar.record().await;
        assert_eq!((record.outcome, &*record.route.template), (Outcome::Served, "/api/{*rest}"));
    }
    let head = recorder.seen().remove(0).head;
    assert!(head.contains(ORIGIN) && head.contains(METHOD), "as the browser wrote it: {head}");
    assert_eq!(ask(&sidecar, "POST /api/x", &[]).await.status, 200, "the bucket is still full");
    assert_eq!(ask(&sidecar, "POST /api/x", &[]).await.status, 429);
    assert_eq!(ask(&sidecar, "OPTIONS /api/x", &[ORIGIN, METHOD]).await.status, 200);
}

#[tokio::test]
async fn what_only_looks_like_one_meets_every_gate() {
    for fields in [
        &[ORIGIN][..],
        &[METHOD],
        &[ORIGIN, METHOD, "cookie: s=1"],
        &[ORIGIN, METHOD, "authorization: Bearer t"],
        &[ORIGIN, METHOD, "x-http-method-override: POST"],
        &[ORIGIN, METHOD, "x_method_override: POST"],
        &[ORIGIN, ORIGIN, METHOD],
        &[ORIGIN, METHOD, METHOD],
        &[ORIGIN, METHOD, "content-length: 2\r\n\r\n{}"],
        &["sec-fetch-site: cross-site", METHOD],
    ] {
        let (_recorder, sidecar) = scene(POLICY).await;
        assert_eq!(ask(&sidecar, "POST /api/x", &[]).await.status, 200);
        assert_eq!(ask(&sidecar, "OPTIONS /api/x", fields).await.status, 429, "{fields:?}");
    }
    let (_recorder, sidecar) = scene(POLICY).await;
    assert_eq!(ask(&sidecar, "POST /api/x", &[]).await.status, 200);
    assert_eq!(ask(&sidecar, "GET /api/x", &[ORIGIN, METHOD]).await.status, 429, "not OPTIONS");
}

#[tokio::test]
async fn a_denied_route_is_denied_to_preflights_too() {
    let (recorder, sidecar) = scene(POLICY).await;
    assert_eq!(ask(&sidecar, "OPTIONS /api/closed", &[ORIGIN, METHOD]).await.status, 403);
    assert!(recorder.seen().is_empty());
}

#[tokio::test]
async fn a_preflight_holds_a_permit_like_everyone() {
    let policy = "[overload]\nmax_in_flight = 1\nqueue_timeout = \"0s\"\n";
    let upstream = crate::support::upstream::stalling("").await;
    let config = crate::support::house::config(upstream.address, policy);
    let sidecar = crate::support::sidecar::with(&config).await;
    let mut first = sidecar.client().await;
    first.say(format!("OPTIONS / HTTP/1.1\r\nhost: a\r\n{ORIGIN}\r\n{METHOD}\r\n\r\n")).await;
    crate::support::eventually("it is there", || upstream.has_seen("OPTIONS")).await;
    assert_eq!(ask(&sidecar, "OPTIONS /", &[ORIGIN, METHOD]).await.status, 503);
}
