//! The names of one log's files: the open one, and those before it.
//!
//! `NAME.1` is the newest of the old ones. A file waits there as it is until it has been compressed;
//! then it is `NAME.1.gz`. Whatever step the process dies at, every line is in exactly one file that a
//! reader would look at, and [`Shelf::tidy`] at the next start brings the names in order.
//!
//! It neither writes lines nor compresses.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::Arc;

use parking_lot::Mutex;

use super::disk::{Disk, Draft, Found, Kind};
use super::out::{Identity, Out};

/// The files of one log.
#[derive(Debug)]
pub(super) struct Shelf {
    disk: Arc<dyn Disk>,
    name: &'static str,
    /// Old files at most.
    keep: u32,
    /// Held while names change: whoever rotates and whoever compresses take turns. Never while a file is
    /// opened, read or forced to the disk. In it is the file that is written to, whatever its name.
    names: Mutex<Option<Identity>>,
}

/// The forms in which an old file is there. Both, if the process died, or failed, between making the
/// compressed one and removing the other.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    plain: Option<Found>,
    gzip: bool,
    /// What is no old file of ours has a name of this number: a directory, a link, a pipe, or the very file
    /// that is written to, if somebody moved it there. It stays as it is, and the number is passed over.
    is_foreign: bool,
}

impl Shelf {
    /// The files of this name on this disk, of which so many old ones are kept.
    pub(super) fn new(disk: Arc<dyn Disk>, name: &'static str, keep: u32) -> Self {
        Self { disk, name, keep, names: Mutex::default() }
    }

    /// The name of the open file.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Opens the file that is written to.
    pub(super) fn open(&self) -> io::Result<Box<dyn Out>> {
        self.disk.open(self.name)
    }

    /// Whether the log's name leads elsewhere.
    pub(super) fn is_link(&self) -> io::Result<bool> {
        Ok(self.disk.find(self.name)?.is_some_and(|found| found.kind == Kind::Link))
    }

    /// Whether the log's name stands for this very file.
    fn is_named(&self, file: Identity) -> io::Result<bool> {
        Ok(self.disk.find(self.name)?.is_some_and(|found| found.identity == file))
    }

    /// Says which file is written to from now on. It is not an old one while it is, whatever its name.
    pub(super) fn hold(&self, open: Option<Identity>) {
        *self.names.lock() = open;
    }

    /// After a crash: removes what was half made. Nobody may compress meanwhile.
    pub(super) fn tidy(&self) -> io::Result<()> {
        let names = self.names.lock();
        self.disk.remove(&self.unfinished())?;
        self.slots(*names).map(drop)
    }

    /// Makes the open file the newest of the old ones, so that a new one can be opened. `false` if the
    /// log's name stands for another file: then somebody else has moved it, and nothing is done.
    ///
    /// Every step leaves each line in one place, so that after an error the next call goes on.
    pub(super) fn rotate(&self, open: Identity) -> io::Result<bool> {
        let names = self.names.lock();
        if !self.is_named(open)? {
            return Ok(false);
        }
        if self.keep == 0 {
            return self.disk.remove(self.name).map(|()| true);
        }
        let slots = self.slots(*names)?;
        let numbers: Vec<u32> = (1..=self.keep)
            .filter(|number| slots.get(number).is_none_or(|slot| !slot.is_foreign))
            .collect();
        let (Some(newest), Some(oldest)) = (numbers.first(), numbers.last()) else {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something is in the way"));
        };
        let free = numbers.iter().position(|number| !slots.contains_key(number));
        if let (None, Some(slot)) = (free, slots.get(oldest)) {
            self.remove(*oldest, *slot)?;
        }
        let moving = &numbers[..=free.unwrap_or(numbers.len() - 1)];
        for pair in moving.windows(2).rev() {
            let of = match slots.get(&pair[0]) {
                Some(Slot { gzip: true, .. }) => Self::compressed,
                _ => Self::plain,
            };
            self.disk.rename(&of(self, pair[0]), &of(self, pair[1]))?;
        }
        match self.disk.rename(self.name, &self.plain(*newest)) {
            // Somebody was quicker.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            renamed => renamed.map(|()| true),
        }
    }

    /// The oldest file that is not compressed and none of these, and its name.
    pub(super) fn oldest_plain(&self, but: &[Identity]) -> io::Result<Option<(Identity, String)>> {
        let names = self.names.lock();
        let slots = self.slots(*names)?;
        let mut waiting = slots
            .iter()
            .filter_map(|(number, slot)| Some((slot.plain?.identity, self.plain(*number))))
            .filter(|(file, _)| !but.contains(file));
        Ok(waiting.next_back())
    }

    /// What a file holds. `None` if the name is another's by now.
    pub(super) fn read(
        &self,
        file: Identity,
        name: &str,
    ) -> io::Result<Option<Box<dyn Read + Send>>> {
        match self.disk.read(name) {
            Ok((opened, content)) => Ok((opened == file).then_some(content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A file for the compressed form of another. It counts for nothing until it is published.
    pub(super) fn draft(&self) -> io::Result<Box<dyn Draft>> {
        self.disk.remove(&self.unfinished())?;
        self.disk.create(&self.unfinished())
    }

    /// Puts what was made last in the place of the file it was made of, wherever that is by now.
    /// If it is gone, so is what was made of it; and if it has not the `length` that was read, or is
    /// written to, it stays and waits for the next time.
    pub(super) fn publish(&self, of: Identity, length: u64) -> io::Result<()> {
        let names = self.names.lock();
        for (number, slot) in self.slots(*names)? {
            let is_whole = |file: Found| file.identity == of && file.length == length;
            if slot.plain.is_some_and(is_whole) {
                self.disk.rename(&self.unfinished(), &self.compressed(number))?;
                return self.disk.remove(&self.plain(number));
            }
        }
        self.discard()
    }

    /// Removes what was made last.
    pub(super) fn discard(&self) -> io::Result<()> {
        self.disk.remove(&self.unfinished())
    }

    /// The old files by number, the newest first: each in one form, and no more than are kept.
    fn slots(&self, open: Option<Identity>) -> io::Result<BTreeMap<u32, Slot>> {
        let mut slots: BTreeMap<u32, Slot> = BTreeMap::new();
        for name in self.disk.list()? {
            let Some((number, is_compressed)) = self.number(&name) else { continue };
            let Some(found) = self.disk.find(&name)? else { continue };
            let slot = slots.entry(number).or_default();
            match (found.kind, is_compressed) {
                (Kind::File, _) if open == Some(found.identity) => slot.is_foreign = true,
                (Kind::File, true) => slot.gzip = true,
                (Kind::File, false) => slot.plain = Some(found),
                _ => slot.is_foreign = true,
            }
        }
        for slot in slots.values_mut().filter(|slot| slot.is_foreign) {
            *slot = Slot { is_foreign: true, ..Slot::default() };
        }
        for (number, slot) in &mut slots {
            // The plain file is whole, whoever made the other one, and can be compressed again.
            if slot.plain.is_some() && slot.gzip {
                self.disk.remove(&self.compressed(*number))?;
                slot.gzip = false;
            }
        }
        for (number, slot) in slots.split_off(&(self.keep + 1)) {
            self.remove(number, slot)?;
        }
        Ok(slots)
    }

    fn remove(&self, number: u32, slot: Slot) -> io::Result<()> {
        if slot.plain.is_some() {
            self.disk.remove(&self.plain(number))?;
        }
        if slot.gzip {
            self.disk.remove(&self.compressed(number))?;
        }
        Ok(())
    }

    /// The number of an old file, and whether it is compressed.
    fn number(&self, name: &str) -> Option<(u32, bool)> {
        let rest = name.strip_prefix(self.name)?.strip_prefix('.')?;
        let (digits, is_compressed) = match rest.strip_suffix(".gz") {
            Some(digits) => (digits, true),
            None => (rest, false),
        };
        let number: u32 = digits.parse().ok()?;
        // What we would not have written is not ours: "01", "+1".
        (number > 0 && digits == number.to_string()).then_some((number, is_compressed))
    }

    fn plain(&self, number: u32) -> String {
        format!("{}.{number}", self.name)
    }

    fn compressed(&self, number: u32) -> String {
        format!("{}.{number}.gz", self.name)
    }

    fn unfinished(&self) -> String {
        format!("{}.gz.tmp", self.name)
    }
}
