//! A disk for tests: it forgets what was not synced, and fails when told to.
//!
//! Clones share the disk. [`FakeDisk::crash`] is the power cut: names fall back to those that were
//! synced, plus as many of the later changes as the test lets survive, in their order. A handle from
//! before the crash answers errors from then on. A write that fails leaves half of the file.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::disk::Disk;

/// See the module.
#[derive(Debug, Default)]
pub(in crate::telemetry::export) struct FakeDisk {
    state: Arc<Mutex<State>>,
    /// The life of the machine in which this clone took the lock; 0 without it.
    life: u64,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    /// The names as they were at the last sync.
    durable: BTreeMap<String, Vec<u8>>,
    /// What changed since.
    changes: Vec<Change>,
    crashes: u64,
    is_locked: bool,
    /// Whether each of the next changes fails; then none does.
    faults: VecDeque<bool>,
    /// Whether each of the next reads fails; then none does.
    read_faults: VecDeque<bool>,
    is_broken: bool,
    /// How many changes were made.
    touched: u64,
}

#[derive(Debug)]
enum Change {
    Write(String, Vec<u8>),
    Rename(String, String),
    Remove(String),
}

impl FakeDisk {
    /// Cuts the power. So many changes of names that were not synced happen to survive.
    pub(in crate::telemetry::export) fn crash(&self, survive: usize) {
        let mut state = self.state.lock();
        state.crashes += 1;
        state.is_locked = false;
        let mut files = std::mem::take(&mut state.durable);
        for change in state.changes.drain(..).take(survive) {
            change.apply(&mut files);
        }
        state.durable.clone_from(&files);
        state.files = files;
        state.faults.clear();
        state.read_faults.clear();
        state.is_broken = false;
    }

    /// Says which of the next changes fail.
    pub(in crate::telemetry::export) fn fail(&self, faults: impl IntoIterator<Item = bool>) {
        self.state.lock().faults.extend(faults);
    }

    /// Says which of the next reads fail.
    pub(in crate::telemetry::export) fn fail_reads(&self, faults: impl IntoIterator<Item = bool>) {
        self.state.lock().read_faults.extend(faults);
    }

    /// Lets every change fail until told otherwise.
    pub(in crate::telemetry::export) fn set_broken(&self, is_broken: bool) {
        self.state.lock().is_broken = is_broken;
    }

    /// How many changes were made since the beginning.
    pub(in crate::telemetry::export) fn touched(&self) -> u64 {
        self.state.lock().touched
    }

    /// The names of all files.
    pub(in crate::telemetry::export) fn names(&self) -> Vec<String> {
        self.state.lock().files.keys().cloned().collect()
    }

    /// Changes the content of a file, durably; `None` removes it.
    pub(in crate::telemetry::export) fn meddle(
        &self,
        name: &str,
        with: impl FnOnce(Vec<u8>) -> Option<Vec<u8>>,
    ) {
        let mut state = self.state.lock();
        let content = state.files.remove(name).unwrap_or_default();
        state.durable.remove(name);
        if let Some(content) = with(content) {
            state.files.insert(name.to_owned(), content.clone());
            state.durable.insert(name.to_owned(), content);
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state.lock();
        if self.life != state.crashes + 1 {
            return Err(io::Error::other("the machine is off"));
        }
        act(&mut state)
    }

    fn change(&self, change: Change) -> io::Result<()> {
        self.with(|state| {
            let failed = state.fault();
            let change = match (change, failed.is_err()) {
                (Change::Write(name, mut content), true) => {
                    content.truncate(content.len() / 2);
                    Change::Write(name, content)
                }
                (change, false) => change,
                _ => return failed,
            };
            change.apply(&mut state.files);
            state.changes.push(change);
            failed
        })
    }
}

impl State {
    fn fault(&mut self) -> io::Result<()> {
        self.touched += 1;
        if self.faults.pop_front().unwrap_or(self.is_broken) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

impl Change {
    fn apply(&self, files: &mut BTreeMap<String, Vec<u8>>) {
        match self {
            Self::Write(name, content) => drop(files.insert(name.clone(), content.clone())),
            Self::Rename(from, to) => {
                if let Some(content) = files.remove(from) {
                    files.insert(to.clone(), content);
                }
            }
            Self::Remove(name) => drop(files.remove(name)),
        }
    }
}

impl Clone for FakeDisk {
    fn clone(&self) -> Self {
        Self { state: Arc::clone(&self.state), life: 0 }
    }
}

impl Drop for FakeDisk {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        if self.life == state.crashes + 1 {
            state.is_locked = false;
        }
    }
}

impl Disk for FakeDisk {
    fn lock(&mut self) -> io::Result<()> {
        let mut state = self.state.lock();
        if state.is_locked {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        state.is_locked = true;
        self.life = state.crashes + 1;
        Ok(())
    }

    fn list(&mut self) -> io::Result<Vec<(String, Option<u64>)>> {
        self.with(|state| {
            let files = state.files.iter();
            Ok(files.map(|(name, bytes)| (name.clone(), Some(bytes.len() as u64))).collect())
        })
    }

    fn read(&mut self, name: &str, most: u64) -> io::Result<Vec<u8>> {
        self.with(|state| {
            if state.read_faults.pop_front().unwrap_or(false) {
                return Err(io::Error::other("read failed"));
            }
            let content = state.files.get(name).ok_or(io::ErrorKind::NotFound)?;
            let most = usize::try_from(most).map_err(io::Error::other)?;
            Ok(content[..content.len().min(most)].to_vec())
        })
    }

    fn write(&mut self, name: &str, parts: &[&[u8]]) -> io::Result<()> {
        self.change(Change::Write(name.to_owned(), parts.concat()))
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.change(Change::Rename(from.to_owned(), to.to_owned()))
    }

    fn sync(&mut self) -> io::Result<()> {
        self.with(|state| {
            state.fault()?;
            state.changes.clear();
            state.durable.clone_from(&state.files);
            Ok(())
        })
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.change(Change::Remove(name.to_owned()))
    }
}
