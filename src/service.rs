//! [`CacheService`]: where a request meets the cache.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::ask::{Ask, ask};
use crate::entry::ResponseBody;
use crate::error::BoxError;
use crate::future::ResponseFuture;
use crate::key::Writer;
use crate::layer::Shared;
use crate::nested;
use crate::outcome::Tier;
use crate::reply;
use crate::serve::Serve;

/// A service whose responses are cached. Made by [`CacheLayer`](crate::CacheLayer).
///
/// Its error is the inner service's own. It is always ready: an inner service
/// is readied only when it is called, so that a hit waits for nobody.
pub struct CacheService<S> {
    core: Arc<Core<S>>,
}

/// All clones share one inner service, and clone it only to call it: a hit
/// does not pay for a clone that it never calls.
struct Core<S> {
    inner: Mutex<S>,
    shared: Arc<Shared>,
}

impl<S> CacheService<S> {
    pub(crate) fn new(inner: S, shared: Arc<Shared>) -> Self {
        let inner = Mutex::new(inner);
        Self {
            core: Arc::new(Core { inner, shared }),
        }
    }
}

impl<S> Clone for CacheService<S> {
    #[inline]
    fn clone(&self) -> Self {
        Self {
            core: Arc::clone(&self.core),
        }
    }
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
    type Future = ResponseFuture<ResBody, S::Error>;

    #[inline]
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let shared = &self.core.shared;
        let engine = &shared.engine;
        let nested = nested::is_inner(request.extensions(), engine);
        let mut canonical = Writer::empty();
        let asked = match ask(shared, &request, &mut canonical) {
            Ask::Cache(asked) => asked,
            Ask::Write(policy, question) => {
                let question = question.map(|question| *question);
                let policy = Arc::clone(policy);
                let write = self.serve(nested).write(policy, question, request);
                return ResponseFuture::going(Box::pin(write));
            }
            Ask::Content(policy) => {
                let content = self.serve(nested).content(Arc::clone(policy), request);
                return ResponseFuture::going(Box::pin(content));
            }
            Ask::Bypass(reason) => {
                let pass = self.serve(nested).pass(reason, request);
                return ResponseFuture::going(Box::pin(pass));
            }
        };
        match engine.look_memory(&asked, &canonical, request.headers()) {
            Ok(found) => {
                let entry = &found.entry.entry;
                let spare = std::mem::take(request.extensions_mut());
                let mut response = reply::hit(
                    engine,
                    entry,
                    found.times(),
                    Tier::Memory,
                    asked.head,
                    spare,
                );
                if reply::has_shape(asked.policy, &asked.asks) {
                    let (policy, coded) = (asked.policy, &found.entry.coded);
                    response =
                        reply::shape(response, policy, coded, request.headers(), &asked.asks);
                }
                ResponseFuture::ready(nested::mark(response, nested, engine))
            }
            Err((missed, variant)) => {
                let question = asked.question(&canonical, variant);
                let read = self.serve(nested).read(question, missed, request);
                ResponseFuture::going(Box::pin(read))
            }
        }
    }
}

impl<S: Clone> CacheService<S> {
    fn serve(&self, nested: bool) -> Serve<S> {
        Serve {
            inner: self
                .core
                .inner
                .lock()
                .map_or_else(|e| e.into_inner().clone(), |s| s.clone()),
            shared: Arc::clone(&self.core.shared),
            nested,
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for CacheService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheService")
            .field("inner", &self.core.inner)
            .finish_non_exhaustive()
    }
}
