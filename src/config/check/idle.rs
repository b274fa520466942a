//! Settings that are valid and do nothing, because another one that they need is not there.
//!
//! Each is a notice: whoever wrote it believes that it works. Nothing is refused here.

use super::identity;
use crate::config::env::Outside;
use crate::config::model::IdentitySource;
use crate::config::section::Section;
use crate::config::{Config, defaults};
use crate::record::ConfigName;

/// Looks at the whole configuration.
pub(super) fn note(root: &Section<'_>, config: &Config, outside: &mut Outside) {
    let (push, to) = (config.metrics.push, config.otlp.metrics.is_some());
    if push && !to {
        outside.note("`metrics.push` does nothing: the endpoint of metrics is \"\".".to_owned());
    }
    if to && !push && root.section("metrics").has("otlp") {
        outside.note("`metrics.otlp` does nothing without `metrics.push = true`.".to_owned());
    }
    let ships_logs = config.otlp.logs.is_some() || config.datadog.is_some();
    let ships = config.otlp.traces.is_some() || (push && to) || ships_logs;
    if config.spool.directory.is_some() && !ships {
        outside.note("`spool.directory` does nothing: nothing is pushed anywhere.".to_owned());
    }
    let mut captured = config.routes.iter().flat_map(|route| &route.captures);
    if config.genai && !captured.any(|name| name.starts_with("gen_ai.")) {
        let none = "no route captures a fact of the conventions (docs/streams.md)";
        outside.note(format!("`genai.enabled` does nothing: {none}."));
    }
    for notice in identity::notices(root, config) {
        outside.note(notice);
    }
    unnamed(config, outside);
    if asks_for_audit(root, config) && config.routes.iter().all(|route| route.audit.is_none()) {
        let none = "no route names an event, such as `audit = \"DATA_ACCESS\"`";
        outside.note(format!("`audit` does nothing: {none}."));
    }
    let has_identities = !matches!(config.identity.source, IdentitySource::None);
    if let Some(limit) = config.rate_limits.iter().find(|limit| limit.needs_caller())
        && !has_identities
    {
        let none = "`identity.source` is \"none\"";
        outside.note(format!("The limit `{}` knows nobody but by address: {none}.", limit.name));
    }
}

/// Limits and captures that no route names. What matches no route has the limits of `[route_defaults]`.
fn unnamed(config: &Config, outside: &mut Outside) {
    let of_routes = || config.routes.iter().flat_map(|route| &route.rate_limits);
    let is_asked = |name: &ConfigName| {
        config.default_rate_limits.contains(name) || of_routes().any(|named| named == name)
    };
    let limits = config.rate_limits.iter().map(|limit| &limit.name);
    if let Some((first, others)) = counted(limits.filter(|name| !is_asked(name))) {
        let no_route = "neither a route nor `route_defaults`";
        let (limits, names) = verbs(&others, ["limits", "limit"]);
        outside.note(format!("The limit `{first}`{others} {limits} nobody: {no_route} {names}."));
    }
    let is_taken =
        |name: &ConfigName| config.routes.iter().any(|route| route.captures.contains(name));
    let captures = config.captures.iter().map(|capture| &capture.name);
    if let Some((first, others)) = counted(captures.filter(|name| !is_taken(name))) {
        let (takes, names) = verbs(&others, ["takes", "take"]);
        outside.note(format!("The capture `{first}`{others} {takes} nothing: no route {names}."));
    }
}

/// What one or several do, and that they are named.
fn verbs(others: &str, [one, several]: [&'static str; 2]) -> (&'static str, &'static str) {
    if others.is_empty() { (one, "names it") } else { (several, "names them") }
}

/// The first of some names, and how many more there are.
fn counted<'n>(
    mut names: impl Iterator<Item = &'n ConfigName>,
) -> Option<(&'n ConfigName, String)> {
    let first = names.next()?;
    Some((
        first,
        match names.count() {
            0 => String::new(),
            more => format!(" and {more} more"),
        },
    ))
}

/// Whether `[audit]` was written for more than to name all its defaults, as the reference does.
fn asks_for_audit(root: &Section<'_>, config: &Config) -> bool {
    let section = root.section("audit");
    let written = ["directory", "mode", "deadline"].map(|key| section.has(key));
    let is_reference = written == [true; 3] && config.audit == defaults::audit();
    root.has("audit") && !is_reference
}

#[cfg(test)]
mod tests {
    use crate::config::{SourceFile, Sources, load};

    fn notices(text: &str) -> Vec<String> {
        let text = format!("upstream.url = \"http://127.0.0.1:3000\"\n{text}");
        let file = SourceFile { path: "sidecar.toml".to_owned(), text };
        let sources = Sources { file: Some(file), ..Sources::default() };
        let loaded = load(&sources).unwrap_or_else(|errors| panic!("{errors}"));
        loaded.notices.into_iter().map(|notice| notice.0).collect()
    }

    #[test]
    fn what_does_nothing_is_told_and_what_works_is_not() {
        let told = [
            ("otlp.endpoint = \"\"\nmetrics.push = true\n", "`metrics.push` does nothing"),
            ("[metrics.otlp]\ncompression = \"gzip\"\n", "`metrics.otlp` does nothing"),
            ("otlp.endpoint = \"\"\nspool.directory = \"spool\"\n", "`spool.directory` does"),
            (
                "routes = [{ name = \"a\", match = \"GET /a\", audit = \"DATA_ACCESS\" }]\n",
                "The route `a` is audited without users",
            ),
            (
                "routes = [{ name = \"a\", match = \"GET /a\", audit = \"DATA_ACCESS\" }, \
                 { name = \"b\", match = \"GET /b\", audit = \"DATA_ACCESS\" }]\n",
                "The route `a` and 1 more are audited without users",
            ),
            (
                "rate_limits.a = { key = [\"ip\"], rate = \"1/s\" }\n",
                "The limit `a` limits nobody: neither a route nor",
            ),
            (
                "route_defaults.rate_limits = [\"c\"]\n\
                 rate_limits.a = { key = [\"ip\"], rate = \"1/s\" }\n\
                 rate_limits.b = { key = [\"ip\"], rate = \"1/s\" }\n\
                 rate_limits.c = { key = [\"ip\"], rate = \"1/s\" }\n",
                "The limit `a` and 1 more limit nobody",
            ),
            (
                "captures.a = { from = \"request.body:/a\", take = \"length\" }\n",
                "The capture `a` takes nothing: no route names it.",
            ),
            ("audit.directory = \"trail\"\n", "`audit` does nothing: no route names an event"),
            ("[audit]\nmode = \"strict\"\n", "`audit` does nothing"),
            ("log.directory = \"~/logs\"\n", "`log.directory` is taken as it is written: `~`"),
            ("service.name = \"$NAME\"\n", "`service.name` is taken as it is written: a variable"),
            ("genai.enabled = true\n", "`genai.enabled` does nothing"),
            ("identity.jwt.issuer = \"https://a.example\"\n", "`identity.jwt` does nothing"),
            ("identity.jwt.jwks_url = \"https://a.example\"\n", "`identity.jwt` does nothing"),
            (
                "route_defaults.rate_limits = [\"a\"]\n\
                 rate_limits.a = { key = [\"user\"], rate = \"1/s\" }\n",
                "The limit `a` knows nobody",
            ),
        ];
        for (text, beginning) in told {
            let said = notices(text);
            assert!(said.len() == 1 && said[0].starts_with(beginning), "{said:?}");
        }
        let works = "spool.directory = \"spool\"\n[metrics]\npush = true\notlp.timeout = \"1s\"\n";
        assert_eq!(notices(works), [""; 0]);
        assert_eq!(notices("[identity.jwt]\nissuer = \"\"\nleeway = \"30s\"\n"), [""; 0]);
        let reference = "[audit]\ndirectory = \"audit\"\nmode = \"strict\"\ndeadline = \"250ms\"\n";
        assert_eq!(notices(reference), [""; 0], "as the reference has it");
        let named = "[captures.a]\nfrom = \"request.body:/a\"\ntake = \"length\"\n\
                     [rate_limits.a]\nkey = [\"ip\"]\nrate = \"1/s\"\n[[routes]]\n\
                     match = \"GET /a\"\ncaptures = [\"a\"]\nrate_limits = [\"a\"]\n";
        assert_eq!(notices(named), [""; 0]);
        assert_eq!(notices("[metrics.otlp]\nendpoint = \"\"\n"), [""; 0]);
    }

    #[test]
    fn a_spool_for_the_log_alone_does_something() {
        let spool = "otlp.endpoint = \"\"\nspool.directory = \"spool\"\n";
        let collector = "[log.otlp]\nendpoint = \"http://127.0.0.1:4318/v1/logs\"\n";
        assert_eq!(notices(&format!("{spool}{collector}")), [""; 0]);
        let directory = tempfile::tempdir().unwrap();
        let key = directory.path().join("key");
        std::fs::write(&key, "hidden").unwrap();
        let key = key.display();
        let datadog = format!("[log.datadog]\nenabled = true\napi_key_file = \"{key}\"\n");
        assert_eq!(notices(&format!("{spool}{datadog}")), [""; 0]);
    }
}
