//! A configuration with everything that could show a text.

use super::receiver::Receiver;

/// The key of the intake for entries, with the end of its line.
pub(super) const KEY: &str = include_str!("datadog.key");

/// A configuration with every sink and short deadlines.
pub(super) fn everything(upstream: &str, receiver: &Receiver, more: &str) -> String {
    let receiver = receiver.address;
    let sinks = format!(
        r#"{more}
[service]
name = "canary-test"
environment = "test"
[server.limits]
body_idle_timeout = "1s"
max_request_body = "64KiB"
[server.drain]
delay = "0s"
[upstream]
url = "http://{upstream}"
timeouts = {{ idle = "1s", stream_idle = "1s" }}
pool = {{ queue_timeout = "10s" }}
[tracing]
propagators = ["tracecontext", "b3", "b3multi", "baggage"]
[genai]
enabled = true
[otlp]
endpoint = "http://{receiver}"
compression = "none"
[metrics]
push = true
interval = "1s"
[spool]
directory = "spool"
[log]
level = "debug"
console = "json"
request_start = true
headers = ["sec-ch-ua"]
directory = "logs"
[sentry]
dsn = "http://public@{receiver}/42"
[audit]
deadline = "10s"
"#
    );
    let key = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/canary/datadog.key");
    let sinks = format!(
        "{sinks}[log.datadog]\nenabled = true\nurl = \"http://{receiver}\"\napi_key_file = \"{key}\"\n"
    );
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/canary/openapi.yaml");
    sinks + &format!("[openapi]\nfile = \"{document}\"\n") + ROUTES
}

/// A route for everything that a route can do, and a class for errors by their text.
const ROUTES: &str = r#"
[[errors.classify]]
type = "read_class"
body = "conversationId"
[captures."orchestration.mode"]
from = "request.body:/mode"
values = ["rag_query"]
metric = true
[captures."orchestration.query_length"]
from = "request.body:/query"
take = "length"
[captures."conversationId"]
from = "response.body:/conversationId"
values = ["known"]
[captures."error.length"]
from = "response.body:/error"
take = "length"
[captures."gen_ai.response.model"]
from = "response.body:/model"
values = ["a-model"]
[captures."gen_ai.usage.output_tokens"]
from = "response.body:/usage"
take = "number"
[captures."session.id"]
from = "request.body:/sessionId"
take = "hmac"
[captures."path.id"]
from = "path:id"
take = "hmac"
[captures."path.form"]
from = "path:id"
values = ["known"]
metric = true
[captures."answer.tag"]
from = "response.header:etag"
take = "hmac"
[captures."answer.place"]
from = "response.header:location"
values = ["known"]
metric = true
[rate_limits.once]
key = ["ip"]
rate = "1/day"
burst = 1
[rate_limits.by-key]
key = ["header:x-api-key", "route", "user", "tenant", "claim:/email", "capture:orchestration.mode"]
rate = "1/day"
burst = 1
mode = "shadow"
max_keys = 10
[[routes]]
match = "POST /api/orchestrate/{id}/{what}"
validation = "shadow"
span = "orchestration.execute"
audit = "ORCHESTRATION_REQUEST"
captures = [
    "orchestration.mode",
    "orchestration.query_length",
    "conversationId",
    "error.length",
    "gen_ai.response.model",
    "gen_ai.usage.output_tokens",
    "session.id",
    "path.id",
    "path.form",
    "answer.tag",
    "answer.place",
]
rate_limits = ["by-key"]
[[routes]]
match = "* /closed/{id}"
action = "deny"
audit = "DATA_ACCESS"
[[routes]]
match = "* /limited/{id}"
audit = "DATA_ACCESS"
rate_limits = ["once"]
[[routes]]
match = "* /slow/{id}/{what}"
timeouts.response_header = "100ms"
"#;
