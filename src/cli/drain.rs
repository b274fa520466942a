//! `drain`: asks a running sidecar to finish and stop.

use std::net::SocketAddr;

use super::admin_client::{ask, complaint};
use super::say::tell;

/// Asks for a drain at the admin port `address`. Returns once it has begun, not once it is over.
/// Gives the exit code.
pub fn run(address: SocketAddr, token: Option<&str>) -> u8 {
    tell(match ask(address, "POST", "/drain", token) {
        Ok(answer) if answer.status == 202 => Ok("draining\n".to_owned()),
        Ok(answer) => Err(complaint(&answer)),
        Err(error) => Err(error.to_string()),
    })
}
