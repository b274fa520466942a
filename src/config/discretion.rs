//! Which values a quoted line may show, of keys that nobody reads: unknown ones, those that stand in the
//! file twice, and those of lines that are no TOML.
//!
//! What they hold is not known, so the words of the key and the look of the value decide, and where they are
//! in doubt it is hidden: who has written a token shall not find it in the log of a build.
//! It does not decide for keys that are known: `secrecy` does.

use super::error::Problems;
use super::keys::nearest;
use super::raw::{Node, Value};
use super::secrecy::is_near_a_secret;
use super::twice;

/// Words of keys that may hold a secret.
pub(super) const TELLING: [&str; 18] = [
    "api",
    "auth",
    "bearer",
    "cookie",
    "credential",
    "dsn",
    "header",
    "key",
    "notify",
    "pass",
    "password",
    "pwd",
    "redis_url",
    "secret",
    "session",
    "signature",
    "token",
    "webhook",
];
/// Lines that are looked through for the table of a broken one.
const LINES: usize = 1000;
/// A word or a number is shorter; a longer one may be random.
const LONGEST: usize = 24;

/// Masks what may be secret in the value of an unknown key.
pub(super) fn mask_unknown(path: &str, key: &str, node: &Node, problems: &Problems) {
    mask(is_telling(path) || is_telling(key), node, problems);
}

/// Masks what may be secret in a value of this key; below a telling key everything may be.
pub(super) fn mask_below(key: &str, node: &Node, problems: &Problems) {
    mask(is_telling(key), node, problems);
}

fn mask(is_told: bool, node: &Node, problems: &Problems) {
    match &node.value {
        Value::Text(text) if is_told || may_be_secret(text) => problems.mask(&node.origin),
        Value::Broken => problems.mask(&node.origin),
        Value::List(list) => list.iter().for_each(|node| mask(is_told, node, problems)),
        Value::Table(table) => {
            for (key, entry) in &table.0 {
                mask(is_told || is_telling(key), &entry.node, problems);
            }
        }
        _ if is_told => problems.mask(&node.origin),
        _ => {}
    }
}

/// Whether a text that is, or was meant to be, the value of this key is not to be shown.
pub(super) fn hides(path: &str, text: &str) -> bool {
    let bare = text.trim().trim_matches(['"', '\'']);
    is_near_a_secret(path) || is_telling(path) || is_telling(bare) || may_be_secret(bare)
}

/// How many bytes of a line that cannot be read may be shown, after these lines: all of it, what is before its
/// value, or none.
pub(super) fn shown_of_broken(before: &str, line: &str) -> usize {
    let mut lines = before.lines().rev();
    let header = lines.by_ref().take(LINES).find_map(twice::header);
    if header.is_none() && lines.next().is_some() {
        return 0;
    }
    let header = header.unwrap_or_default();
    let table = header.join(".");
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_-.\"' \t".contains(c);
    let key = line.split_once('=').map(|(key, _)| key).filter(|key| key.chars().all(is_name));
    let value = key.map_or(0, |key| key.len() + 1);
    let bare = line[value..].trim().trim_matches(['"', '\'']);
    let hides = is_telling(&table)
        || !twice::is_table(&header)
        || may_be_secret(bare)
        || (bare.contains('{') && is_telling(bare))
        || match key.map(str::trim) {
            // It may go on from a line before, of which the key is not known.
            None => !is_header(line) && (table.is_empty() || is_near_a_secret(&table)),
            Some(key) => is_telling(key) || (table.is_empty() && is_near_a_secret(key)),
        };
    if hides { value } else { line.len() }
}

/// Whether a line was meant to be the header of a table that exists.
fn is_header(line: &str) -> bool {
    let name = line.trim_start_matches('[').split(['.', ']', ' ', '\r', '\n']).next();
    line.starts_with('[') && name.is_some_and(|name| twice::is_table(&[name.to_owned()]))
}

/// Whether a key, or a part of it, is one of the telling words, or nearly.
fn is_telling(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let is_near = |part: &str| part.len() > 3 && nearest(part, TELLING.into_iter()).is_some();
    TELLING.iter().any(|word| key.contains(word)) || key.split(['_', '-', '.']).any(is_near)
}

/// Whether a text is more than a word, a number, a place or a duration.
fn may_be_secret(text: &str) -> bool {
    let is_place =
        text.split_once("://").is_some_and(|(_, rest)| !rest.trim_end_matches('/').contains('/'));
    let is_short = text.len() <= LONGEST || is_place || is_path(text);
    !is_short || text.contains(['@', '?', '$']) || (text.contains("://") && !is_place)
}

/// Whether a text is a path of files or of URLs, none of its segments long enough to be random.
fn is_path(text: &str) -> bool {
    let is_begun = text.starts_with(['/', '.'])
        || text.split(' ').nth(1).is_some_and(|path| path.starts_with('/'));
    is_begun && text.split(['/', ' ']).all(|segment| segment.len() <= LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_may_name_a_secret_are_known_also_misspelt() {
        for key in ["token", "api_token", "pasword", "sekret", "x-auth", "Authorization", "tokn"] {
            assert!(is_telling(key), "{key}");
        }
        for key in ["listen", "workers", "level", "url", "timeout", "file", "server.limits", "host"]
        {
            assert!(!is_telling(key), "{key}");
        }
    }

    #[test]
    fn a_value_is_shown_only_where_it_looks_harmless() {
        for text in
            ["info", "127.0.0.1:8080", "10s", "http://127.0.0.1:3000", "GET /api/users/{id}"]
        {
            assert!(!may_be_secret(text), "{text}");
        }
        for text in [
            "https://hooks.example/T0/B0",
            "redis://:s@cache",
            "0123456789abcdef0123456789abcdef",
            "http://a?key=1",
            "${TOKEN}",
        ] {
            assert!(may_be_secret(text), "{text}");
        }
    }
}
