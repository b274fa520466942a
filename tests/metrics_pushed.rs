//! Metrics by OTLP: judged by the rules of the data model, and compared with the page of the same
//! moment.

use std::collections::{BTreeMap, HashSet};
use std::io::Read;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, HistogramDataPoint, Metric, NumberDataPoint, metric::Data,
    number_data_point,
};
use prost::Message;
use tokio::sync::mpsc;

use crate::support::house::{self, config};
use crate::support::sidecar::{self, Sidecar};
use crate::support::until;
use crate::support::upstream::{self, Upstream};

/// Whatever is wrong with a request; nothing, where it is as the specification wants it.
fn judge(request: &ExportMetricsServiceRequest) -> Vec<String> {
    let mut found = Vec::new();
    for group in &request.resource_metrics {
        let resource = group.resource.as_ref().map_or(&[][..], |resource| &resource.attributes);
        unique(resource, "resource", &mut found);
        if !resource.iter().any(|kv| kv.key == "service.name" && !text(kv).is_empty()) {
            found.push("no service.name".to_owned());
        }
        let mut names = HashSet::new();
        for metric in group.scope_metrics.iter().flat_map(|scope| &scope.metrics) {
            if !names.insert(&metric.name) {
                found.push(format!("{} comes twice", metric.name));
            }
            judge_metric(metric, &mut found);
        }
    }
    found
}

fn judge_metric(metric: &Metric, found: &mut Vec<String>) {
    let name = &metric.name;
    let is_part = |c: char| c.is_ascii_alphanumeric() || "_.-/".contains(c);
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic());
    if !starts_well || name.len() > 255 || !name.chars().all(is_part) {
        found.push(format!("`{name}` is no instrument name"));
    }
    if metric.description.is_empty() || metric.unit.len() > 63 {
        found.push(format!("`{name}` is not described, or its unit is too long"));
    }
    let mut series = HashSet::new();
    let mut distinct = |attributes: &[KeyValue], found: &mut Vec<String>| {
        unique(attributes, name, found);
        let mut pairs: Vec<_> = attributes.iter().map(|kv| format!("{kv:?}")).collect();
        pairs.sort();
        if !series.insert(pairs) {
            found.push(format!("`{name}` has a series twice: {attributes:?}"));
        }
    };
    let cumulative = i32::from(AggregationTemporality::Cumulative);
    match metric.data.as_ref() {
        Some(Data::Sum(sum)) => {
            if sum.aggregation_temporality != cumulative || sum.data_points.is_empty() {
                found.push(format!("`{name}` is not cumulative, or empty"));
            }
            for point in &sum.data_points {
                distinct(&point.attributes, found);
                judge_times(name, point.start_time_unix_nano, point.time_unix_nano, found);
                if sum.is_monotonic && number(point) < 0.0 {
                    found.push(format!("`{name}` shrinks"));
                }
            }
        }
        Some(Data::Gauge(gauge)) => {
            for point in &gauge.data_points {
                distinct(&point.attributes, found);
                judge_times(name, point.time_unix_nano, point.time_unix_nano, found);
            }
        }
        Some(Data::Histogram(histogram)) => {
            if histogram.aggregation_temporality != cumulative || histogram.data_points.is_empty() {
                found.push(format!("`{name}` is not cumulative, or empty"));
            }
            for point in &histogram.data_points {
                distinct(&point.attributes, found);
                judge_times(name, point.start_time_unix_nano, point.time_unix_nano, found);
                judge_buckets(name, point, found);
            }
        }
        other => found.push(format!("`{name}` is {other:?}")),
    }
}

fn judge_times(name: &str, start: u64, end: u64, found: &mut Vec<String>) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_nanos();
    let is_near = now.abs_diff(u128::from(end)) < Duration::from_mins(1).as_nanos();
    if start == 0 || start > end || !is_near {
        found.push(format!("`{name}` is from {start} to {end}"));
    }
}

fn judge_buckets(name: &str, point: &HistogramDataPoint, found: &mut Vec<String>) {
    let (bounds, counts) = (&point.explicit_bounds, &point.bucket_counts);
    if counts.len() != bounds.len() + 1 || counts.iter().sum::<u64>() != point.count {
        found.push(format!("the buckets of `{name}` do not add up"));
    }
    if !bounds.is_sorted_by(|a, b| a < b) || bounds.iter().any(|bound| !bound.is_finite()) {
        found.push(format!("the bounds of `{name}` do not ascend"));
    }
    if point.sum.is_none_or(|sum| !sum.is_finite()) {
        found.push(format!("`{name}` has no sum"));
    }
    for exemplar in &point.exemplars {
        let is_id = |id: &[u8], length| id.len() == length && id.iter().any(|byte| *byte != 0);
        let is_whole = is_id(&exemplar.trace_id, 16) && is_id(&exemplar.span_id, 8);
        if !is_whole || exemplar.value.is_none() || exemplar.time_unix_nano == 0 {
            found.push(format!("`{name}` has half an exemplar"));
        }
    }
}

fn unique(attributes: &[KeyValue], owner: &str, found: &mut Vec<String>) {
    let mut keys = HashSet::new();
    for kv in attributes {
        let has_value = kv.value.as_ref().is_some_and(|value| value.value.is_some());
        if kv.key.is_empty() || !has_value || !keys.insert(&kv.key) {
            found.push(format!("`{owner}` has `{}` twice, or empty", kv.key));
        }
    }
}

fn text(kv: &KeyValue) -> String {
    match kv.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(flag)) => flag.to_string(),
        other => format!("{other:?}"),
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a test")]
fn number(point: &NumberDataPoint) -> f64 {
    match point.value {
        Some(number_data_point::Value::AsInt(number)) => number as f64,
        Some(number_data_point::Value::AsDouble(number)) => number,
        None => f64::NAN,
    }
}

/// Every series by its name and attributes, as Prometheus would write it; of a histogram its count.
#[expect(clippy::cast_precision_loss, reason = "counts of a test")]
fn flat(request: &ExportMetricsServiceRequest) -> BTreeMap<String, f64> {
    let mut series = BTreeMap::new();
    let spelt = |attributes: &[KeyValue]| {
        let pair = |kv: &KeyValue| format!("{}={}", kv.key.replace('.', "_"), text(kv));
        attributes.iter().map(pair).collect::<Vec<_>>().join(",")
    };
    for metric in metrics(request) {
        let mut add = |attributes: &[KeyValue], value: f64| {
            series.insert(format!("{}{{{}}}", metric.name, spelt(attributes)), value);
        };
        match metric.data.as_ref().expect("data") {
            Data::Sum(sum) => sum.data_points.iter().for_each(|p| add(&p.attributes, number(p))),
            Data::Gauge(gauge) => {
                gauge.data_points.iter().for_each(|p| add(&p.attributes, number(p)));
            }
            Data::Histogram(all) => {
                all.data_points.iter().for_each(|p| add(&p.attributes, p.count as f64));
            }
            other => panic!("{other:?}"),
        }
    }
    series
}

fn metrics(request: &ExportMetricsServiceRequest) -> impl Iterator<Item = &Metric> {
    let scopes = request.resource_metrics.iter().flat_map(|group| &group.scope_metrics);
    scopes.flat_map(|scope| &scope.metrics)
}

fn export(sidecar: &Sidecar) -> (ExportMetricsServiceRequest, u64) {
    let (body, points) = sidecar.proxy.telemetry().metrics().export();
    (ExportMetricsServiceRequest::decode(&body[..]).expect("a request"), points)
}

async fn visited() -> Sidecar {
    let upstream =
        upstream::answering("HTTP/1.1 200 OK\r\nx-cache: HIT\r\ncontent-length: 2\r\n\r\nok").await;
    // Of spans that nobody gets none is kept; here nobody is asked to take them.
    let text = "[service]\nname = \"shop\"\n[tracing.otlp]\n\
                endpoint = \"http://127.0.0.1:1/v1/traces\"\n[[routes]]\nmatch = \"GET /api/{id}\"\n";
    let mut sidecar = sidecar::with(&config(upstream.address, text)).await;
    let mut client = sidecar.client().await;
    for _ in 0..3 {
        assert_eq!(client.get("/api/7").await.status, 200);
        sidecar.record().await;
    }
    sidecar
}

#[tokio::test]
async fn a_push_is_what_the_data_model_asks_for() {
    let sidecar = visited().await;
    let (request, points) = export(&sidecar);
    assert_eq!(judge(&request), Vec::<String>::new());
    let group = &request.resource_metrics[0];
    let resource: BTreeMap<_, _> = group
        .resource
        .iter()
        .flat_map(|resource| &resource.attributes)
        .map(|kv| (kv.key.as_str(), text(kv)))
        .collect();
    assert_eq!(resource["service.name"], "shop");
    assert!(resource.contains_key("service.instance.id"));
    let scope = group.scope_metrics[0].scope.as_ref().expect("a scope");
    assert_eq!(scope.name, "shop", "the scope is the service's name");
    assert_eq!(points, flat(&request).len() as u64, "every series is one data point");
}

#[tokio::test]
async fn a_push_says_what_the_page_says() {
    let sidecar = visited().await;
    let pushed = flat(&export(&sidecar).0);
    let route = "http_request_method=GET,http_route=/api/{id}";
    for (series, expected) in [
        (
            format!(
                "http.server.request.duration{{{route},http_response_status_code=200,\
                 sidecar_stream=false}}"
            ),
            3.0,
        ),
        (format!("http.server.response.body.size{{{route}}}"), 3.0),
        ("http.server.active_requests{http_request_method=GET}".to_owned(), 0.0),
        ("cache.hits{http_route=/api/{id}}".to_owned(), 3.0),
        ("sidecar.overhead{phase=total}".to_owned(), 3.0),
        ("sidecar.metrics.overflow{}".to_owned(), 0.0),
    ] {
        let value = pushed.get(&series).unwrap_or_else(|| panic!("no {series} in {pushed:#?}"));
        assert!((value - expected).abs() < 1e-9, "{series} is {value}");
    }
    let units: BTreeMap<_, _> = metrics(&export(&sidecar).0)
        .map(|metric| (metric.name.clone(), metric.unit.clone()))
        .collect();
    assert_eq!(units["http.server.request.duration"], "s");
    assert_eq!(units["http.server.response.body.size"], "By");
}

#[tokio::test]
async fn what_a_status_is_stays_a_number_and_a_kept_trace_an_exemplar() {
    let sidecar = visited().await;
    let (request, _) = export(&sidecar);
    let durations = metrics(&request)
        .find(|metric| metric.name == "http.server.request.duration")
        .and_then(|metric| metric.data.as_ref());
    let Some(Data::Histogram(histogram)) = durations else { panic!("no durations") };
    let point = &histogram.data_points[0];
    let status = point.attributes.iter().find(|kv| kv.key == "http.response.status_code");
    let status = status.and_then(|kv| kv.value.as_ref()).and_then(|value| value.value.as_ref());
    assert_eq!(status, Some(&Value::IntValue(200)));
    // Outside production every trace is kept.
    assert!(!point.exemplars.is_empty());
}

/// A collector that takes whatever is sent to `/v1/metrics`, and what it took.
async fn collecting() -> (Upstream, mpsc::Receiver<ExportMetricsServiceRequest>) {
    let (took, taken) = mpsc::channel(1024);
    let collector = upstream::scripted(move |mut wire| {
        let took = took.clone();
        async move {
            while let Some(head) = wire.head().await {
                let body = wire.body(upstream::content_length(&head)).await;
                let lower = head.to_ascii_lowercase();
                assert!(head.starts_with("POST /v1/metrics HTTP/1.1\r\n"), "{head}");
                assert!(lower.contains("content-type: application/x-protobuf"), "{head}");
                let mut plain = Vec::new();
                if lower.contains("content-encoding: gzip") {
                    GzDecoder::new(&body[..]).read_to_end(&mut plain).expect("gzip");
                } else {
                    plain = body;
                }
                let request = ExportMetricsServiceRequest::decode(&plain[..]).expect("a request");
                took.send(request).await.expect("a listening test");
                let answer = "200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0";
                wire.say(format!("HTTP/1.1 {answer}\r\n\r\n")).await;
            }
        }
    })
    .await;
    (collector, taken)
}

fn pushing(collector: std::net::SocketAddr, interval: &str) -> String {
    format!(
        "[metrics]\npush = true\ninterval = \"{interval}\"\n\
         [metrics.otlp]\nendpoint = \"http://{collector}/v1/metrics\"\n"
    )
}

fn account(
    ledger: &vital_sidecar::telemetry::ledger::Ledger,
) -> vital_sidecar::telemetry::ledger::Account {
    let accounts = ledger.snapshot();
    accounts.into_iter().find(|account| account.signal == "metrics").expect("an account")
}

#[tokio::test]
async fn metrics_arrive_every_interval_and_once_more_at_the_end() {
    let (collector, mut taken) = collecting().await;
    let upstream = upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let house = house::open(&config(upstream.address, &pushing(collector.address, "50ms"))).await;
    for _ in 0..2 {
        let pushed = taken.recv().await.expect("a push");
        assert_eq!(judge(&pushed), Vec::<String>::new());
    }
    assert_eq!(house.client().await.get("/").await.status, 200);
    house.lines(1).await;
    let ledger = house.close().await.ledger;

    let mut all = Vec::new();
    while let Ok(pushed) = taken.try_recv() {
        all.push(pushed);
    }
    let last = flat(all.last().expect("the last push"));
    let count = |name: &str| -> f64 {
        last.iter().filter(|(series, _)| series.starts_with(name)).map(|(_, value)| value).sum()
    };
    assert!((count("http.server.request.duration{") - 1.0).abs() < 1e-9, "{last:#?}");
    let account = account(&ledger);
    assert_eq!((account.exported, account.lost()), (account.accepted, 0), "{account}");
    assert!(account.is_balanced() && account.accepted > 0, "{account}");
}

#[tokio::test]
async fn what_no_collector_takes_is_counted_as_lost() {
    let upstream = upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let nobody = upstream::nobody().await;
    let mut config = config(upstream.address, &pushing(nobody, "20ms"));
    config.server.drain.timeout = Duration::from_secs(2);
    let house = house::open(&config).await;
    assert_eq!(house.client().await.get("/").await.status, 200, "nobody waits for a collector");
    let account = account(&house.close().await.ledger);
    assert_eq!(account.exported, 0);
    assert!(account.accepted > 0 && account.lost() == account.accepted, "{account}");
}

#[tokio::test]
async fn the_default_collector_is_asked_for_by_whoever_switches_the_push_on() {
    let upstream = upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let nobody = upstream::nobody().await;
    let mut config = config(upstream.address, &pushing(nobody, "20ms"));
    config.server.drain.timeout = Duration::from_secs(2);
    config.otlp.metrics.as_mut().expect("a target").is_configured = false;
    let house = house::open(&config).await;
    let failing = async || {
        let status = house.ask("/status").await.json();
        let accounts = status["ledger"].as_array().expect("accounts").clone();
        let account = accounts.into_iter().find(|account| account["signal"] == "metrics");
        account.filter(|account| account["failing"].is_object())
    };
    let account = until("an attempt has failed", failing).await;
    assert_eq!(account["dropped"], serde_json::json!({}), "it is waited for: {account}");
    house.close().await;
}

#[tokio::test]
async fn what_waits_in_the_spool_is_in_the_ledger_while_the_push_is_off() {
    let upstream = upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let (directory, nobody) = (tempfile::tempdir().expect("a directory"), upstream::nobody().await);
    let spool = format!("[spool]\ndirectory = \"{}\"\n", directory.path().display());
    let text = pushing(nobody, "1h") + &spool;
    let mut on = config(upstream.address, &text);
    on.server.drain.timeout = Duration::from_secs(2);
    let left = account(&house::open(&on).await.close().await.ledger);
    assert!(left.spooled > 0 && left.spooled == left.in_flight, "{left}");

    let off = config(upstream.address, &text.replace("push = true", "push = false"));
    let account = account(&house::open(&off).await.close().await.ledger);
    assert_eq!((account.recovered, account.in_flight), (left.spooled, left.spooled), "{account}");
    assert!(account.is_balanced() && account.spool_bytes > Some(0), "{account}");
}

#[tokio::test]
async fn nothing_is_pushed_unless_it_is_asked_for() {
    let (collector, mut taken) = collecting().await;
    let upstream = upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let text = pushing(collector.address, "10ms").replace("push = true", "push = false");
    let house = house::open(&config(upstream.address, &text)).await;
    house.client().await.get("/").await;
    house.lines(1).await;
    let ledger = house.close().await.ledger;
    assert!(ledger.snapshot().iter().all(|account| account.signal != "metrics"));
    assert!(taken.try_recv().is_err());
}
