//! What the writer needs of a disk, and the real one.
//!
//! The trait is small so that a test can stand in a disk that forgets what was not synced. Every
//! method says what is durable when it answers `Ok`.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::audit::segment_start;

/// One directory of files.
pub trait Disk: Send {
    /// Makes the directory if need be and takes it for this process until the disk is dropped.
    ///
    /// # Errors
    /// `WouldBlock` if another process has it.
    fn lock(&mut self) -> io::Result<()>;

    /// The names of all files.
    fn list(&mut self) -> io::Result<Vec<String>>;

    /// Opens a file for reading from its beginning.
    fn read(&mut self, name: &str) -> io::Result<Box<dyn BufRead + Send>>;

    /// Makes a new, empty file. Its name is durable when this answers.
    ///
    /// # Errors
    /// `AlreadyExists` if there is one of that name.
    fn create(&mut self, name: &str) -> io::Result<Box<dyn SegmentFile>>;

    /// Opens an existing file to write at its end.
    fn append(&mut self, name: &str) -> io::Result<Box<dyn SegmentFile>>;

    /// Cuts a file to this length, durably.
    fn truncate(&mut self, name: &str, length: u64) -> io::Result<()>;

    /// Removes a file. Fine if there is none; not durable by itself.
    fn remove(&mut self, name: &str) -> io::Result<()>;
}

/// A file open for writing at its end.
pub trait SegmentFile: Send {
    /// Writes all of it. Nothing is durable yet; after an error any part may have been written.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes everything written durable (`fdatasync`).
    fn sync(&mut self) -> io::Result<()>;
}

/// The segments of a directory and the sequence number each begins with, in the order of the chain.
///
/// # Errors
/// When the directory cannot be read.
pub fn segments(disk: &mut dyn Disk) -> io::Result<Vec<(String, u64)>> {
    let names = disk.list()?.into_iter();
    let mut segments: Vec<_> =
        names.filter_map(|name| segment_start(&name).map(|start| (name, start))).collect();
    segments.sort();
    Ok(segments)
}

/// A directory of the file system; made with mode 0700, its files with 0600.
#[derive(Debug)]
pub struct RealDisk {
    directory: PathBuf,
    lock: Option<File>,
}

impl RealDisk {
    /// The name of the file that is locked.
    pub const LOCK: &'static str = "lock";
    /// How often the lock is tried, 20 ms apart: a predecessor may be on its way out, and
    /// `audit verify` holds it for a moment.
    const LOCK_TRIES: u32 = 6;

    /// The disk below this directory. Touches nothing yet.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), lock: None }
    }

    /// Makes the directory and what is missing above it; their names are durable afterwards.
    fn make_directory(&self) -> io::Result<()> {
        let is_missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
        let missing: Vec<&Path> = self.directory.ancestors().take_while(is_missing).collect();
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        for made in missing {
            let parent = made.parent().filter(|parent| !parent.as_os_str().is_empty());
            File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
        }
        Ok(())
    }

    /// Whether the directory is still the one that was locked: if it was removed and made again,
    /// another process may have taken the new one.
    fn check_lock(&self) -> io::Result<()> {
        let Some(held) = &self.lock else { return Ok(()) };
        let (held, there) = (held.metadata()?, fs::metadata(self.directory.join(Self::LOCK))?);
        if (held.dev(), held.ino()) == (there.dev(), there.ino()) {
            return Ok(());
        }
        Err(io::Error::other("the lock of the directory is no longer this process's"))
    }

    fn sync_directory(&self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }
}

impl Disk for RealDisk {
    fn lock(&mut self) -> io::Result<()> {
        self.make_directory()?;
        let path = self.directory.join(Self::LOCK);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(path)?;
        let mut tries = 1;
        loop {
            match file.try_lock() {
                Ok(()) => {
                    self.lock = Some(file);
                    return Ok(());
                }
                Err(TryLockError::WouldBlock) if tries < Self::LOCK_TRIES => tries += 1,
                Err(error) => return Err(error.into()),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn list(&mut self) -> io::Result<Vec<String>> {
        let names = fs::read_dir(&self.directory)?
            .map(|entry| entry.map(|entry| entry.file_name().into_string().ok()));
        names.filter_map(Result::transpose).collect()
    }

    fn read(&mut self, name: &str) -> io::Result<Box<dyn BufRead + Send>> {
        let file = File::open(self.directory.join(name))?;
        Ok(Box::new(BufReader::with_capacity(1 << 16, file)))
    }

    fn create(&mut self, name: &str) -> io::Result<Box<dyn SegmentFile>> {
        self.check_lock()?;
        let mut options = OpenOptions::new();
        let file =
            options.append(true).create_new(true).mode(0o600).open(self.directory.join(name))?;
        file.sync_all()?;
        self.sync_directory()?;
        Ok(Box::new(file))
    }

    fn append(&mut self, name: &str) -> io::Result<Box<dyn SegmentFile>> {
        let file = OpenOptions::new().append(true).open(self.directory.join(name))?;
        Ok(Box::new(file))
    }

    fn truncate(&mut self, name: &str, length: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(self.directory.join(name))?;
        if file.metadata()?.len() < length {
            // Somebody else cut it; to make it longer would write zeros into the evidence.
            return Err(io::Error::other("the file is shorter than it should be"));
        }
        file.set_len(length)?;
        file.sync_all()
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.directory.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl SegmentFile for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    /// A file that has been removed takes writes for ever, and all of them vanish with the process.
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()?;
        if self.metadata()?.nlink() == 0 {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the segment has been removed"));
        }
        Ok(())
    }
}
