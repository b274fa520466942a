//! What is wrong with an export request: with its coding, its resource, its spans, its log records.
//!
//! It adds to a list what it finds, and keeps nothing.

use std::collections::{BTreeMap, HashSet};
use std::io::Read;

use flate2::read::GzDecoder;
use http::HeaderMap;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

/// The attributes of the resource.
pub(super) fn identity(
    resource: Option<Resource>,
    found: &mut Vec<String>,
) -> BTreeMap<String, String> {
    let attributes = resource.map(|resource| resource.attributes).unwrap_or_default();
    unique(&attributes, "resource", found);
    let resource: BTreeMap<_, _> =
        attributes.iter().map(|kv| (kv.key.clone(), text(kv.value.as_ref()))).collect();
    if resource.get("service.name").is_none_or(String::is_empty) {
        found.push("the resource has no service.name".to_owned());
    }
    resource
}

/// The request in a body, or what is wrong with its coding.
pub(super) fn decode<T: Message + Default>(head: &HeaderMap, body: &[u8]) -> Result<T, String> {
    if head.get("content-type").is_none_or(|value| value != "application/x-protobuf") {
        return Err(format!("content-type is {:?}", head.get("content-type")));
    }
    let mut plain = Vec::new();
    match head.get("content-encoding").map(http::HeaderValue::as_bytes) {
        Some(b"gzip") => {
            GzDecoder::new(body).read_to_end(&mut plain).map_err(|error| error.to_string())?;
        }
        None => plain.extend_from_slice(body),
        Some(other) => return Err(format!("content-encoding is {other:?}")),
    }
    T::decode(&plain[..]).map_err(|error| error.to_string())
}

fn is_id(id: &[u8], length: usize) -> bool {
    id.len() == length && id.iter().any(|byte| *byte != 0)
}

/// What is wrong with a log record.
pub(super) fn inspect_log(record: &LogRecord, found: &mut Vec<String>) {
    let name = text(record.body.as_ref());
    if record.body.is_none() || name.is_empty() {
        found.push("a log record has no body".to_owned());
    }
    // A trace without a span is allowed, a span without its trace is not.
    let has_trace = is_id(&record.trace_id, 16);
    let is_fit = match (record.trace_id.is_empty(), record.span_id.is_empty()) {
        (_, false) => has_trace && is_id(&record.span_id, 8),
        (false, true) => has_trace,
        (true, true) => true,
    };
    if !is_fit {
        found.push(format!("`{name}` has a malformed id"));
    }
    if record.time_unix_nano == 0 || record.observed_time_unix_nano < record.time_unix_nano {
        found.push(format!("`{name}` was observed before it happened"));
    }
    if !(1..=24).contains(&record.severity_number) || record.severity_text.is_empty() {
        found.push(format!("`{name}` has no severity"));
    }
    unique(&record.attributes, &name, found);
}

/// What is wrong with a span.
pub(super) fn inspect(span: &Span, found: &mut Vec<String>) {
    let name = &span.name;
    if name.is_empty() {
        found.push("a span has no name".to_owned());
    }
    if !is_id(&span.trace_id, 16) || !is_id(&span.span_id, 8) {
        found.push(format!("`{name}` has a malformed id"));
    }
    if !span.parent_span_id.is_empty() && !is_id(&span.parent_span_id, 8) {
        found.push(format!("`{name}` has a malformed parent"));
    }
    if span.parent_span_id == span.span_id {
        found.push(format!("`{name}` is its own parent"));
    }
    if span.start_time_unix_nano == 0 || span.end_time_unix_nano < span.start_time_unix_nano {
        found.push(format!("`{name}` ends before it starts"));
    }
    if !(1..=5).contains(&span.kind) {
        found.push(format!("`{name}` has no kind"));
    }
    unique(&span.attributes, name, found);
    for event in &span.events {
        unique(&event.attributes, &event.name, found);
    }
    for link in &span.links {
        if !is_id(&link.trace_id, 16) || !is_id(&link.span_id, 8) {
            found.push(format!("`{name}` has a malformed link"));
        }
    }
}

fn unique(attributes: &[KeyValue], owner: &str, found: &mut Vec<String>) {
    let mut keys = HashSet::new();
    for KeyValue { key, value, .. } in attributes {
        if key.is_empty() || !keys.insert(key) {
            found.push(format!("`{owner}` has the attribute `{key}` twice, or without a name"));
        }
        if value.as_ref().is_none_or(|value| value.value.is_none()) {
            found.push(format!("`{owner}` has no value for `{key}`"));
        }
    }
}

/// The value of an attribute, as text.
pub(super) fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => text.clone(),
        Some(any_value::Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}
