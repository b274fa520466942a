//! Reads segments in order and checks the chain, one line at a time.
//!
//! Memory holds one line and the beginnings whose end has not come yet. After a flaw the check goes
//! on from what the line itself says, so one change is one flaw. The same walk serves the start of
//! the writer, which must know where the chain ends and what is open.
//!
//! A crash can leave the last bytes of a segment half written: a line without its newline, or a hole
//! (zero bytes) with anything after it. That is *torn*, not tampered with, and so is whatever a
//! segment holds from the `seq` on with which the next segment begins: it was never known durable.
//!
//! A newest segment without a byte may be one that has just been made, or one that was emptied: the
//! files cannot tell, so only a running sidecar is given the benefit of the doubt.

use std::collections::{HashMap, VecDeque};
use std::io::{self, BufRead, Read as _};
use std::sync::Arc;

use super::chain::{self, Chain, HASH_SUFFIX, VERSION};
use super::line::Line;
use super::report::{Flaw, Place, Report, Torn};
use super::{AuditResult, Event, Stage, segment_start};

/// The longest line that is read; a record stays far below.
const MAX_LINE: u64 = 1 << 20;

/// A check in progress. Feed it every segment in order, then [`Verifier::finish`] it.
#[derive(Debug, Default)]
pub struct Verifier {
    /// The last record as its line states it; `None` before the first and after an unreadable line.
    last: Option<Chain>,
    /// Whether an unreadable line was met since: the next good one is taken as it is.
    is_lost: bool,
    /// The highest `seq` met: with the number of lines it tells how many are missing.
    highest: u64,
    open: HashMap<Box<str>, VecDeque<Opened>>,
    report: Report,
}

/// A beginning whose end has not come yet.
#[derive(Debug)]
pub struct Opened {
    /// Where it stands.
    pub place: Place,
    /// The line, without its newline.
    pub line: Box<[u8]>,
}

/// How much of a segment belongs to the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Bytes up to the torn tail.
    pub kept: u64,
    /// All bytes.
    pub total: u64,
}

impl Verifier {
    /// Checks the next segment. `next` is the `seq` that the segment after it is named for.
    ///
    /// # Errors
    /// Only what reading fails with; what is wrong with the content goes into the report.
    pub fn segment(
        &mut self,
        name: &str,
        next: Option<u64>,
        source: &mut dyn BufRead,
    ) -> io::Result<Extent> {
        self.report.segments += 1;
        self.report.empty = None;
        let mut place = Place { segment: Arc::from(name), line: 0 };
        let mut line = Vec::new();
        let mut kept = 0;
        loop {
            line.clear();
            let size = (&mut *source).take(MAX_LINE).read_until(b'\n', &mut line)? as u64;
            if size == 0 {
                if kept == 0 {
                    self.empty(&place);
                }
                return Ok(Extent { kept, total: kept });
            }
            place.line += 1;
            if is_torn(&line, next) {
                let bytes = size + io::copy(source, &mut io::sink())?;
                self.report.torn.get_or_insert(Torn { place, bytes });
                return Ok(Extent { kept, total: kept + bytes });
            }
            kept += size;
            let is_whole = line.pop_if(|byte| *byte == b'\n').is_some();
            if is_whole {
                self.line(&place, &line);
            } else {
                kept += skip_line(source)?;
                self.report.records += 1;
                self.flaw(&place, Flaw::TooLong);
                self.is_lost = true;
            }
        }
    }

    /// Ends the check.
    pub fn finish(mut self) -> Report {
        if let Some(last) = self.last {
            self.report.last_seq = last.seq();
            last.hash().clone_into(&mut self.report.last_hash);
        }
        self.report.missing = self.highest.saturating_sub(self.report.records);
        self.report.open = self.open.into_values().flatten().map(|opened| opened.place).collect();
        self.report.open.sort();
        self.report
    }

    /// The end of the chain, the beginnings without an end in their order, and the report.
    pub fn into_parts(mut self) -> (Chain, Vec<Opened>, Report) {
        let mut open: Vec<Opened> =
            std::mem::take(&mut self.open).into_values().flatten().collect();
        open.sort_by(|a, b| a.place.cmp(&b.place));
        (self.last.unwrap_or(Chain::GENESIS), open, self.finish())
    }

    /// Notes a segment without a byte. Its name alone says what stood before it.
    fn empty(&mut self, place: &Place) {
        self.report.empty = Some(Arc::clone(&place.segment));
        let expected = self.last.unwrap_or(Chain::GENESIS).seq().saturating_add(1);
        let named = segment_start(&place.segment).unwrap_or(expected);
        if named != expected && !self.is_lost {
            self.flaw(place, Flaw::Emptied { expected, named });
        }
        self.highest = self.highest.max(named.saturating_sub(1));
    }

    fn line(&mut self, place: &Place, bytes: &[u8]) {
        self.report.records += 1;
        let parsed = Line::parse(bytes);
        let stated = parsed.as_ref().and_then(|line| Chain::after(line.seq, &line.hash));
        let (Some(line), Some(stated)) = (parsed, stated) else {
            self.flaw(place, Flaw::NotARecord);
            self.is_lost = true;
            return;
        };
        if let Some(flaw) = self.judge(place, bytes, &line) {
            self.flaw(place, flaw);
        }
        self.last = Some(stated);
        self.highest = self.highest.max(line.seq);
        self.is_lost = false;
        self.pair(place, bytes, &line);
    }

    fn judge(&mut self, place: &Place, bytes: &[u8], line: &Line<'_>) -> Option<Flaw> {
        if line.v != VERSION {
            return Some(Flaw::UnknownVersion(line.v));
        }
        if !is_sealed(bytes) {
            return Some(Flaw::WrongHash);
        }
        if !is_known(line) {
            return Some(Flaw::NotARecord);
        }
        let last = self.last.unwrap_or(Chain::GENESIS);
        let expected = last.seq().saturating_add(1);
        if line.seq != expected && !self.is_lost {
            return Some(Flaw::WrongSeq { expected, found: line.seq });
        }
        if line.prev != last.hash() && !self.is_lost {
            return Some(Flaw::WrongPrev);
        }
        let named = segment_start(&place.segment).filter(|_| place.line == 1)?;
        (named != line.seq).then_some(Flaw::WrongSegment { named })
    }

    /// Matches ends with beginnings.
    fn pair(&mut self, place: &Place, bytes: &[u8], line: &Line<'_>) {
        if line.is_initiated() {
            let opened = Opened { place: place.clone(), line: bytes.into() };
            self.open.entry(line.request_id.as_ref().into()).or_default().push_back(opened);
            return;
        }
        if let Some(opened) = self.open.get_mut(line.request_id.as_ref()) {
            opened.pop_front();
            if opened.is_empty() {
                self.open.remove(line.request_id.as_ref());
            }
        } else if !line.is_denied() {
            self.report.unannounced += 1;
        }
    }

    fn flaw(&mut self, place: &Place, flaw: Flaw) {
        self.report.flaws += 1;
        self.report.first_flaw.get_or_insert_with(|| (place.clone(), flaw));
    }
}

/// Whether the chain ends before this line: a half line, a hole, or what the next segment replaces.
fn is_torn(line: &[u8], next: Option<u64>) -> bool {
    let is_cut = !line.ends_with(b"\n") && (line.len() as u64) < MAX_LINE;
    is_cut
        || line.contains(&0)
        || next.is_some_and(|next| Line::parse(line).is_some_and(|line| line.seq >= next))
}

/// Whether the line ends with the hash of its own bytes.
fn is_sealed(line: &[u8]) -> bool {
    let Some(split) = line.len().checked_sub(HASH_SUFFIX) else { return false };
    let (hashed, suffix) = line.split_at(split);
    let hash = chain::hash_of(hashed);
    suffix.strip_prefix(b",\"hash\":\"").and_then(|rest| rest.strip_suffix(b"\"}"))
        == Some(hash.as_slice())
}

fn is_known(line: &Line<'_>) -> bool {
    let is_stage = [Stage::Initiated, Stage::Completed].iter().any(|s| s.as_str() == line.stage);
    let is_result = AuditResult::ALL.iter().any(|result| result.as_str() == line.result);
    is_stage && is_result && Event::parse(&line.event).is_some()
}

/// Skips what is left of a line and answers how many bytes that was.
fn skip_line(source: &mut dyn BufRead) -> io::Result<u64> {
    let mut skipped = 0;
    loop {
        let available = source.fill_buf()?;
        let (size, is_end) = match memchr::memchr(b'\n', available) {
            Some(index) => (index + 1, true),
            None => (available.len(), available.is_empty()),
        };
        source.consume(size);
        skipped += size as u64;
        if is_end {
            return Ok(skipped);
        }
    }
}

#[cfg(test)]
mod tests;
