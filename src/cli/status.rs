//! `status`: prints what a running sidecar says of itself.

use std::net::SocketAddr;

use super::admin_client::{ask, complaint};
use super::say::tell;

/// Prints `/status` of the sidecar whose admin port is `address`, indented. Gives the exit code.
pub fn run(address: SocketAddr, token: Option<&str>) -> u8 {
    tell(document(address, token).map(|document| format!("{document:#}\n")))
}

fn document(address: SocketAddr, token: Option<&str>) -> Result<serde_json::Value, String> {
    let answer = ask(address, "GET", "/status", token).map_err(|error| error.to_string())?;
    if answer.status != 200 {
        return Err(complaint(&answer));
    }
    serde_json::from_str(&answer.body).map_err(|error| format!("reading the status: {error}"))
}
