//! Facts out of a JSON body, by name: the only thing the sidecar ever reads in a body.
//!
//! The body is walked once; what no capture points at is skipped without being built, and what one
//! points at is compared or measured where it lies. Of a body nothing stays but a member of a
//! configured list, `_other`, or a length. Where a member name is there twice, the last one counts,
//! as for JavaScript.
//!
//! Reading the bytes off the wire, with its bounds and deadlines, is the pipeline's part; the memory
//! for it is reserved from a [`Budget`].

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use thiserror::Error;

use crate::config::model::{Capture, Take};
use crate::record::{ConfigName, Fact, Value};

mod budget;

pub use budget::{Budget, Reservation};

/// The captures of a route, compiled into one walk.
#[derive(Clone, Debug)]
pub struct Captures {
    compiled: Box<[Compiled]>,
    root: Node,
    other: ConfigName,
}

#[derive(Clone, Debug)]
struct Compiled {
    name: ConfigName,
    take: Take,
}

/// A place in the document that pointers lead to or through.
#[derive(Clone, Debug, Default)]
struct Node {
    /// The captures that end here.
    captures: Vec<usize>,
    children: Vec<Child>,
}

#[derive(Clone, Debug)]
struct Child {
    member: Box<str>,
    /// The member as an array index (RFC 6901 §4), if it is one.
    index: Option<usize>,
    node: Node,
}

/// The body is not one JSON value, is nested too deeply on the way to a capture (128), or holds half
/// a surrogate pair where one points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the body cannot be read as JSON")]
pub struct Unreadable;

impl Captures {
    /// Compiles the captures of a route. A pointer that is neither empty nor begins with `/` leads
    /// nowhere.
    pub fn compile(captures: &[Capture]) -> Self {
        let mut root = Node::default();
        for (index, capture) in captures.iter().enumerate() {
            if capture.pointer.is_empty() {
                root.captures.push(index);
            } else if let Some(path) = capture.pointer.strip_prefix('/') {
                let end = path.split('/').fold(&mut root, Node::child);
                end.captures.push(index);
            }
        }
        let compiled =
            |capture: &Capture| Compiled { name: capture.name.clone(), take: capture.take.clone() };
        let compiled = captures.iter().map(compiled).collect();
        Self { compiled, root, other: Value::OTHER.into() }
    }

    /// Whether there is nothing to read, so that the body need not be kept.
    pub fn is_empty(&self) -> bool {
        self.compiled.is_empty()
    }

    /// Reads the facts of a whole body, in the order of the captures. What is missing, `null`, or
    /// for a length not a string, gives no fact.
    pub fn read(&self, body: &[u8]) -> Result<Vec<Fact>, Unreadable> {
        let mut found = vec![None; self.compiled.len()];
        let mut json = serde_json::Deserializer::from_slice(body);
        Walk { captures: self, node: &self.root, found: &mut found }
            .deserialize(&mut json)
            .and_then(|()| json.end())
            .map_err(|_| Unreadable)?;
        let named = self.compiled.iter().zip(found);
        let fact = |(capture, value): (&Compiled, Option<Value>)| {
            value.map(|value| Fact { name: capture.name.clone(), value })
        };
        Ok(named.filter_map(fact).collect())
    }
}

impl Node {
    /// The child of a pointer's token, made if it is not there yet.
    fn child(&mut self, token: &str) -> &mut Self {
        let member = token.replace("~1", "/").replace("~0", "~");
        let place = self.children.iter().position(|child| *child.member == *member);
        let place = place.unwrap_or_else(|| {
            let leading_zero = member.len() > 1 && member.starts_with('0');
            let digits = member.bytes().all(|byte| byte.is_ascii_digit()) && !leading_zero;
            let index = if digits { member.parse().ok() } else { None };
            let node = Self::default();
            self.children.push(Child { member: member.into(), index, node });
            self.children.len() - 1
        });
        &mut self.children[place].node
    }

    /// Forgets what was found here and below.
    fn clear(&self, found: &mut [Option<Value>]) {
        self.captures.iter().for_each(|capture| found[*capture] = None);
        self.children.iter().for_each(|child| child.node.clear(found));
    }
}

/// One step of the walk: the value at `node` comes next.
struct Walk<'a> {
    captures: &'a Captures,
    node: &'a Node,
    found: &'a mut [Option<Value>],
}

impl Walk<'_> {
    fn below<'b>(&'b mut self, node: &'b Node) -> Walk<'b> {
        node.clear(self.found);
        Walk { captures: self.captures, node, found: self.found }
    }

    /// A value that is no string: it is in no list and has no length.
    fn other(self) {
        for capture in &self.node.captures {
            self.found[*capture] = match self.captures.compiled[*capture].take {
                Take::Value(_) => Some(Value::Member(self.captures.other.clone())),
                Take::Length => None,
            };
        }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        for capture in &self.node.captures {
            self.found[*capture] = Some(match &self.captures.compiled[*capture].take {
                Take::Length => Value::Length(utf16_length(text)),
                Take::Value(values) => {
                    let member = values.iter().find(|value| ***value == *text);
                    Value::Member(member.unwrap_or(&self.captures.other).clone())
                }
            });
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(child) = map.next_key_seed(Member(self.node))? {
            match child {
                Some(child) => map.next_value_seed(self.below(&child.node))?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        self.other();
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        let mut index = 0;
        loop {
            let at_index = |child: &&Child| child.index == Some(index);
            let more = match self.node.children.iter().find(at_index) {
                Some(child) => seq.next_element_seed(self.below(&child.node))?,
                None => seq.next_element::<IgnoredAny>()?.map(drop),
            };
            if more.is_none() {
                self.other();
                return Ok(());
            }
            index += 1;
        }
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.other();
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.other();
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.other();
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.other();
        Ok(())
    }
}

/// Finds the child that a member name leads to, without keeping the name.
struct Member<'a>(&'a Node);

impl<'a, 'de> DeserializeSeed<'de> for Member<'a> {
    type Value = Option<&'a Child>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'_> for Member<'a> {
    type Value = Option<&'a Child>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.children.iter().find(|child| *child.member == *name))
    }
}

/// Characters, those outside the basic plane twice: what `length` says in JavaScript.
fn utf16_length(text: &str) -> u64 {
    text.bytes().map(|byte| u64::from(byte & 0xc0 != 0x80) + u64::from(byte >= 0xf0)).sum()
}

#[cfg(test)]
mod tests;
