//! The form of one line of the log: which schema, and for whom.
//!
//! Whatever the schema, a line is one line, it is printable, and what a client or an upstream sends can
//! neither forge a field nor steer a terminal. What the fields are called is in `schema` beside it.

use super::entry::Entry;
use super::schema::ecs::Ecs;
use super::schema::otel::Otel;
use super::schema::pretty;
use super::schema::winston::Winston;
use crate::config::model::{Schema, Service};
use crate::telemetry::timestamp::Clock;

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One JSON object with the names of this schema.
    Json(Schema),
    /// `TIMESTAMP [level]: message {fields}`, for people.
    Pretty,
}

/// Writes lines of one form.
#[derive(Debug)]
pub(in crate::telemetry) struct Format {
    names: Names,
    clock: Clock,
}

/// Whose names the fields have, with what is the same on every line already written.
#[derive(Debug)]
enum Names {
    Winston(Winston),
    Otel(Otel),
    Ecs(Ecs),
    Pretty,
}

impl Format {
    pub(in crate::telemetry) fn new(service: &Service, form: Form) -> Self {
        let names = match form {
            Form::Json(Schema::Winston) => Names::Winston(Winston::json(service)),
            Form::Json(Schema::Otel) => Names::Otel(Otel::new(service)),
            Form::Json(Schema::Ecs) => Names::Ecs(Ecs::new(service)),
            Form::Pretty => Names::Pretty,
        };
        Self { names, clock: Clock::default() }
    }

    /// Appends the entry's line, newline included.
    pub(in crate::telemetry) fn write(&mut self, entry: &Entry, out: &mut Vec<u8>) {
        match &self.names {
            Names::Winston(winston) => winston.write(entry, &mut self.clock, out),
            Names::Otel(otel) => otel.write(entry, out),
            Names::Ecs(ecs) => ecs.write(entry, &mut self.clock, out),
            Names::Pretty => pretty::write(entry, &mut self.clock, out),
        }
    }
}
