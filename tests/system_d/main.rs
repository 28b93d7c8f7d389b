//! System D, narratives, driven through the example's own router, on memory and on
//! Redis.

#[path = "../../examples/narrative/app.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod app;
mod figures;
#[path = "../../examples/narrative/narrator.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod narrator;
mod prewarm;
mod privacy;
#[path = "../../examples/narrative/profile.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod profile;
#[path = "../../examples/shared/progress.rs"]
#[allow(dead_code, unreachable_pub, reason = "the examples'")]
mod progress;
#[path = "../../examples/narrative/run.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod run;
#[path = "../../examples/shared/standin.rs"]
#[allow(dead_code, unreachable_pub, reason = "the examples'")]
mod standin;
#[path = "../support/mod.rs"]
mod support;
mod tells;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use larder::testing::ManualClock;
use larder::{Cache, Encryption, MIB};
use narrator::Narrator;
use serde_json::{Value, json};
use standin::StandIn;
use support::redis_server::Redis;
use support::{PATIENT, SHORT};
use tower::ServiceExt;

struct System {
    name: &'static str,
    narrator: Narrator,
    app: Router,
    clock: ManualClock,
    redis: Option<Redis>,
}

fn cache(redis: Option<&Redis>, clock: &ManualClock) -> Cache {
    let builder = Cache::builder()
        .memory(16 * MIB)
        .clock(Arc::new(clock.clone()));
    let builder = match redis {
        Some(redis) => builder
            .redis(redis.url())
            .lease(SHORT)
            .operation_timeout(PATIENT),
        None => builder,
    };
    builder
        .encryption(Encryption::new(1, [7; 32]))
        .build()
        .unwrap()
}

/// In memory, and in memory before Redis, where all is sealed.
fn systems_with(latency: Duration, step: f64) -> Vec<System> {
    let all = [("memory", None), ("redis", Some(Redis::start()))].into_iter();
    let system = |(name, redis): (&'static str, Option<Redis>)| {
        let clock = ManualClock::new();
        let cache = cache(redis.as_ref(), &clock);
        let narrator = Narrator::new(&cache, StandIn::new(latency), step).unwrap();
        System {
            name,
            app: app::router(&narrator),
            narrator,
            clock,
            redis,
        }
    };
    all.map(system).collect()
}

fn systems() -> Vec<System> {
    systems_with(Duration::ZERO, 0.5)
}

fn chart(user: &str, fire: f64) -> Value {
    json!({
        "user_id": user, "name": "Ada Lovelace", "birth": "1815-12-10T13:00 London",
        "percentages": {"fire": fire, "earth": 40.25, "air": 10.0},
    })
}

async fn tell(app: &Router, system: &str, chart: &Value) -> Value {
    let request = Request::post(format!("/narrative/{system}"))
        .header("host", "a.example")
        .header("content-type", "application/json")
        .header("x-user-id", chart["user_id"].as_str().unwrap())
        .body(Body::from(chart.to_string()));
    let response = app.clone().oneshot(request.unwrap()).await.unwrap();
    assert_eq!(response.status(), 200);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

impl System {
    async fn tell(&self, user: &str, fire: f64) -> Value {
        let told = tell(&self.app, "western", &chart(user, fire)).await;
        self.narrator.cache.idle().await;
        told
    }

    fn calls(&self) -> u64 {
        self.narrator.generator.calls()
    }

    /// Another instance on the same Redis, with the same generator and clock.
    fn other(&self) -> Narrator {
        let cache = cache(self.redis.as_ref(), &self.clock);
        Narrator::new(&cache, self.narrator.generator.clone(), self.narrator.step).unwrap()
    }
}
