//! The service behind every proxy in `make bench`, as cheap as it can be made.
//!
//! It reads request heads by hand and writes prepared bytes, so that it does not compete with the
//! load generator for their shared core. `GET /body` answers 10 MiB with a length, `GET /sse/N`
//! sends N events of 100 bytes, 10 ms apart, any other `GET` answers 1 KiB of JSON. So does a `POST` below
//! `/api/`, whose body is read and dropped; any other `POST` gets an empty 200, which is all an OTLP
//! collector has to do here. It trusts its peers: do not use it as a server.
//!
//! Usage: `origin LISTEN`.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

const MIB: usize = 1024 * 1024;
const BODY: usize = 10 * MIB;
const BLOCK: usize = 64 * 1024;
const EVENT: usize = 100;
/// Digits of the time in an event, in nanoseconds since 1970.
const STAMP: usize = 20;
const GAP: Duration = Duration::from_millis(10);
const MAX_HEAD: usize = 64 * 1024;

fn main() -> Result<(), Box<dyn Error>> {
    let Some(listen) = std::env::args().nth(1) else { return Err("usage: origin LISTEN".into()) };
    let listen: SocketAddr = listen.parse()?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(listen))
}

async fn serve(listen: SocketAddr) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(listen).await?;
    let mut peers = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                stream.set_nodelay(true)?;
                peers.spawn(Peer { stream, input: Vec::with_capacity(BLOCK) }.talk());
            }
            Some(_ended) = peers.join_next() => {}
        }
    }
}

/// One connection, and what it has sent that was not used yet.
struct Peer {
    stream: TcpStream,
    input: Vec<u8>,
}

impl Peer {
    /// Answers requests until the peer leaves.
    async fn talk(mut self) -> io::Result<()> {
        let json = json();
        while let Some(head) = self.next_head().await? {
            if head.starts_with("GET /body") {
                self.send_body().await?;
            } else if let Some(rest) = head.strip_prefix("GET /sse/") {
                let count = rest.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(1);
                self.send_events(count).await?;
            } else if head.starts_with("GET ") {
                self.stream.write_all(&json).await?;
            } else {
                self.drop_request_body(&head).await?;
                if head.starts_with("POST /api/") {
                    self.stream.write_all(&json).await?;
                    continue;
                }
                self.stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await?;
            }
        }
        Ok(())
    }

    /// The next request head with its blank line; `None` at the end of the connection.
    async fn next_head(&mut self) -> io::Result<Option<String>> {
        let end = self.read_until(b"\r\n\r\n").await?;
        Ok(end.map(|end| {
            let head = self.input.drain(..end).collect::<Vec<u8>>();
            String::from_utf8_lossy(&head).into_owned()
        }))
    }

    /// Reads until `mark` was seen; where it ends in the input.
    async fn read_until(&mut self, mark: &[u8]) -> io::Result<Option<usize>> {
        let mut searched = 0;
        loop {
            if let Some(at) = memchr::memmem::find(&self.input[searched..], mark) {
                return Ok(Some(searched + at + mark.len()));
            }
            searched = self.input.len().saturating_sub(mark.len() - 1);
            if self.input.len() > 64 * MAX_HEAD {
                return Err(io::Error::other("no end of a message in sight"));
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Ok(None);
            }
        }
    }

    async fn drop_request_body(&mut self, head: &str) -> io::Result<()> {
        match length(head) {
            Some(length) => {
                while self.input.len() < length && self.stream.read_buf(&mut self.input).await? > 0
                {
                }
                self.input.drain(..length.min(self.input.len()));
            }
            // Chunks end in an empty one. Their contents could look like it too, with a chance that
            // a sink of compressed bytes can live with.
            None if head.to_ascii_lowercase().contains("transfer-encoding: chunked") => {
                let end = self.read_until(b"\r\n0\r\n\r\n").await?;
                self.input.drain(..end.unwrap_or(self.input.len()));
            }
            None => {}
        }
        Ok(())
    }

    async fn send_body(&mut self) -> io::Result<()> {
        static BYTES: [u8; BLOCK] = [b'b'; BLOCK];
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: {BODY}\r\n\r\n");
        self.stream.write_all(head.as_bytes()).await?;
        for _ in 0..BODY / BLOCK {
            self.stream.write_all(&BYTES).await?;
        }
        Ok(())
    }

    async fn send_events(&mut self, count: u32) -> io::Result<()> {
        // nginx holds an answer back until a buffer is full, unless it is told not to.
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Accel-Buffering: no\r\n\
                    Transfer-Encoding: chunked\r\n\r\n";
        self.stream.write_all(head.as_bytes()).await?;
        let text = "e".repeat(EVENT - "data: \n\n".len() - STAMP);
        let mut ticks = tokio::time::interval(GAP);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for _ in 0..count {
            ticks.tick().await;
            // When it left, for whoever wants to know how long it was on its way.
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
            let event = format!("{EVENT:x}\r\ndata: {now:0STAMP$}{text}\n\n\r\n");
            self.stream.write_all(event.as_bytes()).await?;
        }
        self.stream.write_all(b"0\r\n\r\n").await
    }
}

fn length(head: &str) -> Option<usize> {
    head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    })
}

/// A whole answer with 1 KiB of JSON.
fn json() -> Vec<u8> {
    let items = "{\"id\":1,\"kind\":\"item\",\"note\":\"as long as it has to be\"},".repeat(17);
    let body = format!("{{\"items\":[{}]}}", items.trim_end_matches(','));
    let body = format!("{body:<1024}");
    // The head of an answer as Node writes it.
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n\
                Date: Thu, 01 Jan 2026 00:00:00 GMT\r\nConnection: keep-alive\r\n\
                Keep-Alive: timeout=60\r\nContent-Length: ";
    format!("{head}{}\r\n\r\n{body}", body.len()).into_bytes()
}
