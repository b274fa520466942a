//! A file in another language: YAML or JSON, told as one thing and not as a broken line of TOML for each of
//! its own.
//!
//! It only looks at the first line that says something, and only of a file that is no TOML.

use super::error::{Origin, Problem, Problems};

/// The problem with a file that looks like another language.
pub(super) fn problem(text: &str, problems: &Problems) -> Option<Problem> {
    let mut start = 0;
    let line = text.split_inclusive('\n').find(|line| {
        let is_silent = line.trim().is_empty() || line.trim_start().starts_with('#');
        start += if is_silent { line.len() } else { 0 };
        !is_silent
    })?;
    let line = line.trim_end();
    let key = line.split(':').next().unwrap_or_default();
    let is_key =
        !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
    let after = line.get(key.len()..).unwrap_or_default();
    let (language, shown) = if line.starts_with('{') {
        ("JSON", 1)
    } else if line == "---" {
        ("YAML", line.len())
    } else if is_key && (after == ":" || after.starts_with(": ")) {
        ("YAML", key.len() + 1)
    } else {
        return None;
    };
    // What follows may be a secret; nothing has read it.
    problems.mask(&Origin::File(start + shown..start + line.len()));
    let place = Origin::File(start..start + shown);
    let problem = Problem::at(&place, format!("the configuration looks like {language}"));
    let help = "write, for example, `upstream.url = \"http://127.0.0.1:3000\"`";
    Some(problem.label("expected TOML").help(help))
}
