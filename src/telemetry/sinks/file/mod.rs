//! Whole lines into files and streams that may fail.
//!
//! A line either arrived or it did not. What a failed write left of a line is taken back from a file at
//! once, or before the next line; a stream cannot take back, so there the torn line is ended by a
//! newline. A file's rest of a line that a crash left is cut off when it is opened.
//!
//! Files rotate between two lines, see [`home`]; what is not a file of its own, such as a link to
//! `/dev/stdout`, never does. Nothing here blocks a runtime worker: files are opened on a thread that may
//! block, and all else is called from writer threads only. It does not buffer: the process may be killed after any write and loses no line that
//! was said to have arrived.

use std::borrow::Cow;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::config::model::LogFiles;

mod compressor;
mod disk;
#[cfg(test)]
mod fake;
mod home;
mod out;
mod shelf;
#[cfg(test)]
mod tests;

use compressor::Compressor;
use disk::{Disk, RealDisk};
use home::Home;
use out::{Out, Stream};
use shelf::Shelf;

/// A log file or its directory could not be opened. Usually a missing permission or a typo.
#[derive(Debug, thiserror::Error)]
#[error("opening `{}` for the log: {error}", path.display())]
pub struct OpenError {
    /// What was to be opened.
    pub path: PathBuf,
    /// Why it could not be.
    pub error: io::Error,
}

/// How long an old file stays as it is before it is compressed. Where lines flood, it is gone by then, and
/// whoever follows the log has read it to its end.
const REST: Duration = Duration::from_secs(10);

/// What is wrong with a directory that is none.
const NO_DIRECTORY: &str = "`log.directory` names a file, not a directory";

/// A place that takes lines.
pub(super) struct Lines {
    /// `None` while a file that was rotated has no successor.
    out: Option<Box<dyn Out>>,
    /// Bytes of an unfinished line at the end.
    torn: u64,
    /// Bytes in the file, as far as we know.
    size: u64,
    /// Bytes it may have.
    limit: u64,
    /// `None` where lines go to a stream that was handed in.
    home: Option<Home>,
    /// Which output it is, and why its last write did not arrive: only the change is told.
    failing: Option<String>,
}

/// Why a write ended early: how many bytes had arrived by then, all of them whole lines, and the reason.
type Stopped = (usize, io::Error);

impl Lines {
    /// Lines to a stream.
    pub(super) fn stream(out: Box<dyn Write + Send>) -> Self {
        let out: Box<dyn Out> = Box::new(Stream(out));
        Self { out: Some(out), torn: 0, size: 0, limit: u64::MAX, home: None, failing: None }
    }

    /// Opens files of these names in a directory to append to them, and makes all of it where it is
    /// missing (file mode 0640). One thread compresses old files, where that is asked for.
    pub(super) fn append<const N: usize>(
        directory: &Path,
        names: [&'static str; N],
        files: &LogFiles,
    ) -> Result<[Self; N], OpenError> {
        Self::append_resting(directory, names, files, REST)
    }

    /// The same, with the time for which an old file stays as it is.
    fn append_resting<const N: usize>(
        directory: &Path,
        names: [&'static str; N],
        files: &LogFiles,
        rest: Duration,
    ) -> Result<[Self; N], OpenError> {
        let failed = |error| {
            let is_file = directory.exists() && !directory.is_dir();
            let plainly = || io::Error::new(io::ErrorKind::NotADirectory, NO_DIRECTORY);
            let error = if is_file { plainly() } else { error };
            OpenError { path: directory.to_owned(), error }
        };
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::take(directory).map_err(failed)?);
        let keep = files.max_files.saturating_sub(1);
        let shelves = names.map(|name| Arc::new(Shelf::new(Arc::clone(&disk), name, keep)));
        for shelf in &shelves {
            tidy(shelf, files);
        }
        let is_compressing = files.compress && files.max_size.is_some();
        let compressor = is_compressing
            .then(|| Compressor::start(shelves.to_vec(), rest))
            .transpose()
            .map_err(failed)?;
        let mut lines = shelves.map(|shelf| {
            let path = directory.join(shelf.name());
            Self::at(Home::new(shelf, path, files, compressor.clone()))
        });
        for (lines, name) in lines.iter_mut().zip(names) {
            lines.open().map_err(|error| OpenError { path: directory.join(name), error })?;
        }
        Ok(lines)
    }

    /// Lines to a file that is not open yet.
    fn at(home: Home) -> Self {
        Self { out: None, torn: 0, size: 0, limit: 0, home: Some(home), failing: None }
    }

    /// Writes the lines of `text` that end at `ends`, and says how many arrived. After a failure the
    /// rest is not tried; the next call is.
    pub(super) fn write(&mut self, text: &[u8], ends: &[usize]) -> usize {
        match self.try_write(text, ends) {
            Ok(()) => {
                if self.failing.take().is_some() {
                    tracing::info!(output = %self.name(), "The log can be written again.");
                }
                ends.len()
            }
            Err((arrived, error)) => {
                let found = format!("{}: {error}", self.name());
                if self.failing.replace(found).is_none() {
                    tracing::warn!(output = %self.name(), %error, "The log cannot be written; its lines are dropped and counted.");
                }
                ends.partition_point(|end| *end <= arrived)
            }
        }
    }

    /// Leaves a file for the one that has its name now, and makes that where it is missing. What was
    /// written so far is in the old one.
    pub(super) fn reopen(&mut self) {
        // Where it fails, the old file is somebody else's to mend: it may be full for good.
        drop(self.mend());
        if self.home.is_some()
            && let Err(error) = self.open()
        {
            tracing::warn!(output = %self.name(), %error, "The log cannot be opened again; its lines go where they went.");
        }
    }

    fn try_write(&mut self, text: &[u8], ends: &[usize]) -> Result<(), Stopped> {
        if self.out.is_none() {
            self.open().map_err(|error| (0, error))?;
        }
        self.mend().map_err(|error| (0, error))?;
        let mut done = 0;
        while done < text.len() {
            let end = self.room(ends, done).map_err(|error| (done, error))?;
            self.put(&text[done..end]).map_err(|(arrived, error)| (done + arrived, error))?;
            done = end;
        }
        self.out.as_mut().map_or(Ok(()), |out| out.flush()).map_err(|error| (done, error))
    }

    /// The end of the lines from `start` on that can be written at once: at least one, and as many as
    /// the file may take. Makes room where it has none.
    fn room(&mut self, ends: &[usize], start: usize) -> io::Result<usize> {
        let first = ends.partition_point(|end| *end <= start);
        let fitting = |lines: &Self| {
            let room = lines.limit.saturating_sub(lines.size);
            first + ends[first..].partition_point(|end| (*end - start) as u64 <= room)
        };
        let mut after = fitting(self);
        if after == first && self.size > 0 {
            if !self.rotate()? {
                return Ok(ends.last().copied().unwrap_or(start));
            }
            after = fitting(self);
        }
        Ok(ends[after.max(first + 1) - 1])
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Stopped> {
        let Some(out) = &mut self.out else {
            return Err((0, io::ErrorKind::NotFound.into()));
        };
        let mut written = 0;
        while written < bytes.len() {
            let result = match out.write(&bytes[written..]) {
                Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                other => other,
            };
            match result {
                Ok(count) => {
                    written += count;
                    self.size = self.size.saturating_add(count as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let whole = memchr::memrchr(b'\n', &bytes[..written]).map_or(0, |at| at + 1);
                    self.torn = (written - whole) as u64;
                    if out.identity().is_some() {
                        // If it fails, it is tried again before the next line.
                        drop(self.mend());
                    }
                    return Err((whole, error));
                }
            }
        }
        Ok(())
    }

    /// No line is torn after this.
    fn mend(&mut self) -> io::Result<()> {
        if self.torn > 0
            && let Some(out) = &mut self.out
        {
            out.mend(self.torn)?;
            self.size = out.length()?;
        }
        self.torn = 0;
        Ok(())
    }

    /// Why the last write did not arrive.
    pub(super) fn failing(&self) -> Option<&str> {
        self.failing.as_deref()
    }

    /// The whole path of a file: it is somewhere on a disk that may be full.
    fn name(&self) -> Cow<'_, str> {
        self.home.as_ref().map_or(Cow::Borrowed("console"), Home::name)
    }
}

/// Old files are only ours if we rotate; what was half made is in any case.
fn tidy(shelf: &Shelf, files: &LogFiles) {
    let tidied = if files.max_size.is_some() { shelf.tidy() } else { shelf.discard() };
    if let Err(error) = tidied {
        tracing::warn!(output = shelf.name(), %error, "Old log files cannot be put in order.");
    }
}
