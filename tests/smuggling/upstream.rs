//! An upstream that reads as strictly as anyone can, keeps what it got, and answers 200.
//!
//! What it cannot read in exactly one way is a violation: the sidecar must never have sent it.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::AsyncReadExt;

use crate::support::upstream::{self, Upstream, Wire};

/// A whole request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// Method and target.
    pub(super) line: String,
    /// Names in lower case.
    pub(super) fields: Vec<(String, String)>,
    pub(super) body: String,
}

impl Request {
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields.iter().filter(move |field| field.0 == name).map(|field| &*field.1)
    }
}

#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) requests: Vec<Request>,
    pub(super) violations: Vec<String>,
    /// Bytes of requests that never became whole.
    pub(super) begun: usize,
}

pub(super) struct Strict {
    pub(super) upstream: Upstream,
    pub(super) seen: Arc<Mutex<Seen>>,
}

impl Strict {
    /// Everything seen since this was asked last.
    pub(super) fn take(&self) -> Seen {
        std::mem::take(&mut *self.seen.lock())
    }
}

pub(super) async fn start() -> Strict {
    let seen = Arc::<Mutex<Seen>>::default();
    let kept = Arc::clone(&seen);
    let upstream = upstream::scripted(move |wire| serve(wire, Arc::clone(&kept))).await;
    Strict { upstream, seen }
}

async fn serve(mut wire: Wire, seen: Arc<Mutex<Seen>>) {
    let mut bytes = Vec::new();
    loop {
        match read(&bytes) {
            Ok(Some((length, request))) => {
                bytes.drain(..length);
                seen.lock().requests.push(request);
                wire.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
                continue;
            }
            Ok(None) => {}
            Err(why) => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                seen.lock().violations.push(format!("{why}: {text:?}"));
                return;
            }
        }
        let before = bytes.len();
        if wire.stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
        seen.lock().begun += bytes.len() - before;
    }
}

/// The first request, once it is whole, and its length in bytes.
fn read(bytes: &[u8]) -> Result<Option<(usize, Request)>, &'static str> {
    let Some(head_end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    // A byte is a character here: values may have bytes beyond ASCII.
    let head: String = bytes[..head_end].iter().map(|byte| char::from(*byte)).collect();
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap_or_default();
    let [method, target, "HTTP/1.1"] = line.split(' ').collect::<Vec<_>>()[..] else {
        return Err("a request line of other than three words");
    };
    if !is_token(method)
        || !target.starts_with('/')
        || !target.chars().all(|c| c.is_ascii_graphic())
    {
        return Err("a request line with odd words");
    }
    let fields = lines.map(field).collect::<Result<Vec<_>, _>>()?;
    let mut request = Request { line: format!("{method} {target}"), fields, body: String::new() };
    let of = |name| request.all(name).collect::<Vec<_>>();
    if of("host").len() != 1 {
        return Err("not one host");
    }
    let start = head_end + 4;
    let framing = match (&*of("content-length"), &*of("transfer-encoding")) {
        ([], []) => Ok(0),
        ([length], []) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
            Ok(length.parse::<usize>().map_err(|_| "an odd length")?)
        }
        ([], ["chunked"]) => Err(()),
        _ => return Err("odd framing"),
    };
    let body = match framing {
        Ok(length) => bytes.get(start..start + length).map(|body| (length, body.to_vec())),
        Err(()) => chunks(&bytes[start..])?,
    };
    let Some((length, body)) = body else { return Ok(None) };
    request.body = String::from_utf8_lossy(&body).into_owned();
    Ok(Some((start + length, request)))
}

fn is_token(text: &str) -> bool {
    let is_mark = |byte: u8| b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || is_mark(byte))
}

fn field(line: &str) -> Result<(String, String), &'static str> {
    let (name, value) = line.split_once(':').ok_or("a line without a colon")?;
    if !is_token(name) {
        return Err("an odd name");
    }
    if value.contains(|c: char| c.is_ascii_control() && c != '\t') {
        return Err("a control character in a value");
    }
    Ok((name.to_lowercase(), value.trim_matches([' ', '\t']).to_owned()))
}

/// The length of a chunked body, and its payload.
fn chunks(bytes: &[u8]) -> Result<Option<(usize, Vec<u8>)>, &'static str> {
    let (mut at, mut body) = (0, Vec::new());
    loop {
        let Some(line) = bytes[at..].windows(2).position(|two| two == b"\r\n") else {
            return Ok(None);
        };
        let digits = std::str::from_utf8(&bytes[at..at + line]).map_err(|_| "an odd chunk size")?;
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err("an odd chunk size");
        }
        let size = usize::from_str_radix(digits, 16).map_err(|_| "an odd chunk size")?;
        at += line + 2;
        if size == 0 {
            break;
        }
        let Some(data) = bytes.get(at..at + size + 2) else { return Ok(None) };
        if &data[size..] != b"\r\n" {
            return Err("a chunk without its end");
        }
        body.extend_from_slice(&data[..size]);
        at += size + 2;
    }
    loop {
        let Some(line) = bytes[at..].windows(2).position(|two| two == b"\r\n") else {
            return Ok(None);
        };
        let text = std::str::from_utf8(&bytes[at..at + line]).map_err(|_| "an odd trailer")?;
        at += line + 2;
        if text.is_empty() {
            return Ok(Some((at, body)));
        }
        field(text)?;
    }
}
