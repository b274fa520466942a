//! How it stands with identities, for operators: where they come from, and how old the keys are.
//!
//! Numbers, names of the configuration, and why keys could not be had; no key, no user, no token.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::ring::Ring;

/// See the module.
#[derive(Clone, Debug)]
pub struct Standing {
    /// `identity.source`.
    pub source: &'static str,
    /// How it stands with the keys that check tokens, where there are tokens.
    pub keys: Option<KeyStanding>,
    /// The name (`kid`) of the key that signs for the service, where one does.
    pub signs_with: Option<String>,
}

/// How it stands with the keys that check tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyStanding {
    /// How many there are.
    pub count: usize,
    /// Whether they may be asked now.
    pub are_usable: bool,
    /// How long ago they were last had.
    pub age: Option<Duration>,
    /// Why the last attempt to have them failed.
    pub trouble: Option<Arc<str>>,
}

impl KeyStanding {
    pub(super) fn of(ring: &Ring, now: Instant) -> Self {
        let (set, attempts) = (ring.set(), ring.attempts());
        Self {
            count: set.keys.as_ref().map_or(0, |keys| keys.count()),
            are_usable: set.usable(now).is_some(),
            age: attempts.last_success.map(|at| now.saturating_duration_since(at)),
            trouble: attempts.trouble,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwt::{Algorithm, Keys};

    #[tokio::test(start_paused = true)]
    async fn it_tells_of_keys_their_age_and_what_is_wrong() {
        let keys = || Keys::of_secret(&[1; 32], &[Algorithm::HS256]).unwrap();
        let ring = Ring::new(None);
        let stands = || KeyStanding::of(&ring, Instant::now());
        let nothing = KeyStanding { count: 0, are_usable: false, age: None, trouble: None };
        assert_eq!(stands(), nothing);

        let began = Instant::now();
        ring.put(keys(), Some(began + Duration::from_secs(60)));
        ring.end_round(began, None);
        tokio::time::advance(Duration::from_secs(10)).await;
        ring.end_round(Instant::now(), Some("away".to_owned()));
        tokio::time::advance(Duration::from_secs(10)).await;
        let stale = KeyStanding {
            count: 1,
            are_usable: true,
            age: Some(Duration::from_secs(20)),
            trouble: Some("away".into()),
        };
        assert_eq!(stands(), stale);

        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(!stands().are_usable);
        let of_a_file = KeyStanding::of(&Ring::new(Some(Arc::new(keys()))), Instant::now());
        assert_eq!(of_a_file.age, Some(Duration::ZERO));
    }
}
