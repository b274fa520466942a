//! A line of the log as the entry that Datadog wants, in a few copies.
//!
//! It is the line of the schema `winston`, whatever the files hold, behind what Datadog reserves: where it is from (`ddsource`,
//! `ddtags`, `hostname`), how severe (`status`), and the ids that lead to its trace, which are decimal and
//! of 64 bits there. Two names mean something else there and are renamed: our `status` is
//! `http.status_code`, our `duration` is `durationMs`, and `duration` is in nanoseconds as Datadog counts.
//!
//! It cuts nothing: whoever sends entries minds their size.

use memchr::memmem;

use crate::config::model::{Datadog, Schema, Service};
use crate::http::traceparent::{SpanId, TraceId};
use crate::telemetry::json;
use crate::telemetry::log::Entry;
use crate::telemetry::log::line::{Form, Format};

/// Keys of ours that Datadog reads as something else, and what they are called there. Inside a string a
/// quotation mark has a backslash before it, so what looks like a key is one.
const RENAMED: [(&[u8], &[u8]); 2] =
    [(b",\"status\":", b",\"http.status_code\":"), (b",\"duration\":", b",\"durationMs\":")];

/// Writes entries.
#[derive(Debug)]
pub(super) struct Line {
    format: Format,
    /// The fields that are the same in every entry, up to the value of `status`.
    opening: Vec<u8>,
    /// The line as the files have it.
    plain: Vec<u8>,
}

impl Line {
    pub(super) fn new(service: &Service, datadog: &Datadog, hostname: Option<&str>) -> Self {
        let mut opening = Vec::new();
        opening.extend_from_slice(b"{\"ddsource\":");
        json::string(&datadog.source, &mut opening);
        opening.extend_from_slice(b",\"ddtags\":");
        json::string(&datadog.tags.join(","), &mut opening);
        if let Some(hostname) = hostname {
            opening.extend_from_slice(b",\"hostname\":");
            json::string(hostname, &mut opening);
        }
        opening.extend_from_slice(b",\"status\":\"");
        Self {
            format: Format::new(service, Form::Json(Schema::Winston)),
            opening,
            plain: Vec::new(),
        }
    }

    /// Appends the entry, one JSON object.
    pub(super) fn write(&mut self, entry: &Entry, out: &mut Vec<u8>) {
        self.plain.clear();
        self.format.write(entry, &mut self.plain);
        out.extend_from_slice(&self.opening);
        out.extend_from_slice(entry.level().as_str().as_bytes());
        out.push(b'"');
        match entry {
            Entry::Completed(record) => {
                ids(record.trace.trace_id, Some(record.trace.server_span), out);
                out.extend_from_slice(b",\"duration\":");
                let nanos = u64::try_from(record.duration.as_nanos()).unwrap_or(u64::MAX);
                digits(nanos, out);
            }
            Entry::Incoming(request) => ids(request.trace.0, Some(request.trace.1), out),
            Entry::Audited(record) => ids(record.trace_id, None, out),
            Entry::Said(_) => {}
        }
        // All but the brace that opens it and the line's end.
        let fields = self.plain.get(1..).unwrap_or_default().trim_ascii_end();
        out.push(b',');
        renamed(fields, out);
    }
}

/// Appends the ids of trace and span: the lower 64 bits, decimal.
fn ids(trace: TraceId, span: Option<SpanId>, out: &mut Vec<u8>) {
    let lower = trace.0.last_chunk().copied().unwrap_or_default();
    out.extend_from_slice(b",\"dd.trace_id\":\"");
    digits(u64::from_be_bytes(lower), out);
    out.push(b'"');
    if let Some(span) = span {
        out.extend_from_slice(b",\"dd.span_id\":\"");
        digits(u64::from_be_bytes(span.0), out);
        out.push(b'"');
    }
}

fn digits(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Copies fields, those of [`RENAMED`] under their other names.
fn renamed(fields: &[u8], out: &mut Vec<u8>) {
    let mut found: Vec<(usize, usize)> = RENAMED
        .iter()
        .enumerate()
        .flat_map(|(which, (key, _))| memmem::find_iter(fields, key).map(move |at| (at, which)))
        .collect();
    found.sort_unstable();
    let mut copied = 0;
    for (at, which) in found {
        let (key, name) = RENAMED[which];
        out.extend_from_slice(&fields[copied..at]);
        out.extend_from_slice(name);
        copied = at + key.len();
    }
    out.extend_from_slice(&fields[copied..]);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::UNIX_EPOCH;

    use serde_json::{Value, json};

    use super::*;
    use crate::config::model::LogLevel;
    use crate::secret::Secret;
    use crate::telemetry::log::{Datum, Said, sample};

    fn line() -> Line {
        let datadog = Datadog {
            url: String::new(),
            key: Secret::new("key"),
            source: "vital-sidecar".to_owned(),
            tags: vec!["team:shop".to_owned(), "env:test".to_owned()],
        };
        Line::new(&sample::service(), &datadog, Some("host-1"))
    }

    fn written(entry: &Entry) -> Value {
        let mut out = Vec::new();
        line().write(entry, &mut out);
        serde_json::from_slice(&out).unwrap_or_else(|error| panic!("{error}: {out:?}"))
    }

    fn plain(entry: &Entry) -> Value {
        let mut out = Vec::new();
        Format::new(&sample::service(), Form::Json(Schema::Winston)).write(entry, &mut out);
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn an_entry_says_all_that_the_line_says_and_what_datadog_reserves() {
        for record in [sample::record(), sample::failed()] {
            let entry = Entry::Completed(Arc::new(record));
            let (mut written, plain) = (written(&entry), plain(&entry));
            let reserved = [
                ("ddsource", json!("vital-sidecar")),
                ("ddtags", json!("team:shop,env:test")),
                ("hostname", json!("host-1")),
                ("status", plain["level"].clone()),
                ("dd.trace_id", json!(u64::from_be_bytes([0xab; 8]).to_string())),
                ("dd.span_id", json!(u64::from_be_bytes([1; 8]).to_string())),
                ("duration", json!(12_340_000)),
            ];
            let fields = written.as_object_mut().unwrap();
            for (key, value) in reserved {
                assert_eq!(fields.remove(key), Some(value), "{key}");
            }
            let mut expected = plain.as_object().unwrap().clone();
            for (ours, theirs) in [("status", "http.status_code"), ("duration", "durationMs")] {
                let value = expected.remove(ours).unwrap();
                expected.insert(theirs.to_owned(), value);
            }
            assert_eq!(*fields, expected);
        }
    }

    #[test]
    fn what_looks_like_a_key_inside_a_text_stays() {
        let message = "a \",\"status\":1,\"duration\":2,\u{1b}[0m\r\n{";
        let entry = Entry::Said(Arc::new(Said {
            at: UNIX_EPOCH,
            level: LogLevel::Warn,
            message: message.to_owned(),
            fields: vec![("status", Datum::Unsigned(503)), ("error", Datum::Text(message.into()))],
        }));
        let written = written(&entry);
        assert_eq!((&written["message"], &written["error"]), (&json!(message), &json!(message)));
        assert_eq!(
            (&written["status"], &written["http.status_code"]),
            (&json!("warn"), &json!(503))
        );
        assert!(written.get("dd.trace_id").is_none());
    }
}
