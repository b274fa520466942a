//! Identities that a trusted proxy has put into fields.
//!
//! `[identity.forward]` is read backwards: the field that would carry a claim to the upstream says what
//! the claim is. Whose word counts is decided by whoever calls this.

use std::sync::Arc;

use http::HeaderMap;
use serde_json::{Map, Value};

use super::Identity;
use super::policy::Policy;
use crate::record::Rejection;

/// The identity in these fields; `None` where they name no user.
pub(super) fn find(
    policy: &Policy,
    headers: &HeaderMap,
) -> Result<Option<Arc<Identity>>, Rejection> {
    let mut claims = Map::new();
    for (name, claim) in policy.forward() {
        let mut fields = headers.get_all(name).iter();
        let Some(field) = fields.next() else { continue };
        // Two readers could take different ones.
        if fields.next().is_some() {
            return Err(Rejection::Malformed);
        }
        let text = std::str::from_utf8(field.as_bytes()).map_err(|_| Rejection::Malformed)?;
        if !text.is_empty() {
            put(&mut claims, claim, text);
        }
    }
    if claims.is_empty() {
        return Ok(None);
    }
    policy.identity(claims).map(|identity| Some(Arc::new(identity))).ok_or(Rejection::Claims)
}

/// Puts a claim where its name or pointer will find it.
fn put(claims: &mut Map<String, Value>, place: &str, text: &str) {
    let Some(pointer) = place.strip_prefix('/') else {
        claims.insert(place.to_owned(), text.into());
        return;
    };
    let mut steps = pointer.split('/').map(|step| step.replace("~1", "/").replace("~0", "~"));
    let Some(mut step) = steps.next() else { return };
    let mut map = claims;
    for next in steps {
        let below = map.entry(step).or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(object) = below else { return };
        map = object;
        step = next;
    }
    map.insert(step, text.into());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::record::PseudonymKey;

    fn policy() -> Policy {
        let mut config = Config::for_upstream(([127, 0, 0, 1], 1).into());
        config.identity.forward.push(("x-user-plan".into(), "/app/plan".into()));
        Policy::compile(&config.identity, &PseudonymKey::random())
    }

    fn found(fields: &[(&'static str, &'static str)]) -> Result<Option<Arc<Identity>>, Rejection> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, http::HeaderValue::from_static(value));
        }
        find(&policy(), &headers)
    }

    #[test]
    fn fields_become_the_claims_they_would_carry() {
        let fields = [("x-user-id", "u1"), ("x-tenant-id", "acme"), ("x-user-plan", "free")];
        let identity = found(&fields).unwrap().unwrap();
        assert_eq!((identity.user(), identity.tenant()), (Some("u1"), Some("acme")));
        assert_eq!(identity.claim("/app/plan"), Some(&Value::from("free")));
        assert_eq!(identity.fields().len(), 3);
    }

    #[test]
    fn nobody_is_named_by_nothing_and_somebody_by_no_halves() {
        assert!(found(&[("x-other", "1")]).unwrap().is_none());
        assert!(found(&[("x-user-id", "")]).unwrap().is_none());
        assert_eq!(found(&[("x-tenant-id", "acme")]).unwrap_err(), Rejection::Claims);
        assert_eq!(
            found(&[("x-user-id", "a"), ("x-user-id", "b")]).unwrap_err(),
            Rejection::Malformed
        );
    }
}
