//! What the guard lets through means the same to the parsers behind it, and how the bytes are cut into
//! reads changes nothing.

use vital_sidecar::http::framing::{Framing, Limits, Refusal};

const FIELDS: usize = 20;
const LIMITS: Limits = Limits { head_bytes: 8 * 1024, fields: FIELDS, target_bytes: 1024 };

/// Checks any bytes: a connection's, from its first.
pub(crate) fn check(bytes: &[u8]) {
    let mut rest = bytes;
    loop {
        // Where the cuts are follows from the bytes, so that every failure can be repeated.
        let cuts = rest.iter().map(|byte| usize::from(byte % 31) + 1);
        let whole = judge(rest, std::iter::once(rest.len()));
        let pieces = judge(rest, cuts);
        match (&whole, &pieces) {
            (Ok(whole), Ok(pieces)) => assert_eq!(whole, pieces, "cut and not cut"),
            (Err(whole), Err(pieces)) => assert_eq!(whole.kind, pieces.kind, "cut and not cut"),
            // A line that comes in pieces is judged once it is complete, and here it never was.
            (Err(_), Ok(None)) => {}
            _ => panic!("{whole:?} as a whole, {pieces:?} in pieces"),
        }
        let Ok(Some(length)) = whole else { return };
        assert_eq!(
            reread(&rest[..length]),
            Ok(length),
            "the parser behind reads it in another way"
        );
        rest = &rest[length..];
        if rest.is_empty() {
            return;
        }
    }
}

/// The length of the first message, or why it was refused; `None` where it is not complete.
fn judge(bytes: &[u8], mut cuts: impl Iterator<Item = usize>) -> Result<Option<usize>, Refusal> {
    let mut framing = Framing::new(LIMITS);
    let (mut released, mut seen) = (0, 0);
    while seen < bytes.len() && !framing.is_done() {
        seen = (seen + cuts.next().unwrap_or(1)).min(bytes.len());
        released += framing.check(&bytes[released..seen])?;
    }
    Ok(framing.is_done().then_some(released))
}

/// What lenient parsers make of a message that was let through: its whole length.
fn reread(bytes: &[u8]) -> Result<usize, String> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    let parsed = request.parse(bytes).map_err(|error| error.to_string())?;
    let httparse::Status::Complete(head) = parsed else { return Err("half a head".to_owned()) };
    let method = request.method.unwrap_or_default().as_bytes();
    http::Method::from_bytes(method).map_err(|error| error.to_string())?;
    http::Uri::try_from(request.path.unwrap_or_default()).map_err(|error| error.to_string())?;
    for field in request.headers.iter() {
        http::HeaderName::from_bytes(field.name.as_bytes()).map_err(|error| error.to_string())?;
        http::HeaderValue::from_bytes(field.value).map_err(|error| error.to_string())?;
    }
    let values = |name: &str| -> Vec<String> {
        let named = request.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
        named.map(|field| String::from_utf8_lossy(field.value).trim().to_owned()).collect()
    };
    if values("host").len() > 1 {
        return Err("two hosts".to_owned());
    }
    match (&*values("content-length"), &*values("transfer-encoding")) {
        ([], []) => Ok(head),
        ([length], []) => Ok(head + length.parse::<usize>().map_err(|error| error.to_string())?),
        ([], [coding]) if coding.eq_ignore_ascii_case("chunked") => {
            Ok(head + reread_chunks(&bytes[head..])?)
        }
        other => Err(format!("{other:?}")),
    }
}

fn reread_chunks(bytes: &[u8]) -> Result<usize, String> {
    let mut at = 0;
    loop {
        let parsed = httparse::parse_chunk_size(&bytes[at..]).map_err(|error| error.to_string())?;
        let httparse::Status::Complete((line, size)) = parsed else {
            return Err("half a chunk size".to_owned());
        };
        at += line;
        if size == 0 {
            let mut fields = [httparse::EMPTY_HEADER; FIELDS];
            let trailers = httparse::parse_headers(&bytes[at..], &mut fields);
            return match trailers.map_err(|error| error.to_string())? {
                httparse::Status::Complete((end, _)) => Ok(at + end),
                httparse::Status::Partial => Err("half a trailer section".to_owned()),
            };
        }
        at += usize::try_from(size).map_err(|error| error.to_string())?;
        if bytes.get(at..at + 2) != Some(b"\r\n") {
            return Err("no line break behind a chunk".to_owned());
        }
        at += 2;
    }
}
