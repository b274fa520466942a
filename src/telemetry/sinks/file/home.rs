//! Where a log's file lives: how it is opened, how long it may get, and what becomes of it then.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::Lines;
use super::compressor::Compressor;
use super::out::Out;
use super::shelf::Shelf;
use crate::config::model::LogFiles;

/// The place of one log's files.
pub(super) struct Home {
    shelf: Arc<Shelf>,
    path: PathBuf,
    max_size: Option<u64>,
    compressor: Option<Compressor>,
    /// Whether the last rotation failed, so that only the change is told.
    is_stuck: bool,
}

impl Home {
    /// The place of the file of this path, which is that of the shelf.
    pub(super) fn new(
        shelf: Arc<Shelf>,
        path: PathBuf,
        files: &LogFiles,
        compressor: Option<Compressor>,
    ) -> Self {
        Self { shelf, path, max_size: files.max_size, compressor, is_stuck: false }
    }

    /// The whole path.
    pub(super) fn name(&self) -> Cow<'_, str> {
        self.path.to_string_lossy()
    }

    fn told(&mut self, error: Option<&io::Error>) {
        let was_stuck = std::mem::replace(&mut self.is_stuck, error.is_some());
        match error {
            Some(error) if !was_stuck => {
                tracing::warn!(output = %self.name(), %error, "The log cannot be rotated; the file grows.");
            }
            None if was_stuck => {
                tracing::info!(output = %self.name(), "The log can be rotated again.");
            }
            _ => {}
        }
    }
}

impl Lines {
    /// Opens the file that has the log's name, in place of the one that was open. After an error that
    /// one is still open.
    pub(super) fn open(&mut self) -> io::Result<()> {
        let Some(home) = &self.home else { return Ok(()) };
        let mut out = home.shelf.open()?;
        let torn = out.cut_tail()?;
        if torn > 0 {
            tracing::warn!(
                output = %home.name(),
                bytes = torn,
                "A line that was cut by a crash is removed."
            );
        }
        // What a link leads to is not ours to rename. A file that has lost its name already is, in that
        // its successor is opened when it is full.
        let is_ours = out.identity().is_some() && !home.shelf.is_link()?;
        self.size = out.length()?;
        self.limit = home.max_size.filter(|_| is_ours).unwrap_or(u64::MAX);
        self.torn = 0;
        self.switch(Some(out));
        Ok(())
    }

    /// Writes to this from now on. What was written to until now may be compressed, if it has the name of
    /// an old file.
    fn switch(&mut self, out: Option<Box<dyn Out>>) {
        let identity = out.as_ref().and_then(|out| out.identity());
        self.out = out;
        let Some(home) = &self.home else { return };
        home.shelf.hold(identity);
        if let Some(compressor) = &home.compressor {
            compressor.nudge();
        }
    }

    /// Begins a new file. `false` if that cannot be: then the old one goes on, whatever its length. An
    /// error means that there is no file to write to at present.
    pub(super) fn rotate(&mut self) -> io::Result<bool> {
        let (Some(home), Some(out)) = (&mut self.home, &self.out) else { return Ok(false) };
        let Some(identity) = out.identity() else { return Ok(false) };
        // Somebody may have cut it short behind our back.
        let length = out.length()?;
        if length < self.size {
            self.size = length;
            return Ok(true);
        }
        let rotated = home.shelf.rotate(identity);
        home.told(rotated.as_ref().err());
        if rotated.is_err() {
            return Ok(false);
        }
        // Whoever has the name now: from here on the old file is no longer ours to write to.
        self.switch(None);
        self.open().map(|()| true)
    }
}
