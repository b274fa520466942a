//! `drain`: asks a running sidecar to finish and stop.

use std::net::SocketAddr;

use super::admin_client::{ask, complaint};

/// Asks for a drain at the admin port `address`. Returns once it has begun, not once it is over.
/// Gives the exit code.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a command prints its result")]
pub fn run(address: SocketAddr, token: Option<&str>) -> u8 {
    let outcome = match ask(address, "POST", "/drain", token) {
        Ok(answer) if answer.status == 202 => Ok(()),
        Ok(answer) => Err(complaint(&answer)),
        Err(error) => Err(error.to_string()),
    };
    match outcome {
        Ok(()) => {
            println!("draining");
            0
        }
        Err(reason) => {
            eprintln!("{reason}");
            1
        }
    }
}
