//! Looks, removals and counts.

use std::sync::Arc;
use std::time::Duration;

use larder::{Cache, days};
use serde_json::{Value, json};

use crate::app::Game;
use crate::standin::StandIn;
use crate::support::{PATIENT, SHORT, ask};
use crate::{API, systems, wanted};

#[tokio::test]
async fn b5_a_check_fills_nothing_and_counts_as_no_hit() {
    for system in systems().await {
        let wanted = wanted(json!({}));
        let checked = system.post("/cache/check", &wanted).await;
        let (id, ttl) = (&checked["generation_id"], &checked["ttl_seconds"]);
        assert_eq!(
            (&checked["cached"], id, ttl),
            (&json!(false), &Value::Null, &Value::Null)
        );
        let (made, _) = system.generate(&wanted).await;
        let before = system.tiers.cache.stats();
        let checked = system.post("/cache/check", &wanted).await;
        assert_eq!(
            (&checked["cached"], checked["generation_id"].as_str()),
            (&json!(true), Some(&*made))
        );
        let after = system.tiers.cache.stats();
        assert_eq!(
            (after.requests(), after.hit_rate()),
            (before.requests(), before.hit_rate())
        );
        assert_eq!(system.calls(), 1, "{}", system.tiers.name);
    }
}

#[tokio::test]
async fn b6_one_is_removed_by_its_encoded_name() {
    for system in systems().await {
        let wanted = wanted(json!({"strategy": "per_player"}));
        system.generate(&wanted).await;
        let name = "generation%3Anpc_response%7Cdialogue%7Cscene_010%7Cnone%7Cper_player%7Cplayer%3A42%7Cv1";
        let uri = format!("{API}/cache/{name}");
        let answer = ask(&system.app, "DELETE", &uri, None).await;
        assert_eq!(
            answer.status, 200,
            "{} {:?}",
            system.tiers.name, answer.body
        );
        assert_eq!(
            ask(&system.app, "DELETE", &uri, None).await.status,
            404,
            "{}",
            system.tiers.name
        );
        assert!(!system.generate(&wanted).await.1);
        for unknown in ["generation%3Anone", "else", "api%3Ax"] {
            let uri = format!("{API}/cache/{unknown}");
            assert_eq!(
                ask(&system.app, "DELETE", &uri, None).await.status,
                404,
                "{unknown}"
            );
        }
    }
}

#[tokio::test]
async fn b7_stats_of_the_last_day_are_everybodys_and_the_total_falls() {
    for system in systems().await {
        let (redis, clock) = (&system.tiers.redis, &system.tiers.clock);
        let of = |n: u32| wanted(json!({"strategy": "per_playthrough", "version": n}));
        for n in 0..842_u32 + 178 {
            system.generate(&of(n % 178)).await;
        }
        let stats = async || {
            ask(&system.app, "GET", &format!("{API}/cache/stats"), None)
                .await
                .json()
        };
        let shown = stats().await;
        assert_eq!(shown["cache_hits_24h"], 842, "{shown}");
        assert_eq!(shown["cache_misses_24h"], 178, "{shown}");
        assert_eq!(shown["hit_rate_24h"], 0.8255, "{shown}");
        assert_eq!(shown["redis_connected"], redis.is_some(), "{shown}");
        let Some(redis) = redis else { continue };
        assert_eq!(shown["total_cached_generations"], 178, "{shown}");
        assert_eq!(
            (redis.calls("scan"), redis.calls("keys")),
            (0, 0),
            "{shown}"
        );
        // another instance reads the same
        let other = Cache::builder().redis(redis.url()).lease(SHORT);
        let other = other
            .clock(Arc::new(clock.clone()))
            .operation_timeout(PATIENT);
        let other = Game::new(&other.build().unwrap(), StandIn::new(Duration::ZERO)).unwrap();
        // it knows the server's time since its first look
        let check = format!("{API}/cache/check");
        ask(&other.router(), "POST", &check, Some(of(0))).await;
        let seen = ask(&other.router(), "GET", &format!("{API}/cache/stats"), None)
            .await
            .json();
        assert_eq!(
            (&seen["cache_hits_24h"], &seen["hit_rate_24h"]),
            (&json!(842), &json!(0.8255)),
            "{seen}"
        );
        // the total falls as entries go
        let name = "generation%3Anpc_response%7Cdialogue%7Cscene_010%7Cnone%7Cper_playthrough%7Cpt%3Aabc123%7Cv5";
        ask(&system.app, "DELETE", &format!("{API}/cache/{name}"), None).await;
        assert_eq!(stats().await["total_cached_generations"], 177);
        clock.advance(days(91));
        let shown = stats().await;
        assert_eq!(shown["total_cached_generations"], 0, "{shown}");
        assert_eq!(shown["cache_hits_24h"], 0, "the window has rolled: {shown}");
    }
}
