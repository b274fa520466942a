//! A certificate, its private key and the authorities of client certificates, as PEM files hold them.
//!
//! The same reading serves the check of the configuration and the later reload, so a pair that
//! `check` accepts can be served. Messages name what is wrong, never what a key file holds.
//!
//! Whether a certificate has expired, or whether anybody trusts it, is not judged here.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error as ThisError;

/// Why files cannot be used for TLS.
#[derive(Debug, ThisError)]
pub enum Unusable {
    /// The certificate file holds no chain that can be parsed. Usually the wrong file, or DER.
    #[error("the certificate {0}")]
    Certificate(String),
    /// The key file holds no private key that can be used. Usually the wrong file, or one with a
    /// passphrase.
    #[error("the key {0}")]
    Key(String),
    /// Both can be used, but not together. Usually one of the two has not been replaced.
    #[error("the key does not belong to the certificate")]
    Mismatch,
}

/// The cryptography of every TLS connection of the sidecar.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Parses a chain (the server's own certificate first) and its key, and compares the two.
pub fn pair(
    chain: &[u8],
    key: &[u8],
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, Unusable> {
    let chain = certificates(chain).map_err(Unusable::Certificate)?;
    let Some(own) = chain.first() else {
        return Err(Unusable::Certificate("file holds no PEM certificate".into()));
    };
    rustls::server::ParsedCertificate::try_from(own)
        .map_err(|error| Unusable::Certificate(format!("cannot be parsed: {error}")))?;
    // The error of the parser may quote the file.
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| Unusable::Key("file holds no PEM private key without a passphrase".into()))?;
    CertifiedKey::from_der(chain, key, provider).map(Arc::new).map_err(|error| match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => Unusable::Mismatch,
        other => Unusable::Key(format!("cannot be used: {other}")),
    })
}

/// Parses the authorities whose client certificates are accepted.
pub fn authorities(pem: &[u8]) -> Result<RootCertStore, Unusable> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem).map_err(Unusable::Certificate)? {
        roots.add(certificate).map_err(|error| {
            Unusable::Certificate(format!("cannot be used as an authority: {error}"))
        })?;
    }
    if roots.is_empty() {
        return Err(Unusable::Certificate("file holds no PEM certificate".into()));
    }
    Ok(roots)
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    parsed.map_err(|_| "file is not valid PEM".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn a_pair_that_belongs_together_is_accepted() {
        let (chain, key) = made();
        assert!(pair(chain.as_bytes(), key.as_bytes(), &provider()).is_ok());
        assert_eq!(authorities(chain.as_bytes()).unwrap().len(), 1);
    }

    #[test]
    fn each_mistake_is_named_and_no_key_is_quoted() {
        let (chain, key) = made();
        let (_, stranger) = made();
        let said = |chain: &str, key: &str| {
            pair(chain.as_bytes(), key.as_bytes(), &provider()).unwrap_err().to_string()
        };
        assert_eq!(said(&chain, &stranger), "the key does not belong to the certificate");
        assert_eq!(said("", &key), "the certificate file holds no PEM certificate");
        let no_key = "the key file holds no PEM private key without a passphrase";
        assert_eq!(said(&chain, &chain), no_key);
        assert_eq!(said(&chain, "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n"), no_key);
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(said(broken, &key).starts_with("the certificate cannot be parsed"));
        let broken = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";
        let said = said(&chain, broken);
        assert!(said.starts_with("the key cannot be used") && !said.contains("c2Vj"), "{said}");
        assert!(authorities(b"nothing").is_err());
    }
}
