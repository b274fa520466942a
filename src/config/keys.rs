//! Every key that exists, once.
//!
//! `check` reads the values; a debug assertion there refuses a key that is missing here.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::error::Problems;
use super::raw::{Table, Value};
use super::unknown;

/// Every key by its path; `*` stands for a name of the operator's, `[]` for each of a list.
pub(crate) const KEYS: &[&str] = &[
    "service.name",
    "service.version",
    "service.environment",
    "server.listen",
    "server.workers",
    "server.trusted_proxies",
    "server.max_connections",
    "server.path",
    "server.server_timing",
    "server.limits.header_timeout",
    "server.limits.idle_timeout",
    "server.limits.body_idle_timeout",
    "server.limits.min_body_rate",
    "server.limits.write_timeout",
    "server.limits.max_header_bytes",
    "server.limits.max_headers",
    "server.limits.max_uri_bytes",
    "server.limits.max_request_body",
    "server.tls.certificate_file",
    "server.tls.key_file",
    "server.tls.min_version",
    "server.tls.client_ca_file",
    "server.tls.redirect_from",
    "server.drain.delay",
    "server.drain.timeout",
    "admin.listen",
    "admin.token_file",
    "upstream.url",
    "upstream.host",
    "upstream.ca_file",
    "upstream.timeouts.connect",
    "upstream.timeouts.response_header",
    "upstream.timeouts.request",
    "upstream.timeouts.idle",
    "upstream.timeouts.stream_idle",
    "upstream.timeouts.stream_max",
    "upstream.timeouts.upgrade_idle",
    "upstream.pool.max_connections",
    "upstream.pool.queue_timeout",
    "upstream.pool.max_idle",
    "upstream.pool.idle_timeout",
    "upstream.retry.max_retries",
    "upstream.retry.budget",
    "upstream.health.path",
    "upstream.health.interval",
    "upstream.breaker.mode",
    "upstream.breaker.failures",
    "upstream.breaker.open_for",
    "request_id.header",
    "otlp.endpoint",
    "otlp.protocol",
    "otlp.headers.*",
    "otlp.compression",
    "otlp.timeout",
    "otlp.ca_file",
    "tracing.propagators",
    "tracing.trust",
    "tracing.sampling.ratio",
    "tracing.sampling.keep_errors",
    "tracing.sampling.keep_slow",
    "tracing.sampling.keep_status",
    "tracing.sampling.keep_per_second",
    "tracing.otlp.endpoint",
    "tracing.otlp.protocol",
    "tracing.otlp.headers.*",
    "tracing.otlp.compression",
    "tracing.otlp.timeout",
    "tracing.otlp.ca_file",
    "metrics.listen",
    "metrics.push",
    "metrics.interval",
    "metrics.max_series",
    "metrics.otlp.endpoint",
    "metrics.otlp.protocol",
    "metrics.otlp.headers.*",
    "metrics.otlp.compression",
    "metrics.otlp.timeout",
    "metrics.otlp.ca_file",
    "cache.headers",
    "log.level",
    "log.schema",
    "log.console",
    "log.directory",
    "log.request_start",
    "log.headers",
    "log.max_size",
    "log.max_files",
    "log.compress",
    "log.datadog.enabled",
    "log.datadog.api_key_file",
    "log.datadog.site",
    "log.datadog.url",
    "log.datadog.source",
    "log.datadog.tags",
    "log.otlp.endpoint",
    "log.otlp.protocol",
    "log.otlp.headers.*",
    "log.otlp.compression",
    "log.otlp.timeout",
    "log.otlp.ca_file",
    "spool.directory",
    "spool.max_size",
    "identity.source",
    "identity.telemetry_user",
    "identity.pseudonym_key_file",
    "identity.signing_key_file",
    "identity.tenant_header",
    "identity.tenant_path_param",
    "identity.tenant_body",
    "identity.user_claim",
    "identity.tenant_claim",
    "identity.jwt.jwks_url",
    "identity.jwt.jwks_file",
    "identity.jwt.public_key_file",
    "identity.jwt.secret_file",
    "identity.jwt.issuer",
    "identity.jwt.audience",
    "identity.jwt.algorithms",
    "identity.jwt.leeway",
    "identity.forward.*",
    "security.headers",
    "security.override.*",
    "security.remove_request_headers",
    "security.csrf_trusted_origins",
    "security.unmatched",
    "openapi.file",
    "route_defaults.identity",
    "route_defaults.csrf",
    "route_defaults.validation",
    "route_defaults.rate_limits",
    "route_defaults.rate_limit_mode",
    "routes[].name",
    "routes[].match",
    "routes[].action",
    "routes[].span",
    "routes[].audit",
    "routes[].identity",
    "routes[].csrf",
    "routes[].validation",
    "routes[].rate_limits",
    "routes[].rate_limit_mode",
    "routes[].captures",
    "routes[].max_request_body",
    "routes[].timeouts.response_header",
    "captures.*.from",
    "captures.*.take",
    "captures.*.values",
    "captures.*.metric",
    "inspect.max_body",
    "inspect.max_memory",
    "rate_limits.*.key",
    "rate_limits.*.rate",
    "rate_limits.*.burst",
    "rate_limits.*.mode",
    "rate_limits.*.max_keys",
    "rate_limits.*.cost",
    "rate_limits.*.reserve",
    "rate_limits.*.tier_claim",
    "rate_limits.*.tiers.*",
    "rate_limit_store.redis_url",
    "rate_limit_store.timeout",
    "rate_limit_store.replicas",
    "rate_limit_store.ca_file",
    "rate_limit_headers.form",
    "overload.max_in_flight",
    "overload.max_streams",
    "overload.queue_timeout",
    "overload.tenant_share",
    "audit.directory",
    "audit.mode",
    "audit.deadline",
    "sentry.dsn",
    "sentry.environment",
    "sentry.sample_rate",
    "sentry.disabled_environments",
    "errors.type_base",
    "errors.classify[].type",
    "errors.classify[].status",
    "errors.classify[].body",
    "genai.enabled",
    "alerts[].name",
    "alerts[].when",
    "alerts[].environments",
    "alerts[].notify",
];

/// Whether a value or a table of this path exists.
pub(crate) fn is_known(path: &str) -> bool {
    KEYS.iter().any(|known| below(known, path).is_some())
}

/// Adds a problem for each key that does not exist.
pub(crate) fn refuse_unknown(root: &Table, problems: &Problems) {
    walk(root, "", problems);
}

fn walk(table: &Table, path: &str, problems: &Problems) {
    let known = children(path);
    for (key, entry) in &table.0 {
        let Some(segment) = segment(&known, key) else {
            unknown::refuse(key, entry, path, &known, problems);
            continue;
        };
        let path = join(path, &segment);
        // A value of the wrong type is refused by whoever reads it.
        match &entry.node.value {
            Value::Table(table) if !children(&path).is_empty() => walk(table, &path, problems),
            Value::List(nodes) if segment.ends_with("[]") => {
                for node in nodes {
                    if let Value::Table(table) = &node.value {
                        walk(table, &path, problems);
                    }
                }
            }
            _ => {}
        }
    }
}

/// The segment that stands for this key in a table with these; none for one that does not exist.
pub(super) fn segment<'k>(known: &BTreeSet<&str>, key: &'k str) -> Option<Cow<'k, str>> {
    let list = format!("{key}[]");
    if known.contains("*") {
        Some("*".into())
    } else if known.contains(list.as_str()) {
        Some(list.into())
    } else {
        known.contains(key).then(|| key.into())
    }
}

/// The next segments below this path.
pub(super) fn children(path: &str) -> BTreeSet<&'static str> {
    KEYS.iter()
        .filter_map(|known| below(known, path))
        .filter_map(|rest| rest.split('.').next())
        .filter(|segment| !segment.is_empty())
        .collect()
}

/// What follows `path` in `known`; empty if they are the same.
pub(super) fn below<'k>(known: &'k str, path: &str) -> Option<&'k str> {
    if path.is_empty() {
        return Some(known);
    }
    let rest = known.strip_prefix(path)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('.') }
}

/// A path as an operator writes it.
pub(super) fn shown(path: &str) -> String {
    path.replace("[]", "").replace('*', "<name>")
}

/// The path of a segment below this path.
pub(super) fn join(path: &str, segment: &str) -> String {
    if path.is_empty() { segment.to_owned() } else { format!("{path}.{segment}") }
}

/// The candidate that was most likely meant, if one is near enough.
pub(crate) fn nearest<'c>(
    word: &str,
    candidates: impl Iterator<Item = &'c str>,
) -> Option<&'c str> {
    // A long word is somebody's text, not a typing error; the comparison is quadratic.
    if word.chars().count() > 64 {
        return None;
    }
    let allowed = (word.chars().count() / 3).max(1);
    candidates
        .map(|candidate| (distance(word, candidate.trim_end_matches("[]")), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, substitutions and swaps of neighbours between two words.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<_>, Vec<_>) = (left.chars().collect(), right.chars().collect());
    let mut rows = vec![vec![0; right.len() + 1]; left.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=left.len() {
        for j in 1..=right.len() {
            let same = usize::from(left[i - 1] != right[j - 1]);
            let mut best =
                (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(rows[i - 1][j - 1] + same);
            if i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[left.len()][right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_only_when_near() {
        let words = ["listen", "workers", "drain"];
        assert_eq!(nearest("lisetn", words.into_iter()), Some("listen"));
        assert_eq!(nearest("worker", words.into_iter()), Some("workers"));
        assert_eq!(nearest("timeout", words.into_iter()), None);
        assert_eq!(distance("ab", "ba"), 1);
        assert_eq!(distance("", "abc"), 3);
    }

    #[test]
    fn paths_of_tables_and_values_are_known() {
        assert!(is_known("server.limits"));
        assert!(is_known("captures.*.from"));
        assert!(!is_known("server.lim"));
    }
}
