//! What the demo hands to others as text: the sidecar's configuration and the banner.
//!
//! The configuration is the plan's route in small, so that a reader can take it as a first file. Both
//! are plain functions of addresses and paths; nothing here reads the environment.

use std::net::SocketAddr;
use std::path::Path;

/// The part of the configuration that reads answers.
const ANSWERS: &str = r#"# What the answer says of itself, whole or in its last event; counted in `gen_ai_client_token_usage`.
[captures."gen_ai.usage.input_tokens"]
from = "response.body:/metadata/tokens/input"
take = "number"

[captures."gen_ai.usage.output_tokens"]
from = "response.body:/metadata/tokens/output"
take = "number"

# What the orchestrator says when its database has no connection left.
[[errors.classify]]
type = "db_pool_exhausted"
status = [503]
body = "too many connections"

[genai]
enabled = true
"#;

/// The sidecar's configuration for the demo, as TOML.
///
/// `listen` and `admin` may have port 0. Spans go nowhere here; `--otlp` outranks it.
pub fn config(
    upstream: SocketAddr,
    listen: SocketAddr,
    admin: SocketAddr,
    audit_directory: &Path,
    document: &Path,
) -> String {
    let modes = super::question::Mode::ALL.map(|mode| format!("\"{}\"", mode.as_str())).join(", ");
    let quoted = |path: &Path| toml::Value::String(path.to_string_lossy().into_owned());
    let (directory, document) = (quoted(audit_directory), quoted(document));
    format!(
        r#"[server]
listen = "{listen}"
server_timing = true

[admin]
listen = "{admin}"

[upstream]
url = "http://{upstream}"

[otlp]
endpoint = ""

# docs/api/openapi.yaml: what requests are checked against.
[openapi]
file = {document}

# A question of 10000 characters, each of them escaped, is longer than the usual 64 KiB.
[inspect]
max_body = "128KiB"

[[routes]]
name = "orchestrate"
match = "POST /api/orchestrate"
span = "orchestration.execute"
audit = "ORCHESTRATION_REQUEST"
rate_limits = ["per-ip"]
captures = ["orchestration.mode", "orchestration.query_length",
            "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"]

[[routes]]
name = "login"
match = "POST /api/auth/login"
audit = "USER_LOGIN"

[[routes]]
name = "logout"
match = "POST /api/auth/logout"
audit = "USER_LOGOUT"

[[routes]]
name = "agents"
match = "GET /api/agents"

[[routes]]
name = "agent"
match = "GET /api/agents/{{id}}"

[captures."orchestration.mode"]
from = "request.body:/mode"
values = [{modes}]
metric = true

[captures."orchestration.query_length"]
from = "request.body:/query"
take = "length"

{ANSWERS}
# Enough for the demo's steady traffic; a burst of {burst} questions at once meets its end.
[rate_limits.per-ip]
key = ["ip"]
rate = "600/min"
burst = 30

[audit]
directory = {directory}
"#,
        burst = super::traffic::BURST,
    )
}

/// What to open and what to try, for the console. Without a `collector` no span leaves, and no metric names
/// a trace.
pub fn banner(
    listen: SocketAddr,
    admin: SocketAddr,
    audit_directory: &Path,
    collector: Option<&str>,
) -> String {
    let body = r#"{"query":"How much water a day?","mode":"rag_query"}"#;
    let ask = format!("-H 'content-type: application/json' -d '{body}'");
    let spans = match collector {
        Some(collector) => format!(
            "The metrics with exemplars, each of which names a trace:\n\
             \x20 curl -H 'accept: application/openmetrics-text' http://{admin}/metrics\n\
             \n\
             Spans and the log go to {collector} as well.\n"
        ),
        None => {
            "Spans go nowhere: `demo --otlp http://localhost:4318` sends them, and the log, to a \
                 collector;\nthe metrics then have exemplars.\n"
                .to_owned()
        }
    };
    format!(
        "vital-sidecar demo: a small orchestrator, the sidecar in front of it, and light traffic.\n\
         \n\
         \x20 through the sidecar   http://{listen}/\n\
         \x20 metrics               http://{admin}/metrics\n\
         \x20 status                http://{admin}/status\n\
         \x20 audit records         {directory}  (kept after the demo)\n\
         \x20 their chain           vital-sidecar audit verify {directory}\n\
         \n\
         A whole answer, and the same as a stream of events:\n\
         \x20 curl -i http://{listen}/api/orchestrate {ask}\n\
         \x20 curl -iN http://{listen}/api/orchestrate -H 'accept: text/event-stream' {ask}\n\
         \n\
         {spans}\
         Some answers fail on purpose, and a burst meets the rate limit: warnings and errors below are\n\
         the show. Ctrl-C drains and ends the demo.\n",
        directory = audit_directory.display(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn the_configuration_is_toml_and_names_nothing_that_it_does_not_define() {
        let text = config(
            address(1),
            address(2),
            address(3),
            Path::new("/tmp/a \"b\"\\c"),
            Path::new("/tmp/openapi.yaml"),
        );
        let table: toml::Table = text.parse().unwrap();
        assert_eq!(table["audit"]["directory"].as_str(), Some("/tmp/a \"b\"\\c"));
        assert_eq!(table["upstream"]["url"].as_str(), Some("http://127.0.0.1:1"));
        let routes = table["routes"].as_array().unwrap();
        for (key, defined) in [("rate_limits", "rate_limits"), ("captures", "captures")] {
            let named = routes.iter().filter_map(|route| route.get(key)?.as_array()).flatten();
            for name in named {
                assert!(table[defined].get(name.as_str().unwrap()).is_some(), "{name}");
            }
        }
        assert_eq!(table["captures"]["orchestration.mode"]["values"].as_array().unwrap().len(), 5);
    }

    #[test]
    fn the_banner_names_every_door() {
        let text = banner(address(8080), address(9901), Path::new("/tmp/audit"), None);
        for part in [
            "http://127.0.0.1:8080/api/orchestrate",
            "http://127.0.0.1:9901/metrics",
            "http://127.0.0.1:9901/status",
            "text/event-stream",
            "/tmp/audit",
        ] {
            assert!(text.contains(part), "{part}");
        }
    }

    #[test]
    fn exemplars_are_promised_only_where_spans_leave() {
        let of = |collector| banner(address(8080), address(9901), Path::new("/tmp/a"), collector);
        let (without, with) = (of(None), of(Some("http://localhost:4318/v1/traces")));
        assert!(without.contains("Spans go nowhere") && !without.contains("openmetrics"));
        assert!(!with.contains("nowhere") && with.contains("application/openmetrics-text"));
        assert!(with.contains("http://localhost:4318/v1/traces"));
    }
}
