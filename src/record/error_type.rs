//! The values of `error.type`.
//!
//! The set is closed: words of this program, an upstream's 5xx as its status, and the classes that the
//! configuration names. So it is safe as a metric label.

use super::ConfigName;

/// A value of `error.type`: a member of a closed set, an upstream 5xx as its status string, or a class of
/// the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ErrorType(Name);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Name {
    Own(&'static str),
    Class(ConfigName),
}

/// The words of this program, which no class may have for its name.
const OWN: [&str; 33] = [
    "client_abort",
    "bad_request",
    "not_found",
    "method_not_allowed",
    "header_too_large",
    "uri_too_long",
    "body_too_large",
    "request_body_timeout",
    "unsupported_media_type",
    "schema_violation",
    "unauthenticated",
    "token_expired",
    "jwks_unavailable",
    "forbidden",
    "tenant_mismatch",
    "csrf",
    "rate_limited",
    "overloaded",
    "circuit_open",
    "audit_unavailable",
    "upstream_connect",
    "upstream_tls",
    "upstream_reset",
    "upstream_protocol",
    "response_header_timeout",
    "request_timeout",
    "idle_timeout",
    "stream_idle_timeout",
    "stream_max_duration",
    "panic",
    "drain",
    "invalid_configuration",
    "_OTHER",
];

impl ErrorType {
    /// A client that left.
    pub const CLIENT_ABORT: Self = Self::own("client_abort");
    /// A panic in a stage.
    pub const PANIC: Self = Self::own("panic");
    /// A configuration that was not put in force: no exchange ends so, but the sidecar says it of itself.
    pub const INVALID_CONFIGURATION: Self = Self::own("invalid_configuration");

    /// A word of this program.
    pub(super) const fn own(word: &'static str) -> Self {
        Self(Name::Own(word))
    }

    /// A class of the configuration.
    pub fn class(name: ConfigName) -> Self {
        Self(Name::Class(name))
    }

    /// Whether a word is one of this program's.
    pub fn is_own(word: &str) -> bool {
        OWN.contains(&word)
    }

    /// The label value.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Name::Own(word) => word,
            Name::Class(name) => name,
        }
    }

    /// The word, if it is one of this program's.
    pub fn own_word(&self) -> Option<&'static str> {
        match self.0 {
            Name::Own(word) => Some(word),
            Name::Class(_) => None,
        }
    }

    /// The name, for who keeps it longer than the record.
    pub fn name(&self) -> ConfigName {
        match &self.0 {
            Name::Own(word) => (*word).into(),
            Name::Class(name) => name.clone(),
        }
    }

    /// Names an upstream 5xx by its status, as the HTTP semantic conventions ask.
    pub fn upstream_status(status: u16) -> Self {
        const NAMES: [&str; 12] =
            ["500", "501", "502", "503", "504", "505", "506", "507", "508", "509", "510", "511"];
        let index = usize::from(status).wrapping_sub(500);
        Self::own(NAMES.get(index).copied().unwrap_or("_OTHER"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Abort, Failure, Refusal};
    use super::*;

    #[test]
    fn no_class_can_have_the_name_of_an_error_type_of_ours() {
        let ours = [
            Refusal::Csrf.error_type(),
            Refusal::JwksUnavailable.error_type(),
            Failure::AuditUnavailable.error_type(),
            Failure::ResponseHeaderTimeout.error_type(),
            Abort::StreamMaxDuration.error_type(),
            ErrorType::CLIENT_ABORT,
            ErrorType::PANIC,
            ErrorType::INVALID_CONFIGURATION,
            ErrorType::upstream_status(599),
        ];
        for own in &ours {
            assert!(ErrorType::is_own(own.as_str()), "{own:?}");
        }
        assert!(!ErrorType::is_own("db_pool_exhausted"));
    }
}
