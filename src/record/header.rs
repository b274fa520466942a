//! A header of the request that the configuration lets into the log.

use super::ConfigName;
use crate::http::sanitise::HeaderText;

/// A header field that `log.headers` names, and what of its value may be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedHeader {
    /// The field's name, as the configuration has it, in lower case.
    pub name: ConfigName,
    /// Its value.
    pub text: HeaderText,
}
