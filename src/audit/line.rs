//! The text of one line: canonical JSON written by hand, and what is read back of it.
//!
//! Members come in a fixed order without white space, so that equal records are equal bytes. Reading
//! takes only what a check needs. It does not know the chain.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;

use super::entry::{AuditResult, Draft, Stage};
use super::{Evidence, facts};
use crate::record::Value;

/// What a check reads of a line.
#[derive(Debug, Deserialize)]
pub struct Line<'a> {
    /// RFC 3339, UTC.
    #[serde(borrow)]
    pub timestamp: Cow<'a, str>,
    /// See [`super::Event`].
    #[serde(borrow)]
    pub event: Cow<'a, str>,
    /// See [`Stage`].
    #[serde(borrow)]
    pub stage: Cow<'a, str>,
    /// See [`AuditResult`].
    #[serde(borrow)]
    pub result: Cow<'a, str>,
    /// Joins beginning and end.
    #[serde(borrow, rename = "requestId")]
    pub request_id: Cow<'a, str>,
    /// The trace of the exchange.
    #[serde(borrow, default, rename = "traceId")]
    pub trace_id: Option<Cow<'a, str>>,
    /// The format's version.
    pub v: u64,
    /// The place in the chain.
    pub seq: u64,
    /// The hash of the line before.
    #[serde(borrow)]
    pub prev: Cow<'a, str>,
    /// The hash of this line.
    #[serde(borrow)]
    pub hash: Cow<'a, str>,
}

impl<'a> Line<'a> {
    /// Reads a line (without its newline).
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }

    /// Whether this is a beginning.
    pub fn is_initiated(&self) -> bool {
        self.stage == Stage::Initiated.as_str()
    }

    /// Whether this is a refusal, which has no beginning.
    pub fn is_denied(&self) -> bool {
        self.result == AuditResult::Denied.as_str()
    }
}

/// What the end of an exchange keeps of its `initiated` line.
#[derive(Debug)]
pub struct Kept<'a> {
    event: Cow<'a, str>,
    /// From `"userId":` to the value of `traceId`.
    members: &'a [u8],
}

impl<'a> Kept<'a> {
    /// Cuts it out of a line of ours. Quotes inside strings are escaped, so neither mark can stand
    /// inside a value.
    pub fn of(line: &'a [u8]) -> Option<Self> {
        let event = Line::parse(line)?.event;
        let start = memchr::memmem::find(line, b",\"userId\":")? + 1;
        let end = memchr::memmem::find(line, b",\"status\":")?;
        Some(Self { event, members: line.get(start..end)? })
    }
}

/// Writes all members of a draft, without braces.
pub fn write_members(draft: &Draft, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"timestamp\":\"");
    timestamp(draft.timestamp, out);
    out.push(b'"');
    plain("event", draft.event.as_str(), out);
    plain("stage", draft.stage.as_str(), out);
    plain("result", draft.result.as_str(), out);
    optional("userId", draft.user_id.as_ref().map(Evidence::as_str), out);
    optional("tenantId", draft.tenant_id.as_ref().map(Evidence::as_str), out);
    plain("ipAddress", &draft.ip_address.to_canonical().to_string(), out);
    optional("userAgent", draft.user_agent.as_deref(), out);
    optional("resourceId", draft.resource_id.as_ref().map(Evidence::as_str), out);
    optional("resourceType", draft.resource_type.as_deref(), out);
    plain("action", draft.action.as_str(), out);
    plain("method", draft.method.as_str(), out);
    optional("path", Some(draft.path.as_str()), out);
    optional("route", Some(&draft.route), out);
    draft.request_id.with_str(|id| plain("requestId", id, out));
    plain("traceId", std::str::from_utf8(&draft.trace_id.hex()).unwrap_or_default(), out);
    name("status", out);
    maybe_number(draft.status.map(u64::from), out);
    name("durationMs", out);
    maybe_number(draft.duration.map(millis), out);
    for fact in &draft.facts {
        let (prefix, own) = facts::member_name(&fact.name);
        out.push(b',');
        if prefix.is_empty() {
            string(own, out);
        } else {
            string(&[prefix, own].concat(), out);
        }
        out.push(b':');
        match &fact.value {
            Value::Member(value) => string(value, out),
            Value::Length(count) | Value::Number(count) => number(*count, out),
            Value::Pseudonym(name) => name.with_str(|digits| string(digits, out)),
        }
    }
    if let Some(reason) = draft.reason {
        plain("reason", reason, out);
    }
}

/// Writes the members of the `completed`, `aborted` end of an exchange of which only its beginning
/// is known.
pub fn write_end(kept: &Kept<'_>, at: SystemTime, reason: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"timestamp\":\"");
    timestamp(at, out);
    out.extend_from_slice(b"\",\"event\":");
    string(&kept.event, out);
    plain("stage", Stage::Completed.as_str(), out);
    plain("result", AuditResult::Aborted.as_str(), out);
    out.push(b',');
    out.extend_from_slice(kept.members);
    out.extend_from_slice(b",\"status\":null,\"durationMs\":null");
    plain("reason", reason, out);
}

/// Writes a number.
pub fn number(value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Writes a time as RFC 3339 in UTC with milliseconds; a time before 1970 as 1970.
pub fn timestamp(at: SystemTime, out: &mut Vec<u8>) {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (year, month, day) = date(since.as_secs() / 86_400);
    let second = since.as_secs() % 86_400;
    let parts = [
        (year, 4, b'-'),
        (month, 2, b'-'),
        (day, 2, b'T'),
        (second / 3600, 2, b':'),
        (second / 60 % 60, 2, b':'),
        (second % 60, 2, b'.'),
        (u64::from(since.subsec_millis()), 3, b'Z'),
    ];
    for (value, digits, end) in parts {
        let mut buffer = itoa::Buffer::new();
        let text = buffer.format(value).as_bytes();
        out.resize(out.len() + usize::saturating_sub(digits, text.len()), b'0');
        out.extend_from_slice(text);
        out.push(end);
    }
}

/// The proleptic Gregorian date of a day since 1970-01-01, counting in 400-year eras from March.
fn date(day: u64) -> (u64, u64, u64) {
    let shifted = day + 719_468; // Days from 0000-03-01.
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A member whose value needs no escaping: a name of ours, a number in text, an id.
fn plain(key: &str, value: &str, out: &mut Vec<u8>) {
    name(key, out);
    out.push(b'"');
    out.extend_from_slice(value.as_bytes());
    out.push(b'"');
}

fn optional(key: &str, value: Option<&str>, out: &mut Vec<u8>) {
    name(key, out);
    match value {
        Some(value) => string(value, out),
        None => out.extend_from_slice(b"null"),
    }
}

fn maybe_number(value: Option<u64>, out: &mut Vec<u8>) {
    match value {
        Some(value) => number(value, out),
        None => out.extend_from_slice(b"null"),
    }
}

fn name(key: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\":");
}

#[expect(clippy::expect_used, reason = "Writing a string as JSON into memory cannot fail.")]
fn string(value: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("a string into memory");
}
