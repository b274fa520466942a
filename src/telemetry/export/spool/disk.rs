//! What the spool needs of a disk, and the real one.
//!
//! The trait is small so that a test can stand in a disk that fails and forgets. Every method says
//! what is durable when it answers `Ok`; all of them block.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One directory of files.
pub trait Disk: Send + 'static {
    /// Makes the directory if need be and takes it for this process until the disk is dropped.
    ///
    /// # Errors
    /// `WouldBlock` if another process has it.
    fn lock(&mut self) -> io::Result<()>;

    /// All names, with the lengths of those that are files.
    fn list(&mut self) -> io::Result<Vec<(String, Option<u64>)>>;

    /// Reads a file, but at most so many bytes of it.
    ///
    /// # Errors
    /// `NotFound` also where what has the name is no file.
    fn read(&mut self, name: &str, most: u64) -> io::Result<Vec<u8>>;

    /// Makes or replaces a file. Its content is durable when this answers, its name is not. After an
    /// error any part of it may be there.
    ///
    /// # Errors
    /// `IsADirectory` if one has the name.
    fn write(&mut self, name: &str, parts: &[&[u8]]) -> io::Result<()>;

    /// Gives a file another name, at once or not at all. Not durable by itself.
    ///
    /// # Errors
    /// `IsADirectory` if one has that name.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;

    /// Makes all names durable.
    fn sync(&mut self) -> io::Result<()>;

    /// Removes a file. Fine if there is none, or a directory in its place; not durable by itself.
    fn remove(&mut self, name: &str) -> io::Result<()>;
}

/// A directory of the file system; made with mode 0700, its files with 0600.
#[derive(Debug)]
pub struct RealDisk {
    directory: PathBuf,
    lock: Option<File>,
}

impl RealDisk {
    /// The name of the file that is locked.
    const LOCK: &'static str = "lock";
    /// How often the lock is tried, 20 ms apart: a predecessor may be on its way out.
    const LOCK_TRIES: u32 = 6;

    /// The disk below this directory. Touches nothing yet.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), lock: None }
    }
}

impl Disk for RealDisk {
    fn lock(&mut self) -> io::Result<()> {
        // Whoever made it for us may have kept what is above it to themselves.
        if !self.directory.is_dir() {
            DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
            let parent = self.directory.parent().filter(|parent| !parent.as_os_str().is_empty());
            File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
        }
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(self.directory.join(Self::LOCK))?;
        for _ in 1..Self::LOCK_TRIES {
            match file.try_lock() {
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(20)),
                _ => break, // Asked again below.
            }
        }
        file.try_lock()?;
        self.lock = Some(file);
        Ok(())
    }

    fn list(&mut self) -> io::Result<Vec<(String, Option<u64>)>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if let Ok(name) = entry.file_name().into_string() {
                names.push((name, metadata.is_file().then_some(metadata.len())));
            }
        }
        Ok(names)
    }

    fn read(&mut self, name: &str, most: u64) -> io::Result<Vec<u8>> {
        let path = self.directory.join(name);
        // Asked before it is opened: that alone would wait for whoever writes to a pipe.
        if !fs::metadata(&path)?.is_file() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let mut bytes = Vec::new();
        File::open(path)?.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn write(&mut self, name: &str, parts: &[&[u8]]) -> io::Result<()> {
        let path = self.directory.join(name);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        // What has the name already may be a link, and lead anywhere; it is replaced, never followed.
        let mut file = match options.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if is_directory(&path) {
                    return Err(io::ErrorKind::IsADirectory.into());
                }
                fs::remove_file(&path)?;
                options.open(&path)
            }
            opened => opened,
        }?;
        for part in parts {
            file.write_all(part)?;
        }
        file.sync_all()
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.directory.join(from), self.directory.join(to))
    }

    fn sync(&mut self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let path = self.directory.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound || is_directory(&path) => Ok(()),
            removed => removed,
        }
    }
}

/// Whether a directory has the name; a link to one is none.
fn is_directory(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| found.is_dir())
}
