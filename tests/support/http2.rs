//! Upstreams that speak HTTP/2: real ones with a scripted answer to each request, and raw ones that
//! write frames by hand.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response, StatusCode};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// A listening upstream; it ends with the test.
pub struct Http2 {
    pub address: SocketAddr,
    seen: Arc<Seen>,
    _tasks: JoinSet<()>,
}

/// What an upstream has seen so far.
#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    heads: Mutex<Vec<Request<()>>>,
}

impl Http2 {
    /// How many connections spoke HTTP/2 so far.
    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// The request heads so far.
    pub fn heads(&self) -> Vec<Request<()>> {
        self.seen.heads.lock().clone()
    }
}

/// One request, and the way to answer it.
pub struct Call {
    pub head: Request<()>,
    pub body: RecvStream,
    pub answer: SendResponse<Bytes>,
}

impl Call {
    /// Sends a head; the body may follow.
    pub fn begin(&mut self, fields: &[(&'static str, &str)]) -> SendStream<Bytes> {
        self.answer.send_response(head(fields), false).expect("an open stream")
    }

    /// Sends a head and a body, with its length.
    pub fn say(mut self, body: &str) {
        let mut stream = self.begin(&[("content-length", &body.len().to_string())]);
        // The sidecar may have left, as a test may want.
        let _left = stream.send_data(Bytes::copy_from_slice(body.as_bytes()), true);
    }

    /// Reads the whole request body; gives it and its trailers.
    pub async fn read(&mut self) -> (Vec<u8>, Option<HeaderMap>) {
        let mut bytes = Vec::new();
        while let Some(Ok(data)) = self.body.data().await {
            bytes.extend_from_slice(&data);
            let _gone = self.body.flow_control().release_capacity(data.len());
        }
        (bytes, self.body.trailers().await.unwrap_or_default())
    }
}

/// A head with status 200 and these fields.
pub fn head(fields: &[(&'static str, &str)]) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::OK;
    for (name, value) in fields {
        response.headers_mut().append(*name, value.parse().expect("a value"));
    }
    response
}

/// An upstream in the open whose every request is handed to `script`.
pub async fn h2c<F, Fut>(script: F) -> Http2
where
    F: Fn(Call) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    with(Builder::new(), None, script).await
}

/// The same with settings of its own, and TLS where it is given.
pub async fn with<F, Fut>(settings: Builder, tls: Option<TlsAcceptor>, script: F) -> Http2
where
    F: Fn(Call) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let seen = Arc::<Seen>::default();
    let mut tasks = JoinSet::new();
    let (shared, script) = (Arc::clone(&seen), Arc::new(script));
    tasks.spawn(async move {
        let mut running = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).expect("nodelay");
            let (seen, script) = (Arc::clone(&shared), Arc::clone(&script));
            let (settings, tls) = (settings.clone(), tls.clone());
            running.spawn(async move {
                match tls {
                    None => serve(&settings, stream, seen, script).await,
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            serve(&settings, stream, seen, script).await;
                        }
                    }
                }
            });
        }
    });
    Http2 { address, seen, _tasks: tasks }
}

async fn serve<S, F, Fut>(settings: &Builder, stream: S, seen: Arc<Seen>, script: Arc<F>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Fn(Call) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let Ok(mut connection) = settings.handshake(stream).await else { return };
    seen.connections.fetch_add(1, Ordering::SeqCst);
    let mut running = JoinSet::new();
    while let Some(Ok((request, answer))) = connection.accept().await {
        let (parts, body) = request.into_parts();
        let head = Request::from_parts(parts, ());
        seen.heads.lock().push(head.clone());
        running.spawn(script(Call { head, body, answer }));
    }
}

/// A connection on which the test writes its frames by hand.
pub struct Frames {
    pub stream: TcpStream,
}

/// A frame as it came.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
/// `:status: 200` in HPACK.
pub const STATUS_200: &[u8] = &[0x88];
pub const REFUSED_STREAM: u32 = 7;
pub const INTERNAL_ERROR: u32 = 2;

impl Frames {
    /// Reads the client's preface and says hello. `false` where nothing came: the sidecar only looked
    /// whether somebody is there.
    pub async fn greet(&mut self) -> bool {
        let mut preface = [0; 24];
        if self.stream.read_exact(&mut preface).await.is_err() {
            return false;
        }
        assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        self.write(SETTINGS, 0, 0, &[]).await;
        true
    }

    /// The next frame that is about a stream, or a GOAWAY. Settings and PINGs are answered.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            let frame = self.read().await?;
            match frame.kind {
                SETTINGS if frame.flags & ACK == 0 => self.write(SETTINGS, ACK, 0, &[]).await,
                PING if frame.flags & ACK == 0 => self.write(PING, ACK, 0, &frame.payload).await,
                DATA | HEADERS | RST_STREAM | GOAWAY => return Some(frame),
                _ => {}
            }
        }
    }

    /// The id of the stream that the next request opens.
    pub async fn request(&mut self) -> Option<u32> {
        loop {
            let frame = self.next().await?;
            if frame.kind == HEADERS {
                return Some(frame.stream);
            }
        }
    }

    /// Writes a frame.
    pub async fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).expect("a small frame");
        let mut bytes = length.to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(payload);
        let _left = self.stream.write_all(&bytes).await;
    }

    /// Answers a request with a head and a body.
    pub async fn answer(&mut self, stream: u32, body: &[u8]) {
        self.write(HEADERS, END_HEADERS, stream, STATUS_200).await;
        self.write(DATA, END_STREAM, stream, body).await;
    }

    /// Resets a stream.
    pub async fn reset(&mut self, stream: u32, reason: u32) {
        self.write(RST_STREAM, 0, stream, &reason.to_be_bytes()).await;
    }

    /// Says that no stream after `last` will be looked at.
    pub async fn go_away(&mut self, last: u32) {
        let mut payload = last.to_be_bytes().to_vec();
        payload.extend(0_u32.to_be_bytes());
        self.write(GOAWAY, 0, 0, &payload).await;
    }

    async fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        let mut payload = vec![0; length as usize];
        self.stream.read_exact(&mut payload).await.ok()?;
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }
}
