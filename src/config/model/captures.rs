//! Facts that may leave: where they are, and what is taken there.

use crate::record::ConfigName;

/// One of `[captures]`.
#[derive(Clone, Debug)]
pub struct Capture {
    /// The fact's name.
    pub name: ConfigName,
    /// Whose body it looks into.
    pub side: Side,
    /// JSON pointer (RFC 6901) into that body.
    pub pointer: String,
    /// What is taken there.
    pub take: Take,
    /// Whether it may become a metric label.
    pub metric: bool,
}

/// Whose body a capture looks into: the first part of `captures.from`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// `request.body`.
    Request,
    /// `response.body`: a JSON document, or the last event of a stream that has the place.
    Response,
}

/// `captures.take`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Take {
    /// The value itself, if it is one of these; else `_other`.
    Value(Vec<ConfigName>),
    /// The length of a string in UTF-16 code units.
    Length,
    /// A whole number that is not negative.
    Number,
}
