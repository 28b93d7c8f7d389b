//! What an outage of Redis costs the requests of a service: a server stopped with
//! SIGSTOP and continued, and a primary of a cluster killed, each under load.
//!
//! `cargo bench --bench outage`; `-- stopped` or `-- cluster` for one of them.

#![allow(clippy::disallowed_methods, reason = "it measures")]

#[path = "../tests/support/cluster.rs"]
#[allow(dead_code, reason = "the tests do more with it")]
mod cluster;
#[path = "support/load.rs"]
mod load;
#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use larder::{Cache, Policy, minutes};

use cluster::Cluster;
use load::{End, Load, ask, head, phase, row};
use support::redis_server::Redis;

const ITEMS: usize = 1_000;
/// As by default.
const TIMEOUT: Duration = Duration::from_millis(250);

async fn answer() -> &'static str {
    "an answer"
}

fn app(cache: &Cache) -> Router {
    let layer = cache.layer(Policy::ttl(minutes(60)));
    Router::new().route("/items/{n}", get(answer).layer(layer))
}

async fn fill(app: &Router, cache: &Cache) {
    for n in 0..ITEMS {
        ask(app, format!("/items/{n}")).await;
    }
    cache.idle().await;
}

/// Waits for so many hits in a row.
async fn hits_again(app: &Router, cache: &Cache, in_a_row: usize) {
    let (mut hits, mut n) = (0, 0);
    while hits < in_a_row {
        n += 1;
        match ask(app, format!("/items/{}", n % ITEMS)).await.hit {
            true => hits += 1,
            false => {
                hits = 0;
                cache.idle().await;
            }
        }
    }
}

async fn stopped() {
    let redis = Redis::start();
    let cache = Cache::builder()
        .redis(redis.url())
        .build()
        .expect("a cache");
    let app = app(&cache);
    let plain = Router::new().route("/items/{n}", get(answer));
    fill(&app, &cache).await;
    head();
    let bare = phase(&Load::on(&plain, ITEMS).lasts(Duration::from_secs(3)).await);
    row("the handler without a cache", &bare);
    let well = phase(&Load::on(&app, ITEMS).lasts(Duration::from_secs(3)).await);
    row("hits in Redis", &well);

    let load = Load::on(&app, ITEMS);
    redis.stop();
    let stopped = Instant::now();
    let mut open = None;
    while stopped.elapsed() < Duration::from_secs(5) {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let store = cache.health().await.store.expect("a store");
        open = open.or(store.open_for.map(|time| Instant::now() - time));
    }
    let ends = load.end().await;
    let open = open.expect("the breaker opens");
    let (before, after): (Vec<&End>, Vec<&End>) = ends.iter().partition(|end| end.at < open);
    let (all, before, after) = (phase(&ends), phase(before), phase(after));
    row("Redis is stopped (SIGSTOP), 5 s", &all);
    row("  until the breaker is open", &before);
    row("  from then on", &after);

    let load = Load::on(&app, ITEMS);
    redis.resume();
    let resumed = Instant::now();
    hits_again(&app, &cache, 1).await;
    let back = resumed.elapsed();
    let ends = phase(&load.end().await);
    row("it goes on (SIGCONT)", &ends);
    println!();
    let added = after.median - bare.median;
    println!("median added once the breaker is open: {added:.0} us (wanted: below 100)");
    let added = (all.p99 - bare.p99) / 1e3;
    println!("p99 added over the 5 s: {added:.1} ms (wanted: at most {TIMEOUT:?})");
    println!("a hit again {back:?} after SIGCONT (wanted: within 2 s)");
    let failed = well.failed + all.failed + ends.failed;
    println!("failed requests: {failed} (wanted: 0)");
}

async fn cluster_primary() {
    let mut cluster = Cluster::start(3, true).await;
    let cache = Cache::builder()
        .redis(cluster.url())
        .build()
        .expect("a cache");
    let app = app(&cache);
    fill(&app, &cache).await;
    hits_again(&app, &cache, ITEMS).await;
    println!();
    head();
    let well = phase(&Load::on(&app, ITEMS).lasts(Duration::from_secs(3)).await);
    row("a cluster of three primaries", &well);
    let load = Load::on(&app, ITEMS);
    let victim = cluster.primary_of("api:!{clock}"); // the worst of them
    cluster.nodes[victim].kill();
    let killed = Instant::now();
    while !cluster.nodes[victim + 3]
        .try_command::<String>(&["INFO", "replication"])
        .is_ok_and(|info| info.contains("role:master"))
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let promoted = killed.elapsed();
    hits_again(&app, &cache, 1).await;
    let back = killed.elapsed();
    let ends = load.lasts(Duration::from_secs(2)).await;
    let all = phase(&ends);
    row("the one with the clock is killed", &all);
    println!();
    println!(
        "its replica is promoted after {promoted:?}, and there is a hit again {:?} later",
        back - promoted
    );
    println!("failed requests: {} (wanted: 0)", well.failed + all.failed);
}

#[tokio::main]
async fn main() {
    let only = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    if only.as_deref().is_none_or(|only| only == "stopped") {
        stopped().await;
    }
    if only.as_deref().is_none_or(|only| only == "cluster") {
        cluster_primary().await;
    }
}
