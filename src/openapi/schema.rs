//! A schema of the document, compiled: first into one that stands alone, then into a validator.
//!
//! What is taken over is an allow-list of keywords, so nothing in a document can name another base,
//! load anything, or switch a dialect on. `OpenAPI` 3.0 is rewritten to JSON Schema 2020-12
//! ([`closure`]). Patterns run on an engine without backtracking; formats are checked, those unknown
//! are not.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::Value;

use super::fault::{Fault, below};
use super::reference::Spot;
use super::violation::{MAX_VIOLATIONS, Place, Rule, Violation};

mod circle;
mod closure;
mod kinds;

use closure::Closure;
pub(super) use kinds::Kinds;

/// Bytes of one compiled pattern.
const PATTERN_SIZE: usize = 256 << 10;
/// Schemas in all closures together: what is compiled takes memory.
const MAX_SCHEMAS: usize = 20_000;

/// A compiled schema.
#[derive(Debug)]
pub(super) struct Schema {
    validator: Validator,
    /// Every member that a schema names.
    names: HashSet<Box<str>>,
    /// Whether only the verdict is told, not what is wrong: looking for that would take too long.
    is_terse: bool,
    /// What a value may be.
    pub(super) kinds: Kinds,
    /// What the items of a list may be.
    pub(super) items: Kinds,
}

/// The version of `OpenAPI` that a document is written in: each has a dialect of its own for schemas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// 3.0: nearly JSON Schema, of an early draft.
    V3_0,
    /// 3.1: JSON Schema 2020-12.
    V3_1,
}

/// Compiles schemas, each once.
#[derive(Debug)]
pub(super) struct Workshop<'d> {
    document: &'d Value,
    version: Version,
    made: HashMap<String, Arc<Schema>>,
    /// What the schemas ask for and nobody checks, each told once.
    pub(super) notices: BTreeSet<String>,
    schemas: usize,
}

impl<'d> Workshop<'d> {
    /// A workshop for the schemas of a document.
    pub(super) fn new(document: &'d Value, version: Version) -> Self {
        Self { document, version, made: HashMap::new(), notices: BTreeSet::new(), schemas: 0 }
    }

    /// The compiled schema of this place.
    pub(super) fn schema(&mut self, spot: &Spot<'d>) -> Result<Arc<Schema>, Fault> {
        let key = match spot.value.get("$ref") {
            // Most bodies are references; many operations share one.
            Some(_) if self.version == Version::V3_0 => {
                spot.clone().resolve(self.document)?.pointer
            }
            _ => spot.pointer.clone(),
        };
        if let Some(made) = self.made.get(&key) {
            return Ok(Arc::clone(made));
        }
        let closure = Closure::of(self.document, self.version, spot)?;
        self.schemas += closure.schemas;
        if self.schemas > MAX_SCHEMAS {
            let what = format!("the schemas are too large together: more than {MAX_SCHEMAS}");
            return Err(spot.fault(what));
        }
        for pointer in &closure.outdated {
            self.notices.insert(format!(
                "`dependencies` (at {pointer}) is not checked; write `dependentRequired` or \
                 `dependentSchemas`"
            ));
        }
        let made = Arc::new(compile(spot, closure)?);
        self.made.insert(key, Arc::clone(&made));
        Ok(made)
    }
}

fn compile(spot: &Spot<'_>, closure: Closure) -> Result<Schema, Fault> {
    let options = jsonschema::options()
        .with_draft(Draft::Draft202012)
        .offline()
        .should_validate_formats(true)
        .with_format("byte", is_base64)
        .with_pattern_options(
            PatternOptions::regex().size_limit(PATTERN_SIZE).dfa_size_limit(PATTERN_SIZE),
        );
    let validator = options.build(&closure.schema).map_err(|error| {
        let pointer = closure.place_of(error.instance_path().as_str());
        Fault::at(pointer.unwrap_or_else(|| spot.pointer.clone()), complaint(error.kind()))
    })?;
    let kinds = Kinds::of(&closure.schema);
    let items = Kinds::of_items(&closure.schema);
    let is_terse = circle::multiplies(&closure.schema);
    Ok(Schema { validator, names: closure.names, is_terse, kinds, items })
}

/// What is wrong with a schema, without the value.
fn complaint(kind: &ValidationErrorKind) -> String {
    match kind {
        ValidationErrorKind::Format { format } if format == "regex" => {
            "this pattern cannot be used: look-around and back-references have no place on the \
             path of a request, and the compiled pattern may take 256 KiB"
                .to_owned()
        }
        kind => format!("this is no valid schema (`{}`)", kind.keyword()),
    }
}

/// RFC 4648 §4, with padding.
fn is_base64(text: &str) -> bool {
    let data = text.trim_end_matches('=');
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    text.len().is_multiple_of(4) && text.len() - data.len() <= 2 && data.bytes().all(is_digit)
}

impl Schema {
    /// What is wrong with a value. `base` is the pointer to the value itself.
    pub(super) fn judge(&self, value: &Value, place: Place, base: &str) -> Vec<Violation> {
        if self.validator.is_valid(value) {
            return Vec::new();
        }
        if self.is_terse {
            return vec![Violation { place, pointer: base.to_owned(), rule: Rule::SCHEMA }];
        }
        let errors = self.validator.iter_errors(value).take(MAX_VIOLATIONS);
        let violation = |error: jsonschema::ValidationError<'_>| {
            let mut pointer = self.shown(base, value, error.instance_path().as_str());
            let kind = error.kind();
            if let ValidationErrorKind::Required { property } = kind
                && let Some(name) = property.as_str()
            {
                pointer = below(&pointer, name); // It stands in the schema.
            }
            let rule = match kind {
                // No value meets `false`; the keyword that holds it says more.
                ValidationErrorKind::FalseSchema => {
                    let path = error.schema_path().as_str();
                    Rule::of(path.rsplit('/').next().unwrap_or_default())
                }
                kind => Rule::of(kind.keyword()),
            };
            Violation { place, pointer, rule }
        };
        errors.map(violation).collect()
    }

    /// A pointer into a value of the client's: positions in lists, and the members that a schema
    /// names; `*` for any other.
    fn shown(&self, base: &str, value: &Value, pointer: &str) -> String {
        let mut shown = base.to_owned();
        let mut at = Some(value);
        for token in pointer.split('/').skip(1) {
            let name = token.replace("~1", "/").replace("~0", "~");
            let is_list = matches!(at, Some(Value::Array(_)));
            at = match at {
                Some(Value::Array(list)) => name.parse().ok().and_then(|at: usize| list.get(at)),
                Some(value) => value.get(&name),
                None => None,
            };
            let is_known = is_list || self.names.contains(&*name);
            shown = below(&shown, if is_known { &name } else { "*" });
        }
        shown
    }
}

#[cfg(test)]
mod tests;
