//! What a condition may say, and what is said of one that says something else.

use proptest::prelude::*;

use super::*;

fn shown(condition: &Condition) -> String {
    let series = |of: &Series| {
        let labels = of.labels.iter().map(|(name, value)| format!("{name}={value}"));
        let labels: Vec<_> = labels.collect();
        format!("{}{:?}{labels:?}", of.book.metric, of.statuses)
    };
    let of: Vec<_> = condition.series().iter().map(series).collect();
    format!(
        "{} > {}{} over {:?}",
        of.join(" "),
        condition.threshold(),
        condition.unit(),
        condition.over()
    )
}

#[test]
fn every_form_is_read() {
    for (text, expected) in [
        ("errors > 10/min", "errors_totalNone[] > 10/min over 60s"),
        (
            "status_5xx>0/min",
            "http_server_request_duration_secondsSome(500..=599)[] > 0/min over 60s",
        ),
        (
            "errors{type=db_pool_exhausted} > 0/min",
            "errors_totalNone[\"type=db_pool_exhausted\"] > 0/min over 60s",
        ),
        (
            "p95(duration, stream=false) > 5s over 5m",
            "http_server_request_duration_secondsNone[\"sidecar_stream=false\"] > 5s over 300s",
        ),
        (
            "p99( orchestration_duration , mode = \"rag\" ) > 30s over 24h",
            "orchestration_duration_millisecondsNone[\"mode=rag\"] > 30s over 86400s",
        ),
        (
            "ratio(errors, http_server_request_duration_seconds_count{method=GET, http_route=/a}) > 1% over 1h",
            "errors_totalNone[] http_server_request_duration_secondsNone[\"http_request_method=GET\", \
             \"http_route=/a\"] > 1% over 3600s",
        ),
        (
            "orchestrations{status=error} > 1/min",
            "orchestration_requests_totalNone[\"status=error\"] > 1/min over 60s",
        ),
    ] {
        let condition = parse(text).unwrap_or_else(|fault| panic!("{text}: {fault:?}"));
        assert_eq!(shown(&condition), expected, "{text}");
    }
}

#[test]
fn a_route_with_parameters_is_a_value_like_any_other() {
    let id = "/api/limited/{id}";
    for (text, values) in [
        ("requests{route=/api/limited/{id}} > 0/min", vec![id]),
        ("requests{route=\"/api/limited/{id}\"} > 0/min", vec![id]),
        ("requests{ route = /api/limited/{id} , method=GET } > 0/min", vec![id, "GET"]),
        ("requests{method=GET,route=/api/limited/{id}}>0/min", vec!["GET", id]),
        ("requests{route=/a/{b}/c/{d}:e} > 0/min", vec!["/a/{b}/c/{d}:e"]),
        ("requests{route=\"/a}, (b\"} > 0/min", vec!["/a}, (b"]),
        ("p95(duration, route=/api/limited/{id}) > 1s over 5m", vec![id]),
        ("p95(duration, route=\"/api/limited/{id}\", method=GET) > 1s over 5m", vec![id, "GET"]),
        ("p95(duration, route=/a(b)) > 1s over 5m", vec!["/a(b)"]),
        (
            "ratio(status_5xx{route=/api/limited/{id}}, requests{route=\"/api/limited/{id}\"}) > 1% over 5m",
            vec![id, id],
        ),
    ] {
        let condition = parse(text).unwrap_or_else(|fault| panic!("{text}: {fault:?}"));
        let series = condition.series();
        let labels = series.iter().flat_map(|of| &of.labels);
        let found: Vec<_> = labels.map(|(_, value)| &**value).collect();
        assert_eq!(found, values, "{text}");
    }
}

#[test]
fn what_was_probably_meant_is_said() {
    for (text, help) in [
        ("errors >= 10/min", "`>=` is not known: only `>` is"),
        ("errors < 10/min", "`<` is not known: only `>` is"),
        ("p95(duration) == 1s over 5m", "`==` is not known: only `>` is"),
        ("ratio(errors, requests) >= 1% over 5m", "`>=` is not known: only `>` is"),
        ("duration > 1s", "a duration needs a percentile, as in `p95(duration) > 1s over 5m`"),
        ("requests{route=\"/a} > 0/min", "add a `\"` behind the value"),
    ] {
        assert_eq!(parse(text).unwrap_err().help.as_deref(), Some(help), "{text}");
    }
    assert_eq!(parse("errors > 1s").unwrap_err().help, None, "they have no duration");
}

#[test]
fn every_fault_is_told_at_its_place() {
    for (text, place, label) in [
        ("", 0, "expected `COUNTER"),
        ("> 1/min", 0, "expected `COUNTER"),
        ("error > 1/min", 0, "no metric has this name"),
        ("errors", 6, "expected `>` here"),
        ("errors < 1/min", 7, "expected `>` here"),
        ("errors > 1", 9, "expected a count per minute"),
        ("errors > 1/s", 9, "expected `/min`"),
        ("errors > -1/min", 9, "expected a whole number"),
        ("errors > 1/min over 5m", 15, "expected the end"),
        ("errors{kind=a} > 1/min", 7, "the metric has no such label"),
        ("errors{type} > 1/min", 11, "expected `=` here"),
        ("errors{type=} > 1/min", 12, "expected the value"),
        ("errors{type=a > 1/min", 14, "expected `}` here"),
        ("p95(errors) > 5s over 5m", 4, "expected a histogram of durations"),
        ("p95(duration > 5s over 5m", 13, "expected `)` here"),
        ("p95(duration) > 5 over 5m", 16, "expected a duration"),
        ("p95(duration) > 60s over 5m", 16, "the last bucket ends at 60s"),
        ("p95(duration) > 5s", 18, "expected `over`"),
        ("p95(duration) > 5s over 2d", 24, "expected 1s to 24h"),
        ("p100(duration) > 5s over 5m", 0, "expected `p1` to `p99`"),
        ("p99.9(duration) > 5s over 5m", 0, "expected `p1` to `p99`"),
        ("p0(duration) > 5s over 5m", 0, "expected `p1` to `p99`"),
        ("errors >= 1/min", 7, "expected `>` here"),
        ("errors{type=\"a > 1/min", 12, "this quote is not closed"),
        ("errors{type=\"\"} > 1/min", 12, "expected the value"),
        ("errors{type=\"a\"b} > 1/min", 15, "expected `}` here"),
        ("requests{route=/a/{b} > 1/min", 22, "expected `}` here"),
        ("ratio(errors) > 1% over 5m", 12, "expected `,` here"),
        ("ratio(errors, requests) > 1 over 5m", 26, "expected a share"),
        ("ratio(errors, requests) > NaN% over 5m", 26, "expected a share"),
    ] {
        let fault = parse(text).unwrap_err();
        assert_eq!(fault.place.start, place, "{text}: {fault:?}");
        assert!(fault.label.starts_with(label), "{text}: {fault:?}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(errors|p95\\(|ratio\\(|[a-z_{}(),=<>%/0-9.\" é]){0,20}|\\PC*") {
        if let Err(fault) = parse(&text) {
            prop_assert!(text.get(fault.place).is_some());
        }
    }
}
