//! `[identity]`, `[identity.jwt]` and `[identity.forward]`.
//!
//! Keys and secrets are read and tried here, so that a wrong file refuses to start. What a rule would
//! let through by being absent (issuer, audience) must be waived in so many words.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::HeaderName;

use super::files;
use super::identity_jwt;
use crate::config::defaults;
use crate::config::error::{Origin, Problem};
use crate::config::keys::nearest;
use crate::config::model::{Config, Identity, IdentitySource, SigningKey, TelemetryUser};
use crate::config::section::{Section, Word, lay};
use crate::config::value::one_of;
use crate::http::hop::SIGNED_IDENTITY as SIGNED;
use crate::http::{forwarded, hop};
use crate::jwt::Signer;
use crate::record::{ConfigName, PseudonymKey};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    None,
    Jwt,
    Mtls,
    Headers,
}

const SOURCES: [(&str, Kind); 4] =
    [("none", Kind::None), ("jwt", Kind::Jwt), ("mtls", Kind::Mtls), ("headers", Kind::Headers)];
const USERS: [(&str, TelemetryUser); 3] =
    [("hmac", TelemetryUser::Hmac), ("raw", TelemetryUser::Raw), ("none", TelemetryUser::None)];
/// A shorter key could be guessed, and with it every pseudonym.
const SHORTEST_KEY: usize = 16;

/// `[identity]` and what is below it.
pub(super) fn identity(section: &Section<'_>, identity: &mut Identity) {
    let kind = section.choice("source", &SOURCES).unwrap_or(Kind::None);
    let table = section.section("jwt");
    if kind == Kind::Jwt && !section.has("jwt") {
        let label = "nothing says whose tokens count, and which keys check them";
        let help = "add `[identity.jwt]` with `jwks_url`, `issuer` and `audience`";
        section.refuse("source", "needs `[identity.jwt]`", label, Some(help));
    }
    let is_written = table.origin != Origin::Nowhere;
    let jwt = identity_jwt::jwt(&table, kind == Kind::Jwt && is_written);
    identity.source = match kind {
        Kind::None => IdentitySource::None,
        // Without keys there is a problem already.
        Kind::Jwt => jwt.map_or(IdentitySource::None, |jwt| IdentitySource::Jwt(Box::new(jwt))),
        Kind::Mtls => IdentitySource::Mtls,
        Kind::Headers => IdentitySource::Headers,
    };
    lay(&mut identity.telemetry_user, section.choice("telemetry_user", &USERS));
    optional(section, "tenant_header", &mut identity.tenant_header, |text| {
        field(text).map(|name| name.as_str().into())
    });
    optional(section, "tenant_path_param", &mut identity.tenant_path_param, parameter);
    optional(section, "tenant_body", &mut identity.tenant_body, pointer);
    lay(&mut identity.user_claim, section.parsed("user_claim", "a claim", claim));
    lay(&mut identity.tenant_claim, section.parsed("tenant_claim", "a claim", claim));
    if section.has("forward") {
        identity.forward = forward(section);
    }
    identity.signing_key = signing_key(section);
}

/// What needs two tables at once.
pub(super) fn across(root: &Section<'_>, config: &Config) {
    let section = root.section("identity");
    let refuse = |what: &str, label: &str, help: &str| {
        section.refuse("source", what, label, Some(help));
    };
    match config.identity.source {
        IdentitySource::Headers if root.section("server").is_silent("trusted_proxies") => refuse(
            "trusts nobody",
            "every client could set these headers",
            "name the proxy that sets them in `server.trusted_proxies`",
        ),
        IdentitySource::Mtls if !asks_for_certificates(root) => refuse(
            "asks for no certificates",
            "no client would show one",
            "name the authorities of your clients in `server.tls.client_ca_file`",
        ),
        // A source that could not be read is a problem of its own.
        IdentitySource::None
            if !section.has("source") || section.text("source") == Some("none") =>
        {
            required_of_nobody(root);
        }
        _ => {}
    }
    names_taken(&section, config);
    tenant_nowhere(root, &section, config);
}

/// Whether the file is named. One that cannot be used is a problem of its own.
fn asks_for_certificates(root: &Section<'_>) -> bool {
    !root.section("server").section("tls").is_silent("client_ca_file")
}

/// A route that requires what nobody can have refuses every request.
fn required_of_nobody(root: &Section<'_>) {
    let mut tables = root.each("routes");
    tables.push(root.section("route_defaults"));
    for table in tables.iter().filter(|table| table.text("identity") == Some("required")) {
        table.refuse(
            "identity",
            "can never be met",
            "nobody has an identity here",
            Some("set `identity.source`, for example \"jwt\""),
        );
    }
}

/// A parameter that no path has compares nothing, and who names one relies on it. The default's name is
/// there for whoever has it.
fn tenant_nowhere(root: &Section<'_>, section: &Section<'_>, config: &Config) {
    const KEY: &str = "tenant_path_param";
    let Some(name) = config.identity.tenant_path_param.as_deref() else { return };
    let is_usual = defaults::identity().tenant_path_param.as_deref() == Some(name);
    let is_read = config.routes.len() == root.each("routes").len()
        && (config.openapi.is_some() || root.section("openapi").is_silent("file"));
    if !section.has(KEY) || is_usual || !is_read {
        return;
    }
    let documented = config.openapi.iter().flat_map(|document| document.paths());
    let templates: Vec<&str> = config
        .routes
        .iter()
        .map(|route| &*route.template)
        .chain(documented.map(|path| path.template.as_str()))
        .collect();
    let known: BTreeSet<&str> =
        templates.iter().flat_map(|template| parameters(template)).collect();
    if known.contains(name) {
        return;
    }
    let help = match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None if known.is_empty() => {
            format!("add a route with it, such as `match = \"* /tenants/{{{name}}}/{{*rest}}\"`")
        }
        None => format!("the parameters are {}", one_of(known.into_iter())),
    };
    let label = format!("no route and no operation has `{{{name}}}`");
    section.refuse(KEY, "names a parameter that no path has", label, Some(&help));
}

/// The names of a template's parameters.
fn parameters(template: &str) -> impl Iterator<Item = &str> {
    let braces = template.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    braces.map(|name| name.trim_start_matches('*'))
}

/// Fields of ours that a claim must not replace.
fn names_taken(section: &Section<'_>, config: &Config) {
    let is_signed = config.identity.signing_key.is_some();
    for (name, _) in &config.identity.forward {
        let label = if hop::is_twin(name, &config.request_id_header) {
            "it carries the request id"
        } else if is_signed && hop::is_twin(name, SIGNED.as_str()) {
            "it carries what `identity.signing_key_file` signs"
        } else {
            continue;
        };
        section.section("forward").refuse(name, "cannot hold a claim", label, None);
    }
}

/// `pseudonym_key_file`: what keys the pseudonyms of users and of captured texts.
pub(super) fn pseudonym_key(section: &Section<'_>) -> Option<PseudonymKey> {
    let key = files::secret(section, "pseudonym_key_file")?;
    if key.reveal().len() < SHORTEST_KEY {
        let label = format!("expected at least {SHORTEST_KEY} bytes");
        section.refuse("pseudonym_key_file", "holds a key that is too short", label, None);
        return None;
    }
    Some(PseudonymKey::from_bytes(key.reveal().as_bytes()))
}

/// `signing_key_file`: what signs `x-identity`.
fn signing_key(section: &Section<'_>) -> Option<SigningKey> {
    const KEY: &str = "signing_key_file";
    let path = section.optional(KEY)?;
    match Signer::of_pem(&files::content(section, KEY, path)?) {
        Ok(signer) => Some(SigningKey { path: path.into(), signer: Arc::new(signer) }),
        Err(wrong) => {
            let help = "make one with `openssl genpkey -algorithm ed25519`";
            let label = format!("reading `{path}`: {wrong}");
            section.refuse(KEY, "cannot sign", label, Some(help));
            None
        }
    }
}

/// A text that means "none" when it is empty.
fn optional(
    section: &Section<'_>,
    key: &str,
    slot: &mut Option<Arc<str>>,
    parse: impl FnOnce(&str) -> Result<Arc<str>, &'static str>,
) {
    if section.text(key) == Some("") {
        *slot = None;
    } else if let Some(value) = section.parsed(key, "usable", parse) {
        *slot = Some(value);
    }
}

fn forward(section: &Section<'_>) -> Vec<(Arc<str>, Arc<str>)> {
    let mut fields: Vec<(Arc<str>, Arc<str>)> = Vec::new();
    for (name, place) in section.pairs("forward") {
        let refuse = |word: &Word, title: String, label: &str| {
            section.problems.push(Problem::at(&word.origin, title).label(label));
        };
        let field = match field(&name.text) {
            Ok(field) => field,
            Err(label) => {
                refuse(&name, format!("`{}` cannot carry a claim", name.text), label);
                continue;
            }
        };
        match claim(&place.text) {
            Ok(_) if fields.iter().any(|(other, _)| hop::is_twin(other, field.as_str())) => {
                refuse(&name, format!("`{field}` is there twice"), "named before");
            }
            Ok(place) => fields.push((field.as_str().into(), place)),
            Err(label) => refuse(&place, format!("`{}` is not a claim", place.text), label),
        }
    }
    fields
}

/// A field that may be taken from clients and set anew: none that means something to a hop, to a
/// browser or to us.
fn field(text: &str) -> Result<HeaderName, &'static str> {
    let name = HeaderName::from_bytes(text.as_bytes());
    let name = name.map_err(|_| "expected the name of a header field")?;
    let is_ours = |name: &HeaderName| {
        hop::is_hop_by_hop(name)
            || hop::is_usual(name)
            || hop::is_internal(name)
            || hop::is_trace_context(name)
            || forwarded::is_forwarding(name)
            || !name.as_str().contains(['-', '_'])
            || name.as_str().starts_with("content-")
    };
    if is_ours(&name) { Err("this field means something else") } else { Ok(name) }
}

/// A claim: its name, or a JSON pointer (RFC 6901) to it.
fn claim(text: &str) -> Result<Arc<str>, &'static str> {
    if text.is_empty() || text.len() > 255 || text.chars().any(char::is_control) {
        return Err("expected the name of a claim, or a JSON pointer such as \"/realm/roles\"");
    }
    if text.starts_with('/') { pointer(text) } else { Ok(text.into()) }
}

fn pointer(text: &str) -> Result<Arc<str>, &'static str> {
    let is_escaped = |rest: &str| rest.starts_with(['0', '1']);
    if !text.starts_with('/') || text.len() > 255 {
        return Err("expected a JSON pointer that begins with `/`");
    }
    if !text.split('~').skip(1).all(is_escaped) {
        return Err("in a JSON pointer `~` must be `~0` or `~1`");
    }
    Ok(text.into())
}

fn parameter(text: &str) -> Result<Arc<str>, &'static str> {
    if text.contains(['{', '}', '*', '/']) || text.len() > 64 {
        return Err("expected the name of a parameter, without its braces");
    }
    Ok(text.into())
}

/// What somebody has written and nothing looks at, and who relies on knowing who calls while nobody
/// does.
pub(super) fn notices(root: &Section<'_>, config: &Config) -> Vec<String> {
    let section = root.section("identity");
    let source = section.text("source").unwrap_or("none");
    let mut notices = Vec::new();
    let mut idle = |key: &str, needed: &str| {
        notices.push(format!(
            "`identity.{key}` does nothing: `identity.source` is \"{source}\", not {needed}."
        ));
    };
    if source != "jwt" && identity_jwt::is_meant(&section.section("jwt")) {
        idle("jwt", "\"jwt\"");
    }
    let knows_nobody = matches!(config.identity.source, IdentitySource::None);
    if knows_nobody && config.identity.signing_key.is_some() {
        idle("signing_key_file", "\"jwt\", \"mtls\" or \"headers\"");
    }
    if knows_nobody {
        notices.extend(audited_without_users(config));
    }
    notices
}

/// An audit without a user.
fn audited_without_users(config: &Config) -> Option<String> {
    let audited = config.routes.iter().filter(|route| route.audit.is_some());
    let names: Vec<&ConfigName> = audited.map(|route| &route.name).collect();
    let first = names.first()?;
    let are = match names.len() {
        1 => " is".to_owned(),
        more => format!(" and {} more are", more - 1),
    };
    Some(format!("The route `{first}`{are} audited without users: `identity.source` is \"none\"."))
}
