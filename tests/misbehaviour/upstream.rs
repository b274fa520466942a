//! An upstream that does with each request what its script says, and keeps a strict eye on what the
//! sidecar sends: a head, exactly its body, and only then another head.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::scenario::{Behaviour, Form};
use super::wire::{self, field};

/// What it saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) requests: Vec<Request>,
    pub(super) violations: Vec<String>,
}

/// A request that arrived.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) tag: String,
    pub(super) id: String,
    pub(super) body: usize,
    pub(super) behaviour: Behaviour,
}

pub(super) struct Upstream {
    pub(super) address: SocketAddr,
    pub(super) seen: Arc<Mutex<Seen>>,
    _task: JoinSet<()>,
}

pub(super) async fn start(script: Vec<Behaviour>) -> Upstream {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let seen = Arc::<Mutex<Seen>>::default();
    let (book, script) = (Arc::clone(&seen), Arc::new(script));
    let mut task = JoinSet::new();
    task.spawn(async move {
        let mut running = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).expect("nodelay");
            let visit = Visit {
                stream,
                buffer: Vec::new(),
                seen: Arc::clone(&book),
                script: Arc::clone(&script),
            };
            running.spawn(visit.serve());
        }
    });
    Upstream { address, seen, _task: task }
}

struct Visit {
    stream: TcpStream,
    buffer: Vec<u8>,
    seen: Arc<Mutex<Seen>>,
    script: Arc<Vec<Behaviour>>,
}

impl Visit {
    async fn serve(mut self) {
        while let Some(head) = wire::head(&mut self.stream, &mut self.buffer).await {
            let (tag, id) = (field(&head, "x-tag"), field(&head, "x-request-id"));
            let (Some(tag), Some(id)) = (tag, id) else {
                self.seen.lock().violations.push(format!("not a head of ours: {head:?}"));
                return;
            };
            let (nth, behaviour) = {
                let mut seen = self.seen.lock();
                let nth = seen.requests.len();
                let behaviour = self.script[nth % self.script.len()];
                let (tag, id) = (tag.to_owned(), id.to_owned());
                seen.requests.push(Request { tag, id, body: 0, behaviour });
                (nth, behaviour)
            };
            if !self.answer(nth, &head, behaviour).await {
                return;
            }
        }
    }

    /// Does what the script says; returns whether the connection goes on.
    async fn answer(&mut self, nth: usize, head: &str, behaviour: Behaviour) -> bool {
        let is_head = head.starts_with("HEAD ");
        match behaviour {
            Behaviour::ServeEarly { size } => {
                let early = answer(Form::Length, size, is_head);
                self.say(&[b"HTTP/1.1 200 OK\r\nx-early: 1\r\n", &early[17..]].concat()).await;
                return self.body(nth, head).await;
            }
            Behaviour::CloseEarly => return false,
            _ => {}
        }
        if !self.body(nth, head).await {
            return false;
        }
        match behaviour {
            Behaviour::Serve { form, size, pieces } => {
                let bytes = answer(form, size, is_head);
                for piece in bytes.chunks(bytes.len().div_ceil(pieces)) {
                    self.say(piece).await;
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                !matches!(form, Form::UntilClose | Form::Events | Form::Old)
            }
            Behaviour::ServeAndClose { size } => {
                self.say(&answer(Form::Length, size, is_head)).await;
                false
            }
            Behaviour::ResetBeforeHead => self.reset(),
            Behaviour::CutInHead { reset } => {
                self.say(b"HTTP/1.1 200 OK\r\ncontent-le").await;
                reset && self.reset()
            }
            Behaviour::CutInBody { form, reset } => {
                self.say(&half(form)).await;
                reset && self.reset()
            }
            Behaviour::Garbage => {
                self.say(b"220 mail.example ESMTP\r\n\r\n").await;
                false
            }
            Behaviour::HangBeforeHead => self.hang().await,
            Behaviour::HangInBody { form } => {
                self.say(&half(form)).await;
                self.hang().await
            }
            _ => false,
        }
    }

    /// Reads exactly the body that the head announces; `false` where it does not come whole.
    async fn body(&mut self, nth: usize, head: &str) -> bool {
        let mut got = Vec::new();
        let is_whole = wire::body(&mut self.stream, &mut self.buffer, head, &mut got).await;
        let mut seen = self.seen.lock();
        seen.requests[nth].body = got.len();
        if got.iter().any(|byte| *byte != b'z') {
            seen.violations.push(format!("the body after {head:?} holds other bytes"));
        }
        is_whole
    }

    async fn say(&mut self, bytes: &[u8]) {
        // The sidecar may have left; that is its right.
        let _left = self.stream.write_all(bytes).await;
    }

    fn reset(&self) -> bool {
        let socket = socket2::SockRef::from(&self.stream);
        socket.set_linger(Some(Duration::ZERO)).expect("linger");
        false
    }

    /// Says no more. What the sidecar still sends would be a request on top of an unfinished one.
    async fn hang(&mut self) -> bool {
        let more = self.stream.read_buf(&mut self.buffer).await.unwrap_or(0);
        if more > 0 {
            self.seen.lock().violations.push("a request on top of an unfinished one".to_owned());
        }
        false
    }
}

fn answer(form: Form, size: usize, is_head: bool) -> Vec<u8> {
    let (fields, body) = match form {
        Form::Length => (format!("200 OK\r\ncontent-length: {size}"), vec![b'a'; size]),
        Form::Chunked => ("200 OK\r\ntransfer-encoding: chunked".to_owned(), chunks(size, "")),
        Form::Trailers => (
            "200 OK\r\ntrailer: x-sum\r\ntransfer-encoding: chunked".to_owned(),
            chunks(size, "x-sum: 1\r\n"),
        ),
        Form::UntilClose | Form::Old => ("200 OK".to_owned(), vec![b'a'; size]),
        Form::Events => (
            "200 OK\r\ncontent-type: text/event-stream".to_owned(),
            b"data: a\n\n".repeat(size / 9),
        ),
        Form::Nothing => ("204 No Content".to_owned(), Vec::new()),
    };
    let version = if form == Form::Old { "1.0" } else { "1.1" };
    let mut bytes = format!("HTTP/{version} {fields}\r\n\r\n").into_bytes();
    if !is_head {
        bytes.extend(body);
    }
    bytes
}

fn chunks(size: usize, trailers: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for piece in vec![b'a'; size].chunks(700) {
        bytes.extend(format!("{:x}\r\n", piece.len()).bytes());
        bytes.extend(piece);
        bytes.extend(b"\r\n");
    }
    bytes.extend(format!("0\r\n{trailers}\r\n").bytes());
    bytes
}

fn half(form: Form) -> Vec<u8> {
    match form {
        Form::Chunked => "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\naaaa".into(),
        Form::Events => {
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n\
             9\r\ndata: a\n\n\r\n"
                .into()
        }
        _ => "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\naaaa".into(),
    }
}
