//! `config/production.toml` before an app with pages at `/`, a login route and a protected API.

use std::net::SocketAddr;

use vital_sidecar::telemetry::sinks::audit::Audit;
use vital_sidecar::telemetry::sinks::audit::fake::FakeDisk;

use super::ask;
use crate::support::recorder::recording;
use crate::support::{PATIENCE, sidecar};

/// The file, in front of this upstream, without its doors and files.
fn production(upstream: SocketAddr) -> vital_sidecar::config::Config {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/production.toml");
    let text = std::fs::read_to_string(path).expect("the file");
    let url = "${UPSTREAM_URL:-http://127.0.0.1:3000}";
    assert!(text.contains(url));
    let text = text.replace(url, &format!("http://{upstream}"));
    let mut config = vital_sidecar::config::Config::from_toml(&text).expect("a valid file");
    config.audit.deadline = PATIENCE;
    config
}

const OWN: [&str; 2] = ["sec-fetch-site: same-origin", "cookie: session=1"];
const FOREIGN: [&str; 3] =
    ["sec-fetch-site: cross-site", "origin: https://evil.example", "cookie: session=1"];

#[tokio::test]
async fn pages_are_seen_own_forms_count_and_those_of_others_do_not() {
    let recorder = recording().await;
    let config = production(recorder.upstream.address);
    let audit = Audit::open(&config.audit, FakeDisk::default()).expect("an audit");
    let sidecar = sidecar::with_audit(&config, Some(audit.clone()));
    let preflight = ["origin: https://spa.example", "access-control-request-method: POST"];
    for (line, fields, status) in [
        // Anybody sees a page, also by a link from elsewhere.
        ("GET /", &[][..], 200),
        ("GET /_next/static/chunks/main.js", &FOREIGN, 200),
        ("GET /reports?from=mail", &FOREIGN, 200),
        // A Server Action is a POST to the page's own path.
        ("POST /reports", &OWN, 200),
        ("POST /reports", &FOREIGN, 403),
        // Nobody is logged in, or out, by another site.
        ("POST /api/auth/login", &OWN, 200),
        ("POST /api/auth/login", &FOREIGN, 403),
        ("POST /api/auth/logout", &FOREIGN, 403),
        // The API: own pages, programs with a token, no others; in every spelling.
        ("POST /api/orchestrate", &OWN, 200),
        ("POST /api/orchestrate", &["authorization: Bearer t"], 200),
        ("POST /api/orchestrate", &FOREIGN, 403),
        ("POST /api/orchestrate/", &FOREIGN, 403),
        ("POST //api/%6frchestrate", &FOREIGN, 403),
        // Whether a page elsewhere may call it is the app's answer.
        ("OPTIONS /api/orchestrate", &preflight, 200),
    ] {
        let answer = ask(&sidecar, line, fields).await;
        assert_eq!(answer.status, status, "{line} {fields:?}");
        assert_eq!(answer.field("cross-origin-opener-policy"), Some("same-origin"), "{line}");
    }
    assert!(audit.stop(tokio::time::Instant::now() + PATIENCE).await.is_finished);
}
