//! What the environment says: the variables of the app beside us, OpenTelemetry's, and our own.
//!
//! The app's (`NODE_ENV`, …) lie under the file, OpenTelemetry's and ours over it. Following the
//! OpenTelemetry specification, a number or word there that we do not know is set aside with a
//! notice; what is wrong in our own variables is an error that names the variable.

use std::collections::BTreeMap;

use super::Notice;
use super::check::{LEVELS, PROPAGATORS};
use super::error::{Origin, Problem, Problems};
use super::raw::{Node, Table};
use crate::secret::Secret;

mod idle;
mod misspelt;
mod otlp;

const PREFIX: &str = "VITAL_SIDECAR__";

/// What the environment says, sorted by where it is laid.
#[derive(Debug, Default)]
pub(crate) struct Outside {
    under: Vec<(&'static str, Node)>,
    over: Vec<(String, Node)>,
    /// `OTEL_EXPORTER_OTLP_INSECURE` and its kin by the table they are for: name and value.
    insecure: BTreeMap<&'static str, (String, bool)>,
    /// `DATADOG_API_KEY`.
    pub(crate) datadog_key: Option<Secret>,
    /// `OTEL_LOGS_EXPORTER` asks for OTLP.
    pub(crate) pushes_logs: bool,
    /// `OTEL_METRICS_EXEMPLAR_FILTER` asks for no exemplars.
    pub(crate) leaves_out_exemplars: bool,
    /// Resource attributes that are no key of ours.
    pub(crate) attributes: Vec<(String, String)>,
    /// The webhook of `ALERT_WEBHOOK`: a secret.
    pub(crate) alert_webhook: Option<Secret>,
    /// What was set aside.
    pub(crate) notices: Vec<Notice>,
}

impl Outside {
    /// Reads the variables that others defined.
    pub(crate) fn read(env: &BTreeMap<String, String>, problems: &Problems) -> Self {
        let mut outside = Self::default();
        outside.app(env);
        outside.resource(env, problems);
        outside.exporter(env, problems);
        outside.propagators(env);
        outside.sampler(env);
        outside.metrics(env);
        outside.idle(env);
        outside.misspelt(env);
        outside.alert_webhook = env.get("ALERT_WEBHOOK").map(|url| Secret::new(url.as_str()));
        outside
    }

    /// Lays the app's variables, over which the file goes.
    pub(crate) fn lay_under(&mut self, root: &mut Table) {
        for (key, node) in self.under.drain(..) {
            // The tree is still empty: no list can be in the way.
            root.set(&path(key), node);
        }
    }

    /// Lays OpenTelemetry's variables and then ours over the file.
    pub(crate) fn lay_over(
        &mut self,
        root: &mut Table,
        env: &BTreeMap<String, String>,
        problems: &Problems,
    ) {
        for (key, node) in self.over.drain(..) {
            // None of these keys leads through a list; a file that says otherwise is refused later.
            root.set(&path(&key), node);
        }
        for (name, value) in env {
            let Some(key) = name.strip_prefix(PREFIX) else { continue };
            let segments: Vec<_> = key.split("__").collect();
            let origin = Origin::Env(name.as_str().into());
            let node = Node::text(origin.clone(), value.as_str());
            if !root.set(&root.resolve(&segments), node) {
                let title = format!("`{name}` names no key that a variable can set");
                problems.push(Problem::at(&origin, title).help("write it in the file"));
            }
        }
    }

    /// Sets something aside. What is said already is not said twice.
    pub(crate) fn note(&mut self, notice: String) {
        let notice = Notice(notice);
        if !self.notices.contains(&notice) {
            self.notices.push(notice);
        }
    }

    fn misspelt(&mut self, env: &BTreeMap<String, String>) {
        for name in env.keys().filter(|name| !name.starts_with(PREFIX)) {
            if let Some((key, variable)) = misspelt::meant(name) {
                self.note(format!("{name} is ignored: for `{key}` write {variable}."));
            }
        }
    }

    fn app(&mut self, env: &BTreeMap<String, String>) {
        let plain = [
            ("NODE_ENV", "service.environment"),
            ("APP_VERSION", "service.version"),
            ("SENTRY_DSN", "sentry.dsn"),
        ];
        for (name, key) in plain {
            if let Some(value) = env.get(name) {
                self.under.push((key, from_env(name, value)));
            }
        }
        self.datadog_key = env.get("DATADOG_API_KEY").map(|key| Secret::new(key.as_str()));
        if let Some(level) = env.get("LOG_LEVEL") {
            // The app's logger may know more levels than we do; that is no reason not to start.
            if LEVELS.iter().any(|(word, _)| word == level) {
                self.under.push(("log.level", from_env("LOG_LEVEL", level)));
            } else {
                self.note("LOG_LEVEL is ignored: not error, warn, info or debug.".to_owned());
            }
        }
    }

    fn resource(&mut self, env: &BTreeMap<String, String>, problems: &Problems) {
        let name = "OTEL_RESOURCE_ATTRIBUTES";
        if let Some(value) = env.get(name) {
            for (key, value) in pairs(name, value, problems) {
                let ours = match key.as_str() {
                    "service.name" => "service.name",
                    "service.version" => "service.version",
                    "deployment.environment.name" | "deployment.environment" => {
                        "service.environment"
                    }
                    _ => {
                        self.attributes.push((key, value));
                        continue;
                    }
                };
                self.over.push((ours.to_owned(), from_env(name, &value)));
            }
        }
        if let Some(value) = env.get("OTEL_SERVICE_NAME") {
            self.over.push(("service.name".to_owned(), from_env("OTEL_SERVICE_NAME", value)));
        }
    }

    fn metrics(&mut self, env: &BTreeMap<String, String>) {
        let name = "OTEL_METRIC_EXPORT_INTERVAL";
        if let Some(value) = env.get(name) {
            match value.trim().parse::<u32>() {
                Ok(ms) if ms > 0 => {
                    let interval = from_env(name, &format!("{ms}ms"));
                    self.over.push(("metrics.interval".to_owned(), interval));
                }
                _ => self.note(format!("{name} is ignored: not a number of milliseconds.")),
            }
        }
        let name = "OTEL_METRICS_EXEMPLAR_FILTER";
        match env.get(name).map(|value| word(value)).as_deref() {
            Some("always_off") => self.leaves_out_exemplars = true,
            None | Some("trace_based") => {}
            Some(_) => self.note(format!("{name} is ignored: exemplars are of kept traces.")),
        }
        let name = "OTEL_METRICS_EXPORTER";
        // One of several is enough: what else is there, Prometheus, scrapes here in any case.
        if env.get(name).is_some_and(|value| words(value).iter().any(|word| word == "otlp")) {
            self.over.push(("metrics.push".to_owned(), from_env(name, "true")));
        }
    }

    fn sampler(&mut self, env: &BTreeMap<String, String>) {
        let argument = env.get("OTEL_TRACES_SAMPLER_ARG").map(|value| value.trim());
        let Some(sampler) = env.get("OTEL_TRACES_SAMPLER").map(|value| word(value)) else {
            if argument.is_some() {
                self.note("OTEL_TRACES_SAMPLER_ARG is ignored: no OTEL_TRACES_SAMPLER.".to_owned());
            }
            return;
        };
        let based = sampler.strip_prefix("parentbased_");
        let (name, ratio) = match based.unwrap_or(&sampler) {
            "always_on" => ("OTEL_TRACES_SAMPLER", "1.0"),
            "always_off" => ("OTEL_TRACES_SAMPLER", "0.0"),
            "traceidratio" => {
                let argument = argument.unwrap_or("1.0");
                let valid = |ratio: &f64| (0.0..=1.0).contains(ratio);
                if argument.parse().ok().as_ref().is_some_and(valid) {
                    ("OTEL_TRACES_SAMPLER_ARG", argument)
                } else {
                    // The specification: act as if no argument were set.
                    self.note("OTEL_TRACES_SAMPLER_ARG is ignored: not 0.0 to 1.0.".to_owned());
                    ("OTEL_TRACES_SAMPLER", "1.0")
                }
            }
            _ => {
                self.note(
                    "OTEL_TRACES_SAMPLER is ignored: not always_on, always_off or traceidratio, with \
                     or without parentbased_."
                        .to_owned(),
                );
                return;
            }
        };
        self.over.push(("tracing.sampling.ratio".to_owned(), from_env(name, ratio)));
        if ratio == "0.0" && sampler.ends_with("always_off") {
            // Off is off: nothing is kept at the end either.
            let key = "tracing.sampling.keep_per_second".to_owned();
            self.over.push((key, from_env(name, "0")));
        }
        if based.is_none() {
            self.note(format!(
                "OTEL_TRACES_SAMPLER is taken as parentbased_{sampler}: the decision of a believed \
                 caller is kept (see tracing.trust)."
            ));
        }
    }

    fn propagators(&mut self, env: &BTreeMap<String, String>) {
        let name = "OTEL_PROPAGATORS";
        let Some(value) = env.get(name) else { return };
        let mut known = Vec::new();
        let words = words(value);
        for word in &words {
            if let Some((name, _)) = PROPAGATORS.iter().find(|(name, _)| name == word) {
                known.push(*name);
            } else if word != "none" {
                // An unknown one takes nothing from those that are known.
                self.note(format!(
                    "{name}: an entry is ignored: not tracecontext, b3, b3multi, baggage or none."
                ));
            }
        }
        let is_none = !words.is_empty() && words.iter().all(|word| word == "none");
        if is_none || !known.is_empty() {
            self.over.push(("tracing.propagators".to_owned(), from_env(name, &known.join(","))));
        }
    }
}

/// Reads `key=value,key=value` with percent-encoded values (W3C Baggage without properties). One
/// broken pair discards the whole variable, as the specification asks, and is an error.
fn pairs(name: &str, text: &str, problems: &Problems) -> Vec<(String, String)> {
    let pairs: Option<Vec<_>> = text
        .split(',')
        .filter(|pair| !pair.trim().is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=')?;
            let key = decoded(key.trim()).filter(|key| !key.is_empty())?;
            Some((key, decoded(value.trim())?))
        })
        .collect();
    pairs.unwrap_or_else(|| {
        let problem = Problem::at(&Origin::Env(name.into()), format!("`{name}` cannot be read"));
        problems.push(problem.label("expected `key=value` pairs with commas between them"));
        Vec::new()
    })
}

/// Decodes `%XX`; `None` if that is broken or does not give UTF-8.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |b: u8| char::from(b).to_digit(16);
        let value = digit(rest.next()?)? * 16 + digit(rest.next()?)?;
        bytes.push(u8::try_from(value).ok()?);
    }
    String::from_utf8(bytes).ok()
}

/// A word as the specification wants it read: in any letter case.
fn word(value: &str) -> String {
    value.trim().to_ascii_lowercase()
}

/// The words of a list, without those that are empty.
fn words(value: &str) -> Vec<String> {
    value.split(',').map(word).filter(|word| !word.is_empty()).collect()
}

fn from_env(name: &str, value: &str) -> Node {
    Node::text(Origin::Env(name.into()), value)
}

fn path(key: &str) -> Vec<String> {
    key.split('.').map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
