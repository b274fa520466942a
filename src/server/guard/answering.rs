//! A service's answer on its way to hyper, which tells the guard when it is over.
//!
//! hyper drops the body of an answer once it has the last byte of it, or will not ask for more. The
//! guard waits for that, and for the flush behind it, before it looks at the next request.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::Response;
use http_body::{Body, Frame, SizeHint};

use crate::proxy::peer::Link;

/// A future answer. See the module. Cancel safe if the future is.
#[derive(Debug)]
pub struct Answering<'a, F> {
    answer: Pin<Box<F>>,
    link: &'a Arc<Link>,
}

impl<'a, F> Answering<'a, F> {
    /// Watches over the answer to a request on this connection.
    pub fn new(answer: Pin<Box<F>>, link: &'a Arc<Link>) -> Self {
        Self { answer, link }
    }
}

impl<F, B> Future for Answering<'_, F>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
{
    type Output = Result<Response<Watched<B>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Ok(response) = ready!(self.answer.as_mut().poll(cx));
        let link = Arc::clone(self.link);
        Poll::Ready(Ok(response.map(|body| Watched { body, link })))
    }
}

/// The body of an answer.
#[derive(Debug)]
pub struct Watched<B> {
    body: B,
    link: Arc<Link>,
}

impl<B: Body + Unpin> Body for Watched<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        if this.link.is_waited_for() {
            // hyper may go to sleep on an end without a flush, and the request in line with it.
            cx.waker().wake_by_ref();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for Watched<B> {
    fn drop(&mut self) {
        self.link.note_answered();
    }
}
