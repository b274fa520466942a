//! `explain METHOD URL`: which route, limits and gates a request would meet, and what they would decide.
//!
//! The configuration is compiled as it is for traffic, and the stages of the data path are asked
//! ([`crate::proxy::explain`]); this only words what they say. No sidecar has to run. What depends on
//! more than a head (a body, a token's signature, how many tokens a bucket has left) is shown as it is
//! configured, and said to depend.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method, Request, Uri};
use serde_json::{Value as Json, json};

use super::check::INVALID;
use super::say::{complain, say};
use super::source;
use crate::config::model::IdentitySource;
use crate::config::{self, Loaded};
use crate::proxy::Proxy;
use crate::proxy::explain::{self, Gate, Trial};
use crate::telemetry::Telemetry;
use crate::telemetry::metrics::Metrics;

mod gates;
pub mod past;
mod upstream;

use gates::Gates;

/// The exit code of a question that cannot be asked.
const USAGE: u8 = 2;

/// The request in question, as it was typed.
#[derive(Debug)]
pub struct Ask {
    /// Its method.
    pub method: String,
    /// A URL or a path, with or without a query.
    pub url: String,
    /// Fields as `name: value`.
    pub headers: Vec<String>,
}

/// Where the configuration comes from.
#[derive(Debug)]
pub struct Basis<'a> {
    /// Its file.
    pub config: Option<&'a Path>,
    /// The service behind, in place of the file's.
    pub upstream: Option<String>,
    /// The environment.
    pub env: BTreeMap<String, String>,
}

impl Basis<'_> {
    /// Nobody asks the upstream, so without a file any will do.
    fn upstream(&self) -> Option<String> {
        let is_named =
            self.config.is_some() || self.env.contains_key("VITAL_SIDECAR__UPSTREAM__URL");
        let any = (!is_named).then(|| "http://127.0.0.1:3000".to_owned());
        self.upstream.clone().or(any)
    }
}

/// Explains a request: the story on stdout and 0; what is wrong with the question on stderr and 2, with
/// the configuration and 78.
pub fn run(ask: &Ask, as_json: bool, basis: Basis<'_>) -> ExitCode {
    ExitCode::from(match story(ask, as_json, basis) {
        Ok(story) => u8::from(say(&story).is_err()),
        Err((code, why)) => {
            complain(&why);
            code
        }
    })
}

fn story(ask: &Ask, as_json: bool, basis: Basis<'_>) -> Result<String, (u8, String)> {
    let invalid = |why: String| (INVALID, why);
    let flags = basis.upstream().map(|url| ("upstream.url".to_owned(), url)).into_iter().collect();
    let sources = source::gather(basis.config, basis.env, flags)
        .map_err(|error| invalid(format!("error: {error}\n")))?;
    let loaded =
        config::load(&sources).map_err(|errors| invalid(format!("{}\n", errors.render(false))))?;
    let head = head(ask).map_err(|why| (USAGE, format!("error: {why}\n")))?;
    let mut trial = judged(&loaded, &head).map_err(|error| (1, format!("error: {error}\n")))?;
    if matches!(loaded.config.identity.source, IdentitySource::Mtls) {
        // There is no certificate here to judge.
        trial.refusals.retain(|(gate, _)| *gate != Gate::Identity);
    }
    let gates = Gates::of(&loaded, &trial);
    Ok(if as_json { shown(ask, &trial, &gates) } else { told(ask, &trial, &gates) })
}

/// The question as a request head.
fn head(ask: &Ask) -> Result<http::request::Parts, String> {
    let method = Method::from_bytes(ask.method.as_bytes())
        .map_err(|_| format!("`{}` is not a method", ask.method))?;
    let uri: Uri = ask.url.parse().map_err(|error| format!("the URL: {error}"))?;
    let host = uri.authority().map_or("localhost", |authority| authority.as_str()).to_owned();
    // As a client sends it: the path in the first line, the authority in `Host`.
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let mut request = Request::builder().method(method).uri(target);
    let mut names_host = false;
    for field in &ask.headers {
        let (name, value) = field
            .split_once(':')
            .ok_or_else(|| format!("`{field}` is not a header field: expected `name: value`"))?;
        let name = HeaderName::from_bytes(name.trim().as_bytes())
            .map_err(|_| format!("`{}` is not the name of a header field", name.trim()))?;
        let value = HeaderValue::from_str(value.trim())
            .map_err(|_| format!("the value of `{name}` holds what no header field can"))?;
        names_host |= name == http::header::HOST;
        request = request.header(name, value);
    }
    if !names_host {
        request = request.header(http::header::HOST, host);
    }
    let request = request.body(()).map_err(|error| format!("the request: {error}"))?;
    Ok(request.into_parts().0)
}

fn judged(loaded: &Loaded, head: &http::request::Parts) -> io::Result<Trial> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(async {
        let config = &loaded.config;
        let telemetry = Arc::new(Telemetry::silent(Metrics::new(&config.service)));
        let proxy = Arc::new(Proxy::new(config, telemetry, None));
        explain::judge(&proxy, head).await
    }))
}

/// For people.
fn told(ask: &Ask, trial: &Trial, gates: &Gates) -> String {
    let path = match &trial.path {
        Ok(path) => path.clone(),
        Err(refusal) => format!("none: refused with {} {}", refusal.status(), refusal.title()),
    };
    let mut text = format!(
        "{} {}\n  path       {path}\n  route      {}\n  answer     {}\n\n",
        ask.method, ask.url, gates.route, gates.answer
    );
    for gate in &gates.all {
        let line = format!(
            "  {:<18} {:<9} {:<10} {}  ({})",
            gate.name, gate.mode, gate.decision, gate.facts, gate.source
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// For programs.
fn shown(ask: &Ask, trial: &Trial, gates: &Gates) -> String {
    let all: Vec<Json> = gates
        .all
        .iter()
        .map(|gate| {
            json!({
                "gate": gate.name,
                "mode": gate.mode,
                "decision": gate.decision,
                "facts": gate.facts,
                "source": gate.source,
            })
        })
        .collect();
    let document = json!({
        "method": ask.method,
        "url": ask.url,
        "path": trial.path.as_ref().ok(),
        "route": gates.route,
        "template": &*trial.route.names.template,
        "answer": gates.answer,
        "gates": all,
    });
    format!("{document:#}\n")
}
