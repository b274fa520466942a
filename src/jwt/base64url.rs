//! Base64url without padding (RFC 4648 §5), as tokens and keys are written.
//!
//! There is one way to write each text: what is left over in the last digit must be zero, so nobody
//! can write one token in two ways.

/// Decodes; `None` for everything that an encoder would not have written.
pub(super) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for group in text.chunks(4) {
        let mut bits = 0_u32;
        for byte in group {
            bits = bits << 6 | u32::from(digit(*byte)?);
        }
        let (bytes, rest) = match group.len() {
            4 => (3, 0),
            3 => (2, bits & 0b11),
            2 => (1, bits & 0b1111),
            _ => return None,
        };
        if rest != 0 {
            return None;
        }
        bits <<= 6 * (4 - group.len());
        let [_, all @ ..] = bits.to_be_bytes();
        out.extend_from_slice(&all[..bytes]);
    }
    Some(out)
}

/// Encodes, without padding.
pub(super) fn encode(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::with_capacity(bytes.len() / 3 * 4 + 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| group.get(at).copied().map_or(0, usize::from);
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        let digits = [18, 12, 6, 0].map(|shift| char::from(DIGITS[bits >> shift & 63]));
        text.extend(digits.into_iter().take(group.len() + 1));
    }
    text
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        for (text, bytes) in [("", &b""[..]), ("Zg", b"f"), ("Zm8", b"fo"), ("Zm9v", b"foo")] {
            assert_eq!(decode(text.as_bytes()).as_deref(), Some(bytes));
            assert_eq!(encode(bytes), text);
        }
        assert_eq!(decode(b"-_8").as_deref(), Some(&[0xfb, 0xff][..]));
    }

    #[test]
    fn what_no_encoder_writes_is_refused() {
        for odd in ["Z", "Zg==", "Zh", "Zm9", "Zm+v", "Zm/v", "Z g", "Zm9vY", "Zg\n"] {
            assert_eq!(decode(odd.as_bytes()), None, "{odd:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(decode(encode(&bytes).as_bytes()), Some(bytes));
        }

        #[test]
        fn no_two_texts_mean_the_same(left in "[A-Za-z0-9_-]{0,9}", right in "[A-Za-z0-9_-]{0,9}") {
            if let (Some(one), Some(other)) = (decode(left.as_bytes()), decode(right.as_bytes())) {
                prop_assert_eq!(one == other, left == right);
            }
        }
    }
}
