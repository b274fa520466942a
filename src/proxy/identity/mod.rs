//! Who a request comes from, once that has been verified.
//!
//! An [`Identity`] is made from verified claims alone: there is no way from a header that a client sent
//! to one. Later stages read it; limits ask it for the user, the tenant and single claims. It holds
//! private data, so it shows nothing of itself, and no voice is ever given one.

use std::fmt;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value};

use crate::record::Caller;

mod bearer;
mod cache;
mod follow;
mod headers;
mod identities;
mod mtls;
mod policy;
mod ring;
mod seal;
mod standing;

pub use identities::{Identities, Sender};
pub use mtls::Certified;
pub use standing::{KeyStanding, Standing};

/// A verified identity. Clones of the `Arc` around it are shared by all requests with the same token.
pub struct Identity {
    claims: Map<String, Value>,
    user: Option<Arc<str>>,
    tenant: Option<Arc<str>>,
    caller: Caller,
    fields: Box<[(HeaderName, HeaderValue)]>,
}

impl Identity {
    /// An identity with these verified claims. User and tenant were found among them.
    pub fn new(
        claims: Map<String, Value>,
        user: Option<Arc<str>>,
        tenant: Option<Arc<str>>,
    ) -> Self {
        Self { claims, user, tenant, caller: Caller::default(), fields: Box::default() }
    }

    /// The user, as `identity.user_claim` names it.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The tenant, as `identity.tenant_claim` names it.
    pub fn tenant(&self) -> Option<&str> {
        self.tenant.as_deref()
    }

    /// What telemetry may show of it.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The fields that tell the upstream of it.
    pub fn fields(&self) -> &[(HeaderName, HeaderValue)] {
        &self.fields
    }

    /// A claim by its name, or, where `place` begins with a slash, by JSON pointer (RFC 6901).
    pub fn claim(&self, place: &str) -> Option<&Value> {
        find(&self.claims, place)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(…)")
    }
}

/// A claim by name or JSON pointer. Names with slashes at the start do not exist for it.
pub(crate) fn find<'a>(claims: &'a Map<String, Value>, place: &str) -> Option<&'a Value> {
    let Some(rest) = place.strip_prefix('/') else { return claims.get(place) };
    let (first, below) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let value = if first.contains('~') {
        claims.get(&first.replace("~1", "/").replace("~0", "~"))
    } else {
        claims.get(first)
    };
    value?.pointer(below)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(value: &Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn claims_are_found_by_name_and_by_pointer() {
        let all = claims(&json!({
            "sub": "u1", "https://a.example/plan": "free", "realm": {"roles": ["a", "b"], "x/y": 1}
        }));
        let identity = Identity::new(all, Some("u1".into()), None);
        assert_eq!(identity.claim("sub"), Some(&json!("u1")));
        assert_eq!(identity.claim("https://a.example/plan"), Some(&json!("free")));
        assert_eq!(identity.claim("/realm/roles/1"), Some(&json!("b")));
        assert_eq!(identity.claim("/realm/x~1y"), Some(&json!(1)));
        assert_eq!(identity.claim("/sub"), Some(&json!("u1")));
        for absent in ["", "/", "realm/roles", "/realm/none", "/sub/x", "plan"] {
            assert_eq!(identity.claim(absent), None, "{absent}");
        }
        assert_eq!((identity.user(), identity.tenant()), (Some("u1"), None));
    }

    #[test]
    fn an_identity_shows_nothing() {
        let identity = Identity::new(claims(&json!({"sub": "secret"})), None, None);
        assert_eq!(format!("{identity:?}"), "Identity(…)");
    }
}
