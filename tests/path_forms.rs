//! One resource, every spelling: whatever an upstream could read as `/api/orchestrate` met the gates
//! of its route.
//!
//! The differential is between us and the frameworks behind. Each spelling of the target is sent; what
//! arrives upstream is read in the ways in which frameworks read a target. With gates that refuse
//! everything on that route, nothing may arrive that any of them takes for it.
//!
//! A route does not follow the readings of `LOOSE`, and `unmatched = "deny"` is the answer to all of them
//! at once. `docs/security.md` says so.

use std::collections::BTreeSet;

use serde_json::json;
use vital_sidecar::record::Outcome;

use crate::support::h2::{DATA, END_STREAM, HEADERS, RST_STREAM, Raw};
use crate::support::house;
use crate::support::issuer::{Key, claims, set};
use crate::support::recorder::recording;
use crate::support::sidecar::{self, Sidecar};
use crate::support::upstream::Upstream;

mod readings;
mod spellings;

use readings::{CLOSE, LOOSE, Reading, TARGET, taken_for};
use spellings::{few, forms};

/// The request lines that arrived.
fn arrived(upstream: &Upstream) -> Vec<String> {
    let line = |head: &String| head.lines().next().unwrap_or_default().to_owned();
    upstream.heads().iter().map(line).collect()
}

/// Sends one request line over HTTP/1.1, on a connection of its own.
async fn ask(sidecar: &Sidecar, form: &str) {
    ask_with(sidecar, form, "").await;
}

/// The same with further lines in the head.
async fn ask_with(sidecar: &Sidecar, form: &str, fields: &str) {
    let mut client = sidecar.client().await;
    client
        .say(format!(
            "{form} HTTP/1.1\r\nhost: app.example\r\norigin: https://evil.example\r\n{fields}\
             content-length: 0\r\nconnection: close\r\n\r\n"
        ))
        .await;
    client.rest().await;
}

/// Sends paths over one HTTP/2 connection, one after the other, and waits for each to be answered.
async fn ask_over_http2(sidecar: &Sidecar, forms: &[String]) {
    let mut connection = Raw::connect(sidecar.address).await;
    let mut stream = 1;
    for form in forms {
        let (method, path) = form.split_once(' ').expect("a method and a path");
        let fields = [
            (":method", method),
            (":scheme", "http"),
            (":authority", "app.example"),
            (":path", path),
            ("origin", "https://evil.example"),
        ];
        connection.ask(stream, &fields).await;
        loop {
            let Some(frame) = connection.frame().await else {
                // Such a head ends the connection; the next one has its own.
                connection = Raw::connect(sidecar.address).await;
                stream = u32::MAX;
                break;
            };
            let ends = matches!(frame.kind, HEADERS | DATA) && frame.flags & END_STREAM != 0;
            if frame.stream == stream && (ends || frame.kind == RST_STREAM) {
                break;
            }
        }
        stream = stream.wrapping_add(2);
        if stream > 250 {
            connection = Raw::connect(sidecar.address).await;
            stream = 1;
        }
    }
}

/// Gates that refuse everything on the route, each by other means.
const DENIED: &str = "[[routes]]\nmatch = \"POST /api/orchestrate\"\naction = \"deny\"\n";
const LIMITED: &str = "[[routes]]\nmatch = \"POST /api/orchestrate\"\nrate_limits = [\"none\"]\n\
                       [rate_limits.none]\nkey = [\"route\"]\nrate = \"1/day\"\nburst = 1\n";
const JUDGED: &str = "[[routes]]\nmatch = \"POST /api/orchestrate\"\ncsrf = \"enforce\"\n";
/// Who says nothing is refused without a look at keys, so none are there.
const KNOWN: &str = "[[routes]]\nmatch = \"POST /api/orchestrate\"\nidentity = \"required\"\n\
                     [identity]\nsource = \"jwt\"\n[identity.jwt]\n\
                     jwks_url = \"http://127.0.0.1:1/\"\nissuer = \"*\"\naudience = \"*\"\n";
/// What is not named is not there.
const CLOSED: &str =
    "[security]\nunmatched = \"deny\"\n[[routes]]\nmatch = \"* /static/{*rest}\"\n";

/// What the client speaks.
#[derive(Clone, Copy, Debug)]
enum Spoken {
    Http1,
    Http2,
}

/// Sends forms past a gate, and gives what arrived.
async fn past(gate: &str, path: &str, spoken: Spoken, forms: &[String]) -> Vec<String> {
    let recorder = recording().await;
    let policy = format!("[server]\npath = \"{path}\"\n{gate}");
    let sidecar = sidecar::with(&house::config(recorder.upstream.address, &policy)).await;
    // What the limit lets pass.
    ask(&sidecar, "POST /api/orchestrate").await;
    let before = recorder.upstream.heads().len();
    match spoken {
        Spoken::Http1 => {
            for form in forms {
                ask(&sidecar, form).await;
            }
        }
        Spoken::Http2 => ask_over_http2(&sidecar, forms).await,
    }
    arrived(&recorder.upstream).split_off(before)
}

/// Asserts that nothing arrived that one of these readings takes for the protected resource.
fn assert_none_is_taken(arrived: &[String], readings: &[Reading], case: &str) {
    for line in arrived {
        let taken = taken_for(line, readings);
        assert!(
            taken.is_empty(),
            "{case}: `{line}` went by the gate, and it is {TARGET} {taken:?}"
        );
    }
}

#[tokio::test]
async fn no_spelling_of_a_denied_path_arrives_over_http1() {
    for path in ["strict", "as_is"] {
        let arrived = past(DENIED, path, Spoken::Http1, &forms()).await;
        assert!(arrived.len() > 100, "{path}: other resources do arrive: {}", arrived.len());
        assert_none_is_taken(&arrived, &CLOSE, path);
    }
}

#[tokio::test]
async fn no_spelling_of_a_denied_path_arrives_over_http2() {
    for path in ["strict", "as_is"] {
        let arrived = past(DENIED, path, Spoken::Http2, &forms()).await;
        assert!(arrived.len() > 100, "{path}: other resources do arrive: {}", arrived.len());
        assert_none_is_taken(&arrived, &CLOSE, path);
    }
}

#[tokio::test]
async fn every_gate_stands_before_every_spelling() {
    for (gate, name) in [(LIMITED, "limit"), (JUDGED, "csrf"), (KNOWN, "identity")] {
        for path in ["strict", "as_is"] {
            for spoken in [Spoken::Http1, Spoken::Http2] {
                let arrived = past(gate, path, spoken, &few()).await;
                let case = format!("{name}, {path}, {spoken:?}");
                assert!(!arrived.is_empty(), "{case}");
                assert_none_is_taken(&arrived, &CLOSE, &case);
            }
        }
    }
}

/// The same with a token: only the gate of the route looks for one and tells the upstream, so what
/// arrives says whether it was met.
#[tokio::test]
async fn whatever_arrives_as_the_protected_resource_says_who_calls() {
    let key = Key::ec("a");
    let keys = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(keys.path(), set(&[&key])).unwrap();
    let token = format!("authorization: Bearer {}\r\n", key.token(&claims(&json!({}))));
    for path in ["strict", "as_is"] {
        let recorder = recording().await;
        let source = format!("jwks_file = \"{}\"", keys.path().display());
        let known = KNOWN.replace("jwks_url = \"http://127.0.0.1:1/\"", &source);
        let policy =
            format!("[server]\npath = \"{path}\"\n[route_defaults]\nidentity = \"none\"\n{known}");
        let sidecar = sidecar::with(&house::config(recorder.upstream.address, &policy)).await;
        for form in few() {
            ask_with(&sidecar, &form, &token).await;
        }
        let (mut met, mut others) = (0, 0);
        for head in recorder.upstream.heads() {
            let line = head.lines().next().unwrap_or_default();
            let is_known = head.contains("\r\nx-user-id: u-4711\r\n");
            let is_taken = !taken_for(line, &CLOSE).is_empty();
            assert!(is_known || !is_taken, "{path}: `{line}` went by the gate");
            (met, others) = (met + usize::from(is_taken), others + usize::from(!is_taken));
        }
        assert!(met > 10 && others > 10, "{path}: {met} and {others} others");
    }
}

#[tokio::test]
async fn what_a_framework_makes_the_same_by_its_own_decision_is_told_in_the_documentation() {
    let kinds = async |gate: &str, path: &str| {
        let arrived = past(gate, path, Spoken::Http1, &few()).await;
        let kinds = arrived.iter().flat_map(|line| taken_for(line, &LOOSE)).map(str::to_owned);
        kinds.collect::<BTreeSet<_>>()
    };
    let strict = [
        "decoded twice",
        "in lower case",
        "without a trailing slash",
        "without parameters",
        "without parameters, decoded first",
    ];
    assert_eq!(kinds(DENIED, "strict").await, strict.map(str::to_owned).into());
    let mut as_is = BTreeSet::from(strict.map(str::to_owned));
    as_is.insert("up to a NUL".to_owned());
    assert_eq!(kinds(DENIED, "as_is").await, as_is);

    // All of them are other paths to us, so none is known.
    for path in ["strict", "as_is"] {
        let gate = format!("{CLOSED}{DENIED}");
        let arrived = past(&gate, path, Spoken::Http1, &few()).await;
        assert_none_is_taken(&arrived, &LOOSE, path);
    }
}

#[tokio::test]
async fn what_arrives_is_recorded_under_its_route() {
    let recorder = recording().await;
    let policy = "[[routes]]\nmatch = \"POST /api/orchestrate\"\n";
    let mut sidecar = sidecar::with(&house::config(recorder.upstream.address, policy)).await;
    let (mut before, mut met) = (0, 0);
    for form in few() {
        ask(&sidecar, &form).await;
        let record = sidecar.record().await;
        let lines = arrived(&recorder.upstream).split_off(before);
        before += lines.len();
        let Some(line) = lines.first() else { continue };
        assert_eq!(record.outcome, Outcome::Served, "{form}");
        let is_met = &*record.route.template == TARGET;
        assert_eq!(is_met, !taken_for(line, &CLOSE).is_empty(), "`{form}` arrived as `{line}`");
        met += usize::from(is_met);
    }
    assert!(met > 10, "{met}");
}
