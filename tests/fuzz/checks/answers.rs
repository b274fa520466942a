//! What an upstream says is understood in one way: however it is cut into reads, and by a parser that
//! forgives whatever one can forgive.

use bytes::BytesMut;
use http::{HeaderMap, StatusCode, Version};
use vital_sidecar::http::answer::chunks::{Chunks, Piece};
use vital_sidecar::http::answer::head::{self, Head};
use vital_sidecar::http::answer::scan::Scan;
use vital_sidecar::http::answer::{Framing, Malformed};

const MAX_HEAD: usize = 8 * 1024;
const FIELDS: usize = 128;

/// What is understood of what an upstream says to one request.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Told {
    /// Those of the interim answers and, where one came, of the final one.
    pub(crate) statuses: Vec<u16>,
    /// The final answer's fields.
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, Vec<u8>)>,
    /// Whether another answer may come on the connection.
    goes_on: bool,
    pub(crate) end: End,
}

impl Told {
    /// That of the last answer.
    pub(crate) fn status(&self) -> Option<u16> {
        self.statuses.last().copied()
    }
}

/// How it ends.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum End {
    /// Not at all: more must come.
    #[default]
    Unfinished,
    /// Behind so many bytes.
    At(usize),
    /// With the connection.
    WithConnection,
    /// Behind so many bytes, where another protocol begins.
    Switched(usize),
    /// It breaks a rule.
    Broken,
}

/// Checks any bytes. The first says what was asked, the others are the answer.
pub(crate) fn check(bytes: &[u8]) {
    let Some((asked, said)) = bytes.split_first() else { return };
    let is_head = asked.is_multiple_of(2); // `G` is odd, `H` is even.
    let whole = understand(said, is_head);
    // Where the cuts are follows from the bytes, so that every failure can be repeated.
    let pieces = read(said, is_head, said.iter().map(|byte| usize::from(byte % 31) + 1));
    assert_eq!(whole, pieces, "whole and cut");
    if !matches!(whole.end, End::Unfinished | End::Broken) {
        assert_eq!(Ok(whole), reread(said, is_head), "ours and what forgives");
    }
}

/// What we understand of bytes that come at once.
pub(crate) fn understand(said: &[u8], is_head: bool) -> Told {
    read(said, is_head, std::iter::once(said.len()))
}

fn read(mut said: &[u8], is_head: bool, cuts: impl Iterator<Item = usize>) -> Told {
    let (mut reader, mut fed) = (Reader::new(is_head), 0);
    for cut in cuts {
        let (piece, rest) = said.split_at(cut.min(said.len()));
        reader.buffer.extend_from_slice(piece);
        (said, fed) = (rest, fed + piece.len());
        if reader.go_on().is_err() {
            reader.told.end = End::Broken;
            break;
        }
        let taken = fed - reader.buffer.len();
        match reader.part {
            Part::Done => reader.told.end = End::At(taken),
            Part::Switched => reader.told.end = End::Switched(taken),
            Part::UntilClose => reader.told.end = End::WithConnection,
            Part::Head | Part::Sized(_) | Part::Chunked(_) => continue,
        }
        if !matches!(reader.part, Part::UntilClose) {
            break;
        }
    }
    let Told { goes_on, end, .. } = &mut reader.told;
    *goes_on &= matches!(end, End::At(_));
    reader.told
}

/// The rules of `http::answer`, put together as a connection does.
struct Reader {
    is_head: bool,
    buffer: BytesMut,
    scan: Scan,
    part: Part,
    told: Told,
}

enum Part {
    Head,
    Sized(u64),
    Chunked(Chunks),
    UntilClose,
    Switched,
    Done,
}

impl Reader {
    fn new(is_head: bool) -> Self {
        Self {
            is_head,
            buffer: BytesMut::new(),
            scan: Scan::new(MAX_HEAD),
            part: Part::Head,
            told: Told::default(),
        }
    }

    /// Takes what can be taken of what has come.
    fn go_on(&mut self) -> Result<(), Malformed> {
        while let Part::Head = self.part {
            let Some(end) = self.scan.find_end(&self.buffer)? else {
                return if head::is_begun(&self.buffer) { Ok(()) } else { Err(Malformed::Line) };
            };
            let head = head::parse(&self.buffer.split_to(end).freeze(), HeaderMap::new())?;
            self.scan = Scan::new(MAX_HEAD);
            self.told.statuses.push(head.status.as_u16());
            if !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS {
                self.begin_body(&head);
            }
        }
        match &mut self.part {
            Part::Sized(left) => {
                let length = self.buffer.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                self.told.body.extend_from_slice(&self.buffer.split_to(length));
                *left -= length as u64;
                if *left == 0 {
                    self.part = Part::Done;
                }
            }
            Part::Chunked(chunks) => {
                while let Some(piece) = chunks.next(&mut self.buffer)? {
                    match piece {
                        Piece::Data(data) => self.told.body.extend_from_slice(&data),
                        Piece::Trailers(trailers) => self.told.trailers = listed(&trailers),
                    }
                }
                if chunks.is_done() {
                    self.part = Part::Done;
                }
            }
            Part::UntilClose => self.told.body.extend_from_slice(&self.buffer.split()),
            Part::Head | Part::Switched | Part::Done => {}
        }
        Ok(())
    }

    fn begin_body(&mut self, head: &Head) {
        self.told.fields = listed(&head.headers);
        self.told.goes_on = head.keeps_alive;
        self.part = match (head.status.as_u16(), head.framing) {
            (101, _) => Part::Switched,
            (204 | 304, _) => Part::Done,
            _ if self.is_head => Part::Done,
            (_, Framing::Sized(length)) => Part::Sized(length),
            (_, Framing::Chunked) => Part::Chunked(Chunks::default()),
            (_, Framing::Open) => Part::UntilClose,
        };
    }
}

fn listed(fields: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    let all = fields.iter();
    sorted(all.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect())
}

/// By name; fields of one name stay in their order.
fn sorted(mut fields: Vec<(String, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
    fields.sort_by(|one, other| one.0.cmp(&other.0));
    fields
}

fn spelled(fields: &[httparse::Header<'_>]) -> Vec<(String, Vec<u8>)> {
    sorted(fields.iter().map(|f| (f.name.to_ascii_lowercase(), f.value.to_vec())).collect())
}

/// What a lenient parser makes of the same bytes. It finds every end on its own.
fn reread(said: &[u8], is_head: bool) -> Result<Told, String> {
    let mut told = Told::default();
    let mut config = httparse::ParserConfig::default();
    config
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_multiple_spaces_in_response_status_delimiters(true)
        .allow_space_before_first_header_name(true)
        .ignore_invalid_headers_in_responses(true);
    let mut at = 0;
    let version = loop {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS];
        let mut head = httparse::Response::new(&mut fields);
        let parsed = config.parse_response(&mut head, &said[at..]).map_err(|e| e.to_string())?;
        let httparse::Status::Complete(length) = parsed else { return Err("half a head".into()) };
        at += length;
        let status = head.code.unwrap_or_default();
        told.statuses.push(status);
        if status == 101 || !(100..200).contains(&status) {
            told.fields = spelled(head.headers);
            break if head.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
        }
    };
    let values = |name: &str| -> Vec<String> {
        let named = told.fields.iter().filter(|field| field.0 == name);
        named.map(|field| String::from_utf8_lossy(&field.1).trim().to_lowercase()).collect()
    };
    let options = values("connection").join(",");
    let has = |option: &str| options.split(',').any(|item| item.trim() == option);
    let goes_on = !has("close") && (version == Version::HTTP_11 || has("keep-alive"));
    let status = told.status();
    (told.end, told.body) = match (&*values("content-length"), &*values("transfer-encoding")) {
        _ if status == Some(101) => (End::Switched(at), Vec::new()),
        _ if is_head || matches!(status, Some(204 | 304)) => (End::At(at), Vec::new()),
        ([], []) => (End::WithConnection, said[at..].to_vec()),
        ([length], []) => {
            let end = at + length.parse::<usize>().map_err(|error| error.to_string())?;
            (End::At(end), said.get(at..end).ok_or("half a body")?.to_vec())
        }
        ([], [coding]) if coding == "chunked" && version == Version::HTTP_11 => {
            let (length, body, trailers) = reread_chunks(&said[at..])?;
            told.trailers = trailers;
            (End::At(at + length), body)
        }
        other => return Err(format!("{other:?}")),
    };
    told.goes_on = goes_on && matches!(told.end, End::At(_));
    Ok(told)
}

type Chunked = (usize, Vec<u8>, Vec<(String, Vec<u8>)>);

fn reread_chunks(bytes: &[u8]) -> Result<Chunked, String> {
    let (mut at, mut body) = (0, Vec::new());
    loop {
        // The parser counts zeros in front as digits, of which it takes sixteen.
        let two_digits = |two: &&[u8]| two[0] == b'0' && two[1].is_ascii_hexdigit();
        at += bytes[at..].windows(2).take_while(two_digits).count();
        let parsed = httparse::parse_chunk_size(&bytes[at..]).map_err(|error| error.to_string())?;
        let httparse::Status::Complete((line, size)) = parsed else {
            return Err("half a chunk size".to_owned());
        };
        at += line;
        if size == 0 {
            let mut fields = [httparse::EMPTY_HEADER; FIELDS];
            let trailers = httparse::parse_headers(&bytes[at..], &mut fields);
            return match trailers.map_err(|error| error.to_string())? {
                httparse::Status::Complete((end, fields)) => Ok((at + end, body, spelled(fields))),
                httparse::Status::Partial => Err("half a trailer section".to_owned()),
            };
        }
        let end = at + usize::try_from(size).map_err(|error| error.to_string())?;
        body.extend_from_slice(bytes.get(at..end).ok_or("half a chunk")?);
        if bytes.get(end..end + 2) != Some(b"\r\n") {
            return Err("no line break behind a chunk".to_owned());
        }
        at = end + 2;
    }
}
