//! A client on a raw socket: it says what a test says, and may leave at any moment.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::PATIENCE;

/// One connection to the sidecar.
pub struct Client {
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer as it came over the wire.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// The head, lower case.
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a field, where it is there.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields(name).first().copied()
    }

    /// The values of a field, in their order.
    pub fn fields(&self, name: &str) -> Vec<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(':'));
        fields.filter(|(field, _)| *field == name).map(|(_, value)| value.trim()).collect()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }
}

impl Client {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("connect");
        stream.set_nodelay(true).expect("nodelay");
        Self { stream, buffer: Vec::new() }
    }

    /// Writes bytes as they are. A sidecar that closed is not an error here.
    pub async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        let _closed = self.stream.write_all(bytes.as_ref()).await;
    }

    /// Sends a GET and reads its whole answer.
    pub async fn get(&mut self, path: &str) -> Answer {
        self.say(format!("GET {path} HTTP/1.1\r\nhost: app.example\r\n\r\n")).await;
        self.answer().await
    }

    /// Sends a POST with this body and reads its whole answer.
    pub async fn post(&mut self, path: &str, body: &str) -> Answer {
        let length = body.len();
        self.say(format!(
            "POST {path} HTTP/1.1\r\nhost: app.example\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n{body}"
        ))
        .await;
        self.answer().await
    }

    /// Reads a whole answer: by length, by chunks, or to the end of the connection.
    pub async fn answer(&mut self) -> Answer {
        tokio::time::timeout(PATIENCE, self.read_answer(false)).await.expect("an answer in time")
    }

    /// Reads an answer that has no body, whatever its head says (HEAD).
    pub async fn head_only(&mut self) -> Answer {
        tokio::time::timeout(PATIENCE, self.read_answer(true)).await.expect("an answer in time")
    }

    /// Reads until these bytes have come; returns everything up to and with them.
    pub async fn until(&mut self, end: &[u8]) -> Vec<u8> {
        tokio::time::timeout(PATIENCE, async {
            loop {
                if let Some(at) = self.buffer.windows(end.len()).position(|part| part == end) {
                    return self.buffer.drain(..at + end.len()).collect();
                }
                assert!(self.fill().await, "the connection ended before {end:?}");
            }
        })
        .await
        .expect("bytes in time")
    }

    /// Reads what is left until the sidecar closes. A reset counts as a close.
    pub async fn rest(&mut self) -> Vec<u8> {
        let reading = async { while self.fill().await {} };
        tokio::time::timeout(PATIENCE, reading).await.expect("a close in time");
        std::mem::take(&mut self.buffer)
    }

    /// Reads and forgets this many bytes, fewer where the connection ends; returns how many.
    pub async fn skip(&mut self, bytes: usize) -> usize {
        tokio::time::timeout(PATIENCE, async {
            let mut skipped = 0;
            loop {
                let part = self.buffer.len().min(bytes - skipped);
                self.buffer.drain(..part);
                skipped += part;
                if skipped == bytes || !self.fill().await {
                    return skipped;
                }
            }
        })
        .await
        .expect("bytes in time")
    }

    async fn fill(&mut self) -> bool {
        self.stream.read_buf(&mut self.buffer).await.is_ok_and(|read| read > 0)
    }

    async fn read_answer(&mut self, is_head: bool) -> Answer {
        let head = String::from_utf8(self.until(b"\r\n\r\n").await).expect("an ASCII head");
        let head = head.to_lowercase();
        let status = head.get(9..12).and_then(|s| s.parse().ok()).expect("a status");
        let mut answer = Answer { status, head, body: Vec::new() };
        if (100..200).contains(&status) && status != 101 {
            return Box::pin(self.read_answer(is_head)).await;
        }
        if is_head || matches!(status, 204 | 304) {
            return answer;
        }
        if let Some(length) = answer.field("content-length").and_then(|l| l.parse().ok()) {
            while self.buffer.len() < length && self.fill().await {}
            let length: usize = length.min(self.buffer.len());
            answer.body = self.buffer.drain(..length).collect();
        } else if answer.field("transfer-encoding") == Some("chunked") {
            answer.body = self.chunks().await;
        } else {
            answer.body = self.rest().await;
        }
        answer
    }

    /// The payload of a chunked body; it stops where the connection does.
    async fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            while !self.buffer.contains(&b'\n') {
                if !self.fill().await {
                    return body;
                }
            }
            let line = String::from_utf8(self.until(b"\r\n").await).expect("a chunk size");
            let size = usize::from_str_radix(line.trim(), 16).expect("a hexadecimal size");
            if size == 0 {
                self.until(b"\r\n").await;
                return body;
            }
            while self.buffer.len() < size + 2 && self.fill().await {}
            let size = size.min(self.buffer.len());
            body.extend(self.buffer.drain(..size));
            self.buffer.drain(..2.min(self.buffer.len()));
        }
    }
}
