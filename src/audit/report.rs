//! What a check found, for people and for an exit code.
//!
//! Two verdicts: integrity (is every line the one that was written, in its place) and completeness
//! (is none missing, has every beginning its end). A torn tail is reported on its own: a crash
//! leaves one, and the next start repairs it.

use std::fmt;
use std::sync::Arc;

/// How many open beginnings are printed by name.
const SHOWN: usize = 10;

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Files read.
    pub segments: u64,
    /// Whole lines read, good and bad.
    pub records: u64,
    /// The last `seq`; 0 without records.
    pub last_seq: u64,
    /// The last hash, in hex: what to note elsewhere as an anchor.
    pub last_hash: String,
    /// Lines that break integrity.
    pub flaws: u64,
    /// The first of them.
    pub first_flaw: Option<(Place, Flaw)>,
    /// Records that are missing by the gaps in `seq`.
    pub missing: u64,
    /// Beginnings without an end, in the order of the chain.
    pub open: Vec<Place>,
    /// Ends without a beginning that are no refusals: a request whose `initiated` could not be made
    /// durable. Rightful with `mode = "best_effort"`, and for the 503 of `"strict"`.
    pub unannounced: u64,
    /// Bytes after the end of a segment, the first time.
    pub torn: Option<Torn>,
    /// The newest segment, where it holds not one byte: it was emptied, or never written to.
    pub empty: Option<Arc<str>>,
    /// Whether a sidecar was writing meanwhile: what is open may be in flight.
    pub is_live: bool,
}

impl Report {
    /// Whether every line is the one that was written, in its place.
    pub fn is_intact(&self) -> bool {
        self.flaws == 0
    }

    /// Whether nothing is missing, as far as the files can tell.
    pub fn is_complete(&self) -> bool {
        self.missing == 0 && (self.is_live || (self.open.is_empty() && self.empty.is_none()))
    }

    /// Whether there is nothing to look into.
    pub fn is_ok(&self) -> bool {
        self.segments > 0
            && self.is_intact()
            && self.is_complete()
            && (self.is_live || self.torn.is_none())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.segments == 0 {
            return writeln!(f, "no audit segments found");
        }
        let Self { segments, records, last_seq, last_hash, .. } = self;
        let (records, segments) = (counted(*records, "record"), counted(*segments, "segment"));
        writeln!(f, "{records} in {segments}, last seq {last_seq}")?;
        let last_hash = if last_hash.is_empty() { "none" } else { last_hash };
        writeln!(f, "last hash    {last_hash}")?;
        match &self.first_flaw {
            None => writeln!(f, "integrity    ok")?,
            Some((place, flaw)) => {
                writeln!(
                    f,
                    "integrity    BROKEN in {}, first at {place}: {flaw}",
                    counted(self.flaws, "place")
                )?;
            }
        }
        match (self.missing, self.open.len()) {
            (0, 0) if self.is_complete() => writeln!(f, "completeness ok")?,
            (0, 0) => writeln!(f, "completeness UNKNOWN: the newest segment holds no record")?,
            (0, open) if self.is_live => {
                writeln!(f, "completeness ok, {} in flight", counted(open as u64, "request"))?;
            }
            (missing, open) => writeln!(
                f,
                "completeness BROKEN: {} missing, {open} initiated without an end",
                counted(missing, "record")
            )?,
        }
        if !self.is_live {
            for place in self.open.iter().take(SHOWN) {
                writeln!(f, "             no end for {place}")?;
            }
        }
        if let Some(segment) = &self.empty {
            writeln!(f, "note         {segment} is empty: not written to yet, or emptied")?;
        }
        // In a trail that is damaged this would be a guess: the beginning may be what was taken away.
        if self.unannounced > 0 && self.is_intact() {
            let ends = counted(self.unannounced, "end");
            writeln!(f, "note         {ends} whose beginning could not be made durable")?;
        }
        if let Some(Torn { place, bytes }) = &self.torn {
            writeln!(
                f,
                "torn         {} from {place} on; the next start cuts them off",
                counted(*bytes, "byte")
            )?;
        }
        Ok(())
    }
}

/// So many of something: `1 record`, `2 records`.
fn counted(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// A line of a segment, or a segment without any.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file's name.
    pub segment: Arc<str>,
    /// Counted from 1; 0 for a segment without lines.
    pub line: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.segment),
            line => write!(f, "{}:{line}", self.segment),
        }
    }
}

/// Bytes that are no part of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// Where they begin.
    pub place: Place,
    /// How many.
    pub bytes: u64,
}

/// Why a line breaks integrity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It is no JSON object with the members of a record, or names what version 1 does not know.
    NotARecord,
    /// It is longer than any record.
    TooLong,
    /// Its version is not 1.
    UnknownVersion(u64),
    /// Its bytes were changed after it was written.
    WrongHash,
    /// It does not follow the line before.
    WrongSeq {
        /// What should stand here.
        expected: u64,
        /// What does.
        found: u64,
    },
    /// Its place is right, but the line before is not the one it was written after.
    WrongPrev,
    /// A segment holds nothing, and its name says that more stood before it than does.
    Emptied {
        /// What should stand here.
        expected: u64,
        /// The `seq` of the name.
        named: u64,
    },
    /// It opens a segment that is named for another `seq`.
    WrongSegment {
        /// The `seq` of the name.
        named: u64,
    },
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotARecord => f.write_str("not an audit record"),
            Self::TooLong => f.write_str("longer than any record"),
            Self::UnknownVersion(v) => write!(f, "format version {v} is not known"),
            Self::WrongHash => f.write_str("its hash does not match its content"),
            Self::WrongSeq { expected, found } => {
                write!(f, "seq is {found} where {expected} should follow")
            }
            Self::WrongPrev => f.write_str("prev is not the hash of the record before"),
            Self::Emptied { expected, named } => {
                write!(f, "it is empty and named for seq {named} where {expected} should follow")
            }
            Self::WrongSegment { named } => write!(f, "opens a segment named for seq {named}"),
        }
    }
}
