//! References: only within the document, never in a circle, never a file or a network.

use serde_json::{Map, Value};

use super::fault::{Fault, below};

/// References that lead to references.
const MAX_HOPS: usize = 16;

/// A value and where in the document it stands.
#[derive(Clone, Debug)]
pub(super) struct Spot<'d> {
    /// The value.
    pub(super) value: &'d Value,
    /// Where it stands: a JSON pointer.
    pub(super) pointer: String,
}

impl<'d> Spot<'d> {
    /// The document itself.
    pub(super) fn root(document: &'d Value) -> Self {
        Self { value: document, pointer: String::new() }
    }

    /// A member, if it is there.
    pub(super) fn member(&self, name: &str) -> Option<Self> {
        let value = self.value.get(name)?;
        Some(Self { value, pointer: below(&self.pointer, name) })
    }

    /// The members, with their names.
    pub(super) fn members(&self) -> impl Iterator<Item = (&'d str, Self)> {
        let members = self.value.as_object().into_iter().flatten();
        members.map(|(name, value)| (&**name, Self { value, pointer: below(&self.pointer, name) }))
    }

    /// The items of a list.
    pub(super) fn items(&self) -> impl Iterator<Item = Self> {
        let items = self.value.as_array().into_iter().flatten().enumerate();
        items.map(|(index, value)| Self { value, pointer: format!("{}/{index}", self.pointer) })
    }

    /// The value as an object.
    pub(super) fn object(&self) -> Result<&'d Map<String, Value>, Fault> {
        self.value.as_object().ok_or_else(|| self.fault("expected an object"))
    }

    /// A string that is a member.
    pub(super) fn text(&self, name: &str) -> Option<&'d str> {
        self.value.get(name)?.as_str()
    }

    /// A yes or no that is a member; no where it is missing.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.value.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    /// Something wrong with it.
    pub(super) fn fault(&self, what: impl Into<String>) -> Fault {
        Fault::at(self.pointer.clone(), what)
    }

    /// What it refers to, if it is a reference; else itself.
    pub(super) fn resolve(self, document: &'d Value) -> Result<Self, Fault> {
        let mut spot = self;
        for _ in 0..MAX_HOPS {
            let Some(reference) = spot.value.get("$ref") else { return Ok(spot) };
            let Some(reference) = reference.as_str() else {
                return Err(spot.fault("`$ref` is not a string"));
            };
            let pointer = local(reference).ok_or_else(|| {
                spot.fault(format!(
                    "`{reference}` leads out of the document; only `#/…` is followed"
                ))
            })?;
            let Some(value) = document.pointer(&pointer) else {
                return Err(spot.fault(format!("`{reference}` leads nowhere")));
            };
            spot = Spot { value, pointer };
        }
        Err(spot.fault("the references lead in a circle"))
    }
}

/// The JSON pointer of a reference within the document (RFC 6901 §6).
pub(super) fn local(reference: &str) -> Option<String> {
    let fragment = reference.strip_prefix('#')?;
    if !fragment.is_empty() && !fragment.starts_with('/') {
        return None;
    }
    super::parameter::decode(fragment, false).map(std::borrow::Cow::into_owned)
}
