//! `health`: exits 0 if a running sidecar is ready, else 1, and says why.

use std::net::SocketAddr;

use serde_json::Value;

use super::admin_client::{Answer, ask, complaint};
use super::say::{say, tell};

/// Asks `/readyz` of the sidecar whose admin port is `address`.
pub fn run(address: SocketAddr, token: Option<&str>) -> u8 {
    match verdict(address, token) {
        Ok(()) => {
            drop(say("ready\n")); // The verdict is the exit code.
            0
        }
        Err(reason) => tell(Err(reason)),
    }
}

fn verdict(address: SocketAddr, token: Option<&str>) -> Result<(), String> {
    let answer = ask(address, "GET", "/readyz", token).map_err(|error| error.to_string())?;
    match answer.status {
        200 => Ok(()),
        503 => Err(reasons(&answer)),
        _ => Err(complaint(&answer)),
    }
}

fn reasons(answer: &Answer) -> String {
    let document: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let reasons = document.get("reasons").and_then(Value::as_array).cloned().unwrap_or_default();
    let reasons: Vec<String> = reasons
        .iter()
        .map(|entry| {
            let word = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or("unknown");
            format!("{}: {}", word("check"), word("reason"))
        })
        .collect();
    format!("not ready: {}", reasons.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_named() {
        let body = r#"{"ready":false,"reasons":[{"check":"a","reason":"b"},{"check":"c"}]}"#;
        let answer = Answer { status: 503, body: body.to_owned() };
        assert_eq!(reasons(&answer), "not ready: a: b; c: unknown");
    }
}
