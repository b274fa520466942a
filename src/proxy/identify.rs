//! Who calls, and whether it may speak for the tenant that it names.
//!
//! It stands after everything that the head alone decides, so a flood meets the door limits before any
//! signature is checked, and before everything that asks who calls. A bad token is refused wherever
//! tokens are looked at, also where none is required: a client that sends one means it.
//!
//! CORS preflights never come here. It verifies nothing itself and removes no field;
//! [`super::identity`] and [`super::forward`] do.

use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use serde_json::Value;

use super::exchange::{Exchange, Stop};
use super::identity::{Identities, Identity, Sender, find};
use crate::config::model::Need;
use crate::record::{Phase, Refusal, Rejection, Step};
use crate::strict_json;

/// Finds out who sent this head to a route that wants to know. `path` is the canonical path.
///
/// Cancel safe: nothing is noted before it is known.
pub async fn identify(
    identities: &Identities,
    exchange: &mut Exchange,
    head: &Parts,
    sender: Sender<'_>,
    path: &str,
) -> Result<(), Stop> {
    let need = exchange.route.gates.identity;
    (exchange.phase, exchange.trail.reached) = (Phase::Identity, Step::Identity);
    let (began, started) = (exchange.began(), exchange.started());
    let found = identities.find(&head.headers, sender, began, started).await;
    let identity = match found {
        Ok(Some(identity)) => identity,
        Ok(None) if need == Need::Required => {
            return refuse(identities, exchange, identities.absence(&head.headers));
        }
        Ok(None) => return Ok(()),
        Err(rejection) => return refuse(identities, exchange, rejection),
    };
    exchange.caller = identity.caller().clone();
    let elsewhere = names_another_tenant(identities, exchange, &identity, head, path);
    exchange.identity = Some(identity);
    match elsewhere {
        Some(place) => Err(refuse_tenant(exchange, place, path).into()),
        None => Ok(()),
    }
}

/// Whether the body of this request could name a tenant, so that it has to be read.
pub fn concerns_body(identities: &Identities, exchange: &Exchange, headers: &HeaderMap) -> bool {
    if identities.tenant_body.is_none() || exchange.identity.is_none() {
        return false;
    }
    // Without a type, or as plain text, some services read JSON all the same. Of two types nobody knows
    // which one counts.
    let is_text = |media: &HeaderValue| {
        media.as_bytes().get(..5).is_some_and(|kind| kind.eq_ignore_ascii_case(b"text/"))
    };
    !headers.contains_key(CONTENT_TYPE)
        || says_json(headers)
        || headers.get_all(CONTENT_TYPE).iter().any(is_text)
}

/// Judges a whole body by the tenant that it names. A JSON value that is no object names none; an object
/// that says a thing twice could name two, and what cannot be read here could name any to others.
pub fn judge_body(
    identities: &Identities,
    exchange: &mut Exchange,
    headers: &HeaderMap,
    path: &str,
    body: &[u8],
) -> Result<(), Refusal> {
    let (Some(place), Some(identity)) = (&identities.tenant_body, &exchange.identity) else {
        return Ok(());
    };
    let Some(object) = strict_json::object(body) else {
        return match serde_json::from_slice::<Value>(body) {
            Ok(value) if !value.is_object() => Ok(()),
            Err(_) if !may_be_an_object(headers, body) => Ok(()),
            _ => Err(Refusal::BadRequest),
        };
    };
    let is_foreign = match find(&object, place) {
        None | Some(Value::Null) => false,
        Some(Value::String(named)) => Some(named.as_str()) != identity.tenant(),
        Some(Value::Number(named)) => Some(named.to_string().as_str()) != identity.tenant(),
        Some(_) => true,
    };
    if is_foreign { Err(refuse_tenant(exchange, Rejection::TenantBody, path)) } else { Ok(()) }
}

/// Whether another reader could find an object in a body that is no JSON here: one that forgives a byte
/// order mark, another encoding, half a surrogate pair, a number beyond all bounds or a comma too many.
fn may_be_an_object(headers: &HeaderMap, body: &[u8]) -> bool {
    match body.iter().find(|byte| byte.is_ascii_graphic()) {
        None => false,
        Some(first) => *first == b'{' || says_json(headers),
    }
}

fn says_json(headers: &HeaderMap) -> bool {
    headers.get_all(CONTENT_TYPE).iter().any(|media| {
        let media = media.as_bytes().to_ascii_lowercase();
        memchr::memmem::find(&media, b"json").is_some()
    })
}

/// The reason is for telemetry; the answer says less.
fn refuse(
    identities: &Identities,
    exchange: &mut Exchange,
    rejection: Rejection,
) -> Result<(), Stop> {
    exchange.rejection = Some(rejection);
    let refusal = match rejection {
        Rejection::Expired => Refusal::TokenExpired,
        Rejection::NoKeys => Refusal::JwksUnavailable,
        _ => Refusal::Unauthenticated,
    };
    Err(Stop::Refused(refusal, identities.explain(rejection)))
}

/// It speaks of another tenant, in this place. What it says there is nobody's business.
fn refuse_tenant(exchange: &mut Exchange, place: Rejection, path: &str) -> Refusal {
    exchange.rejection = Some(place);
    exchange.note_path(path);
    Refusal::TenantMismatch
}

/// Where the head names a tenant that is not the identity's. Every word of it counts: which of two
/// the upstream would take, nobody knows.
fn names_another_tenant(
    identities: &Identities,
    exchange: &Exchange,
    identity: &Identity,
    head: &Parts,
    path: &str,
) -> Option<Rejection> {
    let own = identity.tenant().map(str::as_bytes);
    if let Some(name) = &identities.tenant_header
        && !identities.believes_headers()
        && head.headers.get_all(name).iter().any(|claimed| Some(claimed.as_bytes()) != own)
    {
        return Some(Rejection::TenantHeader);
    }
    let asked = identities.tenant_path_param.as_ref()?;
    let is_foreign =
        |(name, value): (&str, &str)| name == &**asked && Some(&*unescaped(value)) != own;
    // A route may call the tail `{*rest}` in which the document of the API names the tenant.
    let of_operation = exchange.operation.iter().map(|operation| &operation.template);
    let mut templates = exchange.route.template.iter().chain(of_operation);
    templates
        .any(|template| template.has_params() && template.params(path).into_iter().any(is_foreign))
        .then_some(Rejection::TenantPathParam)
}

/// A path parameter without its escapes. The path is canonical, so each escape is whole.
fn unescaped(value: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digit = |at: usize| char::from(*after.get(at)?).to_digit(16);
        if let (b'%', Some(high), Some(low)) = (first, digit(0), digit(1)) {
            bytes.extend(u8::try_from(high << 4 | low));
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_read_and_nothing_else_is() {
        for (value, bytes) in [
            ("acme", "acme"),
            ("a%20b", "a b"),
            ("%C3%A4", "ä"),
            ("%", "%"),
            ("%zz", "%zz"),
            ("", ""),
        ] {
            assert_eq!(unescaped(value), bytes.as_bytes(), "{value}");
        }
        assert_eq!(unescaped("%+1"), b"%+1");
    }
}
