//! What a judged request costs: the operation found, its head, its body; on the plan's own document.

use divan::{Bencher, black_box};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method};
use vital_sidecar::openapi::{Document, Found, Media, Operation};

const DOCUMENT: &[u8] = include_bytes!("../docs/api/openapi.yaml");
const BODY: &str = r#"{"query":"What are the symptoms of diabetes?","mode":"query_automatic","sessionId":"0190a1b2-0000-7000-8000-000000000001"}"#;

fn main() {
    divan::main();
}

fn document() -> Document {
    Document::read(DOCUMENT).unwrap_or_else(|faults| panic!("{faults:?}"))
}

fn operation<'d>(document: &'d Document, method: &Method, path: &str) -> &'d Operation {
    let Found::Known { path, operation } = document.find(method, path) else {
        panic!("no operation");
    };
    &document.paths()[path].operations[operation].1
}

fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers
}

#[divan::bench]
fn find_a_literal_path(bencher: Bencher<'_, '_>) {
    let document = document();
    bencher.bench(|| document.find(black_box(&Method::POST), black_box("/api/orchestrate")));
}

#[divan::bench]
fn find_a_path_with_a_parameter(bencher: Bencher<'_, '_>) {
    let document = document();
    bencher.bench(|| document.find(black_box(&Method::GET), black_box("/api/agents/sleep")));
}

#[divan::bench]
fn judge_a_path_parameter(bencher: Bencher<'_, '_>) {
    let document = document();
    let operation = operation(&document, &Method::GET, "/api/agents/sleep");
    let headers = HeaderMap::new();
    bencher.bench(|| operation.judge_head(black_box(&[("id", "sleep")]), "", &headers));
}

#[divan::bench]
fn judge_the_plans_body(bencher: Bencher<'_, '_>) {
    judge(bencher, BODY);
}

#[divan::bench]
fn judge_a_body_of_ten_thousand_characters(bencher: Bencher<'_, '_>) {
    judge(bencher, &format!(r#"{{"query":"{}","mode":"rag_query"}}"#, "x".repeat(10_000)));
}

#[divan::bench]
fn refuse_a_body(bencher: Bencher<'_, '_>) {
    judge(bencher, r#"{"query":"","mode":"guess","sessionId":"17"}"#);
}

fn judge(bencher: Bencher<'_, '_>, body: &str) {
    let (document, headers) = (document(), headers());
    let operation = operation(&document, &Method::POST, "/api/orchestrate");
    let Some(Media::Json(schema)) = operation.body().map(|body| body.media(&headers)) else {
        panic!("no schema");
    };
    bencher.bench(|| schema.judge(black_box(body.as_bytes())));
}

#[divan::bench]
fn read_the_plans_document() -> Document {
    document()
}
