//! The ways in which services read a target.
//!
//! Two groups are told apart. Those of [`CLOSE`] are what a standard, or a careful framework, does. Those
//! of [`LOOSE`] (letter case, a trailing slash, path parameters, decoding twice) make another resource the
//! same one by a decision of the framework's own.

/// What is protected.
pub(super) const TARGET: &str = "/api/orchestrate";

/// A way to read a path: the result is compared with [`TARGET`].
pub(super) type Reading = (&'static str, fn(&str) -> String);

/// What standards and careful frameworks do.
pub(super) const CLOSE: [Reading; 6] = [
    ("as it is", |path| path.to_owned()),
    ("decoded", decoded),
    ("resolved", resolved),
    ("resolved, then decoded", |path| decoded(&resolved(path))),
    ("decoded, then resolved", |path| resolved(&decoded(path))),
    ("with backslashes as slashes", |path| resolved(&decoded(path).replace('\\', "/"))),
];

/// What makes another resource the same one.
pub(super) const LOOSE: [Reading; 6] = [
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
pub(super) fn taken_for<'r>(line: &str, readings: &'r [Reading]) -> Vec<&'r str> {
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split(['?', '#']).next().unwrap_or_default();
    if !method.eq_ignore_ascii_case("POST") {
        return Vec::new();
    }
    readings.iter().filter(|(_, read)| read(path) == TARGET).map(|(name, _)| *name).collect()
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
