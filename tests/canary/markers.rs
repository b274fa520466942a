//! Texts that occur nowhere else, and the search for them.
//!
//! A marker is found whole, cut at either end, in any case, as hexadecimal digits, as base64 at any
//! offset, and, where it is a number in hexadecimal, as the bytes of that number.

use std::collections::HashMap;

use parking_lot::Mutex;

/// What a marker looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Letters only, as a name: what the rule for paths once let through.
    Word,
    /// Letters with `-`, `_` and `.`.
    Dotted,
    /// Eight letters and digits.
    Short,
    /// Digits only, as a record number.
    Digits,
    /// A UUID.
    Uuid,
    /// 32 hexadecimal digits.
    Hex,
    /// An address for mail.
    Mail,
    /// Base64 for URLs, as a token.
    Token,
    /// 200 letters.
    Long,
}

impl Shape {
    /// All of them.
    pub(super) const ALL: [Self; 9] = [
        Self::Word,
        Self::Dotted,
        Self::Short,
        Self::Digits,
        Self::Uuid,
        Self::Hex,
        Self::Mail,
        Self::Token,
        Self::Long,
    ];

    fn text(self) -> String {
        match self {
            Self::Word => format!("zebracanary{}", some(6, LETTERS)),
            Self::Dotted => format!("zebra-canary_{}.{}", some(5, LETTERS), some(4, LETTERS)),
            Self::Short => some(8, "bcdfghjkmnpqrstvwxz23456789"),
            Self::Digits => some(14, "123456789"),
            Self::Uuid => {
                let mut hex = some(32, HEX);
                for dash in [20, 16, 12, 8] {
                    hex.insert(dash, '-');
                }
                hex
            }
            Self::Hex => some(32, HEX),
            Self::Mail => format!("zc.{}@canary.example", some(6, LETTERS)),
            Self::Token => {
                some(43, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
            }
            Self::Long => some(200, LETTERS),
        }
    }
}

const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz";
const HEX: &str = "0123456789abcdef";
/// Bytes of a piece that is looked for first.
const KEY: usize = 8;
/// Bytes of a marker that are enough to know it.
const ENOUGH: usize = 16;

fn some(length: usize, of: &str) -> String {
    let letters = of.as_bytes();
    (0..length).map(|_| char::from(letters[fastrand::usize(..letters.len())])).collect()
}

/// Everything that was minted in a run.
#[derive(Debug, Default)]
pub(super) struct Markers(Mutex<Vec<Marker>>);

#[derive(Clone, Debug)]
struct Marker {
    /// Where it was put.
    place: String,
    text: String,
}

impl Markers {
    /// A new marker for this place.
    pub(super) fn mint(&self, place: &str, shape: Shape) -> String {
        let text = shape.text();
        self.0.lock().push(Marker { place: place.to_owned(), text: text.clone() });
        text
    }

    /// Looks for this text too, which was not made here: a signature, say.
    pub(super) fn note(&self, place: &str, text: &str) {
        self.0.lock().push(Marker { place: place.to_owned(), text: text.to_owned() });
    }

    /// A new one for a place where no `@` can stand: a host, a method, the name of a field.
    pub(super) fn token(&self, place: &str, shape: Shape) -> String {
        self.mint(place, if shape == Shape::Mail { Shape::Dotted } else { shape })
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.lock().len()
    }

    /// Whether there is one of this place.
    pub(super) fn has(&self, place: &str) -> bool {
        self.0.lock().iter().any(|marker| marker.place == place)
    }

    /// Whether this text was minted for this place.
    pub(super) fn is_minted(&self, place: &str, text: &str) -> bool {
        let is_it =
            |marker: &Marker| marker.place == place && marker.text.eq_ignore_ascii_case(text);
        self.0.lock().iter().any(is_it)
    }

    /// Every marker in any of these, one line each: which, where it was put, where it came out.
    pub(super) fn leaks(&self, stacks: &[Haystack]) -> Vec<String> {
        let search = Search::new(&self.0.lock());
        stacks.iter().flat_map(|stack| search.run(stack)).collect()
    }
}

/// All that one sink got.
#[derive(Clone, Debug)]
pub(super) struct Haystack {
    /// The sink.
    pub(super) name: String,
    /// Its bytes.
    pub(super) bytes: Vec<u8>,
}

impl Haystack {
    /// What a sink of this name got.
    pub(super) fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), bytes: bytes.into() }
    }
}

/// The pieces that give a marker away, by their first bytes.
struct Search {
    pieces: HashMap<[u8; KEY], Vec<(Vec<u8>, Marker)>>,
}

impl Search {
    fn new(markers: &[Marker]) -> Self {
        let mut pieces: HashMap<_, Vec<_>> = HashMap::new();
        for marker in markers {
            for piece in traces(&marker.text) {
                let piece = piece.to_ascii_lowercase();
                let key = *piece.first_chunk::<KEY>().expect("a piece of some length");
                pieces.entry(key).or_default().push((piece, marker.clone()));
            }
        }
        Self { pieces }
    }

    fn run(&self, stack: &Haystack) -> Vec<String> {
        let bytes = stack.bytes.to_ascii_lowercase();
        let mut leaks = Vec::new();
        for (at, window) in bytes.windows(KEY).enumerate() {
            let Ok(key) = <&[u8; KEY]>::try_from(window) else { continue };
            for (piece, marker) in self.pieces.get(key).into_iter().flatten() {
                if bytes[at..].starts_with(piece) {
                    let around = &stack.bytes[at.saturating_sub(60)..(at + 60).min(bytes.len())];
                    let Marker { place, text } = marker;
                    leaks.push(format!(
                        "{}: {text} of {place}: …{}…",
                        stack.name,
                        String::from_utf8_lossy(around).escape_debug()
                    ));
                }
            }
        }
        leaks
    }
}

/// In what forms a text would be found.
fn traces(text: &str) -> Vec<Vec<u8>> {
    let bytes = text.as_bytes();
    let cut = bytes.len().min(ENOUGH);
    let mut traces = vec![bytes[..cut].to_vec(), bytes[bytes.len() - cut..].to_vec()];
    traces.push(hex(&bytes[..cut]).into_bytes());
    for offset in 0..3 {
        traces.push(base64_at(offset, bytes));
    }
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    if digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("two digits");
        traces.push((0..16).map(|index| byte(2 * index)).collect());
    }
    traces
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

/// What of a text's base64 is the same whatever stands before and after it, the text beginning at
/// this offset of a group of three bytes.
fn base64_at(offset: usize, text: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let padded = [&vec![0; offset][..], text].concat();
    let mut out = Vec::new();
    for group in padded.chunks_exact(3) {
        let bits = u32::from(group[0]) << 16 | u32::from(group[1]) << 8 | u32::from(group[2]);
        out.extend([18, 12, 6, 0].map(|shift| DIGITS[(bits >> shift) as usize & 63]));
    }
    let start = [0, 2, 3][offset];
    out[start..out.len().min(start + ENOUGH)].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(markers: &Markers, bytes: impl Into<Vec<u8>>) -> usize {
        markers.leaks(&[Haystack::new("x", bytes)]).len()
    }

    #[test]
    fn a_marker_is_found_in_every_form_it_could_leak_in() {
        for shape in Shape::ALL {
            let markers = Markers::default();
            let text = markers.mint("somewhere", shape);
            for form in [
                format!("a{text}b"),
                text.to_uppercase(),
                text[..text.len().min(ENOUGH)].to_owned(),
                text[text.len() - text.len().min(ENOUGH)..].to_owned(),
                hex(text.as_bytes()).to_uppercase(),
            ] {
                assert!(found(&markers, form.as_str()) > 0, "{form}");
                assert_eq!(found(&Markers::default(), form), 0);
            }
        }
    }

    #[test]
    fn a_marker_is_found_in_base64_and_a_number_in_its_bytes() {
        let markers = Markers::default();
        markers.0.lock().push(Marker { place: "x".into(), text: "zebracanaryabcdef".into() });
        // `printf '%szebracanaryabcdef!' '' a ab | base64`
        for form in [
            "emVicmFjYW5hcnlhYmNkZWYh",
            "YXplYnJhY2FuYXJ5YWJjZGVmIQ==",
            "YWJ6ZWJyYWNhbmFyeWFiY2RlZiE=",
        ] {
            assert!(found(&markers, form) > 0, "{form}");
        }
        let markers = Markers::default();
        let text = markers.mint("x", Shape::Uuid);
        let number = uuid::Uuid::parse_str(&text).expect("a UUID");
        assert_eq!(found(&markers, number.as_bytes().to_vec()), 1);
    }

    #[test]
    fn what_was_never_minted_is_not_found() {
        let markers = Markers::default();
        for shape in Shape::ALL {
            markers.mint("x", shape);
        }
        assert_eq!(found(&markers, "zebra canary 12345678901234 deadbeef".repeat(100)), 0);
    }
}
