//! The event itself: an allow-list, field by field.
//!
//! Every value is ours, a name from the configuration, a number or an id. There is no URL, no query,
//! no header, no address and no host name in it. The user is a pseudonym, unless the configuration
//! wants it raw.

use std::borrow::Cow;
use std::collections::BTreeMap;

use ::sentry::Envelope;
use ::sentry::protocol::{
    Context, Event, Exception, Level, LogEntry, TraceContext, User as Sender, Values,
};

use crate::record::{ConfigName, Record, User};

/// Which deployment the events come from.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) environment: String,
    pub(super) release: String,
}

/// The bytes of an envelope with one event. `None` if it cannot be written, which does not happen
/// in memory.
pub(super) fn envelope(record: &Record, origin: &Origin) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(1024);
    Envelope::from(event(record, origin)).to_writer(&mut bytes).ok()?;
    Some(bytes)
}

/// What Sentry groups by: the kind of error, and where.
pub(super) fn fingerprint(record: &Record) -> (ConfigName, ConfigName) {
    let kind = record.error_type().map_or("_OTHER".into(), |kind| kind.name());
    (kind, record.route.template.clone())
}

fn event(record: &Record, origin: &Origin) -> Event<'static> {
    let (kind, template) = fingerprint(record);
    let (kind, template) = (&*kind, &*template);
    let message = record.outcome.message(record.status).into_owned();
    let exception =
        Exception { ty: kind.to_owned(), value: Some(message.clone()), ..Exception::default() };
    let trace = TraceContext {
        trace_id: record.trace.trace_id.0.into(),
        span_id: record.trace.server_span.0.into(),
        op: Some("http.server".to_owned()),
        ..TraceContext::default()
    };
    Event {
        level: Level::Error,
        timestamp: record.started + record.duration,
        logentry: Some(LogEntry { message, params: Vec::new() }),
        exception: Values { values: vec![exception] },
        transaction: Some(format!("{} {template}", record.method)),
        fingerprint: vec![Cow::Owned(kind.to_owned()), Cow::Owned(template.to_owned())].into(),
        environment: Some(origin.environment.clone().into()),
        release: Some(origin.release.clone().into()),
        tags: tags(record, kind, template),
        user: record.caller.user.as_ref().map(user),
        contexts: BTreeMap::from([("trace".to_owned(), Context::Trace(Box::new(trace)))]),
        ..Event::default()
    }
}

/// The user as all of telemetry shows it: Sentry counts the users that an error meets.
fn user(shown: &User) -> Sender {
    Sender { id: Some(shown.with_str(str::to_owned)), ..Sender::default() }
}

fn tags(record: &Record, kind: &str, template: &str) -> BTreeMap<String, String> {
    let mut tags = BTreeMap::new();
    let mut tag = |name: &str, value: &str| {
        tags.insert(name.to_owned(), value.to_owned());
    };
    tag("error.type", kind);
    tag("method", record.method.as_str());
    tag("route", template);
    // A tag, because Sentry searches tags: a user quotes the id from the error page.
    tag("request_id", &record.request_id.to_string());
    if let Some(status) = record.status {
        tag("http.status_code", itoa::Buffer::new().format(status));
    }
    tags
}
