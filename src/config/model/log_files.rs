//! `[log] max_size`, `max_files`, `compress`: how much the log's files may hold.

/// How the files of the log are kept short. It holds for `combined.log` and `error.log` each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogFiles {
    /// Bytes of a file at most, unless one line is longer. `None`: it is left to somebody else.
    pub max_size: Option<u64>,
    /// Files at most, the open one among them.
    pub max_files: u32,
    /// Whether older files are compressed with gzip.
    pub compress: bool,
}
