//! The ear of `tracing`: an event becomes one entry of the log.
//!
//! Its fields keep their names and their order; `error` is called [`Said::ERROR_MESSAGE`], as on the lines
//! of the traffic, and an error without a kind gets one. A text is cut at a bound, because a library may
//! say anything.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::SystemTime;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::{Feed, Job};
use crate::config::model::LogLevel;
use crate::telemetry::log::{Datum, Entry, Said};

/// Bytes of a text at most.
const MOST: usize = 8 * 1024;

/// Turns events into entries, and hands them on.
pub(super) struct Voice {
    pub(super) lines: SyncSender<Job>,
    /// Entries that found no room on their way to stderr.
    pub(super) lost: Arc<AtomicU64>,
    pub(super) feed: Feed,
}

impl<S: Subscriber> Layer<S> for Voice {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut note = Note::default();
        event.record(&mut note);
        let entry = Entry::Said(Arc::new(note.said(*event.metadata().level())));
        self.feed.say(&entry);
        if self.lines.try_send(Job::Line(entry)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What an event said.
#[derive(Default)]
struct Note {
    message: String,
    fields: Vec<(&'static str, Datum)>,
}

impl Note {
    fn said(mut self, level: Level) -> Said {
        let level = match level {
            Level::ERROR => LogLevel::Error,
            Level::WARN => LogLevel::Warn,
            Level::INFO => LogLevel::Info,
            Level::DEBUG | Level::TRACE => LogLevel::Debug,
        };
        if level == LogLevel::Error {
            if !self.has(Said::ERROR_TYPE) {
                self.put(Said::ERROR_TYPE, Datum::Text("_OTHER".to_owned()));
            }
            if !self.has(Said::ERROR_MESSAGE) {
                self.put(Said::ERROR_MESSAGE, Datum::Text(self.message.clone()));
            }
        }
        Said { at: SystemTime::now(), level, message: self.message, fields: self.fields }
    }

    fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(known, _)| *known == name)
    }

    /// Notes a field. What is said twice is what was said last.
    fn put(&mut self, name: &'static str, datum: Datum) {
        let name = if name == "error" { Said::ERROR_MESSAGE } else { name };
        match self.fields.iter_mut().find(|(known, _)| *known == name) {
            Some((_, before)) => *before = datum,
            None => self.fields.push((name, datum)),
        }
    }
}

impl Visit for Note {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field.name(), Datum::Unsigned(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name(), Datum::Signed(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field.name(), Datum::Float(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), Datum::Bool(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let text = value[..value.floor_char_boundary(MOST)].to_owned();
        match field.name() {
            "message" => self.message = text,
            name => self.put(name, Datum::Text(text)),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}
