//! `explain REQUEST-ID`: what the gates of a running sidecar said to a request that it has answered.
//!
//! It asks the admin port and words the answer; it needs no configuration but the port's.

use std::fmt::Write;
use std::net::SocketAddr;

use serde_json::Value as Json;

use super::USAGE;
use crate::cli::admin_client::{ask, complaint};
use crate::cli::say::{complain, tell};

/// Asks the admin port at `address` about the exchange `id`. Gives the exit code: 0, 1 where it is not
/// remembered or nobody answers, 2 where it can be no id.
pub fn run(id: &str, as_json: bool, address: SocketAddr, token: Option<&str>) -> u8 {
    if !may_be_id(id) {
        complain("error: neither a method and a URL nor the id of a request\n");
        return USAGE;
    }
    tell(
        document(id, address, token)
            .map(|document| if as_json { format!("{document:#}\n") } else { told(&document) }),
    )
}

/// Whether a text has the form of a request id. Whoever leaves the URL out has asked about a method, and
/// nobody is to look for an id `GET`.
fn may_be_id(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let is_method = text.bytes().all(|byte| byte.is_ascii_uppercase());
    (1..=128).contains(&text.len()) && text.bytes().all(is_plain) && !is_method
}

fn document(id: &str, address: SocketAddr, token: Option<&str>) -> Result<Json, String> {
    let path = format!("/explain/{id}");
    let answer = ask(address, "GET", &path, token).map_err(|error| error.to_string())?;
    if answer.status != 200 {
        return Err(complaint(&answer));
    }
    serde_json::from_str(&answer.body).map_err(|error| format!("reading the answer: {error}"))
}

/// For people.
fn told(document: &Json) -> String {
    let word = |key: &str| document[key].as_str().unwrap_or("-");
    let millis = |value: &Json| value.as_f64().map_or("-".to_owned(), |ms| format!("{ms:.1} ms"));
    let status = document["status"].as_u64().map_or("no status".to_owned(), |n| n.to_string());
    let ending = match document["errorType"].as_str() {
        Some(error) => format!("{} ({error})", word("outcome")),
        None => word("outcome").to_owned(),
    };
    let upstream = match &document["upstream"] {
        Json::Null => "not asked".to_owned(),
        leg => match leg["status"].as_u64() {
            Some(status) => format!(
                "{status}, its head after {}, all after {}",
                millis(&leg["headMs"]),
                millis(&leg["durationMs"]),
            ),
            None => format!("no answer, given up after {}", millis(&leg["durationMs"])),
        },
    };
    let mut text = format!(
        "{} {}\n  id         {}\n  at         {}, {}\n  route      {}\n  operation  {}\n  \
         answer     {status}, {ending}\n  upstream   {upstream}\n  spans      {}\n",
        word("method"),
        word("url"),
        word("requestId"),
        word("timestamp"),
        millis(&document["durationMs"]),
        word("route"),
        word("operation"),
        word("spans"),
    );
    for (name, value) in document["facts"].as_object().into_iter().flatten() {
        writeln!(text, "  fact       {name} = {value}").ok();
    }
    text.push('\n');
    for gate in document["gates"].as_array().into_iter().flatten() {
        let word = |key: &str| gate[key].as_str().unwrap_or_default();
        let (name, mode, decision) = (word("gate"), word("mode"), word("decision"));
        let line = format!("  {name:<18} {mode:<9} {decision:<10} {}", word("facts"));
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
