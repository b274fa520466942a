//! One look at a text that tells whether a pointer can lead anywhere in it.
//!
//! A stream's events are many and short, and most hold nothing that was asked for: a search for the
//! pointers' member names spares them the walk. It errs on one side only: a text it waves through may
//! still hold nothing; one it turns away holds none of the places.

use memchr::memmem::Finder;

use super::member_name;

/// What to look for.
#[derive(Clone, Debug)]
pub(super) struct Glance {
    /// The last member name of each pointer, in its quotes; `None` where one has no such name.
    names: Option<Box<[Finder<'static>]>>,
}

impl Glance {
    /// A glance for what these pointers lead to.
    pub(super) fn for_pointers<'a>(pointers: impl Iterator<Item = &'a str>) -> Self {
        let finder = |name: String| Finder::new(name.as_bytes()).into_owned();
        Self { names: pointers.map(|pointer| last_name(pointer).map(finder)).collect() }
    }

    /// Whether one of the places may be in this text. An escape could spell any name.
    pub(super) fn may_be_in(&self, text: &[u8]) -> bool {
        let Some(names) = &self.names else { return true };
        names.iter().any(|name| name.find(text).is_some())
            || memchr::memmem::find(text, b"\\u").is_some()
    }
}

/// The last token that can only be a member's name (a number may be an index), as JSON writes it
/// where it does not use `\u`. `None` where there is none, or JSON may write it in two ways.
fn last_name(pointer: &str) -> Option<String> {
    let is_index = |token: &&str| token.bytes().all(|byte| byte.is_ascii_digit());
    let token = pointer.split('/').skip(1).filter(|token| !is_index(token)).last()?;
    let name = member_name(token);
    let is_plain = |c: char| !c.is_control() && !matches!(c, '"' | '\\' | '/');
    name.chars().all(is_plain).then(|| format!("\"{name}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_cannot_hold_the_place_is_turned_away() {
        let glance = Glance::for_pointers(["/usage/input", "/list/0"].into_iter());
        for text in [r#"{"usage":{"input" : 1}}"#, r#"{"list":[1]}"#, r#"{"us\u0061ge":1}"#] {
            assert!(glance.may_be_in(text.as_bytes()), "{text}");
        }
        for text in ["", r#"{"text":"input list"}"#, r#"{"inputs":1}"#] {
            assert!(!glance.may_be_in(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn a_name_that_json_can_write_in_two_ways_turns_nothing_away() {
        for pointer in ["", "/0/1", "/a~1b", "/a\"b", "/a\\b"] {
            assert!(Glance::for_pointers([pointer].into_iter()).may_be_in(b"{}"), "{pointer}");
        }
        assert!(!Glance::for_pointers(["/m~0n"].into_iter()).may_be_in(b"{}"));
    }
}
