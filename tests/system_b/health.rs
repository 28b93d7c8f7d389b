//! The health of Redis and of the hit rate.

use std::time::Duration;

use larder::{Cache, MIB, days};
use serde_json::{Value, json};

use crate::app::Game;
use crate::standin::StandIn;
use crate::support::redis_server::Redis;
use crate::support::{PATIENT, SHORT, ask, eventually, tiers_with};
use crate::{API, System, run, system, systems, wanted};

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

/// Plays the same scenes again and again; `between` is what keeps them from being found.
async fn cause(
    system: &System,
    scenes: u32,
    of: impl Fn(u32, u32) -> Value,
    between: impl AsyncFn(),
) -> String {
    for round in 0..6 {
        for n in 0..scenes {
            ask(&system.app, "POST", API, Some(wanted(of(round, n)))).await;
        }
        system.tiers.cache.idle().await;
        between().await;
    }
    let advice = ask(&system.app, "GET", "/api/advice", None).await.json();
    let mut all = advice.as_array().unwrap().iter();
    let low = all.find(|one| one["rule"] == "hit-rate-low");
    let low = low.unwrap_or_else(|| panic!("{}: {advice}", system.tiers.name));
    low["todo"].as_str().unwrap().to_owned()
}

/// With the goal's alert; memory may be too small.
async fn watched(memory: u64) -> Vec<System> {
    let all = tiers_with(|builder| builder.memory(memory).least_hit_rate(0.6)).await;
    let all = all.into_iter();
    all.map(|tiers| system(tiers, Duration::ZERO)).collect()
}

#[tokio::test]
async fn b12_a_low_hit_rate_is_told_with_its_cause() {
    let scene = |n: u32| format!("scene_{n:03}");
    let nothing = async || ();
    for system in watched(16 * MIB).await {
        let moments = |round, n| json!({"from_scene": scene(n), "canonical_params": {"at": round}});
        let told = cause(&system, 30, moments, nothing).await;
        assert!(told.contains("always changes (a timestamp"), "{told}");
    }
    for system in watched(16 * MIB).await {
        let versions = |round, n| json!({"from_scene": scene(n), "version": round});
        let told = cause(&system, 30, versions, nothing).await;
        assert!(told.contains("or a release that was bumped"), "{told}");
    }
    for system in watched(16 * MIB).await {
        let year = async || system.tiers.clock.advance(days(366));
        let told = cause(&system, 30, |_, n| json!({"from_scene": scene(n)}), year).await;
        assert!(
            told.contains("give them a longer TTL"),
            "{}: {told}",
            system.tiers.name
        );
    }
    for system in watched(64 << 10).await {
        let told = cause(
            &system,
            150, // more than there is room for
            |_, n| json!({"from_scene": scene(n)}),
            async || {
                if let Some(redis) = &system.tiers.redis {
                    evict(redis).await;
                }
            },
        );
        let told = told.await;
        assert!(told.contains("more room"), "{}: {told}", system.tiers.name);
    }
    for system in watched(16 * MIB).await {
        let write = async || drop(system.tiers.cache.invalidate("generation:*").await);
        let told = cause(&system, 30, |_, n| json!({"from_scene": scene(n)}), write).await;
        assert!(
            told.contains("invalidate less"),
            "{}: {told}",
            system.tiers.name
        );
    }
}

/// Lets a Redis throw away whatever has a life.
async fn evict(redis: &Redis) {
    redis.command::<()>(&["CONFIG", "SET", "maxmemory-policy", "volatile-lru"]);
    redis.command::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    eventually("all is evicted", || async { redis.entries().is_empty() }).await;
    redis.command::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
}

#[tokio::test]
async fn b12_a_playthrough_is_above_the_goal() {
    for system in systems().await {
        let played = run::play(&system.game, 2, 3, 12).await.unwrap();
        assert!(played.hit_rate > 0.8, "{}: {played}", system.tiers.name);
        assert_eq!(
            played.generated, 11,
            "{}: the rest is found",
            system.tiers.name
        );
    }
}
