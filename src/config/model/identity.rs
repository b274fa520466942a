//! `[identity]`: who calls, and who may know it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Config, Take};
use crate::jwt::{Algorithm, Keys, Signer};

/// `[identity]`.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Where an identity comes from.
    pub source: IdentitySource,
    /// What telemetry may show of a user.
    pub telemetry_user: TelemetryUser,
    /// The field in which a client may name its own tenant, lower case.
    pub tenant_header: Option<Arc<str>>,
    /// The path parameter that names a tenant.
    pub tenant_path_param: Option<Arc<str>>,
    /// JSON pointer to the place in a request body that names a tenant.
    pub tenant_body: Option<Arc<str>>,
    /// The claim that names the user: a name, or a JSON pointer.
    pub user_claim: Arc<str>,
    /// The claim that names the tenant: a name, or a JSON pointer.
    pub tenant_claim: Arc<str>,
    /// `[identity.forward]`: fields for the upstream, lower case, each with its claim.
    pub forward: Vec<(Arc<str>, Arc<str>)>,
    /// What signs `x-identity`; without it there is no such field.
    pub signing_key: Option<SigningKey>,
}

/// `identity.signing_key_file`, and the key that it held when it was checked.
#[derive(Clone, Debug)]
pub struct SigningKey {
    /// Where it is.
    pub path: PathBuf,
    /// The key.
    pub signer: Arc<Signer>,
}

/// `identity.source`.
#[derive(Clone, Debug)]
pub enum IdentitySource {
    /// Nowhere: everybody is anonymous.
    None,
    /// A bearer token.
    Jwt(Box<Jwt>),
    /// The certificate that a client shows when it connects.
    Mtls,
    /// Fields that a trusted proxy has set.
    Headers,
}

impl Config {
    /// Whether telemetry shows pseudonyms whose key nobody has given, so that they end with the process.
    pub fn has_fleeting_pseudonyms(&self) -> bool {
        let identity = &self.identity;
        let names_users = identity.telemetry_user == TelemetryUser::Hmac
            && !matches!(identity.source, IdentitySource::None);
        let hides_texts = self.captures.iter().any(|capture| capture.take == Take::Hmac);
        self.pseudonym_key.is_none() && (names_users || hides_texts)
    }
}

impl IdentitySource {
    /// As the configuration writes it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Jwt(_) => "jwt",
            Self::Mtls => "mtls",
            Self::Headers => "headers",
        }
    }
}

/// `identity.telemetry_user`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TelemetryUser {
    /// A keyed hash.
    Hmac,
    /// The user itself.
    Raw,
    /// Nothing.
    None,
}

/// `[identity.jwt]`.
#[derive(Clone, Debug)]
pub struct Jwt {
    /// The keys.
    pub keys: KeySource,
    /// Whose tokens count; `None` where any issuer's do.
    pub issuer: Option<String>,
    /// Whom tokens must be meant for; `None` where anybody will do.
    pub audience: Option<String>,
    /// What a signature may be made with.
    pub algorithms: Vec<Algorithm>,
    /// How far the issuer's clock may be from ours.
    pub leeway: Duration,
}

/// Where keys come from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// `jwks_url`: https, or http on this machine.
    Url(String),
    /// A file, and what it held when it was checked.
    File {
        /// Where it is.
        path: PathBuf,
        /// What it holds.
        form: KeyForm,
        /// Its keys.
        keys: Arc<Keys>,
    },
}

impl KeySource {
    /// The key that names it.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Url(_) => "jwks_url",
            Self::File { form, .. } => form.key(),
        }
    }
}

/// What a file of keys holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyForm {
    /// `jwks_file`: a JWK set.
    Set,
    /// `public_key_file`: one PEM key.
    Pem,
    /// `secret_file`: a secret shared with the issuer.
    Secret,
}

impl KeyForm {
    /// The key that names a file of this form.
    pub fn key(self) -> &'static str {
        match self {
            Self::Set => "jwks_file",
            Self::Pem => "public_key_file",
            Self::Secret => "secret_file",
        }
    }

    /// The keys in a file of this form.
    pub fn read(self, content: &[u8], allowed: &[Algorithm]) -> Result<Keys, crate::jwt::BadKeys> {
        match self {
            Self::Set => Keys::of_set(content, allowed),
            Self::Pem => Keys::of_pem(content, allowed),
            // Trailing newlines do not belong to a secret.
            Self::Secret => Keys::of_secret(trim_end(content), allowed),
        }
    }
}

impl fmt::Display for KeyForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
}

fn trim_end(content: &[u8]) -> &[u8] {
    let end = content.iter().rposition(|byte| !b"\r\n".contains(byte)).map_or(0, |last| last + 1);
    &content[..end]
}
