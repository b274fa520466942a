//! The numbers at their doors: what they say, that they stay few, and that nothing leaks into them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::captures::ORCHESTRATE;
use crate::support::client::{Answer, Client};
use crate::support::house::{self, config, sum};
use crate::support::recorder::recording;
use crate::support::upstream;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

const ROUTES: &str = r#"
[[routes]]
match = "GET /api/users/{id}"
rate_limits = ["shadowed"]
[rate_limits.shadowed]
key = ["ip"]
rate = "1/h"
burst = 1
mode = "shadow"
"#;

async fn ask(door: SocketAddr, request: &str) -> Answer {
    let mut client = Client::connect(door).await;
    client.say(request).await;
    client.answer().await
}

/// The series of a page, without their values.
fn series(page: &str) -> BTreeSet<&str> {
    let lines = page.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.filter_map(|line| line.rsplit_once(' ')).map(|(series, _)| series).collect()
}

/// A word of letters and digits that no configuration knows.
fn word(random: &mut fastrand::Rng) -> String {
    (0..random.usize(1..20)).map(|_| random.alphanumeric()).collect()
}

/// Says hello in so many strange ways: methods, paths, hosts, queries and agents nobody has named.
async fn babble(door: SocketAddr, seed: u64, count: usize) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut client = Client::connect(door).await;
    for _ in 0..count {
        let method = match random.u8(..3) {
            0 => word(&mut random),
            1 => "GET".to_owned(),
            _ => "POST".to_owned(),
        };
        let target = match random.u8(..4) {
            0 => format!("/api/users/{}", word(&mut random)),
            1 => format!("/{}/{}?{}", word(&mut random), word(&mut random), word(&mut random)),
            2 => format!("/%00{}", word(&mut random)),
            _ => format!("/{}", word(&mut random)),
        };
        let host = word(&mut random);
        client
            .say(format!(
                "{method} {target} HTTP/1.1\r\nhost: {host}\r\nuser-agent: {host}\r\n\
                 x-{host}: {target}\r\ncontent-length: 0\r\n\r\n"
            ))
            .await;
        let answer = client.answer().await;
        assert!(matches!(answer.status, 200 | 400), "{answer:?}");
    }
}

#[tokio::test]
async fn ten_thousand_strange_requests_add_no_series() {
    let upstream = upstream::answering(OK).await;
    let house = house::open(&config(upstream.address, ROUTES)).await;
    babble(house.data, 1, 300).await;
    let before = house.page().await;
    let mut babbling = JoinSet::new();
    for seed in 2..6 {
        babbling.spawn(babble(house.data, seed, 2_500));
    }
    babbling.join_all().await;

    let after = house.page().await;
    let new: Vec<_> = series(&after).difference(&series(&before)).copied().collect();
    assert!(new.is_empty(), "{new:#?}");
    assert!((sum(&after, "http_server_request_duration_seconds_count{") - 10_300.0).abs() < 0.5);
}

#[tokio::test]
async fn a_family_that_is_full_counts_the_rest_without_its_labels() {
    let upstream = upstream::scripted(async |mut wire| {
        while let Some(head) = wire.head().await {
            let status = &head["GET /".len()..][..3];
            wire.say(format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n")).await;
        }
    })
    .await;
    let house = house::open(&config(upstream.address, "[metrics]\nmax_series = 100\n")).await;
    let mut client = house.client().await;
    for status in (205..304).chain(305..505) {
        assert_eq!(client.get(&format!("/{status}")).await.status, status);
    }
    let page = house.page().await;
    let count = "http_server_request_duration_seconds_count{";
    let of_family = series(&page).into_iter().filter(|series| series.starts_with(count)).count();
    assert_eq!(of_family, 100);
    let rest = sum(&page, &format!("{count}otel_metric_overflow=\"true\"}}"));
    assert!((rest - 200.0).abs() < 0.1, "{rest}");
    assert!((sum(&page, count) - 299.0).abs() < 0.1, "nothing is lost but labels");
    assert!(sum(&page, "sidecar_metrics_overflow_total") >= 200.0);
}

#[tokio::test]
async fn the_page_has_three_forms_by_accept() {
    let upstream = upstream::answering(OK).await;
    let house = house::open(&config(upstream.address, "")).await;
    house.client().await.get("/").await;
    for (accept, content_type) in [
        ("", "text/plain; version=0.0.4"),
        ("accept: text/plain\r\n", "text/plain; version=0.0.4"),
        (
            "accept: application/openmetrics-text;version=1.0.0\r\n",
            "application/openmetrics-text; version=1.0.0",
        ),
        (
            "accept: application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited\r\n",
            "application/vnd.google.protobuf",
        ),
    ] {
        let request = format!("GET /metrics HTTP/1.1\r\nhost: localhost\r\n{accept}\r\n");
        let answer = house.ask_as(&request).await;
        assert_eq!(answer.status, 200);
        let given = answer.field("content-type").expect("a type");
        assert!(given.starts_with(content_type), "{given}");
        let text = String::from_utf8_lossy(&answer.body);
        assert!(text.contains("http_server_request_duration"), "{accept}");
        assert_eq!(text.ends_with("# EOF\n"), given.contains("openmetrics"), "{accept}");
    }
}

#[tokio::test]
async fn the_scrapers_door_has_four_pages_and_nothing_else() {
    let upstream = upstream::answering(OK).await;
    let mut config = config(upstream.address, "");
    config.metrics_listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    let house = house::open(&config).await;
    let door = house.metrics.expect("a door");
    // Anybody's Host is welcome here.
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: scraper.example\r\n\r\n");
    for path in ["/metrics", "/livez", "/startupz"] {
        assert_eq!(ask(door, &get(path)).await.status, 200, "{path}");
    }
    assert!(matches!(ask(door, &get("/readyz")).await.status, 200 | 503));
    for path in ["/", "/status", "/drain", "/config", "/reload", "/log-level", "/tap", "/metrics/x"]
    {
        assert_eq!(ask(door, &get(path)).await.status, 404, "{path}");
        let post = get(path).replace("GET", "POST");
        assert_eq!(ask(door, &post).await.status, 404, "{path}");
    }
    for method in ["POST", "PUT", "DELETE"] {
        assert_eq!(ask(door, &get("/metrics").replace("GET", method)).await.status, 405);
    }
    assert_eq!(house.ask("/status").await.status, 200, "and the operators' door has them");
}

#[tokio::test]
async fn connections_that_break_in_a_head_are_counted_by_reason() {
    let upstream = upstream::answering(OK).await;
    let mut config = config(upstream.address, "");
    config.server.limits.header_timeout = Duration::from_millis(100);
    let house = house::open(&config).await;
    let count = "sidecar_connection_errors_total{reason=";
    let mut nonsense = house.client().await;
    nonsense.say("\x16\x03\x01 hello there\r\n\r\n").await;
    assert_eq!(nonsense.answer().await.status, 400, "what is no head is a refused request");
    let mut slow = house.client().await;
    slow.say("GET / HTT").await;
    slow.rest().await;
    let mut leaving = house.client().await;
    leaving.say("GET / HTTP/1.1\r\nho").await;
    drop(leaving);
    drop(house.client().await); // A visit without a word is no error.

    house.until_metric(count, 2.0).await;
    let page = house.page().await;
    for reason in ["head_timeout", "incomplete"] {
        assert!(
            (sum(&page, &format!("{count}\"{reason}\"}}")) - 1.0).abs() < 0.1,
            "{reason}:\n{page}"
        );
    }
    let exchanges = sum(&page, "http_server_request_duration_seconds_count");
    assert!((exchanges - 1.0).abs() < 0.1, "only the refused one was an exchange");
    house.until_metric("sidecar_connections", 0.0).await;
}

#[tokio::test]
async fn limits_telemetry_and_upstream_are_on_the_page() {
    let recorder = recording().await;
    let house = house::open(&config(recorder.upstream.address, ROUTES)).await;
    let mut client = house.client().await;
    for _ in 0..3 {
        assert_eq!(client.get("/api/users/1").await.status, 200);
    }
    house.lines(3).await;
    let exported = "sidecar_telemetry_exported_total{signal=\"logs\",sink=\"console\"}";
    house.until_metric(exported, 3.0).await;
    let page = house.page().await;
    for (series, expected) in [
        ("sidecar_rate_limit_decisions_total{rule=\"shadowed\",decision=\"allow\"}", 1.0),
        ("sidecar_rate_limit_decisions_total{rule=\"shadowed\",decision=\"would_deny\"}", 2.0),
        ("sidecar_rate_limit_keys{rule=\"shadowed\"}", 1.0),
        ("sidecar_telemetry_accepted_total{signal=\"logs\",sink=\"console\"}", 3.0),
        ("http_client_request_duration_seconds_count{http_request_method=\"GET\"", 3.0),
        (
            "http_server_request_duration_seconds_count{http_request_method=\"GET\",http_route=\"/api/users/{id}\"",
            3.0,
        ),
        ("http_server_active_requests", 0.0),
        ("sidecar_connections", 1.0),
        ("sidecar_upstream_connections{state=\"idle\"}", 1.0),
        ("sidecar_build_info", 1.0),
    ] {
        assert!((sum(&page, series) - expected).abs() < 0.1, "{series} is not {expected}:\n{page}");
    }
}

#[tokio::test]
async fn identity_headers_of_clients_are_taken_out_and_counted() {
    let recorder = recording().await;
    let house = house::open(&config(recorder.upstream.address, "")).await;
    let mut client = house.client().await;
    for claims in ["x-user-id: admin\r\nx-user-roles: root\r\n", "x_user_id: admin\r\n", ""] {
        client.say(format!("GET / HTTP/1.1\r\nhost: a\r\n{claims}\r\n")).await;
        assert_eq!(client.answer().await.status, 200);
    }
    for seen in recorder.seen() {
        assert!(!seen.head.contains("admin") && !seen.head.contains("root"), "{}", seen.head);
    }
    let removed = house.metric("sidecar_identity_headers_removed_total").await;
    assert!((removed - 3.0).abs() < 0.1, "{removed}");
}

#[tokio::test]
async fn fields_that_are_set_from_claims_count_too_and_what_the_operator_removes_does_not() {
    let recorder = recording().await;
    let policy = "[identity.forward]\nx-acting-for = \"sub\"\n\
                  [security]\nremove_request_headers = [\"x-debug\"]\n";
    let house = house::open(&config(recorder.upstream.address, policy)).await;
    let mut client = house.client().await;
    for fields in ["x-acting-for: eve\r\nx-debug: eve\r\n", "x_acting_for: eve\r\n"] {
        client.say(format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\n")).await;
        assert_eq!(client.answer().await.status, 200);
    }
    assert!(recorder.seen().iter().all(|seen| !seen.head.contains("eve")));
    let removed = house.metric("sidecar_identity_headers_removed_total").await;
    assert!((removed - 2.0).abs() < 0.1, "{removed}");
}

#[tokio::test]
async fn an_exemplar_is_there_only_where_its_trace_can_have_arrived() {
    let recorder = recording().await;
    let exporting = "[otlp]\nendpoint = \"http://127.0.0.1:1\"\n";
    for (more, are_wanted, has_exemplars) in
        [("", true, false), (exporting, true, true), (exporting, false, false)]
    {
        let mut config = config(recorder.upstream.address, more);
        config.metrics.has_exemplars = are_wanted;
        let house = house::open(&config).await;
        assert_eq!(house.client().await.get("/").await.status, 200);
        house.lines(1).await;
        let accept = "accept: application/openmetrics-text;version=1.0.0\r\n";
        let page = house
            .ask_as(&format!("GET /metrics HTTP/1.1\r\nhost: localhost\r\n{accept}\r\n"))
            .await;
        let text = String::from_utf8_lossy(&page.body).into_owned();
        assert!(text.contains("http_server_request_duration_seconds_bucket"), "{text}");
        assert_eq!(text.contains("# {trace_id="), has_exemplars, "{more}");
        house.close().await;
    }
}

#[tokio::test]
async fn all_six_instruments_of_the_plan_move() {
    let upstream = upstream::scripted(async |mut wire| {
        while let Some(head) = wire.head().await {
            wire.body(upstream::content_length(&head)).await;
            let field = if head.contains("/hit") { "x-cache: HIT" } else { "x-cache: MISS" };
            let status = if head.contains("x-fail") { "503 No" } else { "200 OK" };
            wire.say(format!("HTTP/1.1 {status}\r\n{field}\r\ncontent-length: 2\r\n\r\nok")).await;
        }
    })
    .await;
    let text = format!(
        "{ORCHESTRATE}rate_limits = [\"few\"]\n\
         [rate_limits.few]\nkey = [\"ip\"]\nrate = \"1/h\"\nburst = 3\n"
    );
    let house = house::open(&config(upstream.address, &text)).await;
    let mut client = house.client().await;
    client.get("/hit").await;
    let body = r#"{"mode":"rag_query","query":"x"}"#;
    for expected in [200, 200, 503, 429] {
        let fail = if expected == 503 { "x-fail: 1\r\n" } else { "" };
        client
            .say(format!(
                "POST /api/orchestrate HTTP/1.1\r\nhost: a\r\n{fail}content-length: {}\r\n\r\n{body}",
                body.len()
            ))
            .await;
        assert_eq!(client.answer().await.status, expected);
    }
    let page = house.page().await;
    for (series, expected) in [
        ("orchestration_requests_total{status=\"success\",mode=\"rag_query\"}", 2.0),
        ("orchestration_requests_total{status=\"error\",mode=\"rag_query\"}", 1.0),
        ("orchestration_duration_milliseconds_count{mode=\"rag_query\"}", 3.0),
        ("cache_hits_total{http_route=\"_unmatched\"}", 1.0),
        ("cache_misses_total{http_route=\"/api/orchestrate\"}", 3.0),
        ("rate_limit_blocked_total{rule=\"few\",http_route=\"/api/orchestrate\"}", 1.0),
        ("errors_total{type=\"503\"}", 1.0),
        ("errors_total", 1.0),
    ] {
        assert!((sum(&page, series) - expected).abs() < 0.1, "{series} is not {expected}:\n{page}");
    }
}
