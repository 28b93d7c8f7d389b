//! What is stored: where, for how long, under which keys, in which form.

use std::time::Duration;

use larder::{Cache, days, hours};
use serde_json::{Value, json};

use crate::kinds::{LONG, MEDIUM, SHORT as AN_HOUR, Strategy, VERY_LONG, Voice, ttl_named};
use crate::support::redis_server::Redis;
use crate::support::{PATIENT, SHORT, ask};
use crate::{keys, material, system, systems, voice, with};

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
