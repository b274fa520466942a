//! Names with a dot in them that were written without quotes: `[captures.gen_ai.model]`.
//!
//! TOML reads a table in a table there, of which no key would be known. It is told once, and read as what
//! was meant, so that whatever else is wrong with it, and who refers to it, is told rightly.

use super::error::{Problem, Problems};
use super::keys::children;
use super::raw::{Entry, Node, Table, Value};

/// The tables whose names the operator chooses.
const NAMED: [&str; 2] = ["captures", "rate_limits"];

/// Moves each such table to the name that was meant.
pub(super) fn mend(root: &mut Table, problems: &Problems) {
    for kind in NAMED {
        let Some(Entry { node: Node { value: Value::Table(named), .. }, .. }) =
            root.0.get_mut(kind)
        else {
            continue;
        };
        let mut found = Vec::new();
        named.0.retain(|name, entry| !is_emptied(kind, name, entry, &mut found));
        for (name, entry) in found {
            let (before, after) = name.rsplit_once('.').unwrap_or_default();
            let title = format!("the name `{name}` needs quotes");
            let label = format!("this is a table `{after}` in `{before}`");
            let help = format!("write `[{kind}.\"{name}\"]`");
            problems.push(Problem::at(&entry.key, title).label(label).help(help));
            named.0.entry(name).or_insert(entry);
        }
    }
}

/// Takes the tables out of a named one that are no keys of it. Whether there was nothing else in it.
fn is_emptied(kind: &str, name: &str, entry: &mut Entry, found: &mut Vec<(String, Entry)>) -> bool {
    let Value::Table(table) = &mut entry.node.value else { return false };
    let known = children(&format!("{kind}.*"));
    let is_name = |key: &str, entry: &Entry| {
        !known.contains(key) && matches!(entry.node.value, Value::Table(_))
    };
    let keys: Vec<_> = table
        .0
        .iter()
        .filter(|(key, entry)| is_name(key, entry))
        .map(|(key, _)| key.clone())
        .collect();
    for key in &keys {
        let Some(mut inner) = table.0.remove(key) else { continue };
        let name = format!("{name}.{key}");
        if !is_emptied(kind, &name, &mut inner, found) {
            found.push((name, inner));
        }
    }
    !keys.is_empty() && table.0.is_empty()
}
