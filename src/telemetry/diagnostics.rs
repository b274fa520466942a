//! Our own log: what `tracing` macros say about the sidecar itself, on stderr and through the outputs of
//! the log.
//!
//! On stderr they are pretty on a terminal, else JSON, in the schema of the log. A stderr that stalls or
//! is closed stops nobody: entries wait in a bounded queue for one thread, and those that find no room
//! are counted and mentioned later. The same entries go to the running sidecar's [`Log`] through a
//! [`Feed`]. The SDK's own voices are heard from `warn` on.
//!
//! It never carries records about the traffic, and it sets the one process-wide subscriber, so only
//! `main` calls [`init`].
//!
//! [`Log`]: super::log::Log

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, Registry, reload};

use super::log::line::{Form, Format};
use super::log::{Entry, Said};
use crate::config::model::{Console, Log, LogLevel, Service};

mod feed;
mod stack;
#[cfg(test)]
mod tests;
mod voice;

pub use feed::Feed;
pub use stack::{leave_stack, stack, take_stack};
use voice::Voice;

/// Lines that wait for stderr.
const CAPACITY: usize = 1024;

/// Libraries whose details are not ours to tell.
const QUIET: [&str; 2] = ["opentelemetry", "sentry"];

/// Libraries that warn of what a peer did: any client could fill the log with that.
const MUTE: [&str; 3] = ["hyper", "h2", "rustls"];

/// The running log. Close it last, or its last lines may be missing.
#[derive(Debug)]
pub struct Diagnostics {
    lines: SyncSender<Job>,
    feed: Feed,
    is_json: bool,
}

/// How much diagnostics say. Clones turn the same knob.
#[derive(Clone, Debug)]
pub struct Volume(reload::Handle<Targets, Registry>);

impl Volume {
    /// Lets this level and louder be heard from now on.
    pub fn turn_to(&self, level: LogLevel) {
        // It fails only where nobody listens any more.
        drop(self.0.reload(filter(level)));
    }
}

/// The log could not be started.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// No thread could be had for it.
    #[error("starting the thread of the diagnostics: {0}")]
    Thread(#[from] io::Error),
    /// Somebody has set a subscriber already.
    #[error("setting the diagnostics up twice: {0}")]
    Twice(#[from] TryInitError),
}

/// Sends diagnostics of the log's level and louder to stderr, for the whole process.
pub fn init(log: &Log, service: &Service) -> Result<(Diagnostics, Volume), InitError> {
    let form = form(log);
    let (voice, mut diagnostics) = start(Format::new(service, form), Box::new(io::stderr()))?;
    diagnostics.is_json = form != Form::Pretty;
    let (filter, volume) = volume(log.level);
    tracing_subscriber::registry().with(voice.with_filter(filter)).try_init()?;
    Ok((diagnostics, volume))
}

/// The form of lines on stderr: the console's, but that nothing turns them off.
fn form(log: &Log) -> Form {
    match log.console {
        Console::Pretty => Form::Pretty,
        Console::Auto | Console::Off if io::stderr().is_terminal() => Form::Pretty,
        Console::Auto | Console::Off | Console::Json => Form::Json(log.schema),
    }
}

impl Diagnostics {
    /// The way to the outputs of a sidecar's log, for who starts the sidecar.
    pub fn feed(&self) -> Feed {
        self.feed.clone()
    }

    /// Whether lines on stderr are for programs.
    pub fn is_json(&self) -> bool {
        self.is_json
    }

    /// Says something on stderr alone, whatever the log's level. `false` if there was no room for it.
    pub fn say(&self, said: Said) -> bool {
        self.lines.try_send(Job::Line(Entry::Said(Arc::new(said)))).is_ok()
    }

    /// Waits until all lines so far are written, but not longer than `limit`. Blocks; call it when
    /// the runtime is gone.
    pub fn close(self, limit: Duration) {
        let (written, answer) = sync_channel(1);
        if self.lines.try_send(Job::Flush(written)).is_ok() {
            answer.recv_timeout(limit).ok();
        }
    }
}

/// What lets this level and louder through, until it is turned.
fn volume(level: LogLevel) -> (reload::Layer<Targets, Registry>, Volume) {
    let (filter, handle) = reload::Layer::new(filter(level));
    (filter, Volume(handle))
}

fn filter(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    let quiet = level.min(LevelFilter::WARN);
    Targets::new()
        .with_default(level)
        .with_targets(QUIET.map(|target| (target, quiet)))
        .with_targets(MUTE.map(|target| (target, LevelFilter::ERROR)))
}

fn start(format: Format, out: Box<dyn Write + Send>) -> io::Result<(Voice, Diagnostics)> {
    let (lines, work) = sync_channel(CAPACITY);
    let (lost, feed) = (Arc::new(AtomicU64::new(0)), Feed::default());
    let counted = Arc::clone(&lost);
    thread::Builder::new()
        .name("diagnostics".to_owned())
        .spawn(move || write_lines(&work, &counted, format, out))?;
    let voice = Voice { lines: lines.clone(), lost, feed: feed.clone() };
    Ok((voice, Diagnostics { lines, feed, is_json: false }))
}

enum Job {
    Line(Entry),
    Flush(SyncSender<()>),
}

fn write_lines(
    work: &Receiver<Job>,
    lost: &AtomicU64,
    mut format: Format,
    mut out: Box<dyn Write + Send>,
) {
    let mut line = Vec::new();
    for job in work {
        match job {
            // A closed stderr has no reader to miss anything.
            Job::Line(entry) => {
                line.clear();
                format.write(&entry, &mut line);
                out.write_all(&line).and_then(|()| out.flush()).ok()
            }
            Job::Flush(written) => written.try_send(()).ok(),
        };
        let lost = lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            tracing::warn!(lost, "Diagnostics were lost because stderr was slow.");
        }
    }
}
