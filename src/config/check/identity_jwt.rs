//! `[identity.jwt]`: whose tokens count, and the keys that check them.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{files, url};
use crate::config::error::Problem;
use crate::config::model::{Jwt, KeyForm, KeySource, Scheme};
use crate::config::section::{Section, lay};
use crate::config::value::{Zero, one_of};
use crate::jwt::{ALGORITHMS, Algorithm, is_symmetric};

/// What is checked with public keys, unless the configuration says otherwise.
const USUAL: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];
/// Clocks that are further apart are broken.
const MOST_LEEWAY: Duration = Duration::from_mins(10);
/// Where keys may come from.
const PLACES: [&str; 4] = ["jwks_url", "jwks_file", "public_key_file", "secret_file"];

/// Reads the table. `None` where it names no keys, which is a problem only where it is `needed`.
pub(super) fn jwt(section: &Section<'_>, needed: bool) -> Option<Jwt> {
    let named: Vec<_> = PLACES.into_iter().filter(|key| !section.is_silent(key)).collect();
    if let [_, second, ..] = named[..] {
        let label = format!("`{}` names them, too", section.path_of(named[0]));
        section.refuse(second, "is a second source of keys", label, None);
    }
    let place = named.first().copied();
    if needed && place.is_none() {
        let title = format!("`{}` has no source of keys", section.path());
        let problem = Problem::at(&section.origin, title).label("no key could check a token");
        let help = format!("set one of {}", one_of(PLACES.into_iter()));
        section.problems.push(problem.help(help));
    }
    let algorithms = algorithms(section, place == Some("secret_file"));
    let issuer = expected(section, "issuer", needed, "tokens of any issuer would count");
    let audience = expected(section, "audience", needed, "tokens for anybody would count");
    let mut leeway = Duration::from_secs(30);
    lay(&mut leeway, section.duration("leeway", Zero::Meaningful));
    if leeway > MOST_LEEWAY {
        section.refuse("leeway", "is too long", "expected at most 10 minutes", None);
    }
    let keys = match place? {
        "jwks_url" => KeySource::Url(section.parsed("jwks_url", "a URL for keys", key_url)?),
        "jwks_file" => file(section, "jwks_file", KeyForm::Set, &algorithms)?,
        "public_key_file" => file(section, "public_key_file", KeyForm::Pem, &algorithms)?,
        _ => file(section, "secret_file", KeyForm::Secret, &algorithms)?,
    };
    Some(Jwt { keys, issuer, audience, algorithms, leeway })
}

/// `issuer` or `audience`: a text to the letter, or `"*"` for any. `without` says what its absence means.
fn expected(section: &Section<'_>, key: &str, needed: bool, without: &str) -> Option<String> {
    match section.optional(key) {
        Some("*") => None,
        Some(text) => Some(text.to_owned()),
        None => {
            if needed && section.is_silent(key) {
                let help = format!("write `{key} = \"*\"` to accept any");
                section.refuse(key, "is missing", without, Some(&help));
            }
            None
        }
    }
}

/// Whether somebody has written whose tokens count, or where keys are.
pub(super) fn is_meant(section: &Section<'_>) -> bool {
    let said = |key: &str| section.optional(key).is_some();
    PLACES.into_iter().chain(["issuer", "audience"]).any(said)
}

/// Symmetric algorithms need a secret, and a secret needs them: a public key must never be taken for
/// one.
fn algorithms(section: &Section<'_>, has_secret: bool) -> Vec<Algorithm> {
    let usual = if has_secret { vec![Algorithm::HS256] } else { USUAL.to_vec() };
    let Some(words) = section.words("algorithms") else { return usual };
    if words.is_empty() {
        section.refuse("algorithms", "is empty", "no token could be checked", None);
        return usual;
    }
    let mut chosen = Vec::new();
    for word in words {
        let known = ALGORITHMS.iter().find(|(name, _)| *name == word.text);
        let wrong = match known {
            None => format!("expected {}", one_of(ALGORITHMS.iter().map(|(name, _)| *name))),
            Some((_, algorithm)) if is_symmetric(*algorithm) && !has_secret => {
                "this one needs `secret_file`".to_owned()
            }
            Some((_, algorithm)) if !is_symmetric(*algorithm) && has_secret => {
                "with `secret_file` only HS256, HS384 and HS512 can be used".to_owned()
            }
            Some((_, algorithm)) => {
                if !chosen.contains(algorithm) {
                    chosen.push(*algorithm);
                }
                continue;
            }
        };
        let title =
            format!("`{}` names an algorithm that cannot be used", section.path_of("algorithms"));
        section.problems.push(Problem::at(&word.origin, title).label(wrong));
    }
    if chosen.is_empty() { usual } else { chosen }
}

fn file(
    section: &Section<'_>,
    key: &str,
    form: KeyForm,
    algorithms: &[Algorithm],
) -> Option<KeySource> {
    let path = section.optional(key)?;
    let content = files::content(section, key, path)?;
    match form.read(&content, algorithms) {
        Ok(keys) => Some(KeySource::File { path: PathBuf::from(path), form, keys: Arc::new(keys) }),
        Err(wrong) => {
            section.refuse(key, "cannot be used", format!("reading `{path}`: {wrong}"), None);
            None
        }
    }
}

/// Who can change the keys on their way can make tokens: https, or no way at all.
fn key_url(text: &str) -> Result<String, String> {
    let url = url::parse(text).map_err(|error| error.to_string())?;
    let is_here = url.host == "localhost"
        || url.host.parse().is_ok_and(|ip: IpAddr| ip.to_canonical().is_loopback());
    if url.scheme == Scheme::Https || is_here {
        Ok(text.to_owned())
    } else {
        Err("expected https:// (http:// only on this machine)".to_owned())
    }
}
