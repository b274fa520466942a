//! `server.tls.redirect_from`: a port without TLS that sends everybody to the one with it.
//!
//! One request per connection, one answer: 308, so that method and body stay (RFC 9110 §15.4.9), and
//! a record like any other's. Nothing is read beyond the head, and nothing is passed on.

use std::convert::Infallible;
use std::sync::Arc;

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, LOCATION};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::connection::close;
use super::socket::Socket;
use crate::proxy::Proxy;
use crate::proxy::answer::{self, Asked};
use crate::proxy::exchange::Exchange;
use crate::proxy::peer::Peer;
use crate::proxy::reply::ReplyBody;
use crate::proxy::survey::Survey;
use crate::record::{Outcome, Refusal};

/// Where to send everybody.
#[derive(Clone, Copy, Debug)]
pub struct Redirect {
    /// The port with TLS; `None` leaves it out.
    port: Option<u16>,
}

/// The port of https, which a URL need not name.
const HTTPS: u16 = 443;

impl Redirect {
    /// Sends to this port of whatever host was asked for.
    pub fn to(port: Option<u16>) -> Self {
        Self { port: port.filter(|port| *port != HTTPS) }
    }

    /// Serves a connection until it ends, at the latest when the clocks of a head and of a write have
    /// both run out.
    pub(super) async fn serve(
        self,
        proxy: &Arc<Proxy>,
        stream: impl Socket,
        peer: Peer,
        stop: CancellationToken,
    ) {
        let limits = proxy.plan().limits;
        let end = Instant::now() + limits.header_timeout + limits.write_timeout;
        let peer = &peer;
        let service =
            service_fn(async |request| Ok::<_, Infallible>(self.answer(proxy, peer, request)));
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_headers(limits.max_headers)
            .max_header_size(limits.max_header_bytes)
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service);
        let served = async {
            tokio::select! {
                ended = &mut connection => ended,
                () = stop.cancelled() => {
                    Pin::new(&mut connection).graceful_shutdown();
                    (&mut connection).await
                }
            }
        };
        // Whatever went wrong, the client has its answer or has left.
        drop(timeout_at(end, served).await);
        // The body of a request is not read, and a reset for it would overtake the answer.
        close(connection.into_parts().io.into_inner(), true).await;
    }

    fn answer(
        self,
        proxy: &Arc<Proxy>,
        peer: &Peer,
        request: Request<Incoming>,
    ) -> Response<ReplyBody> {
        let (head, _body) = request.into_parts();
        let plan = proxy.plan();
        let mut survey = Survey::of(&head.headers, &plan, peer);
        let mut exchange =
            Exchange::begin(proxy, Arc::clone(&plan), peer, &head, &mut survey, false);
        let Some(location) = self.location(&head) else {
            return answer::refuse(exchange, Refusal::BadRequest.into(), Asked::of(&head, &survey));
        };
        exchange.enter(&plan.unmatched, head.uri.path());
        exchange.status = Some(StatusCode::PERMANENT_REDIRECT.as_u16());
        let mut response = Response::new(ReplyBody::Own(None));
        *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
        let fields = response.headers_mut();
        fields.insert(LOCATION, location);
        fields.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        fields.insert(CONNECTION, HeaderValue::from_static("close"));
        answer::sign(&exchange, fields);
        exchange.end(Outcome::Served);
        response
    }

    /// The same target at the same host, over https; `None` where the head names no usable host.
    fn location(self, head: &Parts) -> Option<HeaderValue> {
        if head.method == Method::CONNECT {
            return None;
        }
        let mut hosts = head.headers.get_all(HOST).iter();
        let authority = match (head.uri.authority(), hosts.next(), hosts.next()) {
            (Some(authority), _, None) => authority.clone(),
            (None, Some(host), None) => Authority::try_from(host.as_bytes()).ok()?,
            _ => return None,
        };
        if authority.host().is_empty() || authority.as_str().contains('@') {
            return None;
        }
        let host = authority.host();
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
        // `OPTIONS *` has no path of its own.
        let target = if target.starts_with('/') { target } else { "/" };
        let location = match self.port {
            Some(port) => format!("https://{host}:{port}{target}"),
            None => format!("https://{host}{target}"),
        };
        HeaderValue::try_from(location).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(port: Option<u16>, target: &str, hosts: &[&str]) -> Option<String> {
        let mut request = Request::get(target);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let location = Redirect::to(port).location(&head)?;
        Some(location.to_str().unwrap().to_owned())
    }

    #[test]
    fn the_same_target_over_https() {
        let cases = [
            (Some(443), "/a?b=c", "app.example", "https://app.example/a?b=c"),
            (Some(8443), "/", "app.example:8080", "https://app.example:8443/"),
            (None, "http://x.example:80/a", "app.example", "https://x.example/a"),
            (None, "/", "[2001:db8::1]:80", "https://[2001:db8::1]/"),
        ];
        for (port, target, host, expected) in cases {
            assert_eq!(location(port, target, &[host]).as_deref(), Some(expected));
        }
    }

    #[test]
    fn nobody_is_sent_to_a_host_that_nobody_named() {
        for hosts in [&[][..], &["a", "b"], &[""], &["user@evil.example"], &["a b"]] {
            assert_eq!(location(None, "/", hosts), None, "{hosts:?}");
        }
    }
}
