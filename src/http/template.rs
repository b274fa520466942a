//! Path templates as the `OpenAPI` specification writes them, in tables where the first match wins.
//!
//! `{name}` stands for one segment that is not empty (it may have a literal before and after it),
//! a final `{*name}` for the rest of the path, which may be empty. Literals match byte for byte:
//! templates and paths both have to be canonical (see [`super::path`]).
//!
//! It decides nothing about requests, and a `GET` entry does not stand for `HEAD`.

use std::collections::HashSet;

use hashbrown::HashMap;
use thiserror::Error;

use super::path;

/// A parsed path template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    source: Box<str>,
    /// What every matching path begins with; most paths are told apart by it alone.
    prefix: Box<str>,
    /// What follows the prefix; empty in a literal template.
    parts: Vec<Part>,
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(Box<str>),
    /// Up to the next slash, and at least one byte.
    Segment(Box<str>),
    Rest(Box<str>),
}

/// Why a text is not a template.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TemplateError {
    /// It is no canonical path, so it would never match; the text says what would.
    #[error("`{0}` can never match: {1}")]
    NotCanonical(Box<str>, Box<str>),
    /// A brace without its partner, or a parameter without a name.
    #[error("a parameter is written `{{name}}`, or `{{*name}}` at the end")]
    BadParameter,
    /// Two parameters in one segment, or something after `{*name}`.
    #[error("a segment holds at most one parameter, and `{{*name}}` is the end of a template")]
    Ambiguous,
    /// The same name twice.
    #[error("the parameter `{0}` is there twice")]
    Repeated(Box<str>),
}

impl Template {
    /// Parses a template such as `/api/users/{id}`, `/static/{*rest}` or `/`.
    pub fn parse(source: &str) -> Result<Self, TemplateError> {
        match path::canonical(source) {
            Ok(canonical) if canonical == source => {}
            Ok(canonical) => {
                let hint = format!("write `{canonical}`").into();
                return Err(TemplateError::NotCanonical(source.into(), hint));
            }
            Err(error) => {
                return Err(TemplateError::NotCanonical(source.into(), error.to_string().into()));
            }
        }
        let mut parts = split(source)?;
        let mut names = HashSet::new();
        for part in &parts {
            if let Part::Segment(name) | Part::Rest(name) = part
                && !names.insert(&**name)
            {
                return Err(TemplateError::Repeated(name.clone()));
            }
        }
        let prefix = match parts.first() {
            Some(Part::Literal(literal)) => literal.clone(),
            _ => Box::default(),
        };
        if !prefix.is_empty() {
            parts.remove(0);
        }
        Ok(Self { source: source.into(), prefix, parts })
    }

    /// Whether `path`, which has to be canonical, is one of those it stands for.
    pub fn matches(&self, path: &str) -> bool {
        self.walk(path, |_, _| {})
    }

    /// The parameters of a matching path, in order and still escaped. Empty for one that does not
    /// match.
    pub fn params<'t, 'p>(&'t self, path: &'p str) -> Vec<(&'t str, &'p str)> {
        let mut params = Vec::new();
        if !self.walk(path, |name, value| params.push((name, value))) {
            params.clear();
        }
        params
    }

    /// The template as it was written.
    pub fn as_str(&self) -> &str {
        &self.source
    }

    fn is_literal(&self) -> bool {
        self.parts.is_empty()
    }

    fn walk<'t, 'p>(&'t self, path: &'p str, mut found: impl FnMut(&'t str, &'p str)) -> bool {
        let Some(mut left) = path.strip_prefix(&*self.prefix) else { return false };
        let mut parts = self.parts.iter().peekable();
        while let Some(part) = parts.next() {
            match part {
                Part::Literal(literal) => match left.strip_prefix(&**literal) {
                    Some(rest) => left = rest,
                    None => return false,
                },
                Part::Segment(name) => {
                    let end = memchr::memchr(b'/', left.as_bytes()).unwrap_or(left.len());
                    // A literal ending within this segment belongs to the segment's end.
                    let tail = match parts.peek() {
                        Some(Part::Literal(next)) => next.split('/').next().unwrap_or(""),
                        _ => "",
                    };
                    let Some(value) = left[..end].strip_suffix(tail) else { return false };
                    if value.is_empty() {
                        return false;
                    }
                    found(name, value);
                    left = &left[value.len()..];
                }
                Part::Rest(name) => {
                    found(name, left);
                    left = "";
                }
            }
        }
        left.is_empty()
    }
}

fn split(source: &str) -> Result<Vec<Part>, TemplateError> {
    let mut parts = Vec::new();
    let mut left = source;
    while !left.is_empty() {
        if matches!(parts.last(), Some(Part::Rest(_))) {
            return Err(TemplateError::Ambiguous);
        }
        let open = left.find(['{', '}']).unwrap_or(left.len());
        let (literal, rest) = left.split_at(open);
        let has_parameter = matches!(parts.last(), Some(Part::Segment(_)));
        if has_parameter && !literal.contains('/') && !rest.is_empty() {
            return Err(TemplateError::Ambiguous);
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal.into()));
        }
        if rest.is_empty() {
            break;
        }
        let inside = rest.strip_prefix('{').ok_or(TemplateError::BadParameter)?;
        let (name, after) = inside.split_once('}').ok_or(TemplateError::BadParameter)?;
        let (name, is_rest) = name.strip_prefix('*').map_or((name, false), |name| (name, true));
        if name.is_empty() || name.contains(['{', '*', '/']) {
            return Err(TemplateError::BadParameter);
        }
        if is_rest && !literal.ends_with('/') {
            return Err(TemplateError::Ambiguous);
        }
        parts.push(if is_rest { Part::Rest(name.into()) } else { Part::Segment(name.into()) });
        left = after;
    }
    Ok(parts)
}

/// Templates with their methods. The first entry that matches wins.
#[derive(Clone, Debug, Default)]
pub struct Table {
    entries: Vec<(Option<http::Method>, Template)>,
    /// Entries without parameters by their path, in order.
    literals: HashMap<Box<str>, Vec<usize>>,
    /// All other entries, in order.
    patterns: Vec<usize>,
}

impl Table {
    /// Makes a table; `None` stands for every method.
    pub fn new(entries: Vec<(Option<http::Method>, Template)>) -> Self {
        let mut literals: HashMap<Box<str>, Vec<usize>> = HashMap::new();
        let mut patterns = Vec::new();
        for (index, (_, template)) in entries.iter().enumerate() {
            if template.is_literal() {
                literals.entry(template.source.clone()).or_default().push(index);
            } else {
                patterns.push(index);
            }
        }
        Self { entries, literals, patterns }
    }

    /// The place of the first entry that matches. Literal entries cost one look-up together, each
    /// pattern before the answer one comparison.
    pub fn find(&self, method: &http::Method, path: &str) -> Option<usize> {
        let accepts = |index: &usize| {
            self.entries[*index].0.as_ref().is_none_or(|accepted| accepted == method)
        };
        let literal =
            self.literals.get(path).and_then(|found| found.iter().copied().find(|i| accepts(i)));
        self.patterns
            .iter()
            .copied()
            .take_while(|index| literal.is_none_or(|literal| *index < literal))
            .find(|index| accepts(index) && self.entries[*index].1.matches(path))
            .or(literal)
    }

    /// The places of all entries that match a path, whatever their method. They are compared one by
    /// one: this is for what nobody knows.
    pub fn all<'t>(&'t self, path: &'t str) -> impl Iterator<Item = usize> + 't {
        let entries = self.entries.iter().enumerate();
        entries.filter(move |(_, (_, template))| template.matches(path)).map(|(index, _)| index)
    }

    /// The method at a place; `None` where any will do.
    pub fn method(&self, index: usize) -> Option<&http::Method> {
        self.entries.get(index).and_then(|(method, _)| method.as_ref())
    }

    /// The template at a place that [`Self::find`] gave.
    pub fn template(&self, index: usize) -> Option<&Template> {
        self.entries.get(index).map(|(_, template)| template)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn template(source: &str) -> Template {
        Template::parse(source).unwrap()
    }

    #[test]
    fn a_parameter_is_one_segment() {
        let users = template("/api/users/{id}/notes/{note}");
        assert!(users.matches("/api/users/7/notes/x.y"));
        assert_eq!(users.params("/api/users/7/notes/8"), [("id", "7"), ("note", "8")]);
        for other in ["/api/users//notes/8", "/api/users/7/8/notes/9", "/api/users/7/notes/8/"] {
            assert!(!users.matches(other), "{other}");
            assert_eq!(users.params(other), []);
        }
    }

    #[test]
    fn the_rest_may_be_empty_but_its_slash_is_needed() {
        let files = template("/static/{*rest}");
        assert_eq!(files.params("/static/a/b.css"), [("rest", "a/b.css")]);
        assert_eq!(files.params("/static/"), [("rest", "")]);
        assert!(!files.matches("/static"));
        assert!(template("/{*rest}").matches("/"));
    }

    #[test]
    fn a_parameter_may_have_literals_around_it() {
        let report = template("/reports/v{id}.json");
        assert_eq!(report.params("/reports/v7.json"), [("id", "7")]);
        assert_eq!(report.params("/reports/v7.json.json"), [("id", "7.json")]);
        assert!(!report.matches("/reports/v.json"));
        assert!(template("/a/{id}:cancel/b").matches("/a/7:cancel/b"));
    }

    #[test]
    fn what_could_never_match_or_could_match_twice_is_refused() {
        let not_canonical = |s| matches!(Template::parse(s), Err(TemplateError::NotCanonical(..)));
        assert!(["", "api", "/a//b", "/a/../b", "/%61", "/a%2Fb"].into_iter().all(not_canonical));
        for bad in ["/{", "/}", "/{}", "/{*}", "/{a", "/{{a}}", "/{a/b}"] {
            assert_eq!(Template::parse(bad), Err(TemplateError::BadParameter), "{bad}");
        }
        for bad in ["/{a}{b}", "/{a}-{b}", "/{*a}/b", "/{*a}b", "/x{*a}", "/{a}{*b}"] {
            assert_eq!(Template::parse(bad), Err(TemplateError::Ambiguous), "{bad}");
        }
        assert_eq!(Template::parse("/{a}/{a}"), Err(TemplateError::Repeated("a".into())));
    }

    #[test]
    fn the_first_match_wins_even_before_a_literal() {
        let table = Table::new(vec![
            (Some(http::Method::POST), template("/a/{x}")),
            (None, template("/a/b")),
            (None, template("/a/{*rest}")),
        ]);
        assert_eq!(table.find(&http::Method::POST, "/a/b"), Some(0));
        assert_eq!(table.find(&http::Method::GET, "/a/b"), Some(1));
        assert_eq!(table.find(&http::Method::GET, "/a/c"), Some(2));
        assert_eq!(table.find(&http::Method::GET, "/c"), None);
    }

    fn entries() -> impl Strategy<Value = Vec<(Option<http::Method>, Template)>> {
        let method = prop_oneof![Just(None), Just(Some(http::Method::GET))];
        let source = "(/(a|b|\\{x\\}|a\\{x\\}|\\{x\\}b)){0,1}(/(a|b|\\{y\\}|\\{\\*z\\})?)";
        let entry = (method, source.prop_map(|source| Template::parse(&source).unwrap()));
        proptest::collection::vec(entry, 0..8)
    }

    proptest! {
        #[test]
        fn finding_equals_a_naive_search(entries in entries(), path in "(/(a|b|ab|aab)){0,3}/?") {
            let naive = entries.iter().position(|(method, template)| {
                method.as_ref().is_none_or(|m| m == http::Method::POST) && template.matches(&path)
            });
            prop_assert_eq!(Table::new(entries).find(&http::Method::POST, &path), naive);
        }

        #[test]
        fn parameters_put_back_make_the_path_again(entries in entries(), path in "(/(a|b|ab|aab)){1,3}/?") {
            for (_, template) in entries.iter().filter(|(_, template)| template.matches(&path)) {
                let mut filled = template.as_str().replace("{*", "{");
                for (name, value) in template.params(&path) {
                    filled = filled.replace(&format!("{{{name}}}"), value);
                }
                prop_assert_eq!(&filled, &path);
            }
        }
    }
}
