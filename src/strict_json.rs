//! JSON from strangers: one value, every member once, nested only so deep.
//!
//! A member that is there twice is refused at every depth: the next reader might take the other one
//! (RFC 7515 §4 and RFC 7519 §4 let it, for tokens). The bound on depth is asked before anything is
//! built, so that no later walk needs one.
//!
//! It knows no schema, and repeats nothing of a text but a member's name.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

/// Why a text is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unread {
    /// It is not JSON, or holds a number that no float can hold.
    Syntax {
        /// Counted from one.
        line: usize,
        /// In our words or those of the reader; it repeats nothing but a member's name.
        what: String,
    },
    /// It is nested too deeply.
    Depth,
    /// A member is there twice.
    Twice {
        /// Counted from one.
        line: usize,
    },
}

/// Reads a whole text as one object, as deep as the reader can go. `None` for everything else.
pub fn object(text: &[u8]) -> Option<Map<String, Value>> {
    match read(text, usize::MAX) {
        Ok(Value::Object(members)) => Some(members),
        _ => None,
    }
}

/// Reads a whole text as one value of at most `depth` levels; an empty object is one.
pub fn read(text: &[u8], depth: usize) -> Result<Value, Unread> {
    let mut state = State { depth, trouble: None };
    let mut json = serde_json::Deserializer::from_slice(text);
    let value = Level(&mut state).deserialize(&mut json);
    let value = value.and_then(|value| json.end().map(|()| value));
    value.map_err(|error| match state.trouble {
        Some(Trouble::Depth) => Unread::Depth,
        Some(Trouble::Twice) => Unread::Twice { line: error.line() },
        // The reader's own bound is 128 levels.
        None => Unread::Syntax { line: error.line(), what: error.to_string() },
    })
}

struct State {
    depth: usize,
    trouble: Option<Trouble>,
}

#[derive(Clone, Copy)]
enum Trouble {
    Depth,
    Twice,
}

/// The next value, with so many levels left.
struct Level<'s>(&'s mut State);

impl Level<'_> {
    /// Goes one level down.
    fn descend<E: serde::de::Error>(&mut self) -> Result<(), E> {
        if self.0.depth == 0 {
            self.0.trouble = Some(Trouble::Depth);
            return Err(E::custom("nested too deeply"));
        }
        self.0.depth -= 1;
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Level<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<Value, A::Error> {
        self.descend()?;
        let mut list = Vec::new();
        while let Some(value) = seq.next_element_seed(Level(self.0))? {
            list.push(value);
        }
        self.0.depth += 1;
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Value, A::Error> {
        self.descend()?;
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            let Entry::Vacant(place) = members.entry(name) else {
                self.0.trouble = Some(Trouble::Twice);
                return Err(A::Error::custom("a member is there twice"));
            };
            place.insert(map.next_value_seed(Level(self.0))?);
        }
        self.0.depth += 1;
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_read_is_what_serde_json_reads() {
        for text in ["null", " [1, -2, 3.5, true, \"\\u00e9\"] ", "{\"a\":{\"b\":[]}}", "1e3"] {
            let plain: Value = serde_json::from_str(text).unwrap();
            assert_eq!(read(text.as_bytes(), 3), Ok(plain), "{text}");
        }
    }

    #[test]
    fn a_member_that_is_there_twice_is_refused() {
        let text = b"{\"a\": 1,\n \"\\u0061\": 2}";
        assert_eq!(read(text, 8), Err(Unread::Twice { line: 2 }));
        assert!(read(b"[{\"a\":1},{\"a\":2}]", 8).is_ok());
    }

    #[test]
    fn it_is_refused_at_every_depth_and_in_every_spelling() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"x":{"a":1,"a":2}}"#,
            r#"{"x":[{"a":1,"a":2}]}"#,
        ] {
            assert_eq!(object(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn an_object_is_read_as_it_is_and_nothing_else_is_one() {
        let text = br#"{"a":1,"b":[true,null,-2,1.5,"x\u0000"],"c":{"a":{}}}"#;
        let plain = serde_json::json!({"a":1,"b":[true,null,-2,1.5,"x\u{0}"],"c":{"a":{}}});
        assert_eq!(object(text).map(Value::Object), Some(plain));
        let deep = "[".repeat(10_000);
        for text in ["", "[]", "\"a\"", "1", "null", "{} {}", "{}x", "{\"a\":}", "{'a':1}", &deep] {
            assert_eq!(object(text.as_bytes()), None);
        }
        assert_eq!(object(b"{\"a\":\"\xff\"}"), None, "not UTF-8");
        assert_eq!(object(b"\xef\xbb\xbf{}"), None, "a byte order mark");
    }

    #[test]
    fn the_depth_is_counted_in_levels() {
        assert!(read(b"[[{}],[{}]]", 3).is_ok());
        assert_eq!(read(b"[[{}],[{}]]", 2), Err(Unread::Depth));
        let deep = [b"[".repeat(5000), b"]".repeat(5000)].concat();
        assert_eq!(read(&deep, 64), Err(Unread::Depth));
    }

    #[test]
    fn what_is_not_json_is_told_apart() {
        for text in ["", "{", "[1,]", "1 2", "1e999", "\"\\ud800\"", "{'a':1}", "\u{feff}1"] {
            let unread = read(text.as_bytes(), 8);
            assert!(matches!(unread, Err(Unread::Syntax { .. })), "{text}: {unread:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(text in "[\\[\\]{}\",:0-9a-z\\\\ ]{0,64}") {
            if let Ok(value) = read(text.as_bytes(), 8) {
                prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
            }
        }
    }
}
