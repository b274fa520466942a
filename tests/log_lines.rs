//! Which lines the log has beside those of ended exchanges: beginnings, the audit's, diagnostics.

use serde_json::{Value, json};
use vital_sidecar::config::Config;
use vital_sidecar::config::model::Schema;

use crate::support::client::Client;
use crate::support::house::{self, config, lines};
use crate::support::process::{Process, command, output};
use crate::support::upstream::{self, Upstream};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

async fn answering(text: &str) -> (Upstream, Config) {
    let upstream = upstream::answering(OK).await;
    let config = config(upstream.address, text);
    (upstream, config)
}

fn told<'a>(lines: &'a [Value], message: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["message"] == message).collect()
}

#[tokio::test]
async fn a_request_begins_with_a_line_only_where_that_is_asked_for() {
    let routes =
        "[[routes]]\nmatch = \"* /api/{id}\"\n[[routes]]\nmatch = \"* /no\"\naction = \"deny\"\n";
    for is_asked in [true, false] {
        let (_upstream, mut config) = answering(routes).await;
        config.log.request_start = is_asked;
        let house = house::open(&config).await;
        let mut client = house.client().await;
        for path in ["/api/4711?q=1", "/no", "/other/1"] {
            client.get(path).await;
        }
        let paper = house.paper.clone();
        house.close().await;
        let lines = paper.lines();
        let (begun, ended) = (told(&lines, "Incoming request"), told(&lines, "Request completed"));
        assert_eq!((begun.len(), ended.len()), (if is_asked { 3 } else { 0 }, 3));
        for begun in begun {
            let end = ended.iter().find(|end| end["requestId"] == begun["requestId"]);
            let end = end.expect("an end for each beginning");
            assert_eq!((&begun["url"], &begun["method"]), (&end["url"], &json!("GET")));
            for field in ["userId", "tenantId", "userAgent"] {
                assert_eq!(begun.get(field), Some(&Value::Null), "{field}");
            }
            assert_eq!((&begun["level"], begun.get("status")), (&json!("info"), None));
        }
    }
}

#[tokio::test]
async fn the_beginning_is_said_before_the_upstream_is_asked() {
    let upstream = upstream::scripted(async |mut wire| {
        wire.head().await;
        std::future::pending::<()>().await;
    })
    .await;
    let mut config = config(upstream.address, "");
    config.log.request_start = true;
    let house = house::open(&config).await;
    let mut client = house.client().await;
    client.say("GET /waiting HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let lines = house.lines(1).await;
    assert_eq!((lines.len(), &lines[0]["message"]), (1, &json!("Incoming request")));
    drop(client);
    let lines = house.lines(2).await;
    assert_eq!(told(&lines, "Incoming request").len(), 1);
    assert_eq!(told(&lines, "Request completed")[0]["outcome"], "gone");
    house.close().await;
}

#[tokio::test]
async fn only_the_headers_that_the_configuration_names_are_logged_and_only_in_the_log() {
    let (_upstream, config) = answering("[log]\nheaders = [\"X-Shop\"]\n").await;
    let house = house::open(&config).await;
    let mut client = house.client().await;
    let fields = "x-shop: one me@example.com\r\nx-shop: two\r\nx-other: zebra\r\n";
    client.say(format!("GET /a HTTP/1.1\r\nhost: a\r\n{fields}\r\n")).await;
    assert_eq!(client.answer().await.status, 200);
    client.get("/b").await;
    let lines = house.lines(2).await;
    assert_eq!(lines[0]["headers.x-shop"], "one ? two");
    assert_eq!(lines[1].get("headers.x-shop"), None, "it was not sent");
    let log = String::from_utf8(house.paper.bytes()).expect("UTF-8");
    let page = house.page().await;
    assert!(!log.contains("zebra") && !page.contains("one ?"), "{log}");
    house.close().await;
}

#[tokio::test]
async fn each_audit_record_leaves_a_line() {
    let directory = tempfile::tempdir().expect("a directory");
    let text = "[[routes]]\nmatch = \"* /api/{id}\"\naudit = \"DATA_ACCESS\"\n\
                [[routes]]\nmatch = \"* /no\"\naction = \"deny\"\naudit = \"ADMIN_ACTION\"\n";
    let (_upstream, mut config) = answering(text).await;
    config.audit.directory = directory.path().join("audit");
    let house = house::open(&config).await;
    let mut client = house.client().await;
    let mut ids = Vec::new();
    for path in ["/api/1", "/no", "/plain"] {
        let answer = client.get(path).await;
        ids.push(answer.field("x-request-id").expect("an id").to_owned());
    }
    let paper = house.paper.clone();
    house.close().await;

    let lines = paper.lines();
    let told = told(&lines, "AUDIT");
    let said: Vec<_> = told
        .iter()
        .map(|line| (&line["event"], &line["seq"], &line["requestId"], &line["level"]))
        .collect();
    let (first, second, info) = (json!(ids[0]), json!(ids[1]), json!("info"));
    let [access, admin] = [json!("DATA_ACCESS"), json!("ADMIN_ACTION")];
    let mut seqs: Vec<_> = said.iter().map(|line| line.1.as_u64().expect("a number")).collect();
    seqs.sort_unstable();
    assert_eq!(seqs, [1, 2, 3]);
    let of = |event: &Value, id: &Value| {
        said.iter().filter(|line| line.0 == event && line.2 == id && line.3 == &info).count()
    };
    assert_eq!((of(&access, &first), of(&admin, &second)), (2, 1), "{said:?}");
    let traces = completed_traces(&lines);
    let mut ends: Vec<_> = told.iter().map(|line| [&line["stage"], &line["result"]]).collect();
    ends.sort_by_key(|[stage, result]| format!("{stage}{result}"));
    let of_ends =
        json!([["completed", "denied"], ["completed", "success"], ["initiated", "initiated"]]);
    assert_eq!(json!(ends), of_ends);
    assert!(told.iter().all(|line| traces.contains(&(&line["requestId"], &line["traceId"]))));
}

/// The request and the trace of each exchange.
fn completed_traces(lines: &[Value]) -> Vec<(&Value, &Value)> {
    let completed = lines.iter().filter(|line| line["message"] == "Request completed");
    completed.map(|line| (&line["requestId"], &line["traceId"])).collect()
}

#[tokio::test]
async fn diagnostics_are_in_the_files_too_in_the_schema_of_the_log() {
    for schema in [Schema::Winston, Schema::Otel, Schema::Ecs] {
        let name = ["winston", "otel", "ecs"][schema as usize];
        let upstream = upstream::answering(OK).await;
        let process = Process::start(&format!(
            "[upstream]\nurl = \"http://{}\"\n[log]\nconsole = \"off\"\ndirectory = \"logs\"\n\
             schema = \"{name}\"\n[server.drain]\ndelay = \"0s\"\n",
            upstream.address
        ))
        .await;
        Client::connect(process.data).await.get("/a").await;
        process.signal("TERM").await;
        let remains = process.remains().await;
        assert_eq!(remains.code, Some(0), "{}", remains.stderr);
        let path = remains.directory.path().join("logs/combined.log");
        let lines = lines(&std::fs::read(path).expect("a file"));
        let message = if schema == Schema::Otel { "Body" } else { "message" };
        let of = |said: &str| lines.iter().filter(|line| line[message] == said).count();
        for said in ["The doors are open.", "Request completed", "Draining."] {
            assert_eq!(of(said), 1, "{name}: {said}: {lines:?}");
        }
    }
}

/// The last line on standard error, with its message and its fields whatever they are called.
fn last_line(stderr: &str) -> (Value, Value, impl Fn(&str) -> Value) {
    let line = lines(stderr.as_bytes()).pop().expect("a last line");
    let [message, level] = [["message", "Body"], ["level", "SeverityText"]]
        .map(|names| names.iter().map(|name| line[name].clone()).find(|value| !value.is_null()));
    let level = level.unwrap_or_else(|| line["log.level"].clone());
    let field = move |name: &str| {
        let flat = format!("labels.{}", name.replace('.', "_"));
        let places = [&line[name], &line["Attributes"][name], &line[flat]];
        places.into_iter().find(|value| !value.is_null()).cloned().unwrap_or_default()
    };
    (message.expect("a message"), level, field)
}

#[tokio::test]
async fn the_last_words_are_a_line_in_the_schema_of_the_log() {
    for name in ["winston", "otel", "ecs"] {
        let upstream = upstream::answering(OK).await;
        let process = Process::start(&format!(
            "[upstream]\nurl = \"http://{}\"\n[otlp]\nendpoint = \"\"\n[log]\nschema = \"{name}\"\n\
             directory = \"logs\"\n[server.drain]\ndelay = \"0s\"\n",
            upstream.address
        ))
        .await;
        assert_eq!(Client::connect(process.data).await.get("/a").await.status, 200);
        process.signal("TERM").await;
        let remains = process.remains().await;
        assert_eq!(remains.code, Some(0), "{}", remains.stderr);
        remains.assert_balanced();
        let (message, level, field) = last_line(&remains.stderr);
        assert_eq!(message, "Tracing terminated", "{}", remains.stderr);
        assert_eq!(level.as_str().map(str::to_lowercase).as_deref(), Some("info"));
        let ledger = field("ledger");
        let ledger = ledger.as_str().expect("a ledger");
        assert!(
            ledger.starts_with("logs to console: 1 accepted = 1 exported + 0 dropped"),
            "{ledger}"
        );
        assert!(ledger.contains("; logs to file: "), "{ledger}");
        assert_eq!((field("dropped"), field("in_flight")), (json!(0), json!(0)), "{name}");
    }
}

#[tokio::test]
async fn who_cannot_start_says_why_in_a_line_and_a_wrong_configuration_in_words() {
    let directory = tempfile::tempdir().expect("a directory");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let listen = taken.local_addr().expect("an address").to_string();
    let run = ["run", "--upstream", "http://127.0.0.1:3000", "--listen", &listen];
    let mut quiet = command(directory.path(), &run);
    quiet.env("LOG_LEVEL", "error");
    let (code, stdout, stderr) = output(quiet).await;
    assert_eq!((code, &*stdout), (1, ""), "{stderr}");
    let (message, level, field) = last_line(&stderr);
    assert_eq!((message, level), (json!("The sidecar did not start."), json!("error")));
    assert_eq!(field("error.type"), "_OTHER");
    let why = field("error.message");
    assert!(
        why.as_str().is_some_and(|why| why.starts_with(&format!("listening on {listen}"))),
        "{why}"
    );

    let (code, _, stderr) = output(command(directory.path(), &["run", "--upstream", "none"])).await;
    assert_eq!(code, 78, "{stderr}");
    assert!(stderr.contains("error: `upstream.url`"), "{stderr}");
}
