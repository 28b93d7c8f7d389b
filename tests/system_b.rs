//! System B, the generations of a game, driven through the example's own router, on
//! memory and on Redis.

#[path = "../examples/generation/app.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod app;
#[path = "../examples/generation/run.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod run;
#[path = "../examples/shared/standin.rs"]
#[allow(dead_code, unreachable_pub, reason = "the examples'")]
mod standin;
mod support;
#[path = "../examples/generation/wanted.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod wanted;

use std::sync::Arc;
use std::time::Duration;

use app::Game;
use axum::Router;
use larder::testing::ManualClock;
use larder::{Cache, MIB, days, seconds};
use serde_json::{Value, json};
use standin::StandIn;
use support::redis_server::Redis;
use support::{PATIENT, SHORT, Tiers, ask, tiers};

struct System {
    game: Game,
    app: Router,
    tiers: Tiers,
}

fn system(tiers: Tiers, latency: Duration) -> System {
    let game = Game::new(&tiers.cache, StandIn::new(latency)).unwrap();
    let app = game.router();
    System { game, app, tiers }
}

async fn systems() -> Vec<System> {
    let all = tiers().await.into_iter();
    all.map(|tiers| system(tiers, Duration::ZERO)).collect()
}

const API: &str = "/api/v1/generations";

impl System {
    async fn post(&self, path: &str, json: &Value) -> Value {
        let answer = ask(
            &self.app,
            "POST",
            &format!("{API}{path}"),
            Some(json.clone()),
        )
        .await;
        assert_eq!(answer.status, 200, "{path} {json} on {}", self.tiers.name);
        self.tiers.cache.idle().await;
        answer.json()
    }

    /// Generates: the id, and whether it was cached.
    async fn generate(&self, wanted: &Value) -> (String, bool) {
        let made = self.post("", wanted).await;
        let id = made["generation_id"].as_str().unwrap().to_owned();
        (id, made["cached"].as_bool().unwrap())
    }

    fn calls(&self) -> u64 {
        self.game.generator.calls()
    }
}

#[allow(clippy::needless_pass_by_value, reason = "it is written in place")]
fn wanted(more: Value) -> Value {
    let mut wanted = json!({
        "operation_type": "npc_response", "purpose": "dialogue", "from_scene": "scene_010",
        "strategy": "once", "playthrough_id": "abc123", "player_id": "42", "version": 1,
    });
    let fields = wanted.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    wanted
}

#[tokio::test]
async fn b1_four_strategies_share_and_live_as_they_say() {
    for system in systems().await {
        for (strategy, id, shares, life) in [
            ("once", "none", true, 365),
            ("per_playthrough", "playthrough_id", false, 90),
            ("per_player", "player_id", false, 180),
        ] {
            let mine = wanted(json!({"strategy": strategy}));
            let others = wanted(json!({"strategy": strategy, id: "other"}));
            assert!(!system.generate(&mine).await.1 && system.generate(&mine).await.1);
            assert_eq!(system.generate(&others).await.1, shares, "{strategy}");
            let ttl = system.post("/cache/check", &mine).await["ttl_seconds"].as_u64();
            let (ttl, life) = (ttl.unwrap(), days(life).as_secs());
            assert!(ttl <= life && ttl > life - 60, "{strategy}: {ttl}");
        }
        let always = wanted(json!({"strategy": "always"}));
        let before = system.calls();
        assert!(!system.generate(&always).await.1 && !system.generate(&always).await.1);
        assert_eq!(system.calls(), before + 2, "{}", system.tiers.name);
        // without its seed nobody can tell whose it is
        let nobodys = wanted(json!({"strategy": "per_player", "player_id": null}));
        assert!(!system.generate(&nobodys).await.1 && !system.generate(&nobodys).await.1);
    }
}

#[tokio::test]
async fn b2_keys_are_the_literal_names() {
    for system in systems().await {
        let all = [
            (
                json!({"operation_type": "text_to_video", "purpose": "gap_fill", "from_scene": "scene_001", "to_scene": "scene_002"}),
                "generation:text_to_video|gap_fill|scene_001|scene_002|once|v1",
            ),
            (
                json!({"strategy": "per_playthrough"}),
                "generation:npc_response|dialogue|scene_010|none|per_playthrough|pt:abc123|v1",
            ),
            (
                json!({"operation_type": "transition", "purpose": "mood_shift", "from_scene": "scene_005", "to_scene": "scene_006", "strategy": "per_player"}),
                "generation:transition|mood_shift|scene_005|scene_006|per_player|player:42|v1",
            ),
            (
                json!({"purpose": "a|b:c"}),
                "generation:npc_response|a%7Cb:c|scene_010|none|once|v1",
            ),
        ];
        for (more, name) in all {
            let wanted = wanted(more);
            system.generate(&wanted).await;
            let checked = system.post("/cache/check", &wanted).await;
            assert_eq!(checked["cache_key"], name, "{}", system.tiers.name);
            if let Some(redis) = &system.tiers.redis {
                let keys = redis.entries();
                assert!(keys.iter().any(|key| key == name), "{name}: {keys:?}");
            }
        }
        let checked = wanted(json!({"strategy": "always"}));
        assert_eq!(
            system.post("/cache/check", &checked).await["cache_key"],
            Value::Null
        );
        // an empty or overlong part is refused by name, never cut
        for part in [String::new(), "x".repeat(300)] {
            let bad = wanted(json!({"purpose": part}));
            let answer = ask(&system.app, "POST", API, Some(bad)).await;
            assert_eq!(answer.status, 422);
            assert!(answer.body.starts_with(b"purpose: "), "{:?}", answer.body);
        }
    }
}

#[tokio::test]
async fn b3_a_new_version_leaves_the_old_ones_behind() {
    for system in systems().await {
        let (old, _) = system.generate(&wanted(json!({}))).await;
        let (new, cached) = system.generate(&wanted(json!({"version": 2}))).await;
        assert!(new != old && !cached, "{}", system.tiers.name);
        assert_eq!(system.generate(&wanted(json!({}))).await, (old, true));
    }
}

#[tokio::test]
async fn b4_two_keys_one_computation() {
    for system in systems().await {
        let params = json!({"canonical_params": {"mood": "calm", "length": 3}});
        let (one, _) = system.generate(&wanted(params)).await;
        let other =
            json!({"purpose": "greeting", "canonical_params": {"length": 3, "mood": "calm"}});
        let other = wanted(other);
        let checked = system.post("/cache/check", &other).await;
        assert_eq!(
            (&checked["cached"], checked["generation_id"].as_str()),
            (&json!(true), Some(&*one))
        );
        assert_eq!(
            system.generate(&other).await,
            (one, true),
            "{}",
            system.tiers.name
        );
        assert_eq!(system.calls(), 1, "{}", system.tiers.name);
        let different = json!({"canonical_params": {"mood": "tense", "length": 3}});
        assert!(!system.generate(&wanted(different)).await.1);
        if let Some(redis) = &system.tiers.redis {
            let keys = redis.keys();
            let aliases = keys
                .iter()
                .filter(|key| key.starts_with("generation:hash:"));
            let hash = |key: &String| key.len() == "generation:hash:".len() + 64;
            assert!(
                aliases.clone().count() == 2 && aliases.clone().all(hash),
                "{keys:?}"
            );
        }
    }
}

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

#[tokio::test]
async fn b8_a_hundred_callers_on_two_instances_generate_once() {
    let slow = Duration::from_millis(400);
    for tiers in tiers().await {
        let generator = StandIn::new(slow);
        let mut apps = vec![Game::new(&tiers.cache, generator.clone()).unwrap().router()];
        if let Some(redis) = &tiers.redis {
            let other = Cache::builder().redis(redis.url()).lease(SHORT);
            let other = other.operation_timeout(PATIENT).build().unwrap();
            apps.push(Game::new(&other, generator.clone()).unwrap().router());
        }
        let callers = (0..100).map(|n| {
            let app = apps[n % apps.len()].clone();
            async move { ask(&app, "POST", API, Some(wanted(json!({})))).await.json() }
        });
        let answers = futures_util::future::join_all(callers).await;
        assert!(
            answers
                .iter()
                .all(|answer| answer["generation_id"] == "gen_0001")
        );
        assert_eq!(generator.calls(), 1, "{}", tiers.name);
    }
}

#[tokio::test(start_paused = true)]
async fn b8_a_generator_of_twelve_seconds_is_waited_for() {
    let (cache, _clock) = larder::testing::cache();
    let game = Game::new(&cache, StandIn::new(seconds(12))).unwrap();
    let app = game.router();
    let callers = (0..100).map(|_| ask(&app, "POST", API, Some(wanted(json!({})))));
    let answers = futures_util::future::join_all(callers).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(game.generator.calls(), 1);
}

#[tokio::test]
async fn b9_a_warmup_tells_its_progress() {
    for system in systems().await {
        let uri = format!("{API}/cache/warmup");
        let scenes = json!({"playthrough_id": "p1", "scene_ids": ["s1", "s2", "", "s3", "s4"]});
        let answer = ask(&system.app, "POST", &uri, Some(scenes)).await;
        let lines = std::str::from_utf8(&answer.body).unwrap().lines();
        let lines: Vec<Value> = lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let filled = lines
            .iter()
            .filter(|line| line["warmed"] == "filled")
            .count();
        assert_eq!((lines.len(), filled), (4, 2), "{lines:?}");
        assert!(lines.iter().all(|line| line["total"] == 4), "{lines:?}");
        system.tiers.cache.idle().await;
        let warmed = wanted(json!({
            "operation_type": "transition", "purpose": "scene_change", "from_scene": "s3", "to_scene": "s4",
            "strategy": "per_playthrough", "playthrough_id": "p1",
        }));
        assert!(system.generate(&warmed).await.1, "{}", system.tiers.name);
    }
}

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
