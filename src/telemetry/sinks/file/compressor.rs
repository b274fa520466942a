//! A thread that compresses old files, one after the other, the oldest first.
//!
//! It takes the processor time that nobody else wants: no request waits for the compression of a log. Nor
//! is a file compressed that a flood of lines pushes out at once: each has to be an old one for a while.
//! It shares nothing with whoever writes but the names of the files, for a few system calls. If it is
//! behind, files wait as they are. What it cannot compress stays as it is, and is tried again when it
//! looks the next time, not before.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::time::Instant;

use super::out::Identity;
use super::shelf::Shelf;

/// Bytes that are read at a time.
const BLOCK: usize = 64 * 1024;

/// See nice(2).
#[cfg(target_os = "linux")]
const LOWEST_PRIORITY: i32 = 19;

/// How to tell the thread that there is another old file. It ends when the last of these is dropped.
#[derive(Clone, Debug)]
pub(super) struct Compressor(SyncSender<()>);

impl Compressor {
    /// Starts the thread for these logs, whose old files it leaves as they are for `rest`.
    pub(super) fn start(shelves: Vec<Arc<Shelf>>, rest: Duration) -> io::Result<Self> {
        let (sender, nudged) = sync_channel(1);
        let mut queues: Vec<_> = shelves.into_iter().map(Queue::of).collect();
        thread::Builder::new().name("log-gzip".to_owned()).spawn(move || {
            give_way();
            compress_all(&mut queues, &nudged, rest);
        })?;
        let compressor = Self(sender);
        compressor.nudge();
        Ok(compressor)
    }

    /// Says that there is another file. Never waits.
    pub(super) fn nudge(&self) {
        // One that waits already will find this file too.
        self.0.try_send(()).ok();
    }
}

/// Gives this thread the lowest priority: a hundredth of a core that others want, or a core that none
/// does. Elsewhere than on Linux priorities are of whole processes.
fn give_way() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(LOWEST_PRIORITY) {
        tracing::debug!(%error, "Log files are compressed at the priority of requests.");
    }
}

fn compress_all(queues: &mut [Queue], nudged: &Receiver<()>, rest: Duration) {
    let (mut is_failing, mut due) = (false, None::<Instant>);
    loop {
        // Nobody is left to end it before the last sender is gone.
        let woken = match due {
            Some(due) => nudged.recv_timeout(due.saturating_duration_since(Instant::now())),
            None => nudged.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        if woken == Err(RecvTimeoutError::Disconnected) {
            return;
        }
        let mut error = None;
        due = None;
        for queue in &mut *queues {
            error = queue.compress(Instant::now(), rest).err().or(error);
            due = [due, queue.due(Instant::now(), rest)].into_iter().flatten().min();
        }
        let was_failing = std::mem::replace(&mut is_failing, error.is_some());
        if let Some(error) = error.filter(|_| !was_failing) {
            tracing::warn!(%error, "Old log files cannot be compressed; they stay as they are.");
        }
    }
}

/// The old files of one log that are not compressed yet.
struct Queue {
    shelf: Arc<Shelf>,
    /// Since when each is known to be an old one.
    since: Vec<(Identity, Instant)>,
}

impl Queue {
    fn of(shelf: Arc<Shelf>) -> Self {
        Self { shelf, since: Vec::new() }
    }

    /// Tries once each file that has rested.
    fn compress(&mut self, now: Instant, rest: Duration) -> io::Result<()> {
        let before = std::mem::take(&mut self.since);
        let seen = &mut self.since;
        compress_each(&self.shelf, |file| {
            let known = before.iter().find(|(known, _)| *known == file);
            let since = known.map_or(now, |(_, since)| *since);
            seen.push((file, since));
            since + rest <= now
        })
    }

    /// When the next one has rested. One that has by `now` could not be compressed.
    fn due(&self, now: Instant, rest: Duration) -> Option<Instant> {
        self.since.iter().map(|(_, since)| *since + rest).filter(|due| *due > now).min()
    }
}

/// Tries once to compress every file of a log that waits for it and is `ripe`. One that cannot be opened
/// does not keep the others from it.
pub(super) fn compress_each(
    shelf: &Shelf,
    mut is_ripe: impl FnMut(Identity) -> bool,
) -> io::Result<()> {
    let (mut tried, mut unread) = (Vec::new(), Ok(()));
    while let Some((file, name)) = shelf.oldest_plain(&tried)? {
        tried.push(file);
        if !is_ripe(file) {
            continue;
        }
        match shelf.read(file, &name) {
            // It stays open until the end: no other file can be given its identity.
            Ok(Some(mut content)) => {
                let compressed = compress(shelf, &mut content);
                let length = compressed.inspect_err(|_| drop(shelf.discard()))?;
                shelf.publish(file, length)?;
            }
            // It was rotated meanwhile, which is the next nudge.
            Ok(None) => {}
            Err(error) => unread = Err(error),
        }
    }
    unread
}

/// Makes the compressed form of so many bytes, durable but not published.
pub(super) fn compress(shelf: &Shelf, content: &mut impl Read) -> io::Result<u64> {
    // What logs repeat, the fastest level finds too.
    let mut encoder = GzEncoder::new(shelf.draft()?, Compression::fast());
    let (mut block, mut length) = (vec![0; BLOCK], 0);
    loop {
        match content.read(&mut block) {
            Ok(0) => return encoder.finish()?.seal().map(|()| length),
            Ok(count) => {
                io::Write::write_all(&mut encoder, &block[..count])?;
                length += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
