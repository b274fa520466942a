//! A Sentry project: where envelopes go, by which key, and when not.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{StatusCode, Uri};

use super::event::Origin;
use super::pace::Silence;
use super::{AUTH, BadDsn, CLIENT, LIMIT, Post};
use crate::config::model::Sentry;

/// A project, spoken to by one sink.
#[derive(Debug)]
pub(super) struct Project<P> {
    post: P,
    uri: Uri,
    headers: HeaderMap,
    /// Which deployment the events come from.
    pub(super) origin: Origin,
    silence: Silence,
}

impl<P: Post> Project<P> {
    /// The project of this configuration.
    pub(super) fn new(config: &Sentry, post: P) -> Result<Self, BadDsn> {
        let dsn: ::sentry::types::Dsn = config.dsn.reveal().parse().map_err(|_| BadDsn)?;
        let uri = dsn.envelope_api_url().as_str().parse().map_err(|_| BadDsn)?;
        let auth = dsn.to_auth(Some(CLIENT)).to_string();
        let mut auth = HeaderValue::try_from(auth).map_err(|_| BadDsn)?;
        auth.set_sensitive(true);
        let envelope = HeaderValue::from_static("application/x-sentry-envelope");
        let headers = HeaderMap::from_iter([(AUTH, auth), (CONTENT_TYPE, envelope)]);
        let origin =
            Origin { environment: config.environment.clone(), release: config.release.clone() };
        Ok(Self { post, uri, headers, origin, silence: Silence::default() })
    }

    /// Whether it wants no events at present.
    pub(super) fn is_silent(&self) -> bool {
        self.silence.is_on()
    }

    /// Sends one envelope, or says why it did not arrive.
    pub(super) async fn send(&mut self, envelope: Bytes) -> Result<(), &'static str> {
        let (uri, headers) = (self.uri.clone(), self.headers.clone());
        let answer = self.post.post(uri, headers, envelope, LIMIT).await;
        let answer = answer.map_err(|error| error.reason)?;
        self.silence.read(answer.status(), answer.headers());
        match answer.status() {
            status if status.is_success() => Ok(()),
            StatusCode::TOO_MANY_REQUESTS => Err("rate_limited"),
            status if status.is_server_error() => Err("refused"),
            _ => Err("rejected"),
        }
    }
}
