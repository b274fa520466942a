//! The metrics as a scraper sees them.

use std::time::SystemTime;

use super::orchestrations::{MODE, SPAN};
use super::sources::{AuditCounts, RuleCounts, SinkCounts};
use super::*;
use crate::config::model::TAKEN_LABELS;
use crate::http::ids::RequestId;
use crate::http::shape::Words;
use crate::http::traceparent::{SpanId, TraceId};
use crate::record::name::spell;
use crate::record::{
    Cache, Fact, Failure, Outcome, Phase, Policy, Refusal, Stream, Trace, UpstreamLeg, Value,
};
use crate::telemetry::log::sample;

mod pages;

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
    Arc::new(RouteNames {
        template: template.into(),
        name: None,
        span: None,
        audit: None,
        policy: Policy::default(),
    })
}

fn record(route: &Arc<RouteNames>) -> Record {
    let sample = sample::record();
    let (trace_id, server_span) = (TraceId([1; 16]), SpanId([1; 8]));
    Record {
        request_id: RequestId::generate(),
        trace: Trace { trace_id, server_span, ..sample.trace.clone() },
        started: SystemTime::UNIX_EPOCH,
        duration: 20 * MS,
        ttfb: Some(10 * MS),
        overhead: Duration::from_micros(60),
        upstream: Some(UpstreamLeg {
            offset: Duration::from_micros(40),
            to_head: 9 * MS,
            duration: 19 * MS,
            status: Some(200),
        }),
        method: Method::Get,
        route: Arc::clone(route),
        bytes_in: 0,
        bytes_out: 300,
        facts: Vec::new(),
        ..sample
    }
}

fn page(metrics: &Metrics) -> String {
    String::from_utf8(metrics.expose(Format::Text).unwrap().body).unwrap()
}

/// The captured facts that are labels.
fn labels() -> [ConfigName; 2] {
    [MODE, "report.kind"].map(ConfigName::from)
}

/// Counts a record that `change` made of an ordinary one, and gives the page.
fn page_after(change: impl FnOnce(&mut Record)) -> String {
    let metrics = metrics();
    let route = names("/api/x");
    let mut record = record(&route);
    change(&mut record);
    metrics.observe(&record, &metrics.route_with(&record.route, &labels()));
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
    for (phase, seconds) in [("request", "0.00004"), ("response", "0.00002"), ("total", "0.00006")]
    {
        assert_line(&page, &format!("sidecar_overhead_seconds_sum{{phase=\"{phase}\"}} {seconds}"));
    }
    let first_byte = "sidecar_response_time_to_first_byte_seconds_count{http_route=\"/api/x\"} 1";
    assert_line(&page, first_byte);
    assert!(!page.contains("errors_total{"));
    assert!(!page.contains("orchestration_requests_total{"));
}

#[test]
fn a_request_without_an_upstream_leg_has_no_response_phase() {
    let page = page_after(|record| record.upstream = None);
    for (phase, count) in [("request", 1), ("response", 0), ("total", 1)] {
        let line = format!("sidecar_overhead_seconds_count{{phase=\"{phase}\"}} {count}");
        assert_line(&page, &line);
    }
}

#[test]
fn a_client_that_left_has_no_status() {
    for (phase, status) in [(Phase::Upstream, None), (Phase::Response, Some(200))] {
        let page = page_after(|record| {
            record.status = status;
            record.outcome = Outcome::Gone { phase };
        });
        assert_line(
            &page,
            "http_server_request_duration_seconds_count{http_request_method=\"GET\",\
             http_route=\"/api/x\",error_type=\"client_abort\",sidecar_stream=\"false\"} 1",
        );
        assert!(!page.contains("\nerrors_total{"));
    }
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
    let mut stream = Stream { events: 7, ..Stream::default() };
    for millis in [4, 10, 300] {
        stream.gaps.add(Duration::from_millis(millis));
    }
    let page = page_after(|record| record.stream = Some(Box::new(stream)));
    assert_line(&page, "sidecar_stream_events_total{http_route=\"/api/x\"} 7");
    for (bound, count) in [("0.01", 2), ("0.16", 2), ("0.32", 3), ("+Inf", 3)] {
        let labels = format!("{{http_route=\"/api/x\",le=\"{bound}\"}}");
        assert_line(&page, &format!("sidecar_stream_gap_seconds_bucket{labels} {count}"));
    }
    assert_line(&page, "sidecar_stream_gap_seconds_sum{http_route=\"/api/x\"} 0.314");
    assert_line(&page, "sidecar_stream_duration_seconds_count{http_route=\"/api/x\"} 1");
    assert!(page.contains("sidecar_stream=\"true\""));
}

#[test]
fn an_error_event_makes_an_orchestration_an_error_though_its_status_was_good() {
    let page = page_after(|record| {
        record.facts.push(Fact { name: MODE.into(), value: Value::Member("auto".into()) });
        record.stream = Some(Box::new(Stream { has_error_event: true, ..Stream::default() }));
    });
    assert_line(&page, "orchestration_requests_total{status=\"error\",mode=\"auto\"} 1");
    assert!(!page.contains("\nerrors_total{"));
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
fn a_mode_that_may_not_be_a_label_is_other() {
    let (metrics, names) = (metrics(), names("/api/x"));
    let mut record = record(&names);
    record.facts.push(Fact { name: MODE.into(), value: Value::Member("auto".into()) });
    metrics.observe(&record, &metrics.route(&names));
    assert_line(
        &page(&metrics),
        "orchestration_requests_total{status=\"success\",mode=\"_other\"} 1",
    );
}

#[test]
fn a_captured_fact_is_a_label_of_the_duration() {
    for kind in ["summary", "full"] {
        let fact = Fact { name: "report.kind".into(), value: Value::Member(kind.into()) };
        let page = page_after(|record| {
            record.facts.push(Fact { name: MODE.into(), value: Value::Member("auto".into()) });
            record.facts.push(fact);
        });
        let labels = "http_request_method=\"GET\",http_route=\"/api/x\",\
                      http_response_status_code=\"200\",sidecar_stream=\"false\"";
        let duration = "http_server_request_duration_seconds";
        assert_line(&page, &format!("{duration}_count{{{labels},report_kind=\"{kind}\"}} 1"));
        assert!(!page.contains("orchestration_mode="), "it has metrics of its own");
    }
}

#[test]
fn no_captured_fact_can_take_the_name_of_a_label() {
    for key in catalogue::REQUEST_DURATION.keys {
        assert!(TAKEN_LABELS.contains(&&*spell(key)), "{key}");
    }
}

#[test]
fn an_orchestration_with_an_unreadable_mode_is_still_counted() {
    let span = |record: &mut Record| {
        let names = Arc::make_mut(&mut record.route);
        names.span = Some(SPAN.into());
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

#[test]
fn a_service_that_makes_token_counts_up_does_not_turn_their_sum_over() {
    let metrics = metrics();
    let mut record = record(&names("/"));
    for tokens in [12, u64::MAX, u64::MAX] {
        let name = "gen_ai.usage.input_tokens".into();
        record.facts = vec![Fact { name, value: Value::Number(tokens) }];
        metrics.observe_genai(&record);
    }
    let sum = "gen_ai_client_token_usage_sum{gen_ai_token_type=\"input\"} 12";
    assert_line(&page(&metrics), sum);
}

#[test]
fn a_clock_that_was_set_back_ends_no_push_before_its_beginning() {
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;
    use prost::Message;

    let metrics = metrics();
    metrics.upstream_connected(MS);
    let before = SystemTime::now() - Duration::from_hours(1);
    let (body, _) = otlp::encode(&metrics.read(), &metrics.shared.origin, before);

    let request = ExportMetricsServiceRequest::decode(&*body).unwrap();
    let scope = &request.resource_metrics[0].scope_metrics[0];
    let mut seen = 0;
    for metric in &scope.metrics {
        if let Some(Data::Histogram(histogram)) = &metric.data {
            for point in &histogram.data_points {
                assert!(point.time_unix_nano >= point.start_time_unix_nano, "{}", metric.name);
                seen += 1;
            }
        }
    }
    assert!(seen > 0);
}
