//! System E, a script generator, driven through the example's own router, on memory
//! and on Redis.

#[path = "../examples/episodes/app.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod app;
#[path = "../examples/episodes/client.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod client;
#[path = "../examples/episodes/keys.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod keys;
#[path = "../examples/episodes/kinds.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod kinds;
#[path = "../examples/episodes/material.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod material;
#[path = "../examples/episodes/run.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod run;
#[path = "../examples/shared/standin.rs"]
#[allow(dead_code, unreachable_pub, reason = "the examples'")]
mod standin;
mod support;

use std::sync::Mutex;
use std::time::Duration;

use app::Writers;
use axum::Router;
use client::Ask;
use kinds::{LONG, MEDIUM, SHORT as AN_HOUR, Strategy, VERY_LONG, Voice, ttl_named};
use larder::{Cache, CacheBuilder, MIB, Outage, days, hours};
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

#[tokio::test]
async fn e1_the_strategy_names_the_tiers() {
    for system in systems() {
        let asked = json!({"prompt": "a joke"});
        assert_eq!(system.complete(asked.clone()).await["cached"], false);
        assert_eq!(
            system.complete(asked).await["cached"],
            true,
            "{}",
            system.name
        );
        let held = system.writers.cache.stats().memory_entries > 0;
        assert_eq!(held, system.name != "redis", "{}", system.name);
        if let Some(redis) = &system.redis {
            assert_eq!(redis.entries().len(), 1, "{}", system.name);
        }
    }
    assert_eq!(Strategy::named("hybrid"), Some(Strategy::Hybrid));
    assert_eq!(Strategy::named("else"), None);
    // Redis is left alone where memory is all that is asked for
    let redis = Redis::start();
    let system = system(with(&redis), Strategy::Memory, Duration::ZERO);
    system.complete(json!({"prompt": "a joke"})).await;
    assert!(redis.entries().is_empty());
}

#[tokio::test]
async fn e2_each_kind_has_its_ttl() {
    let names = ["short", "medium", "long", "very_long"].map(|name| ttl_named(name).unwrap());
    assert_eq!(names, [hours(1), days(1), days(7), days(30)]);
    assert_eq!(names, [AN_HOUR, MEDIUM, LONG, VERY_LONG]);
    for system in systems() {
        let kinds = &system.writers.kinds;
        system.writers.write("pilot", 1, |_| ()).await.unwrap();
        system.writers.cache.idle().await;
        let asked = material::ask(kinds, "pilot, scene 1").await;
        let text = system.writers.client.complete(&asked).await.unwrap().text;
        let ttls = [
            (kinds.ai_responses.ttl(keys::of(&asked)).await, LONG),
            (kinds.voice_profiles.ttl("robin").await, VERY_LONG),
            (kinds.dialogue_patterns.ttl("interview").await, LONG),
            (kinds.joke_structures.ttl("rule of three").await, LONG),
            (kinds.validation_results.ttl(text).await, MEDIUM),
            (kinds.episode_outlines.ttl("pilot|1").await, MEDIUM),
        ];
        for (at, (ttl, said)) in ttls.into_iter().enumerate() {
            let ttl = ttl.unwrap_or_else(|| panic!("{at} on {}", system.name));
            assert!(
                ttl <= said && ttl > said - Duration::from_secs(60),
                "{at}: {ttl:?}"
            );
        }
    }
}

#[tokio::test]
async fn e3_keys_know_no_order_and_all_that_matters() {
    for system in systems() {
        let one =
            r#"{"prompt":"p","model":"m","temperature":0.7,"max_tokens":10,"json_mode":false}"#;
        let same =
            r#"{"json_mode":false,"max_tokens":10,"temperature":0.70,"model":"m","prompt":"p"}"#;
        let [one, same] = [one, same].map(|text| serde_json::from_str::<Value>(text).unwrap());
        system.complete(one.clone()).await;
        assert_eq!(
            system.complete(same).await["cached"],
            true,
            "{}",
            system.name
        );
        for (field, value) in [
            ("prompt", json!("q")),
            ("model", json!("n")),
            ("temperature", json!(0.8)),
            ("max_tokens", json!(11)),
            ("json_mode", json!(true)),
        ] {
            let mut other = one.clone();
            other[field] = value;
            assert_eq!(system.complete(other).await["cached"], false, "{field}");
        }
    }
}

#[tokio::test]
async fn e4_memory_is_bounded_and_serves_when_redis_fails() {
    let redis = Redis::start();
    let small = || Cache::builder().memory(256 << 10);
    let both = small()
        .redis(redis.url())
        .lease(SHORT)
        .operation_timeout(PATIENT);
    let all = [(small(), None), (both, Some(redis))];
    for (builder, redis) in all {
        let system = system(builder, Strategy::Hybrid, Duration::ZERO);
        for n in 0..100 {
            system
                .complete(json!({"prompt": format!("joke {n}")}))
                .await;
        }
        let stats = system.writers.cache.stats();
        assert!(
            stats.memory_bytes <= 256 << 10 && stats.memory_entries < 100,
            "{stats:?}"
        );
        let Some(mut redis) = redis else { continue };
        system.complete(json!({"prompt": "the last"})).await;
        redis.kill();
        for _ in 0..3 {
            let told = system.complete(json!({"prompt": "the last"})).await;
            assert_eq!(told["cached"], true, "memory serves");
        }
        assert_eq!(
            system.complete(json!({"prompt": "new"})).await["cached"],
            false
        );
        assert_eq!(
            system.complete(json!({"prompt": "new"})).await["cached"],
            true,
            "and fills"
        );
    }
}

fn voice() -> Value {
    json!({"name": "Robin", "phrases": ["well"], "moods": [["dry", 0.5]]})
}

#[tokio::test]
async fn e5_a_codec_for_each_namespace() {
    for system in systems() {
        ask(&system.app, "PUT", "/voices/robin", Some(voice())).await;
        system.complete(json!({"prompt": "a joke"})).await;
        let read = ask(&system.app, "GET", "/voices/robin", None).await;
        assert_eq!(read.json(), voice(), "{}", system.name);
        let Some(redis) = &system.redis else { continue };
        // another instance reads what this one has written, and only its own type
        let other = self::system(with(redis), Strategy::Hybrid, Duration::ZERO);
        let read = ask(&other.app, "GET", "/voices/robin", None).await;
        assert_eq!(read.json(), voice(), "{}", system.name);
        let frame: Vec<u8> = redis.command(&["GET", "voice_profile:robin"]);
        let json = serde_json::to_vec(&voice()).unwrap();
        assert!(
            !frame.windows(6).any(|part| part == b"\"name\""),
            "it is binary"
        );
        assert!(!frame.windows(json.len()).any(|part| part == json));
        let other = with(redis).build().unwrap();
        let untyped = other.values::<Voice>("voice_profile").build().unwrap();
        assert!(
            untyped.get("robin").await.is_none(),
            "another codec reads nothing of it"
        );
    }
}

#[tokio::test]
async fn e6_what_is_above_a_kilobyte_is_compressed() {
    for system in systems() {
        let told = system.complete(json!({"prompt": "a long scene"})).await;
        let text = told["text"].as_str().unwrap().len();
        assert!(text > 1_024);
        let Some(redis) = &system.redis else { continue };
        let key = redis.entries().remove(0);
        let stored: usize = redis.command(&["STRLEN", &key]);
        assert!(stored < text / 2, "{stored} of {text} on {}", system.name);
    }
}

#[tokio::test]
async fn e7_every_operation_is_there() {
    for system in systems() {
        let get = async |uri: &str| ask(&system.app, "GET", uri, None).await;
        assert_eq!(get("/voices/robin").await.status, 404);
        ask(&system.app, "PUT", "/voices/robin", Some(voice())).await;
        assert_eq!(get("/voices/robin").await.status, 200, "set, get");
        let gone = ask(&system.app, "DELETE", "/voices/robin", None).await;
        assert_eq!(
            gone.json(),
            json!({"deleted": 1}),
            "delete on {}",
            system.name
        );
        assert_eq!(get("/voices/robin").await.status, 404);

        let asked = json!({"prompt": "a joke"});
        system.complete(asked.clone()).await;
        system.complete(json!({"prompt": "another"})).await;
        let known = async || {
            let asked = Some(asked.clone());
            ask(&system.app, "GET", "/cache/ai_response", asked)
                .await
                .json()
        };
        let shown = known().await;
        let ttl = shown["ttl"].as_u64().unwrap();
        assert!(
            shown["exists"] == true && ttl > LONG.as_secs() - 60,
            "exists, ttl: {shown}"
        );
        let cleared = ask(&system.app, "DELETE", "/cache/ai_response", None).await;
        assert_eq!(
            cleared.json(),
            json!({"deleted": 2}),
            "clear on {}",
            system.name
        );
        assert_eq!(known().await, json!({"exists": false, "ttl": null}));

        let health = get("/cache/health").await.json();
        let redis = system.redis.as_ref().map(|_| true);
        assert_eq!(health["redis"], json!(redis), "{health}");
        let stats = get("/cache/stats").await.json();
        for field in [
            "hits", "misses", "sets", "deletes", "errors", "total", "hit_rate",
        ] {
            assert!(stats[field].is_number(), "{field}: {stats}");
        }
        assert_eq!(
            (&stats["sets"], &stats["deletes"]),
            (&json!(3), &json!(3)),
            "{stats}"
        );
        // the crate's own are serializable as they are
        assert!(serde_json::to_value(system.writers.cache.stats()).is_ok());
    }
}

#[tokio::test]
async fn e8_the_client_says_whether_it_was_cached() {
    for system in systems() {
        for _ in 0..4 {
            system.complete(json!({"prompt": "a joke"})).await;
        }
        let usage = ask(&system.app, "GET", "/usage", None).await.json();
        assert_eq!(
            (&usage["requests"], &usage["cached"]),
            (&json!(4), &json!(3)),
            "{usage}"
        );
        assert_eq!(usage["hit_rate"], 0.75, "{}: {usage}", system.name);
        // caching is the caller's to enable
        let plain = client::AiClient::new(StandIn::new(Duration::ZERO));
        for _ in 0..2 {
            let told = plain.complete(&Ask::new("a joke")).await.unwrap();
            assert!(!told.cached);
        }
        assert_eq!(plain.calls(), 2);
    }
}

#[tokio::test]
async fn e9_three_scenes_at_a_time_with_progress() {
    for system in systems_with(Duration::from_millis(100)) {
        let steps = Mutex::new(Vec::new());
        let told = |step| steps.lock().unwrap().push(step);
        let episode = system.writers.write("pilot", 6, told).await.unwrap();
        assert_eq!(
            (episode.script.len(), episode.written),
            (6, 6),
            "{}",
            system.name
        );
        assert_eq!(system.writers.client.most_at_once(), 3, "{}", system.name);
        let steps = steps.into_inner().unwrap();
        assert_eq!(steps.len(), 6);
        assert!(
            steps[5].starts_with("6/6 ") && steps[5].ends_with("filled"),
            "{steps:?}"
        );
        let again = system.writers.write("pilot", 6, |_| ()).await.unwrap();
        assert_eq!((again.known, system.calls()), (6, 7), "{}", system.name);
    }
}

#[tokio::test]
async fn e10_the_monitor_names_the_slowest_phase() {
    for system in systems_with(Duration::from_millis(50)) {
        for n in 0..3 {
            system
                .complete(json!({"prompt": format!("joke {n}")}))
                .await;
            system
                .complete(json!({"prompt": format!("joke {n}")}))
                .await;
        }
        let shown = ask(&system.app, "GET", "/performance", None).await.json();
        assert_eq!(shown["bottleneck"], "fill", "{}: {shown}", system.name);
        let phases = &shown["milliseconds"]["ai_response"];
        assert!(phases["fill"].as_f64().unwrap() >= 45.0, "{shown}");
        assert!(phases["miss"].as_f64().unwrap() >= 45.0, "{shown}");
    }
}

#[tokio::test]
async fn e11_a_season_meets_its_targets() {
    for system in systems_with(Duration::from_millis(300)) {
        let season = run::season(&system.writers, (2, 6), |_| ()).await.unwrap();
        let name = system.name;
        assert!(
            season.episode < Duration::from_secs(300),
            "{name}: {season}"
        );
        assert!(season.hit_rate > 60.0, "{name}: {season}");
        assert!(
            season.cached < Duration::from_millis(10),
            "{name}: {season}"
        );
        assert!(season.parallel > 1.2, "{name}: {season}");
        assert!(season.memory.0 <= season.memory.1, "{name}: {season}");
        // of a call of 2 s it would be seven times that
        assert!(season.speed_up > 10.0, "{name}: {season}");
    }
}
