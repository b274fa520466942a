//! `vital-sidecar audit`: looks at an audit trail. It works on files; no sidecar needs to run.
//!
//! It changes nothing in the directory. Beside a running sidecar it says so, and what is open counts
//! as in flight.

use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use crate::audit::{Report, Verifier};
use crate::telemetry::sinks::audit::{Disk as _, RealDisk, segments};

/// `audit verify DIR` on standard output.
pub fn run(directory: &Path) -> ExitCode {
    // A closed pipe leaves no verdict to tell; that is not a good one.
    run_verify(directory, &mut io::stdout()).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// `audit verify DIR`: prints the verdicts and answers the exit code, 0 if all is well, else 1.
///
/// # Errors
/// When the output cannot be written.
fn run_verify(directory: &Path, out: &mut impl Write) -> io::Result<u8> {
    let (report, is_ok) = verify(directory);
    out.write_all(report.as_bytes())?;
    Ok(u8::from(!is_ok))
}

/// Checks every segment of a directory: what to print, and whether all is well.
pub fn verify(directory: &Path) -> (String, bool) {
    match check(directory) {
        Ok(report) => {
            let verdict = if report.is_ok() { "ok" } else { "NOT OK" };
            (format!("{report}verdict      {verdict}\n"), report.is_ok())
        }
        Err(error) => {
            (format!("error: reading audit directory `{}`: {error}\n", directory.display()), false)
        }
    }
}

fn check(directory: &Path) -> io::Result<Report> {
    let is_live = is_locked(directory)?;
    let mut disk = RealDisk::new(directory);
    let segments = segments(&mut disk)?;
    let mut verifier = Verifier::default();
    for (index, (name, _)) in segments.iter().enumerate() {
        let next = segments.get(index + 1).map(|(_, start)| *start);
        verifier.segment(name, next, &mut *disk.read(name)?)?;
    }
    let mut report = verifier.finish();
    report.is_live = is_live;
    Ok(report)
}

/// Whether a sidecar holds the directory. The lock is shared and held for a moment only.
fn is_locked(directory: &Path) -> io::Result<bool> {
    let file = match File::open(directory.join(RealDisk::LOCK)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::chain::Chain;
    use crate::audit::sample::{completed, initiated};
    use crate::audit::segment_name;

    fn trail() -> Vec<u8> {
        let (mut chain, mut bytes) = (Chain::GENESIS, Vec::new());
        chain.append(&initiated(1), &mut bytes);
        chain.append(&completed(1), &mut bytes);
        bytes
    }

    fn verify_bytes(bytes: &[u8]) -> (String, u8) {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(segment_name(1)), bytes).unwrap();
        let mut out = Vec::new();
        let code = run_verify(directory.path(), &mut out).unwrap();
        (String::from_utf8(out).unwrap(), code)
    }

    #[test]
    fn a_good_trail_is_ok() {
        let (printed, code) = verify_bytes(&trail());
        assert_eq!(code, 0, "{printed}");
        assert!(printed.starts_with("2 records in 1 segment, last seq 2\n"), "{printed}");
        assert!(printed.ends_with("verdict      ok\n"), "{printed}");
    }

    #[test]
    fn the_first_bad_line_is_named_with_its_reason() {
        let mut bytes = trail();
        bytes[30] ^= 1;
        let (printed, code) = verify_bytes(&bytes);
        assert_eq!(code, 1);
        let expected = "first at audit-00000000000000000001.jsonl:1: its hash does not match";
        assert!(printed.contains(expected), "{printed}");
    }

    #[test]
    fn an_empty_or_missing_directory_is_not_ok() {
        let directory = tempfile::tempdir().unwrap();
        assert!(!verify(directory.path()).1);
        let (printed, is_ok) = verify(&directory.path().join("nowhere"));
        assert!(!is_ok && printed.starts_with("error: reading audit directory `"), "{printed}");
    }
}
