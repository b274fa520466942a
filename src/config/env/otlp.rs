//! `OTEL_EXPORTER_OTLP_*` and the switches beside it: which key each of them sets.
//!
//! A variable of one signal sets that signal's own table, so that it outranks the general one by the
//! same rule that holds for the file. Only headers are percent-encoded; no other value is.

use std::collections::BTreeMap;

use super::{Outside, from_env, pairs, word, words};
use crate::config::error::{Origin, Problems};
use crate::config::model::Signal;
use crate::config::raw::{Node, Table, Value};

/// What stands before the name of a setting, and the table it is a key of.
const TABLES: [(&str, &str); 4] = [
    ("OTEL_EXPORTER_OTLP_", "otlp"),
    ("OTEL_EXPORTER_OTLP_TRACES_", "tracing.otlp"),
    ("OTEL_EXPORTER_OTLP_METRICS_", "metrics.otlp"),
    ("OTEL_EXPORTER_OTLP_LOGS_", "log.otlp"),
];

/// Who can push a signal, by its words.
const EXPORTERS: [(&str, &str, &[&str]); 3] = [
    ("OTEL_TRACES_EXPORTER", "tracing.otlp.endpoint", &["none"]),
    // Prometheus scrapes here in any case.
    ("OTEL_METRICS_EXPORTER", "metrics.otlp.endpoint", &["none", "prometheus"]),
    // `log.console` says what the console gets.
    (LOGS_EXPORTER, "log.otlp.endpoint", &["none", "console"]),
];

const LOGS_EXPORTER: &str = "OTEL_LOGS_EXPORTER";

type Env = BTreeMap<String, String>;

impl Outside {
    /// Reads the variables of OTLP exporters.
    pub(super) fn exporter(&mut self, env: &Env, problems: &Problems) {
        for (prefix, table) in TABLES {
            let of = |what: &str| {
                let name = format!("{prefix}{what}");
                env.get(&name).map(|value| (name, value.as_str()))
            };
            for (what, key) in [("ENDPOINT", "endpoint"), ("CERTIFICATE", "ca_file")] {
                if let Some((name, value)) = of(what) {
                    self.over.push((format!("{table}.{key}"), from_env(&name, value)));
                }
            }
            if let Some((name, value)) = of("HEADERS") {
                self.over.push((format!("{table}.headers"), headers(&name, value, problems)));
            }
            for what in ["CLIENT_CERTIFICATE", "CLIENT_KEY"] {
                if let Some((name, _)) = of(what) {
                    self.note(format!("{name} is ignored: client certificates are not built."));
                }
            }
            if let Some((name, value)) = of("TIMEOUT") {
                self.timeout(&name, value, table);
            }
            if let Some((name, value)) = of("COMPRESSION") {
                self.word(&name, value, format!("{table}.compression"), &["gzip", "none"]);
            }
            if let Some((name, value)) = of("PROTOCOL") {
                // The last is known to the specification, and refused by us, with the reason.
                let words = ["grpc", "http/protobuf", "http/json"];
                self.word(&name, value, format!("{table}.protocol"), &words);
            }
            if let Some((name, value)) = of("INSECURE") {
                self.insecure(name, value, table);
            }
        }
        self.switches(env);
        let is_otlp = |value: &String| words(value).iter().any(|word| word == "otlp");
        self.pushes_logs = env.get(LOGS_EXPORTER).is_some_and(is_otlp);
    }

    /// Whether the transport of a signal shall be in the clear where its endpoint has no scheme, and
    /// the variable that says so.
    pub(crate) fn is_insecure(&self, signal: Signal) -> Option<&(String, bool)> {
        let own = match signal {
            Signal::Traces => "tracing.otlp",
            Signal::Metrics => "metrics.otlp",
            Signal::Logs => "log.otlp",
        };
        self.insecure.get(own).or_else(|| self.insecure.get("otlp"))
    }

    fn timeout(&mut self, name: &str, value: &str, table: &str) {
        match value.trim().parse::<u32>() {
            Ok(ms) if ms > 0 => {
                self.over.push((format!("{table}.timeout"), from_env(name, &format!("{ms}ms"))));
            }
            _ => self.note(format!("{name} is ignored: not a number of milliseconds.")),
        }
    }

    /// Takes a word that is known; the specification asks to set others aside.
    fn word(&mut self, name: &str, value: &str, key: String, known: &[&str]) {
        let word = word(value);
        if known.contains(&word.as_str()) {
            self.over.push((key, from_env(name, &word)));
        } else {
            self.note(format!("{name} is ignored: not one of {}.", known.join(", ")));
        }
    }

    fn insecure(&mut self, name: String, value: &str, table: &'static str) {
        match word(value).as_str() {
            "true" => drop(self.insecure.insert(table, (name, true))),
            "false" => drop(self.insecure.insert(table, (name, false))),
            _ => self.note(format!("{name} is ignored: not true or false.")),
        }
    }

    fn switches(&mut self, env: &Env) {
        for (name, key, off) in EXPORTERS {
            let Some(value) = env.get(name) else { continue };
            let words = words(value);
            if !words.is_empty() && words.iter().all(|word| off.contains(&word.as_str())) {
                self.over.push((key.to_owned(), from_env(name, "")));
            } else if !words.iter().any(|word| word == "otlp") {
                self.note(format!("{name} is ignored: not one of otlp, {}.", off.join(", ")));
            }
        }
        let name = "OTEL_SDK_DISABLED";
        let Some(value) = env.get(name) else { return };
        let value = word(value);
        if value == "true" {
            for (_, key, _) in EXPORTERS {
                self.over.push((key.to_owned(), from_env(name, "")));
            }
            self.note(format!("{name} is set: traces, metrics and logs are pushed nowhere."));
        } else if value != "false" {
            self.note(format!("{name} is ignored: not true or false."));
        }
    }
}

/// The headers of a variable as a table of their own, which replaces the file's.
fn headers(name: &str, value: &str, problems: &Problems) -> Node {
    let mut headers = Table::default();
    for (key, value) in pairs(name, value, problems) {
        // A single segment below an empty table: no list can be in the way.
        headers.set(&[key], from_env(name, &value));
    }
    Node { origin: Origin::Env(name.into()), value: Value::Table(headers) }
}
