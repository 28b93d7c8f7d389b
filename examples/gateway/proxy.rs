//! [`Proxy`]: the service inside the cache. It sends a request to the origin and
//! gives back what the origin says, bodies as they come.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, StatusCode, Uri, Version, header};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client as Pool, Error as PoolError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use pin_project_lite::pin_project;
use tokio::sync::Notify;
use tower::Service;

use super::fields;

/// Less than origins keep an idle connection open (Node: 5 s), so that no
/// request meets one that is just being closed.
const POOL_IDLE: Duration = Duration::from_secs(2);

type BoxError = Box<dyn Error + Send + Sync>;

/// Who asks; an extension of the request.
#[derive(Debug, Clone, Copy)]
pub struct Client(pub IpAddr);

/// Where requests go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(Authority);

impl FromStr for Origin {
    type Err = String;

    /// `http://HOST[:PORT]`.
    fn from_str(text: &str) -> Result<Self, String> {
        let no = |why: &str| format!("{text:?} is not of the form http://HOST[:PORT]: {why}");
        let uri: Uri = text.parse().map_err(|_| no("it is no URL"))?;
        if uri.scheme() != Some(&Scheme::HTTP) {
            return Err(no("only http is spoken to the origin"));
        }
        if uri.query().is_some() || uri.path() != "/" {
            return Err(no("the path is the request's"));
        }
        match uri.into_parts().authority {
            Some(host) if host.as_str().contains('@') => Err(no("it has credentials")),
            Some(host) => Ok(Self(host)),
            None => Err(no("it has no host")),
        }
    }
}

/// Forwards requests to one origin. Its error is an origin that did not answer.
pub struct Proxy<B> {
    pool: Pool<HttpConnector, Watched<B>>,
    origin: Origin,
    timeout: Duration,
}

impl<B> Proxy<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// `timeout` is how long the origin may be silent, from the last that it was
    /// sent to the head of its answer.
    pub fn new(origin: Origin, timeout: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(timeout));
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .set_host(false) // it is the client's
            .build(connector);
        Self {
            pool,
            origin,
            timeout,
        }
    }

    /// The request as the origin gets it: its own target and the client's host.
    fn rewrite(&self, request: &mut Request<B>) -> Result<(), http::Error> {
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = Uri::builder()
            .scheme(Scheme::HTTP)
            .authority(self.origin.0.clone())
            .path_and_query(path.unwrap_or(PathAndQuery::from_static("/")))
            .build()?;
        let client = request.extensions().get::<Client>().copied();
        let version = std::mem::replace(request.version_mut(), Version::HTTP_11);
        let headers = request.headers_mut();
        if !headers.contains_key(header::HOST) {
            headers.insert(header::HOST, HeaderValue::from_str(self.origin.0.as_str())?);
        }
        if headers.contains_key(header::TE) {
            headers.insert(header::CONNECTION, HeaderValue::from_static("te"));
        }
        if let Some(Client(address)) = client {
            fields::add_forwarded_for(headers, address);
        }
        fields::add_via(headers, version);
        Ok(())
    }
}

impl<B> Service<Request<B>> for Proxy<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Incoming>;
    type Error = ProxyError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Incoming>, ProxyError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ProxyError>> {
        Poll::Ready(Ok(())) // the pool opens as many connections as are needed
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let failed = ProxyError::at(&self.origin);
        if let Err(error) = self.rewrite(&mut request) {
            return Box::pin(async move { Err(failed(Failure::Request(error))) });
        }
        let moved = Arc::new(Notify::new());
        let request = request.map(|inner| Watched {
            inner,
            moved: Arc::clone(&moved),
        });
        let answer = self.pool.request(request);
        let timeout = self.timeout;
        Box::pin(async move {
            let mut response = match unless_silent(answer, &moved, timeout).await {
                Some(answer) => answer.map_err(|error| failed(Failure::Pool(error)))?,
                None => return Err(failed(Failure::Silent(timeout))),
            };
            // the version is each connection's own (RFC 9110, 2.5)
            let version = std::mem::replace(response.version_mut(), Version::HTTP_11);
            fields::strip_response(response.headers_mut());
            fields::add_via(response.headers_mut(), version);
            Ok(response)
        })
    }
}

impl<B> Clone for Proxy<B> {
    fn clone(&self) -> Self {
        Self {
            pool: self.pool.clone(),
            origin: self.origin.clone(),
            timeout: self.timeout,
        }
    }
}

/// The answer, unless nothing moves for `timeout`. A long upload is no silence.
async fn unless_silent<F: Future>(
    answer: F,
    moved: &Notify,
    timeout: Duration,
) -> Option<F::Output> {
    let mut answer = std::pin::pin!(answer);
    loop {
        tokio::select! {
            answer = &mut answer => return Some(answer),
            () = moved.notified() => {}
            () = tokio::time::sleep(timeout) => return None,
        }
    }
}

pin_project! {
    /// A request's body that tells when some of it was taken.
    pub struct Watched<B> {
        #[pin]
        inner: B,
        moved: Arc<Notify>,
    }
}

impl<B: Body> Body for Watched<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let frame = this.inner.poll_frame(cx);
        if frame.is_ready() {
            this.moved.notify_one();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// An origin that did not answer, and why.
#[derive(Debug)]
pub struct ProxyError {
    origin: Origin,
    failure: Failure,
}

#[derive(Debug)]
enum Failure {
    Request(http::Error),
    Pool(PoolError),
    Silent(Duration),
}

impl ProxyError {
    fn at(origin: &Origin) -> impl FnOnce(Failure) -> Self + use<> {
        let origin = origin.clone();
        move |failure| Self { origin, failure }
    }

    /// 504 where time was up, else 502 (RFC 9110, 15.6.3 and 15.6.5).
    pub fn status(&self) -> StatusCode {
        match &self.failure {
            Failure::Silent(_) => StatusCode::GATEWAY_TIMEOUT,
            Failure::Pool(error) if timed_out(error) => StatusCode::GATEWAY_TIMEOUT,
            Failure::Request(_) | Failure::Pool(_) => StatusCode::BAD_GATEWAY,
        }
    }
}

/// Whether the time for connecting was up.
fn timed_out(error: &PoolError) -> bool {
    chain(error)
        .filter_map(|error| error.downcast_ref::<std::io::Error>())
        .any(|error| error.kind() == std::io::ErrorKind::TimedOut)
}

fn chain<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = &self.origin.0;
        match &self.failure {
            Failure::Silent(timeout) => {
                write!(f, "the origin {origin} did not answer within {timeout:?}")
            }
            Failure::Request(error) => {
                write!(f, "the origin {origin} cannot be asked for this: {error}")
            }
            Failure::Pool(error) if error.is_connect() => {
                let why = chain(error).last().unwrap_or(error);
                write!(f, "the origin {origin} could not be reached: {why}")
            }
            Failure::Pool(error) => {
                let why = chain(error).last().unwrap_or(error);
                write!(f, "the origin {origin} gave no answer: {why}")
            }
        }
    }
}

impl Error for ProxyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.failure {
            Failure::Request(error) => Some(error),
            Failure::Pool(error) => Some(error),
            Failure::Silent(_) => None,
        }
    }
}

#[cfg(test)] // run by tests/gateway.rs
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_long_upload_is_no_silence() {
        let (limit, moved) = (Duration::from_secs(10), Notify::new());
        let upload = async {
            for _ in 0..5 {
                tokio::time::sleep(limit / 2).await;
                moved.notify_one();
            }
            std::future::pending().await
        };
        let answer = tokio::time::sleep(limit * 3);
        tokio::select! {
            answer = unless_silent(answer, &moved, limit) => assert!(answer.is_some()),
            () = upload => {}
        }
        assert!(
            unless_silent(std::future::pending::<()>(), &moved, limit)
                .await
                .is_none()
        );
    }
}
