//! The birth and death of the process, each written once and in order.
//!
//! Birth: ports, certificate, audit, spool, voices, proxy; then the doors open. A port is bound before
//! anything is served, so a port in use is an error of the start. Death: not ready, accept no more, let
//! exchanges finish, cut what is left, close the audit and the voices, close the admin door. One
//! deadline, counted from the signal.
//!
//! It decides nothing about a request: it only knows who must be there before whom.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::config::model::{Drain, Listen};
use crate::proxy::Proxy;
use crate::server::admin::{self, Door, Health, House};
use crate::server::entrance::Entrance;
use crate::server::listener::{self, Signals};
use crate::server::port::Port;
use crate::server::redirect::Redirect;
use crate::server::reload::{self, Asks, Source};
use crate::server::tls::Tls;
use crate::telemetry::deadline::{Deadline, Hurry, half_since, whole};
use crate::telemetry::diagnostics::{Feed, Volume};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::sinks::access_log::Reopen;
use crate::telemetry::sinks::audit;
use crate::telemetry::{Console, Opened, Telemetry};

mod asks;
mod farewell;
mod parts;
mod status;

pub use asks::Ask;
use asks::Hearing;
pub use farewell::Farewell;
pub use parts::{Given, NotStarted};
use parts::{address, bind, bind_port, load_tls, open_audit, open_log_files, open_spool};

/// The last part of the drain deadline, kept for the sinks.
const FOR_SINKS: Duration = Duration::from_secs(5);
/// What the sinks still get once somebody has asked twice.
const AT_ONCE: Duration = Duration::from_secs(1);
/// The part of that in which idle connections go by themselves.
const BRIEFLY: Duration = Duration::from_millis(100);
/// How long cut connections may take to notice.
const FOR_CUTTING: Duration = Duration::from_millis(500);

/// A sidecar whose doors are open.
#[derive(Debug)]
pub struct App {
    proxy: Arc<Proxy>,
    health: Arc<Health>,
    reload: reload::Handle,
    drain: Drain,
    data: Listen,
    admin: SocketAddr,
    metrics: Option<SocketAddr>,
    signals: Signals,
    drain_asked: CancellationToken,
    doors_stop: CancellationToken,
    traffic: JoinSet<()>,
    doors: JoinSet<()>,
    feed: Feed,
}

impl App {
    /// Starts everything, in order. On an error nothing has been served.
    pub async fn start(config: &Config, console: Console) -> Result<Self, NotStarted> {
        Self::start_with(config, console, Given::default()).await
    }

    /// Starts everything, with what the caller has for it.
    pub async fn start_with(
        config: &Config,
        console: Console,
        given: Given,
    ) -> Result<Self, NotStarted> {
        let (upstream, port) = (&config.upstream.host, config.upstream.port);
        let metrics = Metrics::bounded(&config.service, config.metrics.max_series)
            .for_upstream(upstream, port);
        let data = match given.inherited {
            Some(inherited) => Port::adopt(inherited).map_err(NotStarted::Inherited)?,
            None => bind_port(&config.server.listen)?,
        };
        let listen = data.address().map_err(NotStarted::Inherited)?;
        let tls = load_tls(config).await?;
        let redirect_from = config.server.tls.as_ref().and_then(|tls| tls.redirect_from);
        let redirecting =
            redirect_from.map(|at| bind("server.tls.redirect_from", at)).transpose()?;
        let operators = bind("admin.listen", config.admin.listen)?;
        let scrapers =
            config.metrics_listen.map(|address| bind("metrics.listen", address)).transpose()?;

        let audit = open_audit(config).await?;
        let spool = open_spool(config).await?;
        let opened = Opened { spool, log_files: open_log_files(config).await? };
        let telemetry = Telemetry::start(config, metrics.clone(), console, opened)?;
        let telemetry = Arc::new(telemetry);
        if let Some(audit) = &audit {
            audit.speak_through(telemetry.log());
        }
        let proxy = Arc::new(Proxy::new(config, telemetry, audit));
        let file = given.source.as_ref().and_then(|source| source.file.as_deref());
        let (reload, asks) = reload::channel(file);
        status::register(&proxy, &reload, &metrics);

        let health = Arc::new(Health::new(status::probes(&proxy)));
        let mut app = Self {
            data: listen,
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
            feed: given.feed.unwrap_or_default(),
        };
        app.feed.attach(app.proxy.telemetry().log());
        let house = app.open_doors(config, metrics, operators, scrapers);
        if let Some(source) = given.source {
            app.listen_for_reloads(source, asks, house, given.volume);
        }
        let entrance = app.entrance(config, tls);
        app.open_traffic(data, entrance, redirecting);
        app.health.start();
        let (tls, upstream) = (config.server.tls.is_some(), config.upstream.shown_url());
        tracing::info!(traffic = %app.data, tls, admin = %app.admin, %upstream, "The doors are open.");
        Ok(app)
    }

    /// Where clients connect.
    pub fn data(&self) -> &Listen {
        &self.data
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

    /// How to have the log's files opened again, after somebody else has moved them.
    pub fn log_files(&self) -> Reopen {
        self.proxy.telemetry().log_files().clone()
    }

    /// Serves until the first ask, of a signal or at the admin port, then drains. A second signal ends
    /// at once.
    pub async fn run(mut self, asks: mpsc::Receiver<Ask>) -> Farewell {
        let mut hearing = Hearing::of(asks, self.signals.stop.clone());
        let first = hearing.first(&self.drain_asked).await;
        let began = Instant::now();
        let deadline = began + self.drain.timeout;
        let delay = if first == Ask::Drain { self.drain.delay } else { Duration::ZERO };
        tracing::info!(delay = %seconds(delay), timeout = %seconds(self.drain.timeout), "Draining.");
        self.proxy.drain();
        self.health.drain();

        let cut_at = deadline - FOR_SINKS.min(self.drain.timeout / 2);
        let (hurry, deadline) = Hurry::before(deadline);
        let finished = tokio::select! {
            finished = finish(&mut self.traffic, &self.signals, began + delay, cut_at) => Some(finished),
            () = hearing.second() => None,
        };
        let all_finished = if let Some(all_finished) = finished {
            all_finished
        } else {
            end_at_once(&hurry);
            let now = Instant::now();
            finish(&mut self.traffic, &self.signals, now, now + BRIEFLY).await
        };
        self.cut(all_finished).await;
        let ledger = Arc::clone(self.proxy.telemetry().ledger());
        let (audit, was_hurried) = self.close(hearing, &hurry, deadline).await;
        Farewell { ledger, audit, all_finished, was_hurried: was_hurried || finished.is_none() }
    }

    /// Cuts what still runs; its exchanges end as aborted, reason drain. Then nothing needs the upstream
    /// any more.
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
        self.proxy.upstream().close(Instant::now() + FOR_CUTTING).await;
    }

    /// Closes the audit and the voices, then the doors. Asked again meanwhile, which it says, it gives
    /// them no more than a moment: what they hold then is spooled, or dropped and counted.
    async fn close(
        mut self,
        mut hearing: Hearing,
        hurry: &Hurry,
        deadline: Deadline,
    ) -> (Option<audit::Report>, bool) {
        let (audit, telemetry) = (self.proxy.audit(), self.proxy.telemetry());
        // What is said of the end is on stderr alone: the ledger of the log must close, too.
        self.feed.detach();
        let stop_audit = async {
            let audit = audit?;
            let stopped = deadline.bound(whole, audit.stop(deadline.at())).await;
            let given_up = || audit::Report { is_finished: false, stats: audit.stats() };
            Some(stopped.unwrap_or_else(given_up))
        };
        let stop_both = async {
            let mut stop_audit = pin!(stop_audit);
            // The log hears of the last records, too, unless the audit takes all there is of time.
            let half = half_since(Instant::now());
            match deadline.bound(half, &mut stop_audit).await {
                Some(audit) => {
                    telemetry.stop(deadline.clone()).await;
                    audit
                }
                None => tokio::join!(stop_audit, telemetry.stop(deadline.clone())).0,
            }
        };
        let mut stop_both = pin!(stop_both);
        let (audit, was_hurried) = tokio::select! {
            audit = &mut stop_both => (audit, false),
            () = hearing.second() => {
                end_at_once(hurry);
                (stop_both.await, true)
            }
        };
        self.doors_stop.cancel();
        let door_deadline = deadline.at().max(Instant::now() + FOR_CUTTING);
        if timeout_at(door_deadline, join_all(&mut self.doors)).await.is_err() {
            self.doors.abort_all();
        }
        (audit, was_hurried)
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
            status: status::document(config, &self.data, &self.proxy, &self.health, &self.reload),
            explain: {
                let proxy = Arc::clone(&self.proxy);
                Box::new(move |id| proxy.telemetry().explain(id))
            },
            drain: self.drain_asked.clone(),
            reload: self.reload.clone(),
            token: ArcSwapOption::from_pointee(config.admin.token.clone()),
        });
        let stop = self.doors_stop.clone();
        if let Some(listener) = scrapers {
            let serve = admin::serve(listener, Door::Scrapers, Arc::clone(&house), stop.clone());
            self.doors.spawn(serve);
        }
        let serve = admin::serve(operators, Door::Operators, Arc::clone(&house), stop.clone());
        self.doors.spawn(serve);
        if let Some(store) = self.proxy.limit_store().cloned() {
            // Until the last request has gone, so with the doors, not with the traffic.
            self.doors.spawn(async move {
                stop.run_until_cancelled(store.tend()).await;
            });
        }
        house
    }

    fn listen_for_reloads(
        &mut self,
        source: Source,
        asks: Asks,
        house: Arc<House>,
        volume: Option<Volume>,
    ) {
        let proxy = Arc::clone(&self.proxy);
        let adopt = move |config: &Config| {
            proxy.adopt(config);
            proxy.telemetry().adopt(config);
            if let Some(volume) = &volume {
                volume.turn_to(config.log.level);
            }
            house.token.store(config.admin.token.clone().map(Arc::new));
        };
        self.doors.spawn(reload::run(source, asks, adopt, self.doors_stop.clone()));
    }

    /// The clients' door, and what keeps its certificate true.
    fn entrance(&mut self, config: &Config, tls: Option<Tls>) -> Arc<Entrance> {
        let (proxy, places) = (Arc::clone(&self.proxy), config.server.max_connections);
        let Some(tls) = tls.map(Arc::new) else { return Entrance::plain(proxy, places) };
        self.traffic.spawn(Arc::clone(&tls).follow(self.signals.stop.clone()));
        Entrance::tls(proxy, places, tls)
    }

    fn open_traffic(
        &mut self,
        port: Port,
        entrance: Arc<Entrance>,
        redirecting: Option<TcpListener>,
    ) {
        let (proxy, stop) = (Arc::clone(&self.proxy), self.signals.stop.clone());
        self.traffic.spawn(async move { proxy.identities().tend(stop).await });
        let upstream = Arc::clone(self.proxy.upstream());
        let stop = self.signals.stop.clone();
        self.traffic.spawn(async move {
            stop.run_until_cancelled(upstream.tend()).await;
        });
        if let Some(listener) = redirecting {
            let redirect = Redirect::to(self.data.tcp().map(|address| address.port()));
            let away = entrance.redirecting(redirect);
            self.traffic.spawn(listener::accept_loop(listener, away, self.signals.clone()));
        }
        self.traffic.spawn(listener::accept_loop(port, entrance, self.signals.clone()));
    }
}

/// Leaves no more than a moment to whatever waits.
fn end_at_once(hurry: &Hurry) {
    tracing::warn!("Asked again: ending at once.");
    hurry.until(Instant::now() + AT_ONCE);
}

/// Waits for the delay, unless somebody stops before, stops accepting, and lets exchanges finish until
/// `cut_at`. Returns whether all did.
async fn finish(
    traffic: &mut JoinSet<()>,
    signals: &Signals,
    stop_at: Instant,
    cut_at: Instant,
) -> bool {
    let _is_sooner = timeout_at(stop_at, signals.stop.cancelled()).await;
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

/// As the configuration writes it; the standard form of no delay is `0ns`.
fn seconds(duration: Duration) -> String {
    format!("{}s", duration.as_secs_f64())
}
