//! What forgers write, in every place they can write to, and the lines it leaves: one well-formed line
//! each, in every schema and on every output, with no field that is not ours.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tempfile::NamedTempFile;
use vital_sidecar::config::model::{Console, Schema};
use vital_sidecar::{strict_json, telemetry};

use crate::support::house::{self, House, Paper, config};
use crate::support::issuer::{AUDIENCE, ISSUER, Key, claims, set};
use crate::support::upstream;

/// What a forger would write: line ends, terminal escapes, C1 controls, Unicode's line separators, broken
/// UTF-8, quotes, backslashes, pieces of JSON and far too much.
fn forgeries() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = [
        &b"a\nb"[..],
        b"a\rb",
        b"a\r\n{\"level\":\"error\"}",
        b"a\0b",
        b"\x1b[2J\x1b]0;owned\x07",
        b"\x7f\x08\x01",
        "\u{9b}31m\u{85}".as_bytes(),
        "\u{2028}\u{2029}\u{202e}".as_bytes(),
        b"\xff\xfe\xc3\x28\xed\xa0\x80",
        b"\"",
        b"\\",
        b"\\\"",
        b"\\u000a\\n",
        b"\"},{\"level\":\"error\",\"message\":\"forged",
        b"\",\"status\":200,\"userId\":\"root",
        b"%0d%0a%1b%5b2J%22%7d",
        b"${jndi:ldap://a}",
    ]
    .into_iter()
    .map(<[u8]>::to_vec)
    .collect();
    all.push(vec![b'x'; 8 * 1024]);
    all.push(b"\"\\".repeat(4 * 1024));
    all
}

/// The same as the claim of a token, where it must be text.
fn claimed() -> Vec<String> {
    forgeries().into_iter().filter_map(|bytes| String::from_utf8(bytes).ok()).collect()
}

/// Every place of a head in which this can stand.
fn heads(nasty: &[u8]) -> Vec<Vec<u8>> {
    let around = |before: &[u8], after: &[u8]| [before, nasty, after].concat();
    let field = |name: &str| {
        let before = format!("GET /api/a HTTP/1.1\r\nhost: a\r\n{name}: x");
        around(before.as_bytes(), b"\r\n\r\n")
    };
    vec![
        around(b"GET /p", b" HTTP/1.1\r\nhost: a\r\n\r\n"),
        around(b"GET /p?q=", b" HTTP/1.1\r\nhost: a\r\n\r\n"),
        around(b"G", b" /m HTTP/1.1\r\nhost: a\r\n\r\n"),
        around(b"GET /h HTTP/1.1\r\nhost: ", b"\r\n\r\n"),
        field("user-agent"),
        field("x-logged"),
        field("x-other"),
        field("x-request-id"),
        field("traceparent"),
        field("authorization"),
        field("x-user-id"),
    ]
}

struct Scene {
    house: House,
    paper: Paper,
    key: Key,
    directory: tempfile::TempDir,
    _keys: NamedTempFile,
}

async fn scene(schema: Schema, console: Console) -> Scene {
    let key = Key::ec("a");
    let keys = NamedTempFile::new().expect("a file");
    std::fs::write(keys.path(), set(&[&key])).expect("a write");
    let upstream = upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let text = format!(
        "[identity]\nsource = \"jwt\"\ntelemetry_user = \"raw\"\n\
         [identity.jwt]\njwks_file = \"{}\"\nissuer = \"{ISSUER}\"\naudience = \"{AUDIENCE}\"\n\
         [log]\nrequest_start = true\nheaders = [\"x-logged\"]\n\
         [captures.kind]\nfrom = \"request.body:/kind\"\nvalues = [\"a\"]\n\
         [[routes]]\nmatch = \"* /api/{{*rest}}\"\nidentity = \"optional\"\ncaptures = [\"kind\"]\n",
        keys.path().display()
    );
    let directory = tempfile::tempdir().expect("a directory");
    let mut config = config(upstream.address, &text);
    config.log.schema = schema;
    config.log.console = console;
    config.log.directory = Some(directory.path().join("logs"));
    let paper = Paper::default();
    let out = telemetry::Console::To(Box::new(paper.clone()));
    let house = house::open_with(&config, out, paper.clone()).await;
    Scene { house, paper, key, directory, _keys: keys }
}

impl Scene {
    /// Sends every forgery from every place. The ids of the answers.
    async fn forge(&self) -> BTreeSet<String> {
        let mut heads: Vec<Vec<u8>> = forgeries().iter().flat_map(|nasty| heads(nasty)).collect();
        for claim in claimed() {
            for more in [json!({ "sub": claim }), json!({ "tenant_id": claim })] {
                let token = self.key.token(&claims(&more));
                heads.push(
                    format!(
                        "GET /api/a HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n\r\n"
                    )
                    .into_bytes(),
                );
            }
            let body = json!({ "kind": claim, claim: 1 }).to_string();
            heads.push(
                format!(
                    "POST /api/a HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
                     content-length: {}\r\n\r\n{body}",
                    body.len()
                )
                .into_bytes(),
            );
        }
        let mut ids = BTreeSet::new();
        for head in heads {
            let mut client = self.house.client().await;
            client.say(head).await;
            let answer = String::from_utf8_lossy(&client.until(b"\r\n\r\n").await).to_lowercase();
            // A head that could not be parsed has no id.
            if let Some((_, rest)) = answer.split_once("x-request-id: ") {
                ids.insert(rest.lines().next().expect("an id").to_owned());
            }
        }
        assert!(ids.len() > 100, "most of it is HTTP: {}", ids.len());
        ids
    }

    /// Ends the sidecar: what stands on its console, and in its file.
    async fn end(self) -> (Vec<u8>, Vec<u8>) {
        self.house.close().await;
        let logs = self.directory.path().join("logs");
        (self.paper.bytes(), std::fs::read(logs.join("combined.log")).expect("a file"))
    }
}

/// Nothing in these bytes steers a terminal or ends a line that is not ours to end.
fn assert_calm(bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).expect("UTF-8");
    let is_odd = |c: char| (c.is_control() && c != '\n') || "\u{2028}\u{2029}".contains(c);
    assert_eq!(text.chars().find(|c| is_odd(*c)), None);
    assert!(text.ends_with('\n'));
}

/// Where a schema has the message and the id of a request, and what names its fields may have.
fn names(schema: Schema, line: &Value) -> (String, Option<String>, Vec<String>) {
    let (message, fields, id) = match schema {
        Schema::Winston => ("message", line, "requestId"),
        Schema::Otel => ("Body", &line["Attributes"], "sidecar.request_id"),
        Schema::Ecs => ("message", line, "http.request.id"),
    };
    let id = fields[id].as_str().map(str::to_owned);
    let keys = fields.as_object().expect("fields").keys().cloned().collect();
    (line[message].as_str().expect("a message").to_owned(), id, keys)
}

/// A line of JSON in which no key is there twice.
fn read_strictly(line: &str) -> Value {
    let read = strict_json::read(line.as_bytes(), 16);
    read.unwrap_or_else(|why| panic!("{why:?}: {line}"))
}

/// Exactly one beginning and one end for every id, of strictly read lines.
fn assert_whole(schema: Schema, bytes: &[u8], ids: &BTreeSet<String>) {
    assert_calm(bytes);
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in std::str::from_utf8(bytes).expect("UTF-8").lines() {
        let read = read_strictly(line);
        let (message, id, keys) = names(schema, &read);
        for key in &keys {
            let is_ours = |c: char| c.is_ascii_alphanumeric() || "._-@".contains(c);
            assert!(key.len() < 40 && key.chars().all(is_ours), "a field of a forger's: {key}");
        }
        if let Some(id) = id {
            found.entry(id).or_default().push(message);
        }
    }
    for (id, mut messages) in found.clone() {
        messages.sort();
        // What cannot be parsed has no beginning.
        let both = ["Incoming request", "Request completed"];
        let is_whole = messages == both || (messages == both[1..] && !ids.contains(&id));
        assert!(is_whole, "{id}: {messages:?}");
    }
    let missing: Vec<_> = ids.iter().filter(|id| !found.contains_key(*id)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

async fn nothing_forges_a_line_of(schema: Schema) {
    let scene = scene(schema, Console::Json).await;
    let ids = scene.forge().await;
    let (console, file) = scene.end().await;
    assert_whole(schema, &console, &ids);
    assert_whole(schema, &file, &ids);
}

#[tokio::test]
async fn nothing_forges_a_line_of_the_schema_winston() {
    nothing_forges_a_line_of(Schema::Winston).await;
}

#[tokio::test]
async fn nothing_forges_a_line_of_the_schema_otel() {
    nothing_forges_a_line_of(Schema::Otel).await;
}

#[tokio::test]
async fn nothing_forges_a_line_of_the_schema_ecs() {
    nothing_forges_a_line_of(Schema::Ecs).await;
}

#[tokio::test]
async fn nothing_forges_a_pretty_line() {
    let scene = scene(Schema::Winston, Console::Pretty).await;
    let ids = scene.forge().await;
    let (console, _) = scene.end().await;
    assert_calm(&console);
    let mut found = BTreeSet::new();
    for line in std::str::from_utf8(&console).expect("UTF-8").lines() {
        let (start, fields) = line.split_once(" {").expect("fields");
        let (at, rest) = start.split_once(" [").expect("a level");
        assert!(at.len() == 24 && at.ends_with('Z'), "{line}");
        let (level, message) = rest.split_once("]: ").expect("a message");
        assert!(["info", "warn", "error"].contains(&level), "{line}");
        assert!(["Incoming request", "Request completed"].contains(&message), "{line}");
        let read = read_strictly(&format!("{{{fields}"));
        found.extend(read["requestId"].as_str().map(str::to_owned));
    }
    assert!(found.is_superset(&ids));
}
