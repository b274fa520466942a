//! Upstreams that do exactly what a test says, byte by byte.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A listening upstream; it ends with the test.
pub struct Upstream {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    heads: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Upstream {
    /// How many connections were accepted so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// The request heads seen so far, as they came.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().clone()
    }

    /// Whether a request head with this text in it has come.
    pub fn has_seen(&self, text: &str) -> bool {
        self.heads.lock().iter().any(|head| head.contains(text))
    }
}

/// One accepted connection of the sidecar's.
pub struct Wire {
    pub stream: TcpStream,
    buffer: Vec<u8>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Wire {
    /// Reads one request head; `None` at the end of the connection.
    pub async fn head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                let rest = self.buffer.split_off(end + 4);
                let head = std::mem::replace(&mut self.buffer, rest);
                let head = String::from_utf8_lossy(&head).into_owned();
                self.heads.lock().push(head.clone());
                return Some(head);
            }
            if self.stream.read_buf(&mut self.buffer).await.ok()? == 0 {
                return None;
            }
        }
    }

    /// Reads exactly this many bytes of body; fewer where the connection ends.
    pub async fn body(&mut self, length: usize) -> Vec<u8> {
        while self.buffer.len() < length {
            if self.stream.read_buf(&mut self.buffer).await.unwrap_or(0) == 0 {
                break;
            }
        }
        let length = length.min(self.buffer.len());
        self.buffer.drain(..length).collect()
    }

    /// Reads until these bytes have come; returns everything up to and with them.
    pub async fn until(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|part| part == end) {
                return self.buffer.drain(..at + end.len()).collect();
            }
            if self.stream.read_buf(&mut self.buffer).await.unwrap_or(0) == 0 {
                return std::mem::take(&mut self.buffer);
            }
        }
    }

    /// Writes bytes as they are.
    pub async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        // The sidecar may have left, as a test may want; what it saw is asserted elsewhere.
        let _left = self.stream.write_all(bytes.as_ref()).await;
    }

    /// Waits until the other side has closed. Bytes that still come are thrown away.
    pub async fn closed(&mut self) {
        let mut scratch = [0; 1024];
        while let Ok(1..) = self.stream.read(&mut scratch).await {}
    }

    /// The same, for at most this long: gives what was said time to arrive.
    pub async fn closed_or(&mut self, patience: std::time::Duration) {
        let _elapsed = tokio::time::timeout(patience, self.closed()).await;
    }

    /// Closes with a reset.
    pub fn reset(self) {
        let socket = socket2::SockRef::from(&self.stream);
        socket.set_linger(Some(std::time::Duration::ZERO)).expect("linger");
    }
}

/// Starts an upstream whose every connection is handed to `script`.
pub async fn scripted<F, Fut>(script: F) -> Upstream
where
    F: Fn(Wire) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    scripted_at(TcpListener::bind("127.0.0.1:0").await.expect("bind"), script)
}

/// The same behind a listener of the test's own.
pub fn scripted_at<F, Fut>(listener: TcpListener, script: F) -> Upstream
where
    F: Fn(Wire) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let address = listener.local_addr().expect("address");
    let connections = Arc::<AtomicUsize>::default();
    let heads = Arc::<Mutex<Vec<String>>>::default();
    let mut tasks = JoinSet::new();
    let (counted, seen) = (Arc::clone(&connections), Arc::clone(&heads));
    tasks.spawn(async move {
        let mut running = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            stream.set_nodelay(true).expect("nodelay");
            let wire = Wire { stream, buffer: Vec::new(), heads: Arc::clone(&seen) };
            running.spawn(script(wire));
        }
    });
    Upstream { address, connections, heads, _tasks: tasks }
}

/// An upstream that answers every request with these bytes.
pub async fn answering(answer: impl Into<Vec<u8>>) -> Upstream {
    let answer: Arc<[u8]> = answer.into().into();
    scripted(move |mut wire| {
        let answer = Arc::clone(&answer);
        async move {
            while let Some(head) = wire.head().await {
                wire.body(content_length(&head)).await;
                wire.say(&answer).await;
            }
        }
    })
    .await
}

/// An upstream that answers the first request of each connection with these bytes, and closes.
pub async fn answering_once(answer: impl Into<Vec<u8>>) -> Upstream {
    let answer: Arc<[u8]> = answer.into().into();
    scripted(move |mut wire| {
        let answer = Arc::clone(&answer);
        async move {
            wire.head().await;
            wire.say(&answer).await;
        }
    })
    .await
}

/// An upstream that says these bytes to the first head of each connection, and then nothing more.
pub async fn stalling(answer: impl Into<Vec<u8>>) -> Upstream {
    let answer: Arc<[u8]> = answer.into().into();
    scripted(move |mut wire| {
        let answer = Arc::clone(&answer);
        async move {
            wire.head().await;
            wire.say(&answer).await;
            wire.closed().await;
        }
    })
    .await
}

/// An upstream whose answer is the chunked body that it got, with its framing and its trailers.
pub async fn reading_aloud() -> Upstream {
    scripted(async |mut wire| {
        wire.head().await;
        let body = wire.until(b"\r\n\r\n").await;
        let length = body.len();
        wire.say(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n")).await;
        wire.say(body).await;
    })
    .await
}

/// The `content-length` of a head; 0 without one.
pub fn content_length(head: &str) -> usize {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or(0)
}

/// An address where nobody listens.
pub async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    listener.local_addr().expect("address")
}
