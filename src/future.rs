//! [`ResponseFuture`]: ready, or on its way.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use http::{Extensions, Response};

use crate::body::ResponseBody;
use crate::entry::Held;
use crate::reply::Hit;

type Answer<B, E> = Result<Response<ResponseBody<B>>, E>;

/// The future of [`CacheService`](crate::CacheService).
pub struct ResponseFuture<B, E> {
    kind: Kind<B, E>,
}

enum Kind<B, E> {
    /// A hit in memory, its entry until it is taken, and extensions whose room is used again:
    /// nothing to poll, nothing on the heap.
    Hit(Hit, Option<Arc<Held>>, Extensions),
    /// One whose response has been shaped already.
    Ready(Option<Box<Response<ResponseBody<B>>>>),
    /// One of the ways of `serve.rs`: passed by, read or written.
    Going(BoxFuture<'static, Answer<B, E>>),
}

// nothing in it is pinned: the body of a ready response is only handed on
impl<B, E> Unpin for ResponseFuture<B, E> {}

impl<B, E> ResponseFuture<B, E> {
    #[inline]
    pub(crate) fn hit(hit: Hit, held: Arc<Held>, spare: Extensions) -> Self {
        let kind = Kind::Hit(hit, Some(held), spare);
        Self { kind }
    }

    pub(crate) fn ready(response: Response<ResponseBody<B>>) -> Self {
        let kind = Kind::Ready(Some(Box::new(response)));
        Self { kind }
    }

    pub(crate) fn going(future: BoxFuture<'static, Answer<B, E>>) -> Self {
        let kind = Kind::Going(future);
        Self { kind }
    }

    /// Polls for a response with another body.
    #[inline]
    pub(crate) fn poll_with<T>(
        &mut self,
        cx: &mut Context<'_>,
        body: impl FnOnce(ResponseBody<B>) -> T,
    ) -> Poll<Result<Response<T>, E>> {
        match &mut self.kind {
            Kind::Hit(hit, held, spare) => {
                let (held, spare) = (taken(held.take()), std::mem::take(spare));
                let response = hit.response(held, spare, |held| body(ResponseBody::held(held)));
                Poll::Ready(Ok(response))
            }
            Kind::Ready(response) => Poll::Ready(Ok(taken(response.take()).map(body))),
            Kind::Going(future) => {
                let answer = future.as_mut().poll(cx);
                answer.map_ok(|response| response.map(body))
            }
        }
    }
}

fn taken<T>(ready: Option<T>) -> T {
    match ready {
        Some(ready) => ready,
        None => panic!("a future was polled after it had ended"),
    }
}

impl<B, E> Future for ResponseFuture<B, E> {
    type Output = Answer<B, E>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_with(cx, |body| body)
    }
}

impl<B, E> fmt::Debug for ResponseFuture<B, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
