//! Facts that stand beside the bodies: in the path, and in the header fields of an answer.
//!
//! A parameter of the path counts as what its escapes stand for. Of several lines of one header field
//! the last one counts, as of a member that is there twice.

use http::{HeaderMap, HeaderName};

use super::Compiled;
use crate::config::model::{Capture, Place};
use crate::http::path;
use crate::http::template::Template;
use crate::record::{ConfigName, Fact, PseudonymKey};

/// Captures of a path's parameters.
#[derive(Clone, Debug)]
pub struct PathFacts(Box<[(Box<str>, Compiled)]>);

impl PathFacts {
    /// Compiles those of a route's captures that are of its path; `None` where there are none.
    pub fn compile<'a>(
        captures: impl IntoIterator<Item = &'a Capture>,
        key: &PseudonymKey,
    ) -> Option<Self> {
        let compile = |capture: &Capture| match &capture.place {
            Place::Path(name) => Some((name.clone(), Compiled::new(capture, key))),
            _ => None,
        };
        let compiled: Box<[_]> = captures.into_iter().filter_map(compile).collect();
        Some(compiled).filter(|compiled| !compiled.is_empty()).map(Self)
    }

    /// The facts of a canonical path that matches this template, and the captures that its values are
    /// not fit for.
    pub fn read(&self, template: &Template, path: &str) -> (Vec<Fact>, Vec<ConfigName>) {
        let parameters = template.params(path);
        let (mut facts, mut unfit) = (Vec::new(), Vec::new());
        for (name, capture) in &self.0 {
            let parameter = parameters.iter().find(|(parameter, _)| **parameter == **name);
            let Some((_, value)) = parameter else { continue };
            match capture.taking.bytes(&path::unescaped(value)) {
                Some(value) => facts.push(capture.fact(value)),
                None => unfit.push(capture.name.clone()),
            }
        }
        (facts, unfit)
    }
}

/// Captures of an answer's header fields.
#[derive(Clone, Debug)]
pub struct HeaderFacts(Box<[(HeaderName, Compiled)]>);

impl HeaderFacts {
    /// Compiles those of a route's captures that are of its answers' header fields; `None` where there
    /// are none.
    pub fn compile<'a>(
        captures: impl IntoIterator<Item = &'a Capture>,
        key: &PseudonymKey,
    ) -> Option<Self> {
        let compile = |capture: &Capture| match &capture.place {
            Place::ResponseHeader(name) => {
                let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
                Some((name, Compiled::new(capture, key)))
            }
            _ => None,
        };
        let compiled: Box<[_]> = captures.into_iter().filter_map(compile).collect();
        Some(compiled).filter(|compiled| !compiled.is_empty()).map(Self)
    }

    /// The facts of these fields. One that is not there, or is empty, gives none.
    pub fn read<'a>(&'a self, headers: &'a HeaderMap) -> impl Iterator<Item = Fact> + 'a {
        self.0.iter().filter_map(|(name, capture)| {
            let value = headers.get_all(name).iter().next_back()?;
            let value = Some(value.as_bytes()).filter(|value| !value.is_empty())?;
            capture.taking.bytes(value).map(|value| capture.fact(value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::Take;
    use crate::record::Value;

    fn key() -> PseudonymKey {
        PseudonymKey::from_bytes(b"a key")
    }

    fn capture(name: &'static str, place: Place, take: Take) -> Capture {
        Capture { name: name.into(), place, take, metric: false }
    }

    fn path_facts(take: Take, path: &str) -> Vec<Value> {
        let capture = capture("id", Place::Path("id".into()), take);
        let template = Template::parse("/a/{id}/{*rest}").unwrap();
        let facts = PathFacts::compile([&capture], &key()).unwrap();
        facts.read(&template, path).0.into_iter().map(|fact| fact.value).collect()
    }

    #[test]
    fn a_parameter_counts_as_what_its_escapes_stand_for() {
        let hmac = Value::Pseudonym(key().pseudonym("é!".as_bytes()));
        assert_eq!(path_facts(Take::Hmac, "/a/%C3%A9!/x"), [hmac]);
        assert_eq!(path_facts(Take::Length, "/a/%F0%9F%98%80/x"), [Value::Length(2)]);
        let listed = Take::Value(vec!["a b".into()]);
        assert_eq!(path_facts(listed.clone(), "/a/a%20b/"), [Value::Member("a b".into())]);
        assert_eq!(path_facts(listed, "/a/%FF/"), [Value::Member("_other".into())]);
    }

    #[test]
    fn only_plain_digits_are_a_number() {
        assert_eq!(path_facts(Take::Number, "/a/0042/"), [Value::Number(42)]);
        let vast = path_facts(Take::Number, "/a/99999999999999999999/");
        assert_eq!(vast, [Value::Number(u64::MAX)], "no number is small for being too large");
        for path in ["/a/+42/", "/a/-1/", "/a/4x/", "/a/%FF/"] {
            assert_eq!(path_facts(Take::Number, path), [], "{path}");
        }
        assert_eq!(path_facts(Take::Length, "/a/%FF/"), [], "no text has no length");
        assert_eq!(path_facts(Take::Length, "/b"), [], "nor has a path of another route");
    }

    #[test]
    fn of_several_lines_of_a_field_the_last_counts() {
        let place = || Place::ResponseHeader("x-model".into());
        let listed = Take::Value(vec!["small".into(), "large".into()]);
        let captures = [capture("model", place(), listed), capture("size", place(), Take::Length)];
        let facts = HeaderFacts::compile(&captures, &key()).unwrap();
        let mut headers = HeaderMap::new();
        assert_eq!(facts.read(&headers).count(), 0);
        for line in ["large", "small"] {
            headers.append("x-model", line.parse().unwrap());
        }
        let found: Vec<_> = facts.read(&headers).map(|fact| fact.value).collect();
        assert_eq!(found, [Value::Member("small".into()), Value::Length(5)]);
        headers.insert("x-model", "".parse().unwrap());
        assert_eq!(facts.read(&headers).count(), 0);
    }
}
