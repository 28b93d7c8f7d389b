//! One service behind hyper, on a thread with a runtime of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc;
use std::thread;

use axum::body::Body;
use axum::http::{Request, Response};
use bytes::Bytes;
use http_body::Body as HttpBody;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tower::{Service, ServiceExt};

use super::pin;
use crate::answer::Calls;
use crate::machine::Thread;
use crate::warm::warm;
use crate::{BoxError, Result, runtime};

/// A server; it goes on until the process ends.
pub(super) struct Server {
    pub(super) name: &'static str,
    pub(super) address: SocketAddr,
    pub(super) thread: Thread,
    calls: Option<(Calls, u64)>,
}

impl Server {
    /// Returns once the service is warm and its port is open.
    pub(super) fn start<S, B>(name: &'static str, service: S, calls: Option<Calls>) -> Result<Self>
    where
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<BoxError>,
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (ready, started) = mpsc::channel();
        thread::spawn(move || {
            pin(0);
            let failed = ready.clone();
            let serve = async {
                warm(name, &service, calls).await?;
                serve(service, &ready).await
            };
            if let Err(error) = runtime().and_then(|runtime| runtime.block_on(serve)) {
                let _ = failed.send(Err(error)); // nobody waits any more: the client will see it
            }
        });
        let (address, thread) = started
            .recv()
            .map_err(|_| format!("the server of {name} panicked"))??;
        Ok(Self {
            name,
            address,
            thread,
            calls: calls.map(|calls| (calls, calls.count())),
        })
    }

    /// Fails if anything but hits was served.
    pub(super) fn only_hits(&self) -> Result<()> {
        match self.calls {
            Some((calls, before)) if calls.count() != before => {
                Err(format!("{} over HTTP: its handler was called", self.name).into())
            }
            _ => Ok(()),
        }
    }
}

async fn serve<S, B>(service: S, ready: &mpsc::Sender<Result<(SocketAddr, Thread)>>) -> Result<()>
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    ready.send(Ok((listener.local_addr()?, Thread::current()?)))?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(connection(service.clone(), stream));
    }
}

/// As `axum::serve` does it, without its boxes around the service.
async fn connection<S, B>(service: S, stream: TcpStream)
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let each = service_fn(move |request: Request<Incoming>| {
        service.clone().oneshot(request.map(Body::new))
    });
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), each);
    if let Err(error) = served.await {
        eprintln!("  a connection ended: {error}"); // and its client says so, too
    }
}
