//! `[security]`.
//!
//! A field that frames or routes a request cannot be removed, and one that says what a single answer is
//! cannot be set for all.

use http::{HeaderName, HeaderValue};

use crate::config::error::Problem;
use crate::config::model::{Preset, Security, Unmatched};
use crate::config::raw::Value;
use crate::config::section::{Section, Word, lay};
use crate::http::origin::{Origin, OriginError};

const PRESETS: [(&str, Preset); 3] =
    [("basic", Preset::Basic), ("strict", Preset::Strict), ("off", Preset::Off)];
const UNMATCHED: [(&str, Unmatched); 2] =
    [("forward", Unmatched::Forward), ("deny", Unmatched::Deny)];
/// Fields that frame a request or route it: they are made anew, so taking them away means nothing.
const OF_EVERY_REQUEST: [&str; 8] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Fields that say what one answer is; no value fits all.
const OF_ONE_ANSWER: [&str; 13] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "date",
    "keep-alive",
    "location",
    "set-cookie",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-request-id",
];

/// `[security]`.
pub(super) fn security(section: &Section<'_>, security: &mut Security) {
    lay(&mut security.headers, preset(section));
    security.overrides = overrides(section);
    lay(&mut security.remove_request_headers, removed(section));
    lay(&mut security.csrf_trusted_origins, origins(section));
    lay(&mut security.unmatched, section.choice("unmatched", &UNMATCHED));
}

fn preset(section: &Section<'_>) -> Option<Preset> {
    if matches!(section.node("headers").map(|node| &node.value), Some(Value::Table(_))) {
        let label = "expected \"basic\", \"strict\" or \"off\", found a table";
        let help = "single fields stand in `[security.override]`";
        section.refuse("headers", "has the wrong type", label, Some(help));
        return None;
    }
    section.choice("headers", &PRESETS)
}

fn overrides(section: &Section<'_>) -> Vec<(HeaderName, Option<HeaderValue>)> {
    let pairs = section.pairs("override").into_iter();
    pairs.filter_map(|(name, value)| one_override(section, &name, &value)).collect()
}

fn one_override(
    section: &Section<'_>,
    name: &Word,
    value: &Word,
) -> Option<(HeaderName, Option<HeaderValue>)> {
    let Ok(field) = HeaderName::from_bytes(name.text.as_bytes()) else {
        let problem = Problem::at(&name.origin, "this name is not one of a header field");
        section.problems.push(problem.label("expected letters, digits and `-`"));
        return None;
    };
    if OF_ONE_ANSWER.contains(&field.as_str()) {
        let title = format!("`security.override` cannot set `{field}`");
        let problem = Problem::at(&name.origin, title);
        section.problems.push(problem.label("this field says what one answer is"));
        return None;
    }
    if value.text.is_empty() {
        return Some((field, None));
    }
    let is_plain = value.text.trim() == value.text && value.text.bytes().all(|b| b != b'\t');
    match HeaderValue::from_str(&value.text) {
        Ok(header) if is_plain => Some((field, Some(header))),
        _ => {
            let title = format!("`security.override.{field}` is not a header value");
            let problem = Problem::at(&value.origin, title);
            section
                .problems
                .push(problem.label("expected printable ASCII, without spaces around it"));
            None
        }
    }
}

fn removed(section: &Section<'_>) -> Option<Vec<HeaderName>> {
    const KEY: &str = "remove_request_headers";
    let mut names = Vec::new();
    for word in section.words(KEY)? {
        let refuse = |label: &str| {
            let title = format!("`{}` holds a field that cannot be removed", section.path_of(KEY));
            section.problems.push(Problem::at(&word.origin, title).label(label));
        };
        match HeaderName::from_bytes(word.text.as_bytes()) {
            Err(_) => refuse("expected a header's name, as in \"x-debug\""),
            Ok(name) if OF_EVERY_REQUEST.contains(&name.as_str()) => {
                refuse("this field frames or routes the request");
            }
            Ok(name) if names.contains(&name) => refuse("named before"),
            Ok(name) => names.push(name),
        }
    }
    Some(names)
}

fn origins(section: &Section<'_>) -> Option<Vec<Box<str>>> {
    const KEY: &str = "csrf_trusted_origins";
    let mut origins: Vec<Box<str>> = Vec::new();
    for word in section.words(KEY)? {
        let title = format!("`{}` holds something that is not an origin", section.path_of(KEY));
        let problem = Problem::at(&word.origin, title);
        match Origin::parse(&word.text) {
            Ok(origin) => origins.push(origin.to_string().into()),
            Err(error) => {
                let problem = problem.label(error);
                let help = hint(&word.text, error);
                section.problems.push(match help {
                    Some(help) => problem.help(help),
                    None => problem,
                });
            }
        }
    }
    Some(origins)
}

/// What was probably meant.
fn hint(text: &str, error: OriginError) -> Option<String> {
    if error != OriginError::Malformed {
        return None;
    }
    if text.contains('*') {
        return Some("there are no patterns: name each origin".to_owned());
    }
    if !text.is_ascii() {
        return Some("browsers write host names in Punycode: \"https://xn--…\"".to_owned());
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        let meant = format!("https://{text}");
        return Origin::parse(&meant).ok().map(|origin| format!("write \"{origin}\""));
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let meant = format!("{scheme}://{authority}");
    Origin::parse(&meant).ok().map(|origin| format!("write \"{origin}\""))
}
