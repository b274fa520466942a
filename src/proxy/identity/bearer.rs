//! Bearer tokens of requests (RFC 6750 §2.1), judged by the keys in force.
//!
//! A token that was judged before costs its hash; another one its signature. A request never waits for
//! keys, with one exception: a token that names a key nobody has here yet may wait a second for it.

use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use tokio::time::Instant;

use super::Identity;
use super::cache::{Cache, Entry, Fingerprint};
use super::policy::Policy;
use super::ring::{Ring, Set};
use crate::config::model::{Jwt, KeySource};
use crate::jwt::{self, Keys, Rejected, Rules};
use crate::record::Rejection;

/// What judges tokens.
#[derive(Debug)]
pub(super) struct Bearer {
    pub(super) ring: Ring,
    rules: Rules,
    cache: Cache,
}

/// The moment at which a token is judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// For the age of keys.
    pub(super) now: Instant,
    /// For the claims: seconds since 1970.
    pub(super) unix: u64,
}

impl Bearer {
    pub(super) fn new(settings: &Jwt) -> Self {
        let keys = match &settings.keys {
            KeySource::Url(_) => None,
            KeySource::File { keys, .. } => Some(Arc::clone(keys)),
        };
        let rules = Rules {
            issuer: settings.issuer.clone(),
            audience: settings.audience.clone(),
            leeway: settings.leeway,
        };
        Self { ring: Ring::new(keys), rules, cache: Cache::default() }
    }

    /// The identity of a token. Cancel safe.
    pub(super) async fn judge(
        &self,
        policy: &Policy,
        token: &[u8],
        at: Moment,
    ) -> Result<Arc<Identity>, Rejection> {
        if token.len() > jwt::MAX_TOKEN {
            return Err(Rejection::Malformed);
        }
        let fingerprint = Fingerprint::of(token);
        let (keys, generation) = {
            let set = self.ring.set();
            let keys = set.usable(at.now).ok_or(Rejection::NoKeys)?;
            if let Some(identity) = self.cache.find(&fingerprint, set.generation, at.unix) {
                return Ok(identity);
            }
            (Arc::clone(keys), set.generation)
        };
        let asked = Asked { token, fingerprint, at };
        match self.verify(policy, &asked, &keys, generation) {
            Err(Rejection::UnknownKey) => {}
            judged => return judged,
        }
        // Boxed: few requests wait, and every one has room for what it may wait for.
        if !Box::pin(self.ring.renew(generation, at.now)).await {
            return Err(Rejection::UnknownKey);
        }
        let set: Arc<Set> = self.ring.set().clone();
        let keys = set.usable(at.now).ok_or(Rejection::NoKeys)?;
        self.verify(policy, &asked, keys, set.generation)
    }

    fn verify(
        &self,
        policy: &Policy,
        asked: &Asked<'_>,
        keys: &Keys,
        generation: u64,
    ) -> Result<Arc<Identity>, Rejection> {
        let verified = jwt::verify(asked.token, keys, &self.rules, asked.at.unix);
        let verified = verified.map_err(rejection)?;
        let identity = Arc::new(policy.identity(verified.claims).ok_or(Rejection::Claims)?);
        let entry = Entry {
            identity: Arc::clone(&identity),
            until: verified.until,
            generation,
            length: asked.token.len(),
        };
        self.cache.keep(asked.fingerprint, entry);
        Ok(identity)
    }
}

/// A token, and when it is asked about.
struct Asked<'a> {
    token: &'a [u8],
    fingerprint: Fingerprint,
    at: Moment,
}

/// Which check a token failed, as telemetry names it.
fn rejection(rejected: Rejected) -> Rejection {
    match rejected {
        Rejected::Malformed => Rejection::Malformed,
        Rejected::Unsupported => Rejection::Unsupported,
        Rejected::Algorithm => Rejection::Algorithm,
        Rejected::UnknownKey => Rejection::UnknownKey,
        Rejected::Signature => Rejection::Signature,
        Rejected::Claims => Rejection::Claims,
        Rejected::Expired => Rejection::Expired,
        Rejected::Early => Rejection::NotYetValid,
        Rejected::Issuer => Rejection::Issuer,
        Rejected::Audience => Rejection::Audience,
    }
}

/// The bearer token of a head; `None` where it has none. Another scheme is none of our business; two
/// fields are, because two readers could take different ones, and so is a scheme that another reader
/// could take for ours: one with a tab behind it, where spaces belong (RFC 9110 §11.4).
pub(super) fn token(headers: &HeaderMap) -> Result<Option<&[u8]>, Rejection> {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let Some(field) = fields.next() else { return Ok(None) };
    if fields.next().is_some() {
        return Err(Rejection::Malformed);
    }
    let text = field.as_bytes();
    // The scheme is written in any case (RFC 9110 §11.1).
    let Some((scheme, rest)) = text.split_at_checked(6) else { return Ok(None) };
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return Ok(None);
    }
    let credentials = rest.trim_ascii();
    match rest.first() {
        Some(b' ') if !credentials.is_empty() && !rest.contains(&b'\t') => Ok(Some(credentials)),
        Some(b' ' | b'\t') | None => Err(Rejection::Malformed),
        // `Bearerish` is another scheme.
        Some(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token_of(fields: &[&'static str]) -> Result<Option<String>, Rejection> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(AUTHORIZATION, http::HeaderValue::from_static(field));
        }
        token(&headers).map(|token| token.map(|t| String::from_utf8_lossy(t).into_owned()))
    }

    #[test]
    fn the_token_is_found_in_one_field_of_the_right_scheme() {
        for field in ["Bearer a.b.c", "bearer a.b.c", "BEARER  a.b.c "] {
            assert_eq!(token_of(&[field]), Ok(Some("a.b.c".into())), "{field}");
        }
        for other in ["Basic YTpi", "", "B", "Bearerish a", "Bearer=a", "Digest x", "Token a.b.c"] {
            assert_eq!(token_of(&[other]), Ok(None), "{other}");
        }
        assert_eq!(token_of(&[]), Ok(None));
        for broken in [
            &["Bearer"][..],
            &["Bearer "],
            &["Bearer\t"],
            &["Bearer\ta.b.c"],
            &["bEARER\t a.b.c"],
            &["Bearer \ta.b.c"],
            &["Bearer a.b.c\td"],
            &["Bearer a", "Bearer a"],
            &["Basic a", "Bearer a"],
        ] {
            assert_eq!(token_of(broken), Err(Rejection::Malformed), "{broken:?}");
        }
    }
}
