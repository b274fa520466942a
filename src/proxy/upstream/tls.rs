//! TLS towards the upstream: whom to trust, what name to expect, which protocols to offer.
//!
//! The certificate is always verified, against `ca_file` or the system's roots and against the host of
//! the url. The provider is named, so that no other crate's choice can take its place. Roots are read
//! once, at the start.

use std::io;
use std::sync::Arc;

use rustls::{AlertDescription, CertificateError, ClientConfig, Error};
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
    host: String,
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
        Ok(Self {
            connector: TlsConnector::from(Arc::new(client)),
            http1,
            name,
            host: config.host.to_string(),
        })
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

    /// Why a handshake failed, in plain words and with the host. Nothing of what the upstream sent is in
    /// it.
    pub(super) fn explain(&self, error: &io::Error) -> String {
        let host = &self.host;
        let ours = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        let why = match ours {
            Some(Error::InvalidCertificate(error)) => {
                return format!("the certificate of {host} {}", distrust(error));
            }
            Some(Error::InvalidMessage(_)) => "what it answers is not TLS; is it `http://`?",
            Some(Error::PeerIncompatible(_)) => "it has no version or cipher of TLS that is safe",
            Some(Error::AlertReceived(alert)) => refusal(*alert),
            Some(other) => return format!("{host}: {other}"),
            None if error.kind() == io::ErrorKind::UnexpectedEof => "it closed the connection",
            None if error.kind() == io::ErrorKind::TimedOut => "it did not answer in time",
            None => return format!("{host}: {error}"),
        };
        format!("{host}: {why}")
    }
}

/// Whether the upstream chose HTTP/2.
pub(super) fn chose_http2(stream: &TlsStream<TcpStream>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(HTTP2)
}

/// Why a certificate is not trusted, as a sentence about it goes on.
fn distrust(error: &CertificateError) -> String {
    use CertificateError as Wrong;
    let why = match error {
        Wrong::Expired | Wrong::ExpiredContext { .. } => "has expired",
        Wrong::NotValidYet | Wrong::NotValidYetContext { .. } => "is not valid yet",
        Wrong::NotValidForName | Wrong::NotValidForNameContext { .. } => "is for another name",
        Wrong::UnknownIssuer => {
            "is not signed by anybody trusted here; `upstream.ca_file` can name its authority"
        }
        Wrong::Revoked => "was revoked",
        Wrong::BadSignature => {
            "is not signed with the key of its authority, as that is trusted here"
        }
        Wrong::BadEncoding => "cannot be read",
        Wrong::InvalidPurpose | Wrong::InvalidPurposeContext { .. } => "is not for servers",
        // The library has no name of its own for this one.
        Wrong::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "is that of an authority; a server needs one that the authority has signed"
        }
        other => return format!("cannot be trusted: {other}"),
    };
    why.to_owned()
}

/// Why the upstream itself ended the handshake.
fn refusal(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::UnrecognisedName => "it knows no host of that name",
        AlertDescription::ProtocolVersion => "it has no version of TLS in common with us",
        AlertDescription::CertificateRequired | AlertDescription::BadCertificate => {
            "it wants a certificate from its clients"
        }
        AlertDescription::HandshakeFailure => {
            "it refused the handshake: no cipher in common, or it wants a certificate from its clients"
        }
        _ => "it refused the handshake",
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("name", &self.name).finish_non_exhaustive()
    }
}
