//! The services that `redis_hit` and `allocations` measure with Redis: a
//! handler that does one bare `GET`, and larder on Redis alone.

use std::convert::Infallible;
use std::hint::black_box;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Request, Response, StatusCode};
use axum::response::IntoResponse;
use axum::routing::get;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use larder::{Cache, CachedRouter, Policy, Routes, minutes};
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{Client, IntoConnectionInfo};
use tokio::task::JoinSet;
use tower::{Service, ServiceExt};

/// How many URLs are asked for in turn.
const KEYS: usize = 1_000;
const ROUTE: &str = "/items/{id}";
/// 1 KiB.
static JSON: [u8; 1024] = [b'x'; 1024];

/// As `benches/support/cases.rs` makes it.
fn request(n: usize) -> Request<Body> {
    Request::builder()
        .uri(format!("/items/{}", n % KEYS))
        .header("host", "bench.example")
        .header("accept", "application/json, text/plain, */*")
        .header("accept-encoding", "gzip, deflate, br, zstd")
        .body(Body::empty())
        .unwrap()
}

/// The crate's defaults, and no waiting for acknowledgements.
async fn connect(url: &str) -> MultiplexedConnection {
    let tcp = TcpSettings::default().set_nodelay(true);
    let info = url.into_connection_info().unwrap().set_tcp_settings(tcp);
    let client = Client::open(info).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

async fn bare_get(
    State(mut connection): State<MultiplexedConnection>,
    Path(id): Path<u32>,
) -> Response<Body> {
    let mut get = redis::cmd("GET");
    get.arg(format!("bare:{id}"));
    match get.query_async::<Bytes>(&mut connection).await {
        Ok(body) => ([(CONTENT_TYPE, "application/json")], body).into_response(),
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}

async fn bare(url: &str) -> Router {
    let mut connection = connect(url).await;
    for n in 0..KEYS {
        let mut set = redis::cmd("SET");
        set.arg(format!("bare:{n}")).arg(&JSON[..]);
        set.exec_async(&mut connection).await.unwrap();
    }
    Router::new()
        .route(ROUTE, get(bare_get))
        .with_state(connection)
}

async fn around(cache: &Cache) -> CachedRouter {
    let answer = || async { ([(CONTENT_TYPE, "application/json")], JSON.to_vec()) };
    let plain = Router::new().route(ROUTE, get(answer)).with_state(());
    let table = cache.routes(Routes::new().route(ROUTE, Policy::ttl(minutes(60))));
    let router = table.around(plain);
    for n in 0..KEYS {
        let response = router.clone().oneshot(request(n)).await.unwrap();
        let whole = axum::body::to_bytes(response.into_body(), 1 << 20).await;
        assert_eq!(whole.unwrap(), JSON[..]);
    }
    cache.idle().await;
    router
}

/// Sends requests, so many in all and so many at a time.
pub type Run = Box<dyn Fn(usize, usize) -> BoxFuture<'static, ()>>;

pub struct Case {
    pub name: &'static str,
    pub run: Run,
}

fn case<S>(name: &'static str, service: S) -> Case
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
{
    let run = move |requests: usize, at_a_time: usize| {
        let mut asking = JoinSet::new();
        for number in 0..at_a_time {
            let service = service.clone();
            asking.spawn(async move {
                for n in 0..requests / at_a_time {
                    let n = n + number * KEYS / at_a_time;
                    let response = service.clone().oneshot(request(n)).await.unwrap();
                    assert!(response.status().is_success());
                    black_box(response);
                }
            });
        }
        let all: BoxFuture<'static, ()> = Box::pin(async move {
            asking.join_all().await;
        });
        all
    };
    Case {
        name,
        run: Box::new(run),
    }
}

/// Both cases and larder's cache, all that is asked for being there.
pub async fn cases(url: &str) -> ([Case; 2], Cache) {
    let cache = Cache::builder().redis(url).build().unwrap();
    let cases = [
        case("bare GET", bare(url).await),
        case("larder", around(&cache).await),
    ];
    assert_eq!(cache.stats().misses, KEYS as u64);
    (cases, cache)
}

/// Nothing but hits, since `cases`.
pub fn only_hits(cache: &Cache) {
    let stats = cache.stats();
    assert_eq!((stats.misses, stats.store_errors), (KEYS as u64, 0));
}
