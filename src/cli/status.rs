//! `status`: prints what a running sidecar says of itself.

use std::io::{self, Write};
use std::net::SocketAddr;

use super::admin_client::{ask, complaint};

/// Prints `/status` of the sidecar whose admin port is `address`, indented. Gives the exit code.
#[expect(clippy::print_stderr, reason = "a command says what went wrong")]
pub fn run(address: SocketAddr, token: Option<&str>) -> u8 {
    match document(address, token) {
        Ok(document) => {
            // Whoever reads may have seen enough (`status | head -1`).
            match writeln!(io::stdout(), "{document:#}") {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => 1,
                _ => 0,
            }
        }
        Err(reason) => {
            eprintln!("{reason}");
            1
        }
    }
}

fn document(address: SocketAddr, token: Option<&str>) -> Result<serde_json::Value, String> {
    let answer = ask(address, "GET", "/status", token).map_err(|error| error.to_string())?;
    if answer.status != 200 {
        return Err(complaint(&answer));
    }
    serde_json::from_str(&answer.body).map_err(|error| format!("reading the status: {error}"))
}
