//! What lives on an output's thread: entries come in, whole lines go out.
//!
//! An entry counts as written once its line is in every file that it belongs in. What a line looks like is
//! `log::line`'s matter, how it gets to a file that of `sinks::file`.

use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;

use super::super::file::Lines;
use super::Job;
use super::missing::Missing;
use crate::config::model::{LogLevel, Service};
use crate::telemetry::log::Entry;
use crate::telemetry::log::line::{Form, Format};

/// Writes the lines of one output.
pub(super) struct Scribe {
    format: Format,
    all: Sheet,
    /// Gets the errors once more.
    errors: Option<Sheet>,
    /// Which entries of the batch go to `errors`.
    error_lines: Vec<usize>,
}

/// One file or stream, and the lines of one batch for it.
struct Sheet {
    lines: Lines,
    missing: Missing,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Scribe {
    pub(super) fn new(service: &Service, form: Form, all: Lines, errors: Option<Lines>) -> Self {
        let format = Format::new(service, form);
        let errors = errors.map(Sheet::new);
        Self { format, all: Sheet::new(all), errors, error_lines: Vec::new() }
    }

    /// Works until nobody can ask any more.
    pub(super) fn run(&mut self, work: &Receiver<Job>) {
        for job in work {
            match job {
                Job::Write { entries, missed, arrived } => {
                    let count = self.write(&entries, missed);
                    // The worker may have given up waiting; then it has counted the batch as lost.
                    arrived.send((count, self.trouble())).ok();
                }
                Job::Reopen { asked } => {
                    // Whoever asks from here on is not answered by this time.
                    asked.store(false, Ordering::Release);
                    self.all.lines.reopen();
                    self.errors.iter_mut().for_each(|errors| errors.lines.reopen());
                }
            }
        }
    }

    /// Why lines do not arrive in a file where they belong.
    fn trouble(&self) -> Option<String> {
        let errors = self.errors.as_ref();
        let failing = self.all.lines.failing().or_else(|| errors?.lines.failing());
        failing.map(str::to_owned)
    }

    /// Writes a line per entry, and says how many entries are in every file they belong in. So much
    /// had found no room in the queue before.
    fn write(&mut self, entries: &[Entry], missed: u64) -> usize {
        self.all.missing.heard(missed);
        self.all.begin(&mut self.format);
        self.errors.iter_mut().for_each(|errors| errors.begin(&mut self.format));
        self.error_lines.clear();
        for (index, entry) in entries.iter().enumerate() {
            let line = self.all.push(|bytes| self.format.write(entry, bytes));
            if let Some(errors) = &mut self.errors
                && entry.level() == LogLevel::Error
            {
                errors.push(|bytes| bytes.extend_from_slice(line));
                self.error_lines.push(index);
            }
        }
        let mut kept = self.all.write();
        if let Some(errors) = self.errors.as_mut().filter(|_| !self.error_lines.is_empty()) {
            let lost = &self.error_lines[errors.write()..];
            errors.missing.failed(lost.len() as u64);
            let complete = kept;
            kept -= lost.iter().filter(|line| **line < complete).count();
        }
        self.all.missing.failed((entries.len() - kept) as u64);
        kept
    }
}

impl Sheet {
    fn new(lines: Lines) -> Self {
        Self { lines, missing: Missing::default(), bytes: Vec::new(), ends: Vec::new() }
    }

    /// Begins a batch with what is missing before it.
    fn begin(&mut self, format: &mut Format) {
        self.bytes.clear();
        self.ends.clear();
        for entry in self.missing.entries() {
            format.write(&entry, &mut self.bytes);
            self.ends.push(self.bytes.len());
        }
    }

    fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> &[u8] {
        let start = self.bytes.len();
        write(&mut self.bytes);
        self.ends.push(self.bytes.len());
        &self.bytes[start..]
    }

    /// Writes the batch, and says how many of its entries arrived.
    fn write(&mut self) -> usize {
        let arrived = self.lines.write(&self.bytes, &self.ends);
        let told = self.missing.len().min(arrived);
        self.missing.told(told);
        arrived - told
    }
}
