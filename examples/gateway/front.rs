//! [`Front`]: what stands between the clients and the cache.
//!
//! 1. `CONNECT` asks for a tunnel, which a gateway has not: 501.
//! 2. A request names one host: the target's, else the `Host` field's, and
//!    where there is none or more than one: 400 (RFC 9112, 3.2). The cache and
//!    the origin see the same one.
//! 3. Fields of one connection go no further. They must not reach the cache: a
//!    field that `Connection` lists is not seen by the origin, so it must not
//!    be part of a key either.
//! 4. What failed behind the cache is answered here, 502 or 504. It is an error
//!    until then, so that the cache cannot take it for an answer and may serve
//!    a stale one in its place.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body_util::{Either, Full};
use tower::Service;
use tower::util::ServiceExt;

use super::fields;
use super::proxy::ProxyError;

/// A forwarded body, or a line of the gateway's own.
pub type FrontBody<B> = Either<B, Full<Bytes>>;

type Answer<B> = Response<FrontBody<B>>;

#[derive(Clone)]
pub struct Front<S> {
    inner: S,
}

impl<S> Front<S> {
    /// Around the cache's layer around the proxy.
    pub fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S, R, B> Service<Request<R>> for Front<S>
where
    S: Service<Request<R>, Response = Response<B>, Error = ProxyError> + Clone + Send + 'static,
    S::Future: Send,
    R: Send + 'static,
    B: Send,
{
    type Response = Answer<B>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Answer<B>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(())) // a clone is readied when it is called
    }

    fn call(&mut self, mut request: Request<R>) -> Self::Future {
        let admitted = admit(&mut request);
        let inner = self.inner.clone();
        Box::pin(async move {
            let answer = match admitted {
                Ok(()) => inner.oneshot(request).await,
                Err((status, why)) => return Ok(own(status, why)),
            };
            Ok(match answer {
                Ok(response) => response.map(Either::Left),
                Err(error) => {
                    tracing::warn!(%error, "the origin did not answer");
                    own(error.status(), &error.to_string())
                }
            })
        })
    }
}

/// Mirrors the list above.
fn admit<R>(request: &mut Request<R>) -> Result<(), (StatusCode, &'static str)> {
    if *request.method() == Method::CONNECT {
        return Err((StatusCode::NOT_IMPLEMENTED, "a gateway makes no tunnels"));
    }
    settle_host(request).map_err(|why| (StatusCode::BAD_REQUEST, why))?;
    fields::strip_request(request.headers_mut());
    Ok(())
}

fn settle_host<R>(request: &mut Request<R>) -> Result<(), &'static str> {
    if let Some(target) = request.uri().authority() {
        let (_, host) = target
            .as_str()
            .rsplit_once('@')
            .unwrap_or(("", target.as_str()));
        let host = HeaderValue::from_str(host).map_err(|_| "the target's host cannot be read")?;
        request.headers_mut().insert(header::HOST, host);
        return Ok(());
    }
    let hosts = request.headers().get_all(header::HOST).iter().count();
    match (hosts, request.version()) {
        (1, _) | (0, Version::HTTP_10) => Ok(()),
        (0, _) => Err("the request names no host"),
        _ => Err("the request names more than one host"),
    }
}

/// An answer of the gateway's own.
fn own<B>(status: StatusCode, why: &str) -> Answer<B> {
    let text = format!("{status}: {why}\n");
    let mut response = Response::new(Either::Right(Full::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, plain);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
