//! The services that `hit` and `allocations` measure.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Request, Response};
use axum::response::IntoResponse;
use axum::routing::get;
use bytes::Bytes;
use futures_util::FutureExt;
use larder::{Cache, MIB, Policy, Routes, minutes};
use tower::{Service, ServiceExt};

/// How many URLs are asked for in turn.
pub const KEYS: usize = 1_000;

/// 1 KiB of JSON, as a handler returns it.
async fn answer() -> impl IntoResponse {
    static JSON: [u8; 1024] = [b'x'; 1024];
    (
        [(CONTENT_TYPE, "application/json")],
        Bytes::from_static(&JSON),
    )
}

/// Returns a clone of a response that was made once.
#[derive(Clone)]
struct ReadyClone(Arc<(HeaderMap, Bytes)>);

impl Service<Request<Body>> for ReadyClone {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        let (headers, body) = &*self.0;
        let mut response = Response::new(Body::from(body.clone()));
        *response.headers_mut() = headers.clone();
        ready(Ok(response))
    }
}

/// As a browser's `fetch` sends it.
fn request(n: usize) -> Request<Body> {
    Request::builder()
        .uri(format!("/items/{}", n % KEYS))
        .header("host", "bench.example")
        .header(
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        )
        .header("accept", "application/json, text/plain, */*")
        .header("accept-language", "en-US,en;q=0.5")
        .header("accept-encoding", "gzip, deflate, br, zstd")
        .header("referer", "https://bench.example/items")
        .header("sec-fetch-dest", "empty")
        .header("sec-fetch-mode", "cors")
        .header("sec-fetch-site", "same-origin")
        .body(Body::empty())
        .unwrap()
}

/// A service under its own type, so that nothing is measured but itself.
pub struct Case {
    pub name: &'static str,
    /// Asks so many times, each request made anew.
    pub run: Box<dyn FnMut(usize)>,
}

fn case<S>(name: &'static str, service: S) -> Case
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + 'static,
{
    let run = move |requests| {
        for n in 0..requests {
            let answer = service.clone().oneshot(request(n));
            let Some(Ok(response)) = answer.now_or_never() else {
                panic!("a hit and these handlers are ready at once");
            };
            black_box(response);
        }
    };
    Case {
        name,
        run: Box::new(run),
    }
}

async fn fill<S>(service: &S)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone,
{
    for n in 0..KEYS {
        let response = service.clone().oneshot(request(n)).await.unwrap();
        axum::body::to_bytes(response.into_body(), 1 << 20)
            .await
            .unwrap();
    }
}

/// All cases, their caches filled, and the cache that they share.
pub async fn cases() -> (Vec<Case>, Cache) {
    // with its state, as axum::serve gives it one: routes are made once, not for each request
    let plain = || {
        Router::new()
            .route("/items/{id}", get(answer))
            .with_state(())
    };
    let cache = Cache::builder().memory(64 * MIB).build().unwrap();
    let policy = || Policy::ttl(minutes(10));
    let layer = cache.layer(policy().endpoint("on-route"));
    let on_route: Router = Router::new()
        .route("/items/{id}", get(answer).layer(layer))
        .with_state(());
    let table = cache.routes(Routes::new().route("/items/{id}", policy()));
    let around_table = table.around(plain());
    let around_one = cache.layer(policy().endpoint("one")).around(plain());
    let once = plain().oneshot(request(0)).await.unwrap();
    let body = Bytes::from(vec![b'x'; 1024]);
    let ready_clone = ReadyClone(Arc::new((once.headers().clone(), body)));
    fill(&around_one).await;
    fill(&around_table).await;
    fill(&on_route).await;
    let cases = vec![
        case("plain axum handler", plain()),
        case("ready clone", ready_clone),
        case("around, one policy", around_one),
        case("around, table", around_table),
        case("on the route", on_route),
    ];
    (cases, cache)
}
