//! What a sidecar left behind, sink by sink, without the fields in which the contract allows a
//! client's text.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use prost::Message;
use serde_json::Value;

use super::markers::Haystack;

/// What stands before the body in a file of the spool.
const SPOOL_HEAD: usize = 64;

/// Everything that left.
#[derive(Debug, Default)]
pub(super) struct Sinks {
    pub(super) stacks: Vec<Haystack>,
    /// The user agents that the log and the audit show.
    pub(super) agents: BTreeSet<String>,
    /// The values of the one header that the configuration lets into the log.
    pub(super) headers: BTreeSet<String>,
    /// The ids of clients that the log shows.
    pub(super) client_ids: BTreeSet<String>,
    /// The paths, and parts of paths, that the audit shows.
    pub(super) paths: BTreeSet<String>,
    /// The users that the audit shows.
    pub(super) users: BTreeSet<String>,
    /// The ids that answers carried: what the operators' door is asked to explain.
    pub(super) ids: BTreeSet<String>,
    /// The kinds of ending that the log shows: an `errorType`, else an `outcome`.
    pub(super) endings: BTreeSet<String>,
}

impl Sinks {
    /// Takes a sink in as it is.
    pub(super) fn take(&mut self, name: &str, bytes: impl Into<Vec<u8>>) {
        self.stacks.push(Haystack::new(name, bytes));
    }

    /// Whether a sink got this text.
    pub(super) fn has(&self, name: &str, text: &str) -> bool {
        let named = self.stacks.iter().filter(|stack| stack.name == name);
        let mut bytes = named.map(|stack| &stack.bytes);
        bytes.any(|bytes| memchr::memmem::find(bytes, text.as_bytes()).is_some())
    }

    /// Takes an access log in.
    pub(super) fn take_log(&mut self, name: &str, text: &str) {
        let mut rest = String::new();
        for mut line in objects(text) {
            let ending = line.get("errorType").or(line.get("outcome")).and_then(Value::as_str);
            self.endings.extend(ending.map(str::to_owned));
            self.agents.extend(part(&mut line, "userAgent"));
            self.headers.extend(part(&mut line, "headers.sec-ch-ua"));
            self.client_ids.extend(part(&mut line, "clientRequestId"));
            writeln!(rest, "{line}").ok();
        }
        self.take(name, rest);
    }

    /// Takes an export request of log records in.
    pub(super) fn take_log_records(&mut self, name: &str, message: &[u8]) {
        let mut request = ExportLogsServiceRequest::decode(message).expect("log records");
        let groups = request.resource_logs.iter_mut().flat_map(|group| &mut group.scope_logs);
        for record in groups.flat_map(|scope| &mut scope.log_records) {
            for pair in record.attributes.extract_if(.., |pair| {
                ["user_agent.original", "sidecar.client_request_id"].contains(&&*pair.key)
            }) {
                let Some(Any::StringValue(text)) = pair.value.and_then(|value| value.value) else {
                    panic!("{} is a text", pair.key);
                };
                let is_agent = pair.key == "user_agent.original";
                let kept = if is_agent { &mut self.agents } else { &mut self.client_ids };
                kept.insert(text);
            }
        }
        self.take(name, request.encode_to_vec());
        self.take(&format!("{name}, decoded"), format!("{request:?}"));
    }

    /// Takes an array of entries of the log in.
    pub(super) fn take_entries(&mut self, name: &str, array: &[u8]) {
        let entries: Vec<Value> = serde_json::from_slice(array).expect("an array of entries");
        let mut lines = String::new();
        for entry in entries {
            writeln!(lines, "{entry}").ok();
        }
        self.take_log(name, &lines);
    }

    /// Takes a segment of the audit in.
    pub(super) fn take_audit(&mut self, name: &str, text: &str) {
        let mut rest = String::new();
        for mut line in objects(text) {
            self.agents.extend(part(&mut line, "userAgent"));
            self.paths.extend(part(&mut line, "path"));
            self.paths.extend(part(&mut line, "resourceId"));
            self.users.extend(part(&mut line, "userId"));
            writeln!(rest, "{line}").ok();
        }
        self.take(name, rest);
    }

    /// Takes every file below a directory in, but for the configuration.
    pub(super) fn take_files(&mut self, directory: &Path) {
        for entry in std::fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            if path.is_dir() {
                self.take_files(&path);
                continue;
            }
            let mut bytes = std::fs::read(&path).expect("a file");
            if bytes.starts_with(&[0x1f, 0x8b]) {
                let mut inflated = Vec::new();
                GzDecoder::new(&bytes[..]).read_to_end(&mut inflated).expect("gzip");
                bytes = inflated;
            }
            let text = || String::from_utf8(bytes.clone()).expect("UTF-8");
            match &*name {
                "sidecar.toml" => {}
                name if is_in_spool(&path)
                    && path.extension().is_some_and(|kind| kind == "logs") =>
                {
                    self.take("spool", name);
                    self.take_log_records("spool", &bytes[SPOOL_HEAD..]);
                }
                _ if is_in_spool(&path)
                    && path.extension().is_some_and(|kind| kind == "datadog") =>
                {
                    let mut array = Vec::new();
                    let sent = GzDecoder::new(&bytes[SPOOL_HEAD..]).read_to_end(&mut array);
                    sent.expect("gzip");
                    self.take_entries("spool", &array);
                }
                name if name.contains(".log") && !is_in_spool(&path) => {
                    self.take_log(name, &text());
                }
                name if name.starts_with("audit-") => self.take_audit(name, &text()),
                name if is_in_spool(&path) => {
                    self.take("spool", [name.as_bytes(), &bytes].concat());
                }
                name => self.take(name, bytes),
            }
        }
    }
}

fn is_in_spool(path: &Path) -> bool {
    path.parent().and_then(Path::file_name).is_some_and(|directory| directory == "spool")
}

fn objects(text: &str) -> impl Iterator<Item = Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON line"))
}

/// Takes a member out of a line.
fn part(line: &mut Value, member: &str) -> Option<String> {
    let found = line.as_object_mut()?.remove(member)?;
    found.as_str().map(str::to_owned)
}
