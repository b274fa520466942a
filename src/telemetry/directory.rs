//! What is wrong with a directory that a configuration names, in words of its operator.
//!
//! The system says `File exists` of a directory that cannot be made because a file has its name, which reads
//! as if all were well.

use std::io;

/// The error, and what it means where that is not what it says.
pub(in crate::telemetry) fn explained(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
            format!("a file is in its place, or in that of a directory above it ({error})")
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_in_the_place_of_a_directory_is_told_as_such() {
        for kind in [io::ErrorKind::AlreadyExists, io::ErrorKind::NotADirectory] {
            assert!(explained(&kind.into()).starts_with("a file is in its place"));
        }
        let full: io::Error = io::ErrorKind::StorageFull.into();
        assert_eq!(explained(&full), full.to_string());
    }
}
