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
//! It listens only on loopback, and reads no environment variable but `TMPDIR`: nothing of it can reach
//! the service, the collector or the audit that the variables of a real sidecar name.

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

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use orchestrator::{Behaviour, Failures, Pace};
pub use run::{Asked, run};
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

/// Everything of the demo but the sidecar. Dropping it ends all of it at once. Its files go with it, unless
/// the traffic was let in: then they hold the audit of it.
#[derive(Debug)]
pub struct Stage {
    options: Options,
    upstream: SocketAddr,
    room: Room,
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
    pub async fn set(options: &Options) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let upstream = listener.local_addr()?;
        let room = Room::furnish(&std::env::temp_dir())?;
        let stop = CancellationToken::new();
        let behaviour =
            Behaviour { failures: options.failures, pace: Pace::Lifelike, seed: options.seed };
        let mut orchestrator = JoinSet::new();
        orchestrator.spawn(orchestrator::serve(listener, behaviour, stop.clone()));
        Ok(Self {
            options: *options,
            upstream,
            room,
            orchestrator,
            orchestrator_stop: stop,
            traffic: JoinSet::new(),
            traffic_stop: CancellationToken::new(),
        })
    }

    /// The sidecar's configuration, as TOML.
    pub fn config(&self) -> String {
        let Options { listen, admin, .. } = self.options;
        config(self.upstream, listen, admin, &self.room.audit(), &self.room.document())
    }

    /// The text that says what to open; the addresses are those the sidecar really has. Spans go to the
    /// `collector`, if there is one.
    pub fn banner(&self, listen: SocketAddr, admin: SocketAddr, collector: Option<&str>) -> String {
        banner(listen, admin, &self.room.audit(), collector)
    }

    /// Lets the traffic in, through the sidecar at `target`.
    pub fn open(&mut self, target: SocketAddr) {
        self.room.stays = true;
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

/// The demo's directory, which goes with this unless it is to stay.
#[derive(Debug)]
struct Room {
    path: PathBuf,
    stays: bool,
}

impl Room {
    /// Makes a new directory below this one, with what the sidecar needs in it.
    fn furnish(below: &Path) -> io::Result<Self> {
        let path = below.join(format!("vital-sidecar-demo-{}", uuid::Uuid::now_v7()));
        let make = |path: &Path| fs::DirBuilder::new().mode(0o700).create(path);
        // Fails if the name is taken: nobody else may have prepared it.
        make(&path).map_err(|error| named("making", &path, &error))?;
        let room = Self { path, stays: false };
        make(&room.audit()).map_err(|error| named("making", &room.audit(), &error))?;
        let document = room.document();
        fs::write(&document, DOCUMENT).map_err(|error| named("writing", &document, &error))?;
        Ok(room)
    }

    fn audit(&self) -> PathBuf {
        self.path.join("audit")
    }

    fn document(&self) -> PathBuf {
        self.path.join("openapi.yaml")
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if !self.stays {
            // What cannot be removed stays; there is nobody to tell.
            drop(fs::remove_dir_all(&self.path));
        }
    }
}

fn named(doing: &str, path: &Path, error: &io::Error) -> io::Error {
    let words = format!("{doing} `{}`: {error} (TMPDIR says where)", path.display());
    io::Error::new(error.kind(), words)
}

impl Drop for Stage {
    fn drop(&mut self) {
        // The sets abort their own tasks; these reach the connections that `serve` tracks.
        self.orchestrator_stop.cancel();
        self.traffic_stop.cancel();
    }
}
