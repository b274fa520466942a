//! The shape of one line of the log.
//!
//! Field names and their order are the contract's. Every string is escaped, so that nothing a client
//! or an upstream sends can forge a line or steer a terminal. Optional fields without a value are
//! left out, except those a query expects on every line (`status`, `ttfb`, `userId`, `tenantId`,
//! `userAgent`), which are `null`.

use std::net::IpAddr;
use std::time::Duration;

use crate::config::model::Service;
use crate::http::sanitise;
use crate::record::{Caller, Fact, Level, Record, Value};
use crate::telemetry::json;
use crate::telemetry::log::entry::{Audited, Datum, Entry, Incoming};
use crate::telemetry::timestamp::Clock;

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One JSON object.
    Json,
    /// `TIMESTAMP [level]: message {fields}`, for people.
    Pretty,
}

/// A key of ours, with the comma before it and the colon after it: one piece to copy.
macro_rules! key {
    ($name:literal) => {
        concat!(",\"", $name, "\":")
    };
}

/// Writes lines of one form.
#[derive(Debug)]
pub(in crate::telemetry) struct Format {
    form: Form,
    clock: Clock,
    /// The fields that are the same on every line, already written.
    service: Vec<u8>,
}

impl Format {
    pub(in crate::telemetry) fn new(service: &Service, form: Form) -> Self {
        let mut fields = Fields { out: &mut Vec::new() };
        fields.text(key!("service"), &service.name);
        fields.text(key!("environment"), &service.environment);
        fields.text(key!("version"), &service.version);
        // What comes before them has its own way of ending: without the first comma.
        let service = fields.out.split_off(1);
        Self { form, clock: Clock::default(), service }
    }

    /// Appends the entry's line, newline included.
    pub(in crate::telemetry) fn write(&mut self, entry: &Entry, out: &mut Vec<u8>) {
        self.open(entry, out);
        let mut fields = Fields { out };
        match entry {
            Entry::Completed(record) => {
                fields.request(record);
                fields.answer(record);
                fields.telemetry(record);
                record.facts.iter().for_each(|fact| fields.fact(fact));
            }
            Entry::Incoming(incoming) => fields.incoming(incoming),
            Entry::Audited(audited) => fields.audited(audited),
            Entry::Said(said) => {
                said.fields.iter().for_each(|(key, datum)| fields.datum(key, datum))
            }
        }
        out.extend_from_slice(b"}\n");
    }

    /// All that stands before the entry's own fields.
    fn open(&mut self, entry: &Entry, out: &mut Vec<u8>) {
        let level = entry.level().as_str().as_bytes();
        match self.form {
            Form::Json => {
                out.extend_from_slice(b"{\"timestamp\":\"");
                self.clock.write(entry.at(), out);
                out.extend_from_slice(b"\",\"level\":\"");
                out.extend_from_slice(level);
                out.extend_from_slice(b"\",\"message\":");
                json::string(entry.message(), out);
                out.push(b',');
            }
            Form::Pretty => {
                self.clock.write(entry.at(), out);
                out.extend_from_slice(b" [");
                out.extend_from_slice(level);
                out.extend_from_slice(b"]: ");
                json::inside(entry.message(), out);
                out.extend_from_slice(b" {");
            }
        }
        out.extend_from_slice(&self.service);
    }
}

/// The inside of a JSON object, after its first field. Each `key` is a [`key!`].
struct Fields<'a> {
    out: &'a mut Vec<u8>,
}

impl Fields<'_> {
    fn request(&mut self, record: &Record) {
        record.request_id.with_str(|id| self.token(key!("requestId"), id.as_bytes()));
        if let Some(id) = &record.client_request_id {
            self.token(key!("clientRequestId"), id.as_str().as_bytes());
        }
        self.token(key!("method"), record.method.as_str().as_bytes());
        self.key(key!("url"));
        let start = self.out.len();
        json::string(record.url(), self.out);
        let url = start..self.out.len();
        // Where the route is known, it is all there is of the URL.
        if record.shape.is_none() {
            self.key(key!("route"));
            self.out.extend_from_within(url);
        } else {
            self.text(key!("route"), &record.route.template);
        }
        if let Some(operation) = &record.operation {
            self.text(key!("operationId"), operation);
        }
    }

    fn answer(&mut self, record: &Record) {
        match record.status {
            Some(status) => self.number(key!("status"), u64::from(status)),
            None => self.null(key!("status")),
        }
        self.millis(key!("duration"), Some(record.duration));
        self.millis(key!("ttfb"), record.ttfb);
        self.client(&record.caller, record.user_agent.as_deref());
        self.address(key!("clientIp"), sanitise::truncate_ip(record.client_ip));
        self.number(key!("bytesIn"), record.bytes_in);
        self.number(key!("bytesOut"), record.bytes_out);
        self.bool(key!("stream"), record.stream.is_some());
        // In a tunnel or behind a coding nobody sees messages: none is not the same as unknown.
        if let Some(stream) = record.stream.as_ref().filter(|stream| stream.kind.is_counted()) {
            self.number(key!("events"), stream.events);
        }
        self.token(key!("outcome"), record.outcome.as_str().as_bytes());
        if let Some(error_type) = record.error_type() {
            self.token(key!("errorType"), error_type.as_str().as_bytes());
        }
        if let Some(rejection) = record.rejection {
            self.token(key!("identityReason"), rejection.as_str().as_bytes());
        }
        if let Some(refusal) = record.would_refuse {
            self.token(key!("wouldRefuse"), refusal.error_type().as_str().as_bytes());
        }
        if let Some(limit) = &record.limited_by {
            self.text(key!("rateLimit"), limit);
        }
    }

    /// Who asks: the fields of every line about a request.
    fn client(&mut self, caller: &Caller, user_agent: Option<&str>) {
        match &caller.user {
            Some(user) => user.with_str(|user| self.text(key!("userId"), user)),
            None => self.null(key!("userId")),
        }
        match &caller.tenant {
            Some(tenant) => self.text(key!("tenantId"), tenant),
            None => self.null(key!("tenantId")),
        }
        match user_agent {
            Some(agent) => self.text(key!("userAgent"), agent),
            None => self.null(key!("userAgent")),
        }
    }

    fn telemetry(&mut self, record: &Record) {
        self.token(key!("traceId"), &record.trace.trace_id.hex());
        self.token(key!("spanId"), &record.trace.server_span.hex());
        self.bool(key!("sampled"), record.is_kept());
        if let Some(leg) = record.upstream {
            self.millis(key!("upstreamMs"), Some(leg.duration));
        }
        self.number(key!("overheadUs"), micros(record.overhead));
        if record.level() == Level::Error {
            if let Some(error_type) = record.error_type() {
                self.token(key!("error.type"), error_type.as_str().as_bytes());
            }
            self.text(key!("error.message"), &record.outcome.message(record.status));
        }
    }

    fn incoming(&mut self, incoming: &Incoming) {
        incoming.request_id.with_str(|id| self.token(key!("requestId"), id.as_bytes()));
        self.token(key!("method"), incoming.method.as_str().as_bytes());
        self.text(key!("url"), incoming.url());
        self.client(&incoming.caller, incoming.user_agent.as_deref());
    }

    fn audited(&mut self, audited: &Audited) {
        self.text(key!("event"), &audited.event);
        self.number(key!("seq"), audited.seq);
        audited.request_id.with_str(|id| self.token(key!("requestId"), id.as_bytes()));
    }

    fn datum(&mut self, key: &str, datum: &Datum) {
        self.out.push(b',');
        json::string(key, self.out);
        self.out.push(b':');
        match datum {
            Datum::Text(text) => json::string(text, self.out),
            Datum::Bool(true) => self.out.extend_from_slice(b"true"),
            Datum::Bool(false) => self.out.extend_from_slice(b"false"),
            Datum::Unsigned(number) => self.digits(*number),
            Datum::Signed(number) => {
                self.out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes());
            }
            Datum::Float(number) => self.out.extend_from_slice(number.to_string().as_bytes()),
        }
    }

    fn fact(&mut self, fact: &Fact) {
        // Its name is configured, so it may need an escape.
        self.out.push(b',');
        json::string(&fact.name, self.out);
        self.out.push(b':');
        match &fact.value {
            Value::Member(member) => json::string(member, self.out),
            Value::Length(count) | Value::Number(count) => self.digits(*count),
            Value::Pseudonym(name) => name.with_str(|digits| json::string(digits, self.out)),
        }
    }

    fn key(&mut self, key: &'static str) {
        self.out.extend_from_slice(key.as_bytes());
    }

    fn address(&mut self, key: &'static str, ip: IpAddr) {
        self.key(key);
        self.out.push(b'"');
        match ip {
            IpAddr::V4(ip) => {
                let [a, b, c, d] = ip.octets().map(u64::from);
                self.digits(a);
                for octet in [b, c, d] {
                    self.out.push(b'.');
                    self.digits(octet);
                }
            }
            IpAddr::V6(ip) => self.out.extend_from_slice(ip.to_string().as_bytes()),
        }
        self.out.push(b'"');
    }

    fn text(&mut self, key: &'static str, value: &str) {
        self.key(key);
        json::string(value, self.out);
    }

    /// A text that needs no escape by its making: a member of a closed set, an id, hex digits.
    fn token(&mut self, key: &'static str, value: &[u8]) {
        self.key(key);
        self.out.push(b'"');
        self.out.extend_from_slice(value);
        self.out.push(b'"');
    }

    fn number(&mut self, key: &'static str, value: u64) {
        self.key(key);
        self.digits(value);
    }

    fn bool(&mut self, key: &'static str, value: bool) {
        self.key(key);
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    fn null(&mut self, key: &'static str) {
        self.key(key);
        self.out.extend_from_slice(b"null");
    }

    /// Milliseconds with up to three decimals, without trailing zeros.
    fn millis(&mut self, key: &'static str, value: Option<Duration>) {
        let Some(value) = value else { return self.null(key) };
        let micros = micros(value);
        self.number(key, micros / 1000);
        let rest = micros % 1000;
        if rest > 0 {
            let [a, b, c] = [rest / 100, rest / 10, rest].map(|rest| b'0' + (rest % 10) as u8);
            let kept = if c == b'0' { 2 + usize::from(b != b'0') } else { 4 };
            self.out.extend_from_slice(&[b'.', a, b, c][..kept]);
        }
    }

    fn digits(&mut self, value: u64) {
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }
}

fn micros(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000).saturating_add(u64::from(duration.subsec_micros()))
}
