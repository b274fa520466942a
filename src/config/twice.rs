//! What stands in the file twice: which key or table, and where it was written before.
//!
//! TOML's parser tells only the second place. What is before it is a file of its own, which has the
//! first place at the same path.
//! Promises: no value of the lines that are quoted is shown that may be a secret (`discretion`).
//! It does not find what an inline table has twice; that is told without its first place.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::DeTable;

use super::discretion;
use super::error::{Origin, Problem, Problems};
use super::keys::{children, segment};
use super::raw::{self, Entry, Table, Value};

/// The problem with the key at these bytes, which is there already.
pub(super) fn problem(text: &str, at: &Range<usize>, problems: &Problems) -> Problem {
    let place = Origin::File(at.clone());
    let start = line_start(text, at.start);
    let header = text[start..].trim_start().starts_with('[');
    let Some(path) = path_to(text, start, at.end) else {
        return Problem::at(&place, "duplicate key").help("write each key once");
    };
    let name = path.join(".");
    let before = before(&text[..start], &path);
    let Some(first) = before.as_ref().and_then(|(_, entry)| span(&entry.key)) else {
        let help = "write each key once, and all keys of a table in one place";
        return Problem::at(&place, format!("duplicate key `{name}`")).help(help);
    };
    if let Some((tree, _)) = &before {
        mask(tree, problems);
    }
    let (title, help) = if !header {
        mask_value(text, &path, at.end, problems);
        (format!("duplicate key `{name}`"), "keep one of the two".to_owned())
    } else if text[line_start(text, first.start)..].trim_start().starts_with('[') {
        let help = format!("put these keys under the first `[{name}]`");
        (format!("duplicate table `[{name}]`"), help)
    } else {
        // Whoever adds a table to the two-line file meets this.
        let help = format!(
            "write a table in one place: its keys follow the first as `{name}.KEY = …`, or all of \
             them stand under one `[{name}]`"
        );
        (format!("duplicate table `[{name}]`"), help)
    };
    Problem::at(&place, title).related(&Origin::File(first), "written here before").help(help)
}

/// The keys that lead to the one that ends here, those of its table included.
fn path_to(text: &str, start: usize, end: usize) -> Option<Vec<String>> {
    let written = text.get(start..end)?.trim_start();
    let own = keys(written.trim_start_matches('['))?;
    if written.starts_with('[') {
        return Some(own);
    }
    let header = text[..start].lines().rev().find_map(header).unwrap_or_default();
    is_table(&header).then(|| header.into_iter().chain(own).collect())
}

/// The path in a line that looks like a header.
pub(super) fn header(line: &str) -> Option<Vec<String>> {
    let (inside, after) = line.trim().strip_prefix('[')?.split_once(']')?;
    let after = after.trim_start_matches(']').trim_start();
    let path = keys(inside.trim_start_matches('['))?;
    (after.is_empty() || after.starts_with('#')).then_some(path)
}

/// Whether a path may be that of a table, the top level included. A list within a list can look like a
/// header, but for its name.
pub(super) fn is_table(path: &[String]) -> bool {
    path.first().is_none_or(|name| segment(&children(""), name).is_some())
}

/// A dotted key in its parts. `None` for one that is more than names and dots.
fn keys(dotted: &str) -> Option<Vec<String>> {
    let name = |part: &str| {
        let name = part.trim().trim_matches(['"', '\'']);
        let is_plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
        (is_plain && !name.is_empty()).then(|| name.to_owned())
    };
    dotted.split('.').map(name).collect()
}

/// The tree of what is before, and its entry at this path; in an array of tables that of the last.
fn before(text: &str, path: &[String]) -> Option<(Table, Entry)> {
    let (tree, _) = DeTable::parse_recoverable(text);
    // No variable is of interest, nor that one is missing.
    let tree = raw::table(tree.get_ref(), &BTreeMap::new(), &Problems::default());
    let entry = entry(&tree, path)?.clone();
    Some((tree, entry))
}

fn entry<'t>(tree: &'t Table, path: &[String]) -> Option<&'t Entry> {
    let [key, rest @ ..] = path else { return None };
    let entry = tree.get(key)?;
    if rest.is_empty() {
        return Some(entry);
    }
    let value = match &entry.node.value {
        Value::List(list) => &list.last()?.value,
        value => value,
    };
    let Value::Table(table) = value else { return None };
    self::entry(table, rest)
}

/// The lines between the two places may be shown.
fn mask(tree: &Table, problems: &Problems) {
    for (key, entry) in &tree.0 {
        discretion::mask_below(key, &entry.node, problems);
    }
}

/// Masks the second value, if it may be a secret.
fn mask_value(text: &str, path: &[String], from: usize, problems: &Problems) {
    let end = text[from..].find('\n').map_or(text.len(), |newline| from + newline);
    let value = text[from..end].find('=').map_or(end, |equals| from + equals + 1);
    if discretion::hides(&path.join("."), &text[value..end]) {
        problems.mask(&Origin::File(value..end));
    }
}

fn span(origin: &Origin) -> Option<Range<usize>> {
    match origin {
        Origin::File(span) => Some(span.clone()),
        Origin::Nowhere | Origin::Env(_) | Origin::Flag(_) => None,
    }
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |newline| newline + 1)
}
