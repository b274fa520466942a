//! `demo`: the whole thing on one screen, until ctrl-c.
//!
//! The clients leave first, then the sidecar drains and prints its ledger, then the orchestrator
//! goes.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use tokio::sync::mpsc;

use super::{Failures, Options, Stage};
use crate::app::{App, Ask, Farewell, Given};
use crate::cli::{check, last_words, run};
use crate::config::{self, Config, Sources};
use crate::telemetry::Console;
use crate::telemetry::diagnostics::{self, Diagnostics};

/// Runs the demo until a signal ends it.
pub fn run(
    no_failures: bool,
    listen: Option<SocketAddr>,
    admin: Option<SocketAddr>,
    env: std::collections::BTreeMap<String, String>,
) -> ExitCode {
    let mut options = Options::default();
    options.listen = listen.unwrap_or(options.listen);
    options.admin = admin.unwrap_or(options.admin);
    if no_failures {
        options.failures = Failures::Never;
    }
    let threads = run::runtime(&Config::for_upstream(options.listen));
    let shown = threads.map(|runtime| runtime.block_on(show(&options, env)));
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

async fn show(
    options: &Options,
    env: std::collections::BTreeMap<String, String>,
) -> Result<Farewell, Trouble> {
    let mut stage =
        Stage::set(options).await.map_err(|error| trouble("setting the stage", error))?;
    let file = config::SourceFile { path: "demo.toml".to_owned(), text: stage.config() };
    let sources = Sources { file: Some(file), env, flags: Vec::new() };
    let config = config::load(&sources)
        .map_err(|errors| Trouble { code: check::INVALID.into(), words: format!("{errors}\n") })?
        .config;
    let diagnostics = diagnostics::init(&config.log, &config.service).ok().map(|(said, _)| said);
    let feed = diagnostics.as_ref().map(Diagnostics::feed);
    let app = App::start_with(&config, Console::Stdout, Given { feed, ..Given::default() })
        .await
        .map_err(|error| trouble("starting the sidecar", error))?;
    let data = app.data().tcp().unwrap_or(options.listen);
    say(&stage.banner(data, app.admin()));
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

fn trouble(doing: &str, error: impl std::fmt::Display) -> Trouble {
    Trouble { code: ExitCode::FAILURE, words: format!("error: {doing}: {error}\n") }
}

fn say(words: &str) {
    // A closed stderr changes nothing about the demo.
    drop(io::stderr().write_all(words.as_bytes()));
}
