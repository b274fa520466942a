//! Where lines of the log are shipped to beside files and collectors: `[log.datadog]`, resolved.

use crate::secret::Secret;

/// Datadog's intake for logs. That there is one means that lines are shipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datadog {
    /// The whole URL of the intake; it holds neither credentials nor a query.
    pub url: String,
    /// Who ships.
    pub key: Secret,
    /// `ddsource` of every entry.
    pub source: String,
    /// `ddtags` of every entry, `env:…` included.
    pub tags: Vec<String>,
}
