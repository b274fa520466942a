//! The client side of the demo: kept-alive connections, and one request on one of them.
//!
//! A connection's driver is a task owned by its [`Line`]; dropping the line closes the socket, which
//! is how a client leaves. Idle lines are few and bounded; nothing is retried.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, USER_AGENT};
use http::{HeaderValue, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::act::Act;

/// Idle connections kept.
const MAX_IDLE: usize = 16;
/// For one request, its whole answer included.
const TIMEOUT: Duration = Duration::from_secs(15);

/// How a request ended, as its client saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The whole answer came.
    Answered(StatusCode),
    /// The client left on purpose.
    Left,
    /// There was no connection, or no whole answer in time.
    Broken,
}

/// The connections to one target.
#[derive(Debug)]
pub(super) struct Lines {
    target: SocketAddr,
    host: Option<HeaderValue>,
    idle: Mutex<Vec<Line>>,
    drivers: TaskTracker,
}

/// One connection and the task that drives it.
#[derive(Debug)]
struct Line {
    sender: SendRequest<Full<Bytes>>,
    _driver: AbortOnDropHandle<()>,
}

impl Lines {
    /// No connection yet.
    pub(super) fn to(target: SocketAddr) -> Self {
        Self {
            target,
            host: HeaderValue::try_from(target.to_string()).ok(),
            idle: Mutex::new(Vec::new()),
            drivers: TaskTracker::new(),
        }
    }

    /// Makes one request. Dropping the future closes the connection it uses.
    pub(super) async fn visit(&self, act: Act) -> Ending {
        match tokio::time::timeout(TIMEOUT, self.exchange(act)).await {
            Ok(Ok(ending)) => ending,
            Ok(Err(_)) | Err(_) => Ending::Broken,
        }
    }

    /// Closes the idle connections and waits for every driver.
    pub(super) async fn close(&self) {
        self.idle.lock().clear();
        self.drivers.close();
        self.drivers.wait().await;
    }

    async fn exchange(&self, act: Act) -> Result<Ending, Box<dyn std::error::Error + Send + Sync>> {
        let mut line = self.line().await?;
        let mut request = act.request();
        if let Some(host) = &self.host {
            request.headers_mut().insert(HOST, host.clone());
        }
        let name = HeaderValue::from_static("vital-sidecar-demo/1");
        request.headers_mut().insert(USER_AGENT, name);
        let mut response = line.sender.send_request(request).await?;
        while let Some(frame) = response.body_mut().frame().await {
            frame?;
            if act.leaves {
                return Ok(Ending::Left);
            }
        }
        let mut idle = self.idle.lock();
        if idle.len() < MAX_IDLE {
            idle.push(line);
        }
        Ok(Ending::Answered(response.status()))
    }

    /// An idle connection that still is one, or a new one.
    async fn line(&self) -> Result<Line, Box<dyn std::error::Error + Send + Sync>> {
        loop {
            let idle = self.idle.lock().pop();
            let Some(mut line) = idle else { break };
            // An answer may end a moment before its connection is ready for the next request.
            if line.sender.ready().await.is_ok() {
                return Ok(line);
            }
        }
        let stream = TcpStream::connect(self.target).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let driver = self.drivers.spawn(async move {
            // An error ends the request that met it, and is counted there.
            drop(connection.await);
        });
        Ok(Line { sender, _driver: AbortOnDropHandle::new(driver) })
    }
}
