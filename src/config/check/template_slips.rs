//! What a route's `match` was probably meant to be: `get /a`, `/a/:id`, `/a/*`, `/a/[...rest]`, `/a?x=1`.
//!
//! Promises: what it proposes can be read. Where it does not know, or what it made of the text is refused as
//! well, it says nothing: the error has the words. Nothing is accepted because of it.

use super::template;
use crate::http::path;

/// Methods that stand before a path of which the first `/` was forgotten.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/// What a path cannot hold as it is, of what a person can see.
const NOT_IN_PATHS: &[u8] = b"\"<>[]^`|\\{}";

/// The help line for this text.
pub(super) fn meant(text: &str) -> Option<String> {
    let (methods, path) = parted(text.trim())?;
    let path = repaired(path)?;
    let readable = |method: &str| {
        let template = format!("{method} {path}");
        template::parse(&template).is_ok().then_some(template)
    };
    match methods.as_slice() {
        [] => readable("*").map(|all| format!("write \"{all}\"")),
        [one] => readable(one).map(|one| format!("write \"{one}\"")),
        _ => readable("*")
            .map(|all| format!("write one route for each method, or take them all: \"{all}\"")),
    }
}

/// The methods, if they look like some, and what is behind them.
fn parted(text: &str) -> Option<(Vec<String>, &str)> {
    let (before, path) = text.rsplit_once(char::is_whitespace).unwrap_or(("", text));
    let words = before.split(|c: char| c.is_whitespace() || c == ',' || c == '|');
    let methods = words.filter(|word| !word.is_empty()).map(method);
    let methods: Vec<_> = methods.collect::<Option<_>>()?;
    let is_path = path.starts_with('/')
        || methods.iter().any(|method| method == "*" || METHODS.contains(&method.as_str()));
    is_path.then_some((methods, path))
}

fn method(word: &str) -> Option<String> {
    let capitals = word.to_ascii_uppercase();
    match capitals.as_str() {
        "*" | "ANY" | "ALL" => Some("*".to_owned()),
        _ => capitals.bytes().all(|b| b.is_ascii_uppercase()).then_some(capitals),
    }
}

/// The path, each segment of it as a template has it. `None` where nobody can tell.
fn repaired(path: &str) -> Option<String> {
    // A template has neither a host nor a query.
    let path = match path.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => path,
    };
    let path = path.split(['?', '#']).next().unwrap_or(path);
    let segments: Vec<_> = path.trim_start_matches('/').split('/').collect();
    let (last, before) = segments.split_last()?;
    let mut out = String::new();
    for text in before.iter().filter(|text| !matches!(**text, "" | ".")) {
        out.push('/');
        out.push_str(&segment(text, false)?);
    }
    out.push('/');
    out.push_str(&segment(last, true)?);
    Some(out)
}

fn segment(text: &str, is_last: bool) -> Option<String> {
    let within = |open, close| text.strip_prefix(open)?.strip_suffix(close);
    if let Some(stars) = text.strip_prefix('*') {
        return Some(match stars {
            "" if !is_last => "{segment}".to_owned(),
            "" | "*" => "{*rest}".to_owned(),
            name => parameter(name, "*"),
        });
    }
    if let Some(name) = text.strip_prefix(':') {
        // What is in parentheses are the values that it may have.
        let (name, rest) = name.split_once('(').unwrap_or((name, ""));
        return Some(parameter(name, if rest.starts_with(".*") { "*" } else { "" }));
    }
    if let Some(inside) = within('{', '}') {
        let (name, kind) = inside.split_once(':').unwrap_or((inside, ""));
        return Some(parameter(name, kind));
    }
    if let Some(inside) = within('<', '>') {
        let (kind, name) = inside.split_once(':').unwrap_or(("", inside));
        return Some(parameter(name, kind));
    }
    if let Some(inside) = within('[', ']') {
        return Some(parameter(inside.trim_matches(['[', ']']), ""));
    }
    literal(text)
}

/// A parameter as other routers spell its name, and say by a kind that it takes the rest.
fn parameter(name: &str, kind: &str) -> String {
    let plain = name.trim_matches(['*', '+', '.', '?']);
    let takes_rest = kind == "path"
        || kind.starts_with(['*', '.'])
        || name.contains(['*', '+'])
        || name.contains("...");
    if takes_rest { format!("{{*{plain}}}") } else { format!("{{{plain}}}") }
}

/// A segment with the escapes that the canonical path has.
fn literal(text: &str) -> Option<String> {
    if matches!(text, "." | "..") || text.contains(['{', '}']) {
        return None;
    }
    let escaped = text.bytes().map(|byte| {
        let is_plain = byte.is_ascii_graphic() && !NOT_IN_PATHS.contains(&byte);
        if is_plain { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    });
    let escaped: String = std::iter::once("/".to_owned()).chain(escaped).collect();
    let canonical = path::canonical(&escaped).ok()?;
    canonical.strip_prefix('/').map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_other_routers_write_is_written_as_here() {
        for (text, meant_is) in [
            ("get /a", "GET /a"),
            ("/a", "* /a"),
            ("any /a", "* /a"),
            ("GET  /a", "GET /a"),
            ("GET api/x", "GET /api/x"),
            ("GET /api/users/:id", "GET /api/users/{id}"),
            ("GET /api/users/:id(\\d+)/posts", "GET /api/users/{id}/posts"),
            ("GET /api/*", "GET /api/{*rest}"),
            ("/api/*", "* /api/{*rest}"),
            ("GET /api/**", "GET /api/{*rest}"),
            ("GET /api/*/members", "GET /api/{segment}/members"),
            ("GET /files/*path", "GET /files/{*path}"),
            ("GET /a/{rest*}", "GET /a/{*rest}"),
            ("GET /a/{rest...}", "GET /a/{*rest}"),
            ("GET /a/{rest:path}", "GET /a/{*rest}"),
            ("GET /a/{rest:.*}", "GET /a/{*rest}"),
            ("GET /a/{id:[0-9]+}", "GET /a/{id}"),
            ("GET /a/<int:id>", "GET /a/{id}"),
            ("GET /a/<path:rest>", "GET /a/{*rest}"),
            ("GET /users/[id]", "GET /users/{id}"),
            ("GET /docs/[[...slug]]", "GET /docs/{*slug}"),
            ("GET /a?x=1", "GET /a"),
            ("GET /a//b/./c", "GET /a/b/c"),
            ("GET http://app:3000/a", "GET /a"),
            ("GET /caf\u{e9}", "GET /caf%C3%A9"),
            ("GET /a%7eb%c3%a9", "GET /a~b%C3%A9"),
        ] {
            assert!(template::parse(text).is_err(), "{text}");
            assert_eq!(meant(text), Some(format!("write \"{meant_is}\"")), "{text}");
        }
        for text in ["GET, POST /api/x", "GET,POST /api/x", "GET|POST /api/x", "GET POST /api/x"] {
            let help = meant(text).expect("a hint");
            assert!(help.ends_with("take them all: \"* /api/x\""), "{help}");
        }
    }

    #[test]
    fn where_nobody_can_tell_nothing_is_proposed() {
        for text in [
            "",
            "GET",
            "api/x",
            "GET/x",
            "two words",
            "GET /a/..",
            "GET /a/{id}.json",
            "GET /a%2Fb",
            "GET /**/a",
            "GET /*/*/a",
            "GET /:id/:id",
            "GET /a/{user id}",
            "/a GET",
        ] {
            assert_eq!(meant(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_proposed_can_be_read(
            text in "\\PC*|(GET|get|\\*|GET,POST|)[ ]{0,2}(/?([a-z:*{}<>\\[\\].?%+ ]|\\PC){0,6}){0,4}",
        ) {
            if let Some(help) = meant(&text) {
                let proposed = help.split('"').nth(1).expect("a template in quotes");
                prop_assert!(template::parse(proposed).is_ok(), "{help}");
            }
        }
    }
}
