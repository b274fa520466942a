//! The audit trail as plain data: what a record says, how records are chained, how they are checked.
//!
//! # The file format, version 1
//!
//! A directory holds segments named `audit-<20 digits>.jsonl`; the number is the `seq` of the
//! segment's first line, so the lexical order of the names is the order of the chain. A segment is
//! UTF-8 text, one JSON object per line, each line ended by one `\n`, no blank lines. The fields of
//! a line come in this order, without white space between tokens:
//!
//! `timestamp event stage result userId tenantId ipAddress userAgent resourceId resourceType action
//! method path route requestId traceId status durationMs`, then captured facts (`mode`,
//! `queryLength`, …), then `reason` where there is one, then `v seq prev hash`.
//!
//! - `seq` starts at 1 and has no gaps, over all segments.
//! - `prev` is the `hash` of the line before; 64 zeros in the very first line.
//! - `hash` is the SHA-256, in lower-case hex, of the line's own bytes without its `hash` member:
//!   everything before `,"hash":"`, followed by `}`. As `hash` is always last, that is the line
//!   without its last 75 bytes, plus `}`.
//!
//! An auditor needs no tool of ours:
//!
//! ```python
//! import glob, hashlib, json, sys
//! prev, seq = "0" * 64, 1
//! for path in sorted(glob.glob(sys.argv[1] + "/audit-*.jsonl")):
//!     for number, raw in enumerate(open(path, "rb"), 1):
//!         line = raw.rstrip(b"\n")
//!         record = json.loads(line)
//!         where = f"{path}:{number}"
//!         assert hashlib.sha256(line[:-75] + b"}").hexdigest() == record["hash"], where
//!         assert (record["seq"], record["prev"]) == (seq, prev), where
//!         prev, seq = record["hash"], seq + 1
//! print(seq - 1, "records, last hash", prev)
//! ```
//!
//! # What the chain proves, and what it does not
//!
//! A changed, removed, added, repeated or reordered line breaks it. Somebody who may write to the
//! directory can still cut the end off, or rewrite everything from some line on: that takes signed
//! checkpoints kept elsewhere, which this version does not have.
//!
//! Nothing here touches a file or a thread; the writer is `telemetry::sinks::audit`.

pub mod chain;
pub mod entry;
mod evidence;
pub mod facts;
pub mod line;
pub mod report;
#[cfg(test)]
pub(crate) mod sample;
pub mod verify;

pub use entry::{Action, AuditResult, Draft, Event, Stage};
pub use evidence::Evidence;
pub use report::Report;
pub use verify::Verifier;

/// The name of the segment whose first line has this `seq`.
pub fn segment_name(first_seq: u64) -> String {
    format!("audit-{first_seq:020}.jsonl")
}

/// The `seq` of the first line of the segment of this name; `None` for any other file.
pub fn segment_start(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("audit-")?.strip_suffix(".jsonl")?;
    let is_plain = digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit());
    if is_plain { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segment_names_sort_like_their_numbers_and_are_read_back() {
        assert_eq!(segment_name(7), "audit-00000000000000000007.jsonl");
        assert!(segment_name(9) < segment_name(10));
        assert_eq!(segment_start(&segment_name(u64::MAX)), Some(u64::MAX));
        for other in ["lock", "audit-7.jsonl", "audit-0000000000000000000x.jsonl", "audit-.jsonl"] {
            assert_eq!(segment_start(other), None, "{other}");
        }
    }
}
