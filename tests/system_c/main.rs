//! System C, the studio, driven through the example's own router, on memory and on
//! Redis.

#[path = "../../examples/studio/app.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod app;
mod away;
#[path = "../../examples/studio/cached.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod cached;
#[path = "../../examples/studio/database.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod database;
#[path = "../../examples/studio/metrics.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod metrics;
#[path = "../../examples/studio/model.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod model;
mod operations;
mod reads;
#[path = "../../examples/studio/run.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod run;
#[path = "../../examples/shared/sqlite.rs"]
#[allow(dead_code, unreachable_pub, reason = "the examples'")]
mod sqlite;
#[path = "../../examples/shared/standin.rs"]
#[allow(dead_code, unreachable_pub, reason = "the examples'")]
mod standin;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use app::Studio;
use axum::Router;
use larder::Cache;
use larder::config::Config;
use serde_json::json;
use standin::StandIn;
use support::{Tiers, ask, tiers};

/// A query takes so long.
const QUERY: Duration = Duration::from_millis(5);

struct System {
    studio: Studio,
    app: Router,
    tiers: Tiers,
}

fn studio(cache: &Cache, config: &Config, query: Duration) -> Studio {
    let database = database::Database::seeded(3, query).unwrap();
    let services = [30, 10].map(|ms| StandIn::new(Duration::from_millis(ms)));
    Studio::new(cache, config, database, services.into()).unwrap()
}

async fn systems() -> Vec<System> {
    let all = tiers().await.into_iter().map(|tiers| {
        let studio = studio(&tiers.cache, &Config::default(), QUERY);
        let app = studio.router();
        System { studio, app, tiers }
    });
    all.collect()
}

impl System {
    async fn get(&self, uri: &str) -> support::Answer {
        ask(&self.app, "GET", uri, None).await
    }

    /// Asks for a scene: whether it was cached, and its code.
    async fn scene(&self, uri: &str) -> (bool, String) {
        let answer = self.get(uri).await;
        assert_eq!(answer.status, 200, "{uri} on {}", self.tiers.name);
        self.tiers.cache.idle().await;
        let code = answer.json()["code"].as_str().unwrap().to_owned();
        (answer.headers["x-cached"] == "true", code)
    }

    async fn decide(&self, prompt: &str) -> serde_json::Value {
        let wish = Some(json!({"prompt": prompt}));
        let answer = ask(&self.app, "POST", "/projects/p1/decide", wish).await;
        assert_eq!(answer.status, 200, "{}", self.tiers.name);
        self.tiers.cache.idle().await;
        answer.json()
    }
}
