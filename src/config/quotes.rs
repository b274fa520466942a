//! A string whose quotes TOML does not know: typographic ones, and none around a `$NAME`.
//!
//! It only words what the parser has refused already, and repeats nothing of it.

use std::ops::Range;

use super::error::{Origin, Problem};

/// What word processors make of `"` and `'`, and what other languages quote with.
const TYPOGRAPHIC: [char; 12] = [
    '\u{201c}', '\u{201d}', '\u{201e}', '\u{201f}', '\u{2018}', '\u{2019}', '\u{201a}', '\u{201b}',
    '\u{ab}', '\u{bb}', '`', '\u{b4}',
];

/// The problem with what the parser refuses at these bytes, in these words.
pub(super) fn problem(text: &str, at: &Range<usize>, message: &str) -> Problem {
    let (before, after) = around(text, at.start);
    if after.starts_with(TYPOGRAPHIC) || before.ends_with(TYPOGRAPHIC) {
        let title = "typographic quotes do not make a string";
        let problem = Problem::at(&Origin::File(at.clone()), title).label("expected `\"` or `'`");
        return problem
            .help("write straight quotes: `\"…\"`; an editor for text may have bent them");
    }
    let problem = Problem::at(&Origin::File(at.clone()), message);
    if after.starts_with('$') && before.trim_end().ends_with(['=', '[', ',']) {
        return problem.help("write a variable in quotes and with braces: `\"${NAME}\"`");
    }
    problem
}

/// What is before this place in its line, and what from it on.
fn around(text: &str, at: usize) -> (&str, &str) {
    let (before, after) = text.split_at(text.floor_char_boundary(at));
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (&before[start..], after.split('\n').next().unwrap_or_default())
}
