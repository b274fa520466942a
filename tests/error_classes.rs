//! Names for errors of the upstream: by status, by the beginning of the body, by its own word.

use std::sync::Arc;

use vital_sidecar::record::{Outcome, Record};

use crate::support::house::{self, config};
use crate::support::sentry_inbox::Inbox;
use crate::support::sidecar::{self, Sidecar};
use crate::support::upstream::{self, Upstream, Wire};

/// The pattern of the contract, and two more classes.
const CLASSES: &str = r#"
[[errors.classify]]
type = "db_pool_exhausted"
status = [500, 503]
body = "(?i)too many (clients|connections)|pool (exhausted|timeout)|connection (terminated|timeout)|remaining connection slots"
[[errors.classify]]
type = "gateway"
status = [502]
[[errors.classify]]
type = "quota_spent"
"#;
const POOL: &str = "{\"error\":\"FATAL: sorry, too many clients already\"}";

async fn classing(upstream: &Upstream) -> Sidecar {
    sidecar::with(&config(upstream.address, CLASSES)).await
}

fn answer(status: u16, fields: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\n{fields}content-length: {}\r\n\r\n{body}", body.len())
}

fn error_type(record: &Arc<Record>) -> Option<String> {
    record.error_type().map(|error_type| error_type.as_str().to_owned())
}

/// What an answer is called, once its body has passed unchanged.
async fn named(answer: String, body: &str) -> (Option<String>, Sidecar) {
    let upstream = upstream::answering(answer).await;
    let mut sidecar = classing(&upstream).await;
    let got = sidecar.client().await.get("/").await;
    assert_eq!(got.body, body.as_bytes());
    assert_eq!(got.field("x-error-type"), None);
    let record = sidecar.record().await;
    (error_type(&record), sidecar)
}

#[tokio::test]
async fn the_status_and_the_body_tell_the_class() {
    for (status, body, expected) in [
        (500, POOL, Some("db_pool_exhausted")),
        (503, "Remaining connection slots are reserved", Some("db_pool_exhausted")),
        (500, "something else", Some("500")),
        (502, POOL, Some("gateway")),
        (504, POOL, Some("504")),
        (500, "", Some("500")),
        (200, POOL, None),
        (429, POOL, None),
    ] {
        let (class, sidecar) = named(answer(status, "", body), body).await;
        assert_eq!(class.as_deref(), expected, "{status} {body}");
        assert_eq!(sidecar.proxy.inspection().reserved(), 0);
    }
}

#[tokio::test]
async fn the_upstream_may_name_a_configured_class_and_nothing_else() {
    for (said, expected) in [
        ("quota_spent", "quota_spent"),
        ("gateway", "gateway"),
        ("anything: else", "db_pool_exhausted"),
    ] {
        let fields = format!("x-error-type: {said}\r\n");
        let (class, _sidecar) = named(answer(500, &fields, POOL), POOL).await;
        assert_eq!(class.as_deref(), Some(expected), "{said}");
    }
    let (class, _sidecar) = named(answer(404, "x-error-type: gateway\r\n", ""), "").await;
    assert_eq!(class, None, "no error of the upstream");
}

#[tokio::test]
async fn a_client_cannot_name_the_class_by_way_of_a_service_that_echoes_it() {
    let upstream = upstream::scripted(async |mut wire: Wire| {
        while let Some(head) = wire.head().await {
            let said = head.lines().filter(|line| line.to_lowercase().starts_with("x-error-type"));
            let fields: Vec<_> = said.flat_map(|line| [line, "\r\n"]).collect();
            wire.say(answer(500, &fields.concat(), "")).await;
        }
    })
    .await;
    let mut sidecar = classing(&upstream).await;
    let mut client = sidecar.client().await;
    client.say("GET / HTTP/1.1\r\nhost: a\r\nX-Error-Type: quota_spent\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 500);
    assert_eq!(error_type(&sidecar.record().await).as_deref(), Some("500"));
    assert!(!upstream.has_seen("quota_spent"));
}

#[tokio::test]
async fn a_class_in_the_trailers_is_not_announced_to_the_client() {
    let upstream = upstream::answering(
        "HTTP/1.1 500 X\r\ntrailer: x-sum, x-error-type\r\ntransfer-encoding: chunked\r\n\r\n\
         2\r\nno\r\n0\r\nx-sum: 7\r\nx-error-type: gateway\r\n\r\n",
    )
    .await;
    let sidecar = classing(&upstream).await;
    let mut client = sidecar.client().await;
    client.say("GET / HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: close\r\n\r\n").await;
    let answer = String::from_utf8(client.rest().await).expect("UTF-8").to_lowercase();
    assert!(answer.contains("trailer: x-sum\r\n") && answer.contains("x-sum: 7\r\n"), "{answer}");
    assert!(!answer.contains("x-error-type"), "{answer}");
}

#[tokio::test]
async fn a_pattern_may_lie_in_several_frames_and_only_four_kibibytes_are_searched() {
    for (before, expected) in
        [(0, "db_pool_exhausted"), (4096 - 16, "db_pool_exhausted"), (4096 - 15, "500")]
    {
        let body = "x".repeat(before) + "too many clients" + &"y".repeat(9000);
        for (size, is_chunked) in [(1, true), (7, true), (1000, true), (5000, true), (7, false)] {
            let body = body.clone().into_bytes();
            let sent = body.clone();
            let upstream = upstream::scripted(move |mut wire: Wire| {
                let body = sent.clone();
                async move {
                    while wire.head().await.is_some() {
                        speak(&mut wire, &body, size, is_chunked).await;
                    }
                }
            })
            .await;
            let mut sidecar = classing(&upstream).await;
            assert_eq!(sidecar.client().await.get("/").await.body, body);
            let record = sidecar.record().await;
            assert_eq!(error_type(&record).as_deref(), Some(expected), "{before} {size}");
            assert_eq!(sidecar.proxy.inspection().reserved(), 0);
        }
    }
}

/// Sends a 500 with this body in pieces.
async fn speak(wire: &mut Wire, body: &[u8], size: usize, is_chunked: bool) {
    let framing = if is_chunked {
        "transfer-encoding: chunked".to_owned()
    } else {
        format!("content-length: {}", body.len())
    };
    wire.say(format!("HTTP/1.1 500 X\r\n{framing}\r\n\r\n")).await;
    // The end is of no interest: it comes at once.
    let (start, rest) = body.split_at(4200);
    for piece in start.chunks(size).chain([rest]) {
        if is_chunked {
            wire.say(format!("{:x}\r\n", piece.len())).await;
        }
        wire.say(piece).await;
        if is_chunked {
            wire.say("\r\n").await;
        }
    }
    if is_chunked {
        wire.say("0\r\n\r\n").await;
    }
}

#[tokio::test]
async fn what_is_not_whole_or_cannot_be_read_has_no_class_from_its_body() {
    let (class, sidecar) = named(answer(500, "content-encoding: gzip\r\n", POOL), POOL).await;
    assert_eq!(class.as_deref(), Some("500"));
    assert!(sidecar.metric("sidecar_capture_unreadable_total") > 0.5);

    let cut = format!("HTTP/1.1 500 X\r\ncontent-length: 9999\r\n\r\n{POOL}");
    let upstream = upstream::scripted(move |mut wire: Wire| {
        let cut = cut.clone();
        async move {
            wire.head().await;
            wire.say(cut).await;
        }
    })
    .await;
    let mut sidecar = classing(&upstream).await;
    let mut client = sidecar.client().await;
    client.say("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    client.rest().await;
    let record = sidecar.record().await;
    assert_eq!(error_type(&record).as_deref(), Some("upstream_reset"));
    assert_eq!(record.class, None);
}

#[tokio::test]
async fn a_head_has_no_body_to_tell_anything() {
    for (status, expected) in [(500, "500"), (502, "gateway")] {
        let upstream = upstream::answering(format!(
            "HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n",
            POOL.len()
        ))
        .await;
        let mut sidecar = classing(&upstream).await;
        let mut client = sidecar.client().await;
        client.say("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert_eq!(client.head_only().await.status, status);
        let record = sidecar.record().await;
        assert_eq!(
            (error_type(&record).as_deref(), record.outcome),
            (Some(expected), Outcome::Served)
        );
    }
}

#[tokio::test]
async fn without_memory_to_look_at_it_the_answer_passes_unnamed_and_is_counted() {
    let upstream = upstream::answering(answer(500, "", POOL)).await;
    let text = format!("[inspect]\nmax_body = \"8B\"\nmax_memory = \"8B\"\n{CLASSES}");
    let mut sidecar = sidecar::with(&config(upstream.address, &text)).await;
    assert_eq!(sidecar.client().await.get("/").await.body, POOL.as_bytes());
    assert_eq!(error_type(&sidecar.record().await).as_deref(), Some("500"));
    assert!(sidecar.metric("sidecar_capture_unreadable_total") > 0.5);
}

#[tokio::test]
async fn the_upstream_is_asked_for_errors_in_the_clear_only_where_a_pattern_is_searched() {
    const ASK: &str = "GET / HTTP/1.1\r\nhost: a\r\naccept-encoding: gzip\r\n\r\n";
    for (classes, expected) in [
        (CLASSES, "accept-encoding: identity\r\n"),
        ("[[errors.classify]]\ntype = \"gateway\"\nstatus = [502]\n", "accept-encoding: gzip\r\n"),
        ("", "accept-encoding: gzip\r\n"),
    ] {
        let upstream = upstream::answering(answer(200, "", "")).await;
        let sidecar = sidecar::with(&config(upstream.address, classes)).await;
        let mut client = sidecar.client().await;
        client.say(ASK).await;
        assert_eq!(client.answer().await.status, 200);
        assert!(upstream.heads()[0].to_lowercase().contains(expected), "{classes}");
    }
}

#[tokio::test]
async fn every_voice_calls_the_error_by_its_class_and_none_repeats_its_text() {
    let upstream = upstream::answering(answer(503, "", POOL)).await;
    let inbox = Inbox::start().await;
    let sentry = format!("[sentry]\ndsn = \"{}\"\ndisabled_environments = []\n", inbox.dsn());
    let house = house::open(&config(upstream.address, &format!("{sentry}{CLASSES}"))).await;
    for class in ["db_pool_exhausted", "gateway", "quota_spent"] {
        let series = format!("errors_total{{type=\"{class}\"}} 0");
        assert!(house.page().await.contains(&series), "{class} is there from the start");
    }
    assert_eq!(house.client().await.get("/").await.status, 503);
    let line = house.lines(1).await.remove(0);
    assert_eq!(line["errorType"], "db_pool_exhausted");
    assert!(house.page().await.contains("errors_total{type=\"db_pool_exhausted\"} 1"));
    let leg = "http_client_request_duration_seconds_count{";
    let page = house.page().await;
    let leg = page.lines().find(|line| line.starts_with(leg)).expect("the upstream leg");
    assert!(leg.contains("error_type=\"db_pool_exhausted\""), "{leg}");
    let log = String::from_utf8(house.paper.bytes()).expect("UTF-8");
    house.close().await;
    let envelopes = inbox.envelopes();
    assert_eq!(envelopes.len(), 1);
    assert_eq!(envelopes[0].event()["fingerprint"][0], "db_pool_exhausted");
    let event = String::from_utf8_lossy(&envelopes[0].body).into_owned();
    for voice in [log, page, event] {
        assert!(!voice.contains("clients already"), "{voice}");
    }
}
