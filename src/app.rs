//! The birth and death of the process, each written once and in order.
//!
//! Birth: voices, audit, proxy, doors. A port is bound before anything is served, so a port in use
//! is an error of the start. Death: not ready, accept no more, let exchanges finish, cut what is
//! left, close the audit and the voices, close the admin door. One deadline, counted from the signal.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::config::model::Drain;
use crate::proxy::Proxy;
use crate::server::admin::{self, Door, Health, House};
use crate::server::listener::{self, Signals};
use crate::server::reload::{self, Asks, Source};
use crate::telemetry::ledger::Ledger;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::sinks::audit::{self, Audit, RealDisk};
use crate::telemetry::{Console, StartError, Telemetry};

mod status;

/// The last part of the drain deadline, kept for the sinks.
const FOR_SINKS: Duration = Duration::from_secs(5);
/// What the sinks still get once somebody has asked twice.
const AT_ONCE: Duration = Duration::from_secs(1);
/// How long cut connections may take to notice.
const FOR_CUTTING: Duration = Duration::from_millis(500);

/// A sidecar whose doors are open.
#[derive(Debug)]
pub struct App {
    proxy: Arc<Proxy>,
    health: Arc<Health>,
    reload: reload::Handle,
    drain: Drain,
    data: SocketAddr,
    admin: SocketAddr,
    metrics: Option<SocketAddr>,
    signals: Signals,
    drain_asked: CancellationToken,
    doors_stop: CancellationToken,
    traffic: JoinSet<()>,
    doors: JoinSet<()>,
}

/// Why the sidecar could not start.
#[derive(Debug, Error)]
pub enum NotStarted {
    /// A voice could not start.
    #[error("{0}")]
    Telemetry(#[from] StartError),
    /// The audit could not be opened.
    #[error("{0}")]
    Audit(#[from] audit::OpenError),
    /// A part of the start panicked.
    #[error("starting: {0}")]
    Panicked(#[source] tokio::task::JoinError),
    /// A port could not be had. Usually another process has it.
    #[error("listening on {address} (`{key}`): {source}")]
    Listen {
        /// The configuration's key.
        key: &'static str,
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// What the outside asks of a running sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Drain in order (SIGTERM, `drain`). Asked a second time: end at once.
    Drain,
    /// Drain without the delay (SIGINT). Asked a second time: end at once.
    DrainNow,
}

/// How a sidecar ended.
#[derive(Clone, Debug)]
pub struct Farewell {
    /// What became of everything that was to leave.
    pub ledger: Arc<Ledger>,
    /// The audit's last numbers, where there is an audit.
    pub audit: Option<audit::Report>,
    /// Whether every exchange ended by itself.
    pub all_finished: bool,
}

impl Farewell {
    /// Whether nothing was cut and the audit is whole.
    pub fn is_clean(&self) -> bool {
        self.all_finished && self.audit.as_ref().is_none_or(is_whole)
    }
}

fn is_whole(report: &audit::Report) -> bool {
    report.is_finished && report.stats.lost == 0
}

impl App {
    /// Starts everything, in order. On an error nothing has been served.
    pub async fn start(config: &Config, console: Console) -> Result<Self, NotStarted> {
        Self::start_with(config, console, None).await
    }

    /// Starts everything; where there is a `source`, it can later give another configuration.
    pub async fn start_with(
        config: &Config,
        console: Console,
        source: Option<Source>,
    ) -> Result<Self, NotStarted> {
        let (upstream, port) = (&config.upstream.host, config.upstream.port);
        let metrics = Metrics::new(&config.service).for_upstream(upstream, port);
        let data = bind("server.listen", config.server.listen)?;
        let operators = bind("admin.listen", config.admin.listen)?;
        let scrapers =
            config.metrics_listen.map(|address| bind("metrics.listen", address)).transpose()?;

        let audit = open_audit(config).await?;
        let telemetry = Arc::new(Telemetry::start(config, metrics.clone(), console)?);
        let proxy = Arc::new(Proxy::new(config, telemetry, audit));
        let (reload, asks) = reload::channel();
        status::register(&proxy, &reload, &metrics);

        let health = Arc::new(Health::new(status::probes(&proxy)));
        let mut app = Self {
            data: address(&data, config.server.listen),
            admin: address(&operators, config.admin.listen),
            metrics: scrapers.as_ref().and_then(|listener| listener.local_addr().ok()),
            drain: config.server.drain,
            signals: Signals::default(),
            drain_asked: CancellationToken::new(),
            doors_stop: CancellationToken::new(),
            traffic: JoinSet::new(),
            doors: JoinSet::new(),
            health,
            reload,
            proxy,
        };
        let house = app.open_doors(config, metrics, operators, scrapers);
        if let Some(source) = source {
            app.listen_for_reloads(source, asks, house);
        }
        app.open_traffic(config, data);
        app.health.start();
        tracing::info!(traffic = %app.data, admin = %app.admin, upstream = %config.upstream.authority, "The doors are open.");
        Ok(app)
    }

    /// Where clients connect.
    pub fn data(&self) -> SocketAddr {
        self.data
    }

    /// Where operators connect.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Where scrapers connect, if they have a door of their own.
    pub fn metrics(&self) -> Option<SocketAddr> {
        self.metrics
    }

    /// How to ask it for another configuration.
    pub fn reload(&self) -> reload::Handle {
        self.reload.clone()
    }

    /// Serves until the first ask, then drains. A second ask ends at once.
    pub async fn run(mut self, mut asks: mpsc::Receiver<Ask>) -> Farewell {
        let first = tokio::select! {
            ask = asks.recv() => ask.unwrap_or(Ask::DrainNow),
            () = self.drain_asked.cancelled() => Ask::Drain,
        };
        let began = Instant::now();
        let deadline = began + self.drain.timeout;
        let delay = if first == Ask::Drain { self.drain.delay } else { Duration::ZERO };
        tracing::info!(delay = %seconds(delay), timeout = %seconds(self.drain.timeout), "Draining.");
        self.proxy.drain();
        self.health.drain();

        let cut_at = deadline - FOR_SINKS.min(self.drain.timeout / 2);
        let (all_finished, deadline) = tokio::select! {
            finished = finish(&mut self.traffic, &self.signals, began + delay, cut_at) => {
                (finished, deadline)
            }
            Some(_) = asks.recv() => {
                tracing::warn!("Asked again: ending at once.");
                (false, deadline.min(Instant::now() + AT_ONCE))
            }
        };
        self.cut(all_finished).await;
        self.close(asks, deadline, all_finished).await
    }

    /// Cuts what still runs; its exchanges end as aborted, reason drain.
    async fn cut(&mut self, all_finished: bool) {
        if !all_finished {
            self.proxy.cut();
            self.signals.stop.cancel();
            self.signals.cut.cancel();
            let noticed = join_all(&mut self.traffic);
            if timeout_at(Instant::now() + FOR_CUTTING, noticed).await.is_err() {
                self.traffic.abort_all();
            }
        }
    }

    /// Closes the audit and the voices, then the doors. An ask meanwhile gives up what is not closed
    /// yet; the ledger shows it as in flight.
    async fn close(
        mut self,
        mut asks: mpsc::Receiver<Ask>,
        deadline: Instant,
        all_finished: bool,
    ) -> Farewell {
        let (audit, telemetry) = (self.proxy.audit(), self.proxy.telemetry());
        let stop_audit = async {
            match audit {
                Some(audit) => Some(audit.stop(deadline).await),
                None => None,
            }
        };
        let closed = tokio::select! {
            (audit, ()) = async { tokio::join!(stop_audit, telemetry.stop(deadline)) } => Ok(audit),
            Some(_) = asks.recv() => Err(audit.map(Audit::stats)),
        };
        let given_up = |stats| audit::Report { is_finished: false, stats };
        let audit = closed.clone().unwrap_or_else(|stats| stats.map(given_up));
        let ledger = Arc::clone(telemetry.ledger());
        self.doors_stop.cancel();
        let door_deadline = deadline.max(Instant::now() + FOR_CUTTING);
        if timeout_at(door_deadline, join_all(&mut self.doors)).await.is_err() {
            self.doors.abort_all();
        }
        Farewell { ledger, audit, all_finished: all_finished && closed.is_ok() }
    }

    fn open_doors(
        &mut self,
        config: &Config,
        metrics: Metrics,
        operators: TcpListener,
        scrapers: Option<TcpListener>,
    ) -> Arc<House> {
        let house = Arc::new(House {
            metrics,
            health: Arc::clone(&self.health),
            status: status::document(config, self.data, &self.proxy, &self.health, &self.reload),
            drain: self.drain_asked.clone(),
            reload: self.reload.clone(),
            token: ArcSwapOption::from_pointee(config.admin.token.clone()),
        });
        let stop = self.doors_stop.clone();
        if let Some(listener) = scrapers {
            let serve = admin::serve(listener, Door::Scrapers, Arc::clone(&house), stop.clone());
            self.doors.spawn(serve);
        }
        self.doors.spawn(admin::serve(operators, Door::Operators, Arc::clone(&house), stop));
        house
    }

    fn listen_for_reloads(&mut self, source: Source, asks: Asks, house: Arc<House>) {
        let proxy = Arc::clone(&self.proxy);
        let adopt = move |config: &Config| {
            proxy.adopt(config);
            house.token.store(config.admin.token.clone().map(Arc::new));
        };
        self.doors.spawn(reload::run(source, asks, adopt, self.doors_stop.clone()));
    }

    fn open_traffic(&mut self, config: &Config, listener: TcpListener) {
        let upstream = Arc::clone(self.proxy.upstream());
        let stop = self.signals.stop.clone();
        self.traffic.spawn(async move {
            stop.run_until_cancelled(upstream.tend()).await;
        });
        self.traffic.spawn(listener::accept_loop(
            listener,
            Arc::clone(&self.proxy),
            config.server.max_connections,
            self.signals.clone(),
        ));
    }
}

/// Waits for the delay, stops accepting, and lets exchanges finish until `cut_at`. Returns whether
/// all did.
async fn finish(
    traffic: &mut JoinSet<()>,
    signals: &Signals,
    stop_at: Instant,
    cut_at: Instant,
) -> bool {
    sleep_until(stop_at).await;
    signals.stop.cancel();
    timeout_at(cut_at, join_all(traffic)).await.is_ok()
}

async fn join_all(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended
            && error.is_panic()
        {
            tracing::error!("A task of the house panicked.");
        }
    }
}

/// Opens the audit where a route is audited. It reads the whole trail, so not on a worker.
async fn open_audit(config: &Config) -> Result<Option<Audit>, NotStarted> {
    if !config.routes.iter().any(|route| route.audit.is_some()) {
        return Ok(None);
    }
    let settings = config.audit.clone();
    let open = move || Audit::open(&settings, RealDisk::new(&settings.directory));
    match tokio::task::spawn_blocking(open).await {
        Ok(opened) => Ok(Some(opened?)),
        Err(panicked) => Err(NotStarted::Panicked(panicked)),
    }
}

/// As the configuration writes it; the standard form of no delay is `0ns`.
fn seconds(duration: Duration) -> String {
    format!("{}s", duration.as_secs_f64())
}

fn bind(key: &'static str, address: SocketAddr) -> Result<TcpListener, NotStarted> {
    listener::bind(address).map_err(|source| NotStarted::Listen { key, address, source })
}

fn address(listener: &TcpListener, asked: SocketAddr) -> SocketAddr {
    listener.local_addr().unwrap_or(asked)
}
