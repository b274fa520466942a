//! The files of the spool and what is known of them. Everything here blocks.
//!
//! It holds to its two bounds by letting the oldest file go, whatever its signal. What it takes is
//! durable when it says so; what it cannot take, it leaves to the caller. A file that will not go
//! away is remembered and tried again: until it goes, its bytes count.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use super::disk::Disk;
use super::segment::{self, HEAD, Unusable};
use crate::telemetry::books::{Books, Place};
use crate::telemetry::export::Parcel;

/// How often a file that is there may fail to be read.
const READ_TRIES: u32 = 5;
/// How many files that will not go are remembered; the next start finds them all.
const MAX_GHOSTS: usize = 64;

/// See the module.
pub(super) struct Store {
    disk: Box<dyn Disk>,
    max_bytes: u64,
    max_files: usize,
    /// By their order: the oldest first.
    files: BTreeMap<u64, Kept>,
    /// Of all files and ghosts.
    bytes: u64,
    /// Files that are settled and could not be removed, with their lengths.
    ghosts: BTreeMap<String, u64>,
    /// Whom to tell what became of a file, by signal. A signal without is not exported at present.
    books: BTreeMap<&'static str, Arc<Books>>,
}

struct Kept {
    signal: &'static str,
    /// Which of its names the file has.
    spare: u8,
    items: u64,
    /// Of the whole file.
    bytes: u64,
    /// Somebody is delivering it.
    is_out: bool,
    /// How often the collector could not take it for so long that others went first.
    passes: u32,
    failures: u32,
}

impl Kept {
    fn new(signal: &'static str, spare: u8, items: u64, bytes: u64) -> Self {
        Self { signal, spare, items, bytes, is_out: false, passes: 0, failures: 0 }
    }

    /// The name of the file of this order.
    fn name(&self, order: u64) -> String {
        segment::spare(order, self.signal, self.spare)
    }
}

/// Files that turned out to be unusable, one after the other.
#[derive(Debug, Default)]
struct Lost {
    files: u64,
    items: u64,
    /// The last of them, and what is wrong with it.
    file: String,
    reason: &'static str,
}

/// Why a parcel was not taken.
#[derive(Debug)]
pub(super) enum NotTaken {
    /// It alone is larger than the spool, or nothing in it can go.
    NoRoom,
    /// The disk refused.
    Io(io::Error),
    /// The clerk has been given up, and the parcel booked as lost.
    TooLate,
}

/// What an earlier run left behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) parcels: u64,
    pub(super) items: u64,
    pub(super) bytes: u64,
    /// The order of the next parcel.
    pub(super) next: u64,
}

impl Store {
    /// Takes the directory over, with what is in it.
    pub(super) fn open(
        mut disk: Box<dyn Disk>,
        max_bytes: u64,
        max_files: usize,
    ) -> io::Result<(Self, Found)> {
        disk.lock()?;
        let mut store = Self {
            disk,
            max_bytes,
            max_files,
            files: BTreeMap::new(),
            bytes: 0,
            ghosts: BTreeMap::new(),
            books: BTreeMap::new(),
        };
        let mut found = Found::default();
        for (name, length) in store.disk.list()? {
            let Some(place @ (order, ..)) = segment::parse(segment::without_draft(&name)) else {
                continue;
            };
            // A name far ahead of all others is not of our counting, and must not lead it astray. One of
            // a directory, or of whatever else is in the way, is no less taken than one of a file.
            if order < segment::FAR {
                found.next = found.next.max(order + 1);
            }
            match length {
                Some(length) if segment::is_draft(&name) => store.erase(name, length), // Never acknowledged.
                Some(length) => store.adopt(&name, length, place, &mut found),
                None => tracing::warn!(
                    name,
                    "What is no file has the name of one in the spool; it is left alone."
                ),
            }
        }
        // An empty file: a full disk still has room for one, a read-only one has not.
        let probe = segment::draft(&segment::name(found.next, "traces"));
        store.disk.write(&probe, &[])?;
        store.disk.remove(&probe)?;
        Ok((store, found))
    }

    fn adopt(
        &mut self,
        name: &str,
        bytes: u64,
        (order, signal, spare): (u64, &'static str, u8),
        found: &mut Found,
    ) {
        if self.files.contains_key(&order) {
            tracing::warn!(
                file = name,
                "A spooled file has the number of another; it is left alone."
            );
            return;
        }
        let head = match self.disk.read(name, HEAD as u64) {
            Ok(head) => segment::head(&head),
            Err(error) => {
                tracing::warn!(file = name, %error, "A spooled file cannot be read; it is left alone.");
                return;
            }
        };
        match head {
            Ok(head)
                if head.signal == signal && head.length.checked_add(HEAD as u64) == Some(bytes) =>
            {
                found.parcels += 1;
                found.items += head.items;
                found.bytes += bytes;
                self.bytes += bytes;
                self.files.insert(order, Kept::new(signal, spare, head.items, bytes));
            }
            Err(Unusable::Foreign) => {
                tracing::warn!(
                    file = name,
                    "A spooled file is of a later version; it is left alone."
                );
            }
            _ => {
                tracing::warn!(
                    file = name,
                    bytes,
                    "A spooled file is damaged and removed; what it held is not known."
                );
                self.erase(name.to_owned(), bytes);
            }
        }
    }

    /// Books what was recovered of this signal, and what becomes of its files from here on.
    pub(super) fn join(&mut self, signal: &'static str, books: &Arc<Books>) {
        books.open_spool();
        for kept in self.files.values().filter(|kept| kept.signal == signal) {
            books.recovered(kept.items, kept.bytes);
        }
        self.books.insert(signal, Arc::clone(books));
    }

    /// The signals that have files here and nobody who joined for them.
    pub(super) fn unclaimed(&self) -> BTreeSet<&'static str> {
        let signals = self.files.values().map(|kept| kept.signal);
        signals.filter(|signal| !self.books.contains_key(signal)).collect()
    }

    /// Takes a parcel. It is durable when this answers.
    pub(super) fn put(
        &mut self,
        order: u64,
        signal: &'static str,
        parcel: &Parcel,
    ) -> Result<(), NotTaken> {
        let bytes = (HEAD + parcel.body.len()) as u64;
        self.make_room(bytes)?;
        let spare = self.write_anywhere(order, signal, parcel).map_err(NotTaken::Io)?;
        let name = segment::spare(order, signal, spare);
        let is_booked = self.books.get(signal).is_none_or(|b| b.spooled(parcel.items, bytes));
        if !is_booked {
            self.erase(name, bytes);
            return Err(NotTaken::TooLate);
        }
        // Another attempt to write it may have left a ghost, which lives now.
        self.bytes = self.bytes.saturating_sub(self.ghosts.remove(&name).unwrap_or(0));
        self.files.insert(order, Kept::new(signal, spare, parcel.items, bytes));
        self.bytes += bytes;
        Ok(())
    }

    /// Writes a file under the first of its names that no directory has; says under which.
    fn write_anywhere(&mut self, order: u64, signal: &str, parcel: &Parcel) -> io::Result<u8> {
        let bytes = (HEAD + parcel.body.len()) as u64;
        let mut spare = 0;
        loop {
            let name = segment::spare(order, signal, spare);
            let Err(error) = self.write(&name, signal, parcel) else { return Ok(spare) };
            // Half of it may be there, under either name; a whole one must not come back either.
            self.erase(segment::draft(&name), bytes);
            self.erase(name.clone(), bytes);
            if error.kind() != io::ErrorKind::IsADirectory || spare == segment::SPARES {
                return Err(error);
            }
            spare += 1;
            tracing::warn!(
                name,
                "A directory has the name of the next file in the spool; the file gets another."
            );
        }
    }

    fn write(&mut self, name: &str, signal: &str, parcel: &Parcel) -> io::Result<()> {
        let draft = segment::draft(name);
        self.disk.write(&draft, &[&segment::seal(signal, parcel), &parcel.body])?;
        self.disk.rename(&draft, name)?;
        self.disk.sync()
    }

    fn make_room(&mut self, bytes: u64) -> Result<(), NotTaken> {
        for (name, length) in std::mem::take(&mut self.ghosts) {
            self.bytes = self.bytes.saturating_sub(length);
            self.erase(name, length);
        }
        if bytes > self.max_bytes {
            return Err(NotTaken::NoRoom);
        }
        while self.bytes + bytes > self.max_bytes
            || self.files.len() + self.ghosts.len() >= self.max_files
        {
            let oldest = self.files.iter().find(|(_, kept)| !kept.is_out);
            let Some((&order, kept)) = oldest else { return Err(NotTaken::NoRoom) };
            let name = kept.name(order);
            // While the disk lets nothing go, nothing is lost for it.
            self.disk.remove(&name).map_err(NotTaken::Io)?;
            self.forget(order, Some("spool_full"));
        }
        Ok(())
    }

    /// Gives out the oldest parcel of a signal but this one, with the length of its file; those that let
    /// others go first come last. It stays in the spool until it is [`Store::done`]. What turns out to be
    /// damaged is dropped, and the next is given.
    pub(super) fn oldest_but(
        &mut self,
        signal: &str,
        but: Option<u64>,
    ) -> io::Result<Option<(u64, Parcel, u64)>> {
        let mut lost = Lost::default();
        let found = self.find_oldest(signal, but, &mut lost);
        // One line, also where the whole directory is gone.
        if let Lost { files: files @ 1.., items, file, reason } = lost {
            tracing::warn!(
                file,
                files,
                items,
                reason,
                "Spooled files cannot be used; what they held is lost."
            );
        }
        found
    }

    fn find_oldest(
        &mut self,
        signal: &str,
        but: Option<u64>,
        lost: &mut Lost,
    ) -> io::Result<Option<(u64, Parcel, u64)>> {
        loop {
            let files = self.files.iter_mut();
            let is_wanted = |order| Some(order) != but;
            let waiting = files.filter(|(order, kept)| {
                kept.signal == signal && !kept.is_out && is_wanted(**order)
            });
            let oldest = waiting.min_by_key(|(order, kept)| (kept.passes, **order));
            let Some((&order, kept)) = oldest else { return Ok(None) };
            let name = kept.name(order);
            let reason = match self.disk.read(&name, kept.bytes + 1).map(segment::open) {
                Ok(Ok(parcel)) => {
                    kept.is_out = true;
                    return Ok(Some((order, parcel, kept.bytes)));
                }
                Ok(Err(_)) => "spool_damaged",
                Err(error) if error.kind() == io::ErrorKind::NotFound => "spool_io",
                Err(error) => {
                    kept.failures += 1;
                    if kept.failures < READ_TRIES {
                        return Err(error);
                    }
                    "spool_io"
                }
            };
            lost.files += 1;
            lost.items += kept.items;
            (lost.file, lost.reason) = (name.clone(), reason);
            let bytes = kept.bytes;
            self.forget(order, Some(reason));
            self.erase(name, bytes);
        }
    }

    /// A parcel that was given out is settled: its file goes.
    pub(super) fn done(&mut self, order: u64) {
        if let Some(kept) = self.files.get(&order) {
            let (name, bytes) = (kept.name(order), kept.bytes);
            self.forget(order, None);
            self.erase(name, bytes);
        }
    }

    /// A parcel that was given out could not be delivered: it is the oldest again, or lets all others go
    /// first.
    pub(super) fn release(&mut self, order: u64, is_stuck: bool) {
        if let Some(kept) = self.files.get_mut(&order) {
            kept.is_out = false;
            kept.passes = kept.passes.saturating_add(u32::from(is_stuck));
        }
    }

    /// Takes a file out of the index; books it as lost where there is a reason.
    fn forget(&mut self, order: u64, reason: Option<&'static str>) {
        let Some(kept) = self.files.remove(&order) else { return };
        self.bytes = self.bytes.saturating_sub(kept.bytes);
        if let (Some(reason), Some(books)) = (reason, self.books.get(kept.signal)) {
            books.lost(kept.items, reason, Place::Spool { bytes: kept.bytes });
        }
    }

    /// Removes a file that is in no index; one that will not go becomes a ghost.
    fn erase(&mut self, name: String, bytes: u64) {
        let is_known = self.ghosts.contains_key(&name);
        if self.disk.remove(&name).is_err() && !is_known && self.ghosts.len() < MAX_GHOSTS {
            self.bytes = self.bytes.saturating_add(bytes);
            self.ghosts.insert(name, bytes);
        }
    }

    #[cfg(test)]
    pub(super) fn oldest(&mut self, signal: &str) -> io::Result<Option<(u64, Parcel, u64)>> {
        self.oldest_but(signal, None)
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> (u64, usize) {
        (self.bytes, self.files.len())
    }
}
