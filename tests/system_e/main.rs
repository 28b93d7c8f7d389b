//! System E, a script generator, driven through the example's own router, on memory
//! and on Redis.

#[path = "../../examples/episodes/app.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod app;
#[path = "../../examples/episodes/client.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod client;
#[path = "../../examples/episodes/keys.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod keys;
#[path = "../../examples/episodes/kinds.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod kinds;
#[path = "../../examples/episodes/material.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod material;
#[path = "../../examples/shared/progress.rs"]
#[allow(dead_code, unreachable_pub, reason = "the examples'")]
mod progress;
#[path = "../../examples/episodes/run.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod run;
#[path = "../../examples/shared/standin.rs"]
#[allow(dead_code, unreachable_pub, reason = "the examples'")]
mod standin;
mod stored;
#[path = "../support/mod.rs"]
mod support;
mod told;

use std::time::Duration;

use app::Writers;
use axum::Router;
use kinds::Strategy;
use larder::{Cache, CacheBuilder, MIB, Outage, days};
use serde_json::{Value, json};
use standin::StandIn;
use support::redis_server::Redis;
use support::{PATIENT, SHORT, ask};

struct System {
    name: &'static str,
    writers: Writers,
    app: Router,
    redis: Option<Redis>,
}

fn system(builder: CacheBuilder, strategy: Strategy, latency: Duration) -> System {
    let builder = builder.on_outage(Outage::Serve(days(1)));
    let cache = builder.build().unwrap();
    let writers = Writers::new(&cache, (strategy, None), StandIn::new(latency)).unwrap();
    System {
        name: "",
        app: writers.router(),
        writers,
        redis: None,
    }
}

fn memory() -> CacheBuilder {
    Cache::builder().memory(16 * MIB)
}

fn with(redis: &Redis) -> CacheBuilder {
    let builder = memory().redis(redis.url());
    builder.lease(SHORT).operation_timeout(PATIENT)
}

/// In memory, on Redis, and in both.
fn systems_with(latency: Duration) -> Vec<System> {
    let mut all = vec![System {
        name: "memory",
        ..system(memory(), Strategy::Memory, latency)
    }];
    for (name, strategy) in [("redis", Strategy::Redis), ("hybrid", Strategy::Hybrid)] {
        let redis = Redis::start();
        all.push(System {
            name,
            redis: None,
            ..system(with(&redis), strategy, latency)
        });
        all.last_mut().unwrap().redis = Some(redis);
    }
    all
}

fn systems() -> Vec<System> {
    systems_with(Duration::ZERO)
}

impl System {
    async fn complete(&self, asked: Value) -> Value {
        let answer = ask(&self.app, "POST", "/complete", Some(asked)).await;
        assert_eq!(answer.status, 200, "{} {:?}", self.name, answer.body);
        self.writers.cache.idle().await;
        answer.json()
    }

    fn calls(&self) -> u64 {
        self.writers.client.calls()
    }
}

fn voice() -> Value {
    json!({"name": "Robin", "phrases": ["well"], "moods": [["dry", 0.5]]})
}
