//! [`CacheService`]: where a request meets the cache.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::ask::{Ask, ask};
use crate::entry::ResponseBody;
use crate::error::BoxError;
use crate::future::ResponseFuture;
use crate::layer::Shared;
use crate::nested;
use crate::outcome::Tier;
use crate::serve::{Serve, forward, hit};

/// A service whose responses are cached. Made by [`CacheLayer`](crate::CacheLayer).
///
/// Its error is the inner service's own. It is always ready: an inner service
/// is readied only when it is called, so that a hit waits for nobody.
#[derive(Clone)]
pub struct CacheService<S> {
    pub(crate) inner: S,
    pub(crate) shared: Arc<Shared>,
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for CacheService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    ReqBody: Body + Send + 'static,
    ResBody: Body<Data = Bytes> + Send + 'static,
    ResBody::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, ReqBody, ResBody>;

    #[inline]
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let engine = &self.shared.engine;
        let nested = nested::is_inner(request.extensions(), engine);
        let mut asked = match ask(&self.shared, &request) {
            Ask::Cache(asked) => asked,
            Ask::Write(policy) => {
                let write = self.serve(nested).write(policy, request);
                return ResponseFuture::boxed(Box::pin(write));
            }
            Ask::Bypass(reason) => {
                let inner = forward(self.inner.clone(), request, &self.shared);
                return ResponseFuture::bypass(inner, Arc::clone(&self.shared), reason, nested);
            }
        };
        match engine.look_memory(&mut asked, request.headers()) {
            Ok(found) => {
                let entry = &found.entry.entry;
                let response = hit(engine, entry, found.times(), Tier::Memory, asked.head);
                ResponseFuture::ready(nested::mark(response, nested, engine))
            }
            Err(cause) => {
                let read = self.serve(nested).read(asked, cause, request);
                ResponseFuture::boxed(Box::pin(read))
            }
        }
    }
}

impl<S: Clone> CacheService<S> {
    fn serve(&self, nested: bool) -> Serve<S> {
        Serve {
            inner: self.inner.clone(),
            shared: Arc::clone(&self.shared),
            nested,
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for CacheService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheService")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
