//! The space of 10,000 entries of an endpoint among 1,000,000 keys is taken back, and
//! what hits of other entries notice of that: their p99 beside the idle one, in one run.
//!
//! `cargo bench --bench reclaim`; a number of keys may follow.

#![allow(clippy::disallowed_methods, reason = "it measures")]

#[path = "support/load.rs"]
mod load;
#[path = "../tests/support/redis_server.rs"]
#[allow(dead_code, unreachable_pub, reason = "the tests do more with it")]
mod redis_server;

use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use larder::{Cache, Policy, endpoint, minutes, tag};
use load::{Load, ask, head, phase, row};
use redis_server::Redis;

const HOT: usize = 1_000;
const GONE: usize = 10_000;
const ROUNDS: usize = 5;

/// Keys that lie there, as others' entries would.
fn put(redis: &Redis, name: &str, count: usize) {
    let client = redis::Client::open(redis.url()).expect("a client");
    let mut connection = client.get_connection().expect("a connection");
    for first in (0..count).step_by(10_000) {
        let mut pipeline = redis::pipe();
        for n in first..count.min(first + 10_000) {
            pipeline
                .set(format!("api:{name}:{n:032}"), &[b'x'; 100][..])
                .ignore();
        }
        pipeline.exec(&mut connection).expect("stored");
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1).filter(|arg| !arg.starts_with('-'));
    let keys = args
        .next()
        .map_or(1_000_000, |n| n.parse().expect("a number"));
    let redis = Redis::start();
    put(&redis, "others", keys - GONE - HOT);
    let cache = Cache::builder()
        .redis(redis.url())
        .build()
        .expect("a cache");
    let layer = cache.layer(Policy::ttl(minutes(60)));
    let app = Router::new().route("/items/{n}", get(|| async { "an answer" }).layer(layer));
    for n in 0..HOT {
        ask(&app, format!("/items/{n}")).await;
    }
    cache.idle().await;
    cache.invalidate(tag("none")).await.expect("a young clock"); // a whole lease
    head();
    let (mut ratios, mut times) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        put(&redis, "gone", GONE);
        let idle = phase(&Load::on(&app, HOT).lasts(Duration::from_secs(2)).await);
        row("idle", &idle);
        let load = Load::on(&app, HOT);
        let start = Instant::now();
        let done = cache.invalidate(endpoint("gone")).await.expect("told");
        times.push(start.elapsed().as_secs_f64() * 1e3);
        let busy = phase(&load.end().await);
        assert_eq!(done.removed(), GONE as u64);
        row("10,000 entries go", &busy);
        ratios.push(busy.p99 / idle.p99);
    }
    println!();
    println!("{keys} keys; the whole call: {:.0} ms", median(times));
    println!(
        "p99 of hits meanwhile, beside idle: {:.2} (median of {ROUNDS}; wanted: at most 2)",
        median(ratios)
    );
}
