//! `reload`: asks a running sidecar to read its configuration again.

use std::net::SocketAddr;

use super::admin_client::{Answer, ask, complaint};
use super::say::{say, tell};

/// Asks for a reload at the admin port `address`. Returns once the new configuration is in force, or
/// with every reason why it is not. Gives the exit code.
pub fn run(address: SocketAddr, token: Option<&str>) -> u8 {
    match ask(address, "POST", "/reload", token) {
        Ok(answer) if answer.status == 200 => {
            drop(say(&changes(&answer))); // It has happened, whoever hears of it.
            0
        }
        Ok(answer) => tell(Err(reasons(&answer))),
        Err(error) => tell(Err(error.to_string())),
    }
}

fn changes(answer: &Answer) -> String {
    let document: serde_json::Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let changed = document["changed"].as_array().map(Vec::as_slice).unwrap_or_default();
    let keys: Vec<_> = changed.iter().filter_map(|key| key.as_str()).collect();
    if keys.is_empty() {
        return "reloaded; nothing has changed\n".to_owned();
    }
    format!("reloaded; changed: {}\n", keys.join(", "))
}

/// The errors as `check` shows them; another complaint in our words.
fn reasons(answer: &Answer) -> String {
    let document: serde_json::Value = serde_json::from_str(&answer.body).unwrap_or_default();
    match (answer.status, document["detail"].as_str()) {
        (422, Some(errors)) => format!("{errors}the old configuration stays in force"),
        _ => complaint(answer),
    }
}
