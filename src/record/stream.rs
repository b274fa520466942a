//! What is known of a streamed answer: what it was made of, and how steadily it came.
//!
//! Adding a gap costs a search among fourteen numbers and three additions; nothing is allocated.

use std::time::Duration;

/// What is known of a streamed answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    /// What it is made of.
    pub kind: StreamKind,
    /// Messages passed on: events, lines, records, gRPC messages. 0 where they cannot be counted.
    pub events: u64,
    /// From the complete request head to the first message, or where messages cannot be counted to
    /// the first byte of the body.
    pub first_event: Option<Duration>,
    /// The times between one message and the next, or where messages cannot be counted between one
    /// chunk and the next. What comes in one chunk comes at once: it leaves no gap.
    pub gaps: Gaps,
    /// Whether an event of type `error` was among the upstream's events.
    pub has_error_event: bool,
}

impl Stream {
    /// A stream of this kind that has not begun.
    pub fn of(kind: StreamKind) -> Self {
        Self { kind, ..Self::default() }
    }
}

/// What a stream is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StreamKind {
    /// `text/event-stream`.
    Events,
    /// gRPC and gRPC-Web in their binary form.
    Grpc,
    /// Newline-delimited JSON.
    Lines,
    /// A JSON text sequence (RFC 7464).
    Records,
    /// A tunnel, or a stream whose coding hides its messages.
    #[default]
    Opaque,
}

impl StreamKind {
    /// Its name on a span.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Events => "event_stream",
            Self::Grpc => "grpc",
            Self::Lines => "ndjson",
            Self::Records => "json_seq",
            Self::Opaque => "opaque",
        }
    }

    /// Whether its messages are counted: none is not the same as unknown.
    pub fn is_counted(self) -> bool {
        self != Self::Opaque
    }
}

/// The gaps of one stream, sorted into buckets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gaps {
    counts: [u32; Self::BOUNDS.len() + 1],
    sum: Duration,
    longest: Duration,
}

impl Gaps {
    /// Inclusive upper bounds of the buckets, in nanoseconds: 10 ms, doubled up to 81.92 s. The
    /// bucket above them is implied. (The bounds that the OpenTelemetry conventions give for the time
    /// per output chunk.)
    pub const BOUNDS: &'static [u64] = &[
        10_000_000,
        20_000_000,
        40_000_000,
        80_000_000,
        160_000_000,
        320_000_000,
        640_000_000,
        1_280_000_000,
        2_560_000_000,
        5_120_000_000,
        10_240_000_000,
        20_480_000_000,
        40_960_000_000,
        81_920_000_000,
    ];

    /// Adds a gap.
    pub fn add(&mut self, gap: Duration) {
        let nanos = u64::try_from(gap.as_nanos()).unwrap_or(u64::MAX);
        let bucket = Self::BOUNDS.partition_point(|bound| *bound < nanos);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count = count.saturating_add(1);
        }
        self.sum = self.sum.saturating_add(gap);
        self.longest = self.longest.max(gap);
    }

    /// How many gaps there are per bucket.
    pub fn counts(&self) -> &[u32] {
        &self.counts
    }

    /// How many gaps there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().copied().map(u64::from).sum()
    }

    /// All gaps together.
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// The longest; `None` without any.
    pub fn longest(&self) -> Option<Duration> {
        (self.count() > 0).then_some(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_fall_into_the_bucket_whose_bound_holds_them() {
        let mut gaps = Gaps::default();
        assert_eq!((gaps.count(), gaps.longest()), (0, None));
        for millis in [0, 10, 11, 20, 81_920, 81_921] {
            gaps.add(Duration::from_millis(millis));
        }
        assert_eq!((gaps.counts()[0], gaps.counts()[1]), (2, 2));
        assert_eq!((gaps.counts()[13], gaps.counts()[14]), (1, 1));
        assert_eq!(gaps.count(), 6);
        assert_eq!(gaps.sum(), Duration::from_millis(163_882));
        assert_eq!(gaps.longest(), Some(Duration::from_millis(81_921)));
    }

    #[test]
    fn the_bounds_double() {
        assert!(Gaps::BOUNDS.windows(2).all(|pair| pair[1] == 2 * pair[0]));
    }
}
