//! What a capture takes of the value it finds.
//!
//! This is the only place where a text becomes a fact, and what comes out has no room for a text.

use crate::config::model::Take;
use crate::record::{ConfigName, PseudonymKey, Value};

/// `captures.take`, compiled.
#[derive(Clone, Debug)]
pub(super) enum Taking {
    Value { values: Box<[ConfigName]>, other: ConfigName },
    Length,
    Number,
    Hmac(PseudonymKey),
}

impl Taking {
    pub(super) fn new(take: &Take, key: &PseudonymKey) -> Self {
        match take {
            Take::Value(values) => {
                Self::Value { values: values.as_slice().into(), other: Value::OTHER.into() }
            }
            Take::Length => Self::Length,
            Take::Number => Self::Number,
            Take::Hmac => Self::Hmac(key.clone()),
        }
    }

    /// Of a JSON string.
    pub(super) fn text(&self, text: &str) -> Option<Value> {
        match self {
            Self::Value { values, other } => {
                let member = values.iter().find(|value| ***value == *text);
                Some(Value::Member(member.unwrap_or(other).clone()))
            }
            Self::Length => Some(Value::Length(utf16_length(text))),
            Self::Number => None,
            Self::Hmac(key) => Some(Value::Pseudonym(key.pseudonym(text.as_bytes()))),
        }
    }

    /// Of a JSON number that counts something. An id that is written as a number has the pseudonym of
    /// its digits, as if it were written as a string.
    pub(super) fn count(&self, count: u64) -> Option<Value> {
        match self {
            Self::Number => Some(Value::Number(count)),
            Self::Hmac(key) => {
                let mut digits = itoa::Buffer::new();
                Some(Value::Pseudonym(key.pseudonym(digits.format(count).as_bytes())))
            }
            Self::Value { .. } | Self::Length => self.other(),
        }
    }

    /// Of a JSON number that is larger than floats are exact: the digits of no id, and no fact to be told.
    pub(super) fn vast(&self) -> Option<Value> {
        match self {
            Self::Number => Some(Value::VAST),
            Self::Value { .. } | Self::Length | Self::Hmac(_) => self.other(),
        }
    }

    /// Of any other value: it is in no list, and has neither length nor pseudonym.
    pub(super) fn other(&self) -> Option<Value> {
        match self {
            Self::Value { other, .. } => Some(Value::Member(other.clone())),
            Self::Length | Self::Number | Self::Hmac(_) => None,
        }
    }

    /// Of bytes outside of JSON, where a number is written as text. What is no UTF-8 has no length.
    pub(super) fn bytes(&self, bytes: &[u8]) -> Option<Value> {
        match (self, std::str::from_utf8(bytes)) {
            (Self::Hmac(key), _) => Some(Value::Pseudonym(key.pseudonym(bytes))),
            (_, Err(_)) => self.other(),
            (Self::Number, Ok(text)) => {
                let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                // Digits fail to be a number only where they are too many.
                is_plain.then(|| text.parse().map_or(Value::VAST, Value::Number))
            }
            (_, Ok(text)) => self.text(text),
        }
    }
}

/// Characters, those outside the basic plane twice: what `length` says in JavaScript.
fn utf16_length(text: &str) -> u64 {
    text.bytes().map(|byte| u64::from(byte & 0xc0 != 0x80) + u64::from(byte >= 0xf0)).sum()
}
