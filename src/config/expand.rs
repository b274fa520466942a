//! `${VAR}` and `${VAR:-default}` inside the strings of the file.
//!
//! `$${` stands for a literal `${`. An expanded value is not expanded again, and no error repeats
//! one.

use std::collections::BTreeMap;

use super::error::{Origin, Problem};

/// Why a string could not be expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ExpandError {
    /// The variable is unset, and there is no default.
    Unset(String),
    /// The variable is set, but to nothing, and there is no default.
    Empty(String),
    /// `${` without `}`, or without a variable's name.
    Malformed,
}

impl ExpandError {
    /// The error as the operator sees it.
    pub(crate) fn problem(&self, origin: &Origin) -> Problem {
        match self {
            Self::Unset(name) => {
                Problem::at(origin, format!("the environment variable `{name}` is not set"))
                    .label("used here, without a default")
                    .help(format!("set it, or give a default: `${{{name}:-…}}`"))
            }
            Self::Empty(name) => {
                let title = format!("the environment variable `{name}` is set, but empty");
                Problem::at(origin, title)
                    .label("used here, without a default")
                    .help(format!("give it a value, or give a default: `${{{name}:-…}}`"))
            }
            Self::Malformed => Problem::at(origin, "a `${` is not followed by `NAME}`")
                .label("expected `${NAME}` or `${NAME:-default}`")
                .help("write `$${` for a literal `${`"),
        }
    }
}

/// Expands every variable in `text`. An empty variable has no value: a default takes its place.
pub(crate) fn expand(text: &str, env: &BTreeMap<String, String>) -> Result<String, ExpandError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if let Some(before) = rest[..at].strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        out.push_str(&rest[..at]);
        let (inside, after) = rest[at + 2..].split_once('}').ok_or(ExpandError::Malformed)?;
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        if !is_name(name) {
            return Err(ExpandError::Malformed);
        }
        match (env.get(name).map(String::as_str), default) {
            (Some(value), _) if !value.is_empty() => out.push_str(value),
            (_, Some(default)) => out.push_str(default),
            (Some(_), None) => return Err(ExpandError::Empty(name.to_owned())),
            (None, None) => return Err(ExpandError::Unset(name.to_owned())),
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> Result<String, ExpandError> {
        let env = [("HOST", "example"), ("EMPTY", ""), ("NESTED", "${HOST}")];
        expand(text, &env.map(|(k, v)| (k.to_owned(), v.to_owned())).into())
    }

    #[test]
    fn variables_and_defaults_are_put_in() {
        assert_eq!(expanded("http://${HOST}:3000").unwrap(), "http://example:3000");
        assert_eq!(expanded("${PORT:-3000}${HOST:-x}").unwrap(), "3000example");
        assert_eq!(expanded("${EMPTY:-used}${PORT:-}").unwrap(), "used");
        assert_eq!(expanded("no $ and no {}").unwrap(), "no $ and no {}");
    }

    #[test]
    fn a_doubled_dollar_is_literal_and_values_are_not_expanded_again() {
        assert_eq!(expanded("$${HOST}").unwrap(), "${HOST}");
        assert_eq!(expanded("${NESTED}").unwrap(), "${HOST}");
    }

    #[test]
    fn an_unset_or_empty_variable_without_a_default_is_named() {
        assert_eq!(expanded("${PORT}"), Err(ExpandError::Unset("PORT".to_owned())));
        assert_eq!(expanded("${EMPTY}"), Err(ExpandError::Empty("EMPTY".to_owned())));
        assert_eq!(expanded("${HOST"), Err(ExpandError::Malformed));
        assert_eq!(expanded("${}"), Err(ExpandError::Malformed));
        assert_eq!(expanded("${A B}"), Err(ExpandError::Malformed));
    }
}
