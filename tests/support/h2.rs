//! HTTP/2 on the client's side: a whole client, and raw frames for what no client would send.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use h2::client::{Connection, SendRequest};
use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::PATIENCE;

/// With what a client begins.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// An HTTP/2 client on one connection.
pub struct Client {
    pub send: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub head: http::response::Parts,
    pub body: Vec<u8>,
    pub trailers: Option<http::HeaderMap>,
}

impl Answer {
    /// The status.
    pub fn status(&self) -> u16 {
        self.head.status.as_u16()
    }

    /// The value of a field, where it is there.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }
}

impl Client {
    /// Connects with prior knowledge.
    pub async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.expect("connect")).await
    }

    /// Speaks over this connection.
    pub async fn over(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (send, connection): (_, Connection<_, Bytes>) =
            h2::client::handshake(io).await.expect("a handshake");
        #[expect(clippy::disallowed_methods, reason = "the handle is awaited by `parted`")]
        let connection = tokio::spawn(connection);
        Self { send, connection }
    }

    /// Sends a request without a body; its answer, read to the end.
    pub async fn send(&self, request: Request<()>) -> Result<Answer, h2::Error> {
        self.send_with(request, &[]).await
    }

    /// Sends a request with these frames of body; its answer, read to the end.
    pub async fn send_with(
        &self,
        request: Request<()>,
        body: &[&'static [u8]],
    ) -> Result<Answer, h2::Error> {
        tokio::time::timeout(PATIENCE, async {
            let mut send = self.send.clone().ready().await?;
            let (answer, mut stream) = send.send_request(request, body.is_empty())?;
            for (index, part) in body.iter().enumerate() {
                stream.send_data(Bytes::from_static(part), index + 1 == body.len())?;
            }
            read(answer.await?).await
        })
        .await
        .expect("an answer in time")
    }

    /// A GET of this path.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(get(path)).await.expect("an answer")
    }

    /// Waits until the sidecar ends the connection.
    pub async fn parted(self) -> Result<(), h2::Error> {
        let Self { send, connection } = self;
        let ended = tokio::time::timeout(PATIENCE, connection).await;
        drop(send);
        ended.expect("an end in time").expect("no panic")
    }
}

/// A GET of this path.
pub fn get(path: &str) -> Request<()> {
    Request::get(format!("http://app.example{path}")).body(()).expect("a request")
}

/// Reads an answer to its end.
pub async fn read(response: Response<h2::RecvStream>) -> Result<Answer, h2::Error> {
    let (head, mut stream) = response.into_parts();
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data?;
        stream.flow_control().release_capacity(data.len())?;
        body.extend_from_slice(&data);
    }
    let trailers = stream.trailers().await?;
    Ok(Answer { head, body, trailers })
}

/// A connection on which a test says every frame itself.
pub struct Raw {
    pub stream: TcpStream,
    buffer: BytesMut,
}

/// A frame as it came.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// Frame types (RFC 9113 §6).
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const GOAWAY: u8 = 7;
pub const CONTINUATION: u8 = 9;
/// Flags.
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

impl Raw {
    /// Connects, and says the preface and empty settings.
    pub async fn connect(address: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).await.expect("connect");
        stream.set_nodelay(true).expect("nodelay");
        stream.write_all(PREFACE).await.expect("a preface");
        let mut raw = Self { stream, buffer: BytesMut::new() };
        raw.say(SETTINGS, 0, 0, &[]).await;
        raw
    }

    /// Writes a frame. A sidecar that closed is not an error here.
    pub async fn say(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let _closed = self.stream.write_all(&frame(kind, flags, stream, payload)).await;
    }

    /// Sends a head with these fields, pseudo-header fields included, as a whole request.
    pub async fn ask(&mut self, stream: u32, fields: &[(&str, &str)]) {
        self.say(HEADERS, END_STREAM | END_HEADERS, stream, &block(fields)).await;
    }

    /// The next frame of this type; others are passed over. `None` at the end of the connection.
    pub async fn next(&mut self, kind: u8) -> Option<Frame> {
        let reading = async {
            loop {
                let frame = self.frame().await?;
                if frame.kind == kind {
                    return Some(frame);
                }
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("a frame in time")
    }

    /// The next frame of any type.
    pub async fn frame(&mut self) -> Option<Frame> {
        loop {
            if self.buffer.len() >= 9 {
                let length = usize::from(self.buffer[0]) << 16
                    | usize::from(self.buffer[1]) << 8
                    | usize::from(self.buffer[2]);
                if self.buffer.len() >= 9 + length {
                    let whole = self.buffer.split_to(9 + length);
                    let stream = u32::from_be_bytes([whole[5], whole[6], whole[7], whole[8]]);
                    let payload = whole[9..].to_vec();
                    return Some(Frame { kind: whole[3], flags: whole[4], stream, payload });
                }
            }
            if !self.stream.read_buf(&mut self.buffer).await.is_ok_and(|read| read > 0) {
                return None;
            }
        }
    }
}

/// A frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A header block: every field a literal, nothing indexed (RFC 7541 §6.2.2).
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(
                u8::try_from(text.len()).ok().filter(|len| *len < 127).expect("a short text"),
            );
            block.extend(text.as_bytes());
        }
    }
    block
}

/// The pseudo-header fields of a GET, and more.
pub fn head<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut fields = vec![
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "app.example"),
        (":path", "/"),
    ];
    fields.extend(more);
    fields
}
