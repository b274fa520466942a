//! How sources are laid over each other, and what each key becomes.

use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;

use super::model::{Capture, LimitKey, LogLevel, Place, Scheme, Take};
use super::*;

const UPSTREAM: &str = "[upstream]\nurl = \"http://127.0.0.1:3000\"\n";

fn sources(text: &str, env: &[(&str, &str)], flags: &[(&str, &str)]) -> Sources {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    Sources {
        file: Some(SourceFile { path: "sidecar.toml".to_owned(), text: text.to_owned() }),
        env: env.iter().map(owned).collect(),
        flags: flags.iter().map(owned).collect(),
    }
}

fn loaded(text: &str, env: &[(&str, &str)], flags: &[(&str, &str)]) -> Loaded {
    load(&sources(text, env, flags)).unwrap_or_else(|errors| panic!("{errors}"))
}

fn errors_of(text: &str, env: &[(&str, &str)], flags: &[(&str, &str)]) -> Errors {
    load(&sources(text, env, flags)).unwrap_err()
}

fn assert_says(errors: &Errors, words: &[&str]) {
    let text = errors.to_string();
    for word in words {
        assert!(text.contains(word), "`{word}` is missing in:\n{text}");
    }
}

fn config(text: &str, env: &[(&str, &str)]) -> Config {
    loaded(&format!("{UPSTREAM}{text}"), env, &[]).config
}

fn notices(env: &[(&str, &str)]) -> Vec<String> {
    loaded(UPSTREAM, env, &[]).notices.into_iter().map(|notice| notice.0).collect()
}

#[test]
fn two_lines_give_the_defaults() {
    let defaults = Config::for_upstream(SocketAddr::from(([127, 0, 0, 1], 3000)));
    let config = Config::from_toml(UPSTREAM).unwrap();
    assert_eq!(format!("{config:#?}"), format!("{defaults:#?}"));
}

#[test]
fn a_flag_needs_no_file() {
    let flags = vec![("upstream.url".to_owned(), "http://[::1]:4000/".to_owned())];
    let loaded = load(&Sources { flags, ..Sources::default() }).unwrap();
    assert_eq!(&*loaded.config.upstream.host, "::1");
    assert_eq!(loaded.config.upstream.port, 4000);
    assert_eq!(loaded.config.upstream.authority, "[::1]:4000");
}

#[test]
fn flags_beat_our_variables_beat_the_file_beats_the_apps_variables() {
    let file = format!("{UPSTREAM}[service]\nenvironment = \"file\"\n");
    let app = ("NODE_ENV", "app");
    let ours = ("VITAL_SIDECAR__SERVICE__ENVIRONMENT", "ours");
    let flag = ("service.environment", "flag");
    let environment =
        |text: &str, env: &[_], flags: &[_]| loaded(text, env, flags).config.service.environment;
    assert_eq!(environment(UPSTREAM, &[], &[]), "development");
    assert_eq!(environment(UPSTREAM, &[app], &[]), "app");
    assert_eq!(environment(&file, &[app], &[]), "file");
    assert_eq!(environment(&file, &[app, ours], &[]), "ours");
    assert_eq!(environment(&file, &[app, ours], &[flag]), "flag");
}

#[test]
fn empty_variables_count_as_unset() {
    let config = config("", &[("NODE_ENV", ""), ("OTEL_SERVICE_NAME", "")]);
    assert_eq!(config.service.environment, "development");
    assert_eq!(config.service.name, "vital-orchestrator");
}

#[test]
fn our_variables_reach_numbers_lists_and_named_tables() {
    let text = "[rate_limits.per-ip]\nkey = [\"ip\"]\nrate = \"60/min\"\n";
    let env = [
        ("VITAL_SIDECAR__SERVER__WORKERS", "3"),
        ("VITAL_SIDECAR__SERVER__TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.1"),
        ("VITAL_SIDECAR__TRACING__SAMPLING__RATIO", "0.25"),
        ("VITAL_SIDECAR__RATE_LIMITS__PER_IP__BURST", "7"),
        ("VITAL_SIDECAR__RATE_LIMITS__PER_IP__KEY", "ip,header:X-Tenant"),
    ];
    let config = config(text, &env);
    assert_eq!(config.server.workers, 3);
    assert_eq!(format!("{:?}", config.server.trusted_proxies), "[10.0.0.0/8, 192.0.2.1/32]");
    assert!((config.tracing.ratio - 0.25).abs() < f64::EPSILON);
    assert_eq!(config.rate_limits[0].burst.get(), 7);
    assert_eq!(config.rate_limits[0].key, [LimitKey::Ip, LimitKey::Header("x-tenant".into())]);
}

#[test]
fn open_telemetrys_variables_are_honoured() {
    let env = [
        ("OTEL_SERVICE_NAME", "named"),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "service.name=hidden,deployment.environment.name=lab,team=a%20b",
        ),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector:4318/base/"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20s3cret,x-a=b"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1500"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "none"),
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.5"),
    ];
    let config = config("", &env);
    assert_eq!(
        (config.service.name.as_str(), config.service.environment.as_str()),
        ("named", "lab")
    );
    assert_eq!(config.service.attributes, [("team".to_owned(), "a b".to_owned())]);
    let traces = config.otlp.traces.as_ref().unwrap();
    assert_eq!(traces.url, "https://collector:4318/base/v1/traces");
    assert!(traces.is_configured && !traces.compress);
    assert_eq!(traces.headers[0].0, "authorization");
    assert_eq!(traces.headers[0].1.reveal(), "Bearer s3cret");
    assert_eq!(traces.timeout, Duration::from_millis(1500));
    assert!((config.tracing.ratio - 0.5).abs() < f64::EPSILON);
    assert!(!format!("{config:?}").contains("s3cret"));
}

#[test]
fn a_tenth_of_the_traces_is_kept_in_production_only() {
    let ratio = |text: &str, env: &[_]| config(text, env).tracing.ratio;
    assert!((ratio("", &[]) - 1.0).abs() < f64::EPSILON);
    assert!((ratio("", &[("NODE_ENV", "production")]) - 0.1).abs() < f64::EPSILON);
    let set = "[tracing.sampling]\nratio = 1\n";
    assert!((ratio(set, &[("NODE_ENV", "production")]) - 1.0).abs() < f64::EPSILON);
}

#[test]
fn sentry_needs_a_dsn_and_an_environment_that_is_not_disabled() {
    let dsn = ("SENTRY_DSN", "https://abc@errors.example/42");
    assert!(config("", &[("NODE_ENV", "production")]).sentry.is_none());
    assert!(config("", &[dsn]).sentry.is_none());
    assert!(notices(&[dsn])[0].starts_with("Sentry is off"));
    let sentry = config("", &[dsn, ("NODE_ENV", "production")]).sentry.unwrap();
    assert_eq!(sentry.environment, "production");
    assert_eq!(sentry.release, "vital-orchestrator@1.0.0");
    assert_eq!(sentry.dsn.reveal(), dsn.1);
    let own = config("[sentry]\nenvironment = \"staging\"\n", &[dsn]).sentry.unwrap();
    assert_eq!(own.environment, "staging");
    assert!(config("[sentry]\ndisabled_environments = []\n", &[dsn]).sentry.is_some());
}

#[test]
fn zero_turns_a_deadline_off() {
    let timeouts = config("[upstream.timeouts]\nresponse_header = \"0s\"\nrequest = \"2m\"\n", &[]);
    assert_eq!(timeouts.upstream.timeouts.response_header, None);
    assert_eq!(timeouts.upstream.timeouts.request, Some(Duration::from_mins(2)));
}

#[test]
fn an_upstream_may_have_a_name_and_no_port() {
    let upstream = Config::from_toml("upstream.url = \"http://app.internal\"").unwrap().upstream;
    assert_eq!((&*upstream.host, upstream.port), ("app.internal", 80));
    assert_eq!(upstream.authority, "app.internal");
}

#[test]
fn an_upstream_is_what_its_scheme_says() {
    let upstream =
        |url: &str| Config::from_toml(&format!("upstream.url = \"{url}\"")).unwrap().upstream;
    let tls = upstream("https://app.internal");
    assert_eq!((tls.scheme, tls.port, tls.shown().as_str()), (Scheme::Https, 443, "app.internal"));
    assert_eq!(tls.shown_url(), "https://app.internal");
    let h2c = upstream("h2c://[::1]:50051");
    assert_eq!((h2c.scheme, &*h2c.host, h2c.port), (Scheme::H2c, "::1", 50051));
    for url in ["unix:/run/app.sock", "unix:///run/app.sock"] {
        let unix = upstream(url);
        assert_eq!(
            (unix.scheme, unix.port, unix.authority.as_str()),
            (Scheme::Http, 0, "localhost")
        );
        assert_eq!(unix.socket.as_deref(), Some("/run/app.sock".as_ref()));
        assert_eq!(unix.shown(), "unix:/run/app.sock");
        assert_eq!(unix.shown_url(), "unix:/run/app.sock");
    }
}

#[test]
fn variables_are_expanded_in_the_files_strings() {
    let text = "[log]\nlevel = \"${LEVEL:-warn}\"\ndirectory = \"${LOGS}/a\"\n";
    let config = config(text, &[("LOGS", "/var/log")]);
    assert_eq!(config.log.level, LogLevel::Warn);
    assert_eq!(config.log.directory.as_deref(), Some("/var/log/a".as_ref()));
}

#[test]
fn routes_and_captures_become_what_they_say() {
    let text = r#"
        [[routes]]
        match = "POST /api/orchestrate"
        span = "orchestration.execute"
        captures = ["mode", "length"]
        timeouts = { response_header = "1m" }
        [captures.mode]
        from = "request.body:/mode"
        values = ["a", "b"]
        metric = true
        [captures.length]
        from = "request.body:/query"
        take = "length"
        [captures.tokens]
        from = "response.body:/usage/total"
        take = "number"
        [captures.user]
        from = "path:id"
        take = "hmac"
        [captures.variant]
        from = "response.header:X-Version"
        values = ["1"]
    "#;
    let config = config(text, &[]);
    let route = &config.routes[0];
    assert_eq!(&*route.name, "POST /api/orchestrate");
    assert_eq!(route.method, Some(http::Method::POST));
    assert_eq!(&*route.template, "/api/orchestrate");
    assert_eq!(route.response_header, Some(Duration::from_mins(1)));
    assert_eq!(config.captures[0].take, Take::Length);
    assert_eq!(config.captures[1].take, Take::Value(vec!["a".into(), "b".into()]));
    assert!(config.captures[1].metric);
    assert_eq!(config.captures[1].place, Place::RequestBody("/mode".into()));
    let tokens = &config.captures[2];
    assert_eq!(tokens.place, Place::ResponseBody("/usage/total".into()));
    assert_eq!(tokens.take, Take::Number);
    let user = &config.captures[3];
    assert_eq!((&user.place, &user.take), (&Place::Path("id".into()), &Take::Hmac));
    assert_eq!(config.captures[4].place, Place::ResponseHeader("x-version".into()));
    let is_early = |capture: &Capture| capture.place.is_of_the_request();
    assert_eq!(config.captures.iter().filter(|capture| is_early(capture)).count(), 3);
}

#[test]
fn a_secrets_file_gives_its_line_and_never_prints() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    std::fs::write(&path, "t0ken\n").unwrap();
    let config = config(&format!("[admin]\ntoken_file = \"{}\"\n", path.display()), &[]);
    assert_eq!(config.admin.token.as_ref().unwrap().reveal(), "t0ken");
    assert!(!format!("{config:?}").contains("t0ken"));
}

#[test]
fn an_error_in_the_environment_names_the_variable() {
    let upstream = "[upstream]\nurl = \"http://127.0.0.1:3000\"\n";
    let cases = [
        ("VITAL_SIDECAR__SERVER__LISTEN", "here", "`server.listen` is not an address"),
        ("VITAL_SIDECAR__SERVER__WORKERS", "many", "expected a whole number"),
        ("VITAL_SIDECAR__SERVER__LISTNE", "x", "did you mean `listen`?"),
        ("VITAL_SIDECAR__LOG__LEVEL", "inof", "did you mean \"info\"?"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector", "`otlp.endpoint` is not a usable URL"),
        ("OTEL_RESOURCE_ATTRIBUTES", "team", "expected `key=value` pairs"),
        ("SENTRY_DSN", "hidden", "`sentry.dsn` is not a Sentry DSN"),
    ];
    for (name, value, words) in cases {
        let errors = errors_of(upstream, &[(name, value)], &[]);
        assert_eq!(errors.count(), 1, "{errors}");
        assert_says(&errors, &[words, name]);
    }
    let text = "[upstream]\nurl = \"http://127.0.0.1:3000\"\n[[routes]]\nmatch = \"GET /\"\n";
    let errors = errors_of(text, &[("VITAL_SIDECAR__ROUTES__0__MATCH", "GET /a")], &[]);
    assert_says(
        &errors,
        &["`VITAL_SIDECAR__ROUTES__0__MATCH` names no key that a variable can set"],
    );
}

#[test]
fn an_error_in_a_flag_names_its_key() {
    let errors = errors_of("", &[], &[("upstream.url", "nowhere")]);
    assert_says(
        &errors,
        &["`upstream.url` is not a usable URL", "set by the flag for `upstream.url`"],
    );
}

#[test]
fn no_error_quotes_a_secret() {
    let cases = [
        "[sentry]\ndsn = \"https://hunter2\"",
        "[sentry]\ndsn = [\"hunter2\"]",
        "[sentry]\ndsn = \"hunter2",
        "[otlp]\nheaders = \"authorization=hunter2\"",
        "[otlp.headers]\nauthorization = [\"hunter2\"]",
        "[otlp.headers]\nauthorization = \"hunter2\\u0007\"",
        "[otlp.headers]\n\"a b\" = \"hunter2\"",
        "[admin]\ntoken = \"hunter2\"",
        "[admin]\ntoken = { value = \"hunter2\" }",
        "[upstream]\nurl = \"http://user:hunter2@127.0.0.1\"",
        "[otlp]\nendpoint = \"http://user:hunter2@127.0.0.1\"",
        "[log]\nlevel = \"${HIDDEN}\"",
    ];
    for text in cases {
        let errors = errors_of(text, &[("HIDDEN", "hunter2")], &[]);
        assert!(!format!("{errors}{errors:?}").contains("hunter2"), "{errors}\n{errors:?}");
    }
    let env =
        [("SENTRY_DSN", "hunter2"), ("OTEL_EXPORTER_OTLP_HEADERS", "a b=hunter2,c=hunter2%07")];
    let errors = errors_of("", &env, &[]);
    assert!(!format!("{errors}{errors:?}").contains("hunter2"), "{errors}");
}

/// Whether a result is valid, or renders in both forms and counts what it renders.
fn is_told<T>(result: Result<T, Errors>) -> bool {
    let Err(errors) = result else { return true };
    let plain = errors.to_string();
    let titles = plain.lines().filter(|line| line.starts_with("error")).count();
    titles > errors.count().min(20) && errors.render(true).contains('\u{1b}')
}

proptest! {
    #[test]
    fn no_text_makes_load_panic(text in "\\PC*|[\\[\\]a-z.=\"{}\\n$ 0-9-]{0,80}") {
        prop_assert!(is_told(Config::from_toml(&text)));
    }

    #[test]
    fn no_value_makes_load_panic(
        key in proptest::sample::select(keys::KEYS),
        value in "\"\\PC*\"|-?[0-9]{1,25}|[0-9]{1,4}\\.[0-9]{1,4}|\\[\"[a-z]*\"\\]|true|\\{\\}",
    ) {
        let key = key.replace("[]", "").replace('*', "x");
        let text = format!("{key} = {value}");
        prop_assert!(is_told(Config::from_toml(&text)));
    }

    #[test]
    fn no_variable_makes_load_panic(name in "(VITAL_SIDECAR__|OTEL_)[A-Z_]{0,30}", value in "\\PC*") {
        let sources = sources(UPSTREAM, &[(name.as_str(), value.as_str())], &[]);
        prop_assert!(is_told(load(&sources)));
    }
}
