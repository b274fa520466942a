//! A client that follows a [`Talk`], and says what the sidecar must have noticed of it.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::scenario::{Ask, Body, End, Leave, Manner, Talk};
use super::wire::{self, field};

/// More than the sidecar's bound on a request body.
pub(super) const TOO_LARGE: usize = 5000;

/// What one connection must have left behind.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Requests, in the order they were said.
    pub(super) asked: Vec<Asked>,
    /// Heads that were judged, taken or refused: at least, at most.
    pub(super) heads: (usize, usize),
    /// Connection errors: at least, at most.
    pub(super) errors: (usize, usize),
}

/// What became of one request.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) tag: String,
    pub(super) ask: Ask,
    /// The request id and status of its answer, where one was read.
    pub(super) answer: Option<(String, u16)>,
    /// The client left, or may have, before the answer was whole.
    pub(super) left: bool,
}

struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    told: Told,
    /// The sidecar may have stopped listening: what is said now may or may not be heard.
    is_doubtful: bool,
    is_over: bool,
}

struct Answer {
    id: String,
    status: u16,
    /// The upstream did not wait for the request's body.
    is_early: bool,
    goes_on: bool,
}

pub(super) async fn run(address: SocketAddr, name: usize, talk: &Talk) -> Told {
    let stream = TcpStream::connect(address).await.expect("connect");
    stream.set_nodelay(true).expect("nodelay");
    let mut client = Client {
        stream,
        buffer: Vec::new(),
        told: Told::default(),
        is_doubtful: false,
        is_over: false,
    };
    let mut is_waiting = 0;
    for (nth, ask) in talk.asks.iter().enumerate() {
        client.ask(format!("{name}-{nth}"), ask).await;
        is_waiting += 1;
        let is_last = nth + 1 == talk.asks.len();
        if is_half(ask.body) || (is_last && matches!(talk.end, End::Unread(_))) {
            break; // The end decides.
        }
        if talk.is_pipelined {
            client.is_doubtful = true;
        } else {
            client.answer().await;
            is_waiting = 0;
        }
        if client.is_over {
            break;
        }
    }
    client.end(talk, is_waiting).await;
    client.told
}

fn is_half(body: Body) -> bool {
    matches!(body, Body::Half | Body::HalfChunked)
}

impl Client {
    async fn ask(&mut self, tag: String, ask: &Ask) {
        let bytes = spell(&tag, ask);
        let left = true; // Until its answer has been read.
        self.told.asked.push(Asked { tag, ask: ask.clone(), answer: None, left });
        self.told.heads.0 += usize::from(!self.is_doubtful);
        self.told.heads.1 += 1;
        // A whole head that nobody parses any more is a head begun in vain.
        self.told.errors.1 |= usize::from(self.is_doubtful);
        for piece in bytes.chunks(bytes.len().div_ceil(ask.pieces)) {
            self.say(piece).await;
            if ask.pause_ms > 0 {
                tokio::time::sleep(Duration::from_millis(ask.pause_ms)).await;
            }
        }
    }

    async fn answer(&mut self) {
        let answer = self.read_answer().await;
        let asked = self.told.asked.last_mut().expect("a request");
        asked.left = false;
        let Some(answer) = answer else {
            self.is_over = true;
            return;
        };
        // After anything but a plain success the sidecar may close before it hears more.
        self.is_doubtful |= !(200..300).contains(&answer.status) || answer.is_early;
        self.is_over = !answer.goes_on || asked.ask.manner == Manner::Old;
        asked.answer = Some((answer.id, answer.status));
    }

    /// `None` where the connection ends before a whole head.
    async fn read_answer(&mut self) -> Option<Answer> {
        loop {
            let head = wire::head(&mut self.stream, &mut self.buffer).await?;
            let status: u16 = head.get(9..12)?.parse().ok()?;
            if status == 100 {
                continue;
            }
            let id = field(&head, "x-request-id").unwrap_or_default().to_owned();
            let is_head = self.told.asked.last()?.ask.method == "HEAD";
            let is_framed = ["content-length", "transfer-encoding"]
                .iter()
                .any(|name| field(&head, name).is_some());
            let goes_on = if is_head || status == 204 {
                true
            } else if is_framed {
                wire::body(&mut self.stream, &mut self.buffer, &head, &mut Vec::new()).await
            } else {
                wire::drain(&mut self.stream, &mut self.buffer).await;
                false
            };
            let says_close = field(&head, "connection") == Some("close");
            let is_early = field(&head, "x-early").is_some();
            return Some(Answer { id, status, is_early, goes_on: goes_on && !says_close });
        }
    }

    async fn end(&mut self, talk: &Talk, is_waiting: usize) {
        let stopped_half = talk.asks.get(self.told.asked.len().wrapping_sub(1));
        let stopped_half = is_waiting > 0 && stopped_half.is_some_and(|ask| is_half(ask.body));
        let (bytes, leave) = match talk.end {
            End::Leave(leave) | End::Unread(leave) => (Vec::new(), leave),
            // What would be part of a head is part of a body here.
            End::HalfHead(leave) if stopped_half => (Vec::new(), leave),
            _ if stopped_half => (Vec::new(), Leave::Stay),
            End::HalfHead(leave) => (b"GET / HTTP/1.1\r\nhost: a\r\nx-half: y".to_vec(), leave),
            End::BadHead(head) => (head.as_bytes().to_vec(), Leave::Stay),
            End::LongHead => {
                (format!("GET / HTTP/1.1\r\nx-long: {}", "y".repeat(9000)).into(), Leave::Stay)
            }
            End::ManyFields => {
                (format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(150)).into(), Leave::Stay)
            }
        };
        let is_said = !bytes.is_empty() && !self.is_over;
        if is_said && matches!(talk.end, End::HalfHead(_)) {
            self.told.errors = (usize::from(!self.is_doubtful), 1);
        } else if is_said {
            // What is no head is refused like one, with an answer and a record.
            self.told.heads.0 += usize::from(!self.is_doubtful);
            self.told.heads.1 += 1;
            let (tag, ask) = ("nonsense".to_owned(), Ask::plain(Manner::Nonsense));
            self.told.asked.push(Asked { tag, ask, answer: None, left: false });
        }
        if is_said {
            self.say(&bytes).await;
        }
        match leave {
            Leave::Close => {}
            Leave::Reset => {
                let socket = socket2::SockRef::from(&self.stream);
                socket.set_linger(Some(Duration::ZERO)).expect("linger");
            }
            Leave::HalfClose => {
                // The sidecar may have been first.
                let _closed = self.stream.shutdown().await;
                wire::drain(&mut self.stream, &mut self.buffer).await;
            }
            Leave::Stay => {
                wire::drain(&mut self.stream, &mut self.buffer).await;
                // It stayed for all answers, though it did not look at them.
                self.told.asked.iter_mut().for_each(|asked| asked.left = false);
            }
        }
    }

    async fn say(&mut self, bytes: &[u8]) {
        // A sidecar that has closed meanwhile is within its rights.
        let _closed = self.stream.write_all(bytes).await;
    }
}

/// A request as bytes.
fn spell(tag: &str, ask: &Ask) -> Vec<u8> {
    let target = if ask.manner == Manner::Absolute { "http://app.example/t" } else { "/t" };
    let version = if ask.manner == Manner::Old { "1.0" } else { "1.1" };
    let mut head = format!("{} {target} HTTP/{version}\r\nx-tag: {tag}\r\n", ask.method);
    head += match ask.manner {
        Manner::NamesNoHost => "",
        Manner::NamesTwoHosts => "host: a\r\nhost: b\r\n",
        Manner::ExpectsContinue => "host: a\r\nexpect: 100-continue\r\n",
        Manner::ExpectsWonders => "host: a\r\nexpect: wonders\r\n",
        _ => "host: a\r\n",
    };
    let chunked = "transfer-encoding: chunked\r\n\r\n";
    let by_length = |length: usize, sent: usize| {
        format!("content-length: {length}\r\n\r\n{}", "z".repeat(sent))
    };
    let body = match ask.body {
        Body::None => "\r\n".to_owned(),
        Body::Length(size) => by_length(size, size),
        Body::Chunked(size) => format!("{chunked}{}0\r\n\r\n", chunks(size)),
        Body::TooLarge => by_length(TOO_LARGE, TOO_LARGE),
        Body::TooLargeChunked => format!("{chunked}{}0\r\n\r\n", chunks(TOO_LARGE)),
        Body::BadChunk => format!("{chunked}{}what\r\nzz\r\n0\r\n\r\n", chunks(300)),
        Body::Half => by_length(200, 100),
        Body::HalfChunked => format!("{chunked}{}64\r\nzzz", chunks(300)),
    };
    (head + &body).into_bytes()
}

fn chunks(size: usize) -> String {
    let pieces =
        std::iter::repeat_n(400, size / 400).chain(Some(size % 400).filter(|rest| *rest > 0));
    let spelled: Vec<_> =
        pieces.map(|size| format!("{size:x}\r\n{}\r\n", "z".repeat(size))).collect();
    spelled.concat()
}
