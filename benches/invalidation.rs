//! An invalidation by tag among several processes on one Redis: how long the call
//! takes until all have confirmed, how many commands it sends, and how soon another
//! process honours it, beside a bare pub/sub message.
//!
//! `cargo bench --bench invalidation`

#![allow(clippy::disallowed_methods, reason = "it measures")]

#[path = "../tests/support/redis_server.rs"]
#[allow(dead_code, unreachable_pub, reason = "the tests do more with it")]
mod redis_server;

use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::routing::get;
use futures_util::StreamExt;
use larder::{Cache, MIB, Policy, minutes, tag};
use redis_server::Redis;
use tower::ServiceExt;

const ROUNDS: usize = 300;
const KILLED: usize = 10;

struct Process {
    cache: Cache,
    app: Router,
}

impl Process {
    fn new(redis: &Redis) -> Self {
        Self::at(redis.url())
    }

    fn at(url: String) -> Self {
        let builder = Cache::builder().memory(16 * MIB).redis(url);
        let cache = builder.build().expect("a cache");
        let layer = cache.layer(Policy::ttl(minutes(5)).tag("item:{id}"));
        let handler = get(|| async { "answer" }).layer(layer);
        let app = Router::new().route("/items/{id}", handler);
        Self { cache, app }
    }

    /// Whether memory answers.
    async fn hit(&self) -> bool {
        let request = Request::get("/items/1").body(Body::empty());
        let response = self.app.clone().oneshot(request.expect("a request")).await;
        let response = response.expect("an answer");
        let outcome = response.extensions().get::<larder::Outcome>();
        outcome.is_some_and(larder::Outcome::is_hit)
    }
}

/// The median and the 99th of a hundred, in microseconds.
fn quantiles(mut times: Vec<Duration>) -> (f64, f64) {
    times.sort_unstable();
    let at = |share: f64| times[(times.len() as f64 * share) as usize].as_secs_f64() * 1e6;
    (at(0.5), at(0.99))
}

/// Those of clients: what a script does inside counts as the script.
fn commands(redis: &Redis) -> u64 {
    let names = ["eval", "evalsha", "unlink", "scan"];
    names.iter().map(|name| redis.calls(name)).sum()
}

async fn call(redis: &Redis, processes: usize) {
    let all: Vec<Process> = (0..processes).map(|_| Process::new(redis)).collect();
    for process in &all {
        process.hit().await;
    }
    let first = &all[0].cache;
    first
        .invalidate(tag("item:0"))
        .await
        .expect("a young clock"); // a whole lease
    let (mut times, mut sent) = (Vec::new(), 0);
    for _ in 0..ROUNDS {
        for process in &all {
            process.hit().await; // all of them have a lease
        }
        let before = commands(redis);
        let start = Instant::now();
        let done = first.invalidate(tag("item:2")).await.expect("told");
        times.push(start.elapsed());
        assert_eq!(done.confirmed, processes as u64 - 1);
        sent += commands(redis) - before;
    }
    let (median, p99) = quantiles(times);
    let name = format!("the whole call, {processes} processes");
    let each = sent as f64 / ROUNDS as f64;
    println!("{name:<44} {median:>9.0} {p99:>9.0} {each:>9.1}");
    for process in &all {
        process.cache.shutdown().await;
    }
}

/// A process that is killed in the middle of its lease says nothing any more: the call
/// takes as long as that lease may last.
async fn killed(redis: &Redis) {
    let all: Vec<Process> = (0..3).map(|_| Process::new(redis)).collect();
    let first = &all[0].cache;
    let mut times = Vec::new();
    for _ in 0..KILLED {
        for process in &all {
            process.hit().await;
        }
        let url = redis.url();
        let dying = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            let process = Process::at(url);
            runtime.block_on(process.hit());
            std::mem::forget(process); // no word of farewell
            runtime.shutdown_background();
        });
        dying.join().expect("it has a lease");
        let start = Instant::now();
        let done = first.invalidate(tag("item:2")).await.expect("told");
        times.push(start.elapsed());
        assert_eq!(done.confirmed, 2);
    }
    let (median, p99) = quantiles(times);
    let name = "the same, 4 processes, one killed";
    println!("{name:<44} {median:>9.0} {p99:>9.0}");
    for process in &all {
        process.cache.shutdown().await;
    }
}

/// How long after the call has begun another process does not serve it any more.
async fn honoured(redis: &Redis) {
    let (a, b) = (Process::new(redis), Process::new(redis));
    a.hit().await;
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        while !b.hit().await {
            b.cache.idle().await;
        }
        let cache = a.cache.clone();
        let start = Instant::now();
        let call = tokio::spawn(async move { cache.invalidate(tag("item:1")).await });
        while b.hit().await {
            tokio::task::yield_now().await;
        }
        times.push(start.elapsed());
        call.await.expect("no panic").expect("told");
    }
    let (median, p99) = quantiles(times);
    println!(
        "{:<44} {median:>9.0} {p99:>9.0}",
        "another process honours it after"
    );
}

async fn bare(redis: &Redis) {
    let client = redis::Client::open(redis.url()).expect("a client");
    let mut pubsub = client.get_async_pubsub().await.expect("a connection");
    pubsub.subscribe("bare").await.expect("a channel");
    let mut messages = pubsub.into_on_message();
    let mut publisher = client
        .get_multiplexed_async_connection()
        .await
        .expect("another");
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let mut publish = redis::cmd("PUBLISH");
        publish.arg("bare").arg("x");
        let sent: redis::RedisResult<u64> = publish.query_async(&mut publisher).await;
        sent.expect("published");
        messages.next().await.expect("told");
        times.push(start.elapsed());
    }
    let (median, p99) = quantiles(times);
    println!("{:<44} {median:>9.0} {p99:>9.0}", "a bare pub/sub message");
}

#[tokio::main]
async fn main() {
    let redis = Redis::start();
    println!(
        "{:<44} {:>9} {:>9} {:>9}",
        "", "median us", "p99 us", "commands"
    );
    bare(&redis).await;
    honoured(&redis).await;
    for processes in [1, 4, 16] {
        call(&redis, processes).await;
    }
    killed(&redis).await;
}
