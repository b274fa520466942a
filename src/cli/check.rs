//! `check`: whether a configuration is valid, without starting anything.
//!
//! Promises: every error at once, none of a secret's value; exit code 78 (`EX_CONFIG`) when invalid.
//! It does not try whether ports are free or the upstream answers.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use super::source;
use crate::config::model::{Console, IdentitySource, Mode, OtlpProtocol, OtlpTarget, Schema};
use crate::config::{self, Config, Loaded};

/// The exit code of an invalid configuration (`EX_CONFIG` of sysexits).
pub const INVALID: u8 = 78;

/// Checks the file and what is laid over it: a summary on stdout and 0, or all errors on stderr and
/// 78.
pub fn run(
    path: Option<&Path>,
    env: BTreeMap<String, String>,
    flags: Vec<(String, String)>,
) -> ExitCode {
    // https://no-color.org: any value that is not empty.
    let colour = io::stderr().is_terminal() && env.get("NO_COLOR").is_none_or(String::is_empty);
    let (code, out, err) = match verdict(path, env, flags, colour) {
        Ok((summary, notices)) => (ExitCode::SUCCESS, summary, notices),
        Err(errors) => (ExitCode::from(INVALID), String::new(), errors),
    };
    // A closed pipe changes nothing about the verdict.
    drop(io::stderr().write_all(err.as_bytes()));
    drop(io::stdout().write_all(out.as_bytes()));
    code
}

/// The texts that [`run`] prints: summary and notices, or the errors.
pub fn verdict(
    path: Option<&Path>,
    env: BTreeMap<String, String>,
    flags: Vec<(String, String)>,
    colour: bool,
) -> Result<(String, String), String> {
    let sources = source::gather(path, env, flags).map_err(|error| format!("error: {error}\n"))?;
    let Loaded { config, notices, .. } =
        config::load(&sources).map_err(|errors| format!("{}\n", errors.render(colour)))?;
    let noted: Vec<_> = notices.iter().map(|notice| format!("note: {notice}\n")).collect();
    Ok((summary(&config), noted.concat()))
}

fn summary(config: &Config) -> String {
    let audited = config.routes.iter().filter(|route| route.audit.is_some()).count();
    let service = &config.service;
    let metrics = match config.metrics_listen {
        Some(listen) => format!(", metrics on {listen}"),
        None => String::new(),
    };
    let tls = if config.server.tls.is_some() { " (TLS)" } else { "" };
    let spool = match &config.spool.directory {
        Some(directory) => format!("  spool     {}\n", directory.display()),
        None => String::new(),
    };
    format!(
        "The configuration is valid.\n\
         \x20 service   {} {} ({})\n\
         \x20 traffic   {}{tls} -> {}\n\
         \x20 admin     {}{metrics}\n\
         \x20 policy    {} ({audited} audited), {}, {}\n\
         {}\x20 spans     {}\n{}{}{spool}",
        service.name,
        service.version,
        service.environment,
        config.server.listen,
        config.upstream.shown_url(),
        config.admin.listen,
        counted(config.routes.len(), "route"),
        counted(config.rate_limits.len(), "rate limit"),
        counted(config.captures.len(), "capture"),
        gates(config),
        place(config.otlp.traces.as_ref()),
        pushed(config),
        voices(config),
    )
}

/// So many of something: `1 route`, `2 routes`.
fn counted(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// Whom and what requests are judged by, besides routes: one line for each that is on.
fn gates(config: &Config) -> String {
    let mut lines = Vec::new();
    let mut line = |name: &str, what: &str| lines.push(format!("  {name:<9} {what}\n"));
    let source = &config.identity.source;
    let signed = config.identity.signing_key.as_ref().map_or("", |_| ", x-identity is signed");
    match source {
        IdentitySource::None => {}
        IdentitySource::Jwt(jwt) => line("identity", &format!("jwt ({}){signed}", jwt.keys.key())),
        source => line("identity", &format!("{}{signed}", source.as_str())),
    }
    if let Some(modes) = csrf(config) {
        line("csrf", &modes);
    }
    if let Some(document) = &config.openapi {
        line("openapi", &counted(document.paths().len(), "path"));
    }
    if let Some(url) = &config.rate_limit_store.url {
        line("store", &url.to_string());
    }
    lines.concat()
}

/// How requests that a browser sent for another site are taken, and which routes differ.
fn csrf(config: &Config) -> Option<String> {
    let usual = config.default_gates.csrf;
    let routes = |mode: Mode| config.routes.iter().filter(|route| route.gates.csrf == mode).count();
    let others: Vec<_> = [Mode::Enforce, Mode::Shadow, Mode::Off]
        .into_iter()
        .filter(|mode| *mode != usual && routes(*mode) > 0)
        .map(|mode| format!("; {} on {}", mode.as_str(), counted(routes(mode), "route")))
        .collect();
    let is_on = usual != Mode::Off || !others.is_empty();
    is_on.then(|| format!("{}{}", usual.as_str(), others.concat()))
}

/// Where the log goes, what errors are called, and who is told of too many: one line for each.
fn voices(config: &Config) -> String {
    let mut lines = vec![format!("  log       {}\n", logged(config))];
    let classes = &config.error_classes;
    if !classes.is_empty() {
        let plural = if classes.len() == 1 { "" } else { "es" };
        let by_body = if classes.iter().any(|class| class.body.is_some()) {
            ", bodies are read: every route asks for `accept-encoding: identity`"
        } else {
            ""
        };
        lines.push(format!("  errors    {} class{plural}{by_body}\n", classes.len()));
    }
    let environment = &config.service.environment;
    let alerts: Vec<_> = config.alerts.iter().filter(|alert| alert.is_for(environment)).collect();
    if !alerts.is_empty() {
        let told = [
            ("log", alerts.iter().any(|alert| alert.notify.log)),
            ("sentry", config.sentry.is_some() && alerts.iter().any(|alert| alert.notify.sentry)),
            ("webhook", alerts.iter().any(|alert| alert.notify.webhook.is_some())),
        ];
        let told: Vec<_> =
            told.iter().filter(|(_, is_told)| *is_told).map(|(name, _)| *name).collect();
        let told = if told.is_empty() { "nobody".to_owned() } else { told.join(", ") };
        lines.push(format!("  alerts    {} ({told})\n", alerts.len()));
    }
    lines.concat()
}

/// The places of the log, and the names of its fields.
fn logged(config: &Config) -> String {
    let log = &config.log;
    let console = match log.console {
        Console::Auto => Some("console"),
        Console::Pretty => Some("console (pretty)"),
        Console::Json => Some("console (JSON)"),
        Console::Off => None,
    };
    let mut places: Vec<String> = console.map(str::to_owned).into_iter().collect();
    places.extend(
        log.directory.as_ref().map(|directory| format!("files in {}", directory.display())),
    );
    places.extend(config.otlp.logs.as_ref().map(|target| place(Some(target))));
    places.extend(config.datadog.as_ref().map(|datadog| format!("Datadog at {}", datadog.url)));
    if places.is_empty() {
        return "nowhere".to_owned();
    }
    let schema = match log.schema {
        Schema::Winston => "winston",
        Schema::Otel => "otel",
        Schema::Ecs => "ecs",
    };
    format!("{}, from {} on, as {schema}", places.join(", "), log.level.as_str())
}

/// Where metrics are pushed to, if they are.
fn pushed(config: &Config) -> String {
    if !config.metrics.push {
        return String::new();
    }
    let (target, interval) = (config.otlp.metrics.as_ref(), config.metrics.interval);
    let every = target.map(|_| format!(", every {}s", interval.as_secs_f64()));
    format!("  metrics   {}{}\n", place(target), every.unwrap_or_default())
}

fn place(target: Option<&OtlpTarget>) -> String {
    match target {
        Some(target) if target.protocol == OtlpProtocol::Grpc => {
            format!("{} (gRPC)", target.place())
        }
        Some(target) => target.place(),
        None => "nowhere".to_owned(),
    }
}
