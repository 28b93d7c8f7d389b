//! The hit path in process, the request's own making included: time and allocations beside a plain axum handler
//! and a service that returns a ready clone, interleaved, medians.
//!
//! `cargo bench --bench hit`

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Request, Response};
use axum::response::IntoResponse;
use axum::routing::get;
use larder::{Cache, MIB, Policy, Routes, minutes};
use bytes::Bytes;
use futures_util::FutureExt;
use tower::{Service, ServiceExt};

const KEYS: usize = 1_000;
const BATCH: usize = 2_000;
const ROUNDS: usize = 60;

/// 1 KiB of JSON, as a handler returns it.
async fn answer() -> impl IntoResponse {
    static JSON: [u8; 1024] = [b'x'; 1024];
    ([(CONTENT_TYPE, "application/json")], Bytes::from_static(&JSON))
}

/// Returns a clone of a response that was made once.
#[derive(Clone)]
struct ReadyClone {
    headers: HeaderMap,
    body: Bytes,
}

impl Service<Request<Body>> for ReadyClone {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        let mut response = Response::new(Body::from(self.body.clone()));
        *response.headers_mut() = self.headers.clone();
        ready(Ok(response))
    }
}

fn request(n: usize) -> Request<Body> {
    Request::builder()
        .uri(format!("/items/{}", n % KEYS))
        .header("host", "bench.example")
        .header("accept", "application/json")
        .header("user-agent", "bench/1.0")
        .body(Body::empty())
        .unwrap()
}

type Batch = Box<dyn FnMut(usize)>;

/// A service under its own type, so that nothing is measured but itself.
struct Case {
    name: &'static str,
    run: Batch,
    times: Vec<Duration>,
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
        times: Vec::new(),
    }
}

async fn fill<S>(service: &S)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone,
{
    for n in 0..KEYS {
        let response = service.clone().oneshot(request(n)).await.unwrap();
        axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    }
}

#[tokio::main(flavor = "current_thread")]
#[allow(clippy::disallowed_methods, reason = "a bench measures time")]
async fn main() {
    // with its state, as axum::serve gives it one: routes are made once, not for each request
    let plain = || Router::new().route("/items/{id}", get(answer)).with_state(());
    let cache = Cache::builder().memory(64 * MIB).build().unwrap();
    let policy = || Policy::ttl(minutes(60)).override_cache_control();
    let table = || cache.routes(Routes::new().route("/items/{id}", policy()));
    let on_route = Router::new().route(
        "/items/{id}",
        get(answer).layer(cache.layer(policy().endpoint("on-route"))),
    );
    let once = plain().oneshot(request(0)).await.unwrap();
    let on_route = on_route.with_state(());
    let ready_clone = ReadyClone {
        headers: once.headers().clone(),
        body: vec![b'x'; 1024].into(),
    };
    let around_one = cache.layer(policy().endpoint("one")).around(plain());
    let around_table = table().around(plain());
    fill(&around_one).await;
    fill(&around_table).await;
    fill(&on_route).await;
    let mut cases = [
        case("plain axum handler", plain()),
        case("ready clone", ready_clone),
        case("around, one policy", around_one),
        case("around, table", around_table),
        case("on the route", on_route),
    ];
    if let Some(only) = std::env::args().skip(1).find(|arg| !arg.starts_with('-')) {
        // one case for a profiler
        let case = cases.iter_mut().find(|case| case.name.contains(&only)).unwrap();
        let batches = if cfg!(debug_assertions) { 1 } else { 1_000 };
        (case.run)(BATCH * batches);
        return;
    }
    for _ in 0..ROUNDS {
        for case in &mut cases {
            let start = Instant::now();
            (case.run)(BATCH);
            case.times.push(start.elapsed());
        }
    }
    assert_eq!(cache.stats().misses, 3 * KEYS as u64, "only hits were measured");
    let base = median(&mut cases[0].times);
    println!("{:<22} {:>8} {:>7} {:>12}", "", "ns", "ratio", "allocations");
    for case in &mut cases {
        let time = median(&mut case.times);
        let counted = allocation_counter::measure(|| (case.run)(1));
        println!(
            "{:<22} {:>8} {:>7.2} {:>12}",
            case.name,
            time.as_nanos() / BATCH as u128,
            time.as_secs_f64() / base.as_secs_f64(),
            counted.count_total,
        );
    }
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
