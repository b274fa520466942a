//! B3, the propagation of Zipkin: one header (`b3`) or several (`X-B3-*`).
//!
//! Ids are lower-case hex as B3 writes them; a trace id of 64 bits is one of 128 whose first half is
//! zero, and is written with all of its digits. A decision may come without ids. What is malformed is
//! as good as absent.
//!
//! It decides nothing, and knows no header map.

use super::traceparent::{SpanId, TraceId, read_hex, write_hex};

/// The one header.
pub const SINGLE: &str = "b3";
/// The trace.
pub const TRACE_ID: &str = "x-b3-traceid";
/// The caller's span.
pub const SPAN_ID: &str = "x-b3-spanid";
/// `1` or `0`; older senders say `true` or `false`.
pub const SAMPLED: &str = "x-b3-sampled";
/// `1` means debug.
pub const FLAGS: &str = "x-b3-flags";

/// Whether a lower-case field name is one of B3's: the one, or any that begins with `x-b3-`. An
/// underscore counts as a dash: CGI-like servers take both for the same.
pub fn is_field(name: &str) -> bool {
    name == SINGLE || matches!(name.as_bytes(), [b'x', b'-' | b'_', b'b', b'3', b'-' | b'_', ..])
}

/// What B3 headers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct B3 {
    /// The trace and the caller's span, where they are named.
    pub context: Option<(TraceId, SpanId)>,
    /// The decision; `None` leaves it to the receiver.
    pub decision: Option<Decision>,
}

/// A decision on sampling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Not sampled.
    Deny,
    /// Sampled.
    Accept,
    /// Sampled, and to be kept whatever a sampler says.
    Debug,
}

impl Decision {
    /// Whether the trace is sampled.
    pub fn is_sampled(self) -> bool {
        self != Self::Deny
    }

    /// The digit in the one header.
    pub fn digit(self) -> u8 {
        match self {
            Self::Deny => b'0',
            Self::Accept => b'1',
            Self::Debug => b'd',
        }
    }

    fn of_digit(text: &[u8]) -> Option<Self> {
        [Self::Deny, Self::Accept, Self::Debug].into_iter().find(|it| text == [it.digit()])
    }
}

impl B3 {
    /// Reads the one header: `0`, `1`, `d`, or `trace-span`, `trace-span-decision`,
    /// `trace-span-decision-parent`.
    pub fn single(value: &[u8]) -> Option<Self> {
        if let Some(decision) = Decision::of_digit(value) {
            return Some(Self { context: None, decision: Some(decision) });
        }
        let mut parts = value.split(|byte| *byte == b'-');
        let context = context(parts.next()?, parts.next()?)?;
        let decision = match parts.next() {
            Some(digit) => Some(Decision::of_digit(digit)?),
            None => None,
        };
        if let Some(parent) = parts.next() {
            read_hex::<8>(parent)?;
        }
        parts.next().is_none().then_some(Self { context: Some(context), decision })
    }

    /// Reads the several headers, each by its value where it is there.
    pub fn multi(
        trace_id: Option<&[u8]>,
        span_id: Option<&[u8]>,
        sampled: Option<&[u8]>,
        flags: Option<&[u8]>,
    ) -> Option<Self> {
        let context = match (trace_id, span_id) {
            (Some(trace_id), Some(span_id)) => Some(context(trace_id, span_id)?),
            (None, None) => None,
            _ => return None,
        };
        let decision = match (flags, sampled) {
            (Some(b"1"), _) => Some(Decision::Debug),
            (_, Some(b"1" | b"true")) => Some(Decision::Accept),
            (_, Some(b"0" | b"false")) => Some(Decision::Deny),
            (_, Some(_)) => return None,
            (_, None) => None,
        };
        (context.is_some() || decision.is_some()).then_some(Self { context, decision })
    }

    /// The one header's value, with all three parts.
    pub fn write(trace_id: TraceId, span_id: SpanId, decision: Decision) -> [u8; 51] {
        let mut out = [b'-'; 51];
        write_hex(&trace_id.0, &mut out[..32]);
        write_hex(&span_id.0, &mut out[33..49]);
        out[50] = decision.digit();
        out
    }
}

fn context(trace_id: &[u8], span_id: &[u8]) -> Option<(TraceId, SpanId)> {
    let trace_id = match trace_id.len() {
        16 => {
            let mut whole = [0; 16];
            whole[8..].copy_from_slice(&read_hex::<8>(trace_id)?);
            whole
        }
        _ => read_hex(trace_id)?,
    };
    let span_id = read_hex(span_id)?;
    (trace_id != [0; 16] && span_id != [0; 8]).then_some((TraceId(trace_id), SpanId(span_id)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRACE: &str = "80f198ee56343ba864fe8b2a57d3eff7";
    const SPAN: &str = "e457b5a2e4d86bd1";

    #[test]
    fn the_one_header_is_read_in_all_its_forms() {
        let read = |text: &str| B3::single(text.as_bytes());
        let ids =
            |text: &str| read(text).unwrap().context.map(|(trace, span)| (trace.hex(), span.hex()));
        let whole = (TRACE.as_bytes().try_into().unwrap(), SPAN.as_bytes().try_into().unwrap());
        for (tail, decision) in [
            ("", None),
            ("-0", Some(Decision::Deny)),
            ("-1", Some(Decision::Accept)),
            ("-d", Some(Decision::Debug)),
            ("-1-05e3ac9a4f6e3b90", Some(Decision::Accept)),
        ] {
            let text = format!("{TRACE}-{SPAN}{tail}");
            assert_eq!(
                (ids(&text), read(&text).unwrap().decision),
                (Some(whole), decision),
                "{text}"
            );
        }
        let short = ids(&format!("{SPAN}-{SPAN}")).unwrap().0;
        assert_eq!(short, *b"0000000000000000e457b5a2e4d86bd1");
        let deny = B3 { context: None, decision: Some(Decision::Deny) };
        assert_eq!(read("0"), Some(deny));
    }

    #[test]
    fn malformed_headers_are_as_good_as_none() {
        let zeros = "0".repeat(32);
        for bad in [
            String::new(),
            "2".to_owned(),
            "true".to_owned(),
            TRACE.to_owned(),
            format!("{TRACE}-"),
            format!("{TRACE}-{SPAN}-"),
            format!("{TRACE}-{SPAN}-2"),
            format!("{TRACE}-{SPAN}-1-05e3"),
            format!("{TRACE}-{SPAN}-1-{SPAN}-1"),
            format!("{}-{SPAN}", TRACE.to_uppercase()),
            format!("{}-{SPAN}", &TRACE[..31]),
            format!("{zeros}-{SPAN}-1"),
            format!("{TRACE}-{}-1", &zeros[..16]),
        ] {
            assert_eq!(B3::single(bad.as_bytes()), None, "{bad}");
        }
        let (trace, span) = (Some(TRACE.as_bytes()), Some(SPAN.as_bytes()));
        assert_eq!(B3::multi(trace, None, Some(b"1"), None), None);
        assert_eq!(B3::multi(None, span, None, None), None);
        assert_eq!(B3::multi(trace, span, Some(b"yes"), None), None);
        assert_eq!(B3::multi(None, None, None, Some(b"0")), None);
    }

    #[test]
    fn the_fields_are_known_in_every_spelling() {
        for field in [SINGLE, TRACE_ID, FLAGS, "x-b3-parentspanid", "x_b3_traceid", "x-b3_sampled"]
        {
            assert!(is_field(field), "{field}");
        }
        for other in ["b", "b3x", "x-b3", "x-b33-traceid", "xx-b3-flags", "x-request-id"] {
            assert!(!is_field(other), "{other}");
        }
    }

    #[test]
    fn the_several_headers_are_read_together() {
        let (trace, span) = (Some(TRACE.as_bytes()), Some(SPAN.as_bytes()));
        let decision = |sampled: Option<&'static str>, flags: Option<&'static str>| {
            let (sampled, flags) = (sampled.map(str::as_bytes), flags.map(str::as_bytes));
            B3::multi(trace, span, sampled, flags).unwrap().decision
        };
        assert_eq!(decision(None, None), None);
        assert_eq!(decision(Some("1"), None), Some(Decision::Accept));
        assert_eq!(decision(Some("false"), Some("0")), Some(Decision::Deny));
        assert_eq!(decision(None, Some("1")), Some(Decision::Debug));
        let alone = B3 { context: None, decision: Some(Decision::Deny) };
        assert_eq!(B3::multi(None, None, Some(b"0"), None), Some(alone));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_the_same(trace in any::<[u8; 16]>(), span in any::<[u8; 8]>()) {
            prop_assume!(trace != [0; 16] && span != [0; 8]);
            for decision in [Decision::Deny, Decision::Accept, Decision::Debug] {
                let context = (TraceId(trace), SpanId(span));
                let read = B3::single(&B3::write(context.0, context.1, decision));
                prop_assert_eq!(read, Some(B3 { context: Some(context), decision: Some(decision) }));
            }
        }

        #[test]
        fn any_bytes_are_read_without_panic(text in "[0-9a-fd-]{0,80}", bytes: Vec<u8>) {
            B3::single(text.as_bytes());
            B3::single(&bytes);
        }
    }
}
