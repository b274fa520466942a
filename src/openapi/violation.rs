//! What is wrong with a request: where, and by which rule. Never the value, never a name that only
//! the client knows.

/// Violations told of one request.
pub const MAX_VIOLATIONS: usize = 8;

/// One rule that a request breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The part of the request.
    pub place: Place,
    /// A JSON pointer (RFC 6901) within that part: the parameter's name and what lies below it, or
    /// the member of the body. A member that no schema names is shown as `*`.
    pub pointer: String,
    /// The keyword of the schema that failed, or one of our own words (`json`, `depth`, `unique`,
    /// `encoding`).
    pub rule: Rule,
}

/// The parts of a request that are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A parameter of the template.
    Path,
    /// A parameter behind the `?`.
    Query,
    /// A header field.
    Header,
    /// The JSON body.
    Body,
}

impl Place {
    /// The word of the document's own `in`; `body` for the body.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::Header => "header",
            Self::Body => "body",
        }
    }
}

/// A word of a closed set: our own, or a keyword of JSON Schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule(&'static str);

/// Every keyword that a checked schema can fail by.
const KEYWORDS: [&str; 33] = [
    "additionalProperties",
    "anyOf",
    "const",
    "contains",
    "dependentRequired",
    "dependentSchemas",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "false",
    "format",
    "if",
    "items",
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
    "not",
    "oneOf",
    "pattern",
    "propertyNames",
    "required",
    "type",
    "unevaluatedItems",
    "unevaluatedProperties",
    "uniqueItems",
];

impl Rule {
    /// Something that has to be there is not.
    pub const REQUIRED: Self = Self("required");
    /// The body is not JSON.
    pub const JSON: Self = Self("json");
    /// The body is nested too deeply.
    pub const DEPTH: Self = Self("depth");
    /// A member or a parameter is there twice, and readers differ on which of them counts.
    pub const UNIQUE: Self = Self("unique");
    /// It does not meet the schema; which keyword failed would take too long to find out.
    pub const SCHEMA: Self = Self("schema");
    /// A parameter is not UTF-8, or holds a broken escape.
    pub const ENCODING: Self = Self("encoding");

    /// The keyword of this name, or `schema` for one that is not in the set.
    pub(super) fn of(keyword: &str) -> Self {
        Self(KEYWORDS.into_iter().find(|known| *known == keyword).unwrap_or(Self::SCHEMA.0))
    }

    /// The word.
    pub fn as_str(self) -> &'static str {
        self.0
    }
}
