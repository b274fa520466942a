//! A name that the configuration gives: the only text a record, a label or an event may show.
//!
//! It promises where its text comes from: an operator wrote it, or it stands in this program. So it
//! may leave under any key, and it cannot make more series than the configuration has names. There
//! is no way from a header, a path or a body to one; `tests/floors/redaction.rs` reads the sources and
//! fails when anything but the configuration calls [`ConfigName::configured`].
//!
//! It judges nothing: which texts are good names is the configuration's matter.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// A name, a template or a listed value of the configuration. Clones share one text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConfigName(Arc<str>);

impl ConfigName {
    /// Takes a text that the configuration holds.
    pub fn configured(text: &str) -> Self {
        Self(text.into())
    }

    /// A part of the name, or a word of the program: what `find` gives cannot come from elsewhere.
    pub fn part(&self, find: impl for<'a> FnOnce(&'a str) -> Option<&'a str>) -> Option<Self> {
        find(&self.0).map(Self::configured)
    }

    /// The text, for who keeps it longer than the record.
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl From<&'static str> for ConfigName {
    /// A name that stands in the program itself.
    fn from(text: &'static str) -> Self {
        Self(text.into())
    }
}

impl Deref for ConfigName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for ConfigName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ConfigName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name with each run of characters that Prometheus does not know become one `_`.
pub fn spell(name: &str) -> String {
    let mut spelt = String::with_capacity(name.len());
    for character in name.chars() {
        if character.is_ascii_alphanumeric() {
            spelt.push(character);
        } else if !spelt.ends_with('_') {
            spelt.push('_');
        }
    }
    spelt
}
