//! The birth of the voices: which sinks a configuration asks for.
//!
//! A configured sink that cannot work refuses to start, with the reason; a default that cannot work
//! degrades, with one line.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use parking_lot::Mutex;
use thiserror::Error;

use super::alerts::Alerts;
use super::books::Books;
use super::export::spool::Spool;
use super::export::transport::ConnectError;
use super::export_client::{CaFileError, ExportClient};
use super::lane::Lane;
use super::ledger::{Account, Book, Ledger};
use super::log::Log;
use super::metrics::{Metrics, sources};
use super::post::Mail;
use super::sink::Sink;
use super::sinks::access_log::{self, AccessLog, OpenError};
use super::sinks::datadog::DatadogSink;
use super::sinks::otlp::OtlpError;
use super::sinks::otlp::logs::OtlpLogs;
use super::sinks::otlp::metrics::MetricsPush;
use super::sinks::otlp::spans::OtlpSpans;
use super::sinks::sentry::{BadDsn, SentrySink};
use super::{Telemetry, worker};
use crate::config::Config;

/// Lines that wait for the log at most, and that are written at a time.
const LOG: (usize, usize) = (16 * 1024, 256);
/// Sampled records that wait for the collector at most, and that are sent at a time.
const SPANS: (usize, usize) = (4096, 256);
/// Failures that wait for Sentry at most, and that are sent at a time.
const ERRORS: (usize, usize) = (256, 16);

/// Where the console's lines go.
pub enum Console {
    /// The process's standard output.
    Stdout,
    /// Somewhere else (tests).
    To(Box<dyn Write + Send>),
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if matches!(self, Self::Stdout) { "Stdout" } else { "To(..)" })
    }
}

/// What was opened on the disk before the voices start: that may block, and they start on a runtime worker.
#[derive(Debug, Default)]
pub struct Opened {
    /// Where parcels wait, if on disk.
    pub spool: Option<Arc<Spool>>,
    /// The log's own files, if there are some; see [`AccessLog::files_of`].
    pub log_files: Option<AccessLog>,
}

/// Why the voices cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The log's thread could not be started.
    #[error("starting the access log: {0}")]
    Log(#[from] io::Error),
    /// A log file could not be opened.
    #[error("opening the log files: {0}")]
    LogFiles(#[from] OpenError),
    /// The exporter could not be built.
    #[error("preparing the OTLP exporter: {0}")]
    Otlp(#[from] OtlpError),
    /// The collector of metrics cannot be spoken to as configured.
    #[error("preparing the push of metrics: {0}")]
    Metrics(#[from] ConnectError),
    /// The intake cannot be spoken to as configured.
    #[error("preparing Datadog: {0}")]
    Datadog(#[source] ConnectError),
    /// The DSN is not one.
    #[error("preparing Sentry: {0}")]
    Sentry(#[from] BadDsn),
    /// The client for Sentry could not be built.
    #[error("preparing Sentry: {0}")]
    SentryClient(#[from] CaFileError),
}

impl Telemetry {
    /// Starts every voice that the configuration asks for, with what was opened for it. Needs a runtime.
    pub fn start(
        config: &Config,
        metrics: Metrics,
        console: Console,
        Opened { spool, log_files }: Opened,
    ) -> Result<Self, StartError> {
        let mut voices = Self::silent(metrics);
        let mut log = Log::silent(config.log.level);
        let mut ledger = Ledger::default();
        if let Some(form) = access_log::console_form(&config.log) {
            let console = match console {
                Console::Stdout => AccessLog::stdout(&config.service, form)?,
                Console::To(out) => AccessLog::console(&config.service, form, out)?,
            };
            log.hear_on_console(voices.open(&mut ledger, console, "logs", LOG));
        }
        if let Some(files) = log_files {
            voices.log_files = files.reopen();
            log.hear(voices.open(&mut ledger, files, "logs", LOG));
        }
        voices.ship(config, spool.as_ref(), &mut log, &mut ledger)?;
        if let Some(otlp) = OtlpSpans::start(config, spool.as_ref())? {
            voices.spans = Some(voices.open(&mut ledger, otlp, "traces", SPANS));
        }
        if voices.spans.is_none() || !config.metrics.has_exemplars {
            voices.metrics.leave_out_exemplars();
        }
        if let Some(sentry) = &config.sentry {
            let sink = SentrySink::new(sentry, Mail::new(ExportClient::new(None)?))?;
            voices.errors = Some(voices.open(&mut ledger, sink, "errors", ERRORS));
        }
        let push = MetricsPush::start(config, &voices.metrics, spool.as_ref())?;
        if let Some(push) = &push {
            ledger.add(push.book());
        }
        for (signal, books) in spool.iter().flat_map(|spool| spool.left_over()) {
            tracing::info!(
                signal,
                "What an earlier run spooled waits: this one does not export it."
            );
            ledger.add(Arc::new(LeftOver(signal, books)));
        }
        voices.push = Mutex::new(push);
        voices.log = Arc::new(log);
        voices.ledger = Arc::new(ledger);
        voices.spool = Mutex::new(spool);
        let asked = Arc::clone(&voices.ledger);
        voices.metrics.register(sources::sinks(move || counts(&asked)));
        voices.alerts = Some(Alerts::start(config, &voices.metrics, &voices.ledger)?);
        Ok(voices)
    }

    /// Opens what sends the log elsewhere.
    fn ship(
        &self,
        config: &Config,
        spool: Option<&Arc<Spool>>,
        log: &mut Log,
        ledger: &mut Ledger,
    ) -> Result<(), StartError> {
        if let Some(collector) = OtlpLogs::start(config, spool)? {
            log.hear(self.open(ledger, collector, "logs", LOG));
        }
        if let Some(datadog) = DatadogSink::start(config, spool).map_err(StartError::Datadog)? {
            log.hear(self.open(ledger, datadog, "logs", LOG));
        }
        Ok(())
    }

    fn open<S: Sink>(
        &self,
        ledger: &mut Ledger,
        sink: S,
        signal: &'static str,
        (capacity, batch): (usize, usize),
    ) -> Arc<Lane<S::Item>> {
        let (lane, worker) = worker::start(sink, signal, capacity, batch);
        ledger.add(Arc::clone(&lane) as Arc<dyn Book>);
        self.workers.lock().push(worker);
        lane
    }
}

fn counts(ledger: &Ledger) -> Vec<sources::SinkCounts> {
    let accounts = ledger.snapshot().into_iter();
    accounts
        .map(|account| sources::SinkCounts {
            signal: account.signal,
            sink: account.sink,
            accepted: account.accepted,
            exported: account.exported,
            dropped: account.dropped.into_iter().collect(),
            in_flight: account.in_flight,
            spool_bytes: account.spool_bytes,
            capacity: account.capacity as u64,
            attempts: account.attempts.into_iter().collect(),
            last_success: account.last_success,
        })
        .collect()
}

/// The account of what waits in the spool while nobody exports its signal.
struct LeftOver(&'static str, Arc<Books>);

impl Book for LeftOver {
    fn account(&self) -> Account {
        let (signal, sink) = match self.0 {
            "datadog" => ("logs", "datadog"),
            signal => (signal, "otlp"),
        };
        self.1.account(signal, sink, 0)
    }
}
