//! Schemas: what is rewritten, what is refused, what is told of a value.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn schema(document: &Value, version: Version) -> Result<Arc<Schema>, Fault> {
    let spot = Spot::root(document).member("schema").unwrap();
    Workshop::new(document, version).schema(&spot)
}

fn made(schema_json: &Value, version: Version) -> Arc<Schema> {
    let document = json!({ "schema": schema_json });
    schema(&document, version).unwrap_or_else(|fault| panic!("{fault}"))
}

fn judge(schema: &Schema, value: &Value) -> Vec<String> {
    let violations = schema.judge(value, Place::Body, "");
    violations.iter().map(|v| format!("{} {}", v.pointer, v.rule.as_str())).collect()
}

fn refused(schema_json: &Value) -> Fault {
    schema(&json!({ "schema": schema_json }), Version::V3_1).expect_err("a fault")
}

#[test]
fn the_words_of_3_0_mean_what_they_meant() {
    let old = made(
        &json!({ "type": "object", "properties": {
            "a": { "type": "integer", "minimum": 1, "exclusiveMinimum": true, "nullable": true },
            "b": { "maximum": 5, "exclusiveMaximum": false },
        } }),
        Version::V3_0,
    );
    for fine in [json!({ "a": 2, "b": 5 }), json!({ "a": null })] {
        assert_eq!(judge(&old, &fine), [""; 0], "{fine}");
    }
    assert_eq!(judge(&old, &json!({ "a": 1, "b": 6 })), ["/a exclusiveMinimum", "/b maximum"]);
    let new = made(&json!({ "exclusiveMinimum": 1, "type": ["integer", "null"] }), Version::V3_1);
    assert_eq!(judge(&new, &json!(1)), [" exclusiveMinimum"]);
    assert!(judge(&new, &json!(null)).is_empty());
    assert!(schema(&json!({ "schema": true }), Version::V3_0).is_err(), "3.0 has no schema `true`");
}

#[test]
fn siblings_of_a_reference_count_in_3_1_only() {
    let document = json!({
        "schema": { "$ref": "#/a", "maximum": 3 },
        "a": { "type": "integer" },
    });
    let judged = |version| judge(&schema(&document, version).unwrap(), &json!(7));
    assert_eq!((judged(Version::V3_0).len(), judged(Version::V3_1).len()), (0, 1));
}

#[test]
fn a_schema_may_lead_back_to_itself_through_a_member() {
    let document = json!({ "schema": { "$ref": "#/node" }, "node": {
        "type": "object", "required": ["v"],
        "properties": { "v": { "type": "integer" }, "next": { "$ref": "#/node" } },
    } });
    let list = schema(&document, Version::V3_0).unwrap();
    assert!(judge(&list, &json!({ "v": 1, "next": { "v": 2 } })).is_empty());
    assert_eq!(
        judge(&list, &json!({ "v": 1, "next": { "next": { "v": 2 } } })),
        ["/next/v required"]
    );
    let deep = (0..60).fold(json!({}), |next, _| json!({ "v": 1, "next": next }));
    assert_eq!(judge(&list, &deep), [format!("{}/v required", "/next".repeat(60))]);
}

#[test]
fn alternatives_within_alternatives_do_not_multiply() {
    let half = |name| json!({ "required": [name], "properties": { "n": { "$ref": "#/node" } } });
    let document = json!({
        "schema": { "$ref": "#/node" },
        "node": { "oneOf": [half("a"), half("b")] },
    });
    let tree = schema(&document, Version::V3_1).unwrap();
    let deep = |last| (0..40).fold(last, |next, _| json!({ "n": next, "a": 1 }));
    assert!(judge(&tree, &deep(json!({ "b": 1 }))).is_empty());
    assert_eq!(judge(&tree, &deep(json!({ "c": 1 }))), [" schema"]);
}

#[test]
fn references_that_multiply_beyond_all_bounds_are_refused() {
    let chain = |next: &dyn Fn(String) -> Value| {
        let mut document = json!({ "schema": { "$ref": "#/s0" }, "s26": { "type": "object" } });
        for n in 0..26 {
            document[format!("s{n}")] = next(format!("#/s{}", n + 1));
        }
        document
    };
    let twice = |to: &str| json!([{ "$ref": to }, { "$ref": to }]);
    let wide = [
        chain(&|to| json!({ "allOf": twice(&to) })),
        chain(&|to| json!({ "oneOf": twice(&to) })),
        chain(&|to| json!({ "properties": { "a": { "anyOf": twice(&to) } } })),
    ];
    for document in wide {
        let fault = schema(&document, Version::V3_1).unwrap_err();
        assert!(fault.what.contains("multiply"), "{}", fault.what);
    }
    let narrow = chain(&|to| json!({ "allOf": [{ "$ref": to }, { "type": "object" }] }));
    assert!(judge(&schema(&narrow, Version::V3_1).unwrap(), &json!({})).is_empty());
}

#[test]
fn a_schema_that_leads_back_to_itself_at_once_is_refused() {
    for circle in [
        json!({ "$ref": "#/schema" }),
        json!({ "allOf": [{ "$ref": "#/schema" }] }),
        json!({ "not": { "anyOf": [{ "type": "null" }, { "$ref": "#/schema" }] } }),
    ] {
        assert!(refused(&circle).what.contains("leads back to itself"), "{circle}");
    }
}

#[test]
fn a_place_in_a_body_shows_no_name_that_only_the_client_knows() {
    let map = made(
        &json!({ "properties": { "known": { "additionalProperties": {
            "properties": { "inner": { "type": "integer" } } } } } }),
        Version::V3_1,
    );
    let body = json!({ "known": { "0": { "inner": "secret" }, "patient-17": { "inner": 1.5 } } });
    assert_eq!(judge(&map, &body), ["/known/*/inner type", "/known/*/inner type"]);
    let list = made(&json!({ "items": { "items": { "type": "integer" } } }), Version::V3_1);
    assert_eq!(judge(&list, &json!([[], [1, "x"]])), ["/1/1 type"]);
    let closed = made(&json!({ "additionalProperties": false }), Version::V3_1);
    assert_eq!(judge(&closed, &json!({ "patient-17": 1 })), [" additionalProperties"]);
}

#[test]
fn what_is_only_read_is_not_required_of_a_request() {
    let document = json!({
        "schema": {
            "required": ["id", "made", "name"],
            "properties": { "id": { "readOnly": true }, "made": { "$ref": "#/date" }, "name": {} },
        },
        "date": { "type": "string", "readOnly": true },
    });
    assert_eq!(judge(&schema(&document, Version::V3_0).unwrap(), &json!({})), ["/name required"]);
}

#[test]
fn formats_are_checked() {
    for (format, fine, wrong) in [
        ("uuid", json!("0190a1b2-0000-7000-8000-000000000001"), json!("17")),
        ("date-time", json!("2026-11-23T10:00:00Z"), json!("yesterday")),
        ("date", json!("2026-11-23"), json!("2026-13-01")),
        ("email", json!("a@b.example"), json!("a")),
        ("ipv4", json!("192.0.2.1"), json!("192.0.2.256")),
        ("uri", json!("https://a.example/"), json!("a b")),
        ("byte", json!("aGk="), json!("aGk")),
        ("int32", json!(2_147_483_647), json!(2_147_483_648_u64)),
        ("int64", json!(i64::MAX), json!(u64::MAX)),
    ] {
        let schema = made(&json!({ "format": format }), Version::V3_0);
        assert!(judge(&schema, &fine).is_empty(), "{format}: {fine}");
        assert_eq!(judge(&schema, &wrong).len(), 1, "{format}: {wrong}");
    }
    assert!(
        judge(&made(&json!({ "format": "house-number" }), Version::V3_0), &json!("x")).is_empty()
    );
}

#[test]
fn a_pattern_that_could_take_forever_is_refused() {
    let fault = refused(&json!({ "items": { "pattern": "(?=a)b" } }));
    assert_eq!(fault.pointer, "/schema/items/pattern");
    assert!(fault.what.contains("look-around"), "{fault}");
    assert!(!refused(&json!({ "pattern": "(\\w{100}){100}" })).what.is_empty());
    let slow = made(&json!({ "pattern": "^(a+)+$" }), Version::V3_1);
    assert_eq!(judge(&slow, &json!(format!("{}!", "a".repeat(50_000)))), [" pattern"]);
}

#[test]
fn a_keyword_that_would_move_the_ground_is_refused() {
    for keyword in ["$id", "$anchor", "$dynamicRef"] {
        assert!(refused(&json!({ keyword: "x" })).what.contains(keyword));
    }
    for outside in ["https://a.example/x.json", "x.yaml#/a", "#anchor", "file:///etc/passwd"] {
        assert!(refused(&json!({ "$ref": outside })).what.contains("leads out"), "{outside}");
    }
    assert!(refused(&json!({ "type": "strin" })).pointer.ends_with("/type"));
}

/// Schemas that stand alone, so that they mean the same to us and to the validator itself.
fn schemas() -> impl Strategy<Value = Value> {
    let plain = prop_oneof![
        Just(json!({ "type": "integer" })),
        Just(json!({ "type": ["string", "null"] })),
        Just(json!({ "minimum": 2, "multipleOf": 2 })),
        Just(json!({ "minLength": 1, "pattern": "^[ab]*$" })),
        Just(json!({ "enum": [1, "a", null, [1], {"a": 1}] })),
        Just(json!({ "required": ["a"], "maxProperties": 2 })),
        Just(json!({ "uniqueItems": true, "maxItems": 2 })),
        Just(json!(true)),
        Just(json!(false)),
    ];
    plain.prop_recursive(3, 16, 3, |below| {
        let list = proptest::collection::vec(below.clone(), 1..3);
        prop_oneof![
            list.clone().prop_map(|all| json!({ "allOf": all })),
            list.clone().prop_map(|any| json!({ "anyOf": any })),
            list.prop_map(|one| json!({ "oneOf": one, "maxLength": 3 })),
            below.clone().prop_map(|not| json!({ "not": not })),
            below.clone().prop_map(|items| json!({ "items": items })),
            (below.clone(), below.clone())
                .prop_map(|(a, b)| json!({ "properties": { "a": a }, "additionalProperties": b })),
            (below.clone(), below).prop_map(
                |(a, b)| json!({ "if": a, "then": b, "contains": { "type": "integer" } })
            ),
        ]
    })
}

fn values() -> impl Strategy<Value = Value> {
    let plain = prop_oneof![
        Just(json!(null)),
        Just(json!(1)),
        Just(json!(4)),
        Just(json!(2.5)),
        Just(json!("a")),
        Just(json!("abcd")),
        Just(json!("")),
        Just(json!(true)),
    ];
    plain.prop_recursive(3, 12, 3, |below| {
        prop_oneof![
            proptest::collection::vec(below.clone(), 0..3).prop_map(Value::Array),
            proptest::collection::vec(("[ab]", below), 0..3)
                .prop_map(|members| { Value::Object(members.into_iter().collect()) }),
        ]
    })
}

proptest! {
    #[test]
    fn a_verdict_is_the_validators_own(schema in schemas(), value in values()) {
        let direct = jsonschema::draft202012::is_valid(&schema, &value);
        prop_assert_eq!(judge(&made(&schema, Version::V3_1), &value).is_empty(), direct);
    }
}
