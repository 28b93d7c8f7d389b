//! Narratives: found, made once, or stood in for.

use std::time::Duration;

use larder::{days, seconds};
use serde_json::json;

use crate::profile::top;
use crate::support::{ask, eventually};
use crate::{app, chart, profile, systems, systems_with, tell};

#[tokio::test]
async fn d1_keys_are_canonical_and_rounded_to_a_step() {
    for (step, keys) in [(0.5, 2), (1.0, 1)] {
        for system in systems_with(Duration::ZERO, step) {
            for fire in [32.4, 32.6, 32.1] {
                system.tell("1", fire).await;
            }
            assert_eq!(system.calls(), keys, "{} by {step}", system.name);
            // the order of members does not count
            let other = r#"{"birth":"b","percentages":{"air":10,"earth":40.25,"fire":32.45},"name":"n","user_id":"1"}"#;
            tell(
                &system.app,
                "western",
                &serde_json::from_str(other).unwrap(),
            )
            .await;
            assert_eq!(system.calls(), keys, "{} by {step}", system.name);
            let shown = ask(&system.app, "GET", "/narrative/stats", None)
                .await
                .json();
            let advised = shown["advice"].is_string();
            assert_eq!(advised, step < 1.0, "a rate under 90 %: {shown}");
        }
    }
    // another version or prompt is another key
    let profile = &top(1)[0];
    let as_it_is = profile.key(0.5);
    let key = larder::values::JsonKey::of(
        &json!({"system": profile.system, "percentages": profile.percentages}),
    );
    let key = key.quantize("percentages", 0.5);
    let next = key
        .clone()
        .version("narrative@1.0.1")
        .fingerprint("prompt", profile::PROMPT);
    assert_ne!(next.build().unwrap(), as_it_is);
    let reworded = key
        .version(profile::ENGINE)
        .fingerprint("prompt", "another");
    assert_ne!(reworded.build().unwrap(), as_it_is);
}

#[tokio::test]
async fn d2_a_week_in_the_process_and_a_month_in_redis() {
    for system in systems() {
        system.tell("1", 32.0).await;
        system.clock.advance(days(7) - seconds(60));
        let looks = || {
            system
                .redis
                .as_ref()
                .map(|r| r.calls("get") + r.calls("mget"))
        };
        let before = looks();
        assert_eq!(system.tell("1", 32.0).await["cached"], true);
        assert_eq!(looks(), before, "in the process");
        assert_eq!(system.calls(), 1, "{}", system.name);
        let Some(redis) = &system.redis else { continue };
        let key = redis
            .entries()
            .into_iter()
            .find(|key| key.starts_with("narrative:"));
        let left: i64 = redis.command(&["PTTL", &key.unwrap()]);
        let month = i64::try_from(days(30).as_millis()).unwrap();
        assert!(left > month - 60_000 && left <= month, "{left}");
        let other = app::router(&system.other());
        let told = tell(&other, "western", &chart("1", 32.0)).await;
        assert_eq!(
            (&told["cached"], system.calls()),
            (&json!(true), 1),
            "shared"
        );
    }
}

#[tokio::test]
async fn d3_a_generator_that_fails_is_nobodys_error() {
    for system in systems() {
        system.tell("1", 32.0).await;
        system.narrator.generator.set_down(true);
        // what is stale comes first
        system.clock.advance(days(8));
        let told = system.tell("1", 32.0).await;
        assert_eq!(
            (&told["cached"], &told["fallback"]),
            (&json!(true), &json!(false))
        );
        // a template where there is nothing, and that is not stored
        let told = system.tell("2", 50.0).await;
        assert_eq!(told["fallback"], true, "{}: {told}", system.name);
        assert!(
            told["text"].as_str().unwrap().contains("being written"),
            "{told}"
        );
        system.narrator.generator.set_down(false);
        system.clock.advance(seconds(31));
        let told = system.tell("2", 50.0).await;
        assert_eq!(
            (&told["cached"], &told["fallback"]),
            (&json!(false), &json!(false))
        );
    }
}

#[tokio::test]
async fn d5_a_hundred_at_once_are_one_generation() {
    for system in systems_with(Duration::from_millis(300), 0.5) {
        let other = app::router(&system.other());
        let chart = chart("1", 32.0);
        let asked = (0..100).map(|n| {
            let app = match n % 2 == 1 && system.redis.is_some() {
                true => &other,
                false => &system.app,
            };
            tell(app, "western", &chart)
        });
        let told = futures_util::future::join_all(asked).await;
        assert!(told.iter().all(|told| told["fallback"] == false));
        assert_eq!(system.calls(), 1, "{}", system.name);
    }
}

#[tokio::test]
async fn d6_after_a_week_it_is_told_at_once_and_renewed_once() {
    for system in systems_with(Duration::from_millis(100), 0.5) {
        system.tell("1", 32.0).await;
        let other = system.other();
        let elsewhere = app::router(&other);
        system.clock.advance(days(7) + seconds(1));
        let chart = chart("1", 32.0);
        for n in 0..10 {
            let app = match n % 2 == 1 && system.redis.is_some() {
                true => &elsewhere,
                false => &system.app,
            };
            let told = tell(app, "western", &chart).await;
            assert_eq!(told["cached"], true, "{}: {told}", system.name);
        }
        eventually("it is renewed", || async { system.calls() == 2 }).await;
        system.narrator.cache.idle().await;
        other.cache.idle().await;
        assert_eq!(system.tell("1", 32.0).await["cached"], true);
        assert_eq!(system.calls(), 2, "{}: once", system.name);
        system.clock.advance(days(31));
        assert_eq!(
            system.tell("1", 32.0).await["cached"],
            false,
            "it has ended"
        );
    }
}
