//! TLS towards clients: the handshake, and the certificate that follows its files.
//!
//! The files are looked at once a second. A pair that can be used is in force for the next handshake;
//! one that cannot is refused with a diagnostic, and the old one stays. Connections that are open keep
//! what they have, and no session outlives the certificate under which it began.
//!
//! It does not fetch or renew certificates, and judges no client certificate beyond its chain.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::sign::SingleCertAndKey;
use thiserror::Error;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::socket::Stream;
use crate::config::certificate::{self, Unusable};
use crate::config::model::{Tls as Settings, TlsVersion};
use crate::named_file;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// HTTP/2 as ALPN names it (RFC 9113 §3.2).
const H2: &[u8] = b"h2";
/// HTTP/1.1 as ALPN names it (RFC 7301 §6).
const HTTP_1_1: &[u8] = b"http/1.1";

/// TLS as clients meet it.
#[derive(Debug)]
pub struct Tls {
    settings: Settings,
    provider: Arc<CryptoProvider>,
    config: ArcSwap<ServerConfig>,
    /// The content of the files behind `config`.
    loaded: Files,
}

/// Why TLS cannot be served.
#[derive(Debug, Error)]
pub enum NotServed {
    /// A file cannot be read. Usually its path or a permission is wrong.
    #[error("reading `{}`: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A file's content cannot be used.
    #[error("{0}")]
    Unusable(#[from] Unusable),
    /// The parts do not make a configuration.
    #[error("{0}")]
    Refused(#[from] rustls::Error),
    /// The authorities do not make a verifier.
    #[error("{0}")]
    Authorities(#[from] rustls::server::VerifierBuilderError),
}

/// The content of the files at one moment.
#[derive(Clone, PartialEq, Eq)]
struct Files {
    chain: Vec<u8>,
    key: Vec<u8>,
    authorities: Option<Vec<u8>>,
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Files(..)")
    }
}

impl Tls {
    /// Reads the files. They block for as long as the disk does.
    pub fn load(settings: &Settings) -> Result<Self, NotServed> {
        let provider = certificate::provider();
        let loaded = Files::read(settings)?;
        let config = ArcSwap::new(configure(settings, &provider, &loaded)?);
        Ok(Self { settings: settings.clone(), provider, config, loaded })
    }

    /// Shakes hands. `None` where that failed, or was not done by `until`.
    pub(super) async fn accept(
        &self,
        stream: Stream,
        until: Instant,
    ) -> Option<Box<TlsStream<Stream>>> {
        let handshake = TlsAcceptor::from(self.config.load_full()).accept(stream);
        timeout_at(until, Box::pin(handshake)).await.ok()?.ok().map(Box::new)
    }

    /// Follows the files until `stop`.
    pub async fn follow(self: Arc<Self>, stop: CancellationToken) {
        let mut watch = Watch { in_force: self.loaded.clone(), last: None, has_complained: false };
        while stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
            let settings = self.settings.clone();
            let read =
                spawn_blocking(move || Files::read(&settings).map_err(|error| error.to_string()));
            if let Ok(read) = read.await {
                self.look(&mut watch, read);
            }
        }
    }

    /// Judges what the files hold now.
    fn look(&self, watch: &mut Watch, read: Result<Files, String>) {
        let is_same = watch.last.as_ref() == Some(&read);
        watch.has_complained &= is_same;
        if read.as_ref() != Ok(&watch.in_force) && !watch.has_complained {
            match self.adopt(&read) {
                Ok(files) => {
                    watch.in_force = files;
                    tracing::info!("The certificate of `server.tls` was replaced.");
                }
                // A certificate and its key are replaced one after the other; what is wrong at two
                // looks in a row is no longer halfway.
                Err(error) if is_same => {
                    watch.has_complained = true;
                    tracing::error!(
                        error,
                        "The new files of `server.tls` cannot be used; the old certificate stays."
                    );
                }
                Err(_) => {}
            }
        }
        watch.last = Some(read);
    }

    fn adopt(&self, read: &Result<Files, String>) -> Result<Files, String> {
        let files = read.clone()?;
        let config = configure(&self.settings, &self.provider, &files);
        self.config.store(config.map_err(|error| error.to_string())?);
        Ok(files)
    }
}

/// What the looks at the files have shown.
struct Watch {
    in_force: Files,
    last: Option<Result<Files, String>>,
    /// Whether the last look's mistake has been told.
    has_complained: bool,
}

impl Files {
    fn read(settings: &Settings) -> Result<Self, NotServed> {
        let read = |path: &Path| {
            let unreadable = |error| NotServed::Unreadable { path: path.to_owned(), error };
            named_file::read(path).map_err(unreadable)
        };
        Ok(Self {
            chain: read(&settings.certificate_file)?,
            key: read(&settings.key_file)?,
            authorities: settings.client_ca_file.as_deref().map(read).transpose()?,
        })
    }
}

fn configure(
    settings: &Settings,
    provider: &Arc<CryptoProvider>,
    files: &Files,
) -> Result<Arc<ServerConfig>, NotServed> {
    let versions: &[_] = match settings.min_version {
        TlsVersion::V12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        TlsVersion::V13 => &[&rustls::version::TLS13],
    };
    let pair = certificate::pair(&files.chain, &files.key, provider)?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(versions)?;
    let builder = match &files.authorities {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let roots = Arc::new(certificate::authorities(pem)?);
            let provider = Arc::clone(provider);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build()?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
    config.alpn_protocols = vec![H2.to_vec(), HTTP_1_1.to_vec()];
    // Early data can be replayed (RFC 8446 §8), and a proxy cannot tell what that would do.
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}

/// The certificate that the client has shown (DER), once its chain was verified.
pub(super) fn client_certificate(stream: &TlsStream<Stream>) -> Option<&[u8]> {
    stream.get_ref().1.peer_certificates()?.first().map(AsRef::as_ref)
}

/// Whether the client chose HTTP/2. Without ALPN it is HTTP/1.1.
pub(super) fn is_http2(stream: &TlsStream<Stream>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(H2)
}
