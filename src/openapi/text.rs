//! A document's bytes as one value, whichever of its two forms it has; and the line of a pointer.
//!
//! JSON is what begins with `{`, everything else is YAML. Both are bounded in size, depth and in
//! what aliases may expand to.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::Spanned;

use super::fault::Fault;
use crate::strict_json::{self, Unread};

/// Bytes of a document.
pub const MAX_FILE: usize = 1 << 20;
/// Levels of a document; the readers go down one call for each.
const MAX_DEPTH: usize = 48;
/// Values in a YAML document, those behind its aliases included.
const MAX_NODES: usize = 200_000;

/// Reads the document.
pub(super) fn read(bytes: &[u8]) -> Result<Value, Fault> {
    if bytes.len() > MAX_FILE {
        let what = format!("the document is larger than {} KiB", MAX_FILE >> 10);
        return Err(Fault::at("", what));
    }
    let text =
        std::str::from_utf8(bytes).map_err(|_| Fault::at("", "the document is not UTF-8"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let value = if is_json(text) { from_json(text)? } else { from_yaml(text)? };
    if !value.is_object() {
        return Err(Fault::at("", "the document is not an object"));
    }
    Ok(value)
}

fn is_json(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

fn from_json(text: &str) -> Result<Value, Fault> {
    strict_json::read(text.as_bytes(), MAX_DEPTH).map_err(|unread| match unread {
        Unread::Syntax { line, what } => {
            Fault { line: Some(line), ..Fault::at("", format!("the document is not JSON: {what}")) }
        }
        Unread::Twice { line } => {
            Fault { line: Some(line), ..Fault::at("", "a member is there twice") }
        }
        Unread::Depth => Fault::at("", "the document is nested too deeply"),
    })
}

fn from_yaml(text: &str) -> Result<Value, Fault> {
    serde_saphyr::from_str_with_options(text, options()).map_err(|error| {
        let line = error.location().and_then(|location| usize::try_from(location.line()).ok());
        let line = line.filter(|line| *line > 0);
        let words = error.to_string();
        let what = words.lines().next().unwrap_or_default();
        Fault { line, ..Fault::at("", format!("the document is not YAML: {what}")) }
    })
}

fn options() -> serde_saphyr::Options {
    let mut budget = serde_saphyr::Budget::default();
    budget.max_events = 4 * MAX_NODES;
    budget.max_nodes = MAX_NODES;
    budget.max_depth = MAX_DEPTH;
    budget.max_documents = 1;
    let mut options = serde_saphyr::Options::default();
    options.budget = Some(budget);
    options.strict_booleans = true;
    options.leading_zero_numbers_as_strings = true;
    options.underscored_numbers_as_strings = true;
    options.alias_limits.max_total_replayed_events = MAX_NODES;
    options.with_snippet = false;
    options
}

/// The line of what a pointer leads to, counted from one; of the last step that exists. JSON is
/// looked up as the YAML that it also is. `None` where that cannot be found out.
pub(super) fn line_of(bytes: &[u8], pointer: &str) -> Option<usize> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut tree: Tree = serde_saphyr::from_str_with_options(text, options()).ok()?;
    let mut line = None;
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        let (found, below) = match tree {
            Tree::Members(members) => members
                .into_iter()
                .find(|(name, _)| name.value == token)
                .map(|(name, below)| (name.referenced.line(), below))?,
            Tree::Items(items) => {
                let item = items.into_iter().nth(token.parse().ok()?)?;
                (item.referenced.line(), item.value)
            }
            Tree::Leaf => break,
        };
        line = usize::try_from(found).ok().filter(|line| *line > 0);
        tree = below;
    }
    line
}

/// What is where, without the values.
enum Tree {
    Members(Vec<(Spanned<String>, Tree)>),
    Items(Vec<Spanned<Tree>>),
    Leaf,
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Grow)
    }
}

struct Grow;

impl<'de> Visitor<'de> for Grow {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_str<E>(self, _: &str) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Tree::Items(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Tree::Members(members))
    }
}
