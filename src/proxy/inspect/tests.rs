//! What is read out of a body, and what is not.

use proptest::prelude::*;

use super::*;
use crate::config::model::Take;

fn capture(name: &'static str, pointer: &str, values: Option<&[&'static str]>) -> Capture {
    let take = match values {
        Some(values) => Take::Value(values.iter().map(|value| (*value).into()).collect()),
        None => Take::Length,
    };
    let place = Place::RequestBody(pointer.into());
    Capture { name: name.into(), place, take, metric: false }
}

fn number(name: &'static str, pointer: &str) -> Capture {
    Capture { take: Take::Number, ..capture(name, pointer, None) }
}

fn compile(captures: &[Capture]) -> Captures {
    Captures::compile(captures, &PseudonymKey::from_bytes(b"key"))
}

fn orchestration() -> Captures {
    compile(&[
        capture("mode", "/mode", Some(&["autonomous", "rag_query"])),
        capture("length", "/query", None),
    ])
}

/// The facts of a body as `name=value`.
fn facts(captures: &Captures, body: &str) -> Vec<String> {
    let facts = captures.read(body.as_bytes()).unwrap().facts;
    let show = |fact: &Fact| match &fact.value {
        Value::Member(member) => format!("{}={member}", fact.name),
        Value::Length(count) | Value::Number(count) => format!("{}={count}", fact.name),
        Value::Pseudonym(name) => format!("{}={name}", fact.name),
    };
    facts.iter().map(show).collect()
}

#[test]
fn listed_values_and_lengths_leave_in_the_order_of_the_captures() {
    let body = r#"{"query":"What is new?","user":{"mode":"x"},"mode":"autonomous"}"#;
    assert_eq!(facts(&orchestration(), body), ["mode=autonomous", "length=12"]);
}

#[test]
fn a_value_that_is_not_listed_becomes_other() {
    for mode in [r#""secret text""#, "7", "-1", "1.5", "true", "{}", "[1]"] {
        let body = format!(r#"{{"mode":{mode}}}"#);
        assert_eq!(facts(&orchestration(), &body), ["mode=_other"], "{body}");
    }
}

#[test]
fn what_is_missing_null_or_has_no_length_gives_no_fact() {
    for body in
        ["{}", "[]", "1", "null", r#"{"mode":null}"#, r#"{"query":[1,2]}"#, r#"{"MODE":"x"}"#]
    {
        assert!(facts(&orchestration(), body).is_empty(), "{body}");
    }
}

#[test]
fn lengths_count_as_javascript_does() {
    for (text, length) in [("", 0), ("aé", 2), ("€", 1), ("👍🏽", 4), (r"\ud83d\udc4d\n", 3)]
    {
        let body = format!(r#"{{"query":"{text}"}}"#);
        assert_eq!(facts(&orchestration(), &body), [format!("length={length}")], "{body}");
    }
}

#[test]
fn of_a_member_that_is_there_twice_the_last_counts() {
    let captures =
        compile(&[capture("mode", "/a/mode", Some(&["x", "y"])), capture("a", "/a", None)]);
    assert_eq!(facts(&captures, r#"{"a":{"mode":"x","mode":"y"}}"#), ["mode=y"]);
    assert_eq!(facts(&captures, r#"{"a":{"mode":"x"},"a":"text"}"#), ["a=4"]);
    assert!(facts(&captures, r#"{"a":"text","a":{"mode":null}}"#).is_empty());
}

#[test]
fn numbers_are_counts_and_nothing_else() {
    let captures = compile(&[number("n", "/n")]);
    for (json, expected) in [
        ("0", "n=0"),
        ("12", "n=12"),
        ("12.0", "n=12"),
        ("1.2e1", "n=12"),
        ("18446744073709551615", "n=18446744073709551615"),
        // Beyond that, and beyond what a float tells apart, it is more than is told.
        ("18446744073709551616", "n=18446744073709551615"),
        ("1e300", "n=18446744073709551615"),
        ("9007199254740991.0", "n=9007199254740991"),
        ("9007199254740993.0", "n=18446744073709551615"),
    ] {
        assert_eq!(facts(&captures, &format!(r#"{{"n":{json}}}"#)), [expected]);
    }
    for json in ["-1", "1.5", "-1e300", "-0.5", r#""12""#, "true", "[12]", "{}", "null"] {
        assert!(facts(&captures, &format!(r#"{{"n":{json}}}"#)).is_empty(), "{json}");
    }
}

#[test]
fn texts_and_whole_numbers_have_pseudonyms() {
    let captures = compile(&[Capture { take: Take::Hmac, ..capture("id", "/id", None) }]);
    let known = |text: &[u8]| format!("id={}", PseudonymKey::from_bytes(b"key").pseudonym(text));
    for (json, text) in
        [(r#""ann""#, "ann"), (r#""""#, ""), ("42", "42"), (r#""42""#, "42"), (r#""\u00e9""#, "é")]
    {
        assert_eq!(facts(&captures, &format!(r#"{{"id":{json}}}"#)), [known(text.as_bytes())]);
    }
    for json in
        ["null", "true", "-1", "1.5", "[]", "{}", "9007199254740992.0", "18446744073709551616"]
    {
        assert!(facts(&captures, &format!(r#"{{"id":{json}}}"#)).is_empty(), "{json}");
    }
}

#[test]
fn pointers_are_those_of_rfc_6901() {
    let captures = compile(&[
        capture("root", "", None),
        capture("empty", "/", None),
        capture("slash", "/a~1b/m~0n/~01", None),
        capture("second", "/list/1/0", None),
        capture("zero", "/list/01", None),
        capture("nowhere", "list", None),
    ]);
    let body = r#"{"":"a","a/b":{"m~n":{"~1":"bb"}},"list":["x",["ccc"]]}"#;
    assert_eq!(facts(&captures, body), ["empty=1", "slash=2", "second=3"]);
    assert_eq!(facts(&captures, r#""four""#), ["root=4"]);
    assert_eq!(facts(&captures, r#"{"list":{"1":{"0":"yy"},"01":"z"}}"#), ["second=2", "zero=1"]);
}

#[test]
fn what_is_not_one_json_value_is_unreadable() {
    let deep = "[".repeat(100_000);
    for body in ["", "{", "mode=autonomous", "{} {}", r#"{"mode":"\ud800"}"#, "\u{feff}{}", &deep] {
        assert_eq!(orchestration().read(body.as_bytes()), Err(Unreadable), "{body:.20}");
    }
    assert_eq!(orchestration().read(b"{\"mode\":\"\xff\"}"), Err(Unreadable));
}

#[test]
fn depth_beside_the_captures_costs_no_stack() {
    let body =
        format!(r#"{{"x":{}{},"mode":"rag_query"}}"#, "[".repeat(50_000), "]".repeat(50_000));
    assert_eq!(facts(&orchestration(), &body), ["mode=rag_query"]);
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(body in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _judged = orchestration().read(&body);
    }

    #[test]
    fn no_text_of_a_body_ever_leaves(mode in "\\PC{0,20}", query in "\\PC{0,20}") {
        let body = serde_json::json!({"mode": mode, "query": query}).to_string();
        let expected = if ["autonomous", "rag_query"].contains(&&*mode) { mode } else { "_other".into() };
        let length = query.encode_utf16().count();
        prop_assert_eq!(facts(&orchestration(), &body), [format!("mode={expected}"), format!("length={length}")]);
    }
}
