//! W3C Trace Context: `traceparent` and `tracestate` (Recommendation, level 1 with level 2 leniency).
//!
//! Parsing accepts every version but `ff`, as §3.2.4 asks, and refuses zero ids and upper case.
//! `tracestate` is checked for its bounds and passed on unread.

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
}

impl TraceParent {
    /// The length of a version 00 header.
    pub const LEN: usize = 55;

    /// Parses a header value (§3.2). `None` means: start a new trace.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let [version, flags] = [read_hex(value.get(..2)?)?, read_hex(value.get(53..55)?)?];
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
            sampled: flags[0] & 1 == 1,
        })
    }

    /// The header value, version 00.
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut out = *b"00-00000000000000000000000000000000-0000000000000000-00";
        write_hex(&self.trace_id.0, &mut out[3..35]);
        write_hex(&self.span_id.0, &mut out[36..52]);
        out[54] = b'0' + u8::from(self.sampled);
        out
    }
}

/// A `tracestate` list within its bounds, unread (§3.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceState(Box<str>);

impl TraceState {
    /// Joins the header's lines. `None` where it is empty, over 512 bytes or over 32 members, or not
    /// printable ASCII: then it is dropped, as §3.3.1.1 allows.
    pub fn parse<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let mut joined = String::new();
        for line in lines {
            let line = std::str::from_utf8(line).ok()?;
            let printable = line.bytes().all(|b| matches!(b, b' '..=b'~' | b'\t'));
            if !printable || joined.len() + line.len() > 512 {
                return None;
            }
            if !joined.is_empty() {
                joined.push(',');
            }
            joined.push_str(line.trim());
        }
        let members = joined.split(',').filter(|m| !m.trim().is_empty()).count();
        (1..=32).contains(&members).then(|| Self(joined.into_boxed_str()))
    }

    /// The list as one header value.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A random number that is not zero. A range would cost a division.
fn random() -> u64 {
    fastrand::u64(..).max(1)
}

fn write_hex(bytes: &[u8], out: &mut [u8]) {
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

fn read_hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
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
        assert!(parsed.sampled);
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
            b"00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(TraceParent::parse(bad), None, "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn later_versions_are_read_as_far_as_known() {
        let later = b"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what";
        assert!(TraceParent::parse(later).is_some());
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(parsed) = TraceParent::parse(&bytes) {
                prop_assert_eq!(TraceParent::parse(&parsed.encode()).map(|p| p.trace_id), Some(parsed.trace_id));
            }
        }
    }
}
