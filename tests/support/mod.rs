//! What the tests share: requests and replies, and real Redis servers.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test is a crate and uses its part"
)]

pub mod chance;
pub mod characters;
pub mod log;
pub mod processes;
pub mod redis_server;
pub mod terminal;

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, Response, StatusCode};
use bytes::Bytes;
use http_body_util::BodyExt;
use larder::testing::ManualClock;
use larder::{Cache, MIB, Outcome};
use redis_server::Redis;
use tower::{Service, ServiceExt};

/// A lease for tests that invalidate in Redis: a young clock makes them wait so
/// long.
pub const SHORT: Duration = Duration::from_millis(100);

/// Time enough for a Redis that is well, on a machine that is busy.
pub const PATIENT: Duration = Duration::from_secs(5);

/// A response, read to its end.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub outcome: Outcome,
}

impl Reply {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn hit(&self) -> bool {
        self.outcome.is_hit()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub fn cache_status(&self) -> &str {
        self.header("cache-status")
    }

    /// `detail` of `Cache-Status`: why it was so.
    pub fn detail(&self) -> &str {
        self.cache_status()
            .rsplit_once("detail=")
            .map_or("", |(_, detail)| detail)
    }
}

pub fn request(method: Method, uri: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(uri);
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", "a.example");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::empty()).unwrap()
}

/// Sends a request and reads the response to its end.
pub async fn send<S, B>(app: &S, request: Request<Body>) -> Reply
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone,
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let response = app.clone().oneshot(request).await.unwrap();
    let outcome = larder::testing::outcome(&response);
    let (parts, body) = response.into_parts();
    Reply {
        status: parts.status,
        headers: parts.headers,
        body: body.collect().await.unwrap().to_bytes(),
        outcome,
    }
}

pub async fn get<S, B>(app: &S, uri: &str) -> Reply
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone,
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    send(app, request(Method::GET, uri, &[])).await
}

pub async fn get_with<S, B>(app: &S, uri: &str, headers: &[(&str, &str)]) -> Reply
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone,
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    send(app, request(Method::GET, uri, headers)).await
}

/// Counts how often a handler ran.
#[derive(Clone, Default)]
pub struct Calls(Arc<AtomicUsize>);

impl Calls {
    pub fn count(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub fn now(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// The tiers that a test runs on: memory, and a real Redis alone.
pub struct Tiers {
    pub name: &'static str,
    pub cache: Cache,
    pub clock: ManualClock,
    pub redis: Option<Redis>,
}

pub async fn tiers() -> Vec<Tiers> {
    tiers_with(|builder| builder).await
}

/// The same with more settings.
pub async fn tiers_with(
    settings: impl Fn(larder::CacheBuilder) -> larder::CacheBuilder,
) -> Vec<Tiers> {
    let clock = ManualClock::new();
    let memory = Cache::builder()
        .memory(16 * MIB)
        .clock(Arc::new(clock.clone()));
    let memory = Tiers {
        name: "memory",
        cache: settings(memory).build().unwrap(),
        clock,
        redis: None,
    };
    let redis = Redis::start();
    let clock = ManualClock::new();
    let shared = Cache::builder()
        .redis(redis.url())
        .lease(SHORT)
        .operation_timeout(PATIENT)
        .clock(Arc::new(clock.clone()));
    let shared = Tiers {
        name: "redis",
        cache: settings(shared).build().unwrap(),
        clock,
        redis: Some(redis),
    };
    vec![memory, shared]
}

/// Waits for something to be true, with a deadline.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut check: impl FnMut() -> F) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while !check().await {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::task::yield_now().await;
    }
}

/// What a route without a layer answers to JSON, or to nothing.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {:?}", self.body))
    }
}

/// Gets something with a bearer token.
pub async fn ask_as(app: &axum::Router, token: &str, uri: &str) -> Answer {
    let request = Request::get(uri)
        .header("host", "a.example")
        .header("authorization", format!("Bearer {token}"));
    answer(app, request.body(Body::empty()).unwrap()).await
}

pub async fn ask(
    app: &axum::Router,
    method: &str,
    uri: &str,
    json: Option<serde_json::Value>,
) -> Answer {
    let request = Request::builder().method(method).uri(uri);
    let request = request
        .header("host", "a.example")
        .header("content-type", "application/json");
    let body = json.map_or_else(Body::empty, |json| json.to_string().into());
    answer(app, request.body(body).unwrap()).await
}

async fn answer(app: &axum::Router, request: Request<Body>) -> Answer {
    let (parts, body) = app.clone().oneshot(request).await.unwrap().into_parts();
    Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: body.collect().await.unwrap().to_bytes(),
    }
}
