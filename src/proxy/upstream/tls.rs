//! TLS towards the upstream: whom to trust, what name to expect, which protocols to offer.
//!
//! The certificate is always verified, against `ca_file` or the system's roots and against the host of
//! the url. The provider is named, so that no other crate's choice can take its place. Roots are read
//! once, at the start.

use std::io;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::model;
use crate::proxy::roots;

const HTTP2: &[u8] = b"h2";
const HTTP11: &[u8] = b"http/1.1";

/// The client's side of TLS, ready for handshakes.
pub(super) struct Tls {
    connector: TlsConnector,
    /// Offers HTTP/1.1 alone.
    http1: TlsConnector,
    name: ServerName<'static>,
}

impl Tls {
    /// Reads the roots. What can be wrong here was found by `check`, unless a file has changed since.
    pub(super) fn new(config: &model::Upstream) -> io::Result<Self> {
        let name = ServerName::try_from(config.host.to_string()).map_err(io::Error::other)?;
        let roots = match &config.ca_file {
            Some(path) => roots::read(path)?,
            None => roots::system("upstream.ca_file")?,
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.alpn_protocols = vec![HTTP11.to_vec()];
        let http1 = TlsConnector::from(Arc::new(client.clone()));
        client.alpn_protocols = vec![HTTP2.to_vec(), HTTP11.to_vec()];
        Ok(Self { connector: TlsConnector::from(Arc::new(client)), http1, name })
    }

    /// Shakes hands, offering HTTP/2 or not. The caller sets the deadline.
    pub(super) async fn shake(
        &self,
        stream: TcpStream,
        offers_http2: bool,
    ) -> io::Result<TlsStream<TcpStream>> {
        let connector = if offers_http2 { &self.connector } else { &self.http1 };
        connector.connect(self.name.clone(), stream).await
    }
}

/// Whether the upstream chose HTTP/2.
pub(super) fn chose_http2(stream: &TlsStream<TcpStream>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(HTTP2)
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("name", &self.name).finish_non_exhaustive()
    }
}
