//! The health of Redis and of the hit rate.

use std::sync::Arc;
use std::time::Duration;

use larder::testing::ManualClock;
use larder::{Cache, MIB};
use serde_json::{Value, json};

use crate::app::Game;
use crate::standin::StandIn;
use crate::support::redis_server::Redis;
use crate::support::{PATIENT, SHORT, ask};
use crate::{API, run, systems, wanted};

#[tokio::test]
async fn b10_health_measures_a_round_trip() {
    for system in systems().await {
        let mut system = system;
        let shown = ask(&system.app, "GET", "/api/health/redis", None)
            .await
            .json();
        let Some(redis) = &mut system.tiers.redis else {
            assert_eq!(shown, json!({"connected": false, "latency_ms": null}));
            continue;
        };
        assert_eq!(shown["connected"], true, "{shown}");
        assert!(shown["latency_ms"].as_f64().unwrap() > 0.0, "{shown}");
        redis.kill();
        let shown = ask(&system.app, "GET", "/api/health/redis", None)
            .await
            .json();
        assert_eq!(shown["connected"], false, "{shown}");
    }
}

#[tokio::test]
async fn b11_the_recommended_settings_are_met_with_silence() {
    let recommended = [
        "--maxmemory",
        "2gb",
        "--maxmemory-policy",
        "allkeys-lru",
        "--save",
        "900 1 300 10 60 10000",
    ];
    for (args, silent) in [(&recommended[..], true), (&[][..], false)] {
        let redis = Redis::start_with(args);
        let cache = Cache::builder()
            .redis(redis.url())
            .lease(SHORT)
            .operation_timeout(PATIENT);
        let game = Game::new(&cache.build().unwrap(), StandIn::new(Duration::ZERO)).unwrap();
        let app = game.router();
        let answer = ask(&app, "GET", "/api/advice", None).await.json();
        let server = |one: &&Value| one["rule"].as_str().unwrap().starts_with("server");
        let said: Vec<&Value> = answer.as_array().unwrap().iter().filter(server).collect();
        assert_eq!(said.is_empty(), silent, "{args:?}: {said:?}");
    }
}

#[tokio::test]
async fn b12_a_low_hit_rate_is_told_with_its_cause() {
    let redis = Redis::start();
    let clock = ManualClock::new();
    for builder in [
        Cache::builder(),
        Cache::builder().redis(redis.url()).lease(SHORT),
    ] {
        let builder = builder.memory(16 * MIB).clock(Arc::new(clock.clone()));
        let cache = builder
            .operation_timeout(PATIENT)
            .least_hit_rate(0.6)
            .build()
            .unwrap();
        let game = Game::new(&cache, StandIn::new(Duration::ZERO)).unwrap();
        let app = game.router();
        for n in 0..300 {
            // a version that changes each time: every key is a new one
            ask(&app, "POST", API, Some(wanted(json!({"version": n})))).await;
        }
        cache.idle().await;
        let advice = ask(&app, "GET", "/api/advice", None).await.json();
        let all = advice.as_array().unwrap();
        let low = all
            .iter()
            .find(|one| one["rule"].as_str().unwrap().contains("hit-rate"));
        let low = low.unwrap_or_else(|| panic!("{advice}"));
        let cause = low["todo"].as_str().unwrap();
        assert!(cause.contains("a release that was bumped"), "{low}");
    }
    // and the example's own playthrough is above the goal
    for system in systems().await {
        let played = run::play(&system.game, 2, 3, 12).await.unwrap();
        assert!(played.hit_rate > 0.8, "{}: {played}", system.tiers.name);
    }
}
