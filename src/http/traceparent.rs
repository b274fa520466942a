//! W3C Trace Context: `traceparent`, and the ids in it (level 1, and the random flag of level 2).
//!
//! Parsing accepts every version but `ff`, later ones as far as they are known (§3.2.4), and refuses
//! zero ids, upper case and anything behind a version 00. What is written is version 00, with no flag
//! but those we know.
//!
//! It decides nothing; [`super::tracestate`] is its companion.

/// A trace id: 16 bytes, not all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceId(pub [u8; 16]);

/// A span id: 8 bytes, not all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpanId(pub [u8; 8]);

impl TraceId {
    /// Makes a random id.
    pub fn generate() -> Self {
        Self((u128::from(fastrand::u64(..)) << 64 | u128::from(random())).to_be_bytes())
    }

    /// Reads an id of 32 lower case digits; one of zeros only is none.
    pub fn parse(text: &[u8]) -> Option<Self> {
        read_hex(text).filter(|id| *id != [0; 16]).map(Self)
    }

    /// Whether a head ratio keeps this trace: the rule of OpenTelemetry's `TraceIdRatioBased`, so
    /// that services with the same ratio agree. `threshold` is `ratio * 2^63`.
    pub fn is_below(self, threshold: u64) -> bool {
        let low = u128::from_be_bytes(self.0) & u128::from(u64::MAX);
        low >> 1 < u128::from(threshold)
    }

    /// The id in lower-case hex.
    pub fn hex(self) -> [u8; 32] {
        let mut out = [0; 32];
        write_hex(&self.0, &mut out);
        out
    }
}

impl SpanId {
    /// Makes a random id.
    pub fn generate() -> Self {
        Self(random().to_be_bytes())
    }

    /// The id in lower-case hex.
    pub fn hex(self) -> [u8; 16] {
        let mut out = [0; 16];
        write_hex(&self.0, &mut out);
        out
    }
}

/// A parsed `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace.
    pub trace_id: TraceId,
    /// The caller's span.
    pub span_id: SpanId,
    /// The caller's decision.
    pub sampled: bool,
    /// Whether the last seven bytes of the trace id are known to be random (level 2). It goes with
    /// the id: whoever continues the trace says the same.
    pub is_random: bool,
}

impl TraceParent {
    /// The length of a version 00 header.
    pub const LEN: usize = 55;
    const SAMPLED: u8 = 1;
    const RANDOM: u8 = 2;

    /// Parses a header value (§3.2). `None` means: start a new trace.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let [version, [flags]] = [read_hex(value.get(..2)?)?, read_hex(value.get(53..55)?)?];
        let dashes = [2, 35, 52].iter().all(|at| value[*at] == b'-');
        let whole = match version {
            [0xff] => false,
            [0x00] => value.len() == Self::LEN,
            _ => value.len() == Self::LEN || value.get(Self::LEN) == Some(&b'-'),
        };
        let (trace_id, span_id) = (read_hex(&value[3..35])?, read_hex(&value[36..52])?);
        let valid = dashes && whole && trace_id != [0; 16] && span_id != [0; 8];
        valid.then_some(Self {
            trace_id: TraceId(trace_id),
            span_id: SpanId(span_id),
            sampled: flags & Self::SAMPLED != 0,
            // Of a later version only the sampled bit is known to mean what it means here.
            is_random: version == [0] && flags & Self::RANDOM != 0,
        })
    }

    /// The header value, version 00. Flags we do not know are zero (§3.2.2.5).
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut out = *b"00-00000000000000000000000000000000-0000000000000000-00";
        write_hex(&self.trace_id.0, &mut out[3..35]);
        write_hex(&self.span_id.0, &mut out[36..52]);
        let flags = u8::from(self.sampled) | u8::from(self.is_random) << 1;
        out[54] = b'0' + flags;
        out
    }
}

/// A random number that is not zero. A range would cost a division.
fn random() -> u64 {
    fastrand::u64(..).max(1)
}

pub(super) fn write_hex(bytes: &[u8], out: &mut [u8]) {
    for (byte, pair) in bytes.iter().zip(out.as_chunks_mut::<2>().0) {
        *pair = PAIRS[usize::from(*byte)];
    }
}

/// The two digits of every byte: ids are written several times per request.
const PAIRS: [[u8; 2]; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [DIGITS[byte >> 4], DIGITS[byte & 15]];
        byte += 1;
    }
    pairs
};

/// Reads lower-case hex of exactly this length.
pub(super) fn read_hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let mut out = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EXAMPLE: &[u8] = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn the_example_of_the_recommendation_round_trips() {
        let parsed = TraceParent::parse(EXAMPLE).unwrap();
        assert!(parsed.sampled && !parsed.is_random);
        assert_eq!(parsed.encode(), EXAMPLE);
    }

    #[test]
    fn malformed_headers_start_a_new_trace() {
        for bad in [
            &b""[..],
            b"00",
            b"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            b"00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            b"00-00000000000000000000000000000000-b7ad6b7169203331-01",
            b"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            b"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.x",
            b"00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(TraceParent::parse(bad), None, "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn of_the_flags_those_that_are_known_go_on() {
        for (sent, kept) in [("00", "00"), ("02", "02"), ("03", "03"), ("fc", "00"), ("ff", "03")] {
            let mut header = EXAMPLE.to_vec();
            header[53..].copy_from_slice(sent.as_bytes());
            let written = TraceParent::parse(&header).unwrap().encode();
            assert_eq!(&written[53..], kept.as_bytes(), "{sent}");
        }
    }

    #[test]
    fn later_versions_are_read_as_far_as_known() {
        let later = b"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03-what";
        let parsed = TraceParent::parse(later).unwrap();
        assert!(parsed.sampled && !parsed.is_random);
        assert_eq!(parsed.encode(), EXAMPLE);
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(parsed) = TraceParent::parse(&bytes) {
                prop_assert_eq!(TraceParent::parse(&parsed.encode()).map(|p| p.trace_id), Some(parsed.trace_id));
            }
        }

        #[test]
        fn what_is_written_is_read_the_same(
            trace in any::<[u8; 16]>(), span in any::<[u8; 8]>(), sampled: bool, is_random: bool,
        ) {
            prop_assume!(trace != [0; 16] && span != [0; 8]);
            let (trace_id, span_id) = (TraceId(trace), SpanId(span));
            let parent = TraceParent { trace_id, span_id, sampled, is_random };
            prop_assert_eq!(TraceParent::parse(&parent.encode()), Some(parent));
        }
    }
}
