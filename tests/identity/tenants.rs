//! Whose data a request may speak of: the token's tenant, and no other that it names.

use serde_json::json;
use vital_sidecar::record::{Outcome, Refusal, Rejection};
use vital_sidecar::telemetry::sinks::audit::Audit;
use vital_sidecar::telemetry::sinks::audit::fake::FakeDisk;

use super::{Scene, bearer, file, good, jwt, knowing};
use crate::support::eventually;
use crate::support::house::{self, config, lines};
use crate::support::issuer::{Key, claims, set};
use crate::support::recorder::recording;
use crate::support::sidecar;

const TENANTS: &str =
    "[[routes]]\nmatch = \"* /tenants/{tenant}/{*rest}\"\naudit = \"DATA_ACCESS\"\n";

async fn post(scene: &Scene, fields: &str, body: &str) -> u16 {
    let mut client = scene.sidecar.client().await;
    let length = body.len();
    let head =
        format!("POST /api/a HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n{fields}\r\n");
    client.say(head + body).await;
    client.answer().await.status
}

#[tokio::test]
async fn a_header_that_names_another_tenant_is_refused() {
    let key = Key::ec("a");
    let mut scene = knowing(&[&key], "").await;
    let token = bearer(&key.token(&good()));
    for (field, status) in [
        ("x-tenant-id: acme\r\n", 200),
        ("x-tenant-id: other\r\n", 403),
        ("x-tenant-id: ACME\r\n", 403),
        ("x-tenant-id:\r\n", 403),
        ("x-tenant-id: acme\r\nx-tenant-id: other\r\n", 403),
        ("x-tenant-id: acme, other\r\n", 403),
    ] {
        let answer = scene.get("/api/a", &(token.clone() + field)).await;
        assert_eq!(answer.status, status, "{field}");
        let record = scene.record().await;
        if status == 403 {
            assert_eq!(answer.json()["error_type"], "tenant_mismatch");
            assert_eq!(record.outcome, Outcome::Refused(Refusal::TenantMismatch));
        }
        assert_eq!(record.rejection, (status == 403).then_some(Rejection::TenantHeader), "{field}");
    }
    let refused = "sidecar_identity_rejections_total{reason=\"tenant_header\"}";
    assert!((scene.sidecar.metric(refused) - 5.0).abs() < f64::EPSILON);
    assert_eq!(scene.seen().len(), 1);
    // Who has no tenant may not name one.
    let without = key.token(&claims(&json!({"tenant_id": null})));
    let answer = scene.get("/api/a", &(bearer(&without) + "x-tenant-id: acme\r\n")).await;
    assert_eq!(answer.status, 403);
}

#[tokio::test]
async fn a_path_that_names_another_tenant_is_refused_and_audited() {
    let key = Key::ec("a");
    let file = file(&set(&[&key]));
    let recorder = recording().await;
    let text = jwt("jwks_file", &file, "") + TENANTS;
    let config = config(recorder.upstream.address, &text);
    let disk = FakeDisk::default();
    let audit = Audit::open(&config.audit, disk.clone()).expect("an audit");
    let sidecar = sidecar::with_audit(&config, Some(audit));
    let mut scene = Scene { recorder, sidecar, _file: file };
    let ask = async |scene: &mut Scene, path: &str| {
        let answer = scene.get(path, &bearer(&key.token(&good()))).await;
        scene.record().await;
        answer.status
    };

    assert_eq!(ask(&mut scene, "/tenants/acme/a").await, 200);
    assert_eq!(ask(&mut scene, "/tenants/%61cme/a").await, 200, "the same path");
    assert_eq!(ask(&mut scene, "/tenants/other/a").await, 403);
    assert_eq!(ask(&mut scene, "/tenants/acme%20/a").await, 403);
    assert_eq!(scene.seen().len(), 2);

    let records = || {
        let segments =
            disk.names().into_iter().filter(|name| name.strip_suffix(".jsonl").is_some());
        let content = |name: String| disk.content(&name).unwrap_or_default();
        segments.flat_map(|name| lines(&content(name))).collect::<Vec<_>>()
    };
    eventually("all is written", || records().len() == 6).await;
    let refused: Vec<_> =
        records().into_iter().filter(|line| line["event"] == "TENANT_MISMATCH").collect();
    assert_eq!(refused.len(), 2);
    for line in refused {
        assert_eq!(line["result"], "denied");
        assert_eq!((&line["userId"], &line["tenantId"]), (&json!("u-4711"), &json!("acme")));
        assert_ne!(line["path"], "");
        assert_eq!(line["reason"], "tenant_path_param");
    }
    let passed = records().into_iter().find(|line| line["result"] == "success").expect("a record");
    assert_eq!((&passed["userId"], &passed["tenantId"]), (&json!("u-4711"), &json!("acme")));
    assert!(passed.get("reason").is_none(), "{passed}");
}

#[tokio::test]
async fn a_body_that_names_another_tenant_is_refused() {
    let key = Key::ec("a");
    let scene = knowing(&[&key], "tenant_body = \"/tenantId\"").await;
    let token = bearer(&key.token(&good()));
    let json = format!("{token}content-type: application/json\r\n");
    for (body, status) in [
        (r#"{"tenantId":"acme","query":"x"}"#, 200),
        (r#"{"query":"x"}"#, 200),
        (r#"{"tenantId":null}"#, 200),
        (r#"["other"]"#, 200),
        (r#"{"tenantId":"other"}"#, 403),
        (r#"{"tenant\u0049d":"other"}"#, 403),
        (r#"{"tenantId":["acme"]}"#, 403),
        (r#"{"tenantId":"acme","tenantId":"other"}"#, 400),
        (r#"{"tenantId":"other","tenantId":"acme"}"#, 400),
    ] {
        assert_eq!(post(&scene, &json, body).await, status, "{body}");
        assert_eq!(post(&scene, &token, body).await, status, "without a type: {body}");
    }
    assert_eq!(post(&scene, &token, "not JSON").await, 200);
    assert_eq!(post(&scene, &json, "not JSON").await, 400);
    let long = format!("{{\"tenantId\":\"other\",\"query\":\"{}\"}}", "x".repeat(70_000));
    assert_eq!(post(&scene, &json, &long).await, 413, "what cannot be looked at");
    let upload = format!("{token}content-type: application/octet-stream\r\n");
    assert_eq!(post(&scene, &upload, &long).await, 200);
}

#[tokio::test]
async fn a_body_that_only_others_can_read_is_refused() {
    let key = Key::ec("a");
    let scene = knowing(&[&key], "tenant_body = \"/tenantId\"").await;
    let token = bearer(&key.token(&good()));
    let json = format!("{token}content-type: application/json\r\n");
    let wide: String = r#"{"tenantId":"other"}"#.chars().flat_map(|one| [one, '\0']).collect();
    let deep = format!("{{\"tenantId\":\"other\",\"x\":{}{}}}", "[".repeat(300), "]".repeat(300));
    for body in [
        "\u{feff}{\"tenantId\":\"other\"}",
        r#"{"tenantId":"other","x":"\ud800"}"#,
        r#"{"tenantId":"other","x":1e999}"#,
        r#"{"tenantId":"other",}"#,
        &wide,
        &deep,
    ] {
        assert_eq!(post(&scene, &json, body).await, 400, "{body}");
        assert_eq!(post(&scene, &token, body).await, 400, "without a type: {body}");
    }
    let other = r#"{"tenantId":"other"}"#;
    let two = format!("{token}content-type: image/png\r\ncontent-type: application/json\r\n");
    assert_eq!(post(&scene, &two, other).await, 403);
    let coded = format!("{json}content-encoding: identity\r\ncontent-encoding: gzip\r\n");
    assert_eq!(post(&scene, &coded, other).await, 415);
}

#[tokio::test]
async fn a_tenant_in_the_path_of_an_operation_counts_below_a_route_that_does_not_name_it() {
    let key = Key::ec("a");
    let document = file(
        &json!({
            "openapi": "3.0.3", "info": {"title": "a", "version": "1"},
            "paths": {"/t/{tenant}/x": {"get": {
                "parameters": [{"name": "tenant", "in": "path", "required": true,
                                "schema": {"type": "string"}}],
                "responses": {"200": {"description": "ok"}}
            }}}
        })
        .to_string(),
    );
    let file = file(&set(&[&key]));
    let recorder = recording().await;
    let text = jwt("jwks_file", &file, "")
        + &format!("[openapi]\nfile = {:?}\n", document.path())
        + "[[routes]]\nmatch = \"* /t/{*rest}\"\n";
    let sidecar = sidecar::with(&config(recorder.upstream.address, &text)).await;
    let mut scene = Scene { recorder, sidecar, _file: file };
    for (path, status) in [("/t/acme/x", 200), ("/t/other/x", 403)] {
        let answer = scene.get(path, &bearer(&key.token(&good()))).await;
        assert_eq!(answer.status, status, "{path}");
        scene.record().await;
    }
}

#[tokio::test]
async fn the_log_and_explain_say_in_which_place_another_tenant_is_named_and_not_which() {
    let key = Key::ec("a");
    let file = file(&set(&[&key]));
    let recorder = recording().await;
    let text = jwt("jwks_file", &file, "tenant_body = \"/tenantId\"")
        + "[[routes]]\nmatch = \"* /tenants/{tenant}/{*rest}\"\n";
    let house = house::open(&config(recorder.upstream.address, &text)).await;
    let token = bearer(&key.token(&good()));
    let json = format!("content-type: application/json\r\n{token}");
    let body = r#"{"tenantId":"zebra-9"}"#;
    let asks = [
        ("GET /a", format!("x-tenant-id: zebra-9\r\n{token}"), "", "tenant_header", "identity"),
        ("GET /tenants/zebra-9/a", token.clone(), "", "tenant_path_param", "identity"),
        ("POST /a", json, body, "tenant_body", "validation"),
    ];
    for (index, (line, fields, body, place, gate)) in asks.into_iter().enumerate() {
        let mut client = house.client().await;
        let length = format!("content-length: {}\r\n", body.len());
        client.say(format!("{line} HTTP/1.1\r\nhost: a\r\n{length}{fields}\r\n{body}")).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, 403, "{place}");
        assert!(!String::from_utf8_lossy(&answer.body).contains(place), "the client is told less");

        let line = house.lines(index + 1).await.remove(index);
        assert_eq!(line["errorType"], "tenant_mismatch");
        assert_eq!(line["identityReason"], place);
        let id = answer.field("x-request-id").expect("an id");
        let told = house.until(&format!("/explain/{id}"), 200).await.json();
        let gates = told["gates"].as_array().expect("gates");
        let refused = gates.iter().find(|gate| gate["decision"] == "refuse").expect("a refusal");
        assert_eq!(refused["gate"], gate, "{told}");
        assert!(refused["facts"].as_str().is_some_and(|facts| facts.ends_with(place)), "{told}");
        assert!(!told.to_string().contains("zebra-9"), "{told}");
    }
    let log = String::from_utf8(house.paper.bytes()).expect("UTF-8");
    assert!(!log.contains("zebra-9"), "{log}");
    house.close().await;
}
