//! A disk for tests: it forgets what was not synced, and fails when told to.
//!
//! Clones share the disk. [`FakeDisk::crash`] is the power cut: files fall back to what was synced,
//! plus whatever the test lets survive of the rest; handles from before answer errors from then on.
//! A failed sync behaves as on Linux: later syncs of that file answer `Ok` and save nothing of it.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Cursor};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use super::disk::{Disk, SegmentFile};

/// See the module.
#[derive(Debug, Default)]
pub struct FakeDisk {
    shared: Arc<Shared>,
    /// The life of the machine in which this clone took the lock; 0 without it.
    life: u64,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    released: Condvar,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, Stored>,
    /// Removed, but the directory was not synced since.
    removed: BTreeMap<String, Stored>,
    crashes: u64,
    is_locked: bool,
    is_held: bool,
    is_broken: bool,
    failing_writes: u32,
    failing_syncs: u32,
    syncs: u64,
}

#[derive(Clone, Debug, Default)]
struct Stored {
    content: Vec<u8>,
    durable: Vec<u8>,
    /// Whether the name itself is durable.
    is_named: bool,
    /// A sync failed: later ones lie.
    is_lying: bool,
}

impl FakeDisk {
    /// Cuts the power. `survives` is given the unsynced tail of each file and answers what of it
    /// happens to be there afterwards.
    pub fn crash(&self, mut survives: impl FnMut(&[u8]) -> Vec<u8>) {
        let mut state = self.shared.state.lock();
        state.crashes += 1;
        state.is_locked = false;
        let removed = std::mem::take(&mut state.removed);
        state.files.retain(|_, file| file.is_named);
        for (name, file) in removed.into_iter().filter(|(_, file)| file.is_named) {
            state.files.entry(name).or_insert(file);
        }
        for file in state.files.values_mut() {
            let tail = file.content.strip_prefix(&file.durable[..]).map(&mut survives);
            file.content.clone_from(&file.durable);
            file.content.extend(tail.unwrap_or_default());
            file.durable.clone_from(&file.content);
            file.is_lying = false;
        }
    }

    /// Lets the next writes fail, each after half of its bytes.
    pub fn fail_writes(&self, count: u32) {
        self.shared.state.lock().failing_writes = count;
    }

    /// Lets the next syncs fail: of files, of new names, of truncations.
    pub fn fail_syncs(&self, count: u32) {
        self.shared.state.lock().failing_syncs = count;
    }

    /// Lets every change fail until told otherwise.
    pub fn set_broken(&self, is_broken: bool) {
        self.shared.state.lock().is_broken = is_broken;
    }

    /// Lets syncs of files hang until told otherwise.
    pub fn hold_syncs(&self, is_held: bool) {
        self.shared.state.lock().is_held = is_held;
        self.shared.released.notify_all();
    }

    /// How many syncs of files succeeded.
    pub fn syncs(&self) -> u64 {
        self.shared.state.lock().syncs
    }

    /// What a file holds, synced or not.
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        self.shared.state.lock().files.get(name).map(|file| file.content.clone())
    }

    /// The names of all files.
    pub fn names(&self) -> Vec<String> {
        self.shared.state.lock().files.keys().cloned().collect()
    }

    /// Puts a file there, durably.
    pub fn put(&self, name: &str, content: &[u8]) {
        let (content, durable) = (content.to_vec(), content.to_vec());
        let file = Stored { content, durable, is_named: true, is_lying: false };
        self.shared.state.lock().files.insert(name.to_owned(), file);
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        self.shared.with(self.life, act)
    }

    fn opened(&self, name: &str) -> Box<dyn SegmentFile> {
        let (shared, life) = (Arc::clone(&self.shared), self.life);
        Box::new(FakeFile { shared, life, name: name.to_owned() })
    }
}

impl Clone for FakeDisk {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), life: 0 }
    }
}

impl Drop for FakeDisk {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        if self.life == state.crashes + 1 {
            state.is_locked = false;
        }
    }
}

impl Shared {
    fn with<T>(&self, life: u64, act: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state.lock();
        if life != state.crashes + 1 {
            return Err(io::Error::other("the machine is off"));
        }
        act(&mut state)
    }
}

impl Disk for FakeDisk {
    fn lock(&mut self) -> io::Result<()> {
        let mut state = self.shared.state.lock();
        if state.is_locked {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        state.is_locked = true;
        self.life = state.crashes + 1;
        Ok(())
    }

    fn list(&mut self) -> io::Result<Vec<String>> {
        self.with(|state| Ok(state.files.keys().cloned().collect()))
    }

    fn read(&mut self, name: &str) -> io::Result<Box<dyn BufRead + Send>> {
        self.with(|state| match state.files.get(name) {
            Some(file) => Ok(Box::new(Cursor::new(file.content.clone())) as Box<_>),
            None => Err(io::ErrorKind::NotFound.into()),
        })
    }

    fn create(&mut self, name: &str) -> io::Result<Box<dyn SegmentFile>> {
        self.with(|state| {
            state.fail_if_broken()?;
            if state.files.contains_key(name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            state.files.insert(name.to_owned(), Stored::default());
            state.fail_sync()?;
            state.removed.clear();
            state.files.values_mut().for_each(|file| file.is_named = true);
            Ok(())
        })?;
        Ok(self.opened(name))
    }

    fn append(&mut self, name: &str) -> io::Result<Box<dyn SegmentFile>> {
        self.with(|state| match state.files.get(name) {
            Some(_) => Ok(()),
            None => Err(io::ErrorKind::NotFound.into()),
        })?;
        Ok(self.opened(name))
    }

    fn truncate(&mut self, name: &str, length: u64) -> io::Result<()> {
        self.with(|state| {
            state.fail_if_broken()?;
            let failed = state.fail_sync();
            let file = state.files.get_mut(name).ok_or(io::ErrorKind::NotFound)?;
            let length = usize::try_from(length).map_err(io::Error::other)?;
            file.content.truncate(length);
            failed?;
            file.durable.truncate(length);
            Ok(())
        })
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.with(|state| {
            state.fail_if_broken()?;
            if let Some(file) = state.files.remove(name) {
                state.removed.insert(name.to_owned(), file);
            }
            Ok(())
        })
    }
}

impl State {
    fn fail_if_broken(&self) -> io::Result<()> {
        if self.is_broken { Err(io::Error::other("broken")) } else { Ok(()) }
    }

    fn fail_sync(&mut self) -> io::Result<()> {
        let fails = self.failing_syncs > 0;
        self.failing_syncs = self.failing_syncs.saturating_sub(1);
        if fails { Err(io::Error::other("sync failed")) } else { Ok(()) }
    }
}

struct FakeFile {
    shared: Arc<Shared>,
    life: u64,
    name: String,
}

impl SegmentFile for FakeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.shared.with(self.life, |state| {
            state.fail_if_broken()?;
            let fails = state.failing_writes > 0;
            state.failing_writes = state.failing_writes.saturating_sub(1);
            let file = state.files.get_mut(&self.name).ok_or(io::ErrorKind::NotFound)?;
            file.content.extend_from_slice(if fails { &bytes[..bytes.len() / 2] } else { bytes });
            if fails { Err(io::Error::other("write failed")) } else { Ok(()) }
        })
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.shared.state.lock();
        while state.is_held && self.life == state.crashes + 1 {
            self.shared.released.wait(&mut state);
        }
        drop(state);
        self.shared.with(self.life, |state| {
            state.fail_if_broken()?;
            let failed = state.fail_sync();
            state.syncs += u64::from(failed.is_ok());
            let file = state.files.get_mut(&self.name).ok_or(io::ErrorKind::NotFound)?;
            file.is_lying |= failed.is_err();
            if !file.is_lying {
                file.durable.clone_from(&file.content);
            }
            failed
        })
    }
}
