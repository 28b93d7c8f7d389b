//! Figures, settings, alerts, targets.

use std::time::Duration;

use larder::config::Config;
use larder::{Cache, minutes, seconds};
use serde_json::json;

use crate::support::log::Log;
use crate::support::redis_server::Redis;
use crate::support::{PATIENT, ask, tiers, tiers_with};
use crate::{QUERY, run, studio, support, systems};

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

#[tokio::test(start_paused = true)]
async fn c9_a_low_hit_rate_is_a_warning_and_its_end_is_told() {
    let (log, clock) = (Log::everybodys(), larder::testing::ManualClock::new());
    let cache = Cache::builder().memory(1 << 20).least_hit_rate(0.8);
    let cache = cache
        .clock(std::sync::Arc::new(clock.clone()))
        .build()
        .unwrap();
    let app = studio(&cache, &Config::default(), Duration::ZERO).router();
    let minute = async |users: std::ops::Range<u32>, times: u32| {
        for user in users.flat_map(|user| std::iter::repeat_n(user, times as usize)) {
            ask(&app, "GET", &format!("/users/{user}/preferences"), None).await;
        }
        clock.advance(minutes(1));
        tokio::time::sleep(seconds(30)).await; // it looks every few seconds
    };
    minute(0..1, 1).await;
    assert!(!log.has("the hit rate"), "nothing to say yet");
    minute(100..250, 1).await;
    let low = r#"WARN larder: the hit rate is low rule="hit-rate-low" endpoint="" hit_rate=0.0 wanted=0.8 cause="#;
    assert!(log.has(low), "{log:?}");
    assert!(!log.has("well again"));
    minute(300..310, 20).await;
    assert!(log.has(r#"INFO larder: the hit rate is well again endpoint="""#));
}

#[tokio::test]
async fn c10_a_days_work_meets_its_targets() {
    for tiers in tiers().await {
        let name = tiers.name;
        // a query as long as the targets ask for: the times have a hundredfold to spare
        let studio = studio(&tiers.cache, &Config::default(), Duration::from_millis(500));
        let day = run::day(&studio, 3, 10).await;
        assert!(day.hit_rate > 90.0, "{name}: {day}");
        assert!(day.cached < Duration::from_millis(50), "{name}: {day}");
        assert!(day.speed_up >= 10.0, "{name}: {day}");
        assert!(day.fewer_ai_calls >= 40.0, "{name}: {day}");
        assert!(day.redis < 500_000_000, "{name}: {day}");
        assert_eq!(day.redis > 0, tiers.redis.is_some(), "{name}: {day}");
        assert_eq!(
            studio.model.0.calls(),
            3,
            "{name}: three wishes in thirty rounds"
        );
    }
}
