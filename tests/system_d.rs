//! System D, narratives, driven through the example's own router, on memory and on
//! Redis.

#[path = "../examples/narrative/app.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod app;
#[path = "../examples/narrative/narrator.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod narrator;
#[path = "../examples/narrative/profile.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod profile;
#[path = "../examples/narrative/run.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod run;
#[path = "../examples/shared/standin.rs"]
#[allow(dead_code, unreachable_pub, reason = "the examples'")]
mod standin;
mod support;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use larder::testing::ManualClock;
use larder::{Cache, Encryption, MIB, WarmList, days, seconds};
use narrator::Narrator;
use profile::{Profile, top};
use serde_json::{Value, json};
use standin::StandIn;
use support::redis_server::Redis;
use support::{PATIENT, SHORT, ask, eventually};
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
        assert_eq!(system.tell("1", 32.0).await["cached"], true);
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

/// All that Redis holds, names and contents.
fn everything(redis: &Redis) -> Vec<Vec<u8>> {
    let names: Vec<String> = redis.command(&["KEYS", "*"]);
    let mut all: Vec<Vec<u8>> = Vec::new();
    for name in names {
        let kind: String = redis.command(&["TYPE", &name]);
        let words: &[&str] = match &*kind {
            "string" => &["GET", &name],
            "hash" => &["HGETALL", &name],
            "set" => &["SMEMBERS", &name],
            "zset" => &["ZRANGE", &name, "0", "-1"],
            other => panic!("{name} is a {other}"),
        };
        match &*kind {
            "string" => all.push(redis.command(words)),
            _ => all.extend(redis.command::<Vec<Vec<u8>>>(words)),
        }
        all.push(name.into_bytes());
    }
    all
}

fn assert_nowhere(redis: &Redis, secrets: &[&str]) {
    for bytes in everything(redis) {
        for secret in secrets {
            let found = bytes
                .windows(secret.len())
                .any(|part| part == secret.as_bytes());
            assert!(!found, "{secret} in {}", String::from_utf8_lossy(&bytes));
        }
    }
}

#[tokio::test]
async fn d4_nothing_of_a_person_is_readable_in_redis() {
    for system in systems() {
        for n in 0..5 {
            system
                .tell(&format!("user-ada-{n}"), 30.0 + f64::from(n))
                .await;
        }
        ask(&system.app, "GET", "/narrative/analytics", None).await;
        let Some(redis) = &system.redis else { continue };
        assert!(redis.entries().len() >= 10, "{:?}", redis.entries());
        assert_nowhere(
            redis,
            &[
                "Ada", "Lovelace", "1815", "London", "user-ada", "32.0", "fire", "Dear",
            ],
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

#[tokio::test]
async fn d7_prewarming_skips_what_is_fresh_and_goes_on_after_a_failure() {
    for system in systems() {
        let narrator = &system.narrator;
        let name = |profile: &Profile| profile.system.clone();
        let list = || WarmList::named(top(100), name);
        let mut run = narrator.prewarm(list(), Duration::from_millis(1));
        let (mut lines, mut last) = (0, String::new());
        while let Some(step) = run.next().await {
            lines += 1;
            last = step.to_string();
        }
        assert_eq!(lines, 100);
        assert!(
            last.starts_with("100/100 ") && last.ends_with(": filled"),
            "{last}"
        );
        let report = run.report().await;
        assert!(report.is_complete() && report.filled == 100, "{report}");
        narrator.cache.idle().await;
        let calls = system.calls();
        let again = narrator
            .prewarm(list(), Duration::from_millis(1))
            .report()
            .await;
        assert_eq!(
            (again.fresh, system.calls()),
            (100, calls),
            "{}",
            system.name
        );

        let text = "{\"system\":\"x\",\"percentages\":{\"a\":1}}\nnonsense\n{\"system\":\"y\",\"percentages\":{\"a\":1}}\n";
        let list = WarmList::parse(text, |line| serde_json::from_str::<Profile>(line));
        let report = narrator
            .prewarm(list, Duration::from_millis(1))
            .report()
            .await;
        assert_eq!((report.filled, report.failed[0].at), (2, 2), "{report:?}");
        assert!(!report.is_complete(), "its exit status tells");

        narrator.generator.set_down(true);
        let lines = (0..3).map(|n| format!("{{\"system\":\"z\",\"percentages\":{{\"a\":{n}}}}}\n"));
        let list = WarmList::parse(&lines.collect::<String>(), |line| {
            serde_json::from_str::<Profile>(line)
        });
        let report = narrator
            .prewarm(list, Duration::from_millis(1))
            .report()
            .await;
        assert_eq!(report.failed.len(), 3, "each is tried: {report:?}");
        assert_eq!(report.failed[0].why, "the service did not answer");
    }
}

#[tokio::test(start_paused = true)]
async fn d7_one_is_begun_each_second() {
    let (cache, _clock) = larder::testing::cache();
    let narrator = Narrator::new(&cache, StandIn::new(Duration::ZERO), 0.5).unwrap();
    let list = WarmList::named(top(20), |profile: &Profile| profile.system.clone());
    let start = tokio::time::Instant::now();
    let report = narrator.prewarm(list, seconds(1)).report().await;
    assert_eq!((report.filled, start.elapsed().as_secs()), (20, 19));
}

#[tokio::test]
async fn d8_stats_with_the_applications_labels() {
    for system in systems() {
        for _ in 0..4 {
            system.tell("1", 32.0).await;
        }
        let shown = ask(&system.app, "GET", "/narrative/stats", None)
            .await
            .json();
        assert_eq!(shown["engineVersion"], "narrative@1.0.0");
        assert_eq!(shown["promptHash"].as_str().unwrap().len(), 16);
        assert_eq!(
            (&shown["ttlDays"], &shown["keys"]),
            (&json!(7), &json!(2)),
            "{shown}"
        );
        assert!(shown["hitRate"].as_f64().unwrap() > 0.7, "{shown}");
        let redis = shown["memoryUsed"]["redis"].as_u64().unwrap();
        assert_eq!(redis > 0, system.redis.is_some(), "{shown}");
    }
}

#[tokio::test]
async fn d9_analytics_of_systems_users_hours_and_costs() {
    for system in systems() {
        for n in 0..30 {
            let tradition = if n % 3 == 0 { "vedic" } else { "western" };
            tell(
                &system.app,
                tradition,
                &chart(&format!("user-{}", n % 5), 32.0),
            )
            .await;
        }
        system.narrator.cache.idle().await;
        let shown = ask(&system.app, "GET", "/narrative/analytics", None)
            .await
            .json();
        let numbers = ["totalRequests", "cacheHits", "cacheMisses", "uniqueUsers"];
        assert_eq!(
            numbers.map(|name| shown[name].as_u64().unwrap()),
            [30, 28, 2, 5],
            "{shown}"
        );
        assert_eq!(
            shown["topSystems"][0],
            json!({"system": "western", "score": 20}),
            "{shown}"
        );
        let cost = |name: &str| shown[name].as_f64().unwrap();
        assert!(
            (cost("estimatedCost") - 2.0 * app::COST).abs() < 1e-9,
            "{shown}"
        );
        assert!(
            (cost("costWithoutCache") - 30.0 * app::COST).abs() < 1e-9,
            "{shown}"
        );
        assert!(
            (cost("costPerUser") - 2.0 * app::COST / 5.0).abs() < 1e-9,
            "{shown}"
        );
        assert_eq!(shown["hitRateByHour"].as_array().unwrap().len(), 24);
        assert!(shown["hitRateByDay"].as_array().unwrap().len() >= 30);
        assert!(shown["avgGenerationTime"].is_f64(), "{shown}");
    }
}

#[tokio::test]
async fn d10_a_user_is_erased_to_the_last_byte() {
    for system in systems() {
        for fire in [10.0, 20.0, 30.0] {
            system.tell("ada", fire).await;
        }
        system.tell("grace", 10.0).await;
        let before = system.redis.as_ref().map(|redis| redis.entries().len());
        let answer = ask(&system.app, "DELETE", "/narrative/user/ada", None).await;
        assert_eq!(answer.json(), json!({"deleted": 3}), "{}", system.name);
        assert!(
            system.tell("grace", 10.0).await["cached"] == true,
            "grace's stay"
        );
        let again = ask(&system.app, "DELETE", "/narrative/user/ada", None).await;
        assert_eq!(again.json(), json!({"deleted": 0}));
        let Some(redis) = &system.redis else { continue };
        assert_eq!(Some(redis.entries().len() + 3), before);
        let members: Vec<String> = redis
            .keys()
            .into_iter()
            .filter(|key| key.contains("!group"))
            .collect();
        for group in members {
            let names: Vec<String> = redis.command(&["ZRANGE", &group, "0", "-1"]);
            assert!(
                names
                    .iter()
                    .all(|name| redis.command::<bool>(&["EXISTS", name])),
                "{group}: {names:?}"
            );
        }
        assert_nowhere(redis, &["ada", "Ada", "Lovelace"]);
    }
}

#[tokio::test]
async fn d11_a_month_meets_its_targets() {
    for system in systems_with(Duration::from_millis(20), 0.5) {
        let month = run::month(&system.narrator, 10, 40).await;
        let name = system.name;
        assert!(month.cold > 0.95 && month.warmed >= 0.99, "{name}: {month}");
        assert!(
            month.slowest < seconds(5) && month.errors == 0,
            "{name}: {month}"
        );
        assert!(
            month.p99_warmed < Duration::from_millis(100),
            "{name}: {month}"
        );
    }
    assert!(run::cost(10_000, 0.95) <= 50.0 + 1e-6 && run::cost(100_000, 0.95) <= 500.0 + 1e-6);
    assert!(run::cost(1_000, 0.95) < 20.0 && run::cost(10_000, 0.98) <= 20.0 + 1e-6);
}
