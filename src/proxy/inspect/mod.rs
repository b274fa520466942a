//! Facts out of a JSON body, by name: all that telemetry ever learns of what a body says.
//!
//! A body is walked once; what no capture points at is skipped without being built, and what one
//! points at is compared or measured where it lies. Of a body nothing stays but a member of a
//! configured list, `_other`, a length, a count, or a pseudonym. Where a member name is there twice, the
//! last one counts, as for JavaScript. Facts beside bodies, of the path and of header fields, are taken
//! by `beside`.
//!
//! Reading the bytes off the wire, with its bounds and deadlines, is the part of `inspect_body` and of
//! `reply::reading`; the memory for it is reserved from a [`Budget`].

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use thiserror::Error;

use crate::config::model::{Capture, Place};
use crate::record::{ConfigName, Fact, PseudonymKey, Value};

mod beside;
mod budget;
mod glance;
mod pieces;
mod taking;

pub use beside::{HeaderFacts, PathFacts};
pub use budget::{Budget, Reservation};
use glance::Glance;
pub use pieces::Pieces;
use taking::Taking;

/// The captures of a route, compiled into one walk.
#[derive(Clone, Debug)]
pub struct Captures {
    compiled: Box<[Compiled]>,
    root: Node,
    glance: Glance,
}

/// What a body is wanted for, besides its captures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interest {
    /// Nothing.
    #[default]
    None,
    /// It is looked at where it can be.
    Glance,
    /// It must be read whole: what cannot be is refused.
    Whole,
}

/// What was found of each capture, in their order; `None` where nothing was, or `null`.
pub type Found = Vec<Option<Seen>>;

/// What is at the place of a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// What it takes.
    Fit(Value),
    /// A value of a kind that it cannot take, such as a text where a number should be.
    Unfit,
}

/// What a body gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The facts, in the order of the captures.
    pub facts: Vec<Fact>,
    /// The captures whose places hold what they cannot take.
    pub unfit: Vec<ConfigName>,
}

#[derive(Clone, Debug)]
struct Compiled {
    name: ConfigName,
    taking: Taking,
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
    /// Compiles the captures of bodies among those of a route. A pointer that is neither empty nor
    /// begins with `/` leads nowhere.
    pub fn compile<'a>(
        captures: impl IntoIterator<Item = &'a Capture>,
        key: &PseudonymKey,
    ) -> Self {
        let mut compiled = Vec::new();
        let (mut pointers, mut root) = (Vec::new(), Node::default());
        for capture in captures {
            let (Place::RequestBody(pointer) | Place::ResponseBody(pointer)) = &capture.place
            else {
                continue;
            };
            let index = compiled.len();
            if pointer.is_empty() {
                root.captures.push(index);
            } else if let Some(path) = pointer.strip_prefix('/') {
                let end = path.split('/').fold(&mut root, Node::child);
                end.captures.push(index);
            }
            compiled.push(Compiled::new(capture, key));
            pointers.push(&**pointer);
        }
        let glance = Glance::for_pointers(pointers.into_iter());
        Self { compiled: compiled.into(), root, glance }
    }

    /// Whether there is nothing to read, so that the body need not be kept.
    pub fn is_empty(&self) -> bool {
        self.compiled.is_empty()
    }

    /// Whether it is worth reading this text: `false` where none of the places can be in it.
    pub fn may_be_in(&self, text: &[u8]) -> bool {
        self.glance.may_be_in(text)
    }

    /// The names of all, for a body that cannot be read.
    pub fn names(&self) -> impl Iterator<Item = ConfigName> {
        self.compiled.iter().map(|capture| capture.name.clone())
    }

    /// Reads the facts of a whole body. What is missing, `null`, or of the wrong kind for a length or a
    /// number, gives none.
    pub fn read(&self, body: &[u8]) -> Result<Taken, Unreadable> {
        let found = self.find(body)?;
        let is_unfit = |(_, seen): &(_, &Option<Seen>)| **seen == Some(Seen::Unfit);
        let unfit = self.compiled.iter().zip(&found).filter(is_unfit);
        let unfit = unfit.map(|(capture, _)| capture.name.clone()).collect();
        Ok(Taken { unfit, facts: self.facts(found) })
    }

    /// Looks into a whole body. See [`Self::read`].
    pub fn find(&self, body: &[u8]) -> Result<Found, Unreadable> {
        let mut found = vec![None; self.compiled.len()];
        let mut json = serde_json::Deserializer::from_slice(body);
        Walk { captures: self, node: &self.root, found: &mut found }
            .deserialize(&mut json)
            .and_then(|()| json.end())
            .map_err(|_| Unreadable)?;
        Ok(found)
    }

    /// Gives what was found its names.
    pub fn facts(&self, found: Found) -> Vec<Fact> {
        let named = self.compiled.iter().zip(found);
        let fact = |(capture, seen): (&Compiled, Option<Seen>)| match seen {
            Some(Seen::Fit(value)) => Some(capture.fact(value)),
            Some(Seen::Unfit) | None => None,
        };
        named.filter_map(fact).collect()
    }
}

impl Compiled {
    fn new(capture: &Capture, key: &PseudonymKey) -> Self {
        Self { name: capture.name.clone(), taking: Taking::new(&capture.take, key) }
    }

    fn fact(&self, value: Value) -> Fact {
        Fact { name: self.name.clone(), value }
    }
}

impl Node {
    /// The child of a pointer's token, made if it is not there yet.
    fn child(&mut self, token: &str) -> &mut Self {
        let member = member_name(token);
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
    fn clear(&self, found: &mut [Option<Seen>]) {
        self.captures.iter().for_each(|capture| found[*capture] = None);
        self.children.iter().for_each(|child| child.node.clear(found));
    }
}

/// The member name that a pointer's token stands for (RFC 6901 §4).
fn member_name(token: &str) -> String {
    token.replace("~1", "/").replace("~0", "~")
}

/// One step of the walk: the value at `node` comes next.
struct Walk<'a> {
    captures: &'a Captures,
    node: &'a Node,
    found: &'a mut [Option<Seen>],
}

impl Walk<'_> {
    fn below<'b>(&'b mut self, node: &'b Node) -> Walk<'b> {
        node.clear(self.found);
        Walk { captures: self.captures, node, found: self.found }
    }

    /// Notes what each capture that ends here takes.
    fn note(self, take: impl Fn(&Taking) -> Option<Value>) {
        for capture in &self.node.captures {
            let value = take(&self.captures.compiled[*capture].taking);
            self.found[*capture] = Some(value.map_or(Seen::Unfit, Seen::Fit));
        }
    }

    /// A value that is neither a string nor a count: it is in no list and has no length.
    fn other(self) {
        self.note(Taking::other);
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
        self.note(|taking| taking.text(text));
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

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.note(|taking| taking.count(number));
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.other();
        Ok(())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        match whole(number) {
            Some(number) if number <= EXACT => self.note(|taking| taking.count(number)),
            Some(_) => self.note(Taking::vast),
            None => self.other(),
        }
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

/// Up to here a float is the number that was written, and no neighbour of it.
const EXACT: u64 = (1 << 53) - 1;

/// A whole number that JSON happens to write as `12.0` or `1.2e1`, or with more digits than a `u64` has;
/// what is beyond that is the largest.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "only what is whole and not negative is cast, and the cast saturates"
)]
fn whole(number: f64) -> Option<u64> {
    let is_whole = number >= 0.0 && number.fract() == 0.0;
    is_whole.then_some(number as u64)
}

#[cfg(test)]
mod tests;
