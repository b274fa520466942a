//! The metrics as a scraper sees them.

use std::net::{IpAddr, Ipv4Addr};
use std::time::SystemTime;

use super::sources::{AuditCounts, RuleCounts, SinkCounts};
use super::*;
use crate::http::ids::RequestId;
use crate::http::shape::Words;
use crate::http::traceparent::{SpanId, TraceId};
use crate::record::{Cache, Fact, Failure, Kept, Phase, Refusal, Stream, Trace, UpstreamLeg};

const MS: Duration = Duration::from_millis(1);

fn metrics() -> Metrics {
    let service = Service {
        name: "vital-orchestrator".to_owned(),
        version: "1.0.0".to_owned(),
        environment: "test".to_owned(),
        attributes: vec![("service.name".to_owned(), "again".to_owned())],
    };
    Metrics::new(&service).for_upstream(&"127.0.0.1".into(), 3000)
}

fn names(template: &'static str) -> Arc<RouteNames> {
    Arc::new(RouteNames { template: template.into(), name: None, span: None, audit: None })
}

fn record(route: &Arc<RouteNames>) -> Record {
    let span = SpanId([1; 8]);
    Record {
        request_id: RequestId::generate(),
        client_request_id: None,
        trace: Trace {
            trace_id: TraceId([1; 16]),
            server_span: span,
            client_span: span,
            internal_span: span,
            parent: None,
            link: None,
            sampled: true,
            is_random: true,
            state: None,
        },
        kept: Some(Kept::Head),
        started: SystemTime::UNIX_EPOCH,
        duration: 20 * MS,
        ttfb: Some(10 * MS),
        overhead: Duration::from_micros(60),
        upstream: Some(UpstreamLeg {
            offset: MS,
            to_head: 9 * MS,
            duration: 19 * MS,
            status: Some(200),
        }),
        method: Method::Get,
        scheme: "http",
        protocol: "1.1",
        route: Arc::clone(route),
        shape: None,
        status: Some(200),
        outcome: Outcome::Served,
        bytes_in: 0,
        bytes_out: 300,
        stream: None,
        user_agent: None,
        client_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        facts: Vec::new(),
        limited_by: None,
        cache: None,
    }
}

fn page(metrics: &Metrics) -> String {
    String::from_utf8(metrics.expose(Format::Text).unwrap().body).unwrap()
}

/// Counts a record that `change` made of an ordinary one, and gives the page.
fn page_after(change: impl FnOnce(&mut Record)) -> String {
    let metrics = metrics();
    let route = names("/api/x");
    let mut record = record(&route);
    change(&mut record);
    metrics.observe(&record, &metrics.route(&record.route));
    page(&metrics)
}

fn assert_line(page: &str, line: &str) {
    assert!(page.lines().any(|found| found == line), "no line `{line}` in\n{page}");
}

#[test]
fn a_served_request_moves_its_histograms() {
    let page = page_after(|_| {});
    let route = "http_request_method=\"GET\",http_route=\"/api/x\"";
    let labels = format!("{route},http_response_status_code=\"200\",sidecar_stream=\"false\"");
    let duration = "http_server_request_duration_seconds";
    assert_line(&page, &format!("{duration}_bucket{{{labels},le=\"0.01\"}} 0"));
    assert_line(&page, &format!("{duration}_bucket{{{labels},le=\"0.025\"}} 1"));
    assert_line(&page, &format!("{duration}_bucket{{{labels},le=\"60\"}} 1"));
    assert_line(&page, &format!("{duration}_bucket{{{labels},le=\"+Inf\"}} 1"));
    assert_line(&page, &format!("{duration}_sum{{{labels}}} 0.02"));
    assert_line(&page, &format!("{duration}_count{{{labels}}} 1"));
    assert_line(&page, &format!("http_server_response_body_size_bytes_sum{{{route}}} 300"));
    let client = "http_client_request_duration_seconds_count{http_request_method=\"GET\",\
        http_response_status_code=\"200\",server_address=\"127.0.0.1\",server_port=\"3000\"} 1";
    assert_line(&page, client);
    assert_line(&page, "sidecar_overhead_seconds_bucket{phase=\"total\",le=\"0.0001\"} 1");
    let first_byte = "sidecar_response_time_to_first_byte_seconds_count{http_route=\"/api/x\"} 1";
    assert_line(&page, first_byte);
    assert!(!page.contains("errors_total{"));
    assert!(!page.contains("orchestration_requests_total{"));
}

#[test]
fn a_client_that_left_has_no_status() {
    let page = page_after(|record| {
        record.status = None;
        record.outcome = Outcome::Gone { phase: Phase::Upstream };
    });
    assert_line(
        &page,
        "http_server_request_duration_seconds_count{http_request_method=\"GET\",\
         http_route=\"/api/x\",error_type=\"client_abort\",sidecar_stream=\"false\"} 1",
    );
    assert!(!page.contains("\nerrors_total{"));
}

#[test]
fn a_failure_is_an_error_by_type() {
    let page = page_after(|record| {
        record.status = Some(504);
        record.outcome = Outcome::Failed(Failure::ResponseHeaderTimeout);
    });
    assert_line(&page, "errors_total{type=\"response_header_timeout\"} 1");
}

#[test]
fn only_what_a_limit_refused_counts_as_blocked() {
    let page = page_after(|record| record.limited_by = Some("shadow".into()));
    assert!(!page.contains("rate_limit_blocked_total{"));

    let page = page_after(|record| {
        record.limited_by = Some("per_ip".into());
        record.upstream = None;
        record.status = Some(429);
        record.outcome = Outcome::Refused(Refusal::RateLimited);
    });
    assert_line(&page, "rate_limit_blocked_total{rule=\"per_ip\",http_route=\"/api/x\"} 1");
    assert!(!page.contains("\nerrors_total{"));
}

#[test]
fn a_stream_counts_its_events_and_its_own_duration() {
    let page = page_after(|record| record.stream = Some(Stream { events: 7 }));
    assert_line(&page, "sidecar_stream_events_total{http_route=\"/api/x\"} 7");
    assert_line(&page, "sidecar_stream_duration_seconds_count{http_route=\"/api/x\"} 1");
    assert!(page.contains("sidecar_stream=\"true\""));
}

#[test]
fn cache_headers_count_as_hits_and_misses() {
    let page = page_after(|record| record.cache = Some(Cache::Hit));
    assert_line(&page, "cache_hits_total{http_route=\"/api/x\"} 1");
    let page = page_after(|record| record.cache = Some(Cache::Miss));
    assert_line(&page, "cache_misses_total{http_route=\"/api/x\"} 1");
}

#[test]
fn an_orchestration_is_counted_by_its_mode() {
    let fact = Fact { name: MODE.into(), value: Value::Member("auto".into()) };
    let page = page_after(|record| record.facts.push(fact.clone()));
    assert_line(&page, "# HELP orchestration_requests_total Number of orchestration requests");
    assert_line(&page, "orchestration_requests_total{status=\"success\",mode=\"auto\"} 1");
    assert_line(&page, "orchestration_duration_milliseconds_bucket{mode=\"auto\",le=\"25\"} 1");
    assert_line(&page, "orchestration_duration_milliseconds_sum{mode=\"auto\"} 20");

    let page = page_after(|record| {
        record.facts.push(fact);
        record.status = Some(502);
        record.outcome = Outcome::Failed(Failure::UpstreamReset);
    });
    assert_line(&page, "orchestration_requests_total{status=\"error\",mode=\"auto\"} 1");
}

#[test]
fn an_orchestration_with_an_unreadable_mode_is_still_counted() {
    let span = |record: &mut Record| {
        let names = Arc::make_mut(&mut record.route);
        names.span = Some(ORCHESTRATION.into());
    };
    let page = page_after(span);
    assert_line(&page, "orchestration_requests_total{status=\"success\",mode=\"_other\"} 1");

    let page = page_after(|record| {
        span(record);
        record.upstream = None;
        record.outcome = Outcome::Refused(Refusal::RateLimited);
    });
    assert!(!page.contains("orchestration_requests_total{"));
}

#[test]
fn ten_thousand_odd_requests_make_no_series() {
    let metrics = metrics();
    let unmatched = names(RouteNames::UNMATCHED);
    let route = metrics.route(&unmatched);
    let mut record = record(&unmatched);
    let observe = |record: &mut Record, number: u32| {
        let token = format!("M{number}");
        record.method = Method::from(&http::Method::from_bytes(token.as_bytes()).unwrap());
        record.shape = Some(Words::default().shape(&"/x".repeat(number as usize % 20)));
        metrics.observe(record, &route);
    };
    observe(&mut record, 0);
    let series = page(&metrics).lines().count();
    for number in 1..10_000 {
        observe(&mut record, number);
    }
    assert_eq!(page(&metrics).lines().count(), series);
}

#[test]
fn more_endings_than_slots_are_all_counted() {
    let metrics = metrics();
    let names = names("/api/x");
    let route = metrics.route(&names);
    for round in 0..2 {
        for status in (200..260).chain([999]) {
            let mut record = record(&names);
            record.status = Some(status);
            metrics.observe(&record, &route);
        }
        let page = page(&metrics);
        let counts: Vec<&str> = page
            .lines()
            .filter(|line| line.starts_with("http_server_request_duration_seconds_count"))
            .collect();
        assert_eq!(counts.len(), 61);
        assert!(counts.iter().all(|line| line.ends_with(&format!(" {}", round + 1))));
        assert!(page.contains("http_response_status_code=\"_OTHER\""));
    }
}

#[test]
fn a_reload_keeps_the_counters_of_a_template() {
    let metrics = metrics();
    assert!(Arc::ptr_eq(&metrics.route(&names("/a")), &metrics.route(&names("/a"))));
    assert!(!Arc::ptr_eq(&metrics.route(&names("/a")), &metrics.route(&names("/b"))));
    let again = metrics.for_upstream(&"127.0.0.1".into(), 3000);
    assert!(Arc::ptr_eq(&metrics.upstream, &again.upstream));
}

#[test]
fn a_guard_counts_while_it_is_held() {
    let metrics = metrics();
    let guards = (metrics.active(Method::Post), metrics.connection(), metrics.upstream_in_use());
    let held = page(&metrics);
    assert_line(&held, "http_server_active_requests{http_request_method=\"POST\"} 1");
    assert_line(&held, "sidecar_connections 1");
    assert_line(&held, "sidecar_upstream_connections{state=\"in_use\"} 1");
    drop(guards);
    let after = page(&metrics);
    assert_line(&after, "http_server_active_requests{http_request_method=\"POST\"} 0");
    assert_line(&after, "sidecar_connections 0");
    assert_line(&after, "sidecar_upstream_connections{state=\"in_use\"} 0");
}

/// A registry in which every source and most series have something to show.
fn lively() -> Metrics {
    let metrics = metrics();
    let names = names("/api/\"x\"/{id}");
    let route = metrics.route(&names);
    let mut record = record(&names);
    record.stream = Some(Stream { events: 3 });
    record.cache = Some(Cache::Hit);
    record.facts.push(Fact { name: MODE.into(), value: Value::Member("auto".into()) });
    metrics.observe(&record, &route);
    record.outcome = Outcome::Failed(Failure::UpstreamReset);
    metrics.observe(&record, &route);
    drop(metrics.active(Method::Get));
    metrics.connection_error(ConnectionError::Parse);
    metrics.upstream_connected(MS);
    metrics.audit_committed(MS);
    metrics.identity_headers_removed(2);
    metrics.capture_unreadable();
    for sink in ["stdout", "otlp"] {
        metrics.register(sources::sinks(move || {
            vec![SinkCounts {
                signal: "traces",
                sink,
                accepted: 5,
                exported: 3,
                dropped: vec![("timeout", 1)],
                in_flight: 1,
                capacity: 10,
                attempts: vec![("ok", 2)],
                last_success: Some(SystemTime::UNIX_EPOCH + MS),
            }]
        }));
    }
    metrics.register(sources::rules(|| {
        let rule = "per_ip".into();
        vec![RuleCounts { rule, allowed: 1, denied: 2, would_deny: 3, keys: 4 }]
    }));
    metrics.register(sources::audit(|| AuditCounts {
        records: vec![("ORCHESTRATION_REQUEST", "initiated", 1)],
        failures: 0,
        sequence: 1,
    }));
    metrics
}

#[test]
fn sources_of_one_family_share_its_head() {
    let page = page(&lively());
    let heads = page.matches("# TYPE sidecar_telemetry_accepted_total counter").count();
    assert_eq!(heads, 1);
    assert_line(&page, "sidecar_telemetry_accepted_total{signal=\"traces\",sink=\"otlp\"} 5");
    let dropped = "{signal=\"traces\",sink=\"stdout\",reason=\"timeout\"} 1";
    assert_line(&page, &format!("sidecar_telemetry_dropped_total{dropped}"));
    let shadow = "sidecar_rate_limit_decisions_total{rule=\"per_ip\",decision=\"would_deny\"} 3";
    assert_line(&page, shadow);
    assert_line(&page, "sidecar_audit_sequence 1");
}

#[test]
fn pages_come_in_a_fixed_order() {
    let page = page(&lively());
    let heads: Vec<&str> = page.lines().filter(|line| line.starts_with("# TYPE")).collect();
    assert!(heads.is_sorted());
    assert!(heads.len() > 30);
}

#[test]
fn openmetrics_names_families_and_ends() {
    let body = lively().expose(Format::OpenMetrics).unwrap().body;
    let page = String::from_utf8(body).unwrap();
    assert_line(&page, "# TYPE errors counter");
    assert_line(&page, "errors_total{type=\"upstream_reset\"} 1");
    assert_line(&page, "# TYPE target info");
    assert_line(&page, "# UNIT http_server_request_duration_seconds seconds");
    assert!(page.contains("\ntarget_info{service_name=\"vital-orchestrator\","));
    assert!(page.contains("le=\"1.0\""));
    assert!(page.ends_with("# EOF\n"));
}

#[test]
fn protobuf_is_a_row_of_delimited_families() {
    use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model::MetricFamily;
    use prost::Message;

    let body = lively().expose(Format::Protobuf).unwrap().body;
    let mut rest = body.as_slice();
    let mut names = Vec::new();
    while !rest.is_empty() {
        names.push(MetricFamily::decode_length_delimited(&mut rest).unwrap().name);
    }
    assert!(names.contains(&"orchestration_duration_milliseconds".to_owned()));
    assert!(names.is_sorted());
}
