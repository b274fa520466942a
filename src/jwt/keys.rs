//! The keys that check signatures, each with what it may be used for.
//!
//! A key takes part if its kind fits an algorithm that the configuration allows; all others of a set
//! are passed over: keys for encryption, symmetric ones (what everybody may read cannot be a secret),
//! kinds nobody knows here, RSA below 2048 bits. A set without a usable key is no set.
//!
//! Keys are immutable; whoever fetches another set makes other [`Keys`].

use std::fmt;

use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind};
use serde_json::{Map, Value};
use thiserror::Error;

use super::is_symmetric;
use crate::base64::{self, Form};
use crate::strict_json;

/// Keys of one set that are looked at; a set has two or three.
const MOST_KEYS: usize = 64;
/// Keys that are tried for one token. More than one only where a set does not name its keys.
const MOST_TRIES: usize = 4;
/// Bytes of an RSA modulus: 2048 to 8192 bits.
const MODULUS: std::ops::RangeInclusive<usize> = 256..=1024;
/// The allowed exponents have at most this many bytes.
const EXPONENT: std::ops::RangeInclusive<usize> = 1..=8;
/// Bytes of an uncompressed point.
const P256: usize = 65;
const P384: usize = 97;
/// Bytes of an Ed25519 public key.
const ED25519: usize = 32;

/// Keys, none of which may do more than its algorithms.
#[derive(PartialEq, Eq)]
pub struct Keys(Vec<Key>);

/// One key.
pub(super) struct Key {
    id: Option<Box<str>>,
    /// What it may check. All of one family, so that none is taken for another.
    algorithms: Vec<Algorithm>,
    pub(super) material: DecodingKey,
}

/// Why a text holds no keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BadKeys {
    /// It is not a JSON object with a list `keys` (RFC 7517 §5).
    #[error("it is not a JWK set: an object with a list `keys`")]
    NotASet,
    /// There are keys, but none for an algorithm that is allowed.
    #[error("it holds no public key for an algorithm of `algorithms`")]
    NoneFits,
    /// It is not one PEM block with a public key of a known kind.
    #[error("it is not a PEM public key (RSA of 2048 bits or more, P-256, P-384 or Ed25519)")]
    NotAKey,
    /// It is a private key, which has no business here.
    #[error("it is a private key; give the public one")]
    Private,
    /// A secret is shorter than the hash that it keys (RFC 7518 §3.2).
    #[error("the secret must have at least {0} bytes for these algorithms")]
    ShortSecret(usize),
}

impl Keys {
    /// The keys of a JWK set (RFC 7517 §5) that may check one of `allowed`.
    pub fn of_set(text: &[u8], allowed: &[Algorithm]) -> Result<Self, BadKeys> {
        let set = strict_json::object(text).ok_or(BadKeys::NotASet)?;
        let Some(Value::Array(list)) = set.get("keys") else { return Err(BadKeys::NotASet) };
        let keys =
            list.iter().take(MOST_KEYS).filter_map(|jwk| Key::of_jwk(jwk.as_object()?, allowed));
        let keys: Vec<_> = keys.collect();
        if keys.is_empty() { Err(BadKeys::NoneFits) } else { Ok(Self(keys)) }
    }

    /// The one key of a PEM file (`BEGIN PUBLIC KEY`, or `BEGIN RSA PUBLIC KEY`).
    pub fn of_pem(pem: &[u8], allowed: &[Algorithm]) -> Result<Self, BadKeys> {
        if memchr::memmem::find(pem, b"PRIVATE KEY-----").is_some() {
            return Err(BadKeys::Private);
        }
        let makers =
            [DecodingKey::from_rsa_pem, DecodingKey::from_ec_pem, DecodingKey::from_ed_pem];
        let material = makers.iter().find_map(|make| make(pem).ok().filter(is_sound));
        let material = material.ok_or(BadKeys::NotAKey)?;
        let algorithms = fitting(&material, allowed);
        if algorithms.is_empty() {
            return Err(BadKeys::NoneFits);
        }
        Ok(Self(vec![Key { id: None, algorithms, material }]))
    }

    /// A secret that is shared with the issuer.
    pub fn of_secret(secret: &[u8], allowed: &[Algorithm]) -> Result<Self, BadKeys> {
        let algorithms: Vec<_> = allowed.iter().copied().filter(|a| is_symmetric(*a)).collect();
        let needed = algorithms.iter().map(|algorithm| hash_length(*algorithm)).max();
        let needed = needed.ok_or(BadKeys::NoneFits)?;
        if secret.len() < needed {
            return Err(BadKeys::ShortSecret(needed));
        }
        let material = DecodingKey::from_secret(secret);
        Ok(Self(vec![Key { id: None, algorithms, material }]))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The keys that may check a token that names this key and claims this algorithm. `None` where the
    /// set names its keys and none has this name: another set may.
    pub(super) fn find(&self, id: Option<&str>, claimed: Algorithm) -> Option<Vec<&Key>> {
        let is_meant = |key: &&Key| match (id, key.id.as_deref()) {
            (Some(asked), Some(own)) => asked == own,
            _ => true,
        };
        let mut meant = self.0.iter().filter(is_meant).peekable();
        meant.peek()?;
        let fits = |key: &&Key| key.algorithms.contains(&claimed);
        Some(meant.filter(fits).take(MOST_TRIES).collect())
    }
}

impl Key {
    fn of_jwk(jwk: &Map<String, Value>, allowed: &[Algorithm]) -> Option<Self> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        if jwk.get("use").is_some_and(|meant| meant != "sig") {
            return None;
        }
        if let Some(may) = jwk.get("key_ops") {
            may.as_array()?.iter().find(|operation| *operation == "verify")?;
        }
        let number = |name: &str| base64::decode(text(name)?.as_bytes(), Form::Url);
        let material = match (text("kty")?, text("crv")) {
            ("RSA", _) => DecodingKey::from_rsa_raw_components(&number("n")?, &number("e")?),
            ("EC", Some(curve @ ("P-256" | "P-384"))) => {
                let (x, y) = (number("x")?, number("y")?);
                let length = if curve == "P-256" { P256 } else { P384 } / 2;
                if (x.len(), y.len()) != (length, length) {
                    return None;
                }
                DecodingKey::from_ec_der(&[&[4][..], &x, &y].concat())
            }
            ("OKP", Some("Ed25519")) => DecodingKey::from_ed_der(&number("x")?),
            _ => return None,
        };
        if !is_sound(&material) {
            return None;
        }
        let mut algorithms = fitting(&material, allowed);
        if let Some(own) = jwk.get("alg") {
            let own: Algorithm = own.as_str()?.parse().ok()?;
            algorithms.retain(|algorithm| *algorithm == own);
        }
        let id = match jwk.get("kid") {
            Some(id) => Some(id.as_str()?.into()),
            None => None,
        };
        (!algorithms.is_empty()).then_some(Self { id, algorithms, material })
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        use DecodingKeyKind::{RsaModulusExponent, SecretOrDer};
        let is_same = match (self.material.kind(), other.material.kind()) {
            (SecretOrDer(one), SecretOrDer(other)) => one == other,
            (RsaModulusExponent { n, e }, RsaModulusExponent { n: other_n, e: other_e }) => {
                n == other_n && e == other_e
            }
            _ => false,
        };
        is_same && self.id == other.id && self.algorithms == other.algorithms
    }
}

impl Eq for Key {}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.0.len())
    }
}

/// Whether a key is of a size that is used.
fn is_sound(key: &DecodingKey) -> bool {
    match (key.family(), key.kind()) {
        (_, DecodingKeyKind::RsaModulusExponent { n, e }) => {
            MODULUS.contains(&n.len()) && EXPONENT.contains(&e.len())
        }
        (AlgorithmFamily::Rsa, DecodingKeyKind::SecretOrDer(der)) => der.len() > *MODULUS.start(),
        (AlgorithmFamily::Ec, DecodingKeyKind::SecretOrDer(point)) => {
            matches!(point.len(), P256 | P384)
        }
        (AlgorithmFamily::Ed, DecodingKeyKind::SecretOrDer(point)) => point.len() == ED25519,
        (AlgorithmFamily::Hmac, _) => false,
    }
}

/// The allowed algorithms that a key of this kind can check.
fn fitting(key: &DecodingKey, allowed: &[Algorithm]) -> Vec<Algorithm> {
    let fits = |algorithm: &Algorithm| match (algorithm, key.kind()) {
        (Algorithm::ES256, DecodingKeyKind::SecretOrDer(point)) => point.len() == P256,
        (Algorithm::ES384, DecodingKeyKind::SecretOrDer(point)) => point.len() == P384,
        _ => true,
    };
    let of_its_family = allowed.iter().filter(|algorithm| algorithm.family() == key.family());
    of_its_family.copied().filter(fits).collect()
}

fn hash_length(algorithm: Algorithm) -> usize {
    match algorithm {
        Algorithm::HS384 => 48,
        Algorithm::HS512 => 64,
        _ => 32,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ALLOWED: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];
    /// 32 bytes, and 256.
    const SHORT: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE";

    fn long() -> String {
        "AQEB".repeat(85) + "AQ"
    }

    fn of_set(keys: &Value) -> Result<usize, BadKeys> {
        let text = json!({ "keys": keys }).to_string();
        Keys::of_set(text.as_bytes(), &ALLOWED).map(|keys| keys.count())
    }

    fn ec(more: &Value) -> Value {
        let mut jwk = json!({"kty": "EC", "crv": "P-256", "x": SHORT, "y": SHORT});
        for (name, value) in more.as_object().unwrap() {
            jwk[name] = value.clone();
        }
        jwk
    }

    #[test]
    fn a_set_gives_the_keys_that_an_allowed_algorithm_can_use() {
        let rsa = json!({"kty": "RSA", "kid": "r", "use": "sig", "n": long(), "e": "AQAB"});
        let ed = json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": SHORT});
        let useful =
            ec(&json!({"key_ops": ["verify"], "alg": "ES256", "x5u": "https://a.example"}));
        assert_eq!(of_set(&json!([rsa, useful, ed])), Ok(3));
        for useless in [
            json!({"kty": "oct", "k": SHORT, "alg": "HS256"}),
            json!({"kty": "RSA", "n": SHORT, "e": "AQAB"}),
            json!({"kty": "RSA", "n": long()}),
            json!({"kty": "OKP", "crv": "X25519", "x": SHORT}),
            json!({"kty": "OKP", "crv": "Ed25519", "x": "AQ"}),
            json!({"kty": "EC", "crv": "P-384", "x": SHORT, "y": SHORT}),
            json!({"kty": "EC", "crv": "secp256k1", "x": SHORT, "y": SHORT}),
            ec(&json!({"use": "enc"})),
            ec(&json!({"use": 1})),
            ec(&json!({"key_ops": ["deriveKey"]})),
            ec(&json!({"key_ops": "verify"})),
            ec(&json!({"alg": "ES384"})),
            ec(&json!({"alg": "none"})),
            ec(&json!({"alg": "HS256"})),
            ec(&json!({"kid": 1})),
            ec(&json!({"x": "="})),
            json!("EC"),
            json!(null),
        ] {
            assert_eq!(of_set(&json!([useless])), Err(BadKeys::NoneFits), "{useless}");
            assert_eq!(of_set(&json!([useless, ed])), Ok(1), "the rest of the set counts");
        }
        assert_eq!(of_set(&json!([])), Err(BadKeys::NoneFits));
        assert_eq!(of_set(&json!({})), Err(BadKeys::NotASet));
        for text in ["", "<html>", "[]", "{}", "{\"keys\":[],\"keys\":[]}"] {
            assert_eq!(Keys::of_set(text.as_bytes(), &ALLOWED), Err(BadKeys::NotASet), "{text}");
        }
    }

    #[test]
    fn a_name_picks_a_key_and_never_an_algorithm() {
        let set = json!({"keys": [ec(&json!({"kid": "a"})), ec(&json!({"kid": "b"}))]}).to_string();
        let keys = Keys::of_set(set.as_bytes(), &ALLOWED).unwrap();
        let found = |id, claimed| keys.find(id, claimed).map(|found| found.len());
        assert_eq!(found(Some("a"), Algorithm::ES256), Some(1));
        assert_eq!(found(Some("a"), Algorithm::HS256), Some(0), "its public key is no secret");
        assert_eq!(found(Some("a"), Algorithm::RS256), Some(0));
        assert_eq!(found(None, Algorithm::ES256), Some(2));
        for strange in ["", "A", "../a", "a\0", "' OR 1=1 --", "/dev/null"] {
            assert_eq!(found(Some(strange), Algorithm::ES256), None, "{strange:?}");
        }
    }

    #[test]
    fn the_same_keys_are_equal_however_they_are_written() {
        let keys = |set: Value| Keys::of_set(set.to_string().as_bytes(), &ALLOWED).unwrap();
        let one = keys(json!({"keys": [ec(&json!({"kid": "a", "x5t": "1"}))]}));
        let same =
            keys(json!({"more": 1, "keys": [json!({"kty": "oct"}), ec(&json!({"kid": "a"}))]}));
        assert_eq!(one, same);
        assert_ne!(one, keys(json!({"keys": [ec(&json!({"kid": "b"}))]})));
        assert_ne!(
            one,
            keys(json!({"keys": [ec(&json!({"kid": "a", "y": SHORT.replace('Q', "g")}))]}))
        );
        assert_eq!(format!("{one:?}"), "Keys(1)");
    }

    #[test]
    fn a_secret_is_as_long_as_its_hash() {
        let of = |length: usize, allowed: &[Algorithm]| Keys::of_secret(&vec![7; length], allowed);
        assert!(of(32, &[Algorithm::HS256]).is_ok());
        assert_eq!(of(31, &[Algorithm::HS256]), Err(BadKeys::ShortSecret(32)));
        assert_eq!(of(63, &[Algorithm::HS256, Algorithm::HS512]), Err(BadKeys::ShortSecret(64)));
        assert_eq!(of(99, &[Algorithm::RS256]), Err(BadKeys::NoneFits));
    }

    #[test]
    fn a_file_that_holds_no_public_key_is_refused() {
        for text in ["", "x", "-----BEGIN PUBLIC KEY-----\nAQEB\n-----END PUBLIC KEY-----\n"] {
            assert_eq!(Keys::of_pem(text.as_bytes(), &ALLOWED), Err(BadKeys::NotAKey), "{text}");
        }
        let private = "-----BEGIN PRIVATE KEY-----\nAQEB\n-----END PRIVATE KEY-----\n";
        assert_eq!(Keys::of_pem(private.as_bytes(), &ALLOWED), Err(BadKeys::Private));
    }
}
