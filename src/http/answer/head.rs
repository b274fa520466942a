//! The head of an answer of HTTP/1: parsed, judged, and understood in one pass.
//!
//! Values are parts of the bytes that were read; nothing is copied. Whoever asks has looked at the lines
//! ([`super::scan`]), so the bytes are one head and nothing else.
//!
//! It does not say how long the body is: that depends on what was asked, too.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};
use httparse::Header;

use super::{Claims, Framing, Malformed};

/// More fields than this in a head, or in trailers, are too many.
pub const MAX_FIELDS: usize = 100;

/// A head.
#[derive(Debug)]
pub struct Head {
    /// HTTP/1.0 or HTTP/1.1.
    pub version: Version,
    /// 100 to 599.
    pub status: StatusCode,
    /// What stands behind the status, where that is not what the standard says of it.
    pub reason: Option<Bytes>,
    /// Its fields, in their order.
    pub headers: HeaderMap,
    /// What it says of the message's end.
    pub framing: Framing,
    /// Whether its connection stays open behind the message (RFC 9112 §9.3).
    pub keeps_alive: bool,
}

/// Whether bytes can be the beginning of a head.
pub fn is_begun(bytes: &[u8]) -> bool {
    let protocol = b"HTTP/1.";
    bytes.starts_with(protocol) || protocol.starts_with(bytes)
}

/// Parses a complete head. Its fields are put into `headers`, which are empty: a map that has been used
/// has its room already.
pub fn parse(bytes: &Bytes, mut headers: HeaderMap) -> Result<Head, Malformed> {
    let mut room = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    match config.parse_response_with_uninit_headers(&mut parsed, bytes, &mut room) {
        Ok(httparse::Status::Complete(length)) if length == bytes.len() => {}
        Err(httparse::Error::TooManyHeaders) => return Err(Malformed::TooManyFields),
        // An empty line before the status line is skipped by the parser, and ended the head before it.
        _ => return Err(Malformed::Line),
    }
    let version = if parsed.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 };
    let code = parsed.code.ok_or(Malformed::Line)?;
    let status = StatusCode::from_u16(code).map_err(|_| Malformed::Status)?;
    let reason = parsed.reason.filter(|reason| status.canonical_reason() != Some(reason));

    let mut claims = Claims::default();
    let (mut closes, mut stays) = (false, false);
    headers.reserve(parsed.headers.len());
    for Header { name, value } in &*parsed.headers {
        let field = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Malformed::Line)?;
        // As patterns the names are one comparison, which few fields pass.
        if matches!(field, CONTENT_LENGTH | TRANSFER_ENCODING | CONNECTION) {
            if field == CONNECTION {
                closes |= names(value, b"close");
                stays |= names(value, b"keep-alive");
            } else {
                claims.note(&field, value)?;
            }
        }
        headers.append(field, part(bytes, value)?);
    }
    Ok(Head {
        framing: claims.conclude(version, status)?,
        keeps_alive: !closes && (stays || version == Version::HTTP_11),
        reason: reason
            .filter(|reason| !reason.is_empty())
            .map(|text| bytes.slice_ref(text.as_bytes())),
        version,
        status,
        headers,
    })
}

/// Parses complete trailers, the empty line behind them included.
pub fn parse_trailers(bytes: &Bytes) -> Result<HeaderMap, Malformed> {
    let mut room = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let fields = match httparse::parse_headers(bytes, &mut room) {
        Ok(httparse::Status::Complete((length, fields))) if length == bytes.len() => fields,
        Err(httparse::Error::TooManyHeaders) => return Err(Malformed::TooManyFields),
        _ => return Err(Malformed::Line),
    };
    let mut trailers = HeaderMap::with_capacity(fields.len());
    for Header { name, value } in fields {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Malformed::Line)?;
        trailers.append(name, part(bytes, value)?);
    }
    Ok(trailers)
}

/// A value as a part of what was read.
fn part(bytes: &Bytes, value: &[u8]) -> Result<HeaderValue, Malformed> {
    HeaderValue::from_maybe_shared(bytes.slice_ref(value)).map_err(|_| Malformed::Line)
}

/// Whether a list of connection options has this one.
fn names(list: &[u8], option: &[u8]) -> bool {
    list.split(|byte| *byte == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(option))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Head, Malformed> {
        parse(&Bytes::from(text.replace('|', "\r\n") + "\r\n\r\n"), HeaderMap::new())
    }

    #[test]
    fn a_head_is_what_it_says() {
        let head = parsed("HTTP/1.1 200 OK|A: b|a: \t c \t|content-length: 7").unwrap();
        assert_eq!((head.version, head.status), (Version::HTTP_11, StatusCode::OK));
        assert_eq!((head.framing, head.keeps_alive), (Framing::Sized(7), true));
        assert_eq!(head.reason, None);
        assert_eq!(head.headers.get_all("a").iter().collect::<Vec<_>>(), ["b", "c"]);

        let head = parsed("HTTP/1.0 404 |transfer-encoding:").unwrap_err();
        assert_eq!(head, Malformed::Coding);
    }

    #[test]
    fn a_reason_is_kept_where_it_says_more_than_the_status() {
        for (line, expected) in [
            ("HTTP/1.1 404 Not Found", None),
            ("HTTP/1.1 404", None),
            ("HTTP/1.1 404 ", None),
            ("HTTP/1.1 404 No Such Patient", Some("No Such Patient")),
            ("HTTP/1.1 299 Odd", Some("Odd")),
        ] {
            let reason = parsed(line).unwrap().reason;
            assert_eq!(reason.as_deref(), expected.map(str::as_bytes), "{line}");
        }
    }

    #[test]
    fn a_connection_stays_as_its_version_and_its_options_say() {
        for (head, expected) in [
            ("HTTP/1.1 200 OK", true),
            ("HTTP/1.0 200 OK", false),
            ("HTTP/1.0 200 OK|connection: Keep-Alive", true),
            ("HTTP/1.0 200 OK|connection: keep-alive, close", false),
            ("HTTP/1.1 200 OK|connection: close", false),
            ("HTTP/1.1 200 OK|connection: x-a , CLOSE\t", false),
            ("HTTP/1.1 200 OK|connection: x-a|connection: close", false),
            ("HTTP/1.1 200 OK|connection: closer, x-close", true),
        ] {
            assert_eq!(parsed(head).unwrap().keeps_alive, expected, "{head}");
        }
    }

    #[test]
    fn fields_have_room_up_to_the_bound() {
        let fields = |count: usize| format!("HTTP/1.1 200 OK{}", "|x: y".repeat(count));
        assert_eq!(parsed(&fields(MAX_FIELDS)).unwrap().headers.len(), MAX_FIELDS);
        assert_eq!(parsed(&fields(MAX_FIELDS + 1)).unwrap_err(), Malformed::TooManyFields);
    }

    #[test]
    fn what_is_no_head_is_not_read_as_one() {
        for text in
            ["", "HTTP/1.1", "HTTP/2 200 OK", "HTTP/1.1 20 x", "HTTP/1.1 200 OK|a b", "a: b"]
        {
            assert_eq!(parsed(text).unwrap_err(), Malformed::Line, "{text}");
        }
        assert_eq!(parsed("HTTP/1.1 000 x").unwrap_err(), Malformed::Status);
    }

    #[test]
    fn what_cannot_become_a_head_is_known_by_its_first_bytes() {
        for text in ["", "H", "HTTP/1", "HTTP/1.1 200"] {
            assert!(is_begun(text.as_bytes()), "{text}");
        }
        for text in ["220 mail.example", "\r", "HTTP/2", "http/1.1", "\x15\x03\x01"] {
            assert!(!is_begun(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn trailers_are_fields_and_nothing_else() {
        let trailers = |text: &str| parse_trailers(&Bytes::from(text.replace('|', "\r\n")));
        assert_eq!(trailers("A: b||").unwrap().get("a").unwrap(), "b");
        assert!(trailers("|").unwrap().is_empty());
        assert_eq!(trailers("no colon||").unwrap_err(), Malformed::Line);
        assert_eq!(trailers(&("a: b|".repeat(101) + "|")).unwrap_err(), Malformed::TooManyFields);
    }
}
