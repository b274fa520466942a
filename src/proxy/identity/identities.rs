//! All there is to know of identities: where they come from, and what follows of them.
//!
//! It is made once, at the start: another `[identity]` needs a restart. What its files hold is followed
//! while it runs.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::bearer::{self, Bearer, Moment};
use super::mtls::Certified;
use super::policy::Policy;
use super::seal::Seal;
use super::standing::{KeyStanding, Standing};
use super::{Identity, follow};
use crate::config::Config;
use crate::config::model::{IdentitySource, KeySource, Need};
use crate::record::{PseudonymKey, Rejection};

/// See the module.
#[derive(Debug)]
pub struct Identities {
    source: Source,
    source_name: &'static str,
    policy: Policy,
    challenges: Challenges,
    seal: Option<Seal>,
    /// The field in which a client may name its own tenant.
    pub tenant_header: Option<HeaderName>,
    /// JSON pointer to the place in a body that names a tenant.
    pub tenant_body: Option<Arc<str>>,
    /// The path parameter that names a tenant.
    pub tenant_path_param: Option<Arc<str>>,
}

#[derive(Debug)]
enum Source {
    None,
    Jwt { bearer: Box<Bearer>, keys: KeySource, allowed: Vec<crate::jwt::Algorithm> },
    Mtls,
    Headers,
}

/// What is known of who sends a request, besides its fields.
#[derive(Clone, Copy, Debug)]
pub struct Sender<'a> {
    /// Whether it is a proxy whose word counts, as the plan says.
    pub is_trusted: bool,
    /// What its certificate says.
    pub certified: Option<&'a Certified>,
}

/// What a 401 says of how to do better (RFC 6750 §3).
#[derive(Debug)]
struct Challenges {
    plain: HeaderValue,
    invalid: HeaderValue,
    expired: HeaderValue,
}

impl Identities {
    /// The identities of this configuration; `key` makes the pseudonyms of users.
    pub fn new(config: &Config, key: &PseudonymKey) -> Self {
        let settings = &config.identity;
        let source = match &settings.source {
            IdentitySource::None => Source::None,
            IdentitySource::Jwt(jwt) => Source::Jwt {
                bearer: Box::new(Bearer::new(jwt)),
                keys: jwt.keys.clone(),
                allowed: jwt.algorithms.clone(),
            },
            IdentitySource::Mtls => Source::Mtls,
            IdentitySource::Headers => Source::Headers,
        };
        let tenant_header = settings
            .tenant_header
            .as_ref()
            .and_then(|name| HeaderName::from_bytes(name.as_bytes()).ok());
        tell_of_a_random_key(config);
        Self {
            source,
            source_name: settings.source.as_str(),
            policy: Policy::compile(settings, key),
            challenges: Challenges::of(&config.service.name),
            seal: settings.signing_key.as_ref().map(|key| Seal::new(key, &config.service.name)),
            tenant_header,
            tenant_body: settings.tenant_body.clone(),
            tenant_path_param: settings.tenant_path_param.clone(),
        }
    }

    /// Whether a route with this need has to look for one. Where one is required and nobody can have
    /// one, looking is what refuses.
    pub fn are_asked_for(&self, need: Need) -> bool {
        match need {
            Need::None => false,
            Need::Optional => !matches!(self.source, Source::None),
            Need::Required => true,
        }
    }

    /// What the verified certificate of a connection (DER) says; `None` where certificates are not
    /// asked. To be called once per connection.
    pub fn certify(&self, certificate: &[u8]) -> Option<Arc<Certified>> {
        matches!(self.source, Source::Mtls)
            .then(|| Arc::new(Certified::of(&self.policy, certificate)))
    }

    /// Who sent these fields; `None` where nothing says it. `began` and `started` are now.
    ///
    /// Cancel safe.
    pub async fn find(
        &self,
        headers: &HeaderMap,
        sender: Sender<'_>,
        began: Instant,
        started: SystemTime,
    ) -> Result<Option<Arc<Identity>>, Rejection> {
        match &self.source {
            Source::Jwt { bearer, .. } => {
                let Some(token) = bearer::token(headers)? else { return Ok(None) };
                let at = Moment { now: began, unix: unix(started) };
                bearer.judge(&self.policy, token, at).await.map(Some)
            }
            Source::Mtls => {
                sender.certified.map(|certified| certified.holds_at(unix(started))).transpose()
            }
            Source::Headers if sender.is_trusted => super::headers::find(&self.policy, headers),
            Source::None | Source::Headers => Ok(None),
        }
    }

    /// Why nobody was found where these fields do not say who sent them.
    pub fn absence(&self, headers: &HeaderMap) -> Rejection {
        match &self.source {
            Source::Jwt { .. } if headers.contains_key(AUTHORIZATION) => Rejection::Scheme,
            _ => Rejection::NoToken,
        }
    }

    /// Whether a client's own tenant field is another source's: then there is nothing to compare.
    pub fn believes_headers(&self) -> bool {
        matches!(self.source, Source::Headers)
    }

    /// What an answer says to a request that is rejected.
    pub fn explain(&self, rejection: Rejection) -> Box<HeaderMap> {
        let mut fields = Box::<HeaderMap>::default();
        let challenge = match rejection {
            // No token would help.
            _ if matches!(self.source, Source::Mtls) => &self.challenges.plain,
            Rejection::NoToken | Rejection::Scheme => &self.challenges.plain,
            Rejection::Expired => &self.challenges.expired,
            Rejection::NoKeys => {
                fields.insert(RETRY_AFTER, HeaderValue::from(self.next_try().as_secs()));
                return fields;
            }
            // Which check it was helps nobody more than who tries to pass it.
            _ => &self.challenges.invalid,
        };
        fields.insert(WWW_AUTHENTICATE, challenge.clone());
        fields
    }

    /// When it is worth asking again where there are no keys: a whole second or more after the next
    /// attempt to get them has begun.
    fn next_try(&self) -> Duration {
        let Source::Jwt { bearer, .. } = &self.source else { return follow::LONGEST_PAUSE };
        let next = bearer.ring.next_try(Instant::now()).min(follow::LONGEST_PAUSE);
        Duration::from_secs(next.as_secs() + 1)
    }

    /// The signed word for the service that this request comes from this identity, where one is asked
    /// for.
    pub fn sealed(&self, identity: &Identity, request_id: &HeaderValue) -> Option<HeaderValue> {
        self.seal.as_ref()?.field(identity, request_id, unix(SystemTime::now()))
    }

    /// Whether the keys that are needed are there. True where none are.
    pub fn has_keys(&self) -> bool {
        match &self.source {
            Source::Jwt { bearer, .. } => bearer.ring.set().usable(Instant::now()).is_some(),
            _ => true,
        }
    }

    /// How it stands with them.
    pub fn standing(&self) -> Standing {
        let keys = match &self.source {
            Source::Jwt { bearer, .. } => Some(KeyStanding::of(&bearer.ring, Instant::now())),
            _ => None,
        };
        let signs_with = self.seal.as_ref().map(Seal::key_id);
        Standing { source: self.source_name, keys, signs_with }
    }

    /// Follows the keys until `stop`: fetches them, or looks at their files.
    pub async fn tend(&self, stop: CancellationToken) {
        let verifying = async {
            if let Source::Jwt { bearer, keys, allowed } = &self.source {
                follow::follow(&bearer.ring, keys, allowed).await;
            }
        };
        let signing = async {
            if let Some(seal) = &self.seal {
                seal.follow().await;
            }
        };
        stop.run_until_cancelled(async { tokio::join!(verifying, signing) }).await;
    }
}

/// Says once that the pseudonyms of this process will mean nothing to the next one.
fn tell_of_a_random_key(config: &Config) {
    if config.has_fleeting_pseudonyms() {
        tracing::info!(
            "Pseudonyms have a random key: they are others after the next start, and in each \
             replica. `identity.pseudonym_key_file` keeps them."
        );
    }
}

/// Seconds since 1970.
fn unix(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

impl Challenges {
    fn of(service: &str) -> Self {
        let realm: String = service
            .chars()
            .filter(|letter| letter.is_ascii_graphic() && !matches!(letter, '"' | '\\'))
            .collect();
        let challenge = |more: &str| {
            let text = format!("Bearer realm=\"{realm}\"{more}");
            HeaderValue::try_from(text)
                .unwrap_or_else(|_| HeaderValue::from_static("Bearer realm=\"\""))
        };
        Self {
            plain: challenge(""),
            invalid: challenge(", error=\"invalid_token\""),
            expired: challenge(
                ", error=\"invalid_token\", error_description=\"The token has expired\"",
            ),
        }
    }
}
