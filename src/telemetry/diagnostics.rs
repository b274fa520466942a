//! Our own log: what `tracing` macros say about the sidecar itself, as lines on stderr.
//!
//! Pretty on a terminal, else JSON. A stderr that stalls or is closed stops nobody: lines wait in a
//! bounded queue for one thread, and those that find no room are counted and mentioned later. The
//! SDK's own voices are heard from `warn` on.
//!
//! It never carries records about the traffic, and it sets the one process-wide subscriber, so only
//! `main` calls [`init`].

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, SystemTime};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use super::json;
use super::timestamp::Clock;
use crate::config::model::LogLevel;

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

/// Sends diagnostics of this level and louder to stderr, for the whole process.
pub fn init(level: LogLevel, service: &str) -> Result<Diagnostics, InitError> {
    let is_pretty = io::stderr().is_terminal();
    let (voice, diagnostics) = start(service, is_pretty, Box::new(io::stderr()))?;
    tracing_subscriber::registry().with(voice.with_filter(filter(level))).try_init()?;
    Ok(diagnostics)
}

impl Diagnostics {
    /// Waits until all lines so far are written, but not longer than `limit`. Blocks; call it when
    /// the runtime is gone.
    pub fn close(self, limit: Duration) {
        let (written, answer) = sync_channel(1);
        if self.lines.try_send(Job::Flush(written)).is_ok() {
            answer.recv_timeout(limit).ok();
        }
    }
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

fn start(
    service: &str,
    is_pretty: bool,
    out: Box<dyn Write + Send>,
) -> io::Result<(Voice, Diagnostics)> {
    let (lines, work) = sync_channel(CAPACITY);
    let lost = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&lost);
    thread::Builder::new()
        .name("diagnostics".to_owned())
        .spawn(move || write_lines(&work, &counted, out))?;
    let voice = Voice { lines: lines.clone(), lost, service: service.to_owned(), is_pretty };
    Ok((voice, Diagnostics { lines }))
}

enum Job {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

fn write_lines(work: &Receiver<Job>, lost: &AtomicU64, mut out: Box<dyn Write + Send>) {
    for job in work {
        match job {
            // A closed stderr has no reader to miss anything.
            Job::Line(line) => out.write_all(&line).and_then(|()| out.flush()).ok(),
            Job::Flush(written) => written.try_send(()).ok(),
        };
        let lost = lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            tracing::warn!(lost, "Diagnostics were lost because stderr was slow.");
        }
    }
}

/// Turns events into lines.
struct Voice {
    lines: SyncSender<Job>,
    lost: Arc<AtomicU64>,
    service: String,
    is_pretty: bool,
}

impl<S: Subscriber> Layer<S> for Voice {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut said = Said::default();
        event.record(&mut said);
        let line = self.line(*event.metadata().level(), &said);
        if self.lines.try_send(Job::Line(line)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Voice {
    fn line(&self, level: Level, said: &Said) -> Vec<u8> {
        let level = level.as_str().to_ascii_lowercase();
        let mut out = Vec::with_capacity(256);
        if self.is_pretty {
            Clock::default().write(SystemTime::now(), &mut out);
            out.extend_from_slice(format!(" [{level}]: ").as_bytes());
            let start = out.len();
            json::string(&said.message, &mut out);
            out.remove(start); // Escaped like JSON, but without the quotes.
            out.pop();
            if !said.fields.is_empty() {
                out.extend_from_slice(b" {");
                out.extend_from_slice(&said.fields);
                out.push(b'}');
            }
        } else {
            out.extend_from_slice(b"{\"timestamp\":\"");
            Clock::default().write(SystemTime::now(), &mut out);
            out.extend_from_slice(format!("\",\"level\":\"{level}\",\"message\":").as_bytes());
            json::string(&said.message, &mut out);
            out.extend_from_slice(b",\"service\":");
            json::string(&self.service, &mut out);
            if !said.fields.is_empty() {
                out.push(b',');
                out.extend_from_slice(&said.fields);
            }
            out.push(b'}');
        }
        out.push(b'\n');
        out
    }
}

/// What an event said.
#[derive(Default)]
struct Said {
    message: String,
    /// The inside of a JSON object.
    fields: Vec<u8>,
}

impl Said {
    fn field(&mut self, name: &str, value: &str) {
        self.key(name);
        json::string(value, &mut self.fields);
    }

    fn literal(&mut self, name: &str, value: &str) {
        self.key(name);
        self.fields.extend_from_slice(value.as_bytes());
    }

    fn key(&mut self, name: &str) {
        if !self.fields.is_empty() {
            self.fields.push(b',');
        }
        json::string(name, &mut self.fields);
        self.fields.push(b':');
    }
}

impl Visit for Said {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.literal(field.name(), &value.to_string());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.literal(field.name(), &value.to_string());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.literal(field.name(), if value { "true" } else { "false" });
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            name => self.field(name, value),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn hear(level: LogLevel, is_pretty: bool, say: impl FnOnce()) -> String {
        let paper = Paper::default();
        let (voice, diagnostics) = start("orders", is_pretty, Box::new(paper.clone())).unwrap();
        let subscriber = tracing_subscriber::registry().with(voice.with_filter(filter(level)));
        tracing::subscriber::with_default(subscriber, say);
        diagnostics.close(Duration::from_secs(20));
        String::from_utf8(std::mem::take(&mut *paper.0.lock())).unwrap()
    }

    #[test]
    fn what_a_library_warns_of_a_peer_is_not_ours_to_repeat() {
        for level in [LogLevel::Debug, LogLevel::Info, LogLevel::Warn, LogLevel::Error] {
            let filter = filter(level);
            for target in ["h2::proto::streams", "hyper::proto", "rustls::msgs"] {
                assert!(!filter.would_enable(target, &Level::WARN), "{target}");
            }
        }
        assert!(filter(LogLevel::Warn).would_enable("vital_sidecar", &Level::WARN));
    }

    #[test]
    fn a_json_line_carries_message_service_and_fields() {
        let text = hear(LogLevel::Info, false, || {
            tracing::warn!(error = %"no\nroom", count = 3, "Something broke.");
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["level"], "warn");
        assert_eq!(line["message"], "Something broke.");
        assert_eq!(line["service"], "orders");
        assert_eq!(line["error"], "no\nroom");
        assert_eq!(line["count"], 3);
    }

    #[test]
    fn a_pretty_line_is_one_line_and_steers_no_terminal() {
        let text = hear(LogLevel::Info, true, || tracing::info!(path = "a\u{1b}[2J", "It is\nup."));
        assert!(text.ends_with(" [info]: It is\\nup. {\"path\":\"a\\u001b[2J\"}\n"), "{text}");
    }

    #[test]
    fn levels_below_the_configured_and_chatty_libraries_are_silent() {
        let text = hear(LogLevel::Info, true, || {
            tracing::debug!("Detail.");
            tracing::info!(target: "opentelemetry_sdk", "Chatter.");
            tracing::warn!(target: "opentelemetry-otlp", "Trouble.");
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("Trouble."), "{text}");
    }

    /// A reader that never comes back.
    struct Stalled(Receiver<()>);

    impl Write for Stalled {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            self.0.recv().ok();
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stalled_stderr_holds_nobody_up() {
        let (_hold, never) = std::sync::mpsc::channel();
        let (voice, diagnostics) = start("orders", false, Box::new(Stalled(never))).unwrap();
        let lost = Arc::clone(&voice.lost);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(voice), || {
            for _ in 0..CAPACITY + 10 {
                tracing::info!("Going on.");
            }
        });
        assert!(lost.load(Ordering::Relaxed) >= 9, "one may be in the thread's hands");
        diagnostics.close(Duration::ZERO);
    }
}
