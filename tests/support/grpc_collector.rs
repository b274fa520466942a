//! A collector that is spoken to by gRPC, on hyper's HTTP/2 server: strict with what it is sent, and
//! as odd in what it answers as a test wants it.

use std::collections::VecDeque;
use std::io::Read;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use flate2::read::GzDecoder;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Version};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use parking_lot::Mutex;
use prost::Message;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// An answer: its head, its frames, and how it ends.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    status: u16,
    headers: HeaderMap,
    frames: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
    end: End,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum End {
    #[default]
    Whole,
    /// Says nothing more, and does not end.
    Silent,
    /// Ends the stream with an error.
    Reset,
    /// Not even a head comes.
    Headless,
}

impl Reply {
    /// Takes the request, all but so many spans.
    pub fn taken(rejected_spans: i64) -> Self {
        let partial = ExportTracePartialSuccess { rejected_spans, error_message: String::new() };
        let partial_success = (rejected_spans != 0).then_some(partial);
        let message = ExportTraceServiceResponse { partial_success }.encode_to_vec();
        let mut frame = vec![0];
        frame.extend(u32::try_from(message.len()).expect("a short message").to_be_bytes());
        frame.extend(message);
        Self::http(200).body(frame).trailers(&[("grpc-status", "0")])
    }

    /// Refuses with a status in the only header block.
    pub fn refused(fields: &[(&'static str, &str)]) -> Self {
        Self { headers: map(fields), ..Self::http(200) }
    }

    /// An HTTP status, and nothing of gRPC behind it.
    pub fn http(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// Never answers.
    pub fn silence() -> Self {
        Self { end: End::Headless, ..Self::http(200) }
    }

    pub fn body(mut self, bytes: impl Into<Bytes>) -> Self {
        self.frames.push_back(bytes.into());
        self
    }

    pub fn trailers(mut self, fields: &[(&'static str, &str)]) -> Self {
        self.trailers = Some(map(fields));
        self
    }

    /// What follows never comes.
    pub fn hanging(self) -> Self {
        Self { end: End::Silent, ..self }
    }

    /// What follows is a reset of the stream.
    pub fn reset(self) -> Self {
        Self { end: End::Reset, ..self }
    }
}

fn map(fields: &[(&'static str, &str)]) -> HeaderMap {
    let fields = fields.iter().map(|(name, value)| {
        (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"))
    });
    fields.collect()
}

impl Body for Reply {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(data) = self.frames.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        match self.end {
            End::Silent | End::Headless => Poll::Pending,
            End::Reset => Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionReset.into()))),
            End::Whole => Poll::Ready(self.trailers.take().map(|all| Ok(Frame::trailers(all)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty() && self.trailers.is_none() && self.end == End::Whole
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub uri: String,
    pub headers: HeaderMap,
    /// The compressed flag.
    pub is_compressed: bool,
    /// The message, unpacked.
    pub message: Vec<u8>,
}

impl Seen {
    /// The log records of the message.
    pub fn log_records(&self) -> usize {
        if !self.uri.contains("LogsService") {
            return 0;
        }
        let request = ExportLogsServiceRequest::decode(&self.message[..]).expect("a request");
        let scopes = request.resource_logs.iter().flat_map(|group| &group.scope_logs);
        scopes.map(|scope| scope.log_records.len()).sum()
    }

    /// The spans of the message.
    pub fn spans(&self) -> usize {
        if !self.uri.contains("TraceService") {
            return 0;
        }
        let request = ExportTraceServiceRequest::decode(&self.message[..]).expect("a request");
        let scopes = request.resource_spans.iter().flat_map(|group| &group.scope_spans);
        scopes.map(|scope| scope.spans.len()).sum()
    }
}

#[derive(Default)]
struct State {
    script: Mutex<VecDeque<Reply>>,
    seen: Mutex<Vec<Seen>>,
    connections: Mutex<u64>,
}

/// A running collector.
pub struct GrpcCollector {
    pub address: SocketAddr,
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

impl GrpcCollector {
    /// One in the clear: HTTP/2 by prior knowledge.
    pub async fn start() -> Self {
        Self::start_with(None).await
    }

    /// One behind TLS.
    pub async fn start_tls(config: Arc<ServerConfig>) -> Self {
        Self::start_with(Some(TlsAcceptor::from(config))).await
    }

    async fn start_with(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let state = Arc::new(State::default());
        let mut tasks = JoinSet::new();
        let shared = Arc::clone(&state);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                *shared.connections.lock() += 1;
                let (state, tls) = (Arc::clone(&shared), tls.clone());
                connections.spawn(async move {
                    match tls {
                        None => serve(stream, state).await,
                        // A client that does not trust us is its own business.
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
                                serve(stream, state).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, state, _tasks: tasks }
    }

    /// The answers to the next requests; after them it takes everything.
    pub fn script(&self, replies: impl IntoIterator<Item = Reply>) {
        self.state.script.lock().extend(replies);
    }

    /// Every request so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().clone()
    }

    /// How many connections were made.
    pub fn connections(&self) -> u64 {
        *self.state.connections.lock()
    }
}

async fn serve(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, state: Arc<State>) {
    let service = service_fn(|request| answer(request, Arc::clone(&state)));
    let served =
        http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(io), service).await;
    drop(served); // A client that left is its own business.
}

async fn answer(
    request: Request<Incoming>,
    state: Arc<State>,
) -> Result<Response<Reply>, std::io::Error> {
    let (head, mut body) = request.into_parts();
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(std::io::Error::other)?;
        bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
    }
    let wrong = match unframe(&bytes, &head.headers) {
        _ if head.version != Version::HTTP_2 || head.method != "POST" => true,
        _ if !fits(&head.headers) => true,
        None => true,
        Some((is_compressed, message)) => {
            let (uri, headers) = (head.uri.to_string(), head.headers);
            state.seen.lock().push(Seen { uri, headers, is_compressed, message });
            false
        }
    };
    let next = state.script.lock().pop_front();
    let mut reply = match next {
        _ if wrong => Reply::refused(&[("grpc-status", "3")]),
        Some(reply) => reply,
        None => Reply::taken(0),
    };
    if reply.end == End::Headless {
        std::future::pending::<()>().await;
    }
    let mut response = Response::new(());
    *response.status_mut() = reply.status.try_into().expect("a status");
    *response.headers_mut() = std::mem::take(&mut reply.headers);
    Ok(response.map(|()| reply))
}

/// Whether the head is that of a gRPC request.
fn fits(headers: &HeaderMap) -> bool {
    headers.get("content-type").is_some_and(|value| value == "application/grpc")
        && headers.get("te").is_some_and(|value| value == "trailers")
        && headers.contains_key("grpc-timeout")
        && !headers.contains_key("content-encoding")
}

/// The one message of a request, and whether it was compressed; `None` if it is not as it says.
fn unframe(body: &[u8], headers: &HeaderMap) -> Option<(bool, Vec<u8>)> {
    let (frame, message) = body.split_first_chunk::<5>()?;
    let length = u32::from_be_bytes([frame[1], frame[2], frame[3], frame[4]]);
    if usize::try_from(length).ok()? != message.len() {
        return None;
    }
    match (frame[0], headers.get("grpc-encoding").map(HeaderValue::as_bytes)) {
        (0, None) => Some((false, message.to_vec())),
        (1, Some(b"gzip")) => {
            let mut plain = Vec::new();
            GzDecoder::new(message).read_to_end(&mut plain).ok()?;
            Some((true, plain))
        }
        _ => None,
    }
}
