//! `docs/metrics.md` and the page of a running sidecar tell the same story.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use vital_sidecar::config::Config;

use crate::captures::ORCHESTRATE;
use crate::support::collector::Collector;
use crate::support::house::{self, House, config};
use crate::support::store::Store;
use crate::support::until;
use crate::support::upstream::{self, Upstream, Wire, content_length};

/// What the document says of a metric.
#[derive(Debug)]
pub(crate) struct Row {
    kind: String,
    pub(crate) labels: BTreeSet<String>,
    meaning: String,
}

/// The rows of the document, by the names of Prometheus.
pub(crate) fn documented() -> BTreeMap<String, Row> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    let text = std::fs::read_to_string(path).expect("the document");
    let quoted = |cell: &str| -> Vec<String> {
        cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.map(|line| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let name = quoted(cells[0]).remove(0);
        let kind = if cells[1] == "up-down counter" { "gauge" } else { cells[1] };
        let labels = quoted(cells[3]).into_iter().collect();
        (name, Row { kind: kind.to_owned(), labels, meaning: cells[4].to_owned() })
    })
    .collect()
}

/// What a page says of a family.
#[derive(Debug, Default)]
struct Family {
    kind: String,
    help: String,
    labels: BTreeSet<String>,
}

/// The families of a page in the text format 0.0.4.
fn families(page: &str) -> BTreeMap<String, Family> {
    let mut families = BTreeMap::<String, Family>::new();
    let mut current = String::new();
    for line in page.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|l| l.split_once(' ')) {
            name.clone_into(&mut current);
            help.clone_into(&mut families.entry(current.clone()).or_default().help);
        } else if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|l| l.split_once(' '))
        {
            kind.clone_into(&mut families.entry(name.to_owned()).or_default().kind);
        } else if let Some((_, rest)) = line.split_once('{') {
            let labels = rest.split("=\"").filter_map(|part| part.rsplit(['{', ',', '"']).next());
            let family = families.entry(current.clone()).or_default();
            let count = rest.matches("=\"").count();
            family
                .labels
                .extend(labels.take(count).filter(|label| *label != "le").map(str::to_owned));
        }
    }
    families
}

const RULES: &str = r#"
rate_limits = ["few"]
audit = "DATA_ACCESS"
[rate_limits.few]
key = ["ip"]
rate = "1/h"
burst = 4
[audit]
deadline = "5s"
"#;

const CHAT: &str = r#"
[genai]
enabled = true
[captures."gen_ai.request.model"]
from = "request.body:/model"
values = ["m"]
[captures."gen_ai.response.model"]
from = "response.body:/model"
values = ["m"]
[captures."gen_ai.provider.name"]
from = "response.body:/provider"
values = ["p"]
[captures."gen_ai.operation.name"]
from = "response.body:/operation"
values = ["chat"]
[captures."gen_ai.usage.output_tokens"]
from = "response.body:/usage/completion_tokens"
take = "number"
[[routes]]
match = "POST /chat"
captures = [
    "gen_ai.request.model", "gen_ai.response.model", "gen_ai.provider.name",
    "gen_ai.operation.name", "gen_ai.usage.output_tokens",
]
"#;

const PRIVATE: &str = r#"
[[routes]]
match = "GET /private"
identity = "required"
[identity]
source = "jwt"
[identity.jwt]
issuer = "*"
audience = "*"
"#;

/// An answer of two events, with a pause between them.
async fn chat(wire: &mut Wire) {
    wire.say("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: {}\n\n").await;
    wire.closed_or(Duration::from_millis(20)).await;
    wire.say(
        "data: {\"model\":\"m\",\"provider\":\"p\",\"operation\":\"chat\",\
         \"usage\":{\"completion_tokens\":2}}\n\n",
    )
    .await;
}

async fn scripted() -> Upstream {
    upstream::scripted(async |mut wire| {
        while let Some(head) = wire.head().await {
            wire.body(content_length(&head)).await;
            if head.contains("/chat") {
                return chat(&mut wire).await;
            }
            let answer = match &head {
                _ if head.contains("/hit") => "200 OK\r\nx-cache: HIT\r\ncontent-length: 0\r\n\r\n",
                _ if head.contains("/miss") => {
                    "200 OK\r\nx-cache: MISS\r\ncontent-length: 0\r\n\r\n"
                }
                _ if head.contains("/fail") => "500 No\r\ncontent-length: 0\r\n\r\n",
                _ if head.contains("/events") => {
                    "200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 18\r\n\r\n\
                     data: 1\n\ndata: 2\n\n"
                }
                _ => "200 OK\r\ncontent-length: 0\r\n\r\n",
            };
            wire.say(format!("HTTP/1.1 {answer}")).await;
        }
    })
    .await
}

/// Makes everything happen that a metric tells of.
async fn live(house: &House) {
    let mut client = house.client().await;
    for path in ["/hit", "/miss", "/fail", "/events", "/private"] {
        client.get(path).await;
    }
    for body in [r#"{"mode":"rag_query","query":"x"}"#, "{", "{}", "{}", "{}"] {
        client.post("/api/orchestrate", body).await;
    }
    client.post("/chat", r#"{"model":"m"}"#).await;
    client.say("POST / HTTP/1.1\r\nhost: a\r\norigin: null\r\ncontent-length: 0\r\n\r\n").await;
    client.answer().await;
    let mut half = house.client().await;
    half.say("GET / HT").await;
    drop(half);
    house.until_metric("sidecar_connection_errors_total", 1.0).await;
    let attempts = "sidecar_telemetry_export_attempts_total{signal=\"traces\"";
    let arrived = async || (house.metric(attempts).await >= 1.0).then_some(());
    until("spans are exported", arrived).await;
}

/// What the page may lack: a drop, which needs an outage.
pub(crate) const LACKING: [&str; 1] = ["sidecar_telemetry_dropped_total"];

/// The page of a sidecar, with every feature on, after everything has happened.
pub(crate) async fn page_of_everything() -> String {
    let (upstream, collector) = (scripted().await, Collector::start().await);
    let store = Store::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let endpoint = collector.endpoint();
    let base = endpoint.strip_suffix("/v1/traces").expect("a base");
    let shared = format!("[rate_limit_store]\nredis_url = \"redis://{}\"\n", store.address);
    let text = format!("[otlp]\nendpoint = \"{base}\"\n{ORCHESTRATE}{RULES}{shared}{CHAT}");
    let secret = directory.path().join("secret");
    std::fs::write(&secret, "0123456789abcdef0123456789abcdef").expect("a secret");
    let text = format!("{text}{PRIVATE}secret_file = \"{}\"\n", secret.display());
    let mut config: Config = config(upstream.address, &text);
    config.audit.directory = directory.path().join("audit");
    config.spool.directory = Some(directory.path().join("spool"));
    let house = house::open(&config).await;
    house.until_metric("sidecar_rate_limit_degraded", 0.0).await;
    live(&house).await;
    let page = house.page().await;
    house.close().await;
    page
}

#[tokio::test]
async fn the_document_and_the_page_of_a_running_sidecar_agree() {
    // A family that is full has one label more, which is not the document's table but its text.
    let page = families(&page_of_everything().await);
    let documented = documented();

    let undocumented: Vec<_> = page.keys().filter(|name| !documented.contains_key(*name)).collect();
    assert!(undocumented.is_empty(), "not in docs/metrics.md: {undocumented:#?}");
    let missing: Vec<_> = documented.keys().filter(|name| !page.contains_key(*name)).collect();
    assert_eq!(missing, LACKING, "of docs/metrics.md");

    for (name, family) in &page {
        let row = &documented[name];
        assert_eq!(family.kind, row.kind, "{name}");
        if name == "target_info" {
            continue; // Its labels are whatever the resource is.
        }
        assert_eq!(family.help, row.meaning, "{name}");
        let unknown: Vec<_> = family.labels.difference(&row.labels).collect();
        assert!(unknown.is_empty(), "{name} has labels that the document does not: {unknown:?}");
        let unused: Vec<_> = row.labels.difference(&family.labels).collect();
        assert!(unused.is_empty(), "{name} lacks labels of the document: {unused:?}");
    }
}
