//! What the log's files need of a disk, and the real one.
//!
//! The trait is small so that a test can stand in a disk that dies at any step. All methods block.

use std::fmt;
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use parking_lot::Mutex;

use super::out::{Identity, Out};

/// One directory.
pub(super) trait Disk: fmt::Debug + Send + Sync + 'static {
    /// Opens what has this name to append to it, and makes a file where there is nothing. It follows
    /// links, and waits for no reader of a named pipe.
    fn open(&self, name: &str) -> io::Result<Box<dyn Out>>;

    /// What has this name, a link itself rather than what it leads to. `None` if nothing has.
    fn find(&self, name: &str) -> io::Result<Option<Found>>;

    /// All names.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Gives a file another name, at once or not at all, and in place of what has that name.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. Fine if there is none.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Opens a file to read what it holds until now, all of which is durable then. An error for what is
    /// no regular file.
    fn read(&self, name: &str) -> io::Result<(Identity, Box<dyn Read + Send>)>;

    /// Makes a file that does not exist.
    fn create(&self, name: &str) -> io::Result<Box<dyn Draft>>;
}

/// What a name stands for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) kind: Kind,
    pub(super) identity: Identity,
    /// Bytes.
    pub(super) length: u64,
}

/// As far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A regular file.
    File,
    Link,
    /// A directory, a pipe, a device.
    Other,
}

/// A file that is made as a whole.
pub(super) trait Draft: Write + Send {
    /// Ends it. What it holds is durable when this answers.
    fn seal(&mut self) -> io::Result<()>;
}

/// A directory of the file system, made where it is missing; its files have mode 0640.
#[derive(Debug)]
pub(super) struct RealDisk {
    directory: PathBuf,
    /// The directory, ours while it is open.
    lock: Mutex<File>,
}

impl RealDisk {
    /// How often the lock is tried, 20 ms apart: a predecessor may be on its way out.
    const LOCK_TRIES: u32 = 25;

    /// Takes the directory for this process until the disk is dropped: two that gave the same files
    /// other names would lose lines. Waits for it while it blocks, so no runtime worker may call it.
    ///
    /// # Errors
    /// `WouldBlock` if another process has it. File systems without locks are taken without one.
    pub(super) fn take(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let lock = File::open(directory)?;
        for _ in 1..Self::LOCK_TRIES {
            match lock.try_lock() {
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(20)),
                _ => break, // Asked again below.
            }
        }
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => Err(taken()),
            _ => Ok(Self { directory: directory.to_owned(), lock: Mutex::new(lock) }),
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Where a file of this name may be changed. A directory that took the place of the one that was taken is
    /// taken as well, unless it is another process's.
    fn own(&self, name: &str) -> io::Result<PathBuf> {
        let mut lock = self.lock.lock();
        if identity(&lock.metadata()?) != identity(&fs::metadata(&self.directory)?) {
            let there = File::open(&self.directory)?;
            match there.try_lock() {
                Err(TryLockError::WouldBlock) => return Err(taken()),
                _ => *lock = there,
            }
        }
        Ok(self.at(name))
    }
}

fn taken() -> io::Error {
    io::Error::new(io::ErrorKind::WouldBlock, "another process writes there")
}

impl Disk for RealDisk {
    fn open(&self, name: &str) -> io::Result<Box<dyn Out>> {
        let path = self.own(name)?;
        let kind = fs::metadata(&path).ok().map(|found| found.file_type());
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o640);
        // The end of a file is looked at; and whoever can read a named pipe need not wait for its reader.
        options.read(kind.is_none_or(|kind| kind.is_file() || kind.is_fifo()));
        let file = options.open(path)?;
        let found = file.metadata()?;
        let identity = found.is_file().then(|| identity(&found));
        Ok(Box::new(RealFile { file, identity }))
    }

    fn find(&self, name: &str) -> io::Result<Option<Found>> {
        let found = match fs::symlink_metadata(self.at(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            found => found?,
        };
        let kind = match found.file_type() {
            kind if kind.is_file() => Kind::File,
            kind if kind.is_symlink() => Kind::Link,
            _ => Kind::Other,
        };
        Ok(Some(Found { kind, identity: identity(&found), length: found.len() }))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let entries = fs::read_dir(&self.directory)?;
        let names = entries.map(|entry| Ok(entry?.file_name().into_string().ok()));
        names.filter_map(Result::transpose).collect()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.own(from)?, self.at(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match self.own(name).and_then(fs::remove_file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn read(&self, name: &str) -> io::Result<(Identity, Box<dyn Read + Send>)> {
        let path = self.at(name);
        // Opening a pipe would wait for its writer.
        let is_file = |found: &Metadata| found.is_file().then_some(());
        is_file(&fs::symlink_metadata(&path)?).ok_or(io::ErrorKind::InvalidInput)?;
        let file = File::open(path)?;
        let found = file.metadata()?;
        is_file(&found).ok_or(io::ErrorKind::InvalidInput)?;
        file.sync_data()?;
        // Whoever still writes to it could keep the reader busy for ever.
        Ok((identity(&found), Box::new(file.take(found.len()))))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn Draft>> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o640);
        Ok(Box::new(options.open(self.own(name)?)?))
    }
}

impl Draft for File {
    fn seal(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

fn identity(found: &Metadata) -> Identity {
    Identity { device: found.dev(), inode: found.ino() }
}

/// A file, or what a link or a device stands for.
struct RealFile {
    file: File,
    /// `None` where it is a stream.
    identity: Option<Identity>,
}

impl Out for RealFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn mend(&mut self, torn: u64) -> io::Result<()> {
        match self.identity {
            Some(_) => self.file.set_len(self.length()?.saturating_sub(torn)),
            None => self.file.write_all(b"\n"),
        }
    }

    fn cut_tail(&mut self) -> io::Result<u64> {
        let length = self.length()?;
        let (mut block, mut end) = ([0; 4096], length);
        while end > 0 {
            let start = end.saturating_sub(block.len() as u64);
            // No more than a block.
            let part = &mut block[..usize::try_from(end - start).unwrap_or_default()];
            self.file.read_exact_at(part, start)?;
            if let Some(newline) = memchr::memrchr(b'\n', part) {
                end = start + newline as u64 + 1;
                break;
            }
            end = start;
        }
        if end < length {
            self.file.set_len(end)?;
        }
        Ok(length - end)
    }

    fn length(&self) -> io::Result<u64> {
        match self.identity {
            Some(_) => Ok(self.file.metadata()?.len()),
            None => Ok(0),
        }
    }

    fn identity(&self) -> Option<Identity> {
        self.identity
    }
}
