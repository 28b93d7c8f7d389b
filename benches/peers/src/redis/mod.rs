//! Hits in Redis, in the process and 64 at a time: larder's Redis tier alone
//! beside handlers that ask Redis themselves. Redis runs on one core, all of
//! them on the other.

mod handlers;
mod server;

use std::convert::Infallible;
use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, Response};
use larder::{Cache, Policy, Routes, minutes};
use redis::InfoDict;
use redis::aio::MultiplexedConnection;
use tokio::task::JoinSet;
use tower::{Service, ServiceExt};

use crate::answer::{Calls, KEYS, ROUTE, request};
use crate::http::{Rates, pin};
use crate::warm::warm;
use crate::{BoxError, Effort, Result, runtime};
use server::RedisServer;

pub const CONCURRENCY: usize = 64;
pub const BARE: &str = "Redis: handler with one bare `GET`";
pub const LARDER: &str = "Redis: larder, Redis tier alone";
pub const BY_HAND: &str = "Redis: handler with `GET`, serde_json, `SETEX`";

pub struct Measured {
    pub rates: Rates,
    /// Commands that Redis is sent for a hit of larder's.
    pub commands_per_hit: f64,
}

/// `None` if Redis is not installed.
pub fn measure(effort: Effort) -> Result<Option<Measured>> {
    let Some(server) = RedisServer::start()? else {
        return Ok(None);
    };
    let url = server.url();
    let asking = thread::spawn(move || {
        pin(1);
        runtime()?.block_on(ask(&url, effort))
    });
    let measured = asking
        .join()
        .map_err(|_| "the measuring of Redis panicked")?;
    measured.map(Some)
}

async fn ask(url: &str, effort: Effort) -> Result<Measured> {
    let bare = handlers::bare(handlers::connect(url).await?).await?;
    let calls = Calls::new();
    let by_hand = handlers::by_hand(handlers::connect(url).await?, calls);
    let cache = Cache::builder().redis(url).build()?;
    let table = cache.routes(Routes::new().route(ROUTE, Policy::ttl(minutes(10))));
    let larder = table.around(calls.router());
    fill(BARE, &bare, &cache).await?;
    fill(BY_HAND, &by_hand, &cache).await?;
    fill(LARDER, &larder, &cache).await?;

    let commands_per_hit = commands(handlers::connect(url).await?, &larder).await?;
    let before = calls.count();
    let mut rates = vec![
        (BARE, Vec::new()),
        (LARDER, Vec::new()),
        (BY_HAND, Vec::new()),
    ];
    for round in 0..effort.slices {
        eprintln!("  Redis, round {} of {}", round + 1, effort.slices);
        rates[0].1.push(rate(&bare, effort.slice).await?);
        rates[1].1.push(rate(&larder, effort.slice).await?);
        rates[2].1.push(rate(&by_hand, effort.slice).await?);
    }
    let stats = cache.stats();
    if calls.count() != before || stats.store_errors > 0 {
        return Err(format!("with Redis, not only hits were measured: {stats:?}").into());
    }
    Ok(Measured {
        rates,
        commands_per_hit,
    })
}

/// Warm once what goes on in the background has reached Redis.
async fn fill<S>(name: &str, service: &S, cache: &Cache) -> Result<()>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone,
{
    for n in 0..KEYS {
        let response = service.clone().oneshot(request(n)).await?;
        axum::body::to_bytes(response.into_body(), usize::MAX).await?;
    }
    cache.idle().await;
    warm(name, service, None).await
}

/// What a hit costs Redis, by Redis' own count.
async fn commands<S>(mut connection: MultiplexedConnection, service: &S) -> Result<f64>
where
    S: Service<Request<Body>, Error = Infallible> + Clone,
{
    let before = processed(&mut connection).await?;
    for n in 0..KEYS {
        black_box(service.clone().oneshot(request(n)).await?);
    }
    let after = processed(&mut connection).await?;
    Ok((after - before - 1) as f64 / KEYS as f64) // less the count's own command
}

async fn processed(connection: &mut MultiplexedConnection) -> Result<u64> {
    let info: InfoDict = redis::cmd("INFO")
        .arg("stats")
        .query_async(connection)
        .await?;
    let count = info.get("total_commands_processed");
    Ok(count.ok_or("INFO says no total_commands_processed")?)
}

/// Requests answered in a second.
async fn rate<S>(service: &S, slice: Duration) -> Result<f64>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
{
    let start = Instant::now();
    let mut asking = JoinSet::new();
    for number in 0..CONCURRENCY {
        let service = service.clone();
        asking.spawn(async move {
            let first = number * KEYS / CONCURRENCY;
            let mut answers = 0;
            while start.elapsed() < slice {
                let response = service.clone().oneshot(request(first + answers)).await?;
                if !response.status().is_success() {
                    return Err(format!("with Redis: {}", response.status()).into());
                }
                black_box(response);
                answers += 1;
            }
            Ok::<_, BoxError>(answers)
        });
    }
    let mut all = 0;
    while let Some(asked) = asking.join_next().await {
        all += asked??;
    }
    Ok(all as f64 / start.elapsed().as_secs_f64())
}
