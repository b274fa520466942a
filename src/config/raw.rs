//! The first shape of the configuration: a tree of values that remember where they were written.
//!
//! The file becomes such a tree; environment and flags are laid over it value by value. It accepts
//! whatever TOML accepts: which keys exist is `keys`' business, which values are right is `check`'s.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::SourceFile;
use super::error::{Origin, Problems};
use super::expand::expand;
use super::{dialect, discretion, quotes, secrecy, twice};

/// A table: its entries by key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table(pub(crate) BTreeMap<String, Entry>);

/// An entry of a table.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Where the key was written.
    pub(crate) key: Origin,
    /// Its value.
    pub(crate) node: Node,
}

/// A value and where it was written.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Where the value was written.
    pub(crate) origin: Origin,
    /// What it is.
    pub(crate) value: Value,
}

/// What TOML can say.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    Date,
    List(Vec<Node>),
    Table(Table),
    /// A string whose `${VAR}` could not be expanded: reported already, skipped by every reader.
    Broken,
}

/// Deeper than any key; a bound for what recurses over the tree.
const DEEPEST: usize = 8;

impl Table {
    /// Reads a file. Every syntax error is a problem, and then there is no tree: what a broken file
    /// seems to say would only give rise to misleading errors.
    pub(crate) fn parse(
        file: &SourceFile,
        env: &BTreeMap<String, String>,
        problems: &Problems,
    ) -> Option<Self> {
        let (tree, broken) = Self::recover(file, env, problems);
        broken.is_empty().then_some(tree)
    }

    /// Reads what can be made out of a file, and says where it is broken. Only what knows how little a
    /// broken file can be trusted may use it.
    pub(crate) fn recover(
        file: &SourceFile,
        env: &BTreeMap<String, String>,
        problems: &Problems,
    ) -> (Self, Vec<usize>) {
        let (tree, errors) = DeTable::parse_recoverable(&file.text);
        let broken: Vec<_> =
            errors.iter().map(|error| error.span().map_or(0, |span| span.start)).collect();
        if !broken.is_empty()
            && let Some(problem) = dialect::problem(&file.text, problems)
        {
            problems.push(problem);
            // In another language nothing else that is found means anything.
            return (table(tree.get_ref(), env, &Problems::default()), broken);
        }
        for error in &errors {
            let span = error.span().unwrap_or(0..0);
            mask_broken_lines(&file.text, &span, problems);
            let is_placed = file.text.get(span.clone()).is_some();
            problems.push(match error.message().trim() {
                "duplicate key" if is_placed => twice::problem(&file.text, &span, problems),
                message => quotes::problem(&file.text, &span, message),
            });
        }
        let tree = table(tree.get_ref(), env, problems);
        secrecy::cover(&tree, &file.text, problems);
        (tree, broken)
    }

    /// The entry of this key.
    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        self.0.get(key)
    }

    /// Lays a value over whatever is at this path, making the tables on the way. Where the file has
    /// put a plain value in the place of a table, nothing happens: that is an error already. `false`
    /// if the path has no place: it leads through a list, or deeper than any key.
    pub(crate) fn set(&mut self, path: &[String], node: Node) -> bool {
        if path.len() > DEEPEST {
            return false;
        }
        let [key, rest @ ..] = path else { return true };
        let origin = node.origin.clone();
        if rest.is_empty() {
            self.0.insert(key.clone(), Entry { key: origin, node });
            return true;
        }
        let entry = self.0.entry(key.clone()).or_insert_with(|| Entry {
            key: origin.clone(),
            node: Node { origin, value: Value::Table(Self::default()) },
        });
        match &mut entry.node.value {
            Value::Table(table) => table.set(rest, node),
            Value::List(_) => false,
            _ => true,
        }
    }

    /// Lays a whole tree over this one: tables are merged, everything else is replaced.
    pub(crate) fn lay(&mut self, over: Self) {
        for (key, entry) in over.0 {
            match (self.0.get_mut(&key), entry) {
                (
                    Some(Entry { node: Node { origin, value: Value::Table(under) }, .. }),
                    Entry { node: Node { value: Value::Table(over), origin: place }, .. },
                ) => {
                    *origin = place;
                    under.lay(over);
                }
                (_, entry) => {
                    self.0.insert(key, entry);
                }
            }
        }
    }

    /// Turns the segments of an environment variable into keys: `PER_IP` names `per-ip` where the
    /// file has a key of that name.
    pub(crate) fn resolve(&self, segments: &[&str]) -> Vec<String> {
        let [first, rest @ ..] = segments else { return Vec::new() };
        let plain = first.to_ascii_lowercase();
        let same = |key: &&String| key.to_ascii_lowercase().replace(['-', '.'], "_") == plain;
        let key = self.0.keys().find(same).cloned().unwrap_or(plain);
        let mut path = match self.0.get(&key).map(|entry| &entry.node.value) {
            Some(Value::Table(table)) => table.resolve(rest),
            _ => rest.iter().map(|segment| segment.to_ascii_lowercase()).collect(),
        };
        path.insert(0, key);
        path
    }
}

impl Node {
    /// A string from outside the file.
    pub(crate) fn text(origin: Origin, text: impl Into<String>) -> Self {
        Self { origin, value: Value::Text(text.into()) }
    }

    /// Whether it came from the environment or a flag, where everything is a string.
    pub(crate) fn is_external(&self) -> bool {
        matches!(self.origin, Origin::Env(_) | Origin::Flag(_))
    }

    /// What it is, for a person.
    pub(crate) fn kind(&self) -> &'static str {
        match self.value {
            Value::Text(_) | Value::Broken => "a string",
            Value::Integer(_) => "an integer",
            Value::Float(_) => "a float",
            Value::Bool(_) => "a boolean",
            Value::Date => "a date",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
        }
    }
}

/// A table as the parser has it.
pub(super) fn table(
    tree: &DeTable<'_>,
    env: &BTreeMap<String, String>,
    problems: &Problems,
) -> Table {
    let entries = tree.iter().map(|(key, value)| {
        let node = node(value.get_ref(), Origin::File(value.span()), env, problems);
        (key.get_ref().to_string(), Entry { key: Origin::File(key.span()), node })
    });
    Table(entries.collect())
}

fn node(
    value: &DeValue<'_>,
    origin: Origin,
    env: &BTreeMap<String, String>,
    problems: &Problems,
) -> Node {
    let value = match value {
        DeValue::String(text) => match expand(text, env) {
            Ok(text) => Value::Text(text),
            Err(error) => {
                problems.push_unread(error.problem(&origin));
                Value::Broken
            }
        },
        DeValue::Integer(number) => Value::Integer(integer(number.as_str(), number.radix())),
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Datetime(_) => Value::Date,
        DeValue::Array(list) => Value::List(
            list.iter()
                .map(|item| node(item.get_ref(), Origin::File(item.span()), env, problems))
                .collect(),
        ),
        DeValue::Table(tree) => Value::Table(table(tree, env, problems)),
    };
    Node { origin, value }
}

/// Reads an integer; one that does not fit becomes the nearest, which every range refuses.
fn integer(text: &str, radix: u32) -> i64 {
    let nearest = if text.starts_with('-') { i64::MIN } else { i64::MAX };
    i64::from_str_radix(text, radix).unwrap_or(nearest)
}

/// Lines with a syntax error have no tree to say which value is secret, so their table, their key and
/// their look decide.
fn mask_broken_lines(text: &str, span: &Range<usize>, problems: &Problems) {
    let floor = |at: usize| text.floor_char_boundary(at.min(text.len()));
    let first = text[..floor(span.start)].rfind('\n').map_or(0, |newline| newline + 1);
    let end = floor(span.end).max(first);
    let mut start = first;
    for line in text[first..].split_inclusive('\n') {
        if start > end {
            break;
        }
        let shown = discretion::shown_of_broken(&text[..start], line);
        problems.mask(&Origin::File(start + shown..start + line.len()));
        start += line.len();
    }
}
