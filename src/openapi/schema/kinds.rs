//! What kinds of value a schema lets through, as far as that can be seen without a value: a
//! parameter is text, and this says as what to read it.

use serde_json::Value;

/// Schemas looked at for one answer; beyond them, everything may get through.
const MAX_STEPS: usize = 1000;

/// A set of the kinds of JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Kinds(u8);

impl Kinds {
    const NULL: Self = Self(1);
    const BOOLEAN: Self = Self(1 << 1);
    const NUMBER: Self = Self(1 << 2);
    const STRING: Self = Self(1 << 3);
    const ARRAY: Self = Self(1 << 4);
    const OBJECT: Self = Self(1 << 5);
    const NONE: Self = Self(0);
    const ALL: Self = Self((1 << 6) - 1);

    /// The kinds that a schema which stands alone lets through.
    pub(super) fn of(schema: &Value) -> Self {
        Self::within(schema, schema, &mut { MAX_STEPS })
    }

    /// The kinds of the items, where the schema says so.
    pub(super) fn of_items(schema: &Value) -> Self {
        let steps = &mut { MAX_STEPS };
        items(schema, schema, steps).map_or(Self::ALL, |items| Self::within(schema, items, steps))
    }

    /// Whether nothing but a list gets through, and perhaps null.
    pub(in super::super) fn is_list(self) -> bool {
        self.has(Self::ARRAY) && self.and(Self(Self::ARRAY.0 | Self::NULL.0)) == self
    }

    /// Whether nothing but an object gets through, and perhaps null.
    pub(in super::super) fn is_object(self) -> bool {
        self.has(Self::OBJECT) && self.and(Self(Self::OBJECT.0 | Self::NULL.0)) == self
    }

    /// Whether a string gets through.
    pub(in super::super) fn has_string(self) -> bool {
        self.has(Self::STRING)
    }

    /// Whether a number gets through.
    pub(in super::super) fn has_number(self) -> bool {
        self.has(Self::NUMBER)
    }

    /// Whether yes and no get through.
    pub(in super::super) fn has_boolean(self) -> bool {
        self.has(Self::BOOLEAN)
    }

    fn within(root: &Value, schema: &Value, steps: &mut usize) -> Self {
        let Some(members) = schema.as_object().filter(|_| *steps > 0) else {
            return if *schema == Value::Bool(false) { Self::NONE } else { Self::ALL };
        };
        *steps -= 1;
        let mut kinds = Self::ALL;
        match members.get("type") {
            Some(Value::String(name)) => kinds = kinds.and(Self::named(name)),
            Some(Value::Array(names)) => {
                let names = names.iter().filter_map(Value::as_str);
                kinds = kinds.and(names.map(Self::named).fold(Self::NONE, Self::or));
            }
            _ => {}
        }
        if let Some(Value::Array(values)) = members.get("enum") {
            kinds = kinds.and(values.iter().map(Self::of_value).fold(Self::NONE, Self::or));
        }
        if let Some(value) = members.get("const") {
            kinds = kinds.and(Self::of_value(value));
        }
        if let Some(schema) = referred(root, schema) {
            kinds = kinds.and(Self::within(root, schema, steps));
        }
        let below = |keyword| members.get(keyword).and_then(Value::as_array);
        for schema in below("allOf").into_iter().flatten() {
            kinds = kinds.and(Self::within(root, schema, steps));
        }
        for keyword in ["anyOf", "oneOf"] {
            if let Some(schemas) = below(keyword) {
                let each = schemas.iter().map(|schema| Self::within(root, schema, steps));
                kinds = kinds.and(each.fold(Self::NONE, Self::or));
            }
        }
        kinds
    }

    fn named(name: &str) -> Self {
        match name {
            "null" => Self::NULL,
            "boolean" => Self::BOOLEAN,
            "integer" | "number" => Self::NUMBER,
            "string" => Self::STRING,
            "array" => Self::ARRAY,
            "object" => Self::OBJECT,
            _ => Self::NONE,
        }
    }

    fn of_value(value: &Value) -> Self {
        match value {
            Value::Null => Self::NULL,
            Value::Bool(_) => Self::BOOLEAN,
            Value::Number(_) => Self::NUMBER,
            Value::String(_) => Self::STRING,
            Value::Array(_) => Self::ARRAY,
            Value::Object(_) => Self::OBJECT,
        }
    }

    fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn has(self, kind: Self) -> bool {
        self.0 & kind.0 != 0
    }
}

/// The schema that another one refers to.
fn referred<'s>(root: &'s Value, schema: &Value) -> Option<&'s Value> {
    root.pointer(schema.get("$ref")?.as_str()?.strip_prefix('#')?)
}

/// The first schema for items on the way through references and `allOf`.
fn items<'s>(root: &'s Value, schema: &'s Value, steps: &mut usize) -> Option<&'s Value> {
    *steps = steps.checked_sub(1)?;
    let all = schema.get("allOf").and_then(Value::as_array).into_iter().flatten();
    let further = referred(root, schema).into_iter().chain(all);
    let mut further = further.filter_map(|schema| items(root, schema, steps));
    schema.get("items").or_else(|| further.next())
}
