//! One token, judged: its form, its signature, its claims.
//!
//! The order is fixed: nothing of the claims is read before the signature has held. It promises that a
//! token that passes is one compact JWS (RFC 7515 §7.1) over one JSON object, signed by one of the
//! keys with an algorithm of that key, for us, and neither early nor late.
//!
//! What the claims mean is not known here.

use std::time::Duration;

use jsonwebtoken::{Algorithm, crypto};
use serde_json::{Map, Value};
use thiserror::Error;

use super::keys::Keys;
use crate::base64::{self, Form};
use crate::strict_json;

/// The longest token that is looked at, in bytes. Longer than the usual 1 KiB by far, and below what
/// a field may have.
pub const MAX_TOKEN: usize = 8 * 1024;

/// What a token must say, beyond its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Its `iss`; `None` where any will do.
    pub issuer: Option<String>,
    /// One of its `aud`; `None` where any will do, and none too.
    pub audience: Option<String>,
    /// How far the issuer's clock may be from ours.
    pub leeway: Duration,
}

/// A token that holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    /// All its claims.
    pub claims: Map<String, Value>,
    /// Until when it holds, leeway included, in seconds since 1970.
    pub until: u64,
}

/// Why a token does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Rejected {
    /// It is no compact JWS over an object, or is too long, or says a thing twice.
    #[error("malformed")]
    Malformed,
    /// Its header asks for something that is not done here: a critical extension, a nested or encrypted
    /// token, another type of token.
    #[error("unsupported")]
    Unsupported,
    /// No key may check the algorithm that it names (`none` included).
    #[error("algorithm")]
    Algorithm,
    /// It names a key that the set does not have. A newer set may.
    #[error("unknown key")]
    UnknownKey,
    /// No key made this signature.
    #[error("signature")]
    Signature,
    /// A claim that must be there is not, or is of the wrong type.
    #[error("claims")]
    Claims,
    /// It is over (`exp`).
    #[error("expired")]
    Expired,
    /// It does not hold yet (`nbf`).
    #[error("not yet valid")]
    Early,
    /// Somebody else has issued it.
    #[error("issuer")]
    Issuer,
    /// It is meant for somebody else.
    #[error("audience")]
    Audience,
}

/// Judges a token at this moment, in seconds since 1970.
pub fn verify(token: &[u8], keys: &Keys, rules: &Rules, now: u64) -> Result<Verified, Rejected> {
    if token.len() > MAX_TOKEN {
        return Err(Rejected::Malformed);
    }
    let token = std::str::from_utf8(token).map_err(|_| Rejected::Malformed)?;
    let (message, signature) = token.rsplit_once('.').ok_or(Rejected::Malformed)?;
    let (header, payload) = message.split_once('.').ok_or(Rejected::Malformed)?;
    if payload.contains('.') || base64::decode(signature.as_bytes(), Form::Url).is_none() {
        return Err(Rejected::Malformed);
    }
    let (claimed, id) = head(&object(header)?)?;
    let able = keys.find(id.as_deref(), claimed).ok_or(Rejected::UnknownKey)?;
    if able.is_empty() {
        return Err(Rejected::Algorithm);
    }
    let is_its_maker = |key: &&super::keys::Key| {
        crypto::verify(signature, message.as_bytes(), &key.material, claimed).unwrap_or(false)
    };
    if !able.iter().any(is_its_maker) {
        return Err(Rejected::Signature);
    }
    let claims = object(payload)?;
    let until = judge(&claims, rules, now)?;
    Ok(Verified { claims, until })
}

fn object(part: &str) -> Result<Map<String, Value>, Rejected> {
    let text = base64::decode(part.as_bytes(), Form::Url).ok_or(Rejected::Malformed)?;
    strict_json::object(&text).ok_or(Rejected::Malformed)
}

/// The types that may grant access: one that says it is of another was not made to (RFC 8725 §3.11).
const TYPES: [&str; 4] = ["JWT", "at+jwt", "application/jwt", "application/at+jwt"];

/// The algorithm and the key that a header names.
fn head(header: &Map<String, Value>) -> Result<(Algorithm, Option<String>), Rejected> {
    // `crit` names extensions that must be understood (RFC 7515 §4.1.11), `zip` and `enc` belong to
    // encrypted tokens, `cty` to a token within a token.
    if ["crit", "zip", "enc", "cty", "b64"].iter().any(|name| header.contains_key(*name)) {
        return Err(Rejected::Unsupported);
    }
    match header.get("typ") {
        None => {}
        Some(Value::String(own)) if TYPES.iter().any(|ours| ours.eq_ignore_ascii_case(own)) => {}
        Some(Value::String(_)) => return Err(Rejected::Unsupported),
        Some(_) => return Err(Rejected::Malformed),
    }
    let id = match header.get("kid") {
        None => None,
        Some(Value::String(id)) => Some(id.clone()),
        Some(_) => return Err(Rejected::Malformed),
    };
    let Some(Value::String(algorithm)) = header.get("alg") else { return Err(Rejected::Malformed) };
    Ok((algorithm.parse().map_err(|_| Rejected::Algorithm)?, id))
}

/// Judges the claims; gives until when they hold.
fn judge(claims: &Map<String, Value>, rules: &Rules, now: u64) -> Result<u64, Rejected> {
    let leeway = rules.leeway.as_secs();
    let until = moment(claims, "exp")?.ok_or(Rejected::Claims)?.saturating_add(leeway);
    // RFC 7519 §4.1.4: the current time must be before it.
    if now >= until {
        return Err(Rejected::Expired);
    }
    if moment(claims, "nbf")?.is_some_and(|from| from > now.saturating_add(leeway)) {
        return Err(Rejected::Early);
    }
    moment(claims, "iat")?;
    let issuer = match claims.get("iss") {
        None => None,
        Some(Value::String(issuer)) => Some(issuer),
        Some(_) => return Err(Rejected::Claims),
    };
    if rules.issuer.as_ref().is_some_and(|ours| issuer != Some(ours)) {
        return Err(Rejected::Issuer);
    }
    let audiences = audiences(claims)?;
    if rules.audience.as_ref().is_some_and(|ours| !audiences.contains(&ours.as_str())) {
        return Err(Rejected::Audience);
    }
    Ok(until)
}

/// A `NumericDate` (RFC 7519 §2), in whole seconds. Only those from 1970 on make sense.
fn moment(claims: &Map<String, Value>, name: &str) -> Result<Option<u64>, Rejected> {
    /// Above it a float has no seconds any more.
    const LATEST: f64 = 9_007_199_254_740_992.0;
    match claims.get(name) {
        None => Ok(None),
        Some(Value::Number(number)) => match (number.as_u64(), number.as_f64()) {
            (Some(whole), _) => Ok(Some(whole)),
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "it is in range, and the part of a second does not count"
            )]
            (None, Some(broken)) if (0.0..LATEST).contains(&broken) => Ok(Some(broken as u64)),
            _ => Err(Rejected::Claims),
        },
        Some(_) => Err(Rejected::Claims),
    }
}

/// `aud`: one text or a list of texts (RFC 7519 §4.1.3).
fn audiences(claims: &Map<String, Value>) -> Result<Vec<&str>, Rejected> {
    match claims.get("aud") {
        None => Ok(Vec::new()),
        Some(Value::String(one)) => Ok(vec![one]),
        Some(Value::Array(all)) => {
            all.iter().map(|one| one.as_str().ok_or(Rejected::Claims)).collect()
        }
        Some(_) => Err(Rejected::Claims),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn rules() -> Rules {
        Rules {
            issuer: Some("https://issuer.example".into()),
            audience: Some("api".into()),
            leeway: Duration::from_secs(30),
        }
    }

    fn judged(claims: &Value) -> Result<u64, Rejected> {
        let mut all = json!({"exp": NOW + 60, "iss": "https://issuer.example", "aud": "api"});
        let (own, more) = (all.as_object_mut().unwrap(), claims.as_object().unwrap());
        for (name, value) in more {
            if value.is_null() {
                own.remove(name);
            } else {
                own.insert(name.clone(), value.clone());
            }
        }
        judge(own, &rules(), NOW)
    }

    #[test]
    fn the_clock_is_believed_within_the_leeway_and_not_beyond() {
        assert_eq!(judged(&json!({})), Ok(NOW + 90));
        assert_eq!(judged(&json!({"exp": NOW - 29})), Ok(NOW + 1));
        assert_eq!(judged(&json!({"exp": NOW - 30})), Err(Rejected::Expired));
        assert_eq!(judged(&json!({"exp": 0})), Err(Rejected::Expired));
        assert_eq!(judged(&json!({"nbf": NOW + 30})), Ok(NOW + 90));
        assert_eq!(judged(&json!({"nbf": NOW + 31})), Err(Rejected::Early));
        assert_eq!(judged(&json!({"exp": u64::MAX})), Ok(u64::MAX));
        assert_eq!(judged(&json!({"exp": 1_800_000_060.5})), Ok(NOW + 90));
    }

    #[test]
    fn times_of_the_wrong_type_are_refused() {
        for odd in [json!("1800000060"), json!(true), json!([NOW + 60]), json!({}), json!(-1)] {
            for name in ["exp", "nbf", "iat"] {
                assert_eq!(judged(&json!({ name: odd })), Err(Rejected::Claims), "{name} {odd}");
            }
        }
        assert_eq!(judged(&json!({"exp": null})), Err(Rejected::Claims), "a token without an end");
        assert_eq!(judged(&json!({"exp": 1e300})), Err(Rejected::Claims));
    }

    #[test]
    fn issuer_and_audience_must_be_ours_to_the_letter() {
        let wrong = |claims: Value| judged(&claims).unwrap_err();
        assert_eq!(wrong(json!({"iss": null})), Rejected::Issuer);
        assert_eq!(wrong(json!({"iss": "https://issuer.example/"})), Rejected::Issuer);
        assert_eq!(wrong(json!({"iss": ["https://issuer.example"]})), Rejected::Claims);
        assert_eq!(wrong(json!({"aud": null})), Rejected::Audience);
        assert_eq!(wrong(json!({"aud": "API"})), Rejected::Audience);
        assert_eq!(wrong(json!({"aud": ["web", "apis"]})), Rejected::Audience);
        assert_eq!(wrong(json!({"aud": ["api", 1]})), Rejected::Claims);
        assert_eq!(wrong(json!({"aud": {"api": true}})), Rejected::Claims);
        assert!(judged(&json!({"aud": ["web", "api"]})).is_ok());
    }

    #[test]
    fn waived_claims_may_be_absent_but_not_odd() {
        let waived = Rules { issuer: None, audience: None, ..rules() };
        let judge = |claims: Value| judge(claims.as_object().unwrap(), &waived, NOW);
        assert!(judge(json!({"exp": NOW + 1})).is_ok());
        assert_eq!(judge(json!({"exp": NOW + 1, "aud": 7})), Err(Rejected::Claims));
        assert_eq!(judge(json!({"exp": NOW + 1, "iss": 7})), Err(Rejected::Claims));
    }

    #[test]
    fn headers_that_ask_for_more_are_refused() {
        let head = |header: Value| head(header.as_object().unwrap());
        assert_eq!(head(json!({"alg": "ES256"})), Ok((Algorithm::ES256, None)));
        assert_eq!(
            head(
                json!({"alg": "ES256", "typ": "at+JWT", "kid": "a", "jku": "https://evil.example"})
            ),
            Ok((Algorithm::ES256, Some("a".into())))
        );
        for name in ["crit", "zip", "enc", "cty", "b64"] {
            assert_eq!(
                head(json!({"alg": "ES256", name: []})),
                Err(Rejected::Unsupported),
                "{name}"
            );
        }
        assert_eq!(head(json!({"alg": "ES256", "typ": "logout+jwt"})), Err(Rejected::Unsupported));
        assert_eq!(head(json!({"alg": "ES256", "typ": 1})), Err(Rejected::Malformed));
        assert_eq!(head(json!({"alg": "ES256", "kid": 1})), Err(Rejected::Malformed));
        assert_eq!(head(json!({"alg": ["ES256"]})), Err(Rejected::Malformed));
        assert_eq!(head(json!({})), Err(Rejected::Malformed));
        for none in ["none", "None", "NONE", "", "es256", "ES256K", "RSA-OAEP"] {
            assert_eq!(head(json!({"alg": none})), Err(Rejected::Algorithm), "{none}");
        }
    }
}
