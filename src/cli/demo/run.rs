//! `demo`: the whole thing on one screen, until ctrl-c.
//!
//! The clients leave first, then the sidecar drains and prints its ledger, then the orchestrator
//! goes. Everything that the sidecar is told is in the stage's configuration and the flags; nothing comes
//! from the environment.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use tokio::sync::mpsc;

use super::{Failures, Options, Stage};
use crate::app::{App, Ask, Farewell, Given, NotStarted};
use crate::cli::{check, last_words, run};
use crate::config::model::OtlpTarget;
use crate::config::{self, Config, Sources};
use crate::telemetry::Console;
use crate::telemetry::diagnostics::{self, Diagnostics};

/// What the command line asks of the demo.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// No answer of the demo service fails.
    pub no_failures: bool,
    /// No client meets the demo's limit.
    pub no_limit: bool,
    /// Where clients connect.
    pub listen: Option<SocketAddr>,
    /// Where operators connect.
    pub admin: Option<SocketAddr>,
    /// The collector that gets spans and log.
    pub otlp: Option<String>,
}

/// Runs the demo until a signal ends it.
pub fn run(asked: &Asked) -> ExitCode {
    let mut options = Options::default();
    options.listen = asked.listen.unwrap_or(options.listen);
    options.admin = asked.admin.unwrap_or(options.admin);
    if asked.no_failures {
        options.failures = Failures::Never;
    }
    let threads = run::runtime(&Config::for_upstream(options.listen));
    let shown = threads.map(|runtime| runtime.block_on(show(&options, asked)));
    match shown {
        Ok(Ok(farewell)) => last_words::part(&farewell, None),
        Ok(Err(Trouble { code, words })) => {
            say(&words);
            code
        }
        Err(error) => {
            say(&format!("error: starting the runtime: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

struct Trouble {
    code: ExitCode,
    words: String,
}

async fn show(options: &Options, asked: &Asked) -> Result<Farewell, Trouble> {
    let mut stage =
        Stage::set(options).await.map_err(|error| trouble("setting the stage", error))?;
    let config = configure(&stage, asked)?;
    let diagnostics = diagnostics::init(&config.log, &config.service).ok().map(|(said, _)| said);
    let feed = diagnostics.as_ref().map(Diagnostics::feed);
    let app = App::start_with(&config, Console::Stdout, Given { feed, ..Given::default() })
        .await
        .map_err(not_started)?;
    let data = app.data().tcp().unwrap_or(options.listen);
    let collector = config.otlp.traces.as_ref().map(OtlpTarget::place);
    say(&stage.banner(data, app.admin(), collector.as_deref()));
    stage.open(data);

    let (ask, asks) = mpsc::channel(2);
    let farewell = {
        let curtain = async {
            run::asked().await;
            let totals = stage.close().await;
            say(&format!("\nclients: {totals}\n"));
            // From here on a second ctrl-c ends at once.
            ask.send(Ask::DrainNow).await.ok();
            run::listen_for_signals(run::Ends::hear(), ask).await;
        };
        tokio::pin!(curtain);
        let running = app.run(asks);
        tokio::pin!(running);
        tokio::select! {
            farewell = &mut running => farewell,
            () = &mut curtain => running.await,
        }
    };
    stage.strike().await;
    if let Some(diagnostics) = diagnostics {
        let flushed = tokio::task::spawn_blocking(|| diagnostics.close(last_words::LAST_WORDS));
        drop(flushed.await);
    }
    Ok(farewell)
}

/// The configuration: the stage's, and the flags over it. The environment is that of a real sidecar, as
/// often as not, and has no say.
fn configure(stage: &Stage, asked: &Asked) -> Result<Config, Trouble> {
    let file = config::SourceFile { path: "demo.toml".to_owned(), text: stage.config() };
    let unlimited = |value: &str| asked.no_limit.then(|| value.to_owned());
    let flags = [
        ("rate_limits.per-ip.rate", unlimited("1000000/s")),
        ("rate_limits.per-ip.burst", unlimited("1000000")),
        ("server.listen", asked.listen.map(|at| at.to_string())),
        ("admin.listen", asked.admin.map(|at| at.to_string())),
        ("otlp.endpoint", asked.otlp.clone()),
    ];
    let flags = flags.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    let sources = Sources { file: Some(file), flags: flags.collect(), ..Sources::default() };
    let loaded = config::load(&sources)
        .map_err(|errors| Trouble { code: check::INVALID.into(), words: format!("{errors}\n") })?;
    Ok(loaded.config)
}

/// A port is asked for by a flag here, not by a key.
fn not_started(error: NotStarted) -> Trouble {
    let NotStarted::Listen { key, address, source } = error else {
        return trouble("starting the sidecar", error);
    };
    let flag = if key == "admin.listen" { "--admin" } else { "--listen" };
    let another = format!("choose another port with `{flag} IP:PORT`");
    trouble(&format!("listening on {address}"), format!("{source}; {another}"))
}

fn trouble(doing: &str, error: impl std::fmt::Display) -> Trouble {
    Trouble { code: ExitCode::FAILURE, words: format!("error: {doing}: {error}\n") }
}

fn say(words: &str) {
    // A closed stderr changes nothing about the demo.
    drop(io::stderr().write_all(words.as_bytes()));
}
