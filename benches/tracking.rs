//! What `track_entries` costs: the server's time for each write of an entry, and for each
//! hit in Redis, with so many processes that listen, beside the same without it.
//!
//! `cargo bench --bench tracking`

#![allow(clippy::disallowed_methods, reason = "it measures")]

#[path = "support/load.rs"]
mod load;
#[path = "../tests/support/redis_server.rs"]
#[allow(dead_code, unreachable_pub, reason = "the tests do more with it")]
mod redis_server;

use axum::Router;
use axum::routing::get;
use larder::{Cache, MIB, Policy, minutes};
use load::ask;
use redis_server::Redis;

const WRITES: usize = 100_000;
const BATCH: usize = 1_000;
const ROUNDS: usize = 5;
const PROCESSES: [usize; 3] = [1, 4, 16];

/// Seconds of a processor that the server has used.
fn used(redis: &Redis) -> f64 {
    let info: String = redis.command(&["INFO", "cpu"]);
    let of = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|n| n.parse::<f64>().ok()).expect("a number")
    };
    of("used_cpu_user:") + of("used_cpu_sys:")
}

/// Microseconds of the server for each command of a kind.
fn each(redis: &Redis, command: &str) -> f64 {
    let client = redis::Client::open(redis.url()).expect("a client");
    let mut connection = client.get_connection().expect("a connection");
    let before = used(redis);
    for first in (0..WRITES).step_by(BATCH) {
        let mut pipeline = redis::pipe();
        for n in first..first + BATCH {
            let key = format!("api:items:{n:032}");
            match command {
                "SET" => pipeline.set(key, &[b'x'; 1_024][..]).ignore(),
                _ => pipeline.get(key).ignore(),
            };
        }
        pipeline.exec(&mut connection).expect("an answer");
    }
    (used(redis) - before) * 1e6 / WRITES as f64
}

/// Processes that have listened since now.
async fn processes(redis: &Redis, count: usize, tracks: bool) -> Vec<Cache> {
    let mut all = Vec::new();
    for _ in 0..count {
        let builder = Cache::builder().memory(16 * MIB).redis(redis.url());
        let cache = builder.track_entries(tracks).build().expect("a cache");
        let layer = cache.layer(Policy::ttl(minutes(5)));
        let app = Router::new().route("/others/{n}", get(|| async { "x" }).layer(layer));
        while !cache.health().await.store.is_some_and(|s| s.listening) {
            ask(&app, "/others/1".to_owned()).await;
        }
        all.push(cache);
    }
    all
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

#[tokio::main]
async fn main() {
    println!(
        "{:>10} {:>9} {:>22} {:>22}",
        "processes", "tracked", "server us for a SET", "server us for a GET"
    );
    for count in PROCESSES {
        let mut medians = Vec::new();
        for tracks in [false, true] {
            let redis = Redis::start();
            let _all = processes(&redis, count, tracks).await;
            let (mut sets, mut gets) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                sets.push(tokio::task::block_in_place(|| each(&redis, "SET")));
                gets.push(tokio::task::block_in_place(|| each(&redis, "GET")));
            }
            let (set, get) = (median(sets), median(gets));
            println!("{count:>10} {tracks:>9} {set:>22.2} {get:>22.2}");
            medians.push((set, get));
        }
        let (off, on) = (medians[0], medians[1]);
        println!(
            "{:>20} {:>21.2}x {:>21.2}x",
            "ratio",
            on.0 / off.0,
            on.1 / off.1
        );
    }
}
