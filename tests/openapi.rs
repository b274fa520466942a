//! Requests judged by the API's document: what passes, what is refused, what is told of both.

use std::io::Write;

use proptest::prelude::*;
use serde_json::{Value as Json, json};
use tempfile::NamedTempFile;
use vital_sidecar::config::Config;
use vital_sidecar::record::{Outcome, Refusal, Value};

use crate::support::client::Answer;
use crate::support::house::{self, config};
use crate::support::recorder::{Recorder, recording};
use crate::support::sidecar::{self, Sidecar};

mod documents;

const PATH: &str = "/api/orchestrate";
const FINE: &str = r#"{"query":"q","mode":"rag_query"}"#;

/// A document on disk, and the table that names it.
fn documented(text: &str) -> (NamedTempFile, String) {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let table = format!("[openapi]\nfile = \"{}\"\n", file.path().display());
    (file, table)
}

/// A sidecar that knows a document, in front of an upstream that takes everything.
async fn judging(document: &str, more: &str) -> (Recorder, Sidecar) {
    let recorder = recording().await;
    let (_file, table) = documented(document);
    let sidecar =
        sidecar::with(&config(recorder.upstream.address, &format!("{more}{table}"))).await;
    (recorder, sidecar)
}

/// The errors of a problem document, each in one line.
fn errors(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 400, "{}", answer.head);
    let problem = answer.json();
    assert_eq!(problem["title"], "Invalid request");
    assert_eq!(problem["error_type"], "schema_violation");
    let errors = problem["errors"].as_array().unwrap();
    let text = |error: &Json, member: &str| error[member].as_str().unwrap().to_owned();
    errors
        .iter()
        .map(|error| {
            format!("{}{} {}", text(error, "in"), text(error, "pointer"), text(error, "rule"))
        })
        .collect()
}

#[tokio::test]
async fn a_request_that_fits_reaches_the_upstream_as_it_is() {
    let (recorder, mut sidecar) = judging(documents::PLAN, "").await;
    let answer = sidecar.client().await.post(PATH, FINE).await;
    assert_eq!(answer.status, 200);
    assert_eq!(recorder.only().body, FINE.as_bytes());
    let record = sidecar.record().await;
    assert_eq!(record.operation.as_deref(), Some("createOrchestration"));
    assert_eq!((&*record.route.template, record.url()), (PATH, PATH));
    assert_eq!(record.would_refuse, None);
}

#[tokio::test]
async fn a_body_that_does_not_fit_is_refused_with_places_and_rules_alone() {
    let (recorder, mut sidecar) = judging(documents::PLAN, "").await;
    let mut client = sidecar.client().await;
    let long = json!({ "query": "zebra".repeat(3000), "mode": "rag_query" }).to_string();
    for (body, expected) in [
        ("{}", &["body/query required", "body/mode required"][..]),
        (r#"{"query":"","mode":"zebra"}"#, &["body/mode enum", "body/query minLength"]),
        (r#"{"query":"q","mode":"rag_query","sessionId":"zebra"}"#, &["body/sessionId format"]),
        (r#"["zebra"]"#, &["body type"]),
        ("{\"zebra\":", &["body json"]),
        (r#"{"query":"zebra","query":"q","mode":"rag_query"}"#, &["body unique"]),
        (&long, &["body/query maxLength"]),
    ] {
        let answer = client.post(PATH, body).await;
        let mut found = errors(&answer);
        let mut expected = expected.to_vec();
        found.sort();
        expected.sort_unstable();
        assert_eq!(found, expected, "{body:.80}");
        assert!(!String::from_utf8_lossy(&answer.body).contains("zebra"));
        let record = sidecar.record().await;
        assert_eq!(record.outcome, Outcome::Refused(Refusal::SchemaViolation));
        assert_eq!(record.operation.as_deref(), Some("createOrchestration"));
    }
    let deep = format!("{{\"query\":{}1{}}}", "[".repeat(100), "]".repeat(100));
    assert_eq!(errors(&client.post(PATH, &deep).await), ["body depth"]);
    assert!(recorder.seen().is_empty(), "the upstream never saw any of them");
}

#[tokio::test]
async fn no_more_than_eight_errors_are_told() {
    let (_recorder, sidecar) = judging(documents::MANY, "").await;
    let body = json!(vec!["x"; 50]).to_string();
    let answer = sidecar.client().await.post("/many", &body).await;
    assert_eq!(errors(&answer).len(), 8);
}

#[tokio::test]
async fn parameters_are_judged_before_a_body_is_asked_for() {
    let (recorder, sidecar) = judging(documents::MANY, "").await;
    let mut client = sidecar.client().await;
    client
        .say("PUT /items/x?limit=0&tag=a&tag=bc HTTP/1.1\r\nhost: a\r\nx-kind: c\r\nexpect: 100-continue\r\n\
              content-type: application/json\r\ncontent-length: 2\r\n\r\n")
        .await;
    let answer = client.answer().await;
    let expected =
        ["path/id type", "query/limit minimum", "query/tag/1 maxLength", "header/X-Kind enum"];
    assert_eq!(errors(&answer), expected);
    let mut client = sidecar.client().await;
    client
        .say("PUT /items/7?limit=1&tag=a HTTP/1.1\r\nhost: a\r\nx-kind: a\r\ncontent-length: 0\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.status, 200, "the body is optional");
    assert_eq!(recorder.seen().len(), 1);
}

#[tokio::test]
async fn a_body_of_another_kind_is_refused() {
    let (recorder, sidecar) = judging(documents::PLAN, "").await;
    for (fields, body, status) in [
        ("content-type: text/plain\r\n", FINE, 415),
        ("", FINE, 415),
        ("content-type: application/json\r\ncontent-type: text/plain\r\n", FINE, 415),
        ("content-type: application/json\r\ncontent-encoding: gzip\r\n", FINE, 415),
        ("content-type: application/json\r\n", "", 400),
        ("content-type: Application/JSON; charset=utf-8\r\n", FINE, 200),
        ("content-type: application/json; x=y; Charset=\"UTF-8\"\r\n", FINE, 200),
        ("content-type: application/json; charset=utf-7\r\n", FINE, 415),
        ("content-type: application/json; charset=utf-8; charset=utf-16\r\n", FINE, 415),
        (
            "content-type: application/json\r\ncontent-encoding: identity\r\n\
             content-encoding: gzip\r\n",
            FINE,
            415,
        ),
        ("content-type: application/json\r\ncontent-encoding: identity\r\n", FINE, 200),
    ] {
        let mut client = sidecar.client().await;
        let length = body.len();
        client
            .say(format!(
                "POST {PATH} HTTP/1.1\r\nhost: a\r\n{fields}content-length: {length}\r\n\r\n{body}"
            ))
            .await;
        let answer = client.answer().await;
        assert_eq!(answer.status, status, "{fields}{body}");
        if status == 400 {
            assert_eq!(errors(&answer), ["body required"]);
        }
    }
    assert_eq!(recorder.seen().len(), 3);
}

#[tokio::test]
async fn a_body_too_long_to_be_judged_is_refused_where_it_must_be() {
    let body = json!({ "query": "x".repeat(3000), "mode": "rag_query" }).to_string();
    let chunked = format!(
        "POST {PATH} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    for (mode, status) in [("enforce", 413), ("shadow", 200), ("off", 200)] {
        let more =
            format!("[inspect]\nmax_body = \"1KiB\"\n[route_defaults]\nvalidation = \"{mode}\"\n");
        let (recorder, mut sidecar) = judging(documents::PLAN, &more).await;
        assert_eq!(sidecar.client().await.post(PATH, &body).await.status, status, "{mode}");
        let would_refuse = (mode == "shadow").then_some(Refusal::BodyTooLarge);
        assert_eq!(sidecar.record().await.would_refuse, would_refuse, "{mode}");
        assert_eq!(decided(&sidecar, "would_deny"), u8::from(mode == "shadow"), "{mode}");
        let mut client = sidecar.client().await;
        client.say(&chunked).await;
        assert_eq!(client.answer().await.status, status, "{mode}, chunked");
        if status == 200 {
            assert!(recorder.seen().iter().all(|seen| seen.body == body.as_bytes()));
        }
    }
}

#[tokio::test]
async fn in_shadow_mode_the_record_says_what_would_have_been_refused() {
    let more = "[[routes]]\nmatch = \"POST /api/orchestrate\"\nvalidation = \"shadow\"\n";
    let (recorder, mut sidecar) = judging(documents::PLAN, more).await;
    let mut client = sidecar.client().await;
    assert_eq!(client.post(PATH, r#"{"mode":"x"}"#).await.status, 200);
    assert_eq!(sidecar.record().await.would_refuse, Some(Refusal::SchemaViolation));
    assert_eq!(client.post(PATH, FINE).await.status, 200);
    assert_eq!(sidecar.record().await.would_refuse, None);
    client.say(format!("POST {PATH} HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nxx")).await;
    assert_eq!(client.answer().await.status, 200);
    assert_eq!(sidecar.record().await.would_refuse, Some(Refusal::UnsupportedMediaType));
    assert_eq!(recorder.seen().len(), 3);
    assert_eq!((decided(&sidecar, "would_deny"), decided(&sidecar, "deny")), (2, 0));
}

#[tokio::test]
async fn what_is_refused_is_counted_by_its_route() {
    let more = "[[routes]]\nmatch = \"POST /api/orchestrate\"\n";
    let (_recorder, sidecar) = judging(documents::PLAN, more).await;
    let mut client = sidecar.client().await;
    assert_eq!(client.post(PATH, r#"{"mode":"x"}"#).await.status, 400);
    assert_eq!(client.post(PATH, FINE).await.status, 200);
    assert_eq!(decided(&sidecar, "deny"), 1);
}

/// How often validation decided so about the route.
fn decided(sidecar: &Sidecar, decision: &str) -> u8 {
    let series = format!(
        "sidecar_gate_decisions_total{{gate=\"validation\",decision=\"{decision}\",\
         http_route=\"{PATH}\"}}"
    );
    let counted = sidecar.metric(&series);
    (0..=u8::MAX).find(|count| f64::from(*count) >= counted).unwrap()
}

#[tokio::test]
async fn an_unknown_method_of_a_documented_path_is_denied_where_the_unmatched_are() {
    let (recorder, sidecar) = judging(documents::PLAN, "[security]\nunmatched = \"deny\"\n").await;
    let mut client = sidecar.client().await;
    for method in ["PUT", "GET", "TRACE", "OPTIONS"] {
        client.say(format!("{method} {PATH} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.field("allow")), (405, Some("post")), "{method}");
    }
    assert!(recorder.seen().is_empty());
    assert_eq!(client.post(PATH, FINE).await.status, 200);
}

#[tokio::test]
async fn a_route_that_turns_validation_off_still_has_its_operation() {
    let more = "[[routes]]\nmatch = \"POST /api/orchestrate\"\nvalidation = \"off\"\n";
    let (recorder, mut sidecar) = judging(documents::PLAN, more).await;
    assert_eq!(sidecar.client().await.post(PATH, "no json").await.status, 200);
    let record = sidecar.record().await;
    assert_eq!(
        (record.operation.as_deref(), record.would_refuse),
        (Some("createOrchestration"), None)
    );
    assert_eq!(recorder.only().body, b"no json");
}

#[tokio::test]
async fn captures_and_validation_share_one_reading() {
    let (recorder, mut sidecar) = judging(documents::PLAN, crate::captures::ORCHESTRATE).await;
    let mut client = sidecar.client().await;
    client
        .say(format!(
            "POST {PATH} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
             transfer-encoding: chunked\r\n\r\n"
        ))
        .await;
    for piece in FINE.as_bytes().chunks(5) {
        client.say(format!("{:x}\r\n", piece.len())).await;
        client.say(piece).await;
        client.say("\r\n").await;
    }
    client.say("0\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 200);
    let record = sidecar.record().await;
    assert!(matches!(record.fact("orchestration.query_length"), Some(Value::Length(1))));
    assert_eq!(recorder.only().body, FINE.as_bytes());
    assert_eq!(record.bytes_in, FINE.len() as u64);
    let refused = sidecar.client().await.post(PATH, r#"{"query":"","mode":"rag_query"}"#).await;
    assert_eq!(errors(&refused), ["body/query minLength"]);
    let record = sidecar.record().await;
    assert!(record.fact("orchestration.mode").is_some(), "what was refused is told of too");
}

#[tokio::test]
async fn where_no_route_knows_a_path_the_documents_template_stands_in() {
    let routes = "[[routes]]\nmatch = \"GET /api/{*rest}\"\n";
    let (_recorder, mut sidecar) = judging(documents::PLAN, "").await;
    assert_eq!(sidecar.client().await.get("/api/agents/sleep").await.status, 200);
    let record = sidecar.record().await;
    assert_eq!((&*record.route.template, record.url()), ("/api/agents/{id}", "/api/agents/{id}"));
    assert_eq!(record.operation.as_deref(), Some("showAgent"));
    assert!(sidecar.metric("http_server_request_duration_seconds_count{http_request_method=\"GET\",http_route=\"/api/agents/{id}\"") > 0.0);
    sidecar.client().await.get("/api/strange/patient-17").await;
    assert_eq!(sidecar.record().await.url(), "/api/{}/{}", "its words are known, too");

    let (_recorder, mut sidecar) = judging(documents::PLAN, routes).await;
    sidecar.client().await.get("/api/agents/sleep").await;
    let record = sidecar.record().await;
    assert_eq!(
        (&*record.route.template, record.operation.as_deref()),
        ("/api/{*rest}", Some("showAgent"))
    );
}

#[tokio::test]
async fn the_log_names_the_operation() {
    let recorder = recording().await;
    let (_file, table) = documented(documents::PLAN);
    let more = format!("[route_defaults]\nvalidation = \"shadow\"\n{table}");
    let house = house::open(&config(recorder.upstream.address, &more)).await;
    house.client().await.post(PATH, "{}").await;
    house.client().await.get("/unknown").await;
    let lines = house.lines(2).await;
    assert_eq!(lines[0]["operationId"], "createOrchestration");
    assert_eq!(lines[0]["wouldRefuse"], "schema_violation");
    assert!(lines[1].get("operationId").is_none() && lines[1].get("wouldRefuse").is_none());
    assert!(house.close().await.is_clean());
}

#[tokio::test]
async fn another_reading_of_a_judged_path_is_refused() {
    let (recorder, sidecar) = judging(documents::PLAN, "[server]\npath = \"as_is\"\n").await;
    for path in ["/api//orchestrate", "/api%2Forchestrate", "/x/../api/orchestrate"] {
        let answer = sidecar.client().await.post(path, "{}").await;
        assert_eq!(answer.json()["error_type"], "bad_request", "{path}");
    }
    assert!(recorder.seen().is_empty());
}

#[test]
fn a_document_with_mistakes_is_refused_at_their_places() {
    let broken = documents::PLAN.replace("minLength: 1", "minLength: short");
    let (_file, table) = documented(&broken);
    let text = format!("[upstream]\nurl = \"http://127.0.0.1:3000\"\n{table}");
    let words = Config::from_toml(&text).expect_err("a mistake").to_string();
    let line = 1 + broken.lines().position(|line| line.contains("short")).unwrap();
    assert!(words.contains(&format!(":{line}`: this is no valid schema (`type`)")), "{words}");
    assert!(
        words.contains("/components/schemas/OrchestrationRequest/properties/query/minLength"),
        "{words}"
    );
    let missing = "[openapi]\nfile = \"/nowhere/openapi.yaml\"\n[upstream]\nurl = \"http://127.0.0.1:3000\"\n";
    let words = Config::from_toml(missing).expect_err("no file").to_string();
    assert!(words.contains("`openapi.file` cannot be read"), "{words}");
}

/// What a client could send as a body: near the schema, and far from it.
fn bodies() -> impl Strategy<Value = String> {
    let query = prop_oneof![Just(json!("q")), Just(json!("")), Just(json!(7)), Just(Json::Null)];
    let mode = prop_oneof![Just(json!("rag_query")), Just(json!("other")), Just(json!([]))];
    let session =
        prop_oneof![Just(json!("0190a1b2-0000-7000-8000-000000000001")), Just(json!("17"))];
    let near =
        (proptest::option::of(query), proptest::option::of(mode), proptest::option::of(session))
            .prop_map(|(query, mode, session)| {
                let members = [("query", query), ("mode", mode), ("sessionId", session)];
                let members =
                    members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
                Json::Object(members.collect()).to_string()
            });
    prop_oneof![4 => near, 1 => "[\\[\\]{}\":,a-z0-9 ]{1,24}"]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn what_is_forwarded_is_what_the_schema_lets_through(bodies in proptest::collection::vec(bodies(), 1..12)) {
        let schema = documents::request_schema();
        let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
        let threads = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        threads.block_on(async {
            let (recorder, sidecar) = judging(documents::PLAN, "").await;
            let mut client = sidecar.client().await;
            let mut forwarded = 0;
            for body in &bodies {
                let status = client.post(PATH, body).await.status;
                let is_fine = serde_json::from_str(body).is_ok_and(|body| validator.is_valid(&body));
                assert_eq!(status, if is_fine { 200 } else { 400 }, "{body}");
                forwarded += usize::from(is_fine);
            }
            assert_eq!(recorder.seen().len(), forwarded);
        });
    }
}
