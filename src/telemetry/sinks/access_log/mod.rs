//! The log's own outputs: one line per entry, to the console or to `combined.log` and `error.log`.
//!
//! Each output has its own lane, worker and thread, so a reader of stdout that stalls holds up
//! neither the files nor a single request: its lane fills, and drops are counted. Lines are formatted
//! and written on the output's own thread, never on a runtime worker; the thread is not from the
//! runtime's blocking pool, because a write that never returns must not keep the process from
//! ending.
//!
//! It does not rotate files and never reopens them.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use async_trait::async_trait;
use tokio::sync::oneshot;

use super::file::Lines;
pub use super::file::OpenError;
use crate::config::model::{Console, Log, LogLevel, Schema, Service};
use crate::telemetry::log::Entry;
pub use crate::telemetry::log::line::Form;
use crate::telemetry::log::line::Format;
use crate::telemetry::sink::{Delivery, Sink};

/// The form of the console's lines, or `None` where it is off. `auto` is pretty on a terminal.
pub fn console_form(log: &Log) -> Option<Form> {
    match log.console {
        Console::Auto if io::stdout().is_terminal() => Some(Form::Pretty),
        Console::Auto | Console::Json => Some(Form::Json(log.schema)),
        Console::Pretty => Some(Form::Pretty),
        Console::Off => None,
    }
}

/// One output of the log.
#[derive(Debug)]
pub struct AccessLog {
    name: &'static str,
    jobs: Option<SyncSender<Job>>,
}

/// A batch for the writer's thread.
struct Job {
    entries: Vec<Entry>,
    /// Gets the number of entries whose lines arrived.
    arrived: oneshot::Sender<usize>,
}

impl AccessLog {
    /// Lines to stdout. Fails where stdout is closed or no thread can be had.
    pub fn stdout(service: &Service, form: Form) -> io::Result<Self> {
        // Not `io::stdout()`: its buffer flushes by line and its lock is everybody's.
        let out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        Self::console(service, form, Box::new(out))
    }

    /// Lines to any writer, as `console`.
    pub fn console(service: &Service, form: Form, out: Box<dyn Write + Send>) -> io::Result<Self> {
        Self::start("console", Scribe::new(service, form, Lines::new(out), None))
    }

    /// JSON lines to `combined.log`, and those of level error to `error.log` as well. Makes the
    /// directory where it is missing.
    pub fn files(service: &Service, schema: Schema, directory: &Path) -> Result<Self, OpenError> {
        let combined = Lines::append(directory, "combined.log")?;
        let errors = Lines::append(directory, "error.log")?;
        Self::start("file", Scribe::new(service, Form::Json(schema), combined, Some(errors)))
            .map_err(|error| OpenError { path: directory.to_owned(), error })
    }

    fn start(name: &'static str, mut scribe: Scribe) -> io::Result<Self> {
        let (jobs, work) = sync_channel(1);
        thread::Builder::new().name(format!("log-{name}")).spawn(move || scribe.run(&work))?;
        Ok(Self { name, jobs: Some(jobs) })
    }
}

#[async_trait]
impl Sink for AccessLog {
    type Item = Entry;

    fn name(&self) -> &'static str {
        self.name
    }

    /// Waits as long as the output takes: a stalled reader stalls this sink and its lane, nothing
    /// else. Dropping the future does not stop the thread; lines counted as lost may still appear.
    async fn deliver(&mut self, batch: Vec<Self::Item>) -> Delivery {
        let count = batch.len();
        let (arrived, answer) = oneshot::channel();
        let job = Job { entries: batch, arrived };
        // One job at a time, so there is always room unless the thread is gone.
        let sent = self.jobs.as_ref().is_some_and(|jobs| jobs.try_send(job).is_ok());
        let arrived = if sent { answer.await.unwrap_or(0) } else { 0 };
        let lost = (count - arrived) as u64;
        let dropped = if lost > 0 { vec![("io", lost)] } else { Vec::new() };
        Delivery { exported: arrived as u64, dropped, handed_over: 0 }
    }

    /// Lets the thread end; every line it was given has been written or counted as lost by then.
    async fn close(&mut self) {
        self.jobs = None;
    }
}

/// What lives on the output's thread.
struct Scribe {
    format: Format,
    all: Lines,
    errors: Option<Lines>,
    text: Text,
    error_text: Text,
    /// Which lines of the batch went to `error_text`.
    error_lines: Vec<usize>,
}

/// Lines of one batch, in one buffer.
#[derive(Default)]
struct Text {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Scribe {
    fn new(service: &Service, form: Form, all: Lines, errors: Option<Lines>) -> Self {
        let [text, error_text] = [Text::default(), Text::default()];
        let format = Format::new(service, form);
        Self { format, all, errors, text, error_text, error_lines: Vec::new() }
    }

    fn run(&mut self, work: &Receiver<Job>) {
        for job in work {
            let arrived = self.write(&job.entries);
            // The worker may have given up waiting; then it has counted the batch as lost.
            job.arrived.send(arrived).ok();
        }
    }

    /// Writes a line per entry, and says how many entries are in every file they belong in.
    fn write(&mut self, entries: &[Entry]) -> usize {
        self.text.clear();
        self.error_text.clear();
        self.error_lines.clear();
        for (index, entry) in entries.iter().enumerate() {
            let line = self.text.push(|bytes| self.format.write(entry, bytes));
            if self.errors.is_some() && entry.level() == LogLevel::Error {
                self.error_text.push(|bytes| bytes.extend_from_slice(line));
                self.error_lines.push(index);
            }
        }
        let kept = self.all.write(&self.text.bytes, &self.text.ends);
        let Some(errors) = self.errors.as_mut().filter(|_| !self.error_lines.is_empty()) else {
            return kept;
        };
        let kept_errors = errors.write(&self.error_text.bytes, &self.error_text.ends);
        let missing = self.error_lines[kept_errors..].iter().filter(|line| **line < kept).count();
        kept - missing
    }
}

impl Text {
    fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> &[u8] {
        let start = self.bytes.len();
        write(&mut self.bytes);
        self.ends.push(self.bytes.len());
        &self.bytes[start..]
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

#[cfg(test)]
mod tests;
