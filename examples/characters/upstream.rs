//! The service that knows which checkpoints, samplers and schedulers there are: a
//! stand-in on the loopback, and the pooled client that asks it through the cache.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::Path;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt;
use axum::{Json, Router};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use larder::{CacheLayer, CacheService};
use tower::{Layer, ServiceExt};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The other service.
#[derive(Clone)]
pub struct Upstream {
    pub address: SocketAddr,
    calls: Arc<AtomicU64>,
    connections: Arc<AtomicU64>,
}

impl Upstream {
    /// Starts it on a free port; it takes `latency` for an answer.
    pub async fn start(latency: Duration) -> Result<Self, Error> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let upstream = Self {
            address: listener.local_addr()?,
            calls: Arc::default(),
            connections: Arc::default(),
        };
        let (calls, connections) = (upstream.calls.clone(), upstream.connections.clone());
        let list = move |Path(name): Path<String>| async move {
            calls.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(latency).await;
            known(&name)
        };
        let app = Router::new().route("/{name}", get(list));
        let listener = listener.tap_io(move |_| {
            connections.fetch_add(1, Ordering::SeqCst);
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(upstream)
    }

    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }
}

fn known(name: &str) -> Response {
    match name {
        "checkpoints" => Json(["base-1.5", "xl-1.0"]).into_response(),
        "samplers" => Json(["euler", "ddim"]).into_response(),
        "schedulers" => Json(["karras", "simple"]).into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Asks the other service: one pool of connections, and around it the same layer
/// that is around the application's own routes.
#[derive(Clone)]
pub struct Lists {
    client: CacheService<Client<HttpConnector, Full<Bytes>>>,
    base: Arc<str>,
}

impl Lists {
    pub fn new(upstream: &Upstream, layer: &CacheLayer) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self {
            client: layer.layer(client),
            base: format!("http://{}", upstream.address).into(),
        }
    }

    pub async fn get(&self, name: &str) -> Result<Vec<String>, Error> {
        let uri = format!("{}/{name}", self.base);
        let request = Request::builder().uri(uri).body(Full::default())?;
        let response = self.client.clone().oneshot(request).await?;
        if !response.status().is_success() {
            return Err(format!("{name}: status {}", response.status()).into());
        }
        let body = response.into_body().collect().await?.to_bytes();
        Ok(serde_json::from_slice(&body)?)
    }
}
