//! The signed word about who calls, which the service gets as `x-identity`.
//!
//! It is made for each request anew: it names the request and holds for a minute. The key is read again
//! when its file changes; one that cannot be used leaves the old one in force, and is told once.
//!
//! It does not decide who calls, and puts no field anywhere.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderValue;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::Identity;
use crate::config::model::SigningKey;
use crate::jwt::{Signer, Statement};
use crate::named_file;

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub(super) struct Seal {
    signer: ArcSwap<Signer>,
    path: PathBuf,
    service: Box<str>,
}

impl Seal {
    pub(super) fn new(key: &SigningKey, service: &str) -> Self {
        let signer = ArcSwap::new(Arc::clone(&key.signer));
        Self { signer, path: key.path.clone(), service: service.into() }
    }

    /// The name of the key in force.
    pub(super) fn key_id(&self) -> String {
        self.signer.load().id().to_owned()
    }

    /// What it says of this request's identity at this moment, in seconds since 1970.
    pub(super) fn field(
        &self,
        identity: &Identity,
        request_id: &HeaderValue,
        now: u64,
    ) -> Option<HeaderValue> {
        let (user, id) = (identity.user()?, request_id.to_str().ok()?);
        let statement = Statement::new(&self.service, user, identity.tenant(), id, now);
        let mut field = HeaderValue::try_from(self.signer.load().sign(&statement)).ok()?;
        // Another one for each request: no connection shall learn it by heart (RFC 7541 §7.1.3).
        field.set_sensitive(true);
        Some(field)
    }

    /// Keeps the key that of its file. Never ends; dropping the future stops it.
    pub(super) async fn follow(&self) {
        let mut has_complained = false;
        loop {
            sleep(LOOK).await;
            let path = self.path.clone();
            let key = match spawn_blocking(move || named_file::read(&path)).await {
                Ok(Ok(content)) => Signer::of_pem(&content).map_err(|wrong| wrong.to_string()),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => continue, // The runtime is ending.
            };
            match key {
                Ok(signer) => {
                    has_complained = false;
                    self.put(signer);
                }
                Err(error) if !has_complained => {
                    has_complained = true;
                    tracing::error!(
                        error,
                        "`identity.signing_key_file` cannot be used; the old key stays."
                    );
                }
                Err(_) => {}
            }
        }
    }

    fn put(&self, signer: Signer) {
        if signer.id() != self.signer.load().id() {
            tracing::info!(
                kid = signer.id(),
                "The key of `identity.signing_key_file` was replaced."
            );
            self.signer.store(Arc::new(signer));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::path::Path;

    use rcgen::{KeyPair, PKCS_ED25519};
    use serde_json::Map;

    use super::*;

    fn key(path: &Path) -> SigningKey {
        let signer = Signer::of_pem(&std::fs::read(path).unwrap()).unwrap();
        SigningKey { path: path.to_owned(), signer: Arc::new(signer) }
    }

    fn pem() -> String {
        KeyPair::generate_for(&PKCS_ED25519).unwrap().serialize_pem()
    }

    /// Lets a follower look at its file so often.
    async fn look(times: u32, follow: impl Future<Output = ()>) {
        let ended = tokio::time::timeout(LOOK * times + LOOK / 2, follow).await;
        assert!(ended.is_err(), "it never ends");
    }

    #[tokio::test(start_paused = true)]
    async fn the_key_follows_its_file_and_outlives_a_broken_one() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), pem()).unwrap();
        let seal = Seal::new(&key(file.path()), "orders");
        let first = seal.signer.load_full();
        look(1, seal.follow()).await;
        assert!(Arc::ptr_eq(&first, &seal.signer.load()), "the same key stays");

        for broken in ["", "-----BEGIN PRIVATE KEY-----\n"] {
            std::fs::write(file.path(), broken).unwrap();
            look(2, seal.follow()).await;
            assert!(Arc::ptr_eq(&first, &seal.signer.load()), "{broken:?}");
        }

        std::fs::write(file.path(), pem()).unwrap();
        let second = key(file.path()).signer;
        look(1, seal.follow()).await;
        assert_eq!(seal.signer.load().id(), second.id());
        assert_ne!(first.id(), second.id());
    }

    #[test]
    fn a_field_is_made_where_there_is_a_user() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), pem()).unwrap();
        let seal = Seal::new(&key(file.path()), "orders");
        let id = HeaderValue::from_static("id-1");
        let somebody = Identity::new(Map::new(), Some("u1".into()), None);
        let field = seal.field(&somebody, &id, 0).unwrap();
        assert!(field.is_sensitive());
        assert_eq!(format!("{field:?}"), "Sensitive");
        assert!(seal.field(&Identity::new(Map::new(), None, None), &id, 0).is_none());
    }
}
