//! The demo: an embedded orchestrator, the sidecar in front of it, and light traffic through both.
//!
//! A [`Stage`] owns everything of the demo but the sidecar: it makes the orchestrator, the directory
//! for audit records and the configuration, and later the traffic; it ends what it made, in order.
//! The sidecar itself is started by the caller, who knows how, in between:
//!
//! ```text
//! let mut stage = Stage::set(&options).await?;
//! let sidecar = start the sidecar from stage.config();
//! print stage.banner(sidecar's data address, sidecar's admin address);
//! stage.open(sidecar's data address);
//! wait for the signal, or for the sidecar to fail;
//! let totals = stage.close().await;      // the clients leave first,
//! drain the sidecar, print its ledger;   // then the sidecar drains,
//! stage.strike().await;                  // then the orchestrator ends.
//! ```
//!
//! It listens only on loopback.

mod act;
mod answer;
mod behaviour;
mod body;
pub mod orchestrator;
mod question;
mod recall;
mod run;
mod text;
pub mod traffic;
mod visit;

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use orchestrator::{Behaviour, Failures, Pace};
pub use run::run;
pub use text::{banner, config};
use traffic::Totals;

/// The API that the orchestrator serves.
const DOCUMENT: &str = include_str!("../../../docs/api/openapi.yaml");

/// What the demo can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where the sidecar listens for clients.
    pub listen: SocketAddr,
    /// Where the sidecar listens for operators.
    pub admin: SocketAddr,
    /// Whether some answers fail.
    pub failures: Failures,
    /// Requests per second, besides the bursts.
    pub rate: u32,
    /// Where all chance comes from.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            listen: loopback(8080),
            admin: loopback(9901),
            failures: Failures::Some,
            rate: 5,
            seed: 1,
        }
    }
}

/// Everything of the demo but the sidecar. Dropping it ends all of it at once.
#[derive(Debug)]
pub struct Stage {
    options: Options,
    upstream: SocketAddr,
    audit_directory: PathBuf,
    document: PathBuf,
    orchestrator: JoinSet<()>,
    orchestrator_stop: CancellationToken,
    traffic: JoinSet<Totals>,
    traffic_stop: CancellationToken,
}

impl Stage {
    /// Starts the orchestrator on a free port, and makes a new directory for audit records and the API's
    /// document.
    ///
    /// Fails when there is no port or the temporary directory is not writable.
    pub async fn set(options: &Options) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let upstream = listener.local_addr()?;
        let name = format!("vital-sidecar-demo-{}", uuid::Uuid::now_v7());
        let directory = std::env::temp_dir().join(name);
        // Fails if the name is taken: nobody else may have prepared it.
        std::fs::DirBuilder::new().mode(0o700).create(&directory)?;
        let audit_directory = directory.join("audit");
        std::fs::DirBuilder::new().mode(0o700).create(&audit_directory)?;
        let document = directory.join("openapi.yaml");
        std::fs::write(&document, DOCUMENT)?;
        let stop = CancellationToken::new();
        let behaviour =
            Behaviour { failures: options.failures, pace: Pace::Lifelike, seed: options.seed };
        let mut orchestrator = JoinSet::new();
        orchestrator.spawn(orchestrator::serve(listener, behaviour, stop.clone()));
        Ok(Self {
            options: *options,
            upstream,
            audit_directory,
            document,
            orchestrator,
            orchestrator_stop: stop,
            traffic: JoinSet::new(),
            traffic_stop: CancellationToken::new(),
        })
    }

    /// The sidecar's configuration, as TOML.
    pub fn config(&self) -> String {
        let Options { listen, admin, .. } = self.options;
        config(self.upstream, listen, admin, &self.audit_directory, &self.document)
    }

    /// The text that says what to open; the addresses are those the sidecar really has.
    pub fn banner(&self, listen: SocketAddr, admin: SocketAddr) -> String {
        banner(listen, admin, &self.audit_directory)
    }

    /// Lets the traffic in, through the sidecar at `target`.
    pub fn open(&mut self, target: SocketAddr) {
        let Options { rate, seed, .. } = self.options;
        self.traffic.spawn(traffic::run(target, rate, seed, self.traffic_stop.clone()));
    }

    /// Lets the clients leave, within about two seconds, and says what became of their requests.
    ///
    /// Cancel safe: called again, it waits on.
    pub async fn close(&mut self) -> Totals {
        self.traffic_stop.cancel();
        match self.traffic.join_next().await {
            Some(Ok(totals)) => totals,
            Some(Err(_)) | None => Totals::default(),
        }
    }

    /// Ends the orchestrator, within about three seconds. The audit records stay.
    pub async fn strike(mut self) {
        self.orchestrator_stop.cancel();
        while self.orchestrator.join_next().await.is_some() {}
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // The sets abort their own tasks; these reach the connections that `serve` tracks.
        self.orchestrator_stop.cancel();
        self.traffic_stop.cancel();
    }
}
