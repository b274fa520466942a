//! Reading one table: each method takes a key, says what is wrong with its value, and returns it if
//! nothing is.
//!
//! An absent key is `None` without a problem; so is a wrong one, with a problem. No method stops.

use std::fmt::Display;

use super::error::{Origin, Problem, Problems};
use super::keys::is_known;
use super::raw::{Node, Table, Value};
use super::secrecy::is_near_a_secret;
use super::{discretion, slips, unknown};

/// A table of the tree, or the place where one would be.
#[derive(Clone, Debug)]
pub(crate) struct Section<'a> {
    table: Option<&'a Table>,
    /// Where the table was written.
    pub(crate) origin: Origin,
    /// The path as `keys` writes it: `rate_limits.*`.
    pattern: String,
    /// The path as the operator writes it: `rate_limits.per-ip`.
    path: String,
    /// Where problems go.
    pub(crate) problems: &'a Problems,
}

/// A string and where it was written.
#[derive(Clone, Debug)]
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) origin: Origin,
}

/// Lays a value over a default, if there is one.
pub(crate) fn lay<T>(slot: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *slot = value;
    }
}

/// A name as it is written in a path: with quotes where it needs them.
fn quoted(name: &str) -> String {
    let is_bare = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
    if is_bare { name.to_owned() } else { format!("\"{name}\"") }
}

impl<'a> Section<'a> {
    /// The top level.
    pub(crate) fn root(table: &'a Table, problems: &'a Problems) -> Self {
        let (pattern, path) = (String::new(), String::new());
        Self { table: Some(table), origin: Origin::Nowhere, pattern, path, problems }
    }

    /// A table below this one; an empty one if it is absent.
    pub(crate) fn section(&self, key: &str) -> Section<'a> {
        let (table, origin) = match self.node(key) {
            None => (None, Origin::Nowhere),
            Some(Node { value: Value::Table(table), origin }) => (Some(table), origin.clone()),
            Some(node) => {
                let help = format!("write it in single brackets: `[{}]`", self.path_of(key));
                self.no_table(key, node, help);
                // Nothing is missing that was meant by it.
                self.problems.leave_unread(&node.origin);
                (None, node.origin.clone())
            }
        };
        self.child(key, key, table, origin)
    }

    /// The tables whose names the operator chose, in the order of their names.
    pub(crate) fn named(&self, key: &str) -> Vec<(Word, Section<'a>)> {
        if let Some(node @ Node { value: Value::List(_), .. }) = self.node(key) {
            self.no_table(
                key,
                node,
                format!("give each a name, in single brackets: `[{key}.NAME]`"),
            );
            return Vec::new();
        }
        let section = self.section(key);
        let Some(table) = section.table else { return Vec::new() };
        let entries = table.0.iter().filter_map(|(name, entry)| {
            let word = Word { text: name.clone(), origin: entry.key.clone() };
            let Value::Table(table) = &entry.node.value else {
                section.wrong_type(name, &entry.node, "a table");
                return None;
            };
            Some((word, section.child("*", &quoted(name), Some(table), entry.key.clone())))
        });
        entries.collect()
    }

    /// The tables of an array of tables, in order.
    pub(crate) fn each(&self, key: &str) -> Vec<Section<'a>> {
        let Some(node) = self.node_as(&format!("{key}[]"), key) else { return Vec::new() };
        let Value::List(list) = &node.value else {
            self.wrong_type(key, node, &format!("a list of tables, each under `[[{key}]]`"));
            return Vec::new();
        };
        let tables = list.iter().filter_map(|node| {
            let Value::Table(table) = &node.value else {
                self.wrong_type(key, node, "a table");
                return None;
            };
            Some(self.child(&format!("{key}[]"), key, Some(table), node.origin.clone()))
        });
        tables.collect()
    }

    /// Where an array of tables was written, if it was; an empty one, too.
    pub(crate) fn list_at(&self, key: &str) -> Option<Origin> {
        self.node_as(&format!("{key}[]"), key).map(|node| node.origin.clone())
    }

    /// The strings of a table whose keys the operator chose.
    pub(crate) fn pairs(&self, key: &str) -> Vec<(Word, Word)> {
        let section = self.section(key);
        let Some(table) = section.table else { return Vec::new() };
        let pairs = table.0.iter().filter_map(|(name, entry)| {
            let name = Word { text: name.clone(), origin: entry.key.clone() };
            let text = section.string(&name.text, &entry.node)?.to_owned();
            Some((name, Word { text, origin: entry.node.origin.clone() }))
        });
        pairs.collect()
    }

    /// Whether the key is written, rightly or wrongly.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.node(key).is_some()
    }

    /// Whether the key says nothing: it is absent, or empty. What could not be read has said something, and
    /// nobody should be asked for it again.
    pub(crate) fn is_silent(&self, key: &str) -> bool {
        match self.node(key).map(|node| &node.value) {
            None => true,
            Some(Value::Text(text)) => text.is_empty(),
            Some(Value::List(list)) => list.is_empty(),
            Some(_) => false,
        }
    }

    /// Where the key's value was written; the table's place if it was not.
    pub(crate) fn origin_of(&self, key: &str) -> Origin {
        self.node(key).map_or_else(|| self.origin.clone(), |node| node.origin.clone())
    }

    /// The path of the table itself, for messages.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The path of a key, for messages.
    pub(crate) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Adds a problem with the value of a key.
    pub(crate) fn refuse(&self, key: &str, what: &str, label: impl Display, help: Option<&str>) {
        let title = format!("`{}` {what}", self.path_of(key));
        let mut problem = Problem::at(&self.origin_of(key), title).label(label);
        let text = || match self.node(key).map(|node| &node.value) {
            Some(Value::Text(text)) => slips::unexpanded(text),
            _ => None,
        };
        if let Some(help) = help.or_else(text) {
            problem = problem.help(help);
        }
        self.problems.push(problem);
    }

    /// A string.
    pub(crate) fn text(&self, key: &str) -> Option<&'a str> {
        self.string(key, self.node(key)?)
    }

    /// A string that means "none" when it is empty.
    pub(crate) fn optional(&self, key: &str) -> Option<&'a str> {
        self.text(key).filter(|text| !text.is_empty())
    }

    /// A list of strings. From outside the file: separated by commas.
    pub(crate) fn words(&self, key: &str) -> Option<Vec<Word>> {
        let node = self.node(key)?;
        let list = match &node.value {
            Value::List(list) => list,
            Value::Text(text) if node.is_external() => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                let origin = || node.origin.clone();
                return Some(
                    parts.map(|part| Word { text: part.to_owned(), origin: origin() }).collect(),
                );
            }
            Value::Broken => return None,
            Value::Text(_) => {
                let label = "expected a list of strings, found a string";
                self.refuse(
                    key,
                    "has the wrong type",
                    label,
                    Some("write it in brackets: [\"…\"]"),
                );
                return None;
            }
            _ => {
                self.wrong_type(key, node, "a list of strings");
                return None;
            }
        };
        let words = list.iter().filter_map(|item| {
            let text = self.string(key, item)?.to_owned();
            Some(Word { text, origin: item.origin.clone() })
        });
        Some(words.collect())
    }

    fn child(&self, pattern: &str, key: &str, table: Option<&'a Table>, origin: Origin) -> Self {
        let pattern = if self.pattern.is_empty() {
            pattern.to_owned()
        } else {
            format!("{}.{pattern}", self.pattern)
        };
        Self { table, origin, pattern, path: self.path_of(key), problems: self.problems }
    }

    pub(super) fn node(&self, key: &str) -> Option<&'a Node> {
        self.node_as(key, key)
    }

    fn node_as(&self, pattern: &str, key: &str) -> Option<&'a Node> {
        debug_assert!(
            is_known(&if self.pattern.is_empty() {
                pattern.to_owned()
            } else {
                format!("{}.{pattern}", self.pattern)
            }),
            "`{}` is read, but is not in `keys::KEYS`",
            self.path_of(key)
        );
        self.table?.get(key).map(|entry| &entry.node)
    }

    fn string(&self, key: &str, node: &'a Node) -> Option<&'a str> {
        match &node.value {
            Value::Text(text) => Some(text),
            Value::Broken => None,
            Value::List(_) => {
                let title = format!("`{}` has the wrong type", self.path_of(key));
                let problem =
                    Problem::at(&node.origin, title).label("expected a string, found a list");
                self.problems.push(problem.help("write one string, without brackets"));
                None
            }
            _ => {
                self.wrong_type(key, node, "a string");
                None
            }
        }
    }

    /// Refuses what stands in the place of a table; a list of them with this help.
    fn no_table(&self, key: &str, node: &Node, help: String) {
        // Whoever reads the table's keys would know which is a secret; nobody does.
        discretion::mask_below(key, node, self.problems);
        let help = match &node.value {
            Value::List(_) => Some(help),
            _ => unknown::first_of(&self.path_of(key)).map(|first| {
                let shown = if matches!(node.value, Value::Text(_)) { "\"…\"" } else { "…" };
                format!("write `{first} = {shown}`")
            }),
        };
        self.mistyped(key, node, "a table", help);
    }

    pub(super) fn wrong_type(&self, key: &str, node: &Node, expected: &str) {
        let help = match &node.value {
            // A hint repeats the value.
            Value::Text(_) if is_near_a_secret(&self.path_of(key)) => None,
            Value::Text(text) => slips::plain(text, expected, node.is_external())
                .map(|help| {
                    // Quotes may be there for a variable's sake.
                    match self.variable(key).filter(|_| !node.is_external()) {
                        Some(name) => format!("{help}; a variable can set it as `{name}`"),
                        None => help,
                    }
                })
                .or_else(|| slips::unexpanded(text).map(str::to_owned)),
            _ => None,
        };
        self.mistyped(key, node, expected, help);
    }

    fn mistyped(&self, key: &str, node: &Node, expected: &str, help: Option<String>) {
        if matches!(node.value, Value::Broken) {
            return;
        }
        let path = self.path_of(key);
        let found = match &node.value {
            // Outside the file everything is a string; which one, is the question.
            Value::Text(text) if node.is_external() && !discretion::hides(&path, text) => {
                format!("{text:?}")
            }
            _ => node.kind().to_owned(),
        };
        let label = format!("expected {expected}, found {found}");
        let title = format!("`{path}` has the wrong type");
        let problem = Problem::at(&node.origin, title).label(label);
        self.problems.push(match help {
            Some(help) => problem.help(help),
            None => problem,
        });
    }

    /// The environment variable of a key, where it can have one.
    fn variable(&self, key: &str) -> Option<String> {
        let path = self.path_of(key).to_ascii_uppercase().replace('-', "_").replace('.', "__");
        let has_one = !self.pattern.contains("[]") && !path.contains('"');
        has_one.then(|| format!("VITAL_SIDECAR__{path}"))
    }
}
