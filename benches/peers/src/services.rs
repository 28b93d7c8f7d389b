//! The services that are compared: larder and its peers, each in memory, with
//! a TTL of an hour, room for every entry, and its defaults otherwise.
//!
//! Each peer is laid around the router as a plain tower layer, as larder is in
//! the row "around". All of them can stand there, two of them not on a route
//! without a handler for errors they bring along.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Request, Response};
use axum::routing::get;
use bytes::Bytes;
use http_body::Body as HttpBody;
use larder::{Cache, MIB, Policy, Routes, minutes};
use tower::util::MapResponse;
use tower::{Layer, Service};

use crate::answer::{Calls, JSON, JSON_TYPE, ROUTE, answer, router};
use crate::least::Least;
use crate::sync_body::SyncBody;
use crate::{BoxError, Result};

pub const PLAIN: &str = "plain axum handler";
pub const READY: &str = "ready clone of a response";
pub const LEAST: &str = "look-up and headers alone";
pub const LEAST_ON_ROUTE: &str = "look-up and headers alone, on the route";
pub const AROUND: &str = "larder, around the router";
pub const ON_ROUTE: &str = "larder, on the route";
pub const RESPONSE_CACHE: &str = "axum-response-cache";
pub const TOWER_HTTP_CACHE: &str = "tower-http-cache";
pub const HTTP_CACHE: &str = "http-cache-tower-server";
pub const HITBOX: &str = "hitbox-tower";
pub const HITBOX_BINCODE: &str = "hitbox-tower, values as bincode";

/// Packages: the first words of the names above.
pub const PEERS: [&str; 4] = [RESPONSE_CACHE, TOWER_HTTP_CACHE, HTTP_CACHE, HITBOX];

const TTL: Duration = Duration::from_secs(60 * 60);
/// Entries, for those that count entries: more than are asked for.
const ROOM: u64 = 10_000;

/// Sees each service under its own type.
pub trait Visit {
    fn visit<S, B>(&mut self, name: &'static str, service: S, calls: Option<Calls>) -> Result<()>
    where
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<BoxError>,
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>;
}

/// Shows every service to `visitor`, each with a cache of its own.
pub fn each(visitor: &mut impl Visit) -> Result<()> {
    visitor.visit(PLAIN, router(get(answer)), None)?;
    visitor.visit(READY, ReadyClone::new(), None)?;
    visitor.visit(LEAST, Least::new()?, None)?;
    let on_route = get(answer).layer(Least::new()?);
    visitor.visit(LEAST_ON_ROUTE, router(on_route), None)?;
    larder_around(visitor)?;
    larder_on_route(visitor)?;
    response_cache(visitor)?;
    tower_http_cache(visitor)?;
    http_cache(visitor)?;
    hitbox(visitor)?;
    hitbox_bincode(visitor)
}

fn larder_around(visitor: &mut impl Visit) -> Result<()> {
    let calls = Calls::new();
    let cache = Cache::builder().memory(64 * MIB).build()?;
    let table = cache.routes(Routes::new().route(ROUTE, Policy::ttl(minutes(10))));
    visitor.visit(AROUND, table.around(calls.router()), Some(calls))
}

fn larder_on_route(visitor: &mut impl Visit) -> Result<()> {
    let calls = Calls::new();
    let cache = Cache::builder().memory(64 * MIB).build()?;
    let handler = calls.handler().layer(cache.ttl(minutes(10)));
    visitor.visit(ON_ROUTE, router(handler), Some(calls))
}

fn response_cache(visitor: &mut impl Visit) -> Result<()> {
    let calls = Calls::new();
    let layer = axum_response_cache::CacheLayer::with_lifespan(TTL);
    visitor.visit(RESPONSE_CACHE, layer.layer(calls.router()), Some(calls))
}

fn tower_http_cache(visitor: &mut impl Visit) -> Result<()> {
    use tower_http_cache::backend::memory::InMemoryBackend;
    let calls = Calls::new();
    let layer = tower_http_cache::layer::CacheLayer::builder(InMemoryBackend::new(ROOM))
        .ttl(TTL)
        .build();
    let router = MapResponse::new(calls.router(), |response: Response<Body>| {
        response.map(SyncBody::new)
    });
    visitor.visit(TOWER_HTTP_CACHE, layer.layer(router), Some(calls))
}

/// The handler sends no `Cache-Control`, so it is told to cache by default.
fn http_cache(visitor: &mut impl Visit) -> Result<()> {
    use http_cache_tower_server::{ServerCacheLayer, ServerCacheOptions};
    let calls = Calls::new();
    let manager = http_cache::MokaManager::new(http_cache::MokaCache::new(ROOM));
    let options = ServerCacheOptions {
        default_ttl: Some(TTL),
        cache_by_default: true,
        ..ServerCacheOptions::default()
    };
    let layer = ServerCacheLayer::new(manager).with_options(options);
    visitor.visit(HTTP_CACHE, layer.layer(calls.router()), Some(calls))
}

/// Values are kept as JSON, its default.
fn hitbox(visitor: &mut impl Visit) -> Result<()> {
    let backend = hitbox_moka::MokaBackend::builder()
        .max_entries(ROOM)
        .build();
    hitbox_with(visitor, HITBOX, backend)
}

/// With the format that its documentation calls fast: the default would not
/// show what it can do.
fn hitbox_bincode(visitor: &mut impl Visit) -> Result<()> {
    let backend = hitbox_moka::MokaBackend::builder()
        .max_entries(ROOM)
        .value_format(hitbox_backend::format::BincodeFormat)
        .build();
    hitbox_with(visitor, HITBOX_BINCODE, backend)
}

/// The key is made of what its own guide shows: method and path.
fn hitbox_with<B>(visitor: &mut impl Visit, name: &'static str, backend: B) -> Result<()>
where
    B: hitbox::backend::CacheBackend + Clone + Send + Sync + 'static,
{
    use hitbox::policy::PolicyConfig;
    use hitbox_http::extractors::{Method, path::PathExtractor as _};
    use hitbox_http::predicates::{NeutralRequestPredicate, NeutralResponsePredicate};
    let calls = Calls::new();
    let config = hitbox::Config::builder()
        .request_predicate(NeutralRequestPredicate::new())
        .response_predicate(NeutralResponsePredicate::new())
        .extractor(Method::new().path(ROUTE))
        .policy(PolicyConfig::builder().ttl(TTL).build())
        .build();
    let layer = hitbox_tower::Cache::builder()
        .backend(backend)
        .config(config)
        .build();
    visitor.visit(name, layer.layer(calls.router()), Some(calls))
}

/// Returns a clone of a response that was made once: what a cache that costs
/// nothing would take.
#[derive(Clone)]
struct ReadyClone(Arc<(HeaderMap, Bytes)>);

impl ReadyClone {
    fn new() -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON_TYPE));
        headers.insert(CONTENT_LENGTH, JSON.len().into());
        // owned, as a cache's bodies are: its clones count references
        Self(Arc::new((headers, Bytes::from(JSON.to_vec()))))
    }
}

impl Service<Request<Body>> for ReadyClone {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<std::result::Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::result::Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        let (headers, body) = &*self.0;
        let mut response = Response::new(Body::from(body.clone()));
        *response.headers_mut() = headers.clone();
        ready(Ok(response))
    }
}
