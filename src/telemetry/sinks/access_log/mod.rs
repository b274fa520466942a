//! The log's own outputs: one line per entry, to the console or to `combined.log` and `error.log`.
//!
//! Each output has its own lane, worker and thread, so a reader of stdout that stalls holds up
//! neither the files nor a single request: its lane fills, and drops are counted. Lines are formatted
//! and written on the output's own thread, never on a runtime worker; the thread is not from the
//! runtime's blocking pool, because a write that never returns must not keep the process from
//! ending.
//!
//! What an output loses it says itself, in a line before the next one that gets through. How files
//! rotate is not known here.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::file::Lines;
pub use super::file::OpenError;
use crate::config::model::{Console, Log, LogFiles, Schema, Service};
use crate::telemetry::log::Entry;
pub use crate::telemetry::log::line::Form;
use crate::telemetry::sink::{Delivery, Sink};

mod missing;
mod scribe;

use scribe::Scribe;

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
    jobs: Jobs,
    /// What the lane has dropped for want of room.
    missed: u64,
    /// Why the last batch did not arrive.
    trouble: Option<String>,
}

/// Where the thread gets its jobs from; `None` once it shall end.
type Jobs = Arc<Mutex<Option<SyncSender<Job>>>>;

/// Jobs that wait for the thread at most: a batch, and a wish to open the files again.
const WAITING: usize = 2;

/// What the thread is to do.
enum Job {
    /// Write a batch.
    Write {
        entries: Vec<Entry>,
        /// What the lane had dropped before.
        missed: u64,
        /// Gets the number of entries whose lines arrived, and why others did not.
        arrived: oneshot::Sender<(usize, Option<String>)>,
    },
    /// Leave the files for those that have their names now.
    Reopen {
        /// To be cleared first of all.
        asked: Arc<AtomicBool>,
    },
}

/// How to have log files opened again, after somebody else has moved them. The default has none.
#[derive(Clone, Debug, Default)]
pub struct Reopen {
    jobs: Jobs,
    /// Whether one waits already; it will do.
    asked: Arc<AtomicBool>,
}

impl Reopen {
    /// Asks for it. Never waits; what is in the queue before goes to the old files.
    pub fn ask(&self) {
        let jobs = self.jobs.lock();
        if let Some(jobs) = &*jobs
            && !self.asked.swap(true, Ordering::AcqRel)
        {
            // There is room, unless the thread is gone.
            drop(jobs.try_send(Job::Reopen { asked: Arc::clone(&self.asked) }));
        }
    }
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
        Self::start("console", Scribe::new(service, form, Lines::stream(out), None))
    }

    /// The files that `[log]` asks for, if it does. See [`Self::files`].
    pub fn files_of(service: &Service, log: &Log) -> Result<Option<Self>, OpenError> {
        let open = |directory: &PathBuf| Self::files(service, log.schema, directory, &log.files);
        log.directory.as_ref().map(open).transpose()
    }

    /// JSON lines to `combined.log`, and those of level error to `error.log` as well. Makes the
    /// directory where it is missing. Blocks, for half a second where another process has the directory.
    pub fn files(
        service: &Service,
        schema: Schema,
        directory: &Path,
        files: &LogFiles,
    ) -> Result<Self, OpenError> {
        let [combined, errors] = Lines::append(directory, ["combined.log", "error.log"], files)?;
        Self::start("file", Scribe::new(service, Form::Json(schema), combined, Some(errors)))
            .map_err(|error| OpenError { path: directory.to_owned(), error })
    }

    /// How to have its files opened again.
    pub fn reopen(&self) -> Reopen {
        Reopen { jobs: Arc::clone(&self.jobs), asked: Arc::default() }
    }

    fn start(name: &'static str, mut scribe: Scribe) -> io::Result<Self> {
        let (jobs, work) = sync_channel(WAITING);
        thread::Builder::new().name(format!("log-{name}")).spawn(move || scribe.run(&work))?;
        Ok(Self { name, jobs: Arc::new(Mutex::new(Some(jobs))), missed: 0, trouble: None })
    }
}

#[async_trait]
impl Sink for AccessLog {
    type Item = Entry;

    fn name(&self) -> &'static str {
        self.name
    }

    fn missed(&mut self, total: u64) {
        self.missed = total;
    }

    /// Waits as long as the output takes: a stalled reader stalls this sink and its lane, nothing
    /// else. Dropping the future does not stop the thread; lines counted as lost may still appear.
    async fn deliver(&mut self, batch: Vec<Self::Item>) -> Delivery {
        let count = batch.len();
        let (arrived, answer) = oneshot::channel();
        let job = Job::Write { entries: batch, missed: self.missed, arrived };
        // One batch at a time, so there is always room unless the thread is gone.
        let sent = self.jobs.lock().as_ref().is_some_and(|jobs| jobs.try_send(job).is_ok());
        let (arrived, trouble) = if sent { answer.await.ok() } else { None }.unwrap_or_default();
        self.trouble = trouble;
        let lost = (count - arrived) as u64;
        let dropped = if lost > 0 { vec![("io", lost)] } else { Vec::new() };
        Delivery { exported: arrived as u64, dropped, ..Delivery::default() }
    }

    fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Lets the thread end; every line it was given has been written or counted as lost by then.
    async fn close(&mut self) {
        self.jobs.lock().take();
    }
}

#[cfg(test)]
mod tests;
