//! What a new configuration changes, and what of that must wait for a restart.
//!
//! It compares what was written, key by key, where a key that is not written has its default. So a
//! key that nobody has thought about here cannot change while the sidecar runs: [`LIVE`] names those
//! that can, and everything else is refused by name, at its place in the file.
//!
//! A duration or a size in other words ("60s", "1m") is the same one; of names, addresses and lists the
//! words count.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::SourceFile;
use super::error::{Origin, Problem, Problems};
use super::raw::{Node, Table, Value};
use crate::units;

/// The keys and tables that a reload puts in force. What they hold is compiled into the plan, or
/// handed on by whoever reloads.
pub(crate) const LIVE: &[&str] = &[
    "server.trusted_proxies",
    "server.server_timing",
    "server.limits",
    "admin.token_file",
    "upstream.host",
    "upstream.timeouts.response_header",
    "upstream.timeouts.request",
    "upstream.timeouts.idle",
    "upstream.timeouts.stream_idle",
    "upstream.timeouts.stream_max",
    "request_id.header",
    "tracing.propagators",
    "tracing.trust",
    "tracing.sampling",
    "cache.headers",
    "log.level",
    "log.request_start",
    "log.headers",
    "security",
    "openapi",
    "route_defaults",
    "routes",
    "captures",
    "inspect",
    "rate_limits",
    "rate_limit_store.timeout",
    "rate_limit_store.replicas",
    "rate_limit_headers",
    "overload",
    "audit.mode",
    "audit.deadline",
    "errors.type_base",
    "errors.classify",
    "genai",
    "alerts",
];

/// Every key at its default; a test compares it with the code.
const REFERENCE: &str = include_str!("../../config/sidecar.toml");

/// Everything that was written for a configuration, in the file or outside, for comparing it with
/// the next one. It may hold secrets, and shows nothing.
#[derive(Clone, Default)]
pub struct Written(Table);

impl Written {
    pub(crate) fn new(root: Table) -> Self {
        Self(root)
    }

    /// The keys whose values differ from those of `before`, in their order.
    pub fn changes_since(&self, before: &Self) -> Vec<String> {
        changes(&self.0, &before.0).into_iter().map(|(key, _)| key).collect()
    }
}

impl Written {
    /// Whether the table of this name has this key.
    pub fn has(&self, table: &str, key: &str) -> bool {
        match self.0.0.get(table).map(|entry| &entry.node.value) {
            Some(Value::Table(table)) => table.0.contains_key(key),
            _ => false,
        }
    }

    /// Whether the route at this place in `[[routes]]` has this key.
    pub fn route_has(&self, route: usize, key: &str) -> bool {
        let routes = self.0.0.get("routes").map(|entry| &entry.node.value);
        let Some(Value::List(routes)) = routes else { return false };
        let found = routes.get(route).map(|node| &node.value);
        matches!(found, Some(Value::Table(table)) if table.0.contains_key(key))
    }
}

impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Written(..)")
    }
}

/// Adds a problem for every change that a running sidecar cannot make.
pub(crate) fn refuse_unless_live(root: &Table, start: &Written, problems: &Problems) {
    for (key, origin) in changes(root, &start.0) {
        if !is_live(&key) {
            let title = format!("`{key}` cannot change while the sidecar runs");
            let problem = Problem::at(&origin, title).label("differs from the value at the start");
            problems.push(problem.help("restart the sidecar, or put the old value back"));
        }
    }
    if let (None, Some(origin)) = (first_audited(&start.0), first_audited(root)) {
        let title = "the first audited route cannot come while the sidecar runs";
        let problem = Problem::at(origin, title).label("the audit is opened only at the start");
        problems.push(problem.help("restart the sidecar, or take `audit` out of its routes"));
    }
}

fn is_live(key: &str) -> bool {
    LIVE.iter().any(|live| key.strip_prefix(live).is_some_and(is_end_or_below))
}

fn is_end_or_below(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with('.')
}

/// Every key whose value differs, and where its new value was written.
fn changes(now: &Table, before: &Table) -> Vec<(String, Origin)> {
    let reference = defaults();
    let (now, before, defaults) = (leaves(now), leaves(before), leaves(&reference));
    let keys: BTreeSet<&String> = now.keys().chain(before.keys()).collect();
    let changed = keys.into_iter().filter(|key| {
        let default = defaults.get(*key);
        match (now.get(*key).or(default), before.get(*key).or(default)) {
            (Some(now), Some(before)) => {
                let is_said_otherwise = || is_other_words(&now.value, &before.value, default);
                !is_same(&now.value, &before.value) && !is_said_otherwise()
            }
            (now, before) => now.is_some() != before.is_some(),
        }
    });
    let place = |key: &String| now.get(key).map_or(Origin::Nowhere, |node| node.origin.clone());
    changed.map(|key| (key.clone(), place(key))).collect()
}

/// The reference is one of our own files, and a test reads it: without it, only what is written
/// would be compared.
fn defaults() -> Table {
    let file = SourceFile { path: String::new(), text: REFERENCE.to_owned() };
    Table::parse(&file, &BTreeMap::new(), &Problems::default()).unwrap_or_default()
}

/// Every value by its path; a list counts as one.
fn leaves(table: &Table) -> BTreeMap<String, &Node> {
    let mut found = BTreeMap::new();
    let mut tables = vec![(String::new(), table)];
    while let Some((path, table)) = tables.pop() {
        for (key, entry) in &table.0 {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            match &entry.node.value {
                Value::Table(table) => tables.push((path, table)),
                _ => drop(found.insert(path, &entry.node)),
            }
        }
    }
    found
}

/// Whether two texts are the same value in other words, as `"1000ms"` is `"1s"`: where the default is a
/// duration or a size, they are ones, too.
fn is_other_words(left: &Value, right: &Value, default: Option<&&Node>) -> bool {
    let (Value::Text(left), Value::Text(right)) = (left, right) else { return false };
    let Some(Value::Text(default)) = default.map(|node| &node.value) else { return false };
    let (left, right) = (left.as_str(), right.as_str());
    if units::duration(default).is_ok() {
        return units::duration(left).is_ok_and(|left| units::duration(right) == Ok(left));
    }
    if units::size(default).is_ok() {
        return units::size(left).is_ok_and(|left| units::size(right) == Ok(left));
    }
    units::byte_rate(default).is_ok()
        && units::byte_rate(left).is_ok_and(|left| units::byte_rate(right) == Ok(left))
}

fn is_same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Text(left), Value::Text(right)) => left == right,
        (Value::Integer(left), Value::Integer(right)) => left == right,
        (Value::Float(left), Value::Float(right)) => left.total_cmp(right).is_eq(),
        // A share of all is `1` or `1.0`. No whole number that a key takes is too large for it.
        (Value::Float(float), Value::Integer(whole))
        | (Value::Integer(whole), Value::Float(float)) => {
            i32::try_from(*whole).is_ok_and(|whole| f64::from(whole).total_cmp(float).is_eq())
        }
        (Value::Bool(left), Value::Bool(right)) => left == right,
        (Value::List(left), Value::List(right)) => {
            let pairs = || left.iter().zip(right);
            left.len() == right.len() && pairs().all(|(l, r)| is_same(&l.value, &r.value))
        }
        (Value::Table(left), Value::Table(right)) => {
            let same = |(key, entry): (&String, &super::raw::Entry)| {
                right.get(key).is_some_and(|other| is_same(&entry.node.value, &other.node.value))
            };
            left.0.len() == right.0.len() && left.0.iter().all(same)
        }
        _ => false,
    }
}

/// Where the first route that is audited says so.
fn first_audited(root: &Table) -> Option<&Origin> {
    let Value::List(routes) = &root.get("routes")?.node.value else { return None };
    routes.iter().find_map(|route| match &route.value {
        Value::Table(route) => route.get("audit").map(|audit| &audit.node.origin),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Loaded, Sources, keys, load, reload};
    use super::*;

    fn sources(text: &str) -> Sources {
        let text = format!("{text}\n[upstream]\nurl = \"http://127.0.0.1:3000\"\n");
        let file = SourceFile { path: "sidecar.toml".to_owned(), text };
        Sources { file: Some(file), ..Sources::default() }
    }

    fn loaded(text: &str) -> Loaded {
        load(&sources(text)).unwrap_or_else(|errors| panic!("{errors}"))
    }

    fn refused(before: &str, after: &str) -> String {
        let start = loaded(before).written;
        reload(&sources(after), &start).expect_err("a refusal").to_string()
    }

    #[test]
    fn live_keys_change_and_are_named() {
        let before = loaded("[rate_limits.slow]\nkey = [\"ip\"]\nrate = \"1/s\"\n");
        let after = "[rate_limits.slow]\nkey = [\"ip\"]\nrate = \"2/s\"\nburst = 3\n\
                     [[routes]]\nmatch = \"GET /a\"\n[overload]\nmax_streams = 1\n";
        let after = reload(&sources(after), &before.written).expect("all of it is live");
        assert_eq!(
            after.written.changes_since(&before.written),
            ["overload.max_streams", "rate_limits.slow.burst", "rate_limits.slow.rate", "routes"]
        );
        assert!(after.written.changes_since(&after.written).is_empty());
    }

    #[test]
    fn what_needs_a_restart_is_refused_at_its_place() {
        let text = refused(
            "[server]\nlisten = \"127.0.0.1:1\"",
            "[log]\nschema = \"otel\"\n[server]\nlisten = \"127.0.0.1:2\"\nworkers = 3\n",
        );
        for words in [
            "`log.schema` cannot change while the sidecar runs\n --> sidecar.toml:2:10",
            "`server.listen` cannot change while the sidecar runs\n --> sidecar.toml:4:10",
            "`server.workers` cannot change while the sidecar runs\n --> sidecar.toml:5:11",
            "help: restart the sidecar, or put the old value back",
            "the configuration has 3 errors",
        ] {
            assert!(text.contains(words), "`{words}` is missing in:\n{text}");
        }
    }

    #[test]
    fn a_key_that_goes_has_its_default_again() {
        let text = refused("[server]\nworkers = 3", "");
        assert!(text.contains("`server.workers` cannot change"), "{text}");
        let same = loaded("[server]\nworkers = 0\nlisten = \"127.0.0.1:8080\"\n[log]\n").written;
        assert!(same.changes_since(&loaded("").written).is_empty(), "written, but not changed");
    }

    #[test]
    fn the_same_value_in_other_words_is_no_change() {
        let written = |text: &str| loaded(text).written;
        let pool = |wait: &str| written(&format!("[upstream.pool]\nqueue_timeout = \"{wait}\""));
        assert_eq!(pool("1000ms").changes_since(&written("")), [""; 0], "the default is 1s");
        assert_eq!(pool("1m").changes_since(&pool("60s")), [""; 0]);
        assert_eq!(pool("61s").changes_since(&pool("1m")), ["upstream.pool.queue_timeout"]);
        let body = |size: &str| written(&format!("[inspect]\nmax_body = \"{size}\""));
        assert_eq!(body("65536B").changes_since(&body("64KiB")), [""; 0]);
        assert_eq!(body("64KB").changes_since(&body("64KiB")), ["inspect.max_body"]);
        let ratio = |ratio: &str| written(&format!("[tracing.sampling]\nratio = {ratio}"));
        assert_eq!(ratio("1").changes_since(&ratio("1.0")), [""; 0]);
        assert_eq!(ratio("0.5").changes_since(&ratio("1")), ["tracing.sampling.ratio"]);
        let named = |name: &str| written(&format!("[service]\nversion = \"{name}\""));
        assert_eq!(named("1d").changes_since(&named("24h")), ["service.version"], "a name");
    }

    #[test]
    fn a_secret_is_not_shown_by_its_refusal() {
        let text = refused(
            "[sentry]\ndsn = \"https://hidden1@sentry.example/1\"",
            "[sentry]\ndsn = \"https://hidden2@sentry.example/1\"",
        );
        assert!(text.contains("`sentry.dsn` cannot change"), "{text}");
        assert!(!text.contains("hidden"), "{text}");
        let written = loaded("[sentry]\ndsn = \"https://hidden1@sentry.example/1\"").written;
        assert_eq!(format!("{written:?}"), "Written(..)");
    }

    #[test]
    fn a_mistake_is_told_before_a_change() {
        let text = refused("", "[server]\nlisten = \"nowhere\"");
        assert!(text.contains("is not an address") && !text.contains("cannot change"), "{text}");
    }

    #[test]
    fn the_first_audited_route_waits_for_a_restart() {
        let audited = "[[routes]]\nmatch = \"GET /a\"\naudit = \"DATA_ACCESS\"\n";
        let text = refused("", audited);
        assert!(text.contains("sidecar.toml:3:9") && text.contains("opened only at"), "{text}");
        let start = loaded(audited).written;
        let another = audited.replace("/a", "/b");
        assert!(reload(&sources(&another), &start).is_ok());
    }

    #[test]
    fn every_live_key_exists() {
        for live in LIVE {
            let is_covered =
                |key: &&str| key.replace("[]", "").strip_prefix(live).is_some_and(is_end_or_below);
            assert!(keys().iter().any(is_covered), "`{live}`");
        }
    }
}
