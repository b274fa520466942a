//! What a command prints. A reader that has gone changes nothing: a command ends by what it found out,
//! and never by a panic.

use std::io::{self, ErrorKind, Write};

/// Prints to stdout. Whoever reads may have seen enough (`status | head -1`).
///
/// # Errors
/// When it cannot be written for another reason, such as a full disk.
pub fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// Prints to stderr what went wrong, if anything. Nobody is left to tell where that fails.
pub fn complain(text: &str) {
    drop(io::stderr().write_all(text.as_bytes()));
}

/// Prints a result, or why there is none, and gives the exit code: 0; or 1, also where the result could
/// not be printed.
pub fn tell(result: Result<String, String>) -> u8 {
    match result {
        Ok(text) => u8::from(say(&text).is_err()),
        Err(reason) => {
            complain(&format!("{reason}\n"));
            1
        }
    }
}
