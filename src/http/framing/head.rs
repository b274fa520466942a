//! The head of a request: its line, its fields, and the body that follows from them.
//!
//! The work is in proportion to the bytes, however small the pieces they come in. Of the fields it knows
//! those that frame, route or ask to wait (`Content-Length`, `Transfer-Encoding`, `Host`, `Expect`); of
//! all others only whether they are fields. It keeps places in the bytes, and no byte.

use super::{Kind, Limits, Refusal, fields, host, malformed, too_large};

/// Bytes a method may have; the longest that is registered has 16.
pub(super) const LONGEST_METHOD: usize = 32;

/// What is known of a head so far.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own about one head")]
pub(super) struct Head {
    /// Where the line that is not complete yet starts.
    start: usize,
    /// Up to here there is no line feed behind `start`.
    searched: usize,
    /// The line feeds that counted: the request line and the fields.
    lines: usize,
    has_blank: bool,
    is_old: bool,
    is_absolute: bool,
    has_host: bool,
    length: Option<u64>,
    is_chunked: bool,
}

/// The body that a head announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    None,
    Sized(u64),
    Chunked,
}

impl Head {
    /// Reads on in a head that starts where `bytes` do. Says how long it is, once it is complete.
    pub(super) fn read(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<usize>, Refusal> {
        if self.searched > 0 {
            // A line that came in pieces is looked at again only once it is complete, so the work is
            // in proportion to the bytes however small the pieces are.
            let Some(new) = memchr::memchr(b'\n', &bytes[self.searched..]) else {
                return self.wait(bytes, limits);
            };
            self.searched += new;
        }
        let mut start = self.start;
        loop {
            let line = &bytes[start..];
            let length = match line.first() {
                Some(b'\r' | b'\n') => match fields::line_break(line, 0)? {
                    Some(end) if self.lines > 0 => return whole(start + end, limits),
                    Some(end) => self.blank_line(end)?,
                    None => 0,
                },
                _ if self.lines == 0 => self.request_line(line, limits)?,
                _ => self.field_line(line, limits)?,
            };
            if length == 0 {
                self.start = start;
                return self.wait(bytes, limits);
            }
            start += length;
        }
    }

    /// What a complete head says about the body, and whether it names its host (RFC 9112 §3.2, §6).
    pub(super) fn body(&self) -> Result<Body, Refusal> {
        if !self.has_host && (!self.is_old || self.is_absolute) {
            return Err(malformed("no Host field"));
        }
        Ok(match self.length {
            _ if self.is_chunked => Body::Chunked,
            None | Some(0) => Body::None,
            Some(length) => Body::Sized(length),
        })
    }

    fn wait(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<usize>, Refusal> {
        self.searched = bytes.len();
        if self.lines == 0 && bytes.len() > limits.target_bytes.saturating_add(LINE_AROUND_TARGET) {
            return Err(TARGET_TOO_LONG);
        }
        if bytes.len() > limits.head_bytes { Err(HEAD_TOO_LARGE) } else { Ok(None) }
    }

    /// One empty line may stand before a request: some clients leave it behind a body (RFC 9112 §2.2).
    fn blank_line(&mut self, length: usize) -> Result<usize, Refusal> {
        if std::mem::replace(&mut self.has_blank, true) {
            return Err(malformed("empty lines before a request"));
        }
        Ok(length)
    }

    /// The length of the request line; 0 where it is not complete yet.
    fn request_line(&mut self, line: &[u8], limits: &Limits) -> Result<usize, Refusal> {
        let method_end = end_of(line, 0, fields::is_token);
        if method_end > LONGEST_METHOD {
            return Err(Refusal { kind: Kind::NotImplemented, why: "the method is too long" });
        }
        match line.get(method_end) {
            None => return Ok(0),
            Some(b' ') if method_end > 0 => {}
            Some(_) => return Err(malformed("not a request")),
        }
        let target_end = end_of(line, method_end + 1, fields::is_target);
        let (method, target) = (&line[..method_end], &line[method_end + 1..target_end]);
        if target.len() > limits.target_bytes {
            return Err(TARGET_TOO_LONG);
        }
        match line.get(target_end) {
            None => return Ok(0),
            Some(b' ') => {}
            Some(_) => return Err(malformed("an odd byte in the target")),
        }
        let Some(is_old) = version(&line[target_end + 1..])? else { return Ok(0) };
        self.is_old = is_old;
        self.is_absolute = judge_target(method, target)?;
        self.lines = 1;
        Ok(target_end + 1 + VERSION_LINE)
    }

    /// The length of a field line; 0 where it is not complete yet.
    fn field_line(&mut self, line: &[u8], limits: &Limits) -> Result<usize, Refusal> {
        let Some((name, end)) = fields::whole(line) else {
            fields::explain(line)?;
            return Ok(0);
        };
        if self.lines > limits.fields {
            return Err(too_large("too many fields"));
        }
        self.lines += 1;
        // All that matter here have a length that few others have.
        if matches!(name, 4 | 6 | 14 | 17) {
            // Of the bytes in a value, only space and tab are ASCII white space.
            self.note(&line[..name], line[name + 1..end].trim_ascii())?;
        }
        Ok(end + 2)
    }

    fn note(&mut self, name: &[u8], value: &[u8]) -> Result<(), Refusal> {
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.note_host(value),
            6 if name.eq_ignore_ascii_case(b"expect") => judge_expectation(value),
            14 if is_named(name, b"content-length") => self.note_length(name, value),
            17 if is_named(name, b"transfer-encoding") => self.note_coding(name, value),
            _ => Ok(()),
        }
    }

    fn note_host(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if std::mem::replace(&mut self.has_host, true) {
            return Err(malformed("more than one Host field"));
        }
        if host::is_valid(value) { Ok(()) } else { Err(malformed("an odd Host field")) }
    }

    fn note_length(&mut self, name: &[u8], value: &[u8]) -> Result<(), Refusal> {
        self.is_framed_once(name)?;
        let length = fields::decimal(value).ok_or(malformed("an odd Content-Length"))?;
        self.length = Some(length);
        Ok(())
    }

    fn note_coding(&mut self, name: &[u8], value: &[u8]) -> Result<(), Refusal> {
        self.is_framed_once(name)?;
        if self.is_old {
            return Err(malformed("a transfer coding in HTTP/1.0"));
        }
        if value.eq_ignore_ascii_case(b"chunked") {
            self.is_chunked = true;
            return Ok(());
        }
        // Codings before a final `chunked` are correct, and nothing here takes them off (§6.1).
        let mut codings = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).rev();
        let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
        let is_other = |coding: &[u8]| {
            !is_chunked(coding)
                && !coding.is_empty()
                && coding.iter().copied().all(fields::is_token)
        };
        Err(if codings.next().is_some_and(is_chunked) && codings.all(is_other) {
            Refusal { kind: Kind::NotImplemented, why: "a transfer coding other than chunked" }
        } else {
            malformed("an odd Transfer-Encoding")
        })
    }

    /// One field says how long the body is. Two are refused even where they agree.
    fn is_framed_once(&self, name: &[u8]) -> Result<(), Refusal> {
        if memchr::memchr(b'_', name).is_some() {
            // Servers behind CGI-like interfaces take it for the field itself.
            return Err(malformed("a framing field spelt with an underscore"));
        }
        if self.length.is_some() || self.is_chunked {
            return Err(malformed("more than one field frames the body"));
        }
        Ok(())
    }
}

const HEAD_TOO_LARGE: Refusal = too_large("the head is too large");
const TARGET_TOO_LONG: Refusal =
    Refusal { kind: Kind::TargetTooLong, why: "the target is too long" };

/// `HTTP/1.1` and its CRLF, in bytes.
const VERSION_LINE: usize = 10;
/// What may stand around the target in its line: an empty line, the method, two spaces, the version.
const LINE_AROUND_TARGET: usize = 2 + LONGEST_METHOD + 2 + VERSION_LINE;

/// The length of a head that is complete.
fn whole(length: usize, limits: &Limits) -> Result<Option<usize>, Refusal> {
    if length > limits.head_bytes { Err(HEAD_TOO_LARGE) } else { Ok(Some(length)) }
}

/// Where the run of bytes ends that starts at `from`.
#[inline]
fn end_of(bytes: &[u8], from: usize, is_part: impl Fn(u8) -> bool) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    from + rest.iter().position(|byte| !is_part(*byte)).unwrap_or(rest.len())
}

/// Whether the version that ends a request line is 1.0. `None` where it is not complete yet.
fn version(bytes: &[u8]) -> Result<Option<bool>, Refusal> {
    let Some(line) = bytes.first_chunk::<VERSION_LINE>() else {
        let end = fields::value_end(bytes, 0);
        return match fields::line_break(bytes, end)? {
            None if end < VERSION_LINE - 1 => Ok(None),
            _ => Err(malformed("an odd version")),
        };
    };
    match line {
        b"HTTP/1.1\r\n" => Ok(Some(false)),
        b"HTTP/1.0\r\n" => Ok(Some(true)),
        _ => {
            fields::line_break(bytes, fields::value_end(bytes, 0))?;
            Err(malformed("an odd version"))
        }
    }
}

/// Whether a target is in absolute form; an error where it is in none that is served (RFC 9112 §3.2).
fn judge_target(method: &[u8], target: &[u8]) -> Result<bool, Refusal> {
    if method == b"CONNECT" {
        return Err(Refusal { kind: Kind::NotImplemented, why: "CONNECT is for forward proxies" });
    }
    if target.first() == Some(&b'/') || (target == b"*" && method == b"OPTIONS") {
        return Ok(false);
    }
    let scheme = [&b"http://"[..], b"https://"].into_iter().find(|scheme| {
        target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    });
    let Some(scheme) = scheme else { return Err(malformed("a target in no known form")) };
    let rest = &target[scheme.len()..];
    let end = memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len());
    if host::is_valid(&rest[..end]) {
        Ok(true)
    } else {
        Err(malformed("a target with an odd host"))
    }
}

fn judge_expectation(value: &[u8]) -> Result<(), Refusal> {
    if value.eq_ignore_ascii_case(b"100-continue") {
        return Ok(());
    }
    Err(Refusal { kind: Kind::UnknownExpectation, why: "an unknown expectation" })
}

/// Whether a field name is this one, or its twin with underscores.
fn is_named(name: &[u8], framing: &[u8]) -> bool {
    let dash = |byte: &u8| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    name.iter().map(dash).eq(framing.iter().copied())
}
