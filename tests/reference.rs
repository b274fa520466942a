//! The files under `config/` are valid, and `sidecar.toml` names every key at its default.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use vital_sidecar::cli::check;
use vital_sidecar::config::model::{IdentitySource, Need};
use vital_sidecar::config::{Config, SourceFile, Sources, keys, live_keys, load};

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("config").join(name)
}

fn text(name: &str) -> String {
    match std::fs::read_to_string(file(name)) {
        Ok(text) => text,
        Err(error) => panic!("reading {name}: {error}"),
    }
}

/// The reference with its examples switched on: lines that begin with `#` and no space.
fn with_examples() -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(example) if !example.starts_with(' ') && !example.is_empty() => example.to_owned(),
        _ => line.to_owned(),
    };
    text("sidecar.toml").lines().map(|text| line(text) + "\n").collect()
}

#[test]
fn every_file_under_config_passes_check() {
    for name in ["sidecar.toml", "minimal.toml", "production.toml"] {
        let verdict = check::verdict(Some(&file(name)), BTreeMap::new(), Vec::new(), false);
        let (summary, _) = verdict.unwrap_or_else(|errors| panic!("{errors}"));
        assert!(summary.starts_with("The configuration is valid.\n"), "{summary}");
    }
}

#[test]
fn the_reference_holds_every_default() {
    let config = Config::from_toml(&text("sidecar.toml")).unwrap();
    let defaults = Config::for_upstream(SocketAddr::from(([127, 0, 0, 1], 3000)));
    assert_eq!(format!("{config:#?}"), format!("{defaults:#?}"));
}

/// The one default that cannot be written down: who writes it has asked for it.
#[test]
fn the_reference_shows_the_default_collector_and_asks_for_none() {
    let with = |text: &str| Config::from_toml(text).unwrap_or_else(|errors| panic!("{errors}"));
    let line = "#endpoint = \"http://localhost:4318\" ";
    let text = text("sidecar.toml");
    assert!(text.contains(line));
    let (silent, asked) = (with(&text).otlp, with(&text.replace(line, &line[1..])).otlp);
    let [silent_traces, traces] = [silent.traces, asked.traces].map(Option::unwrap);
    assert_eq!(silent_traces.place(), traces.place());
    assert!(!silent_traces.is_configured && traces.is_configured);
    assert!(silent.logs.is_none() && asked.logs.is_some());
}

#[test]
fn the_alerts_of_the_reference_tell_whom_those_of_nobody_would_tell() {
    let env: BTreeMap<_, _> =
        [("ALERT_WEBHOOK".to_owned(), "https://hooks.example/x".to_owned())].into();
    let file = SourceFile { path: "sidecar.toml".to_owned(), text: text("sidecar.toml") };
    let told = |file| {
        let sources = Sources { file: Some(file), env: env.clone(), flags: Vec::new() };
        let loaded = load(&sources).unwrap_or_else(|errors| panic!("{errors}"));
        let alerts = loaded.config.alerts.into_iter();
        alerts.map(|alert| (alert.name, alert.notify)).collect::<Vec<_>>()
    };
    let text = "upstream.url = \"http://127.0.0.1:3000\"".to_owned();
    assert_eq!(told(file), told(SourceFile { path: "two.toml".to_owned(), text }));
}

#[test]
fn the_examples_of_the_reference_are_valid() {
    let config = Config::from_toml(&with_examples()).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!((config.routes.len(), config.captures.len(), config.rate_limits.len()), (1, 1, 1));
}

#[test]
fn the_reference_names_every_key() {
    let document: toml::Table = toml::from_str(&with_examples()).unwrap();
    for key in keys() {
        let mut value = Some(&toml::Value::Table(document.clone())).cloned();
        for segment in key.split('.') {
            value = value.and_then(|value| match segment.strip_suffix("[]") {
                _ if segment == "*" => {
                    value.as_table().and_then(|table| table.values().next()).cloned()
                }
                Some(list) => value.get(list).and_then(|list| list.get(0)).cloned(),
                None => value.get(segment).cloned(),
            });
        }
        assert!(value.is_some(), "config/sidecar.toml does not name `{key}`");
    }
}

#[test]
fn the_documentation_names_every_key_that_can_change_live() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, text) = text.split_once("\n## Reload\n").unwrap();
    for key in live_keys() {
        assert!(text.contains(&format!("`{key}`")), "docs/configuration.md does not name `{key}`");
    }
}

#[test]
fn production_audits_the_api_and_captures_the_mode() {
    let config = Config::from_toml(&text("production.toml")).unwrap();
    let route = &config.routes[0];
    assert_eq!(&*route.template, "/api/orchestrate");
    assert_eq!(route.span.as_deref(), Some("orchestration.execute"));
    assert_eq!(route.audit.as_deref(), Some("ORCHESTRATION_REQUEST"));
    assert_eq!(route.captures.len(), 2);
    assert!(
        config.routes.iter().all(|route| route.audit.is_some() && !route.rate_limits.is_empty())
    );
    assert_eq!(config.log.directory.as_deref(), Some("logs".as_ref()));
    assert!((config.tracing.ratio - 0.1).abs() < f64::EPSILON);
}

#[test]
fn production_keeps_its_spans_through_an_outage_of_a_collector_that_it_names() {
    let config = Config::from_toml(&text("production.toml")).unwrap();
    assert!(config.spool.directory.is_some());
    assert!(config.otlp.traces.is_some_and(|target| target.is_configured));
}

/// Whoever has an issuer takes the `#` away from these lines and names it in the environment.
#[test]
fn production_requires_a_caller_once_its_identity_is_switched_on() {
    let keys = ["[identity", "source", "jwks_url", "issuer", "audience", "identity"];
    let line = |line: &str| match line.strip_prefix('#') {
        Some(key) if keys.iter().any(|start| key.starts_with(start)) => key.to_owned() + "\n",
        _ => line.to_owned() + "\n",
    };
    let switched: String = text("production.toml").lines().map(line).collect();
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("sidecar.toml");
    std::fs::write(&path, &switched).unwrap();
    let env = [
        ("JWKS_URL", "https://issuer.example/jwks.json"),
        ("JWT_ISSUER", "https://issuer.example"),
        ("JWT_AUDIENCE", "orchestrator"),
    ];
    let env: BTreeMap<_, _> =
        env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let (summary, notes) = check::verdict(Some(&path), env.clone(), Vec::new(), false)
        .unwrap_or_else(|errors| panic!("{errors}"));
    assert!(summary.starts_with("The configuration is valid.\n"), "{summary}");
    assert!(!notes.contains("limits nobody"), "a flood of bad tokens meets a limit: {notes}");

    let filled = env
        .iter()
        .fold(switched, |text, (name, value)| text.replace(&format!("${{{name}}}"), value));
    let config = Config::from_toml(&filled).unwrap_or_else(|errors| panic!("{errors}"));
    assert!(matches!(config.identity.source, IdentitySource::Jwt(_)));
    let open = config.routes.iter().filter(|route| route.gates.identity != Need::Required);
    let open: Vec<_> = open.map(|route| &*route.name).collect();
    assert_eq!(open, ["login", "logout"]);
}

#[test]
fn check_shows_where_everything_goes() {
    let push = ("VITAL_SIDECAR__METRICS__PUSH".to_owned(), "true".to_owned());
    let env = BTreeMap::from([push]);
    let (summary, _) =
        check::verdict(Some(&file("production.toml")), env, Vec::new(), false).unwrap();
    for line in [
        "  spans     http://localhost:4318/v1/traces\n",
        "  metrics   http://localhost:4318/v1/metrics, every 60s\n",
        "  spool     spool\n",
    ] {
        assert!(summary.contains(line), "{summary}");
    }
}

#[test]
fn check_shows_who_hears_of_what() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("sidecar.toml");
    let shown = |text: &str| {
        std::fs::write(&path, format!("upstream.url = \"http://127.0.0.1:3000\"\n{text}")).unwrap();
        let verdict = check::verdict(Some(&path), BTreeMap::new(), Vec::new(), false);
        verdict.unwrap_or_else(|errors| panic!("{errors}")).0
    };
    let usual = shown("");
    for line in [
        "  policy    0 routes (0 audited), 0 rate limits, 0 captures\n",
        "  log       console, from info on, as winston\n",
    ] {
        assert!(usual.contains(line), "{usual}");
    }
    assert!(usual.contains("  csrf      shadow\n") && !usual.contains("errors"), "{usual}");

    let summary = shown(
        "log = { console = \"json\", schema = \"ecs\", directory = \"logs\", level = \"warn\" }\n\
         otlp.endpoint = \"http://127.0.0.1:4318\"\n",
    );
    let line = "  log       console (JSON), files in logs, http://127.0.0.1:4318/v1/logs, \
                from warn on, as ecs\n";
    assert!(summary.contains(line), "{summary}");

    let summary = shown(
        "route_defaults.csrf = \"shadow\"\n\
         rate_limits.a = { key = [\"ip\"], rate = \"1/s\" }\n\
         routes = [{ match = \"POST /a\", csrf = \"enforce\" }]\n\
         errors.classify = [{ type = \"a\", body = \"b\" }]\n\
         alerts = [{ name = \"a\", when = \"errors > 1/min\", \
         notify = [\"log\", \"sentry\", \"webhook:https://a.example/secret\"] },\n\
         { name = \"b\", when = \"errors > 1/min\", environments = [\"elsewhere\"] }]\n",
    );
    for line in [
        "  policy    1 route (0 audited), 1 rate limit, 0 captures\n",
        "  csrf      shadow; enforce on 1 route\n",
        "  errors    1 class, bodies are read: every route asks for `accept-encoding: identity`\n",
        "  alerts    1 (log, webhook)\n",
    ] {
        assert!(summary.contains(line), "{summary}");
    }
    assert!(!summary.contains("secret"), "{summary}");
}

#[test]
fn check_tells_of_a_file_that_cannot_be_read() {
    let path = PathBuf::from("/does/not/exist.toml");
    let errors = check::verdict(Some(&path), BTreeMap::new(), Vec::new(), false).unwrap_err();
    assert!(errors.contains("`/does/not/exist.toml` cannot be read: No such file"), "{errors}");
}

#[test]
fn check_exits_with_78_or_0() {
    use std::process::ExitCode;
    let invalid = check::run(Some(&file("missing.toml")), BTreeMap::new(), Vec::new());
    assert_eq!(format!("{invalid:?}"), format!("{:?}", ExitCode::from(78)));
    let valid = check::run(Some(&file("minimal.toml")), BTreeMap::new(), Vec::new());
    assert_eq!(format!("{valid:?}"), format!("{:?}", ExitCode::SUCCESS));
}
