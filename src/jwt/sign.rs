//! Tokens of our own: who calls, signed (RFC 7515, RFC 8037), for a service that wants proof.
//!
//! One kind of key (Ed25519) and one algorithm (`EdDSA`), so that nobody has anything to choose or to
//! confuse. Each token is for one request and holds for [`LIFETIME`]. The key names itself by its
//! thumbprint (RFC 7638), which whoever verifies can compute from the public half.
//!
//! It shows nothing of the key, and does not know who calls.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde::Serialize;
use thiserror::Error;

use crate::base64::encode_url;

/// How long a token of ours holds.
pub const LIFETIME: Duration = Duration::from_mins(1);

/// A private key that makes tokens. `Debug` shows its public name only.
pub struct Signer {
    pair: Ed25519KeyPair,
    id: Box<str>,
    /// The encoded header, with its full stop.
    head: Box<str>,
}

/// Why a text is no key to sign with. It repeats nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BadSigningKey {
    /// There is no PEM block `PRIVATE KEY` in it. One that is encrypted has another name.
    #[error("it holds no PEM block `PRIVATE KEY` (PKCS #8, not encrypted)")]
    NotPem,
    /// The key is of another kind, or broken.
    #[error("its private key is not an Ed25519 key")]
    NotEd25519,
}

/// What one token says.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Statement<'a> {
    iss: &'a str,
    sub: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    iat: u64,
    exp: u64,
    jti: &'a str,
}

impl<'a> Statement<'a> {
    /// Says that at this moment, in seconds since 1970, request `id` of `service` comes from `user` of
    /// `tenant`.
    pub fn new(
        service: &'a str,
        user: &'a str,
        tenant: Option<&'a str>,
        id: &'a str,
        now: u64,
    ) -> Self {
        let exp = now.saturating_add(LIFETIME.as_secs());
        Self { iss: service, sub: user, tenant, iat: now, exp, jti: id }
    }
}

impl Signer {
    /// The key of a PEM file as `openssl genpkey -algorithm ed25519` writes it.
    pub fn of_pem(pem: &[u8]) -> Result<Self, BadSigningKey> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|_| BadSigningKey::NotPem)?;
        let pair = Ed25519KeyPair::from_pkcs8(der.secret_pkcs8_der())
            .map_err(|_| BadSigningKey::NotEd25519)?;
        let id = thumbprint(pair.public_key().as_ref());
        let head = format!(r#"{{"alg":"EdDSA","kid":"{id}","typ":"JWT"}}"#);
        let head = encode_url(head.as_bytes()) + ".";
        Ok(Self { pair, id: id.into(), head: head.into() })
    }

    /// The name of its public half (`kid`).
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The compact token of a statement.
    pub fn sign(&self, statement: &Statement<'_>) -> String {
        // Texts and numbers can always be written.
        let claims = serde_json::to_vec(statement).unwrap_or_default();
        let mut token = String::from(&*self.head);
        token.push_str(&encode_url(&claims));
        let signature = self.pair.sign(token.as_bytes());
        token.push('.');
        token.push_str(&encode_url(signature.as_ref()));
        token
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.id)
    }
}

/// The thumbprint of an Ed25519 public key (RFC 7638 §3, RFC 8037 §2): its required members, in order.
fn thumbprint(public: &[u8]) -> String {
    let x = encode_url(public);
    let jwk = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    encode_url(digest(&SHA256, jwk.as_bytes()).as_ref())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::jwt::{Algorithm, Keys, Rules, verify};

    /// The key of RFC 8037 appendix A.1, in PKCS #8.
    const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
        -----END PRIVATE KEY-----\n";
    /// Its public half, from A.2.
    const PUBLIC: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

    fn signer() -> Signer {
        Signer::of_pem(PRIVATE.as_bytes()).unwrap()
    }

    #[test]
    fn a_key_has_the_name_and_makes_the_signature_of_the_rfc() {
        let signer = signer();
        assert_eq!(signer.id(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", "A.3");
        assert_eq!(encode_url(signer.pair.public_key().as_ref()), PUBLIC);
        let message = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature = signer.pair.sign(message.as_bytes());
        assert_eq!(
            encode_url(signature.as_ref()),
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
            "A.4"
        );
    }

    #[test]
    fn a_token_says_who_calls_for_one_minute() {
        let statement = Statement::new("orders", "u\"1", Some("acme"), "id-1", 1000);
        let token = signer().sign(&statement);
        let set = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": PUBLIC}]}).to_string();
        let keys = Keys::of_set(set.as_bytes(), &[Algorithm::EdDSA]).unwrap();
        let rules =
            Rules { issuer: Some("orders".to_owned()), audience: None, leeway: Duration::ZERO };
        let verified = verify(token.as_bytes(), &keys, &rules, 1059).unwrap();
        let claims = json!({
            "iss": "orders", "sub": "u\"1", "tenant": "acme", "iat": 1000, "exp": 1060, "jti": "id-1"
        });
        assert_eq!(serde_json::Value::Object(verified.claims), claims);
        assert!(verify(token.as_bytes(), &keys, &rules, 1060).is_err(), "over");
        let nowhere = signer().sign(&Statement::new("orders", "u1", None, "id-1", 1000));
        let verified = verify(nowhere.as_bytes(), &keys, &rules, 1000).unwrap();
        assert!(!verified.claims.contains_key("tenant"));
    }

    #[test]
    fn only_an_ed25519_key_signs_and_none_shows_itself() {
        let of_pem = |pem: &str| Signer::of_pem(pem.as_bytes()).unwrap_err();
        for other in ["", "PRIVATE KEY", &PRIVATE.replace(" PRIVATE", " ENCRYPTED PRIVATE")] {
            assert_eq!(of_pem(other), BadSigningKey::NotPem, "{other}");
        }
        let ec = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        assert_eq!(of_pem(&ec.serialize_pem()), BadSigningKey::NotEd25519);
        assert_eq!(of_pem(&PRIVATE.replace("MC4C", "MC4D")), BadSigningKey::NotEd25519);
        let shown = format!("{:?}", signer());
        assert_eq!(shown, "Signer(kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k)");
    }
}
