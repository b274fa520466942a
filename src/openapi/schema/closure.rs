//! A schema with everything it refers to, as one that stands alone, in JSON Schema 2020-12.
//!
//! References become `#/$defs/<n>`; what they lead to is taken along once, so circles stay circles.
//! The rewriting of `OpenAPI` 3.0: `nullable` becomes a type, `exclusiveMinimum: true` takes the
//! number of `minimum`, and a `$ref` has no siblings. In both versions a `readOnly` member is not
//! required of a request, and `int32` and `int64` become bounds.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value, json};

use super::super::fault::Fault;
use super::super::reference::{Spot, local};
use super::{Version, circle};

/// Schemas within schemas.
const MAX_DEPTH: usize = 48;

/// Keywords whose values are taken as they are.
const PLAIN: [&str; 21] = [
    "const",
    "dependentRequired",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "maxContains",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minContains",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "pattern",
    "required",
    "type",
    "uniqueItems",
];
/// Keywords that hold one schema.
const ONE: [&str; 10] = [
    "additionalProperties",
    "contains",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];
/// Keywords that hold schemas by name.
const NAMED: [&str; 3] = ["dependentSchemas", "patternProperties", "properties"];
/// Keywords that hold a list of schemas.
const LISTED: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
/// Keywords that would change what everything else means.
const REFUSED: [&str; 5] = ["$anchor", "$dynamicAnchor", "$dynamicRef", "$id", "$recursiveRef"];

/// A schema that stands alone.
#[derive(Debug)]
pub(super) struct Closure {
    /// The schema.
    pub(super) schema: Value,
    /// Every member that it names.
    pub(super) names: HashSet<Box<str>>,
    /// How many schemas it is made of.
    pub(super) schemas: usize,
    /// Where it says `dependencies`, which 2020-12 does not know.
    pub(super) outdated: Vec<String>,
    /// Where each of its parts comes from: `""`, `/$defs/0`, and so on.
    origins: Vec<(String, String)>,
}

impl Closure {
    /// Gathers the schema at a place of the document.
    pub(super) fn of(document: &Value, version: Version, spot: &Spot<'_>) -> Result<Self, Fault> {
        let mut gatherer = Gatherer {
            document,
            version,
            names: HashSet::new(),
            schemas: 0,
            numbers: BTreeMap::new(),
            waiting: Vec::new(),
            outdated: Vec::new(),
        };
        let mut schema = gatherer.rewrite(spot, 0)?;
        let mut origins = vec![(String::new(), spot.pointer.clone())];
        let mut parts = Map::new();
        while let Some((number, spot)) = gatherer.waiting.pop() {
            let part = gatherer.rewrite(&spot, 0)?;
            origins.push((format!("/$defs/{number}"), spot.pointer));
            parts.insert(number.to_string(), part);
        }
        if let (Value::Object(members), false) = (&mut schema, parts.is_empty()) {
            members.insert("$defs".to_owned(), Value::Object(parts));
        }
        if circle::leads_nowhere(&schema) {
            return Err(spot.fault("the schema leads back to itself without a member in between"));
        }
        if circle::is_too_much(&schema) {
            return Err(spot.fault(
                "one value could meet more than 10000 schemas here, or 1000000 with all within it: \
                 references that each lead to several others multiply",
            ));
        }
        let Gatherer { names, schemas, outdated, .. } = gatherer;
        Ok(Self { schema, names, schemas, outdated, origins })
    }

    /// Where in the document a place of this schema comes from.
    pub(super) fn place_of(&self, pointer: &str) -> Option<String> {
        let longest = self.origins.iter().filter(|(part, _)| {
            pointer
                .strip_prefix(&**part)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        let (part, origin) = longest.max_by_key(|(part, _)| part.len())?;
        Some(format!("{origin}{}", &pointer[part.len()..]))
    }
}

#[derive(Debug)]
struct Gatherer<'d> {
    document: &'d Value,
    version: Version,
    names: HashSet<Box<str>>,
    schemas: usize,
    /// What was referred to, by its pointer.
    numbers: BTreeMap<String, usize>,
    waiting: Vec<(usize, Spot<'d>)>,
    outdated: Vec<String>,
}

impl Gatherer<'_> {
    fn rewrite(&mut self, spot: &Spot<'_>, depth: usize) -> Result<Value, Fault> {
        self.schemas += 1;
        if depth > MAX_DEPTH || self.schemas > super::MAX_SCHEMAS {
            return Err(spot.fault("the schema is too large or nested too deeply"));
        }
        let members = match spot.value {
            Value::Bool(all) if self.version == Version::V3_1 => return Ok(Value::Bool(*all)),
            Value::Object(members) => members,
            _ => return Err(spot.fault("expected a schema")),
        };
        if let Some(keyword) = REFUSED.iter().find(|keyword| members.contains_key(**keyword)) {
            return Err(spot.fault(format!("`{keyword}` is not supported")));
        }
        if members.contains_key("dependencies") {
            self.outdated.push(spot.pointer.clone());
        }
        let mut out = Map::new();
        if let Some(reference) = members.get("$ref") {
            let number = self.number(spot, reference)?;
            out.insert("$ref".to_owned(), json!(format!("#/$defs/{number}")));
            if self.version == Version::V3_0 {
                return Ok(Value::Object(out)); // Siblings of a reference are ignored in 3.0.
            }
        }
        for keyword in PLAIN {
            if let Some(value) = members.get(keyword) {
                out.insert(keyword.to_owned(), value.clone());
            }
        }
        self.rewrite_below(spot, &mut out, depth)?;
        if self.version == Version::V3_0 {
            from_3_0(members, &mut out);
        }
        self.excuse_read_only(spot, &mut out)?;
        bound_integer(&mut out);
        Ok(Value::Object(out))
    }

    fn rewrite_below(
        &mut self,
        spot: &Spot<'_>,
        out: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<(), Fault> {
        for keyword in ONE {
            let Some(below) = spot.member(keyword) else { continue };
            // The one place where 3.0, too, writes yes or no for a schema.
            let schema = match below.value {
                Value::Bool(all) if keyword == "additionalProperties" => Value::Bool(*all),
                _ => self.rewrite(&below, depth + 1)?,
            };
            out.insert(keyword.to_owned(), schema);
        }
        for keyword in NAMED {
            let Some(below) = spot.member(keyword) else { continue };
            below.object()?;
            let mut schemas = Map::new();
            for (name, schema) in below.members() {
                if keyword != "patternProperties" {
                    self.names.insert(name.into());
                }
                schemas.insert(name.to_owned(), self.rewrite(&schema, depth + 1)?);
            }
            out.insert(keyword.to_owned(), Value::Object(schemas));
        }
        for keyword in LISTED {
            let Some(below) = spot.member(keyword) else { continue };
            if !below.value.is_array() {
                return Err(below.fault("expected a list of schemas"));
            }
            let schemas: Result<Vec<_>, _> =
                below.items().map(|schema| self.rewrite(&schema, depth + 1)).collect();
            out.insert(keyword.to_owned(), Value::Array(schemas?));
        }
        Ok(())
    }

    /// The number of what is referred to.
    fn number(&mut self, spot: &Spot<'_>, reference: &Value) -> Result<usize, Fault> {
        let Some(reference) = reference.as_str() else {
            return Err(spot.fault("`$ref` is not a string"));
        };
        let Some(pointer) = local(reference) else {
            let what = format!("`{reference}` leads out of the document; only `#/…` is followed");
            return Err(spot.fault(what));
        };
        if let Some(number) = self.numbers.get(&pointer) {
            return Ok(*number);
        }
        let Some(value) = self.document.pointer(&pointer) else {
            return Err(spot.fault(format!("`{reference}` leads nowhere")));
        };
        let number = self.numbers.len();
        self.numbers.insert(pointer.clone(), number);
        self.waiting.push((number, Spot { value, pointer }));
        Ok(number)
    }

    /// What only answers hold is not required of a request.
    fn excuse_read_only(&self, spot: &Spot<'_>, out: &mut Map<String, Value>) -> Result<(), Fault> {
        let (Some(properties), Some(Value::Array(required))) =
            (spot.member("properties"), out.get_mut("required"))
        else {
            return Ok(());
        };
        for (name, schema) in properties.members() {
            if schema.flag("readOnly") || schema.resolve(self.document)?.flag("readOnly") {
                required.retain(|required| required.as_str() != Some(name));
            }
        }
        if required.is_empty() {
            out.remove("required");
        }
        Ok(())
    }
}

/// The words of 3.0 that 2020-12 writes otherwise.
fn from_3_0(members: &Map<String, Value>, out: &mut Map<String, Value>) {
    // Written there as a schema of draft 5 wrote it: yes or no beside the bound.
    for (exclusive, plain) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
        match members.get(exclusive) {
            Some(Value::Bool(true)) => match out.remove(plain) {
                Some(bound) => drop(out.insert(exclusive.to_owned(), bound)),
                None => drop(out.remove(exclusive)),
            },
            Some(Value::Bool(false)) => drop(out.remove(exclusive)),
            _ => {}
        }
    }
    if members.get("nullable") == Some(&Value::Bool(true))
        && let Some(Value::String(kind)) = out.get("type")
    {
        let kinds = json!([kind, "null"]);
        out.insert("type".to_owned(), kinds);
    }
}

/// `int32` and `int64` are formats of numbers, which no format check sees.
fn bound_integer(out: &mut Map<String, Value>) {
    let (low, high) = match out.get("format").and_then(Value::as_str) {
        Some("int32") => (i64::from(i32::MIN), i64::from(i32::MAX)),
        Some("int64") => (i64::MIN, i64::MAX),
        _ => return,
    };
    let bounds = json!({ "minimum": low, "maximum": high });
    match out.get_mut("allOf") {
        Some(Value::Array(all)) => all.push(bounds),
        _ => drop(out.insert("allOf".to_owned(), json!([bounds]))),
    }
}
