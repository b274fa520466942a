//! What lines are written to: a file, or a stream that only goes forward.

use std::io::{self, Write};

/// Takes bytes, and takes the last ones back where it can.
pub(in crate::telemetry::sinks) trait Out: Send {
    /// Writes the beginning of `bytes`, as [`Write::write`].
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Passes on what was written, as [`Write::flush`].
    fn flush(&mut self) -> io::Result<()>;

    /// Undoes the unfinished line of so many bytes at the end. A stream cannot: it ends the line, so that
    /// it does not run into the next one.
    fn mend(&mut self, torn: u64) -> io::Result<()>;

    /// Cuts off what stands after the last newline, and says how many bytes that were. Streams have
    /// nothing to cut.
    fn cut_tail(&mut self) -> io::Result<u64>;

    /// Bytes in the file; 0 for streams.
    fn length(&self) -> io::Result<u64>;

    /// Which file it is; `None` for streams.
    fn identity(&self) -> Option<Identity>;
}

/// Which file, whatever its name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::telemetry::sinks) struct Identity {
    /// The file system.
    pub(super) device: u64,
    /// The file in it.
    pub(super) inode: u64,
}

/// Any writer.
pub(super) struct Stream(pub(super) Box<dyn Write + Send>);

impl Out for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }

    fn mend(&mut self, _: u64) -> io::Result<()> {
        self.0.write_all(b"\n")
    }

    fn cut_tail(&mut self) -> io::Result<u64> {
        Ok(0)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(0)
    }

    fn identity(&self) -> Option<Identity> {
        None
    }
}
