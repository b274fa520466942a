//! The dashboard and the Prometheus rules ask only for metrics, labels and values that there are.

mod promql;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;
use vital_sidecar::record::{ErrorType, Failure, Refusal};

use crate::metrics_documented::{LACKING, documented, page_of_everything};
use promql::selectors;

/// What Prometheus adds to every series it scrapes.
const OF_THE_SCRAPE: [&str; 2] = ["job", "instance"];
/// Values that the page of a healthy sidecar lacks, beside error types.
const OF_TROUBLE: [(&str, &str); 3] = [
    ("status", "error"),
    ("result", "failure"),
    // Of a configuration for production.
    ("deployment_environment_name", "production"),
];
/// The class that the configuration's own rules name.
const CLASSIFIED: &str = "db_pool_exhausted";

/// Labels and their values, by the name of the series.
type Series = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// The series of a page in the text format 0.0.4.
fn series(page: &str) -> Series {
    let mut series = Series::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (name, labels) = match line.split_once('{') {
            Some((name, rest)) => (name, rest.rsplit_once('}').expect("a closing brace").0),
            None => (line.split_once(' ').expect("a value").0, ""),
        };
        let known = series.entry(name.to_owned()).or_default();
        for pair in labels.split_terminator("\",").filter_map(|pair| pair.split_once("=\"")) {
            let value = pair.1.trim_end_matches('"').to_owned();
            known.entry(pair.0.trim_start_matches(',').to_owned()).or_default().insert(value);
        }
    }
    series
}

/// A place in a file, the expression there, and what it is shown with.
#[derive(Debug)]
struct Expression {
    place: String,
    text: String,
    /// Labels that a legend or a message names.
    named: BTreeSet<String>,
    /// The name under which it is recorded.
    record: Option<String>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn files(directory: &str, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join(directory)).expect("a directory");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|own| own == ending));
    assert!(!files.is_empty(), "{directory} has no .{ending}");
    files.sort();
    files
}

fn dashboards() -> Vec<(String, Value)> {
    let parse = |path: PathBuf| {
        let json = serde_json::from_str(&read(&path)).expect("JSON");
        (path.display().to_string(), json)
    };
    files("config/grafana", "json").into_iter().map(parse).collect()
}

/// The rules under `config/prometheus`, each with its file.
fn rules() -> Vec<(String, Value)> {
    let mut rules = Vec::new();
    for path in files("config/prometheus", "yml") {
        let file: Value = serde_saphyr::from_str(&read(&path)).expect("YAML");
        for group in file["groups"].as_array().into_iter().flatten() {
            let of_group = group["rules"].as_array().expect("rules").iter();
            rules.extend(of_group.map(|rule| (path.display().to_string(), rule.clone())));
        }
    }
    rules
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

/// The words that follow `opening` in a text, up to what cannot be in a label's name.
fn words_after(text: &str, opening: &str) -> BTreeSet<String> {
    let words = text.split(opening).skip(1);
    let is_of_name = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
    words.map(|rest| rest.trim_start().chars().take_while(is_of_name).collect()).collect()
}

fn of_dashboard(file: &str, dashboard: &Value) -> Vec<Expression> {
    let mut found = Vec::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        let targets = panel["targets"].as_array();
        for target in targets.into_iter().flatten() {
            found.push(Expression {
                place: format!("{file}: {}", panel["title"]),
                text: text(&target["expr"]),
                named: words_after(&text(&target["legendFormat"]), "{{"),
                record: None,
            });
        }
    }
    for annotation in dashboard["annotations"]["list"].as_array().into_iter().flatten() {
        found.push(Expression {
            place: format!("{file}: annotation {}", annotation["name"]),
            text: text(&annotation["expr"]),
            named: words_after(&text(&annotation["textFormat"]), "{{"),
            record: None,
        });
    }
    for variable in dashboard["templating"]["list"].as_array().expect("variables") {
        let query = variable["query"]["query"].as_str().unwrap_or_default();
        let Some(query) = query.strip_prefix("label_values(").and_then(|q| q.strip_suffix(')'))
        else {
            continue;
        };
        let (selector, label) = query.rsplit_once(", ").expect("a series and a label");
        found.push(Expression {
            place: format!("{file}: variable {}", variable["name"]),
            text: selector.to_owned(),
            named: BTreeSet::from([label.to_owned()]),
            record: None,
        });
    }
    found
}

fn expressions() -> Vec<Expression> {
    let of_rule = |(file, rule): (String, Value)| Expression {
        place: format!("{file}: {} {}", rule["alert"], rule["record"]),
        text: text(&rule["expr"]),
        named: words_after(&rule["annotations"].to_string(), "$labels."),
        record: rule["record"].as_str().map(str::to_owned),
    };
    let mut all: Vec<_> = rules().into_iter().map(of_rule).collect();
    all.extend(dashboards().iter().flat_map(|(file, dashboard)| of_dashboard(file, dashboard)));
    all
}

/// What is known of the series that an expression may read.
struct Known {
    page: Series,
    /// The labels of what the rules record.
    recorded: BTreeMap<String, BTreeSet<String>>,
    error_types: Vec<String>,
}

impl Known {
    async fn gather(all: &[Expression]) -> Self {
        let mut page = series(&page_of_everything().await);
        for name in LACKING {
            let labels = documented().remove(name).expect("a documented metric").labels;
            page.insert(
                name.to_owned(),
                labels.into_iter().map(|l| (l, BTreeSet::new())).collect(),
            );
        }
        page.insert("up".to_owned(), BTreeMap::new()); // Prometheus' own.
        let recorded = all.iter().filter_map(|expression| {
            let name = expression.record.clone()?;
            let mut labels = promql::kept(&expression.text);
            labels.remove("le");
            labels.insert("job".to_owned());
            Some((name, labels))
        });
        let refusals = [Refusal::Overloaded, Refusal::JwksUnavailable, Refusal::CircuitOpen];
        let rest = [Failure::AuditUnavailable.error_type(), ErrorType::PANIC];
        let error_types = refusals.into_iter().map(Refusal::error_type).chain(rest);
        let error_types =
            error_types.map(|one| one.as_str().to_owned()).chain([CLASSIFIED.to_owned()]).collect();
        Self { page, recorded: recorded.collect(), error_types }
    }

    /// The labels of a series; `None` where there is none of this name.
    fn labels(&self, name: &str) -> Option<BTreeSet<String>> {
        if let Some(labels) = self.recorded.get(name) {
            return Some(labels.clone());
        }
        let own = self.page.get(name)?.keys().cloned();
        Some(own.chain(OF_THE_SCRAPE.map(str::to_owned)).collect())
    }

    fn has_value(&self, metric: &str, label: &str, value: &str) -> bool {
        let on_page = self.page.get(metric).and_then(|labels| labels.get(label));
        value.is_empty()
            || OF_THE_SCRAPE.contains(&label)
            || on_page.is_some_and(|values| values.contains(value))
            || OF_TROUBLE.contains(&(label, value))
            || (label == "type" && self.error_types.iter().any(|known| known == value))
    }

    /// What an expression asks for that there is not.
    fn unknown_to(&self, expression: &Expression) -> Vec<String> {
        let mut unknown = Vec::new();
        let mut at_hand = promql::kept(&expression.text);
        for selector in selectors(&expression.text) {
            let metric = &selector.metric;
            let Some(labels) = self.labels(metric) else {
                unknown.push(format!("the metric {metric}"));
                continue;
            };
            let matched = selector.matchers.iter().map(|(label, ..)| label);
            for label in matched.chain(&selector.kept).filter(|label| !labels.contains(*label)) {
                unknown.push(format!("{metric} has no label {label}"));
            }
            for (label, operator, value) in &selector.matchers {
                // One of several is enough; a pattern that is no list of words is not judged.
                let is_list = value.chars().all(|c| c.is_ascii_alphanumeric() || "_|".contains(c));
                let mut words = value.split('|');
                let is_known = match operator.as_str() {
                    "=" => self.has_value(metric, label, value),
                    "=~" if is_list => words.any(|word| self.has_value(metric, label, word)),
                    _ => true,
                };
                if !is_known {
                    unknown.push(format!("{metric} has no {label}{operator}\"{value}\""));
                }
            }
            if selector.kept.is_empty() {
                at_hand.extend(labels);
            }
        }
        let nowhere = expression.named.difference(&at_hand);
        unknown.extend(nowhere.map(|label| format!("its text names {label}")));
        unknown.into_iter().map(|what| format!("{}: {what}", expression.place)).collect()
    }
}

#[tokio::test]
async fn every_metric_label_and_value_that_is_asked_for_is_on_the_page_of_a_running_sidecar() {
    let all = expressions();
    let known = Known::gather(&all).await;
    let unknown: Vec<_> = all.iter().flat_map(|one| known.unknown_to(one)).collect();
    assert!(unknown.is_empty(), "{unknown:#?}");

    // And a wrong question would be found.
    let ask = |text: &str, named: &str| {
        let named = [named.to_owned()].into();
        let (place, text) = ("here".to_owned(), text.to_owned());
        known.unknown_to(&Expression { place, text, named, record: None })
    };
    for (question, answer) in [
        ("sum by (job) (rate(errors[5m]))", "the metric errors"),
        ("errors_total{kind=\"x\"}", "errors_total has no label kind"),
        ("sum by (job, rule) (errors_total)", "errors_total has no label rule"),
        ("errors_total{type=\"weather\"}", "errors_total has no type=\"weather\""),
        ("errors_total{type=~\"a|b\"}", "errors_total has no type=~\"a|b\""),
        ("sum by (instance) (errors_total)", "its text names job"),
        ("job:sidecar_errors:rate7m", "the metric job:sidecar_errors:rate7m"),
    ] {
        assert_eq!(ask(question, "job").first(), Some(&format!("here: {answer}")), "{question}");
    }
}

#[test]
fn every_alert_says_what_it_is_how_urgent_and_what_to_do() {
    let table = read(&root().join("docs/prometheus.md"));
    let mut names = BTreeSet::new();
    for (file, rule) in rules() {
        let Some(name) = rule["alert"].as_str() else { continue };
        assert!(names.insert(name.to_owned()), "{file}: {name} twice");
        let severity = rule["labels"]["severity"].as_str();
        assert!(matches!(severity, Some("page" | "ticket")), "{name}: {severity:?}");
        let summary = text(&rule["annotations"]["summary"]);
        assert!(summary.starts_with("{{ $labels.job }}: "), "{name}: {summary}");
        assert!(text(&rule["annotations"]["description"]).ends_with('.'), "{name}");
        let runbook = text(&rule["annotations"]["runbook_url"]);
        let (path, anchor) = runbook.split_once('#').expect("a place in a document");
        let heading = format!("## {anchor}");
        let is_there = read(&root().join(path)).lines().any(|line| line == heading);
        assert!(is_there, "{name}: {path} has no `{heading}`");
        let row = format!("| `{name}` | {} |", severity.unwrap_or_default());
        assert!(table.contains(&row), "docs/prometheus.md has no row that begins with {row}");
    }
    for name in [
        "high_error_rate",
        "critical_errors",
        "performance_degradation",
        "security_rate_limited",
        "database_errors",
    ] {
        assert!(names.contains(name), "{name} is an alert of the contract");
    }
}

#[test]
fn a_dashboard_asks_the_source_that_was_chosen_and_has_no_panel_twice() {
    for (file, dashboard) in dashboards() {
        let variables = dashboard["templating"]["list"].as_array().expect("variables");
        let variables: BTreeSet<_> = variables.iter().map(|one| text(&one["name"])).collect();
        let mut ids = BTreeSet::new();
        let mut titles = BTreeSet::new();
        for panel in dashboard["panels"].as_array().expect("panels") {
            assert!(ids.insert(panel["id"].as_u64()), "{file}: {}", panel["id"]);
            let title = (panel["type"].to_string(), text(&panel["title"]));
            assert!(titles.insert(title.clone()), "{file}: {title:?}");
            if panel["type"] != "row" {
                assert_eq!(
                    panel["datasource"]["uid"], "${datasource}",
                    "{file}: {}",
                    panel["title"]
                );
                assert!(!text(&panel["description"]).is_empty(), "{file}: {}", panel["title"]);
            }
        }
        for expression in of_dashboard(&file, &dashboard) {
            let used = words_after(&expression.text, "$");
            let own = ["__rate_interval"].map(str::to_owned);
            let unknown: Vec<_> = used
                .iter()
                .filter(|name| !variables.contains(*name) && !own.contains(name))
                .collect();
            assert!(unknown.is_empty(), "{}: {unknown:?}", expression.place);
        }
    }
}
