//! The shape of a path: how many segments it has, and which of them the configuration itself names.
//!
//! A segment that stands literally in no configured template becomes `{}`, whatever it looks like:
//! the name of a patient is a plain word too. What is left holds nothing that a client chose.
//!
//! It reads no query and decodes nothing. Which path is canonical is decided in [`super::path`].

use std::collections::HashSet;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// The longest shape, in segments; one `{}` stands for all that is beyond.
const MAX_SEGMENTS: usize = 16;
/// The shape of every path in which no segment is known, and with the next `/` that of every such
/// path that ends in a slash: each is a beginning of this one.
const UNKNOWN: &str = "/{}/{}/{}/{}/{}/{}/{}/{}/{}/{}/{}/{}/{}/{}/{}/{}/{}";

/// The shape of a path. Only [`Words::shape`] makes one of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathShape(Text);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Text {
    Fixed(&'static str),
    Made(Arc<str>),
}

impl From<&'static str> for PathShape {
    /// A shape that stands in the program itself.
    fn from(text: &'static str) -> Self {
        Self(Text::Fixed(text))
    }
}

impl Deref for PathShape {
    type Target = str;

    fn deref(&self) -> &str {
        match &self.0 {
            Text::Fixed(text) => text,
            Text::Made(text) => text,
        }
    }
}

impl fmt::Display for PathShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

/// The segments that stand literally in the configured templates.
#[derive(Clone, Debug, Default)]
pub struct Words(HashSet<Box<str>>);

impl Words {
    /// The words of these templates. A segment with a parameter in it is none, nor is an empty one.
    pub fn of<'a>(templates: impl Iterator<Item = &'a str>) -> Self {
        let segments = templates.flat_map(|template| template.split('/'));
        let literal = segments.filter(|segment| !segment.is_empty() && !segment.contains('{'));
        Self(literal.map(Into::into).collect())
    }

    /// The shape of a path: words stay, any other segment becomes `{}`. The empty segment behind a
    /// last slash stays empty. Allocates only where the path has a word in it.
    pub fn shape(&self, path: &str) -> PathShape {
        let path = path.strip_prefix('/').unwrap_or(path);
        if self.0.is_empty() || !path.split('/').any(|segment| self.0.contains(segment)) {
            return PathShape(Text::Fixed(unknown(path)));
        }
        let mut shape = String::with_capacity(path.len().min(256));
        let mut segments = path.split('/').enumerate().peekable();
        while let Some((index, segment)) = segments.next() {
            shape.push('/');
            if index == MAX_SEGMENTS {
                shape.push_str("{}");
                break;
            }
            if segment.is_empty() && segments.peek().is_none() {
                break;
            }
            shape.push_str(if self.0.contains(segment) { segment } else { "{}" });
        }
        PathShape(Text::Made(shape.into()))
    }
}

/// The shape of a path without its first slash in which nothing is known.
fn unknown(path: &str) -> &'static str {
    let slashes = path.bytes().filter(|byte| *byte == b'/').count();
    if slashes >= MAX_SEGMENTS {
        return UNKNOWN;
    }
    let is_open = path.is_empty() || path.ends_with('/');
    // Three bytes a segment; a last slash has no segment behind it.
    let length = if is_open { 3 * slashes + 1 } else { 3 * (slashes + 1) };
    UNKNOWN.get(..length).unwrap_or(UNKNOWN)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words() -> Words {
        Words::of(["/api/patients/{id}/notes", "/files/{name}.json", "/static/{*rest}"].into_iter())
    }

    #[test]
    fn a_segment_stays_where_the_configuration_names_it_and_is_hidden_everywhere_else() {
        let shape = |path: &str| words().shape(path).to_string();
        assert_eq!(shape("/api/patients/4711/notes/x"), "/api/patients/{}/notes/{}");
        assert_eq!(shape("/patients/miller"), "/patients/{}");
        assert_eq!(shape("/API/v1"), "/{}/{}");
        assert_eq!(shape("/files/"), "/files/");
        assert_eq!(shape("/files/report.json"), "/files/{}");
        assert_eq!(shape("/id/rest/{id}"), "/{}/{}/{}");
    }

    #[test]
    fn without_a_word_only_the_number_of_segments_is_left() {
        let shape = |path: &str| Words::default().shape(path).to_string();
        assert_eq!(shape("/"), "/");
        assert_eq!(shape("/api"), "/{}");
        assert_eq!(shape("/api/"), "/{}/");
        assert_eq!(shape("/a%20b/patients"), "/{}/{}");
        assert_eq!(shape("*"), "/{}");
        assert_eq!(shape(&"/a".repeat(16)), "/{}".repeat(16));
        assert_eq!(shape(&"/a".repeat(17)), "/{}".repeat(17));
        assert_eq!(shape(&"/a".repeat(900)), "/{}".repeat(17));
    }

    proptest! {
        #[test]
        fn a_shape_is_the_same_whether_it_was_made_or_found(path in "(/[a-z]{0,3}){1,20}/?") {
            // A word that is in no path sends every path the long way round.
            let none = Words::default().shape(&path).to_string();
            let long = Words::of(["/known"].into_iter()).shape(&format!("/known{path}")).to_string();
            let cut = "/{}".repeat(MAX_SEGMENTS + 1);
            let expected = format!("/known{none}");
            let expected = if expected.matches('/').count() > MAX_SEGMENTS {
                format!("/known{}", &cut[3..])
            } else {
                expected
            };
            prop_assert_eq!(long, expected);
        }
    }
}
