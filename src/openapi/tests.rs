//! Whole documents, and the heads of requests.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

mod mistakes;

/// Where everything beside `paths` is as it should be.
fn with_paths(paths: &Value) -> Vec<u8> {
    let document = json!({ "openapi": "3.1.0", "info": {}, "paths": paths });
    document.to_string().into_bytes()
}

fn document(paths: &Value) -> Document {
    read(&with_paths(paths))
}

fn read(bytes: &[u8]) -> Document {
    Document::read(bytes).unwrap_or_else(|faults| panic!("{faults:#?}"))
}

fn refused(bytes: &[u8]) -> Vec<Fault> {
    Document::read(bytes).expect_err("a fault")
}

/// The operation of this method and path, and what is wrong with a request's head.
fn judge(document: &Document, path: &str, query: &str, headers: &HeaderMap) -> Vec<String> {
    let Found::Known { path: place, operation } = document.find(&Method::GET, path) else {
        panic!("no operation");
    };
    let found = &document.paths()[place];
    let params = found.template.params(path);
    let violations = found.operations[operation].1.judge_head(&params, query, headers);
    violations.iter().map(shown).collect()
}

fn shown(violation: &Violation) -> String {
    let Violation { place, pointer, rule } = violation;
    format!("{}{pointer} {}", place.as_str(), rule.as_str())
}

fn judge_query(parameter: &Value, query: &str) -> Vec<String> {
    let paths = json!({ "/a": { "get": { "parameters": [parameter] } } });
    judge(&document(&paths), "/a", query, &HeaderMap::new())
}

#[test]
fn the_projects_own_document_is_read_whole() {
    let document = read(include_bytes!("../../docs/api/openapi.yaml"));
    assert!(document.notices().is_empty(), "{:?}", document.notices());
    let ids: Vec<_> = document
        .paths()
        .iter()
        .flat_map(|path| &path.operations)
        .filter_map(|(_, operation)| operation.id.as_deref())
        .collect();
    assert_eq!(ids.len(), 7, "{ids:?}");
    assert!(ids.contains(&"createOrchestration"));
}

#[test]
fn a_literal_path_goes_before_one_with_a_parameter() {
    let operation = |id: &str| json!({ "get": { "operationId": id } });
    let document = document(&json!({
        "/{all}/me": operation("last"),
        "/users/{id}": operation("one"),
        "/users/me": operation("me"),
        "/users/{id}.json": operation("json"),
    }));
    let id = |path: &str| match document.find(&Method::GET, path) {
        Found::Known { path, operation } => {
            document.paths()[path].operations[operation].1.id.clone().unwrap().to_string()
        }
        other => format!("{other:?}"),
    };
    assert_eq!(id("/users/me"), "me");
    assert_eq!(id("/users/7"), "one");
    assert_eq!(id("/users/7.json"), "json");
    assert_eq!(id("/groups/me"), "last");
    assert_eq!(id("/users"), "Unknown");
}

#[test]
fn a_known_path_with_another_method_says_what_it_allows() {
    let document = document(&json!({ "/a": { "get": {}, "post": {} }, "/b": { "post": {} } }));
    assert!(matches!(document.find(&Method::HEAD, "/a"), Found::Known { .. }));
    let allow = |path: &str| match document.find(&Method::DELETE, path) {
        Found::MethodNotAllowed { path } => document.paths()[path].allow.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(allow("/a"), "GET, POST, HEAD");
    assert_eq!(allow("/b"), "POST");
    assert!(matches!(document.find(&Method::HEAD, "/b"), Found::MethodNotAllowed { .. }));
}

#[test]
fn every_servers_path_is_a_beginning() {
    let text = "openapi: 3.0.3\nservers:\n- url: https://a.example/v1/\n- url: http://localhost:1\n\
                paths:\n  /a:\n    get: {}\n  /b:\n    servers:\n    - url: /other\n    get: {}\n";
    let document = read(text.as_bytes());
    let is_known = |path: &str| document.find(&Method::GET, path) != Found::Unknown;
    assert!(is_known("/v1/a") && is_known("/a") && is_known("/other/b"));
    assert!(!is_known("/b") && !is_known("/v1/b"));
}

#[test]
fn an_operations_parameter_stands_in_for_its_paths() {
    let document = document(&json!({ "/a/{id}": {
        "parameters": [
            { "name": "id", "in": "path", "required": true, "schema": { "type": "integer" } },
            { "name": "page", "in": "query", "schema": { "type": "integer" } },
        ],
        "get": { "parameters": [
            { "name": "page", "in": "query", "required": true, "schema": { "enum": ["last"] } },
        ] },
    } }));
    let none = HeaderMap::new();
    assert_eq!(judge(&document, "/a/7", "page=last", &none), [""; 0]);
    assert_eq!(judge(&document, "/a/x", "page=1", &none), ["path/id type", "query/page enum"]);
    assert_eq!(judge(&document, "/a/7", "", &none), ["query/page required"]);
}

#[test]
fn a_parameter_is_read_as_what_its_schema_is_about() {
    let parameter =
        |schema: Value| json!({ "name": "p", "in": "query", "required": true, "schema": schema });
    let integer = parameter(json!({ "type": "integer", "minimum": 2 }));
    for (query, expected) in [
        ("p=7", ""),
        ("q=1&p=2.0&r=x", ""),
        ("%70=7", ""),
        ("p=1", "query/p minimum"),
        ("p=1.5", "query/p type,query/p minimum"),
        ("p=07", "query/p type"),
        ("p=+7", "query/p type"),
        ("p=", "query/p type"),
        ("p", "query/p type"),
        ("p=7&p=8", "query/p unique"),
        ("p=%zz", "query/p encoding"),
        ("p=%ff", "query/p encoding"),
        ("P=7", "query/p required"),
    ] {
        assert_eq!(judge_query(&integer, query).join(","), expected, "{query}");
    }
    let boolean = parameter(json!({ "type": "boolean" }));
    assert!(judge_query(&boolean, "p=true").is_empty());
    assert_eq!(judge_query(&boolean, "p=TRUE"), ["query/p type"]);
    let text = parameter(json!({ "type": "string", "maxLength": 3 }));
    assert!(judge_query(&text, "p=a+b").is_empty() && judge_query(&text, "p=123").is_empty());
    assert_eq!(judge_query(&text, "p=%C3%A4bcd"), ["query/p maxLength"]);
    let either = parameter(json!({ "anyOf": [{ "type": "integer" }, { "const": "all" }] }));
    assert!(judge_query(&either, "p=7").is_empty() && judge_query(&either, "p=all").is_empty());
    assert_eq!(judge_query(&either, "p=some"), ["query/p anyOf"]);
    let digits = parameter(json!({ "type": ["string", "integer"], "minLength": 2, "minimum": 50 }));
    assert!(judge_query(&digits, "p=12").is_empty(), "as a text it fits");
}

#[test]
fn a_list_comes_in_the_style_of_its_parameter() {
    let list = |more: Value| {
        let schema = json!({ "type": "array", "maxItems": 2, "items": { "type": "integer" } });
        let mut parameter = json!({ "name": "p", "in": "query", "schema": schema });
        parameter.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        parameter
    };
    for (more, right, wrong) in [
        (json!({}), "p=1&p=2", "p=1&p=x"),
        (json!({ "explode": false }), "p=1,2", "p=1,x"),
        (json!({ "style": "pipeDelimited", "explode": false }), "p=1%7C2", "p=1|x"),
        (json!({ "style": "spaceDelimited", "explode": false }), "p=1%202", "p=1+x"),
    ] {
        assert_eq!(judge_query(&list(more.clone()), right), [""; 0], "{more}");
        assert_eq!(judge_query(&list(more.clone()), wrong), ["query/p/1 type"], "{more}");
    }
    assert_eq!(judge_query(&list(json!({})), "p=1&p=2&p=3"), ["query/p maxItems"]);
    let content = json!({ "name": "p", "in": "query", "content": { "application/json": {
        "schema": { "type": "object", "required": ["a"] } } } });
    assert!(judge_query(&content, "p=%7B%22a%22:1%7D").is_empty());
    assert_eq!(judge_query(&content, "p=%7B%7D"), ["query/p/a required"]);
    assert_eq!(judge_query(&content, "p=%7B"), ["query/p json"]);
}

#[test]
fn header_fields_and_path_segments_are_parameters_too() {
    let document = document(&json!({ "/a/{ids}": { "get": { "parameters": [
        { "name": "ids", "in": "path", "required": true,
          "schema": { "type": "array", "items": { "type": "integer" } } },
        { "name": "X-Kind", "in": "header", "required": true, "schema": { "enum": ["a", "b"] } },
        { "name": "X-List", "in": "header",
          "schema": { "type": "array", "items": { "type": "boolean" } } },
        { "name": "Authorization", "in": "header", "required": true, "schema": {} },
    ] } } }));
    let headers = |fields: &[(&'static str, &'static str)]| {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    };
    let fine = headers(&[("x-kind", "a"), ("x-list", "true, false"), ("x-list", "true")]);
    assert_eq!(judge(&document, "/a/1,2", "", &fine), [""; 0]);
    assert_eq!(judge(&document, "/a/1,x", "", &fine), ["path/ids/1 type"]);
    let twice = headers(&[("x-kind", "a"), ("x-kind", "b")]);
    assert_eq!(judge(&document, "/a/1", "", &twice), ["header/X-Kind unique"]);
    assert_eq!(judge(&document, "/a/1", "", &HeaderMap::new()), ["header/X-Kind required"]);
}

#[test]
fn the_schema_of_a_media_range_judges_json_and_the_most_specific_one_counts() {
    let of = |kind: &str| json!({ "schema": { "type": kind } });
    let paths = json!({ "/a": { "post": { "requestBody": { "content": {
        "*/*": of("string"),
        "application/*": of("integer"),
        "application/json": of("boolean"),
        "image/*": { "schema": { "format": "binary" } },
        "text/plain": of("string"),
    } } } } });
    let document = document(&paths);
    let body = document.paths()[0].operations[0].1.body().unwrap();
    let judged = |media: &str, text: &str| {
        let mut headers = HeaderMap::new();
        if !media.is_empty() {
            headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_str(media).unwrap());
        }
        match body.media(&headers) {
            Media::Json(body) => format!("{}", body.judge(text.as_bytes()).len()),
            other => format!("{other:?}"),
        }
    };
    assert_eq!(
        (judged("application/json", "true"), judged("application/json", "7")),
        both("0", "1")
    );
    assert_eq!(
        (judged("application/a+json", "7"), judged("Application/A+JSON", "true")),
        both("0", "1")
    );
    assert_eq!((judged("text/json", "\"a\""), judged("text/json", "7")), both("0", "1"));
    assert_eq!((judged("application/xml", "7"), judged("text/css", "7")), both("Opaque", "Opaque"));
    assert_eq!((judged("image/png", "7"), judged("text/plain", "7")), both("Opaque", "Opaque"));
    let charset = judged("text/json; charset=utf-7", "7");
    assert_eq!((charset, judged("", "7")), both("Unsupported", "Unsupported"));
    let notices = document.notices();
    assert_eq!(notices.len(), 2, "{notices:?}");
    assert!(notices[0].starts_with("POST /a: the schema of `*/*`"), "{notices:?}");
}

fn both(one: &str, other: &str) -> (String, String) {
    (one.to_owned(), other.to_owned())
}

/// Any JSON, shaped like a document now and then.
fn any_json() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        Just("get"),
        Just("parameters"),
        Just("$ref"),
        Just("in"),
        Just("name"),
        Just("schema"),
        Just("requestBody"),
        Just("content"),
        Just("application/json"),
        Just("type"),
        Just("properties"),
        Just("items"),
        Just("allOf"),
        Just("enum"),
        Just("required"),
        Just("servers"),
        Just("url"),
        Just("pattern"),
        Just("minimum"),
        Just("style"),
    ];
    let text = prop_oneof![
        word.clone().prop_map(str::to_owned),
        Just("query".to_owned()),
        Just("object".to_owned()),
        Just("#/paths/~1a".to_owned()),
        Just("#/paths/~1a/get/requestBody".to_owned()),
        "\\PC{0,6}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        text.prop_map(Value::String),
    ];
    leaf.prop_recursive(6, 48, 6, move |below| {
        prop_oneof![
            proptest::collection::vec(below.clone(), 0..4).prop_map(Value::Array),
            proptest::collection::vec((word.clone(), below), 0..5).prop_map(|members| {
                Value::Object(members.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
            }),
        ]
    })
}

proptest! {
    #[test]
    fn any_document_and_any_request_are_judged_without_panic(
        item in any_json(), parameter in any_json(), body in any_json(),
        query in "[a-c%=&+0-9]{0,12}", sent in any_json(),
    ) {
        let operation = json!({ "parameters": [parameter], "requestBody": body });
        let schema = json!({ "content": { "application/json": { "schema": item } } });
        let paths = json!({ "/a": item, "/b/{c}": { "get": operation },
            "/d": { "get": { "requestBody": schema } } });
        if let Ok(document) = Document::read(&with_paths(&paths)) {
            for path in document.paths() {
                for (_, operation) in &path.operations {
                    let params = path.template.params("/b/7");
                    let _judged = operation.judge_head(&params, &query, &HeaderMap::new());
                    let mut headers = HeaderMap::new();
                    headers.insert("content-type", HeaderValue::from_static("application/json"));
                    if let Some(Media::Json(body)) = operation.body().map(|body| body.media(&headers)) {
                        let _judged = body.judge(sent.to_string().as_bytes());
                    }
                }
            }
        }
    }

    #[test]
    fn any_text_is_refused_without_panic(text in "\\PC{0,40}", yaml in "[-a-c:\\[\\]{}&*!|>#'\" \n]{0,40}") {
        prop_assert!(Document::read(text.as_bytes()).is_err());
        prop_assert!(Document::read(yaml.as_bytes()).is_err());
    }
}
