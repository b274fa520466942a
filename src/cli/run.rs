//! `run`: the sidecar itself, from the configuration to the last line of its ledger.
//!
//! Exit codes: 0 after a drain, 1 when it could not start or had to cut, 78 for a configuration that
//! is not valid.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::last_words::{LAST_WORDS, fail, part, say};
use super::{check, source};
use crate::app::{App, Ask, Farewell, Given, NotStarted};
use crate::config::{self, Config, Loaded};
use crate::server::port;
use crate::server::reload::{self, Cause, Gather, Source};
use crate::telemetry::sinks::access_log::Reopen;
use crate::telemetry::{Console, diagnostics};

/// One stack in this time is enough to find what panics.
const BETWEEN_STACKS: Duration = Duration::from_secs(1);

/// Loads the configuration and runs until a signal ends it.
pub fn run(
    path: Option<&Path>,
    env: BTreeMap<String, String>,
    flags: Vec<(String, String)>,
) -> ExitCode {
    // First of all: it changes the environment, and there is one thread yet.
    let inherited = port::inherited();
    // https://no-color.org: any value that is not empty.
    let colour = io::stderr().is_terminal() && env.get("NO_COLOR").is_none_or(String::is_empty);
    let file = path.map(Path::to_path_buf);
    // The environment of a process never changes from outside; files may.
    let gather = move || {
        source::gather(file.as_deref(), env.clone(), flags.clone()).map_err(|e| e.to_string())
    };
    match (load(&gather, colour), inherited) {
        (Ok((loaded, text)), Ok(inherited)) => {
            let file = path.map(Path::to_path_buf);
            let written = loaded.written.clone();
            let source = Some(Source { gather: Arc::new(gather), file, text, written });
            serve(&loaded, Given { inherited, source, ..Given::default() })
        }
        (Ok(_), Err(error)) => fail(&NotStarted::Inherited(error).to_string(), None),
        (Err(complaint), _) => {
            say(&complaint);
            ExitCode::from(check::INVALID)
        }
    }
}
/// The configuration, and the file's text.
fn load(gather: &Gather, colour: bool) -> Result<(Loaded, Option<String>), String> {
    let sources = gather().map_err(|error| format!("error: {error}\n"))?;
    let loaded = config::load(&sources).map_err(|errors| format!("{}\n", errors.render(colour)))?;
    Ok((loaded, sources.file.map(|file| file.text)))
}

fn serve(loaded: &Loaded, mut given: Given) -> ExitCode {
    let config = &loaded.config;
    let (diagnostics, volume) = match diagnostics::init(&config.log, &config.service) {
        Ok(begun) => begun,
        Err(error) => return fail(&error.to_string(), None),
    };
    given.feed = Some(diagnostics.feed());
    given.volume = Some(volume);
    note_panics();
    for notice in &loaded.notices {
        tracing::warn!("{notice}");
    }
    let ended = runtime(config).map(|runtime| {
        let ended = runtime.block_on(live(config, given));
        // Sinks run on threads of their own; nothing that matters is left on the runtime.
        runtime.shutdown_timeout(LAST_WORDS);
        ended
    });
    match ended {
        Ok(Ok(farewell)) => part(&farewell, Some(diagnostics)),
        Ok(Err(not_started)) => fail(&not_started.to_string(), Some(diagnostics)),
        Err(error) => fail(&format!("starting the runtime: {error}"), Some(diagnostics)),
    }
}

/// The runtime that everything lives on. One worker needs nobody to share its work with.
pub fn runtime(config: &Config) -> io::Result<tokio::runtime::Runtime> {
    use tokio::runtime::Builder;
    let mut builder = match config.server.workers {
        0 | 1 => Builder::new_current_thread(),
        workers => {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(workers);
            builder
        }
    };
    builder.max_blocking_threads(16).thread_name("sidecar").enable_all().build()
}

async fn live(config: &Config, given: Given) -> Result<Farewell, NotStarted> {
    // From here on no signal ends the process by itself; one that comes during the start waits. Whoever
    // gets an answer from us can also ask us to drain.
    let hangups = signal(SignalKind::hangup());
    let ends = Ends::hear();
    let app = App::start_with(config, Console::Stdout, given).await?;
    let (ask, asks) = mpsc::channel(2);
    let reloading = reload_on(hangups, app.reload(), app.log_files());
    let listening = async { tokio::join!(listen_for_signals(ends, ask), reloading) };
    tokio::pin!(listening);
    let running = app.run(asks);
    tokio::pin!(running);
    tokio::select! {
        farewell = &mut running => Ok(farewell),
        _ = &mut listening => Ok(running.await),
    }
}

/// Opens the log's files again and asks for a reload at each SIGHUP: whoever moves log files says so by
/// this signal. What comes of it goes to the log.
async fn reload_on(hangups: io::Result<Signal>, reload: reload::Handle, log_files: Reopen) {
    match hangups {
        Ok(mut hangups) => {
            while hangups.recv().await.is_some() {
                log_files.ask();
                drop(reload.reload(Cause::Signal).await);
            }
        }
        Err(error) => tracing::error!(%error, "SIGHUP cannot be heard; `reload` still works."),
    }
}

/// SIGTERM and SIGINT, which wait here from the moment they are heard.
pub(super) struct Ends {
    term: Signal,
    int: Signal,
}

impl Ends {
    /// Takes both signals over from the system, which would end the process.
    pub(super) fn hear() -> io::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> Ask {
        tokio::select! {
            _ = self.term.recv() => Ask::Drain,
            _ = self.int.recv() => Ask::DrainNow,
        }
    }
}

/// Turns SIGTERM and SIGINT into asks until nobody listens any more.
pub(super) async fn listen_for_signals(ends: io::Result<Ends>, ask: mpsc::Sender<Ask>) {
    let Ok(mut ends) = ends else {
        tracing::error!("Signals cannot be heard; only `drain` ends this process in order.");
        return std::future::pending().await;
    };
    loop {
        let asked = ends.next().await;
        if ask.send(asked).await.is_err() {
            return;
        }
    }
}

/// Resolves at the first signal to end.
pub(super) async fn asked() {
    if let Ok(mut ends) = Ends::hear() {
        ends.next().await;
    }
}

/// Where a panic happened, and on the way through which of our functions, goes to the diagnostics; what it said may hold a client's data and does
/// not.
fn note_panics() {
    let last = Mutex::new(None::<Instant>);
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let stack = is_time(&last).then(diagnostics::stack);
        diagnostics::leave_stack(stack.as_deref());
        tracing::error!("error.type" = "panic", place, stack, "A panic was caught.");
    }));
}

/// Whether a stack may be taken: it costs milliseconds, and a client may know how to ask for many.
fn is_time(last: &Mutex<Option<Instant>>) -> bool {
    // Nobody waits here, least of all for a thread that panics in it.
    let Some(mut last) = last.try_lock() else { return false };
    let now = Instant::now();
    let is_time = last.is_none_or(|last| now.duration_since(last) >= BETWEEN_STACKS);
    if is_time {
        *last = Some(now);
    }
    is_time
}
