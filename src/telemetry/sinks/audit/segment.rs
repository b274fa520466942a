//! The one open file of the trail, and what becomes of it when the disk says no.
//!
//! A failed write or sync poisons it: nothing is written there again, a new segment must replace it.
//! It does not know what a record is.

use std::io;
use std::time::Duration;

use tokio::time::Instant;

use super::disk::{Disk, SegmentFile};
use crate::audit::segment_name;

/// The first pause before a new segment is tried, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What tells whether a disk that failed takes bytes again: no segment, and no part of the trail.
const PROBE: &str = "probe";
/// As many bytes as a large record; a full disk takes an empty file, and not these.
const PROBED: &[u8] = &[b'\n'; 4096];

pub(super) struct Segment {
    disk: Box<dyn Disk>,
    name: String,
    /// Bytes that are known durable.
    durable: u64,
    state: State,
    /// A file that an earlier try may have left, with nothing in it.
    leftover: Option<String>,
    /// The next pause; it starts over when a commit succeeds.
    backoff: Duration,
}

enum State {
    Healthy(Box<dyn SegmentFile>),
    Poisoned { retry_at: Instant },
}

impl Segment {
    /// Opens the last segment at its end (or makes the first), writes these bytes and syncs.
    pub(super) fn open(
        mut disk: Box<dyn Disk>,
        last: Option<(String, u64)>,
        bytes: &[u8],
    ) -> io::Result<Self> {
        let (name, length, mut file) = if let Some((name, length)) = last {
            let file = disk.append(&name)?;
            (name, length, file)
        } else {
            let name = segment_name(1);
            let file = disk.create(&name)?;
            (name, 0, file)
        };
        file.write(bytes)?;
        file.sync()?;
        let durable = length + bytes.len() as u64;
        let state = State::Healthy(file);
        Ok(Self { disk, name, durable, state, leftover: None, backoff: BACKOFF.0 })
    }

    /// Writes and syncs. An error poisons the segment: nothing of these bytes is known durable.
    pub(super) fn commit(&mut self, bytes: &[u8]) -> io::Result<()> {
        let State::Healthy(file) = &mut self.state else {
            return Err(io::Error::other("the segment is poisoned"));
        };
        if bytes.is_empty() {
            return Ok(());
        }
        match file.write(bytes).and_then(|()| file.sync()) {
            Ok(()) => {
                self.durable += bytes.len() as u64;
                self.backoff = BACKOFF.0;
                Ok(())
            }
            Err(error) => {
                self.poison();
                Err(error)
            }
        }
    }

    /// Leaves a poisoned segment for a new one that begins with this `seq`.
    pub(super) fn replace(&mut self, first_seq: u64) -> io::Result<()> {
        if self.durable > 0
            && let Err(error) = self.disk.truncate(&self.name, self.durable)
        {
            // Fine: from the new segment's first `seq` on, the old one does not count.
            tracing::debug!(%error, "A poisoned audit segment could not be cut to its durable part.");
        }
        let name = segment_name(first_seq);
        match self.make(&name).and_then(|file| self.probe(&name).map(|()| file)) {
            Ok(file) => {
                (self.name, self.durable, self.state) = (name, 0, State::Healthy(file));
                self.leftover = None;
                Ok(())
            }
            Err(error) => {
                self.poison();
                Err(error)
            }
        }
    }

    /// Whether it takes records.
    pub(super) fn is_healthy(&self) -> bool {
        matches!(self.state, State::Healthy(_))
    }

    /// Whether it is poisoned and the pause before the next try is over.
    pub(super) fn is_due(&self) -> bool {
        matches!(self.state, State::Poisoned { retry_at } if Instant::now() >= retry_at)
    }

    /// The file's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Writes and syncs something, and takes it away again. Without traffic nothing else would tell that the
    /// disk is well, and who is told so too early is sent requests that must be refused. The new segment is left
    /// to the next try unless this succeeds.
    fn probe(&mut self, segment: &str) -> io::Result<()> {
        self.leftover = Some(segment.to_owned());
        self.disk.remove(PROBE)?;
        let mut file = self.disk.create(PROBE)?;
        let written = file.write(PROBED).and_then(|()| file.sync());
        drop(file);
        // Also where it failed: what little there is room for is the records'.
        let removed = self.disk.remove(PROBE);
        written.and(removed)
    }

    /// Makes a new file. One of that name is removed only if nothing in it can be durable: it is the
    /// poisoned segment itself and no commit of it succeeded, or it was left by an earlier try.
    fn make(&mut self, name: &str) -> io::Result<Box<dyn SegmentFile>> {
        let is_empty_self = self.durable == 0 && self.name == name;
        if is_empty_self || self.leftover.as_deref() == Some(name) {
            self.disk.remove(name)?;
        }
        let made = self.disk.create(name);
        if made.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::AlreadyExists) {
            self.leftover = Some(name.to_owned());
        }
        made
    }

    fn poison(&mut self) {
        self.state = State::Poisoned { retry_at: Instant::now() + self.backoff };
        self.backoff = (self.backoff * 2).min(BACKOFF.1);
    }
}
