//! Whole lines into files and streams that may fail.
//!
//! A line either arrived or it did not: after a failed write the remains of a torn line are ended by
//! a newline before the next one, so that lines never run into each other. Nothing here blocks a
//! runtime worker, because it is called from writer threads only. It does not rotate.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A log file or its directory could not be opened. Usually a missing permission or a typo.
#[derive(Debug, thiserror::Error)]
#[error("opening `{}` for the log: {error}", path.display())]
pub struct OpenError {
    /// What was to be opened.
    pub path: PathBuf,
    /// Why it could not be.
    pub error: io::Error,
}

/// A place that takes lines.
pub(super) struct Lines {
    out: Box<dyn Write + Send>,
    torn: bool,
    /// Whether the last write arrived, so that only the change is told.
    failing: bool,
}

impl Lines {
    pub(super) fn new(out: Box<dyn Write + Send>) -> Self {
        Self { out, torn: false, failing: false }
    }

    /// Opens `directory/name` to append, and makes both where they are missing (file mode 0640).
    pub(super) fn append(directory: &Path, name: &str) -> Result<Self, OpenError> {
        let at = |path: &Path, error| OpenError { path: path.to_owned(), error };
        std::fs::create_dir_all(directory).map_err(|error| at(directory, error))?;
        let path = directory.join(name);
        let file = open(&path).map_err(|error| at(&path, error))?;
        Ok(Self::new(Box::new(file)))
    }

    /// Writes the lines of `text` that end at `ends`, and says how many arrived. After a failure the
    /// rest is not tried; the next call is.
    pub(super) fn write(&mut self, text: &[u8], ends: &[usize]) -> usize {
        match self.try_write(text) {
            Ok(()) => {
                if std::mem::take(&mut self.failing) {
                    tracing::info!("The access log can be written again.");
                }
                ends.len()
            }
            Err((written, error)) => {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(%error, "The access log cannot be written; its lines are dropped and counted.");
                }
                ends.partition_point(|end| *end <= written)
            }
        }
    }

    fn try_write(&mut self, text: &[u8]) -> Result<(), (usize, io::Error)> {
        if self.torn {
            self.out.write_all(b"\n").map_err(|error| (0, error))?;
            self.torn = false;
        }
        let mut written = 0;
        while written < text.len() {
            let result = match self.out.write(&text[written..]) {
                Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                other => other,
            };
            match result {
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.torn = written > 0 && text[written - 1] != b'\n';
                    return Err((written, error));
                }
            }
        }
        self.out.flush().map_err(|error| (written, error))
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    /// A disk with so much room.
    #[derive(Clone, Default)]
    struct Disk(Arc<Mutex<(Vec<u8>, usize)>>);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (content, room) = &mut *self.0.lock();
            let count = bytes.len().min(*room);
            if count == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            *room -= count;
            content.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_takes_whole_lines_and_a_torn_one_is_ended_later() {
        let disk = Disk::default();
        let mut lines = Lines::new(Box::new(disk.clone()));
        disk.0.lock().1 = 6;
        assert_eq!(lines.write(b"one\ntwo\nthree\n", &[4, 8, 14]), 1);
        assert_eq!(lines.write(b"lost\n", &[5]), 0);
        disk.0.lock().1 = 100;
        assert_eq!(lines.write(b"four\n", &[5]), 1);
        assert_eq!(disk.0.lock().0, b"one\ntw\nfour\n");
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = Lines::append(&file.join("logs"), "combined.log").err().unwrap();
        assert!(error.to_string().contains("file/logs` for the log: "), "{error}");
    }
}
