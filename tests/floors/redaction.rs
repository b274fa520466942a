//! Redaction by construction, read from the sources: what leaves has no room for a client's text.
//!
//! - The types that voices are given hold enums, numbers, ids and names of the configuration, and no
//!   type that could carry just any text.
//! - Each of the few types that do hold a text has one maker, and only those call it who may.
//! - A diagnostic of the data path shows nothing that has not been looked at.
//!
//! Like its parent it reads text, not types. `tests/canary.rs` asks the same question of a running
//! sidecar.

use std::path::Path;

use super::code;
use super::{House, Source};

/// Files whose types are what voices are given: records, audit drafts, labels, samples.
const GIVEN: [&str; 4] =
    ["record/", "audit/entry.rs", "telemetry/metrics/labels.rs", "telemetry/metrics/sources.rs"];

/// Types that could carry just any text.
const FREE: [&str; 16] = [
    "String",
    "str",
    "Vec<u8>",
    "[u8]",
    "Bytes",
    "BytesMut",
    "Cow",
    "HeaderValue",
    "HeaderName",
    "HeaderMap",
    "Uri",
    "PathAndQuery",
    "Authority",
    "Path",
    "PathBuf",
    "OsString",
];

/// The types that hold a text there, and say where it comes from.
const HOLDERS: [(&str, &str); 3] = [
    ("record/name.rs", "struct ConfigName"),
    ("record/caller.rs", "struct Shown"),
    ("record/stack.rs", "struct Stack"),
];

/// Makers of the types that hold a text, and who may call them.
const MAKERS: [(&str, &[&str]); 11] = [
    // The configuration, and a name's own parts.
    ("ConfigName::configured", &["config/", "openapi/"]),
    ("UserAgent::sanitised", &["proxy/peer.rs"]),
    // Of the fields that `log.headers` names.
    ("HeaderText::sanitised", &["proxy/survey.rs"]),
    // The literals of the configured templates; from a path it makes shapes only.
    ("Words::of", &["proxy/plan.rs"]),
    ("Evidence::of", &["audit/facts.rs", "proxy/exchange/mod.rs", "proxy/seat.rs"]),
    // Of a verified identity, as the configuration lets it leave.
    ("Shown::verified", &["proxy/identity/policy.rs"]),
    // And of an audit line that a crash left open.
    ("ClientRequestId::parse", &["proxy/survey.rs", "telemetry/sinks/audit/voice.rs"]),
    ("TraceState::parse", &["proxy/trace.rs"]),
    // Of the program's own functions.
    ("Stack::caught", &["telemetry/diagnostics/stack.rs"]),
    // Static text is taken for our own, so nothing may be made static.
    ("::leak", &[]),
    (".leak()", &[]),
];

/// Where diagnostics could meet what a client or an upstream sent.
const DATA_PATH: [&str; 3] = ["http/", "proxy/", "server/"];

/// What diagnostics of the data path show, and why it may be seen.
const SHOWN: [(&str, &str); 32] = [
    ("route = %exchange.route.names.template", "a template of the configuration"),
    ("limit = %self.name", "the same"),
    ("%error", "what the system, or our own TLS, says"),
    ("error", "what is wrong with our own files"),
    ("%client", "truncated as in the log"),
    ("%peer", "the contract names the peer, once"),
    ("why = refusal.why", "static"),
    ("error = %what", "a closed set: http::answer::Malformed"),
    ("cause = cause.as_str()", "a closed set"),
    ("= ErrorType::INVALID_CONFIGURATION.as_str()", "static"),
    ("error = %why", "why our own fetch of keys, or our own store, failed, without its words"),
    ("url", "of the configuration, without credentials and query"),
    ("upstream = self.url", "of the configuration"),
    ("upstream", "the same"),
    ("error = detail", "what the system, or our own TLS, says of a connection attempt"),
    ("= kind.error_type()", "a closed set: upstream::outage::Kind"),
    ("kind.words()", "the same"),
    ("{}", "the same"),
    ("after_seconds = seconds", "a duration"),
    ("changed", "keys of the configuration"),
    ("errors", "the configuration's, secrets masked"),
    ("count", "a number of keys"),
    ("kid = signer.id()", "the thumbprint of our own public key"),
    ("{notice}", "of the configuration"),
    ("is_shadow", "yes or no"),
    ("is_well = found.is_well()", "yes or no"),
    ("error = %broken", "a closed set: upstream::http1::Broken"),
    ("{found}", "a closed set, or a status: upstream::health::Verdict"),
    ("state = after.as_str()", "a closed set"),
    ("store = %self.dialler.url()", "of the configuration, without credentials"),
    ("%store", "the same"),
    ("after", "a duration"),
];

fn house() -> House {
    House::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap()
}

#[test]
fn nothing_that_voices_are_given_has_room_for_free_text() {
    let house = house();
    let given: Vec<_> = house.files.iter().filter(|file| is_below(&file.path, &GIVEN)).collect();
    assert!(given.len() > 5, "the files were not found");
    let broken: Vec<_> = given.into_iter().flat_map(free_text).collect();
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn only_those_make_a_text_who_may() {
    let broken: Vec<_> = house().files.iter().flat_map(strange_makers).collect();
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn diagnostics_of_the_data_path_show_nothing_that_was_not_looked_at() {
    let house = house();
    let files = house.files.iter().filter(|file| is_below(&file.path, &DATA_PATH));
    let shown: Vec<_> = files.flat_map(shown).collect();
    assert!(shown.len() > 10, "the calls were not found");
    let is_known = |what: &str| SHOWN.iter().any(|(known, _)| *known == what);
    let unknown: Vec<_> = shown.iter().filter(|(_, what)| !is_known(what)).collect();
    assert!(unknown.is_empty(), "could a client's text be in these? {unknown:#?}");
    let is_shown = |known: &str| shown.iter().any(|(_, what)| what == known);
    let stale: Vec<_> = SHOWN.iter().filter(|(known, _)| !is_shown(known)).collect();
    assert!(stale.is_empty(), "nothing shows these any more: {stale:#?}");
}

fn is_below(path: &str, places: &[&str]) -> bool {
    places.iter().any(|place| path.starts_with(place))
}

/// Fields and variants that could hold free text, one line each.
fn free_text(file: &Source) -> Vec<String> {
    let code = code::without_test_items(&file.code);
    let mut broken = Vec::new();
    for (at, head, body) in definitions(&code) {
        if HOLDERS.contains(&(&*file.path, &*head)) {
            continue;
        }
        let body = body.replace("&'static str", "");
        let body: String = body.chars().filter(|c| !c.is_whitespace()).collect();
        for free in FREE.iter().filter(|free| has_word(&body, free)) {
            let line = 1 + code[..at].matches('\n').count();
            broken.push(format!("src/{}:{line}: {head} has room for a {free}", file.path));
        }
    }
    broken
}

/// Every `struct` and `enum`: where, its first words, and what is between its brackets.
fn definitions(code: &str) -> Vec<(usize, String, &str)> {
    let mut found = Vec::new();
    for keyword in ["struct ", "enum "] {
        for (at, _) in code.match_indices(keyword) {
            let rest = &code[at..];
            let Some(open) = rest.find(['{', '(', ';']) else { continue };
            let name = rest[keyword.len()..open].split(['<', ' ']).next().unwrap_or_default();
            let length = match rest[open..].chars().next() {
                Some('{') => balanced(&rest[open..], '{', '}'),
                Some('(') => balanced(&rest[open..], '(', ')'),
                _ => 0,
            };
            found.push((at, format!("{keyword}{name}"), &rest[open..open + length]));
        }
    }
    found
}

/// The length of the bracket at the start with all that is in it.
fn balanced(code: &str, open: char, close: char) -> usize {
    let mut depth = 0_usize;
    for (at, letter) in code.char_indices() {
        if letter == open {
            depth += 1;
        } else if letter == close {
            depth -= 1;
        }
        if depth == 0 {
            return at + letter.len_utf8();
        }
    }
    code.len()
}

fn has_word(text: &str, word: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let starts =
            !text[..at].chars().next_back().is_some_and(is_name) || !word.starts_with(is_name);
        let ends = !text[at + word.len()..].chars().next().is_some_and(is_name);
        starts && (ends || !word.ends_with(is_name))
    })
}

/// Calls of makers from where they may not be called.
fn strange_makers(file: &Source) -> Vec<String> {
    let code = code::without_test_items(&file.code);
    let mut broken = Vec::new();
    for (maker, callers) in MAKERS {
        if is_below(&file.path, callers) {
            continue;
        }
        for (at, _) in code.match_indices(maker) {
            let line = 1 + code[..at].matches('\n').count();
            broken.push(format!("src/{}:{line}: may not call `{maker}`", file.path));
        }
    }
    broken
}

/// What the diagnostics of a file show: every value, also those inside of a message.
fn shown(file: &Source) -> Vec<(String, String)> {
    // Calls are found where only code is left, and read where the words still stand: on the same line.
    let code = code::without_test_items(&file.code);
    let mut found = Vec::new();
    let mut start = 0;
    for (code, text) in code.lines().zip(file.text.lines()) {
        for level in ["error", "warn", "info", "debug", "trace"] {
            let call = format!("tracing::{level}!(");
            if let (true, Some(at)) = (code.contains(&call), text.find(&call)) {
                let values = arguments(&file.text[start + at + call.len()..]);
                found.extend(values.into_iter().map(|value| (file.path.clone(), value)));
            }
        }
        start += text.len() + 1;
    }
    found
}

/// The arguments of a call whose bracket is open; of a message only what stands in braces.
fn arguments(text: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    let (mut depth, mut is_words, mut is_escaped) = (0_usize, false, false);
    let mut inside: Option<String> = None;
    for letter in text.chars() {
        if is_words {
            match (letter, &mut inside) {
                ('"', _) if !is_escaped => is_words = false,
                ('{', slot) => *slot = Some("{".to_owned()),
                ('}', Some(_)) => found.extend(inside.take().map(|name| name + "}")),
                (letter, Some(name)) => name.push(letter),
                _ => {}
            }
            is_escaped = letter == '\\' && !is_escaped;
            continue;
        }
        match letter {
            '"' => is_words = true,
            ',' if depth == 0 => found.push(String::new()),
            ')' if depth == 0 => break,
            letter => {
                match letter {
                    '(' | '[' => depth += 1,
                    ')' | ']' => depth -= 1,
                    _ => {}
                }
                if let Some(last) = found.last_mut() {
                    last.push(letter);
                }
            }
        }
    }
    found.into_iter().map(|value| value.trim().to_owned()).filter(|v| !v.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source::new(path.to_owned(), text.to_owned())
    }

    #[test]
    fn a_field_with_room_for_free_text_is_found_with_its_line() {
        for field in ["String", "Arc<str>", "Option<Box<str>>", "Vec<u8>", "http::HeaderValue"] {
            let text = format!("//! x\npub struct Record {{\n    /// A.\n    pub a: {field},\n}}");
            let found = free_text(&source("record/mod.rs", &text));
            assert_eq!(found.len(), 1, "{field}");
            assert!(
                found[0].starts_with("src/record/mod.rs:2: struct Record has room"),
                "{found:?}"
            );
        }
        let variant = "enum Value {\n Text(String),\n Number(u64),\n}";
        assert_eq!(free_text(&source("record/x.rs", variant)).len(), 1);
    }

    #[test]
    fn closed_types_are_no_free_text() {
        let text = "/// A String.\nstruct A {\n a: &'static str,\n b: ConfigName, c: [u8; 16], d: PathShape\n}\n\
                    struct B(u64);\nstruct C;\nfn f() -> String {}\n";
        assert_eq!(free_text(&source("record/x.rs", text)), [""; 0]);
        assert_eq!(free_text(&source("record/name.rs", "struct ConfigName(Arc<str>);")), [""; 0]);
    }

    #[test]
    fn a_maker_is_called_by_its_callers_only() {
        let text = "fn f() { ConfigName::configured(path); }\n#[cfg(test)]\nmod tests { fn f() { Words::of(x) } }";
        assert_eq!(strange_makers(&source("proxy/forward.rs", text)).len(), 1);
        assert_eq!(strange_makers(&source("config/check/limits.rs", text)), [""; 0]);
        assert_eq!(strange_makers(&source("units.rs", "x.map(Box::leak)")).len(), 1);
    }

    #[test]
    fn what_a_diagnostic_shows_is_read_out_of_it() {
        let text = "fn f() {\n tracing::warn!(\n  %error, path = %g(a, b),\n  \"It {what} \\\" broke, twice.\"\n );\n \
                    tracing::info!(\"Quiet.\");\n}";
        let found: Vec<_> =
            shown(&source("proxy/x.rs", text)).into_iter().map(|(_, v)| v).collect();
        assert_eq!(found, ["%error", "path = %g(a, b)", "{what}"]);
    }
}
