//! A disk for tests that fills up, and dies at the step it is told to.
//!
//! Clones share the disk. Once the fuse is burnt, nothing of that life succeeds any more: a process that
//! was killed. [`FakeDisk::revive`] is the next one's disk, with all that was written until then.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read, Write};
use std::sync::Arc;

use parking_lot::Mutex;

use super::disk::{Disk, Draft, Found, Kind};
use super::out::{Identity, Out};

#[derive(Clone, Debug, Default)]
pub(super) struct FakeDisk {
    state: Arc<Mutex<State>>,
    life: u64,
}

#[derive(Debug, Default)]
struct State {
    names: BTreeMap<String, u64>,
    files: BTreeMap<u64, Vec<u8>>,
    life: u64,
    /// Changes until the process dies.
    fuse: Option<usize>,
    /// Bytes that can still be written.
    room: Option<usize>,
    /// No name can be changed.
    is_locked: bool,
    /// No file can be cut.
    is_uncuttable: bool,
}

impl FakeDisk {
    /// Lets the process die at the change after so many.
    pub(super) fn light(&self, fuse: usize) {
        self.state.lock().fuse = Some(fuse);
    }

    /// The disk of the next process.
    pub(super) fn revive(&self) -> Self {
        let mut state = self.state.lock();
        state.life += 1;
        state.fuse = None;
        Self { state: Arc::clone(&self.state), life: state.life }
    }

    /// Whether the process is dead.
    pub(super) fn is_dead(&self) -> bool {
        let state = self.state.lock();
        state.fuse == Some(0) || state.life != self.life
    }

    /// Whether a process of it has died.
    pub(super) fn is_revived(&self) -> bool {
        self.state.lock().life > 0
    }

    pub(super) fn set_room(&self, room: Option<usize>) {
        self.state.lock().room = room;
    }

    pub(super) fn set_locked(&self, is_locked: bool) {
        self.state.lock().is_locked = is_locked;
    }

    pub(super) fn set_uncuttable(&self, is_uncuttable: bool) {
        self.state.lock().is_uncuttable = is_uncuttable;
    }

    /// Every file by its name.
    pub(super) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.state.lock();
        state.names.iter().map(|(name, file)| (name.clone(), state.files[file].clone())).collect()
    }

    /// Puts a file there, or takes it away.
    pub(super) fn meddle(&self, name: &str, content: Option<&[u8]>) {
        let mut state = self.state.lock();
        state.names.remove(name);
        if let Some(content) = content {
            let file = state.make(name);
            state.files.insert(file, content.to_vec());
        }
    }

    /// Gives a file another name, as a stranger would.
    pub(super) fn carry_off(&self, from: &str, to: &str) {
        let mut state = self.state.lock();
        if let Some(file) = state.names.remove(from) {
            state.names.insert(to.to_owned(), file);
        }
    }

    fn look<T>(&self, look: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        if self.is_dead() {
            return Err(io::Error::other("killed"));
        }
        look(&mut self.state.lock())
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        self.look(|state| {
            state.burn()?;
            change(state)
        })
    }

    fn rename_or_remove<T>(
        &self,
        change: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> io::Result<T> {
        self.change(|state| {
            if state.is_locked {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            change(state)
        })
    }
}

impl State {
    fn burn(&mut self) -> io::Result<()> {
        match &mut self.fuse {
            Some(fuse) => {
                *fuse -= 1;
                if *fuse == 0 { Err(io::Error::other("killed")) } else { Ok(()) }
            }
            None => Ok(()),
        }
    }

    fn make(&mut self, name: &str) -> u64 {
        let file = self.files.keys().next_back().map_or(1, |last| last + 1);
        self.files.insert(file, Vec::new());
        self.names.insert(name.to_owned(), file);
        file
    }
}

impl Disk for FakeDisk {
    fn open(&self, name: &str) -> io::Result<Box<dyn Out>> {
        let file = self.look(|state| {
            if let Some(file) = state.names.get(name) {
                return Ok(*file);
            }
            state.burn()?;
            Ok(state.make(name))
        })?;
        Ok(Box::new(FakeFile { disk: self.clone(), file }))
    }

    fn find(&self, name: &str) -> io::Result<Option<Found>> {
        self.look(|state| {
            Ok(state.names.get(name).map(|file| Found {
                kind: Kind::File,
                identity: identity(*file),
                length: state.files[file].len() as u64,
            }))
        })
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.look(|state| Ok(state.names.keys().cloned().collect()))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.rename_or_remove(|state| {
            let file = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
            state.names.insert(to.to_owned(), file);
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        if self.find(name)?.is_none() {
            return Ok(());
        }
        self.rename_or_remove(|state| {
            state.names.remove(name);
            Ok(())
        })
    }

    fn read(&self, name: &str) -> io::Result<(Identity, Box<dyn Read + Send>)> {
        self.look(|state| {
            let file = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
            let content: Box<dyn Read + Send> = Box::new(Cursor::new(state.files[&file].clone()));
            Ok((identity(file), content))
        })
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn Draft>> {
        let file = self.change(|state| Ok(state.make(name)))?;
        Ok(Box::new(FakeFile { disk: self.clone(), file }))
    }
}

fn identity(inode: u64) -> Identity {
    Identity { device: 1, inode }
}

struct FakeFile {
    disk: FakeDisk,
    file: u64,
}

impl FakeFile {
    fn content<T>(&self, with: impl FnOnce(&mut Vec<u8>) -> T) -> io::Result<T> {
        self.disk.look(|state| {
            let content = state.files.get_mut(&self.file).ok_or(io::ErrorKind::NotFound)?;
            Ok(with(content))
        })
    }
}

impl Write for FakeFile {
    /// A killed process, or a full disk, may leave a part.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.disk.look(|state| {
            let is_killed = state.burn().is_err();
            let room = state.room.unwrap_or(usize::MAX);
            let count = if is_killed { bytes.len() / 2 } else { bytes.len() }.min(room);
            state.room = state.room.map(|room| room - count);
            let content = state.files.get_mut(&self.file).ok_or(io::ErrorKind::NotFound)?;
            content.extend_from_slice(&bytes[..count]);
            match count {
                _ if is_killed => Err(io::Error::other("killed")),
                0 => Err(io::ErrorKind::StorageFull.into()),
                count => Ok(count),
            }
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Draft for FakeFile {
    fn seal(&mut self) -> io::Result<()> {
        self.disk.change(|_| Ok(()))
    }
}

impl Out for FakeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Write::write(self, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn mend(&mut self, torn: u64) -> io::Result<()> {
        let length = self.length()?.saturating_sub(torn);
        self.disk.change(|state| {
            if state.is_uncuttable {
                return Err(io::Error::from(io::ErrorKind::PermissionDenied));
            }
            Ok(())
        })?;
        self.content(|content| content.truncate(usize::try_from(length).unwrap()))
    }

    fn cut_tail(&mut self) -> io::Result<u64> {
        let content = self.content(|content| content.clone())?;
        let end = content.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let torn = (content.len() - end) as u64;
        if torn > 0 {
            self.mend(torn)?;
        }
        Ok(torn)
    }

    fn length(&self) -> io::Result<u64> {
        self.content(|content| content.len() as u64)
    }

    fn identity(&self) -> Option<Identity> {
        Some(identity(self.file))
    }
}
