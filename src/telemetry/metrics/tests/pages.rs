//! The whole page, in each of its forms.

use super::*;

/// Metrics in which every source and most series have something to show.
fn lively() -> Metrics {
    let metrics = metrics();
    let names = names("/api/\"x\"/{id}");
    let route = metrics.route_with(&names, &labels());
    let mut record = record(&names);
    record.stream = Some(Box::new(Stream { events: 3, ..Stream::default() }));
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
                spool_bytes: (sink == "otlp").then_some(4096),
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
    assert_line(&page, "sidecar_telemetry_spool_bytes{signal=\"traces\",sink=\"otlp\"} 4096");
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
fn a_kept_trace_is_an_exemplar_of_its_durations() {
    let metrics = metrics();
    let names = names("/api/x");
    let mut record = record(&names);
    record.trace.client_span = SpanId([2; 8]);
    metrics.observe(&record, &metrics.route(&names));
    record.trace.trace_id = TraceId([9; 16]);
    record.kept = None;
    metrics.observe(&record, &metrics.route(&names));

    let body = metrics.expose(Format::OpenMetrics).unwrap().body;
    let open = String::from_utf8(body).unwrap();
    let trace = "01".repeat(16);
    let exemplar = |span: &str, value: &str| {
        format!(" # {{trace_id=\"{trace}\",span_id=\"{}\"}} {value} 0.020", span.repeat(8))
    };
    let line = |start: &str, le: &str| {
        let mut lines = open.lines().filter(|line| line.starts_with(&format!("{start}_bucket{{")));
        lines.find(|line| line.contains(&format!("le=\"{le}\""))).unwrap().to_owned()
    };
    let server = "http_server_request_duration_seconds";
    assert!(line(server, "0.025").ends_with(&format!(" 2{}", exemplar("01", "0.02"))), "{open}");
    assert!(line(server, "0.05").ends_with("} 2"), "an exemplar is in its own bucket only");
    let client = line("http_client_request_duration_seconds", "0.025");
    assert!(client.ends_with(&format!(" 2{}", exemplar("02", "0.019"))), "{client}");
    assert!(!open.contains(&"09".repeat(16)), "a trace that was not kept leads nowhere");
    assert!(!page(&metrics).contains(&trace), "0.0.4 knows no exemplars");
}

fn service() -> Service {
    Service {
        name: "s".to_owned(),
        version: "1".to_owned(),
        environment: "test".to_owned(),
        attributes: Vec::new(),
    }
}

#[test]
fn a_family_that_is_full_counts_the_rest_under_its_overflow_series() {
    let metrics = Metrics::bounded(&service(), 10);
    let names = names("/api/x");
    for status in 200..220 {
        let mut record = record(&names);
        record.status = Some(status);
        metrics.observe(&record, &metrics.route(&names));
    }
    let page = page(&metrics);
    let count = "http_server_request_duration_seconds_count{";
    let series: Vec<_> = page.lines().filter(|line| line.starts_with(count)).collect();
    assert_eq!(series.len(), 10, "{series:#?}");
    assert_line(&page, &format!("{count}otel_metric_overflow=\"true\"}} 11"));
    // Twenty responses with an overflow of eleven: nothing was lost.
    let total: u32 =
        series.iter().filter_map(|line| line.rsplit(' ').next()?.parse::<u32>().ok()).sum();
    assert_eq!(total, 20);
    let overflow = page.lines().find(|line| line.starts_with("sidecar_metrics_overflow_total "));
    assert_eq!(overflow, Some("sidecar_metrics_overflow_total 11"));
}

#[test]
fn a_family_that_others_count_overflows_as_visibly() {
    let metrics = Metrics::bounded(&service(), 10);
    metrics.register(sources::rules(|| {
        let rule = |number: u64| RuleCounts {
            rule: ConfigName::configured(&format!("l{number}")),
            allowed: 0,
            denied: 0,
            would_deny: 0,
            keys: number,
        };
        (0..15).map(rule).collect()
    }));
    let overflow = |page: &str| {
        page.lines()
            .find(|line| line.starts_with("sidecar_metrics_overflow_total "))
            .map(str::to_owned)
    };
    let first = page(&metrics);
    assert_line(&first, "sidecar_rate_limit_keys{otel_metric_overflow=\"true\"} 69"); // 9 + … + 14
    assert_eq!(overflow(&first).as_deref(), Some("sidecar_metrics_overflow_total 0"));
    for _ in 0..2 {
        // Of 15 keys and of 45 decisions nine have a place.
        let expected = format!("sidecar_metrics_overflow_total {}", 15 - 9 + 45 - 9);
        assert_eq!(overflow(&page(&metrics)), Some(expected));
    }
}

#[test]
fn protobuf_is_a_row_of_delimited_families() {
    use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model::MetricFamily;
    use prost::Message;

    let body = lively().expose(Format::Protobuf).unwrap().body;
    let mut rest = body.as_slice();
    let mut names = Vec::new();
    while !rest.is_empty() {
        let family = MetricFamily::decode_length_delimited(&mut rest).unwrap();
        if family.name == "http_server_request_duration_seconds" {
            let histograms = family.metric.iter().filter_map(|metric| metric.histogram.as_ref());
            let mut buckets = histograms.flat_map(|histogram| &histogram.bucket);
            assert!(buckets.any(|bucket| bucket.exemplar.is_some()));
        }
        names.push(family.name);
    }
    assert!(names.contains(&"orchestration_duration_milliseconds".to_owned()));
    assert!(names.is_sorted());
}
