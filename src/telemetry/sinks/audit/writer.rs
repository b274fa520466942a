//! The thread that owns the file: takes what is queued, writes it once, syncs it once, tells everyone.
//!
//! The rules it keeps are in [`super`]. Nothing here is called by a request's thread.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::Instant;

use super::disk::Disk;
use super::queue::{DENIALS, Item, Rest, Shared, Ticket};
use super::recover::Recovered;
use super::segment::Segment;
use super::voice::audited;
use crate::audit::chain::Chain;
use crate::audit::{AuditResult, Draft, Stage};

/// Sweeps without work before the writer rests until it is woken.
const QUIET_SWEEPS: u32 = 50;

pub(super) struct Writer {
    shared: Arc<Shared>,
    /// The end of what is known durable.
    chain: Chain,
    segment: Segment,
    /// Durable beginnings without a durable end.
    open: HashMap<Ticket, Box<Draft>>,
    /// Taken from the queue, not yet durable.
    pending: Vec<Item>,
    /// The `seq` of each of them; 0 of what writes nothing.
    seqs: Vec<u64>,
    buffer: Vec<u8>,
    quiet: u32,
    /// A commit failed, and none has succeeded since. So long a new segment is only a hope.
    is_failing: bool,
}

impl Writer {
    /// Goes on where the last process stopped, and closes what it left open.
    pub(super) fn new(
        shared: Arc<Shared>,
        disk: Box<dyn Disk>,
        recovered: Recovered,
    ) -> io::Result<Self> {
        let Recovered { mut chain, segment, open, torn_bytes, report } = recovered;
        let mut buffer = Vec::with_capacity(1 << 16);
        let (mut closed, mut ends) = (0, Vec::new());
        for beginning in &open {
            let now = SystemTime::now();
            if chain.append_end(&beginning.line, now, "crash", &mut buffer) {
                closed += 1;
                ends.extend(audited(&beginning.line, chain.seq(), now));
            }
        }
        // The sync also covers what the last process wrote and did not live to sync.
        let segment = Segment::open(disk, segment, &buffer)?;
        shared.voice.tell(ends);
        tell(torn_bytes, closed, &report);
        shared.counters.opened(chain.seq(), closed, torn_bytes, report.flaws);
        shared.counters.set_writable(true);
        Ok(Self {
            shared,
            chain,
            segment,
            open: HashMap::new(),
            pending: Vec::with_capacity(256),
            seqs: Vec::with_capacity(256),
            buffer,
            quiet: 0,
            is_failing: false,
        })
    }

    /// Serves the queue until it is closed.
    pub(super) fn run(mut self) {
        let _on_exit = RefuseAll(Arc::clone(&self.shared));
        loop {
            let is_quiet = self.quiet >= QUIET_SWEEPS && self.is_healthy();
            self.shared.rest(if is_quiet { Rest::Deep } else { Rest::Light });
            if !self.turn() {
                break;
            }
        }
        self.finish();
    }

    /// Commits what is queued now; answers whether more may come.
    pub(super) fn turn(&mut self) -> bool {
        let is_closed = self.shared.take(&mut self.pending);
        self.quiet = if self.pending.is_empty() { self.quiet.saturating_add(1) } else { 0 };
        if self.segment.is_due() {
            self.replace();
        }
        if self.is_healthy() {
            self.commit();
        } else {
            self.refuse();
        }
        self.shared.counters.set_writable(self.is_healthy() && !is_closed);
        self.shared.counters.set_waiting(self.pending.len() as u64);
        !is_closed
    }

    /// Ends what is still open, and counts what could not be written. A failing disk gets one more
    /// try.
    pub(super) fn finish(&mut self) {
        let ended = self.pending.iter().filter_map(|item| match item {
            Item::End { ticket, .. } => *ticket,
            _ => None,
        });
        let ended: HashSet<Ticket> = ended.collect();
        let mut open: Vec<_> =
            self.open.iter().filter(|(ticket, _)| !ended.contains(ticket)).collect();
        open.sort_by_key(|(ticket, _)| **ticket);
        self.pending.extend(open.into_iter().map(|(ticket, begun)| Item::End {
            ticket: Some(*ticket),
            draft: Some(Box::new(aborted(begun, "shutdown"))),
            place: None,
        }));
        for _ in 0..2 {
            if !self.is_healthy() {
                self.replace();
            }
            if self.is_healthy() {
                self.commit();
            }
        }
        let lost = self.pending.iter().filter(|item| matches!(item, Item::End { .. })).count();
        let denied = self.pending.iter().filter(|item| matches!(item, Item::Deny(_))).count();
        let counters = &self.shared.counters;
        counters.set_waiting(0);
        counters.lost(lost as u64);
        counters.denied_dropped(denied as u64);
        if lost + denied > 0 {
            tracing::error!(
                lost,
                denied,
                "The disk of the audit trail failed to the end; the records that waited for it are lost."
            );
        }
    }

    /// Writes and syncs everything pending as one group.
    fn commit(&mut self) {
        let started = Instant::now();
        let mut chain = self.chain;
        self.encode(&mut chain);
        match self.segment.commit(&self.buffer) {
            Ok(()) => {
                // Of nothing, it proves nothing.
                if chain != self.chain {
                    self.chain = chain;
                    self.shared.counters.committed(chain.seq(), started.elapsed());
                    if std::mem::take(&mut self.is_failing) {
                        let segment = self.segment.name();
                        tracing::info!(%segment, "The audit trail is written again, in a new segment.");
                    }
                }
                self.settle();
            }
            Err(error) => self.refuse_group(&error),
        }
    }

    fn encode(&mut self, chain: &mut Chain) {
        self.buffer.clear();
        self.seqs.clear();
        for (index, item) in self.pending.iter().enumerate() {
            let before = chain.seq();
            match item {
                Item::Begin { draft, .. }
                | Item::End { draft: Some(draft), .. }
                | Item::Deny(draft) => chain.append(draft, &mut self.buffer),
                Item::End { ticket: Some(ticket), draft: None, .. } => {
                    let begun = self.open.get(ticket).map(Box::as_ref);
                    let begun = begun.or_else(|| begun_in(&self.pending[..index], *ticket));
                    // Without a durable beginning there is nothing to end.
                    if let Some(begun) = begun {
                        chain.append(&aborted(begun, "abandoned"), &mut self.buffer);
                    }
                }
                Item::End { ticket: None, draft: None, .. } => {}
            }
            self.seqs.push(if chain.seq() > before { chain.seq() } else { 0 });
        }
    }

    /// Everything pending is durable: counts it, tells the waiters, frees the places.
    fn settle(&mut self) {
        let (counters, mut voice) = (&self.shared.counters, self.shared.voice.speaker());
        for (item, seq) in self.pending.drain(..).zip(self.seqs.drain(..)) {
            match item {
                Item::Begin { ticket, draft, waiter } => {
                    counters.recorded(&draft, AuditResult::Initiated);
                    voice.say(&draft, AuditResult::Initiated, seq);
                    self.open.insert(ticket, draft);
                    // Nobody may be waiting any more; the seat will end it all the same.
                    waiter.send(()).ok();
                }
                Item::End { ticket, draft, place } => {
                    let begun = ticket.and_then(|ticket| self.open.remove(&ticket));
                    match (draft, begun) {
                        (Some(draft), _) => {
                            counters.recorded(&draft, draft.result);
                            voice.say(&draft, draft.result, seq);
                        }
                        (None, Some(begun)) => {
                            counters.recorded(&begun, AuditResult::Aborted);
                            voice.say(&begun, AuditResult::Aborted, seq);
                        }
                        (None, None) => {}
                    }
                    drop(place);
                }
                Item::Deny(draft) => {
                    counters.recorded(&draft, draft.result);
                    voice.say(&draft, draft.result, seq);
                }
            }
        }
    }

    /// The segment is poisoned: nothing of this group is known durable.
    fn refuse_group(&mut self, error: &io::Error) {
        self.shared.counters.failed();
        // Before the waiters hear of it: whoever was refused finds the readiness page agreeing.
        self.shared.counters.set_writable(false);
        let segment = self.segment.name();
        if std::mem::replace(&mut self.is_failing, true) {
            tracing::debug!(%segment, %error, "The audit trail still cannot be written.");
        } else {
            tracing::error!(%segment, %error, "The audit trail cannot be written; trying on.");
        }
        self.refuse();
    }

    /// Goes on in a new segment after the last durable record, if the disk lets us.
    fn replace(&mut self) {
        match self.segment.replace(self.chain.seq().saturating_add(1)) {
            Ok(()) => {
                let segment = self.segment.name();
                tracing::debug!(%segment, "The audit trail has a new segment to try.");
            }
            Err(error) => {
                self.shared.counters.failed();
                tracing::debug!(%error, "The audit trail still cannot be written.");
            }
        }
    }

    /// Refuses beginnings and keeps ends; refusals beyond their bound are dropped.
    fn refuse(&mut self) {
        let (mut denials, before) = (0, self.pending.len());
        let mut begins = 0;
        self.pending.retain(|item| match item {
            Item::Begin { .. } => {
                begins += 1;
                false
            }
            Item::End { .. } => true,
            Item::Deny(_) => {
                denials += 1;
                denials <= DENIALS
            }
        });
        let dropped = before - begins - self.pending.len();
        self.shared.counters.denied_dropped(dropped as u64);
    }

    /// Whether the segment takes records.
    pub(super) fn is_healthy(&self) -> bool {
        self.segment.is_healthy()
    }
}

fn begun_in(pending: &[Item], wanted: Ticket) -> Option<&Draft> {
    pending.iter().find_map(|item| match item {
        Item::Begin { ticket, draft, .. } if *ticket == wanted => Some(draft.as_ref()),
        _ => None,
    })
}

fn aborted(begun: &Draft, reason: &'static str) -> Draft {
    Draft {
        timestamp: SystemTime::now(),
        stage: Stage::Completed,
        result: AuditResult::Aborted,
        reason: Some(reason),
        ..begun.clone()
    }
}

fn tell(torn_bytes: u64, closed: u64, report: &crate::audit::Report) {
    if torn_bytes > 0 {
        tracing::warn!(
            bytes = torn_bytes,
            "A torn tail of the audit trail was moved to a cut file."
        );
    }
    if closed > 0 {
        tracing::warn!(closed, "Audit records that a crash left open were closed as aborted.");
    }
    if let Some((place, flaw)) = &report.first_flaw {
        let flaws = report.flaws;
        tracing::error!(flaws, "The audit trail is damaged, first at {place}: {flaw}.");
    }
}

/// Refuses what is queued when the thread ends, whatever ended it.
struct RefuseAll(Arc<Shared>);

impl Drop for RefuseAll {
    fn drop(&mut self) {
        self.0.close();
        self.0.counters.set_writable(false);
        let mut left = Vec::new();
        self.0.take(&mut left);
        let ends = left.iter().filter(|item| matches!(item, Item::End { .. })).count();
        self.0.counters.lost(ends as u64);
    }
}
