//! Values that are valid, and look as if something would expand them: `$NAME` without braces, `~` before a
//! directory.
//!
//! Each is a notice that names the key and not the value. What is refused anyway has its hint in its error.

use crate::config::env::Outside;
use crate::config::raw::{Table, Value};
use crate::config::slips;

/// Looks at every value.
pub(super) fn note(root: &Table, outside: &mut Outside) {
    below("", root, outside);
}

/// The parser bounds how deep a file can go.
fn below(path: &str, table: &Table, outside: &mut Outside) {
    for (key, entry) in &table.0 {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        value(&path, key == "directory", &entry.node.value, outside);
    }
}

fn value(path: &str, is_directory: bool, value: &Value, outside: &mut Outside) {
    match value {
        Value::Table(table) => below(path, table, outside),
        Value::List(list) => {
            for node in list {
                self::value(path, is_directory, &node.value, outside);
            }
        }
        Value::Text(text) if is_directory || slips::names_variable(text) => {
            if let Some(help) = slips::unexpanded(text) {
                outside.note(format!("`{path}` is taken as it is written: {help}."));
            }
        }
        _ => {}
    }
}
