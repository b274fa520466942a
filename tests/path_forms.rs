//! One resource, every spelling: whatever an upstream could read as `/api/orchestrate` met the gates
//! of its route.
//!
//! The differential is between us and the frameworks behind. Each spelling of the target is sent; what
//! arrives upstream is read in the ways in which frameworks read a target. With gates that refuse
//! everything on that route, nothing may arrive that any of them takes for it.
//!
//! Two groups of readings are told apart. Those of `CLOSE` are what a standard, or a careful framework,
//! does. Those of `LOOSE` (letter case, a trailing slash, path parameters, decoding twice) make another
//! resource the same one by a decision of the framework's own; a route does not follow them, and
//! `unmatched = "deny"` is the answer to all of them at once. `docs/security.md` says so.

use std::collections::BTreeSet;

use serde_json::json;
use vital_sidecar::record::Outcome;

use crate::support::h2::{DATA, END_STREAM, HEADERS, RST_STREAM, Raw};
use crate::support::house;
use crate::support::issuer::{Key, claims, set};
use crate::support::recorder::recording;
use crate::support::sidecar::{self, Sidecar};
use crate::support::upstream::Upstream;

/// What is protected.
const TARGET: &str = "/api/orchestrate";

/// Before the first segment.
const BEFORE: [&str; 16] = [
    "/",
    "//",
    "/./",
    "/x/../",
    "/%2e/",
    "/x/%2e%2e/",
    "/x/%2E./",
    "/../",
    "/%2f",
    "/\\",
    "/..;/",
    "/;/",
    "/;a=b/",
    "/x/..%2f",
    "/x%2f../",
    "\\",
];
/// The first segment.
const FIRST: [&str; 8] =
    ["api", "%61pi", "ap%69", "%61%70%69", "API", "%41pi", "%2561pi", "api;v=1"];
/// Between the two.
const BETWEEN: [&str; 15] = [
    "/",
    "//",
    "/./",
    "/x/../",
    "/%2e/",
    "/y/%2E%2e/",
    "%2F",
    "%2f",
    "%5C",
    "\\",
    "%252F",
    "/;a=b/",
    "/%00/",
    "%2f%2f",
    "/.%2f",
];
/// The second segment.
const SECOND: [&str; 6] = [
    "orchestrate",
    "%6frchestrate",
    "orchestrat%65",
    "Orchestrate",
    "orchestrate%00",
    "orchestrat%2565",
];
/// Behind it.
const AFTER: [&str; 18] = [
    "",
    "?",
    "?x=/../..",
    "?/api/other",
    "#f",
    "%23",
    "/",
    "//",
    "/.",
    "/x/..",
    "/%2e",
    "%2f",
    "%20",
    ";x=1",
    "%3bx",
    ".",
    "/x/%2e%2e",
    "%3F",
];

/// Every spelling that differs from the plain one in at most two places.
fn spellings() -> BTreeSet<String> {
    let parts: [&[&str]; 5] = [&BEFORE, &FIRST, &BETWEEN, &SECOND, &AFTER];
    let mut all = BTreeSet::new();
    for one in 0..parts.len() {
        for other in one + 1..parts.len() {
            for here in 0..parts[one].len() {
                for there in 0..parts[other].len() {
                    let choice = |part: usize| match part {
                        _ if part == one => here,
                        _ if part == other => there,
                        _ => 0,
                    };
                    all.insert((0..parts.len()).map(|part| parts[part][choice(part)]).collect());
                }
            }
        }
    }
    all
}

/// Those that differ from it in one place.
fn few() -> Vec<String> {
    let parts: [&[&str]; 5] = [&BEFORE, &FIRST, &BETWEEN, &SECOND, &AFTER];
    let mut few = Vec::new();
    for (part, spellings) in parts.iter().enumerate() {
        for spelling in *spellings {
            let text: String =
                (0..parts.len()).map(|p| if p == part { spelling } else { parts[p][0] }).collect();
            few.push(format!("POST {text}"));
        }
    }
    few.extend(more());
    few
}

/// Forms of a request line that are not about the path alone.
fn more() -> Vec<String> {
    let mut forms = Vec::new();
    for absolute in [
        "http://app.example",
        "HTTP://APP.example:80",
        "https://app.example",
        "http://e@app.example",
    ] {
        for path in [
            "/api/orchestrate",
            "//api/orchestrate",
            "/x/../api/orchestrate",
            "/%61pi/orchestrate?q",
        ] {
            forms.push(format!("POST {absolute}{path}"));
        }
    }
    forms.extend(
        ["post /api/orchestrate", "Post /api//orchestrate", "pOST /%61pi/orchestrate"]
            .map(str::to_owned),
    );
    forms
}

/// All of them.
fn forms() -> Vec<String> {
    spellings().into_iter().map(|path| format!("POST {path}")).chain(more()).collect()
}

/// A way to read a path: the result is compared with [`TARGET`].
type Reading = (&'static str, fn(&str) -> String);

/// What standards and careful frameworks do.
const CLOSE: [Reading; 6] = [
    ("as it is", |path| path.to_owned()),
    ("decoded", decoded),
    ("resolved", resolved),
    ("resolved, then decoded", |path| decoded(&resolved(path))),
    ("decoded, then resolved", |path| resolved(&decoded(path))),
    ("with backslashes as slashes", |path| resolved(&decoded(path).replace('\\', "/"))),
];

/// What makes another resource the same one.
const LOOSE: [Reading; 6] = [
    ("in lower case", |path| resolved(&decoded(path)).to_ascii_lowercase()),
    ("without a trailing slash", |path| resolved(&decoded(path)).trim_end_matches('/').to_owned()),
    ("without parameters", |path| resolved(&decoded(&without_parameters(path)))),
    ("without parameters, decoded first", |path| resolved(&without_parameters(&decoded(path)))),
    ("decoded twice", |path| resolved(&decoded(&decoded(path)))),
    ("up to a NUL", |path| {
        let plain = decoded(path);
        resolved(plain.split('\0').next().unwrap_or_default())
    }),
];

fn decoded(path: &str) -> String {
    let mut plain = Vec::new();
    let mut bytes = path.as_bytes();
    while let [byte, rest @ ..] = bytes {
        bytes = rest;
        let hex = |at: usize| rest.get(at).and_then(|b| char::from(*b).to_digit(16));
        match (byte, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                plain.push(u8::try_from(high << 4 | low).expect("two digits"));
                bytes = &rest[2..];
            }
            _ => plain.push(*byte),
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

fn resolved(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    let is_directory = path.ends_with(['/']) || path.ends_with("/.") || path.ends_with("/..");
    let slash = if is_directory && !segments.is_empty() { "/" } else { "" };
    format!("/{}{slash}", segments.join("/"))
}

fn without_parameters(path: &str) -> String {
    let plain = |segment: &str| segment.split(';').next().unwrap_or_default().to_owned();
    path.split('/').map(plain).collect::<Vec<_>>().join("/")
}

/// The readings by which a request line that arrived is one of the protected resource.
fn taken_for<'r>(line: &str, readings: &'r [Reading]) -> Vec<&'r str> {
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split(['?', '#']).next().unwrap_or_default();
    if !method.eq_ignore_ascii_case("POST") {
        return Vec::new();
    }
    readings.iter().filter(|(_, read)| read(path) == TARGET).map(|(name, _)| *name).collect()
}

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

/// Sends forms past a gate, and gives what arrived.
async fn past(gate: &str, path: &str, over_http2: bool, forms: &[String]) -> Vec<String> {
    let recorder = recording().await;
    let policy = format!("[server]\npath = \"{path}\"\n{gate}");
    let sidecar = sidecar::with(&house::config(recorder.upstream.address, &policy)).await;
    // What the limit lets pass.
    ask(&sidecar, "POST /api/orchestrate").await;
    let before = recorder.upstream.heads().len();
    if over_http2 {
        ask_over_http2(&sidecar, forms).await;
    } else {
        for form in forms {
            ask(&sidecar, form).await;
        }
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
        let arrived = past(DENIED, path, false, &forms()).await;
        assert!(arrived.len() > 100, "{path}: other resources do arrive: {}", arrived.len());
        assert_none_is_taken(&arrived, &CLOSE, path);
    }
}

#[tokio::test]
async fn no_spelling_of_a_denied_path_arrives_over_http2() {
    for path in ["strict", "as_is"] {
        let arrived = past(DENIED, path, true, &forms()).await;
        assert!(arrived.len() > 100, "{path}: other resources do arrive: {}", arrived.len());
        assert_none_is_taken(&arrived, &CLOSE, path);
    }
}

#[tokio::test]
async fn every_gate_stands_before_every_spelling() {
    for (gate, name) in [(LIMITED, "limit"), (JUDGED, "csrf"), (KNOWN, "identity")] {
        for path in ["strict", "as_is"] {
            for over_http2 in [false, true] {
                let arrived = past(gate, path, over_http2, &few()).await;
                let case = format!("{name}, {path}, HTTP/2: {over_http2}");
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
        let arrived = past(gate, path, false, &few()).await;
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
        let arrived = past(&gate, path, false, &few()).await;
        assert_none_is_taken(&arrived, &LOOSE, path);
    }
}

#[tokio::test]
async fn what_arrives_is_named_counted_and_audited_by_its_route() {
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

#[test]
fn the_readings_of_this_test_read() {
    assert_eq!(decoded("/%61%2fb%zz%"), "/a/b%zz%");
    assert_eq!(resolved("//a/./b/../c/"), "/a/c/");
    assert_eq!(resolved("/a/.."), "/");
    assert_eq!(without_parameters("/a;x=1/b;y"), "/a/b");
    assert_eq!(taken_for("POST /x/..%2fapi%5corchestrate?q HTTP/1.1", &CLOSE).len(), 1);
    assert_eq!(taken_for("POST /api/orchestrate HTTP/1.1", &CLOSE).len(), CLOSE.len());
    assert!(taken_for("GET /api/orchestrate HTTP/1.1", &CLOSE).is_empty());
}
