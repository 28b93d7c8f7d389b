//! A flood of unsafe requests to as many URIs: what the shared clock in Redis grows to.
//!
//! `cargo bench --bench flood`; a number of requests may follow (default: 1,000,000).

#![allow(clippy::disallowed_methods, reason = "it measures")]

#[path = "../tests/support/redis_server.rs"]
#[allow(dead_code, unreachable_pub, reason = "the tests do more with it")]
mod redis_server;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::routing::get;
use larder::{Cache, Policy, minutes};
use redis_server::Redis;
use tower::ServiceExt;

const AT_A_TIME: usize = 64;
const STEPS: usize = 10;

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1).filter(|arg| !arg.starts_with('-'));
    let all = args
        .next()
        .map_or(1_000_000, |n| n.parse().expect("a number"));
    let redis = Redis::start();
    let cache = Cache::builder()
        .redis(redis.url())
        .build()
        .expect("a cache");
    let layer = cache.layer(Policy::ttl(minutes(5)));
    let handler = get(|| async { "read" }).post(|| async { "written" });
    let app = Router::new().route("/items/{n}", handler.layer(layer));
    println!(
        "{:>10} {:>8} {:>8} {:>12} {:>9}",
        "requests", "fields", "scopes", "bytes", "seconds"
    );
    let (next, start) = (Arc::new(AtomicUsize::new(0)), Instant::now());
    for step in 1..=STEPS {
        let upto = all * step / STEPS;
        let clients: Vec<_> = (0..AT_A_TIME)
            .map(|_| {
                let (app, next) = (app.clone(), Arc::clone(&next));
                tokio::spawn(async move {
                    while let n = next.fetch_add(1, Ordering::Relaxed)
                        && n < upto
                    {
                        let request = Request::post(format!("/items/{n}"));
                        let request = request.header("host", "bench.example").body(Body::empty());
                        let response = app.clone().oneshot(request.expect("a request")).await;
                        assert!(response.expect("an answer").status().is_success());
                    }
                })
            })
            .collect();
        for client in clients {
            client.await.expect("no panic");
        }
        cache.idle().await;
        next.store(upto, Ordering::Relaxed);
        let (hash, scopes) = ("api:!{clock}", "api:!{clock}:scopes");
        let fields: u64 = redis.command(&["HLEN", hash]);
        let kept: u64 = redis.command(&["ZCARD", scopes]);
        let bytes = |name| redis.command::<Option<u64>>(&["MEMORY", "USAGE", name]);
        let bytes = bytes(hash).unwrap_or(0) + bytes(scopes).unwrap_or(0);
        let seconds = start.elapsed().as_secs_f64();
        println!("{upto:>10} {fields:>8} {kept:>8} {bytes:>12} {seconds:>9.1}");
        assert!(kept <= 65_536, "it is bounded");
    }
    assert_eq!(cache.stats().store_errors, 0);
}
