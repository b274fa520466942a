//! An HTTP/1.1 server of one function, for what is sent out of the sidecar: every request is read whole.
//!
//! What a request means, and what becomes of it, is the function's.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// An answer; an error closes the connection instead.
pub type Answered = io::Result<Response<Full<Bytes>>>;

type Answer =
    dyn Fn(Parts, Vec<u8>) -> Pin<Box<dyn Future<Output = Answered> + Send>> + Send + Sync;

/// A running receiver; it ends with the test.
pub struct Receiver {
    pub address: SocketAddr,
    answer: Arc<Answer>,
    tasks: JoinSet<()>,
}

impl Receiver {
    /// Starts a receiver that answers a head and its body by this function.
    pub async fn start<F, Fut>(answer: F) -> Self
    where
        F: Fn(Parts, Vec<u8>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Answered> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let answer: Arc<Answer> = Arc::new(move |head, body| Box::pin(answer(head, body)));
        let mut receiver = Self { address, answer, tasks: JoinSet::new() };
        receiver.open(listener);
        receiver
    }

    /// Dies: closes its port and every connection.
    pub async fn go_away(&mut self) {
        self.tasks.shutdown().await;
    }

    /// Comes back on the same port.
    pub async fn come_back(&mut self) {
        self.open(TcpListener::bind(self.address).await.expect("bind"));
    }

    fn open(&mut self, listener: TcpListener) {
        let answer = Arc::clone(&self.answer);
        self.tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&answer)));
            }
        });
    }
}

async fn serve(stream: TcpStream, answer: Arc<Answer>) {
    let service = service_fn(|request| receive(request, Arc::clone(&answer)));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
    drop(served); // The sidecar may leave, and a test may want a reset.
}

async fn receive(request: Request<Incoming>, answer: Arc<Answer>) -> Answered {
    let (head, mut incoming) = request.into_parts();
    let mut body = Vec::new();
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(io::Error::other)?;
        body.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
    }
    answer(head, body).await
}
