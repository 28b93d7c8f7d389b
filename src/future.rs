//! [`ResponseFuture`]: ready, or on its way.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use http::Response;

use crate::body::ResponseBody;

type Answer<B, E> = Result<Response<ResponseBody<B>>, E>;

/// The future of [`CacheService`](crate::CacheService).
pub struct ResponseFuture<B, E> {
    kind: Kind<B, E>,
}

enum Kind<B, E> {
    /// A hit in memory: nothing to poll, nothing on the heap.
    Ready(Option<Response<ResponseBody<B>>>),
    /// One of the ways of `serve.rs`: passed by, read or written.
    Going(BoxFuture<'static, Answer<B, E>>),
}

// nothing in it is pinned: the body of a ready response is only handed on
impl<B, E> Unpin for ResponseFuture<B, E> {}

impl<B, E> ResponseFuture<B, E> {
    #[inline]
    pub(crate) fn ready(response: Response<ResponseBody<B>>) -> Self {
        let kind = Kind::Ready(Some(response));
        Self { kind }
    }

    pub(crate) fn going(future: BoxFuture<'static, Answer<B, E>>) -> Self {
        let kind = Kind::Going(future);
        Self { kind }
    }
}

impl<B, E> Future for ResponseFuture<B, E> {
    type Output = Answer<B, E>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.kind {
            Kind::Ready(response) => match response.take() {
                Some(response) => Poll::Ready(Ok(response)),
                None => panic!("a future was polled after it had ended"),
            },
            Kind::Going(future) => future.as_mut().poll(cx),
        }
    }
}

impl<B, E> fmt::Debug for ResponseFuture<B, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
