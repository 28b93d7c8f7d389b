//! A layer around a whole axum router: a hit then skips axum's routing.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::{IntoMakeService, Router};
use tower_layer::Layer;
use tower_service::Service;

use crate::future::ResponseFuture;
use crate::layer::CacheLayer;
use crate::service::CacheService;

impl CacheLayer {
    /// Puts this layer around a whole router. No route has been matched yet
    /// where it stands, so a [`Routes`](crate::Routes) table decides by its own
    /// patterns; a single policy covers every path.
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{Router, routing::get};
    /// use larder::{Cache, MIB, Policy, Routes, minutes};
    ///
    /// let cache = Cache::builder().memory(64 * MIB).build()?;
    /// let router = Router::new().route("/characters", get(|| async { "[]" }));
    /// let app = cache
    ///     .routes(Routes::new().route("/characters", Policy::ttl(minutes(5))))
    ///     .around(router);
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    /// axum::serve(listener, app.into_make_service()).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn around(&self, router: Router) -> CachedRouter {
        CachedRouter {
            service: self.layer(router),
        }
    }
}

/// A router with a cache around it. Made by [`CacheLayer::around`].
#[derive(Clone)]
pub struct CachedRouter {
    service: CacheService<Router>,
}

impl CachedRouter {
    /// What `axum::serve` takes.
    pub fn into_make_service(self) -> IntoMakeService<Self> {
        axum::ServiceExt::<Request>::into_make_service(self)
    }
}

impl Service<Request> for CachedRouter {
    type Response = Response;
    type Error = Infallible;
    type Future = CachedRouterFuture;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request>::poll_ready(&mut self.service, cx)
    }

    #[inline]
    fn call(&mut self, request: Request) -> CachedRouterFuture {
        CachedRouterFuture {
            inner: self.service.call(request),
        }
    }
}

/// The future of [`CachedRouter`].
pub struct CachedRouterFuture {
    inner: ResponseFuture<Body, Infallible>,
}

impl Future for CachedRouterFuture {
    type Output = Result<Response, Infallible>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.inner.poll_with(cx, crate::ResponseBody::into_axum)
    }
}

impl fmt::Debug for CachedRouter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedRouter").finish_non_exhaustive()
    }
}

impl fmt::Debug for CachedRouterFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedRouterFuture").finish_non_exhaustive()
    }
}
