//! Which values of known keys no quoted line shows: secrets, and places that say more than where.
//!
//! Promises: it is one walk over the whole file, before anything in it is read or refused. So what is hidden
//! hangs neither on the type of a value, nor on who finds what wrong with it, nor on what the environment
//! lays over it. What is hidden is what was written: a default inside `${NAME:-…}` too.
//! It does not decide for keys that nobody knows, nor for lines that are no TOML: there `discretion` does.

use super::discretion;
use super::error::{Origin, Problems};
use super::keys::{children, join, segment};
use super::raw::{Node, Table, Value};

/// The keys that hold secrets. Whatever stands there, of whatever type, is hidden.
pub(super) const SECRETS: [&str; 7] = [
    "otlp.headers",
    "tracing.otlp.headers",
    "metrics.otlp.headers",
    "log.otlp.headers",
    "rate_limit_store.redis_url",
    "sentry.dsn",
    NOTIFY,
];
/// Whom alerts tell: two words are no secret, and the URL of a webhook is one.
const NOTIFY: &str = "alerts[].notify";
const TOLD: [&str; 2] = ["log", "sentry"];
/// The keys that hold places. They are hidden where they hold credentials, a query, or what may be a token.
const PLACES: [&str; 9] = [
    "upstream.url",
    "upstream.health.path",
    "otlp.endpoint",
    "tracing.otlp.endpoint",
    "metrics.otlp.endpoint",
    "log.otlp.endpoint",
    "log.datadog.url",
    "identity.jwt.jwks_url",
    "errors.type_base",
];
/// Segments of a path that are as long as this may be random.
const LONG: usize = 24;

/// Masks what no line of this file may show.
pub(super) fn cover(root: &Table, written: &str, problems: &Problems) {
    Cover { written, problems }.table(root, "");
}

/// Whether a secret is at this path as an operator writes it, below it, or right in the table at it.
pub(super) fn is_near_a_secret(path: &str) -> bool {
    let is_near = |secret: &str| {
        let secret = secret.replace("[]", "");
        let parent = secret.rsplit_once('.').map_or("", |(parent, _)| parent);
        path == parent
            || path
                .strip_prefix(&*secret)
                .is_some_and(|rest| matches!(rest.bytes().next(), None | Some(b'.')))
    };
    SECRETS.iter().any(|secret| is_near(secret))
}

struct Cover<'a> {
    written: &'a str,
    problems: &'a Problems,
}

impl Cover<'_> {
    fn table(&self, table: &Table, path: &str) {
        let known = children(path);
        for (key, entry) in &table.0 {
            if let Some(segment) = segment(&known, key) {
                self.value(&join(path, &segment), &entry.node);
            }
        }
    }

    fn value(&self, path: &str, node: &Node) {
        if SECRETS.contains(&path) {
            return self.secret(path, node);
        }
        let is_table = !children(path).is_empty();
        match &node.value {
            Value::Table(table) if is_table => self.table(table, path),
            Value::List(list) => list.iter().for_each(|node| self.value(path, node)),
            Value::Bool(_) => {}
            // Where a table belongs that has a secret, this may be the secret.
            _ if is_table && is_near_a_secret(&path.replace("[]", "")) => self.hide(node),
            Value::Table(_) if PLACES.contains(&path) => self.hide(node),
            Value::Table(_) => discretion::mask_below(path, node, self.problems),
            Value::Text(text) => self.place(path, text, node),
            Value::Broken => self.place(path, "", node),
            Value::Integer(_) | Value::Float(_) | Value::Date => {}
        }
    }

    fn secret(&self, path: &str, node: &Node) {
        match &node.value {
            Value::Table(headers) if path != NOTIFY && path.ends_with(".headers") => {
                for (name, entry) in &headers.0 {
                    // What is no name may be a whole header.
                    if http::HeaderName::try_from(name.as_str()).is_err() {
                        self.problems.mask(&entry.key);
                    }
                    self.hide(&entry.node);
                }
            }
            Value::List(list) if path == NOTIFY => {
                let is_word = |node: &&Node| matches!(&node.value, Value::Text(text) if TOLD.contains(&&**text));
                list.iter().filter(|node| !is_word(node)).for_each(|node| self.hide(node));
            }
            _ => self.hide(node),
        }
    }

    /// A text is judged as it is, and as it was written.
    fn place(&self, path: &str, text: &str, node: &Node) {
        let written = match &node.origin {
            Origin::File(span) => self.written.get(span.clone()).unwrap_or_default(),
            Origin::Nowhere | Origin::Env(_) | Origin::Flag(_) => "",
        };
        let is_place = PLACES.contains(&path);
        let tells = |text: &str| {
            let text = text.trim_matches(['"', '\'']);
            (is_place || text.contains("://") || text.starts_with("webhook:")) && tells_more(text)
        };
        if tells(text) || tells(written) {
            self.hide(node);
        }
    }

    /// Hides everything in it, names too: where no table belongs, a name is no key.
    fn hide(&self, node: &Node) {
        match &node.value {
            Value::List(list) => list.iter().for_each(|node| self.hide(node)),
            Value::Table(table) => {
                for entry in table.0.values() {
                    self.problems.mask(&entry.key);
                    self.hide(&entry.node);
                }
            }
            _ => self.problems.mask(&node.origin),
        }
    }
}

/// Whether a place says more than where something is: who enters, and with what.
fn tells_more(text: &str) -> bool {
    let after = text.split_once("://").map_or(text, |(_, after)| after);
    let mut segments = after.split('/').skip(1);
    text.contains(['@', '?', '#'])
        || text.starts_with("webhook:")
        || segments.any(|segment| segment.len() >= LONG)
}

#[cfg(test)]
mod tests {
    use super::super::keys::{KEYS, is_known};
    use super::*;

    #[test]
    fn what_is_listed_exists() {
        for path in SECRETS.iter().chain(&PLACES) {
            assert!(is_known(path), "{path}");
        }
    }

    /// Whoever adds a key that sounds like a secret, or like a place, decides here what it is.
    #[test]
    fn every_key_that_sounds_like_a_secret_or_a_place_is_one_or_is_said_to_be_none() {
        const NONE: [&str; 19] = [
            "request_id.header",
            "server.limits.header_timeout",
            "server.limits.max_header_bytes",
            "server.limits.max_headers",
            "upstream.timeouts.response_header",
            "routes[].timeouts.response_header",
            "cache.headers",
            "log.headers",
            "identity.tenant_header",
            "security.headers",
            "security.remove_request_headers",
            "openapi.file",
            "rate_limits.*.key",
            "rate_limits.*.max_keys",
            "rate_limit_headers.form",
            "identity.jwt.issuer",
            "identity.jwt.audience",
            "upstream.host",
            "server.path",
        ];
        for key in KEYS {
            let name = key.trim_end_matches(".*");
            let is_listed = SECRETS.contains(&name) || PLACES.contains(&name);
            let is_said = NONE.contains(key) || name.ends_with("_file");
            let words = discretion::TELLING.iter().chain(&["url", "endpoint"]);
            let sounds = words.into_iter().any(|word| name.contains(word));
            assert!(is_listed || is_said || !sounds, "{key}");
        }
    }

    #[test]
    fn a_place_is_shown_until_it_says_more() {
        for text in [
            "http://127.0.0.1:3000",
            "http://collector:4318/v1/traces",
            "unix:/run/app.sock",
            "/healthz",
        ] {
            assert!(!tells_more(text), "{text}");
        }
        for text in [
            "u:p@h:4318",
            "http://h/?k=1",
            "h#k",
            "https://h/T0/B0/0123456789abcdef01234567",
            "webhook:x",
        ] {
            assert!(tells_more(text), "{text}");
        }
    }
}
