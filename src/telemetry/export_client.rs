//! The HTTP client of the house: one POST (or one GET) at a time, bounded in time and size.
//!
//! It speaks HTTP/1.1, or HTTP/2 alone (in the clear by prior knowledge, else by ALPN), over http and
//! https (rustls with aws-lc-rs; roots from `ca_file`, else the system's, read at the first https
//! request), verifies certificates always, and follows no redirect. A peer that floods or never reads
//! costs one connection for a while, and no other task its turn (`guard`). It neither retries nor logs; its
//! user knows what a failure means. No error repeats what the peer said.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::response::Parts;
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Builder, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{self, PemObject};
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout};

use self::guard::Connector;
use crate::named_file;

mod guard;

/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 1 << 20;
/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(30);
const MAX_IDLE: usize = 2;

/// What a peer may have on its way to us on one HTTP/2 stream, in bytes.
const WINDOW: u32 = 1 << 16;

type Plain = Client<Connector, Full<Bytes>>;
type Tls = Client<HttpsConnector<Connector>, Full<Bytes>>;

/// A client for exporters. Clones share connections.
#[derive(Clone, Debug)]
pub struct ExportClient {
    plain: Plain,
    /// Built at the first https request: reading the system's roots takes a while.
    tls: Arc<OnceCell<Tls>>,
    roots: Option<Arc<RootCertStore>>,
    version: Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Http1,
    Http2,
}

/// An answer, as far as it came.
#[derive(Debug)]
pub struct Reply {
    /// Status and headers.
    pub head: Parts,
    /// The body, at most 1 MiB of it.
    pub body: Bytes,
    /// The fields after the body; only HTTP/2 has them here.
    pub trailers: HeaderMap,
    /// Why what came is not all of it.
    pub cut: Option<PostError>,
}

/// The certificates of `ca_file` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CaFileError {
    /// The file cannot be read as PEM. Usually a wrong path or a DER file.
    #[error("reading certificates from `{}`: {error}", path.display())]
    Pem {
        /// The configured path.
        path: PathBuf,
        /// What is wrong with it.
        error: pem::Error,
    },
    /// A certificate in it is malformed.
    #[error("using a certificate of `{}`: {error}", path.display())]
    Certificate {
        /// The configured path.
        path: PathBuf,
        /// What is wrong with it.
        error: rustls::Error,
    },
    /// There is none in it.
    #[error("`{}` holds no certificate", .0.display())]
    Empty(PathBuf),
}

/// A request that got no complete answer.
#[derive(Debug, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct PostError {
    /// A drop reason of the ledger: `unreachable`, `timeout`, or `refused` for an answer that is too
    /// long.
    pub reason: &'static str,
    /// For our own log. It names no header and no body.
    pub detail: String,
}

impl ExportClient {
    /// Makes a client of HTTP/1.1; reads `ca_file` if there is one, to trust these roots only.
    pub fn new(ca_file: Option<&Path>) -> Result<Self, CaFileError> {
        let roots = ca_file.map(read_roots).transpose()?.map(Arc::new);
        Ok(Self::of(Version::Http1, roots))
    }

    /// The same for HTTP/2 and nothing else. Requests share one connection.
    pub fn http2(ca_file: Option<&Path>) -> Result<Self, CaFileError> {
        let roots = ca_file.map(read_roots).transpose()?.map(Arc::new);
        Ok(Self::of(Version::Http2, roots))
    }

    /// A client with the same settings and no connections yet.
    #[must_use]
    pub fn renewed(&self) -> Self {
        Self::of(self.version, self.roots.clone())
    }

    fn of(version: Version, roots: Option<Arc<RootCertStore>>) -> Self {
        let plain = builder(version).build(Connector::new());
        Self { plain, tls: Arc::new(OnceCell::new()), roots, version }
    }

    /// Posts a body and reads the answer, of any status, up to 1 MiB, within `limit` altogether.
    /// Dropping the future gives the request up.
    pub async fn post(
        &self,
        uri: Uri,
        headers: HeaderMap,
        body: Bytes,
        limit: Duration,
    ) -> Result<Response<Bytes>, PostError> {
        match self.exchange(uri, headers, body, limit).await? {
            Reply { cut: Some(cut), .. } => Err(cut),
            Reply { head, body, .. } => Ok(Response::from_parts(head, body)),
        }
    }

    /// Fetches what is at a place: an answer of any status, whose body must not exceed `most` bytes (at
    /// most 1 MiB), within `limit` altogether. Dropping the future gives the request up.
    pub async fn get(
        &self,
        uri: Uri,
        headers: HeaderMap,
        most: usize,
        limit: Duration,
    ) -> Result<Response<Bytes>, PostError> {
        let mut request = Request::new(Full::default());
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        match self.ask(request, most.min(MAX_ANSWER), limit).await? {
            Reply { cut: Some(cut), .. } => Err(cut),
            Reply { head, body, .. } => Ok(Response::from_parts(head, body)),
        }
    }

    /// The same, but an answer that breaks off after its head is given as far as it came. It is an
    /// error only if there is no head.
    pub async fn exchange(
        &self,
        uri: Uri,
        headers: HeaderMap,
        body: Bytes,
        limit: Duration,
    ) -> Result<Reply, PostError> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        self.ask(request, MAX_ANSWER, limit).await
    }

    async fn ask(
        &self,
        request: Request<Full<Bytes>>,
        most: usize,
        limit: Duration,
    ) -> Result<Reply, PostError> {
        let is_https = request.uri().scheme_str() == Some("https");
        let late = |_| PostError { reason: "timeout", detail: format!("no answer in {limit:?}") };
        let started = Instant::now();
        let asking = async {
            let response = if is_https {
                self.tls().await?.request(request).await
            } else {
                self.plain.request(request).await
            };
            response.map_err(unreachable)
        };
        let (head, mut incoming) = timeout(limit, asking).await.map_err(late)??.into_parts();
        let left = limit.saturating_sub(started.elapsed());
        let (mut body, mut trailers) = (BytesMut::new(), HeaderMap::new());
        let read = timeout(left, read(&mut incoming, most, &mut body, &mut trailers)).await;
        let cut = read.map_err(late).and_then(|read| read).err();
        Ok(Reply { head, body: body.freeze(), trailers, cut })
    }

    async fn tls(&self) -> Result<&Tls, PostError> {
        let build = async {
            let roots = match &self.roots {
                Some(roots) => Arc::clone(roots),
                None => tokio::task::spawn_blocking(system_roots).await.map_err(unreachable)??,
            };
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let config = ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .map_err(unreachable)?
                .with_root_certificates(roots)
                .with_no_client_auth();
            let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_only();
            let connector = match self.version {
                Version::Http1 => connector.enable_http1().wrap_connector(Connector::new()),
                Version::Http2 => connector.enable_http2().wrap_connector(Connector::new()),
            };
            Ok(builder(self.version).build(connector))
        };
        self.tls.get_or_try_init(|| build).await
    }
}

fn builder(version: Version) -> Builder {
    let mut builder = Client::builder(TokioExecutor::new());
    builder
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(MAX_IDLE)
        .http2_only(version == Version::Http2)
        .http2_initial_stream_window_size(WINDOW);
    builder
}

async fn read(
    incoming: &mut Incoming,
    most: usize,
    body: &mut BytesMut,
    trailers: &mut HeaderMap,
) -> Result<(), PostError> {
    while let Some(frame) = incoming.frame().await {
        match frame.map_err(unreachable)?.into_data() {
            Ok(data) if body.len() + data.len() > most => {
                let detail = format!("the answer is longer than {} KiB", most >> 10);
                return Err(PostError { reason: "refused", detail });
            }
            Ok(data) => body.extend_from_slice(&data),
            Err(frame) => *trailers = frame.into_trailers().unwrap_or_default(),
        }
    }
    Ok(())
}

fn read_roots(path: &Path) -> Result<RootCertStore, CaFileError> {
    let broken = |error| CaFileError::Pem { path: path.to_owned(), error };
    let mut roots = RootCertStore::empty();
    let content = named_file::read(path).map_err(|error| broken(pem::Error::Io(error)))?;
    for certificate in CertificateDer::pem_slice_iter(&content) {
        let invalid = |error| CaFileError::Certificate { path: path.to_owned(), error };
        roots.add(certificate.map_err(broken)?).map_err(invalid)?;
    }
    if roots.is_empty() {
        return Err(CaFileError::Empty(path.to_owned()));
    }
    Ok(roots)
}

/// The system's roots. Single broken certificates are passed over, as every other client does.
fn system_roots() -> Result<Arc<RootCertStore>, PostError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        let message = "the system has no root certificates; set ca_file";
        return Err(unreachable(io::Error::other(message)));
    }
    Ok(Arc::new(roots))
}

/// The innermost cause says most: `Connection refused` and the like. What the peer of an HTTP/2
/// connection says when it ends it is left out: it is free text.
fn unreachable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> PostError {
    let error = error.into();
    let mut cause: &dyn std::error::Error = &*error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    // An I/O error does not call what it wraps its source.
    let mut inner = cause;
    while let Some(wrapped) = inner.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        inner = wrapped;
    }
    let is_tls = inner.is::<rustls::Error>();
    let detail = match cause.downcast_ref::<h2::Error>() {
        Some(error) if error.is_go_away() => {
            error.reason().map_or_else(|| "GOAWAY".to_owned(), |reason| format!("GOAWAY: {reason}"))
        }
        _ if is_tls => format!("TLS: {cause}"),
        _ => cause.to_string(),
    };
    PostError { reason: "unreachable", detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_file_that_cannot_be_used_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = ExportClient::new(Some(file.path())).unwrap_err();
        assert!(error.to_string().ends_with("` holds no certificate"), "{error}");
        let error = ExportClient::new(Some(Path::new("/does/not/exist.pem"))).unwrap_err();
        assert!(error.to_string().contains("`/does/not/exist.pem`: "), "{error}");
    }

    #[tokio::test]
    async fn nobody_listening_is_unreachable() {
        let client = ExportClient::new(None).unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let uri: Uri = format!("http://{free}/").parse().unwrap();
        let answer = client.post(uri, HeaderMap::new(), Bytes::new(), IDLE).await;
        assert_eq!(answer.unwrap_err().reason, "unreachable");
    }

    #[tokio::test]
    async fn a_silent_server_is_a_timeout() {
        let client = ExportClient::new(None).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let uri: Uri = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let limit = Duration::from_millis(50);
        let answer = client.post(uri, HeaderMap::new(), Bytes::new(), limit).await;
        assert_eq!(answer.unwrap_err().reason, "timeout");
    }
}
