//! `check`: whether a configuration is valid, without starting anything.
//!
//! Promises: every error at once, none of a secret's value; exit code 78 (`EX_CONFIG`) when invalid.
//! It does not try whether ports are free or the upstream answers.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use super::source;
use crate::config::model::{IdentitySource, OtlpProtocol, OtlpTarget};
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
         \x20 policy    {} routes ({audited} audited), {} rate limits, {} captures\n\
         {}\x20 spans     {}\n{}{spool}",
        service.name,
        service.version,
        service.environment,
        config.server.listen,
        config.upstream.shown_url(),
        config.admin.listen,
        config.routes.len(),
        config.rate_limits.len(),
        config.captures.len(),
        gates(config),
        place(config.otlp.traces.as_ref()),
        pushed(config),
    )
}

/// Whom and what requests are judged by, besides routes: one line for each that is on.
fn gates(config: &Config) -> String {
    let mut lines = String::new();
    let mut line = |name: &str, what: &str| {
        lines.push_str(&format!("  {name:<9} {what}\n"));
    };
    let source = &config.identity.source;
    let signed = config.identity.signing_key.as_ref().map_or("", |_| ", x-identity is signed");
    match source {
        IdentitySource::None => {}
        IdentitySource::Jwt(jwt) => line("identity", &format!("jwt ({}){signed}", jwt.keys.key())),
        source => line("identity", &format!("{}{signed}", source.as_str())),
    }
    if let Some(document) = &config.openapi {
        line("openapi", &format!("{} paths", document.paths().len()));
    }
    if let Some(url) = &config.rate_limit_store.url {
        line("store", &url.to_string());
    }
    lines
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
