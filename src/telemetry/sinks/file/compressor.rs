//! A thread that compresses old files, one after the other, the oldest first.
//!
//! It takes the processor time that nobody else wants: no request waits for the compression of a log.
//! It shares nothing with whoever writes but the names of the files, for a few system calls. If it is
//! behind, files wait as they are. What it cannot compress stays as it is, and is tried again at the
//! next nudge, not before.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::shelf::Shelf;

/// Bytes that are read at a time.
const BLOCK: usize = 64 * 1024;

/// See nice(2).
#[cfg(target_os = "linux")]
const LOWEST_PRIORITY: i32 = 19;

/// How to tell the thread that there is something to do. It ends when the last of these is dropped.
#[derive(Clone, Debug)]
pub(super) struct Compressor(SyncSender<()>);

impl Compressor {
    /// Starts the thread for these logs, which it looks through at once.
    pub(super) fn start(shelves: Vec<Arc<Shelf>>) -> io::Result<Self> {
        let (sender, nudged) = sync_channel(1);
        thread::Builder::new().name("log-gzip".to_owned()).spawn(move || {
            give_way();
            compress_all(&shelves, &nudged);
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

fn compress_all(shelves: &[Arc<Shelf>], nudged: &Receiver<()>) {
    let mut is_failing = false;
    for () in nudged {
        let results: Vec<_> = shelves.iter().map(|shelf| compress_each(shelf)).collect();
        let error = results.into_iter().find_map(Result::err);
        let was_failing = std::mem::replace(&mut is_failing, error.is_some());
        if let Some(error) = error.filter(|_| !was_failing) {
            tracing::warn!(%error, "Old log files cannot be compressed; they stay as they are.");
        }
    }
}

/// Tries once to compress every file of a log that waits for it. One that cannot be opened does not
/// keep the others from it.
pub(super) fn compress_each(shelf: &Shelf) -> io::Result<()> {
    let (mut tried, mut unread) = (Vec::new(), Ok(()));
    while let Some((file, name)) = shelf.oldest_plain(&tried)? {
        tried.push(file);
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
