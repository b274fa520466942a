//! The parts of a start: what may be missing, and what each can fail with.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::task::spawn_blocking;

use crate::config::Config;
use crate::config::model::Listen;
use crate::server::listener;
use crate::server::port::{Inherited, Port};
use crate::server::reload::Source;
use crate::server::tls::{NotServed, Tls};
use crate::telemetry::StartError;
use crate::telemetry::diagnostics::{Feed, Volume};
use crate::telemetry::export::spool::{Spool, SpoolError};
use crate::telemetry::sinks::access_log::AccessLog;
use crate::telemetry::sinks::audit::{self, Audit, RealDisk};

/// What the start is given besides its configuration.
#[derive(Debug, Default)]
pub struct Given {
    /// A socket of the parent process, for the clients' door.
    pub inherited: Option<Inherited>,
    /// Where the next configuration comes from; without it nobody can reload.
    pub source: Option<Source>,
    /// Where diagnostics come from that the log's outputs are to have too.
    pub feed: Option<Feed>,
    /// How loud those are, for a reload to change.
    pub volume: Option<Volume>,
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
    /// The spool cannot be used.
    #[error("{0}")]
    Spool(#[from] SpoolError),
    /// TLS cannot be served. The configuration was right when it was checked.
    #[error("{0}")]
    Tls(#[from] NotServed),
    /// A socket of the parent process cannot be used.
    #[error("using the socket of the parent process (LISTEN_FDS): {0}")]
    Inherited(#[source] io::Error),
    /// A part of the start panicked.
    #[error("starting: {0}")]
    Panicked(#[source] tokio::task::JoinError),
    /// A port could not be had. Usually another process has it.
    #[error("listening on {address} (`{key}`): {source}")]
    Listen {
        /// The configuration's key.
        key: &'static str,
        /// The address that was asked for.
        address: Listen,
        /// What the system said.
        source: io::Error,
    },
}

/// Opens the audit where a route is audited. It reads the whole trail, so not on a worker.
pub(super) async fn open_audit(config: &Config) -> Result<Option<Audit>, NotStarted> {
    if !config.routes.iter().any(|route| route.audit.is_some()) {
        return Ok(None);
    }
    let settings = config.audit.clone();
    let open = move || Audit::open(&settings, RealDisk::new(&settings.directory));
    match spawn_blocking(open).await {
        Ok(opened) => Ok(Some(opened?)),
        Err(panicked) => Err(NotStarted::Panicked(panicked)),
    }
}

/// Opens the spool where there is one. It looks at every file, so not on a worker.
pub(super) async fn open_spool(config: &Config) -> Result<Option<Arc<Spool>>, NotStarted> {
    let Some(directory) = config.spool.directory.clone() else { return Ok(None) };
    let max_size = config.spool.max_size;
    match spawn_blocking(move || Spool::open(directory, max_size)).await {
        Ok(opened) => Ok(Some(opened?)),
        Err(panicked) => Err(NotStarted::Panicked(panicked)),
    }
}

/// Opens the log's files where there are some. They may be those of a predecessor on its way out, for which
/// it waits, so not on a worker.
pub(super) async fn open_log_files(config: &Config) -> Result<Option<AccessLog>, NotStarted> {
    if config.log.directory.is_none() {
        return Ok(None);
    }
    let (service, log) = (config.service.clone(), config.log.clone());
    match spawn_blocking(move || AccessLog::files_of(&service, &log)).await {
        Ok(opened) => Ok(opened.map_err(StartError::from)?),
        Err(panicked) => Err(NotStarted::Panicked(panicked)),
    }
}

/// Reads the certificate where there is one. Files may block, so not on a worker.
pub(super) async fn load_tls(config: &Config) -> Result<Option<Tls>, NotStarted> {
    let Some(settings) = config.server.tls.clone() else { return Ok(None) };
    match spawn_blocking(move || Tls::load(&settings)).await {
        Ok(loaded) => Ok(Some(loaded?)),
        Err(panicked) => Err(NotStarted::Panicked(panicked)),
    }
}

pub(super) fn bind_port(listen: &Listen) -> Result<Port, NotStarted> {
    let refused =
        |source| NotStarted::Listen { key: "server.listen", address: listen.clone(), source };
    Port::bind(listen).map_err(refused)
}

pub(super) fn bind(key: &'static str, address: SocketAddr) -> Result<TcpListener, NotStarted> {
    let refused = |source| NotStarted::Listen { key, address: address.into(), source };
    listener::bind(address).map_err(refused)
}

pub(super) fn address(listener: &TcpListener, asked: SocketAddr) -> SocketAddr {
    listener.local_addr().unwrap_or(asked)
}
