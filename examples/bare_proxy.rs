//! The smallest reverse proxy hyper can make in the sidecar's shape: the denominator of `make bench`.
//!
//! It accepts HTTP/1.1 with hyper's server, keeps idle upstream connections, and lets the task of
//! each request poll the upstream connection that it uses. It does nothing else: no header is
//! touched, nothing is timed, limited or recorded. What the sidecar costs beyond this, its features
//! cost. It is a measuring rod, not a proxy to use: a body has no limit and a client no deadline.
//!
//! Usage: `bare_proxy LISTEN UPSTREAM [WORKERS]`, addresses as `127.0.0.1:8080`.

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Connection, SendRequest, handshake};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, upstream, rest @ ..] = arguments.as_slice() else {
        return Err("usage: bare_proxy LISTEN UPSTREAM [WORKERS]".into());
    };
    let workers = rest.first().map_or(Ok(1), |text| text.parse())?;
    let pool = Arc::new(Pool { address: upstream.parse()?, idle: Mutex::default() });
    let listen: SocketAddr = listen.parse()?;

    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()?
        .block_on(serve(listen, pool))
}

async fn serve(listen: SocketAddr, pool: Arc<Pool>) -> Result<(), Failure> {
    let listener = TcpListener::bind(listen).await?;
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                stream.set_nodelay(true)?;
                let pool = Arc::clone(&pool);
                clients.spawn(async move {
                    let service = service_fn(move |request| answer(Arc::clone(&pool), request));
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await
                });
            }
            Some(_ended) = clients.join_next() => {}
        }
    }
}

async fn answer(
    pool: Arc<Pool>,
    request: Request<Incoming>,
) -> Result<Response<Relay>, Infallible> {
    Ok(forward(pool, request).await.unwrap_or_else(|_unreachable| {
        let mut response = Response::new(Relay::empty());
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        response
    }))
}

async fn forward(pool: Arc<Pool>, request: Request<Incoming>) -> Result<Response<Relay>, Failure> {
    let mut upstream = match pool.take() {
        Some(upstream) => upstream,
        None => Upstream::connect(pool.address).await?,
    };
    let response = upstream.exchange(request).await?;
    Ok(response.map(|body| Relay { body: Some(body), upstream: Some(upstream), pool: Some(pool) }))
}

/// Upstream connections that wait for a request.
struct Pool {
    address: SocketAddr,
    idle: Mutex<Vec<Upstream>>,
}

impl Pool {
    /// A connection that was alive when it was taken.
    fn take(&self) -> Option<Upstream> {
        loop {
            let mut upstream = self.idle.lock().pop()?;
            if upstream.is_idle() {
                return Some(upstream);
            }
        }
    }
}

/// One upstream connection with the future that moves its bytes. Nobody polls it but its request.
struct Upstream {
    sender: SendRequest<Incoming>,
    connection: Connection<TokioIo<TcpStream>, Incoming>,
}

impl Upstream {
    async fn connect(address: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        let mut upstream = Self { sender, connection };
        upstream.is_idle();
        Ok(upstream)
    }

    /// Lets hyper settle the last exchange; true when another may begin.
    fn is_idle(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        Pin::new(&mut self.connection).poll(&mut context).is_pending() && self.sender.is_ready()
    }

    async fn exchange(
        &mut self,
        request: Request<Incoming>,
    ) -> Result<Response<Incoming>, hyper::Error> {
        let mut response = pin!(self.sender.send_request(request));
        let connection = &mut self.connection;
        let mut is_closed = false;
        std::future::poll_fn(|context| {
            if !is_closed {
                is_closed = Pin::new(&mut *connection).poll(context).is_ready();
            }
            // The response is completed inside the poll above, in this task: were it given this
            // task's waker, each answer would wake the task that is already running.
            response.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        })
        .await
    }
}

/// The upstream's body, and the connection it arrives on until it has arrived.
struct Relay {
    body: Option<Incoming>,
    upstream: Option<Upstream>,
    pool: Option<Arc<Pool>>,
}

impl Relay {
    const fn empty() -> Self {
        Self { body: None, upstream: None, pool: None }
    }
}

impl Body for Relay {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        let Some(body) = this.body.as_mut() else { return Poll::Ready(None) };
        let mut silent = Context::from_waker(Waker::noop());
        let buffered = Pin::new(&mut *body).poll_frame(&mut silent);
        if buffered.is_ready() {
            return buffered;
        }
        if let Some(upstream) = this.upstream.as_mut()
            && Pin::new(&mut upstream.connection).poll(context).is_ready()
        {
            this.upstream = None;
        }
        Pin::new(body).poll_frame(&mut silent)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Relay {
    /// Keeps the connection when it has come to rest, which it has only after a whole body.
    fn drop(&mut self) {
        self.body = None;
        if let (Some(mut upstream), Some(pool)) = (self.upstream.take(), self.pool.take())
            && upstream.is_idle()
        {
            pool.idle.lock().push(upstream);
        }
    }
}
