//! From verified claims to an identity: which claims are the user and the tenant, what telemetry may
//! show of them, and which fields the upstream gets.
//!
//! A claim that is needed and cannot be carried as it is makes the whole identity void: half an identity
//! could be taken for another one's.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value};

use super::{Identity, find};
use crate::config::model::{Identity as Settings, TelemetryUser};
use crate::record::{Caller, PseudonymKey, Shown, User};

/// Bytes of a user or a tenant: an address for mail has up to 254.
const MOST_NAME: usize = 256;
/// Bytes of a field for the upstream.
const MOST_FIELD: usize = 4096;

/// How claims become an identity.
#[derive(Debug)]
pub(super) struct Policy {
    user_claim: Arc<str>,
    tenant_claim: Arc<str>,
    forward: Vec<(HeaderName, Arc<str>)>,
    show: Show,
}

/// What telemetry may carry of a user.
enum Show {
    Hash(PseudonymKey),
    Raw,
    Nothing,
}

impl std::fmt::Debug for Show {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Hash(_) => "Hash(…)",
            Self::Raw => "Raw",
            Self::Nothing => "Nothing",
        })
    }
}

impl Policy {
    pub(super) fn compile(settings: &Settings, key: &PseudonymKey) -> Self {
        let field = |(name, claim): &(Arc<str>, Arc<str>)| {
            // A name that is none was refused by `check`.
            HeaderName::from_bytes(name.as_bytes()).ok().map(|name| (name, Arc::clone(claim)))
        };
        Self {
            user_claim: Arc::clone(&settings.user_claim),
            tenant_claim: Arc::clone(&settings.tenant_claim),
            forward: settings.forward.iter().filter_map(field).collect(),
            show: show(settings, key),
        }
    }

    /// The fields that are set from claims, each with its claim.
    pub(super) fn forward(&self) -> &[(HeaderName, Arc<str>)] {
        &self.forward
    }

    /// The identity of these claims; `None` where they name no user, or name one that cannot be carried
    /// from hop to hop as it is.
    pub(super) fn identity(&self, claims: Map<String, Value>) -> Option<Identity> {
        let name = |place: &str| match find(&claims, place) {
            None | Some(Value::Null) => Some(None),
            Some(value) => name_of(value).map(Some),
        };
        let user = name(&self.user_claim)??;
        let tenant = name(&self.tenant_claim)?;
        let mut fields = Vec::with_capacity(self.forward.len());
        for (field, place) in &self.forward {
            if let Some(value) = find(&claims, place).filter(|value| !value.is_null()) {
                fields.push((field.clone(), field_of(value)?));
            }
        }
        let caller =
            Caller { user: self.shown(&user), tenant: tenant.as_deref().map(Shown::verified) };
        Some(Identity { claims, user: Some(user), tenant, caller, fields: fields.into() })
    }

    fn shown(&self, user: &str) -> Option<User> {
        match &self.show {
            Show::Hash(key) => Some(User::Hash(key.pseudonym(user.as_bytes()))),
            Show::Raw => Some(User::Raw(Shown::verified(user))),
            Show::Nothing => None,
        }
    }
}

fn show(settings: &Settings, key: &PseudonymKey) -> Show {
    match settings.telemetry_user {
        TelemetryUser::None => Show::Nothing,
        TelemetryUser::Raw => Show::Raw,
        TelemetryUser::Hmac => Show::Hash(key.clone()),
    }
}

/// A user or a tenant: a text, or a whole number as its digits.
fn name_of(value: &Value) -> Option<Arc<str>> {
    let text: Arc<str> = match value {
        Value::String(text) => text.as_str().into(),
        Value::Number(number) if !number.is_f64() => number.to_string().into(),
        _ => return None,
    };
    (text.len() <= MOST_NAME && is_carried(&text)).then_some(text)
}

/// A claim as a field: a text, a number, a yes or no, or a list of such with commas between them.
fn field_of(value: &Value) -> Option<HeaderValue> {
    let text = match value {
        Value::Array(all) => {
            let parts: Option<Vec<_>> = all.iter().map(word_of).collect();
            let parts = parts?;
            // Otherwise one word could be read as two.
            if parts.iter().any(|part| part.contains(',')) {
                return None;
            }
            parts.join(",")
        }
        single => word_of(single)?,
    };
    if text.len() > MOST_FIELD {
        return None;
    }
    HeaderValue::from_bytes(text.as_bytes()).ok()
}

fn word_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if is_carried(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// Whether a text arrives as it is: a field loses spaces at its ends (RFC 9110 §5.5), and control
/// characters cannot be in it.
fn is_carried(text: &str) -> bool {
    !text.is_empty() && text.trim() == text && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::Config;

    fn policy(change: impl FnOnce(&mut Settings)) -> Policy {
        let mut config = Config::for_upstream(([127, 0, 0, 1], 1).into());
        change(&mut config.identity);
        Policy::compile(&config.identity, &PseudonymKey::from_bytes(b"0123456789abcdef"))
    }

    fn identity(policy: &Policy, claims: &Value) -> Option<Identity> {
        policy.identity(claims.as_object().cloned().unwrap())
    }

    fn fields(policy: &Policy, claims: &Value) -> Vec<String> {
        let identity = identity(policy, claims).unwrap();
        let shown = |(name, value): &(HeaderName, HeaderValue)| {
            format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))
        };
        identity.fields().iter().map(shown).collect()
    }

    #[test]
    fn the_upstream_gets_the_claims_that_are_there() {
        let usual = policy(|_| {});
        let claims = json!({"sub": "u1", "tenant_id": "acme", "email": "a@b.example"});
        assert_eq!(fields(&usual, &claims), ["x-tenant-id: acme", "x-user-id: u1"]);
        assert_eq!(fields(&usual, &json!({"sub": 17, "tenant_id": null})), ["x-user-id: 17"]);
        let own = policy(|identity| {
            identity.forward = vec![
                ("x-user-roles".into(), "/realm/roles".into()),
                ("x-user-admin".into(), "admin".into()),
            ];
        });
        let claims = json!({"sub": "u1", "realm": {"roles": ["a", "b"]}, "admin": false});
        assert_eq!(fields(&own, &claims), ["x-user-roles: a,b", "x-user-admin: false"]);
        assert_eq!(fields(&own, &json!({"sub": "u1"})), [""; 0]);
    }

    #[test]
    fn what_cannot_be_carried_as_it_is_makes_no_identity() {
        let usual = policy(|_| {});
        for user in [
            json!(null),
            json!(""),
            json!(" u1"),
            json!("u1 "),
            json!("u\n1"),
            json!("u\u{0}"),
            json!(1.5),
            json!(true),
            json!(["u1"]),
            json!({"id": "u1"}),
            json!("x".repeat(257)),
        ] {
            assert!(identity(&usual, &json!({"sub": user})).is_none(), "{user}");
        }
        assert!(identity(&usual, &json!({})).is_none());
        assert!(identity(&usual, &json!({"sub": "u1", "tenant_id": ["a"]})).is_none());
        let roles = policy(|identity| identity.forward = vec![("x-roles".into(), "roles".into())]);
        for roles_claim in [json!(["a,b"]), json!([""]), json!([["a"]]), json!({"a": 1})] {
            let claims = json!({"sub": "u1", "roles": roles_claim});
            assert!(identity(&roles, &claims).is_none(), "{roles_claim}");
        }
    }

    #[test]
    fn telemetry_gets_a_pseudonym_the_user_or_nothing() {
        let claims = json!({"sub": "u1", "tenant_id": "acme"});
        let shown = |policy: &Policy| {
            let identity = identity(policy, &claims).unwrap();
            identity.caller().user.as_ref().map(|user| user.with_str(str::to_owned))
        };
        // `printf u1 | openssl dgst -sha256 -hmac 0123456789abcdef`, its first half.
        assert_eq!(shown(&policy(|_| {})).as_deref(), Some("5162bddb18bda0082a7b39c472f7d118"));
        let raw = policy(|own| own.telemetry_user = TelemetryUser::Raw);
        assert_eq!(shown(&raw).as_deref(), Some("u1"));
        assert_eq!(shown(&policy(|own| own.telemetry_user = TelemetryUser::None)), None);
        let caller = identity(&raw, &claims).unwrap().caller().clone();
        assert_eq!(caller.tenant.as_deref(), Some("acme"));
    }
}
