//! A sidecar in this process, in front of a test's upstream, with its records at hand.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use vital_sidecar::config::Config;
use vital_sidecar::proxy::Proxy;
use vital_sidecar::record::Record;
use vital_sidecar::server::entrance::Entrance;
use vital_sidecar::server::listener::{self, Signals};
use vital_sidecar::telemetry::Telemetry;
use vital_sidecar::telemetry::metrics::Format;
use vital_sidecar::telemetry::metrics::Metrics;
use vital_sidecar::telemetry::sinks::audit::Audit;

use super::PATIENCE;
use super::client::Client;
use super::upstream::Upstream;

/// A running sidecar.
pub struct Sidecar {
    pub address: SocketAddr,
    pub proxy: Arc<Proxy>,
    pub signals: Signals,
    records: mpsc::Receiver<Arc<Record>>,
    accepting: JoinHandle<()>,
}

/// A sidecar with defaults in front of an upstream.
pub async fn in_front_of(upstream: &Upstream) -> Sidecar {
    with(&Config::for_upstream(upstream.address)).await
}

/// A sidecar with this configuration.
#[expect(clippy::unused_async, reason = "it needs a runtime, and reads like its siblings")]
pub async fn with(config: &Config) -> Sidecar {
    telling(config, Telemetry::silent(Metrics::new(&config.service)), None)
}

/// A sidecar with this configuration and this audit trail.
pub fn with_audit(config: &Config, audit: Option<Audit>) -> Sidecar {
    telling(config, Telemetry::silent(Metrics::new(&config.service)), audit)
}

/// A sidecar with this configuration, these voices and this audit trail.
pub fn telling(config: &Config, telemetry: Telemetry, audit: Option<Audit>) -> Sidecar {
    let (observer, records) = mpsc::channel(16 * 1024);
    let telemetry = telemetry.observed_by(observer);
    let proxy = Arc::new(Proxy::new(config, Arc::new(telemetry), audit));
    let listener = listener::bind("127.0.0.1:0".parse().expect("an address")).expect("bind");
    let address = listener.local_addr().expect("address");
    let signals = Signals::default();
    let accepting = listener::accept_loop(
        listener,
        Entrance::plain(Arc::clone(&proxy), 10_000),
        signals.clone(),
    );
    #[expect(clippy::disallowed_methods, reason = "the handle is awaited by `stop`")]
    let accepting = tokio::spawn(accepting);
    Sidecar { address, proxy, signals, records, accepting }
}

impl Sidecar {
    /// A new connection to it.
    pub async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    /// The next record.
    pub async fn record(&mut self) -> Arc<Record> {
        tokio::time::timeout(PATIENCE, self.records.recv())
            .await
            .expect("a record in time")
            .expect("an open channel")
    }

    /// Asserts that no further record is there.
    pub fn assert_no_more_records(&mut self) {
        assert!(self.records.try_recv().is_err(), "a record too many");
    }

    /// Lets what runs finish, then ends.
    pub async fn stop(self) -> mpsc::Receiver<Arc<Record>> {
        self.signals.stop.cancel();
        tokio::time::timeout(PATIENCE, self.accepting)
            .await
            .expect("a stop in time")
            .expect("stop");
        self.records
    }

    /// The value of a metric line that starts with `series`; 0 where it is not there.
    pub fn metric(&self, series: &str) -> f64 {
        let page = self.proxy.telemetry().metrics().expose(Format::Text).expect("a page");
        String::from_utf8(page.body)
            .expect("UTF-8")
            .lines()
            .filter_map(|line| line.strip_prefix(series))
            .filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }
}
