//! What to say of a key that does not exist: what was probably meant, where it belongs, or what there is.
//!
//! A table is named only where the key means the same in it: below the table where it was written, or, of
//! a key at the top level, anywhere. Of a value nothing is shown that may be a secret (`discretion`).

use std::collections::BTreeSet;

use super::discretion;
use super::error::{Problem, Problems};
use super::keys::{KEYS, below, nearest, shown};
use super::raw::{Entry, Value};

/// Of more tables than this a list says nothing.
const MOST_TABLES: usize = 3;

/// Adds the problem with this key of the table at `path`, which has the keys `known`.
pub(super) fn refuse(
    key: &str,
    entry: &Entry,
    path: &str,
    known: &BTreeSet<&str>,
    problems: &Problems,
) {
    discretion::mask_unknown(path, key, &entry.node, problems);
    let place = if path.is_empty() {
        "at the top level".to_owned()
    } else {
        format!("in `{}`", shown(path))
    };
    let near = || of_url(key, entry, known).or_else(|| nearest(key, known.iter().copied()));
    let help = if let Some(advice) = listed(&ADVICE, path, key) {
        advice.to_owned()
    } else if let Some(meant) = listed(&MEANT, path, key) {
        format!("did you mean {meant}?")
    } else if is_planned(path, key) {
        "this is not built yet; `README.md` lists what is not".to_owned()
    } else if names_answer_field(path, key) {
        OF_ANSWERS.to_owned()
    } else if let Some(deeper) = deeper(path, key) {
        format!("did you mean `{deeper}`?")
    } else if !path.is_empty() && is_table(key) {
        format!(
            "`{key}` is no part of a table: write it above the first `[table]`, or as `[{key}]`"
        )
    } else if let Some(near) = near().or_else(|| longer(key, known)) {
        format!("did you mean `{}`?", near.trim_end_matches("[]"))
    } else if let Some(tables) = tables_with(path, key) {
        format!("`{key}` belongs in {tables}")
    } else {
        let names: Vec<_> = known.iter().map(|name| name.trim_end_matches("[]")).collect();
        format!("the keys here are {}", names.join(", "))
    };
    let problem = Problem::at(&entry.key, format!("unknown key `{key}` {place}"));
    problems.push(problem.label("not a key of this table").help(help));
}

/// Keys and tables that are designed and not built. They are unknown until they are, and nobody should look
/// for a slip of the pen. `README.md` has them, too.
const PLANNED: [&str; 12] = [
    "audit.checkpoint_interval",
    "audit.commit_interval",
    "audit.max_size",
    "audit.min_free",
    "audit.retention",
    "browser",
    "errors.page",
    "sentry.browser",
    "sentry.ignore_messages",
    "sentry.release_health",
    "sentry.traces_sample_rate",
    "sentry.tunnel",
];

/// Where fields of answers are set, and where they are not.
const OF_ANSWERS: &str = "fields of answers are set in `[security.override]`, as in \
                          `x-frame-options = \"DENY\"`";

/// Short words for fields of answers.
const FIELDS: [&str; 6] =
    ["csp", "custom_headers", "frame_options", "hsts", "response_headers", "set_headers"];

/// The key that somebody means who gives a table one value.
const FIRST: [(&str, &str); 14] = [
    ("admin", "listen"),
    ("audit", "directory"),
    ("genai", "enabled"),
    ("identity", "source"),
    ("log", "level"),
    ("metrics", "listen"),
    ("openapi", "file"),
    ("otlp", "endpoint"),
    ("rate_limit_headers", "form"),
    ("rate_limit_store", "redis_url"),
    ("sentry", "dsn"),
    ("server", "listen"),
    ("spool", "directory"),
    ("upstream", "url"),
];

/// Words for a key that other words would be nearer to: the table, the word, and what it means.
const MEANT: [(&str, &str, &str); 25] = [
    ("admin", "address", "`listen`"),
    ("admin", "host", "`listen = \"IP:PORT\"`"),
    ("admin", "port", "`listen = \"IP:PORT\"`"),
    ("identity", "tenant", "`tenant_claim`"),
    ("identity", "user", "`user_claim`"),
    ("log", "file", "`directory`"),
    ("log", "format", "`schema` (the names of fields) or `console` (lines or JSON)"),
    ("log", "path", "`directory`"),
    ("log", "rotate", "`max_size` or `max_files`"),
    ("metrics", "address", "`listen`"),
    ("metrics", "host", "`listen = \"IP:PORT\"`"),
    ("metrics", "port", "`listen = \"IP:PORT\"`"),
    ("otlp", "url", "`endpoint`"),
    ("routes[]", "path", "`match`"),
    ("routes[]", "route", "`match`"),
    ("server", "address", "`listen`"),
    ("server", "bind", "`listen`"),
    ("server", "host", "`listen = \"IP:PORT\"`"),
    ("server", "port", "`listen = \"IP:PORT\"`"),
    ("tracing", "ratio", "`sampling.ratio`"),
    ("tracing", "sample_rate", "`sampling.ratio`"),
    ("tracing.sampling", "rate", "`ratio`"),
    ("tracing.sampling", "sample_rate", "`ratio`"),
    ("upstream", "address", "`url`"),
    ("upstream", "port", "`url = \"http://HOST:PORT\"`"),
];

/// What no other key means: the table, the word, and what to know of it.
const ADVICE: [(&str, &str, &str); 11] = [
    ("audit", "enabled", "what is audited is said by routes: `audit = \"DATA_ACCESS\"`"),
    ("audit", "signing_key_file", "the audit is a chain of hashes; it is not signed"),
    ("log", "enabled", "`console = \"off\"` turns the console off; `directory` writes files"),
    ("metrics", "enabled", "`/metrics` is always there; `push = true` pushes metrics as well"),
    ("metrics", "path", "the path is `/metrics`; `listen` opens it at a port of its own"),
    ("sentry", "enabled", "Sentry is told of errors where `dsn` is set"),
    ("server", "response_header", "`response_header` belongs in `[upstream.timeouts]`"),
    ("server", "stream_idle", "`stream_idle` belongs in `[upstream.timeouts]`"),
    ("server", "stream_max", "`stream_max` belongs in `[upstream.timeouts]`"),
    ("server", "upgrade_idle", "`upgrade_idle` belongs in `[upstream.timeouts]`"),
    (
        "tracing",
        "enabled",
        "spans go to `otlp.endpoint`; `tracing.otlp.endpoint = \"\"` sends none",
    ),
];

fn listed(words: &[(&str, &str, &'static str)], path: &str, word: &str) -> Option<&'static str> {
    let is_it = |(table, said, _): &&(&str, &str, &str)| (*table, *said) == (path, word);
    words.iter().find(is_it).map(|(_, _, meaning)| *meaning)
}

/// The path of the key that a table's only value is likely meant for.
pub(super) fn first_of(table: &str) -> Option<String> {
    let first = FIRST.iter().find(|(name, _)| *name == table);
    first.map(|(table, key)| format!("{table}.{key}"))
}

fn is_planned(path: &str, key: &str) -> bool {
    let whole = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    PLANNED.contains(&whole.as_str())
}

/// Whether this is a field of answers, by its own name or a short one, in a place where it has none.
fn names_answer_field(path: &str, key: &str) -> bool {
    match path {
        "" => matches!(key, "headers" | "response_headers" | "security_headers" | "csp" | "hsts"),
        "security" => key.contains('-') || FIELDS.contains(&key) || key.ends_with("_policy"),
        _ => false,
    }
}

/// Whether there is such a table at the top level.
fn is_table(key: &str) -> bool {
    KEYS.iter().any(|known| {
        known.split('.').next().is_some_and(|first| first.trim_end_matches("[]") == key)
    })
}

/// The key below this table that is written with `_` in the place of its dots: `drain.timeout` for
/// `drain_timeout`.
fn deeper(path: &str, word: &str) -> Option<&'static str> {
    let is_it = |rest: &&str| rest.contains('.') && rest.replace('.', "_") == word;
    KEYS.iter().filter_map(|known| below(known, path)).find(is_it)
}

/// The key for a URL, where one is written: `jwks_url` for `jwks`.
fn of_url<'k>(word: &str, entry: &Entry, known: &BTreeSet<&'k str>) -> Option<&'k str> {
    let is_url = matches!(&entry.node.value, Value::Text(text) if text.contains("://"));
    let is_it = |key: &&&str| key.strip_prefix(word) == Some("_url");
    known.iter().find(is_it).filter(|_| is_url).copied()
}

/// The key that begins with this word, or the only one that ends with it: `token_file` for `token`,
/// `client_ca_file` for `ca_file`.
fn longer<'k>(word: &str, known: &BTreeSet<&'k str>) -> Option<&'k str> {
    let begins = |key: &&&str| word.len() >= 3 && key.starts_with(word);
    let ends = |key: &&&str| {
        word.len() >= 3 && key.strip_suffix(word).is_some_and(|rest| rest.ends_with('_'))
    };
    let mut ending = known.iter().filter(ends);
    let only = ending.next().filter(|_| ending.next().is_none());
    known.iter().find(begins).or(only).copied()
}

/// The tables in which a key of this name exists: below the one where it was written, or wherever it is,
/// if it was written at the top level.
fn tables_with(path: &str, key: &str) -> Option<String> {
    let top = path.split('.').next().unwrap_or_default();
    let mut tables = BTreeSet::new();
    for known in KEYS {
        let segments: Vec<_> = known.split('.').collect();
        if !top.is_empty() && segments[0] != top {
            continue;
        }
        for (depth, segment) in segments.iter().enumerate().skip(1) {
            if *segment == key {
                tables.insert(format!("`[{}]`", shown(&segments[..depth].join("."))));
            }
        }
    }
    let is_few = (1..=MOST_TABLES).contains(&tables.len());
    is_few.then(|| tables.into_iter().collect::<Vec<_>>().join(" or "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys::is_known;

    #[test]
    fn a_key_of_another_table_is_shown_its_place_only_nearby() {
        let stream_idle = Some("`[upstream.timeouts]`");
        assert_eq!(tables_with("upstream", "stream_idle").as_deref(), stream_idle);
        assert_eq!(tables_with("", "stream_idle").as_deref(), stream_idle);
        assert_eq!(tables_with("", "limits").as_deref(), Some("`[server]`"));
        assert_eq!(tables_with("server", "stream_idle"), None);
        assert_eq!(tables_with("", "endpoint"), None, "there are too many");
        assert_eq!(tables_with("", "nothing"), None);
    }

    #[test]
    fn what_is_planned_is_not_there_and_what_is_meant_by_a_value_is() {
        for planned in PLANNED {
            assert!(!is_known(planned), "`{planned}` is built");
        }
        for (table, _) in FIRST {
            let first = first_of(table).expect("a key");
            assert!(is_known(&first), "{first}");
        }
        for short in FIELDS {
            assert!(!is_known(&format!("security.{short}")), "{short}");
        }
    }

    #[test]
    fn what_is_meant_by_a_word_exists_and_the_word_does_not() {
        let of = |table: &str, key: &str| format!("{table}.{key}");
        for (table, word, _) in MEANT.iter().chain(&ADVICE) {
            assert!(is_known(table) && !is_known(&of(table, word)), "{table}.{word}");
        }
        for (table, _, meaning) in &MEANT {
            let key = meaning.trim_start_matches('`').split(['`', ' ']).next().unwrap_or_default();
            assert!(is_known(&of(table, key)), "{table}.{key}");
        }
    }
}
