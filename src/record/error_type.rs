//! The values of `error.type`.
//!
//! The set is closed: words of this program, an upstream's 5xx as its status, and the classes that the
//! configuration names. So it is safe as a metric label.

use super::{Abort, ConfigName, Failure, Refusal};

/// A value of `error.type`: a member of a closed set, an upstream 5xx as its status string, or a class of
/// the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ErrorType(Name);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Name {
    Own(&'static str),
    Class(ConfigName),
}

impl ErrorType {
    /// A client that left.
    pub const CLIENT_ABORT: Self = Self::own("client_abort");
    /// A panic in a stage.
    pub const PANIC: Self = Self::own("panic");
    /// A configuration that was not put in force: no exchange ends so, but the sidecar says it of itself.
    pub const INVALID_CONFIGURATION: Self = Self::own("invalid_configuration");

    /// What has no word of its own.
    const OTHER: Self = Self::own("_OTHER");

    /// A word of this program.
    pub(super) const fn own(word: &'static str) -> Self {
        Self(Name::Own(word))
    }

    /// A class of the configuration.
    pub fn class(name: ConfigName) -> Self {
        Self(Name::Class(name))
    }

    /// Whether a word is one of this program's, which no class may have for its name. It looks through
    /// all endings: it is meant for a configuration, not for a request.
    pub fn is_own(word: &str) -> bool {
        Self::all_own().any(|own| own.as_str() == word)
    }

    /// Every word of this program, some of them twice.
    fn all_own() -> impl Iterator<Item = Self> {
        let others = [Self::CLIENT_ABORT, Self::PANIC, Self::INVALID_CONFIGURATION, Self::OTHER];
        let refusals = Refusal::ALL.iter().map(|refusal| refusal.error_type());
        let failures = Failure::ALL.iter().map(|failure| failure.error_type());
        let aborts = Abort::ALL.iter().map(|abort| abort.error_type());
        refusals.chain(failures).chain(aborts).chain(others)
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
        NAMES.get(index).map_or(Self::OTHER, |name| Self::own(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_class_can_have_the_name_of_an_ending() {
        let endings = [
            Refusal::Csrf.error_type(),
            Failure::AuditUnavailable.error_type(),
            Abort::StreamMaxDuration.error_type(),
            ErrorType::CLIENT_ABORT,
            ErrorType::PANIC,
            ErrorType::INVALID_CONFIGURATION,
            ErrorType::upstream_status(599),
        ];
        for own in &endings {
            assert!(ErrorType::is_own(own.as_str()), "{own:?}");
        }
        assert!(!ErrorType::is_own("db_pool_exhausted"));
    }

    #[test]
    fn operations_md_says_what_to_do_about_every_ending() {
        let operations = include_str!("../../docs/operations.md");
        for own in ErrorType::all_own().filter(|own| *own != ErrorType::INVALID_CONFIGURATION) {
            let word = format!("`{}`", own.as_str());
            assert!(operations.contains(&word), "{word} is not in docs/operations.md");
        }
    }
}
