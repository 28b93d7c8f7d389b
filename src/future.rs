//! [`ResponseFuture`]: ready, on its way past the cache, or being served.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::future::BoxFuture;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower::util::Oneshot;
use tower_service::Service;

use crate::entry::ResponseBody;
use crate::layer::Shared;
use crate::outcome::Bypass;
use crate::serve::passed;

type Answer<B, E> = Result<Response<ResponseBody<B>>, E>;

pin_project! {
    /// The future of [`CacheService`](crate::CacheService).
    pub struct ResponseFuture<S, R, B>
    where
        S: Service<Request<R>, Response = Response<B>>,
    {
        #[pin]
        kind: Kind<S, R, B>,
    }
}

pin_project! {
    #[project = KindProj]
    #[allow(clippy::large_enum_variant)] // a hit must not touch the heap
    enum Kind<S, R, B>
    where
        S: Service<Request<R>, Response = Response<B>>,
    {
        // a hit in memory
        Ready { response: Option<Response<ResponseBody<B>>> },
        // the inner service is readied and answers as if there were no cache
        Bypass { #[pin] inner: Oneshot<S, Request<R>>, shared: Arc<Shared>, reason: Bypass, nested: bool },
        // the story of `serve.rs`
        Boxed { future: BoxFuture<'static, Answer<B, S::Error>> },
    }
}

impl<S, R, B> ResponseFuture<S, R, B>
where
    S: Service<Request<R>, Response = Response<B>>,
{
    #[inline]
    pub(crate) fn ready(response: Response<ResponseBody<B>>) -> Self {
        let response = Some(response);
        Self {
            kind: Kind::Ready { response },
        }
    }

    pub(crate) fn bypass(
        inner: Oneshot<S, Request<R>>,
        shared: Arc<Shared>,
        reason: Bypass,
        nested: bool,
    ) -> Self {
        Self {
            kind: Kind::Bypass {
                inner,
                shared,
                reason,
                nested,
            },
        }
    }

    pub(crate) fn boxed(future: BoxFuture<'static, Answer<B, S::Error>>) -> Self {
        Self {
            kind: Kind::Boxed { future },
        }
    }
}

impl<S, R, B> Future for ResponseFuture<S, R, B>
where
    S: Service<Request<R>, Response = Response<B>>,
{
    type Output = Result<Response<ResponseBody<B>>, S::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().kind.project() {
            KindProj::Ready { response } => match response.take() {
                Some(response) => Poll::Ready(Ok(response)),
                None => panic!("a future was polled after it had ended"),
            },
            KindProj::Bypass {
                inner,
                shared,
                reason,
                nested,
            } => {
                let answer = ready!(inner.poll(cx));
                let pass = |response| passed(&shared.engine, response, *reason, *nested);
                Poll::Ready(answer.map(pass))
            }
            KindProj::Boxed { future } => future.as_mut().poll(cx),
        }
    }
}

impl<S, R, B> fmt::Debug for ResponseFuture<S, R, B>
where
    S: Service<Request<R>, Response = Response<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
