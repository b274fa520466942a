//! What the writer finds at its start: where the chain ends, what is torn, what is open.
//!
//! Torn tails are moved to `<segment>.cut`, so that an auditor can look at them. Nothing else of what
//! is there is changed.

use std::io::{self, BufRead as _, Read};

use super::disk::{Disk, segments};
use crate::audit::chain::Chain;
use crate::audit::report::Report;
use crate::audit::verify::{Extent, Opened, Verifier};

/// What was found.
#[derive(Debug)]
pub(super) struct Recovered {
    /// Where the chain ends.
    pub(super) chain: Chain,
    /// The last segment and its length, after repair.
    pub(super) segment: Option<(String, u64)>,
    /// Beginnings without an end.
    pub(super) open: Vec<Opened>,
    /// Bytes that were cut off.
    pub(super) torn_bytes: u64,
    /// The whole check, before the repair.
    pub(super) report: Report,
}

/// Walks all segments in order and cuts torn tails off.
pub(super) fn recover(disk: &mut dyn Disk) -> io::Result<Recovered> {
    let segments = segments(disk)?;
    let mut verifier = Verifier::default();
    let mut torn_bytes = 0;
    let mut last = None;
    for (index, (name, _)) in segments.iter().enumerate() {
        let next = segments.get(index + 1).map(|(_, start)| *start);
        let extent = verifier.segment(name, next, &mut *disk.read(name)?)?;
        if extent.kept < extent.total {
            torn_bytes += extent.total - extent.kept;
            cut(disk, name, extent)?;
        }
        last = Some((name.clone(), extent.kept));
    }
    let (chain, open, report) = verifier.into_parts();
    Ok(Recovered { chain, segment: last, open, torn_bytes, report })
}

/// Copies the tail to the segment's `.cut` file, durably, before it is cut off.
fn cut(disk: &mut dyn Disk, name: &str, extent: Extent) -> io::Result<()> {
    let mut source = disk.read(name)?;
    io::copy(&mut source.by_ref().take(extent.kept), &mut io::sink())?;
    let kept_as = format!("{name}.cut");
    let mut copy = match disk.append(&kept_as) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => disk.create(&kept_as)?,
        opened => opened?,
    };
    loop {
        let bytes = source.fill_buf()?;
        let size = bytes.len();
        if size == 0 {
            break;
        }
        copy.write(bytes)?;
        source.consume(size);
    }
    copy.sync()?;
    disk.truncate(name, extent.kept)
}
