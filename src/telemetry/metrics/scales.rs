//! The buckets of the histograms.

use super::histogram::Scale;
use crate::record::Gaps;

/// What the gaps of a stream are sorted into as it passes. In nanoseconds.
pub(super) static GAP: Scale = Scale { ticks_per_unit: 1e9, bounds: Gaps::BOUNDS };

/// The bounds of the conventions: powers of four up to 67 million.
pub(super) static TOKENS: Scale = Scale {
    ticks_per_unit: 1.0,
    bounds: &[
        1,
        1 << 2,
        1 << 4,
        1 << 6,
        1 << 8,
        1 << 10,
        1 << 12,
        1 << 14,
        1 << 16,
        1 << 18,
        1 << 20,
        1 << 22,
        1 << 24,
        1 << 26,
    ],
};

const MS: u64 = 1_000_000;
const US: u64 = 1_000;

/// The bounds of the semantic conventions, and two more for slow orchestrations. In nanoseconds.
pub(super) static LATENCY: Scale = Scale {
    ticks_per_unit: 1e9,
    bounds: &[
        5 * MS,
        10 * MS,
        25 * MS,
        50 * MS,
        75 * MS,
        100 * MS,
        250 * MS,
        500 * MS,
        750 * MS,
        1_000 * MS,
        2_500 * MS,
        5_000 * MS,
        7_500 * MS,
        10_000 * MS,
        30_000 * MS,
        60_000 * MS,
    ],
};

/// 10 µs to 100 ms: what a healthy sidecar, a local connect or an fsync takes. In nanoseconds.
pub(super) static SHORT: Scale = Scale {
    ticks_per_unit: 1e9,
    bounds: &[
        10 * US,
        25 * US,
        50 * US,
        100 * US,
        250 * US,
        500 * US,
        MS,
        2_500 * US,
        5 * MS,
        10 * MS,
        25 * MS,
        50 * MS,
        100 * MS,
    ],
};

/// The plan's own unit; kept in nanoseconds.
pub(super) static MILLISECONDS: Scale = Scale {
    ticks_per_unit: 1e6,
    bounds: &[
        5 * MS,
        10 * MS,
        25 * MS,
        50 * MS,
        100 * MS,
        250 * MS,
        500 * MS,
        1_000 * MS,
        2_500 * MS,
        5_000 * MS,
        10_000 * MS,
        30_000 * MS,
        60_000 * MS,
    ],
};

/// Powers of four from 256 B to 1 GiB.
pub(super) static SIZE: Scale = Scale {
    ticks_per_unit: 1.0,
    bounds: &[
        1 << 8,
        1 << 10,
        1 << 12,
        1 << 14,
        1 << 16,
        1 << 18,
        1 << 20,
        1 << 22,
        1 << 24,
        1 << 26,
        1 << 28,
        1 << 30,
    ],
};
