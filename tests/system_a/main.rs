//! System A, driven through the example's own router, on memory and on Redis.

#[path = "../../examples/characters/app.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod app;
#[path = "../../examples/characters/database.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod database;
#[path = "../../examples/characters/helpers.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod helpers;
mod invalidation;
mod routes;
mod running;
#[path = "../../examples/shared/sqlite.rs"]
#[allow(dead_code, unreachable_pub, reason = "the examples'")]
mod sqlite;
#[path = "../support/mod.rs"]
mod support;
#[path = "../../examples/characters/upstream.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod upstream;

use std::time::Duration;

use axum::Router;
use larder::config::Config;
use larder::{Cache, CacheBuilder, MIB};
use support::redis_server::Redis;
use support::{PATIENT, SHORT, get};
use upstream::Upstream;

fn config() -> Config {
    toml::from_str(app::CACHE_TOML).unwrap()
}

struct System {
    cache: Cache,
    app: Router,
    upstream: Upstream,
    redis: Option<Redis>,
}

async fn system(builder: CacheBuilder, redis: Option<Redis>) -> System {
    system_of(builder, redis, Duration::from_millis(1)).await
}

/// One whose other service takes so long.
async fn system_of(builder: CacheBuilder, redis: Option<Redis>, latency: Duration) -> System {
    let cache = builder.build().unwrap();
    let database = database::Database::seeded(200).unwrap();
    let upstream = Upstream::start(latency).await.unwrap();
    let app = app::router(&cache, &config(), database, &upstream).unwrap();
    System {
        cache,
        app,
        upstream,
        redis,
    }
}

fn on(redis: &Redis) -> CacheBuilder {
    let builder = Cache::builder().redis(redis.url());
    builder.lease(SHORT).operation_timeout(PATIENT)
}

/// In memory, and on Redis alone.
async fn systems() -> Vec<System> {
    let redis = Redis::start();
    let memory = system(config().builder().unwrap(), None).await;
    let shared = system(on(&redis), Some(redis)).await;
    vec![memory, shared]
}

/// In memory, and in memory before Redis.
async fn systems_with_memory() -> Vec<System> {
    systems_of(Duration::from_millis(1)).await
}

async fn systems_of(latency: Duration) -> Vec<System> {
    let redis = Redis::start();
    let memory = system_of(config().builder().unwrap(), None, latency).await;
    let both = system_of(on(&redis).memory(16 * MIB), Some(redis), latency).await;
    vec![memory, both]
}

impl System {
    /// Asks until the answer is in its tiers.
    async fn warm(&self, uris: &[&str]) {
        for uri in uris {
            let reply = get(&self.app, uri).await;
            assert!(
                reply.status.is_success(),
                "{uri}: {} {}",
                reply.text(),
                reply.cache_status()
            );
        }
        self.cache.idle().await;
        for uri in uris {
            assert!(get(&self.app, uri).await.hit(), "{uri}");
        }
    }
}
