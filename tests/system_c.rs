//! System C, the studio, driven through the example's own router, on memory and on
//! Redis.

#[path = "../examples/studio/app.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod app;
#[path = "../examples/studio/cached.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod cached;
#[path = "../examples/studio/database.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod database;
#[path = "../examples/studio/metrics.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod metrics;
#[path = "../examples/studio/model.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod model;
#[path = "../examples/studio/run.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod run;
#[path = "../examples/shared/sqlite.rs"]
#[allow(dead_code, unreachable_pub, reason = "the examples'")]
mod sqlite;
#[path = "../examples/shared/standin.rs"]
#[allow(dead_code, unreachable_pub, reason = "the examples'")]
mod standin;
mod support;

use std::time::Duration;

use app::Studio;
use axum::Router;
use larder::config::Config;
use larder::{Cache, minutes, seconds};
use serde_json::json;
use standin::StandIn;
use support::redis_server::Redis;
use support::{PATIENT, Tiers, ask, eventually, tiers, tiers_with};

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

#[tokio::test]
async fn c1_a_redis_that_is_gone_means_uncached_and_no_errors() {
    for system in systems().await {
        let mut system = system;
        let uri = "/projects/p1/scenes/s1";
        system.scene(uri).await;
        let Some(redis) = &mut system.tiers.redis else {
            continue; // memory alone cannot go
        };
        redis.kill();
        for _ in 0..3 {
            assert_eq!(ask(&system.app, "GET", uri, None).await.status, 200);
        }
        let update = Some(json!({"code": "<New/>"}));
        assert_eq!(ask(&system.app, "PUT", uri, update).await.status, 204);
        let answer = ask(&system.app, "GET", uri, None).await;
        assert_eq!(answer.json()["code"], "<New/>");
        assert!(system.tiers.cache.stats().store_errors > 0);
    }
}

#[tokio::test]
async fn c2_keys_are_what_they_were() {
    for system in systems().await {
        system.scene("/projects/p1/scenes/s1").await;
        system.get("/projects/p1/scenes").await;
        system.decide("add a chart").await;
        ask(&system.app, "POST", "/projects/p1/scenes/s1/build", None).await;
        system.get("/users/7/preferences").await;
        system.tiers.cache.idle().await;
        let cached = &system.studio.cached;
        let ttl = cached.preferences.ttl("7:preferences").await.unwrap();
        assert!(
            ttl > minutes(59) && ttl <= seconds(3_600),
            "the default: {ttl:?}"
        );
        assert!(cached.scenes.contains("p1:s1").await && cached.lists.contains("p1:scenes").await);
        let Some(redis) = &system.tiers.redis else {
            continue;
        };
        let keys = redis.entries();
        for key in [
            "scene:p1:s1",
            "project:p1:scenes",
            "component:s1:1",
            "user:7:preferences",
        ] {
            assert!(keys.iter().any(|known| known == key), "{key}: {keys:?}");
        }
        let hash = keys.iter().find_map(|key| key.strip_prefix("ai:decision:"));
        let hash = hash.unwrap_or_else(|| panic!("{keys:?}"));
        let digits = hash.bytes().all(|b| b.is_ascii_hexdigit());
        assert!(hash.len() == 64 && digits, "SHA-256: {hash}");
    }
}

#[tokio::test]
async fn c3_a_scene_is_read_through_and_an_update_reaches_its_list_too() {
    for system in systems().await {
        let (uri, list) = ("/projects/p1/scenes/s1", "/projects/p1/scenes");
        assert_eq!(system.scene(uri).await, (false, "<Scene/>".into()));
        assert_eq!(system.scene(uri).await, (true, "<Scene/>".into()));
        for _ in 0..2 {
            assert_eq!(system.get("/projects/p1/scenes/none").await.status, 404);
        }
        assert!(!system.studio.cached.scenes.contains("p1:none").await);
        assert_eq!(system.get(list).await.json().as_array().unwrap().len(), 10);
        system.tiers.cache.idle().await;

        let update = Some(json!({"code": "<New/>"}));
        assert_eq!(ask(&system.app, "PUT", uri, update).await.status, 204);
        assert!(!system.studio.cached.lists.contains("p1:scenes").await);
        assert_eq!(system.scene(uri).await, (false, "<New/>".into()));
        system.scene("/projects/p2/scenes/s1").await;
        assert_eq!(ask(&system.app, "DELETE", uri, None).await.status, 204);
        assert_eq!(system.get(uri).await.status, 404);
        assert_eq!(system.get(list).await.json().as_array().unwrap().len(), 9);
        assert!(
            system.scene("/projects/p2/scenes/s1").await.0,
            "another project's stays"
        );
    }
}

#[tokio::test]
async fn c4_a_decision_is_cached_by_what_matters_and_checked_before_use() {
    for system in systems().await {
        let calls = || system.studio.model.0.calls();
        let edit = system.decide("edit the first").await;
        assert_eq!(edit, json!({"action": "edit", "scene": "s1"}));
        // a scene's code is none of what it depends on
        let update = Some(json!({"code": "<New/>"}));
        ask(&system.app, "PUT", "/projects/p1/scenes/s5", update).await;
        assert_eq!(system.decide("edit the first").await, edit);
        assert_eq!(calls(), 1, "{}", system.tiers.name);
        assert_ne!(system.decide("add one").await, edit);
        assert_eq!(calls(), 2, "{}", system.tiers.name);
        // the scene that it would edit goes, and another one comes in its place
        let place = "/projects/p1/scenes/s1";
        ask(&system.app, "DELETE", place, None).await;
        let new = Some(json!({"id": "s0", "kind": "intro"}));
        ask(&system.app, "POST", "/projects/p1/scenes", new).await;
        let other = system.decide("edit the first").await;
        assert_eq!(other, json!({"action": "edit", "scene": "s0"}));
        assert_eq!(calls(), 3, "{}: the same key, replaced", system.tiers.name);
        assert_eq!(system.decide("edit the first").await, other);
        assert_eq!(calls(), 3, "{}", system.tiers.name);
    }
}

#[tokio::test]
async fn c5_only_a_successful_build_is_cached() {
    for system in systems().await {
        let compile = async || {
            let uri = "/projects/p1/scenes/s1/build";
            let answer = ask(&system.app, "POST", uri, None).await;
            system.tiers.cache.idle().await;
            answer.json()["success"].as_bool().unwrap()
        };
        let calls = || system.studio.compiler.calls();
        assert!(compile().await && compile().await);
        assert_eq!(calls(), 1, "{}", system.tiers.name);
        let broken = Some(json!({"code": "<Scene"}));
        ask(&system.app, "PUT", "/projects/p1/scenes/s1", broken).await;
        assert!(!compile().await && !compile().await);
        assert_eq!(calls(), 3, "{}: each time anew", system.tiers.name);
    }
}

#[tokio::test]
async fn c6_an_opened_project_is_warmed_and_nobody_waits() {
    for tiers in tiers().await {
        let slow = Duration::from_millis(100);
        let studio = studio(&tiers.cache, &Config::default(), slow);
        let app = studio.router();
        let began = tokio::time::Instant::now();
        let answer = ask(&app, "POST", "/projects/p1/open", None).await;
        assert_eq!(answer.status, 202);
        assert!(
            began.elapsed() < slow,
            "it does not wait for a single query"
        );
        let scenes = &studio.cached.scenes;
        eventually("all are warm", || async {
            let keys = (1..=10).map(|scene| format!("p1:s{scene}"));
            let found = futures_util::future::join_all(keys.map(|key| scenes.contains(key)));
            found.await.into_iter().all(|found| found)
        })
        .await;
        assert!(
            studio.cached.lists.contains("p1:scenes").await,
            "{}",
            tiers.name
        );
        // one that is not there fails, and is only reported
        let report = studio.warm("p1").await.unwrap().report().await;
        assert_eq!(
            (report.fresh, report.failed.len()),
            (10, 0),
            "{}",
            tiers.name
        );
        assert_eq!(
            ask(&app, "POST", "/projects/none/open", None).await.status,
            202
        );
    }
}

#[tokio::test]
async fn c7_ten_repeats_after_one_miss_show_over_ninety_percent() {
    for system in systems().await {
        for _ in 0..11 {
            system.scene("/projects/p1/scenes/s1").await;
        }
        let shown = system.get("/api/admin/cache-stats").await.json();
        let cache = &shown["cache"];
        assert_eq!(cache["hits"], 10, "{shown}");
        assert_eq!(
            (&cache["misses"], &cache["errors"]),
            (&json!(1), &json!(0)),
            "{shown}"
        );
        assert_eq!(cache["hitRate"], 90.91, "{shown}");
        assert_eq!(shown["health"], "healthy");
        assert!(
            cache["uptime"].is_u64() && shown["memory"].is_object(),
            "{shown}"
        );
        let reset = ask(&system.app, "DELETE", "/api/admin/cache-stats", None).await;
        assert_eq!(reset.status, 204);
        let shown = system.get("/api/admin/cache-stats").await.json();
        assert_eq!(shown["cache"]["hits"], 0, "{shown}");
        assert_eq!(shown["health"], "degraded", "{shown}");
    }
}

#[tokio::test]
async fn c8_the_environment_configures_it() {
    let redis = Redis::start_with(&[
        "--requirepass",
        "s3cret!",
        "--maxmemory-policy",
        "allkeys-lru",
    ]);
    let port = redis.port().to_string();
    let vars = [
        ("REDIS_HOST", "127.0.0.1"),
        ("REDIS_PORT", &*port),
        ("REDIS_PASSWORD", "s3cret!"),
        ("CACHE_ENABLED", "true"),
        ("CACHE_TTL_SCENES", "120"),
        ("CACHE_TTL_AI", "5m"),
        ("CACHE_TTL_COMPONENTS", "2h"),
        ("CACHE_MAX_MEMORY", "2gb"),
    ];
    let without_redis = vars.iter().filter(|(name, _)| !name.starts_with("REDIS"));
    let configs = [
        Config::default().with_vars(vars).unwrap(),
        Config::default().with_vars(without_redis.copied()).unwrap(),
    ];
    for config in configs {
        let cache = config.builder().unwrap().build().unwrap();
        assert_eq!(cache.stats().memory_capacity, 2_000_000_000);
        let studio = studio(&cache, &config, QUERY);
        let app = studio.router();
        ask(&app, "GET", "/projects/p1/scenes/s1", None).await;
        let ttl = studio.cached.scenes.ttl("p1:s1").await.unwrap();
        assert!(ttl <= seconds(120) && ttl > seconds(110), "{ttl:?}");
        // a switch while it runs
        for (on, cached) in [(false, "false"), (true, "true")] {
            ask(&app, "POST", "/api/admin/cache-enabled", Some(json!(on))).await;
            let answer = ask(&app, "GET", "/projects/p1/scenes/s1", None).await;
            assert_eq!(answer.headers["x-cached"], cached);
        }
    }
    for (name, value) in [("CACHE_MAX_MEMORY", "much"), ("CACHE_TTL_AI", "soon")] {
        let error = Config::default().with_vars([(name, value)]).unwrap_err();
        assert_eq!(error.setting(), name);
    }
}

#[tokio::test]
async fn c8_the_eviction_policy_is_compared_with_the_servers_and_never_set() {
    let redis = Redis::start_with(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lfu"]);
    let vars = |policy| {
        [
            ("REDIS_URL", redis.url()),
            ("CACHE_EVICTION_POLICY", policy),
        ]
    };
    for (expected, told) in [("allkeys-lru", true), ("allkeys-lfu", false)] {
        let config = Config::default()
            .with_vars(vars(expected.to_owned()))
            .unwrap();
        let cache = config
            .builder()
            .unwrap()
            .operation_timeout(PATIENT)
            .build()
            .unwrap();
        let advice = cache.advice().await;
        let compared = advice
            .iter()
            .any(|one| one.what.contains(expected) && one.what.contains("allkeys-lfu"));
        assert_eq!(compared, told, "{expected}: {advice:?}");
    }
    let policy: Vec<String> = redis.command(&["CONFIG", "GET", "maxmemory-policy"]);
    assert_eq!(policy[1], "allkeys-lfu");
    assert_eq!(redis.calls("config|set"), 0);
}

#[tokio::test]
async fn c9_a_low_hit_rate_is_an_alert_on_the_page() {
    const TOKEN: &str = "a token of the studio";
    for tiers in tiers_with(|builder| builder.least_hit_rate(0.8)).await {
        let studio = studio(&tiers.cache, &Config::default(), Duration::ZERO);
        let app = studio.router_with_page(TOKEN).unwrap();
        for n in 0..150 {
            // nobody's preferences are asked for twice
            ask(&app, "GET", &format!("/users/{n}/preferences"), None).await;
        }
        let page = ask(&app, "GET", "/admin/cache/dashboard", None).await;
        assert_eq!(page.status, 200, "{}", tiers.name);
        let closed = ask(&app, "GET", "/admin/cache/advisor", None).await;
        assert!(matches!(closed.status, 401 | 403), "{}", closed.status);
        let shown = support::ask_as(&app, TOKEN, "/admin/cache/advisor")
            .await
            .json();
        assert!(
            shown.to_string().contains("hit-rate-low"),
            "{}: {shown}",
            tiers.name
        );
    }
}

#[tokio::test]
async fn c10_a_days_work_meets_its_targets() {
    for system in systems().await {
        let day = run::day(&system.studio, 3, 10).await;
        let name = system.tiers.name;
        assert!(day.hit_rate > 90.0, "{name}: {day}");
        assert!(day.cached < Duration::from_millis(50), "{name}: {day}");
        assert!(day.fewer_ai_calls >= 40.0, "{name}: {day}");
        assert!(day.redis < 500_000_000, "{name}: {day}");
        if name == "memory" {
            assert!(day.speed_up >= 10.0, "{name}: {day}");
        }
    }
}
