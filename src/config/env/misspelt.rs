//! Variables that look like ours and are not.
//!
//! Not every name that begins like ours is meant for us: where a Kubernetes service is called
//! `vital-sidecar`, each pod beside it gets `VITAL_SIDECAR_SERVICE_HOST` and its kin. So only what spells
//! a key of ours is told.

use crate::config::keys::KEYS;

/// What single underscores begin with, where double ones belong.
const PREFIX: &str = "VITAL_SIDECAR_";

/// What was meant by this name, if it is nearly one of ours: a key, and the name of its variable.
pub(super) fn meant(name: &str) -> Option<(&'static str, String)> {
    let rest = name.strip_prefix(PREFIX)?.trim_start_matches('_');
    let spelt = |key: &str| key.replace('.', "_").eq_ignore_ascii_case(&rest.replace("__", "_"));
    let key = KEYS.iter().find(|key| spelt(key))?;
    let variable = format!("{}{}", super::PREFIX, key.replace('.', "__").to_ascii_uppercase());
    (name != variable).then_some((key, variable))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, load};

    fn notices(env: &[(&str, &str)]) -> Vec<String> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let flags = vec![("upstream.url".to_owned(), "http://127.0.0.1:3000".to_owned())];
        let sources = Sources { env: env.iter().map(owned).collect(), flags, file: None };
        let loaded = load(&sources).unwrap_or_else(|errors| panic!("{errors}"));
        loaded.notices.into_iter().map(|notice| notice.0).collect()
    }

    #[test]
    fn a_misspelt_variable_is_told_with_its_right_name() {
        let said = notices(&[("VITAL_SIDECAR_SERVER_LISTEN", "127.0.0.1:1")]);
        let words = "VITAL_SIDECAR_SERVER_LISTEN is ignored: for `server.listen` write \
                     VITAL_SIDECAR__SERVER__LISTEN.";
        assert_eq!(said, [words]);
    }

    #[test]
    fn an_environment_that_is_nearly_one_of_ours_is_told() {
        for (said, whole) in
            [("prod", "production"), ("Production", "production"), ("dev", "development")]
        {
            let told = notices(&[("NODE_ENV", said)]);
            let words = format!("NODE_ENV is taken as it is: `{said}` is not `{whole}`, ");
            assert!(told.len() == 1 && told[0].starts_with(&words), "{told:?}");
        }
        for name in ["production", "development", "test", "staging"] {
            assert_eq!(notices(&[("NODE_ENV", name)]), [""; 0]);
        }
        let written = ("VITAL_SIDECAR__SERVICE__ENVIRONMENT", "prod");
        assert_eq!(notices(&[("NODE_ENV", "prod"), written]), [""; 0], "it does not decide");
    }

    #[test]
    fn a_name_that_spells_a_key_is_known() {
        let listen = Some(("server.listen", "VITAL_SIDECAR__SERVER__LISTEN".to_owned()));
        assert_eq!(meant("VITAL_SIDECAR_SERVER_LISTEN"), listen);
        assert_eq!(meant("VITAL_SIDECAR_SERVER__LISTEN"), listen);
        let long = "VITAL_SIDECAR__UPSTREAM__TIMEOUTS__RESPONSE_HEADER";
        let meant_long = meant("VITAL_SIDECAR_UPSTREAM_TIMEOUTS_RESPONSE_HEADER");
        assert_eq!(meant_long, Some(("upstream.timeouts.response_header", long.to_owned())));
    }

    #[test]
    fn other_names_are_left_alone() {
        for name in [
            "VITAL_SIDECAR_CONFIG",
            "VITAL_SIDECAR_SERVICE_HOST",
            "VITAL_SIDECAR_SERVICE_PORT",
            "VITAL_SIDECAR_SERVICE_PORT_METRICS",
            "VITAL_SIDECAR_PORT_8080_TCP_ADDR",
            "VITAL_SIDECAR__SERVER__LISTEN",
            "VITAL_SIDECAR_",
            "SERVER_LISTEN",
        ] {
            assert_eq!(meant(name), None, "{name}");
        }
    }
}
