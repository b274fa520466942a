//! What is wrong with a document, and what of it nobody checks.

use super::*;

#[test]
fn what_is_not_checked_is_said() {
    let document = document(&json!({ "/a": { "get": { "parameters": [
        { "name": "c", "in": "cookie", "schema": {} },
        { "name": "d", "in": "query", "style": "deepObject", "schema": { "type": "object" } },
        { "name": "e", "in": "query" },
    ] } } }));
    assert_eq!(document.notices().len(), 3);
    assert!(document.notices().iter().all(|notice| notice.starts_with("GET /a: ")));
}

#[test]
fn dependencies_are_said_to_be_unchecked_once_where_they_stand() {
    let query = |name: &str| json!({ "name": name, "in": "query", "schema": { "$ref": "#/s" } });
    let text = json!({
        "openapi": "3.1.0",
        "paths": { "/a": { "get": { "parameters": [query("a"), query("b")] } } },
        "s": { "items": { "dependencies": { "a": ["b"] } }, "properties": { "dependencies": {} } },
    });
    let document = read(text.to_string().as_bytes());
    assert_eq!(document.notices().len(), 1, "{:?}", document.notices());
    assert!(document.notices()[0].contains("(at /s/items)"), "{:?}", document.notices());
}

#[test]
fn one_operation_may_stand_under_two_paths_by_reference() {
    let document = document(&json!({
        "/a": { "get": { "operationId": "a" } },
        "/b": { "$ref": "#/paths/~1a" },
    }));
    assert_eq!(document.paths().len(), 2);
}

#[test]
fn a_fault_has_its_place_and_line() {
    let parameters = "openapi: 3.1.0\npaths:\n  /a/{id}:\n    get:\n      parameters:\n\
                      \x20       - in: query\n          name: n\n          schema: {type: strin}\n";
    let faults = refused(parameters.as_bytes());
    assert_eq!(faults[0].pointer, "/paths/~1a~1{id}/get/parameters/0/schema/type");
    assert_eq!(faults[0].line, Some(8));
    let json = "{\n\"openapi\": \"3.0.0\",\n\"paths\": {\n\"/a/../b\": {}}}";
    let faults = refused(json.as_bytes());
    assert_eq!((faults[0].line, &*faults[0].pointer), (Some(4), "/paths/~1a~1..~1b"));
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for (text, words) in [
        ("", "not an object"),
        ("[1]", "not an object"),
        ("a: b: c", "not YAML"),
        ("{\"a\":}", "not JSON"),
        ("{\"openapi\": \"3.1.0\", \"openapi\": \"3.1.0\"}", "twice"),
        ("a: 1\na: 2", "not YAML"),
        ("swagger: '2.0'", "Swagger 2.0"),
        ("openapi: 3.1", "in quotes"),
        ("openapi: 3.2.0", "only OpenAPI 3.0 and 3.1"),
        ("openapi: 3.1.0", "no `paths`"),
        ("openapi: 3.1.0\npaths: {'/a/{b': {}}", "a parameter is written"),
        ("openapi: 3.1.0\npaths: {'/{a}': {get: {}}, '/{b}': {get: {}}}", "are the same path"),
        ("openapi: 3.1.0\npaths: {/a: {get: {parameters: {}}}}", "a list of parameters"),
        ("openapi: 3.1.0\npaths: {/a: {get: {parameters: [{name: a}]}}}", "expected `in`"),
        (
            "openapi: 3.1.0\npaths: {'/a/{b}': {get: {parameters: [{name: c, in: path, schema: {}}]}}}",
            "the path `/a/{b}` has no parameter `c`",
        ),
        (
            "openapi: 3.1.0\npaths: {/a: {parameters: [{name: c, in: path, schema: {}}]}}",
            "the path `/a` has no parameter `c`",
        ),
        (
            "openapi: 3.1.0\npaths: {/a: {get: {operationId: x}, put: {operationId: x}}}",
            "the operation at /paths/~1a/get has the `operationId` `x`, too",
        ),
        ("openapi: 3.1.0\npaths: {/a: {$ref: 'b.yaml'}}", "leads out of the document"),
        ("openapi: 3.1.0\npaths: {/a: {$ref: '#/paths/~1a'}}", "in a circle"),
        ("openapi: 3.1.0\npaths: {/a: {$ref: '#/b'}}", "leads nowhere"),
        ("openapi: 3.1.0\npaths: {/a: {post: {requestBody: {}}}}", "no `content`"),
        ("openapi: 3.1.0\npaths: {/a: {get: {operationId: \"a\\nb\"}}}", "none of them a control"),
    ] {
        let faults = refused(text.as_bytes());
        assert!(faults.iter().any(|fault| fault.what.contains(words)), "{text}: {faults:?}");
    }
}

#[test]
fn what_would_grow_without_bound_is_refused() {
    let mut bomb = "openapi: 3.1.0\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let below = format!("*a{}, ", level - 1).repeat(10);
        bomb.push_str(&["a", &level.to_string(), ": &a", &level.to_string()].concat());
        bomb.push_str(&[" [", &below, "]\n"].concat());
    }
    assert!(refused(bomb.as_bytes())[0].what.contains("not YAML"));
    let deep = format!("{{\"a\": {}{}}}", "[".repeat(200), "]".repeat(200));
    assert!(!refused(deep.as_bytes()).is_empty());
    let deep = format!("a: {}{}", "[".repeat(200), "]".repeat(200));
    assert!(!refused(deep.as_bytes()).is_empty());
    assert!(refused(&vec![b' '; MAX_FILE + 1])[0].what.contains("larger than"));
}
