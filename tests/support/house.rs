//! A whole sidecar in this process: every door, every voice, and its console at hand.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use vital_sidecar::app::{App, Ask, Farewell, Given};
use vital_sidecar::cli::source;
use vital_sidecar::config::model::Console as Form;
use vital_sidecar::config::{Config, load};
use vital_sidecar::server::reload::Source;
use vital_sidecar::telemetry::Console;
use vital_sidecar::telemetry::sinks::access_log::Reopen;

use super::client::{Answer, Client};
use super::{PATIENCE, eventually, until};

/// A configuration for tests in front of this upstream: ports of its own, JSON on the console, no
/// collector, a drain without delay. `more` is TOML with further tables.
pub fn config(upstream: SocketAddr, more: &str) -> Config {
    let text = format!("[upstream]\nurl = \"http://{upstream}\"\n{more}");
    let mut config = Config::from_toml(&text).expect("a valid configuration");
    config.server.listen = SocketAddr::from(([127, 0, 0, 1], 0)).into();
    config.admin.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.server.drain.delay = Duration::ZERO;
    config.log.console = Form::Json;
    config.otlp.traces.take_if(|target| !target.is_configured);
    config.otlp.metrics.take_if(|target| !target.is_configured);
    config
}

/// What was written to a console. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Paper(Arc<Mutex<Vec<u8>>>);

impl Paper {
    /// Everything written so far.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().clone()
    }

    /// The lines so far, each a JSON object.
    pub fn lines(&self) -> Vec<Value> {
        lines(&self.bytes())
    }
}

/// The lines of a log, each a JSON object.
pub fn lines(bytes: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(bytes).expect("UTF-8");
    assert!(text.is_empty() || text.ends_with('\n'), "whole lines");
    text.split_terminator('\n').map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A running sidecar.
pub struct House {
    pub data: SocketAddr,
    pub admin: SocketAddr,
    pub metrics: Option<SocketAddr>,
    pub paper: Paper,
    pub log_files: Reopen,
    asks: mpsc::Sender<Ask>,
    running: JoinHandle<Farewell>,
}

/// Starts a sidecar with this configuration.
pub async fn open(config: &Config) -> House {
    let paper = Paper::default();
    open_with(config, Console::To(Box::new(paper.clone())), paper).await
}

/// Starts one whose console is given; `paper` is what the test reads.
pub async fn open_with(config: &Config, console: Console, paper: Paper) -> House {
    inhabit(App::start(config, console).await.expect("a start"), paper)
}

/// Starts one from a file, which it can read again and may watch. Its doors must be on port 0.
pub async fn open_from(path: &Path, is_watching: bool) -> House {
    let file = path.to_owned();
    let gather = move || source::gather(Some(&file), BTreeMap::new(), Vec::new());
    let sources = gather().expect("a file");
    let loaded = load(&sources).unwrap_or_else(|errors| panic!("{errors}"));
    let source = Source {
        gather: Arc::new(move || gather().map_err(|error| error.to_string())),
        file: is_watching.then(|| path.to_owned()),
        text: sources.file.map(|file| file.text),
        written: loaded.written,
    };
    let paper = Paper::default();
    let console = Console::To(Box::new(paper.clone()));
    let given = Given { source: Some(source), ..Given::default() };
    let app = App::start_with(&loaded.config, console, given).await.expect("a start");
    inhabit(app, paper)
}

fn inhabit(app: App, paper: Paper) -> House {
    let (asks, heard) = mpsc::channel(4);
    let data = app.data().tcp().unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)));
    let (admin, metrics) = (app.admin(), app.metrics());
    let log_files = app.log_files();
    #[expect(clippy::disallowed_methods, reason = "the handle is awaited by `close`")]
    let running = tokio::spawn(app.run(heard));
    House { data, admin, metrics, paper, log_files, asks, running }
}

impl House {
    /// A new connection to the clients' door.
    pub async fn client(&self) -> Client {
        Client::connect(self.data).await
    }

    /// A GET at the operators' door.
    pub async fn ask(&self, path: &str) -> Answer {
        self.ask_as(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await
    }

    /// A request at the operators' door, as it is.
    pub async fn ask_as(&self, request: &str) -> Answer {
        let mut client = Client::connect(self.admin).await;
        client.say(request).await;
        client.answer().await
    }

    /// Asks for a reload.
    pub async fn reload(&self) -> Answer {
        self.ask_as("POST /reload HTTP/1.1\r\nhost: localhost\r\n\r\n").await
    }

    /// The page of metrics, text 0.0.4.
    pub async fn page(&self) -> String {
        String::from_utf8(self.ask("/metrics").await.body).expect("UTF-8")
    }

    /// The sum of the series that start with `series`; 0 where there is none.
    pub async fn metric(&self, series: &str) -> f64 {
        sum(&self.page().await, series)
    }

    /// Asks for a page until it answers so.
    pub async fn until(&self, path: &str, status: u16) -> Answer {
        let ask = async || Some(self.ask(path).await).filter(|answer| answer.status == status);
        until("the page changes", ask).await
    }

    /// Asks for the metrics until the series that start with `series` have this sum.
    pub async fn until_metric(&self, series: &str, value: f64) {
        let is_so = async || ((self.metric(series).await - value).abs() < 1e-9).then_some(());
        until(&format!("{series} is {value}"), is_so).await;
    }

    /// Asks for something (a drain).
    pub async fn tell(&self, ask: Ask) {
        self.asks.send(ask).await.expect("a listening house");
    }

    /// Waits for so many lines on the console, and gives all.
    pub async fn lines(&self, at_least: usize) -> Vec<Value> {
        let count = || memchr::memchr_iter(b'\n', &self.paper.bytes()).count();
        eventually("the lines are written", || count() >= at_least).await;
        self.paper.lines()
    }

    /// The same for the lines of ended exchanges: others may stand between them.
    pub async fn exchanges(&self, at_least: usize) -> Vec<Value> {
        let ended = || -> Vec<Value> {
            let lines = self.paper.lines().into_iter();
            lines.filter(|line| line["message"] == "Request completed").collect()
        };
        eventually("the lines are written", || ended().len() >= at_least).await;
        ended()
    }

    /// Waits for the end of a house that was told to drain. Every account must balance, and nothing be
    /// in flight but what is spooled.
    pub async fn farewell(self) -> Farewell {
        let farewell = tokio::time::timeout(3 * PATIENCE, self.running).await;
        let farewell = farewell.expect("an end in time").expect("no panic");
        for account in farewell.ledger.snapshot() {
            assert!(account.is_balanced() && account.in_flight == account.spooled, "{account}");
        }
        farewell
    }

    /// Drains without delay.
    pub async fn close(self) -> Farewell {
        self.tell(Ask::DrainNow).await;
        self.farewell().await
    }
}

/// The sum of the series of a page that start with `series`.
pub fn sum(page: &str, series: &str) -> f64 {
    page.lines()
        .filter_map(|line| line.strip_prefix(series))
        .filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}
