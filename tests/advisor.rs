//! The advisor on real servers and real traffic.

mod support;

use axum::Router;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get as on_get;
use larder::{Advice, Cache, MIB, Policy, Routes, minutes, seconds, tag, testing};
use support::redis_server::Redis;
use support::{PATIENT, eventually, get};

fn names(advice: &[Advice]) -> Vec<&'static str> {
    advice.iter().map(|one| one.rule).collect()
}

fn on(redis: &Redis) -> larder::CacheBuilder {
    let builder = Cache::builder().memory(16 * MIB).redis(redis.url());
    builder.operation_timeout(PATIENT)
}

const RECOMMENDED: [&str; 6] = [
    "--maxmemory",
    "2gb",
    "--maxmemory-policy",
    "allkeys-lru",
    "--save",
    "900 1 300 10 60 10000",
];

#[tokio::test]
async fn it_is_silent_on_the_recommended_settings() {
    let redis = Redis::start_with(&RECOMMENDED);
    let cache = on(&redis).expect_eviction_policy("allkeys-lru").build();
    assert_eq!(cache.unwrap().advice().await, []);
}

#[tokio::test]
async fn it_names_a_server_without_a_bound_that_refuses_writes_when_full() {
    let redis = Redis::start();
    let cache = on(&redis).expect_eviction_policy("allkeys-lfu").build();
    let advice = cache.unwrap().advice().await;
    assert_eq!(
        names(&advice),
        [
            "server-unbounded",
            "server-noeviction",
            "server-eviction-policy"
        ]
    );
    assert!(advice.iter().all(|one| !one.todo.is_empty()));
    let none: String = redis.command(&["INFO", "commandstats"]);
    assert!(!none.contains("config|set"), "it changes nothing");
}

#[tokio::test]
async fn a_server_that_does_not_let_its_settings_be_read_is_no_error() {
    let redis = Redis::start_with(&["--rename-command", "CONFIG", "", "--maxmemory", "1gb"]);
    let advice = on(&redis).build().unwrap().advice().await;
    assert_eq!(names(&advice), ["server-noeviction"]);
}

#[tokio::test]
async fn it_knows_all_that_is_a_credential_here() {
    let builder = Cache::builder().memory(MIB).credentials(["X-Session"]);
    let cache = builder.build().unwrap();
    for (field, says) in [
        ("X-Acme-Access-Token", false),
        ("X-SESSION", false),
        ("Authorization", false),
        ("accept-language", true),
    ] {
        let policy = Policy::ttl(minutes(5)).override_cache_control();
        let _layer = cache.layer(policy.endpoint(field).vary([field]));
        let advice = cache.advice().await;
        let said = advice.iter().any(|one| {
            one.rule == "policy-shares-private" && one.subject.as_deref() == Some(field)
        });
        assert_eq!(said, says, "{field}: {advice:?}");
    }
}

#[tokio::test]
async fn it_names_routes_that_share_or_never_hit_and_stale_windows_that_answers_forbid() {
    let cache = Cache::builder().memory(16 * MIB).build().unwrap();
    let routes = Routes::new()
        .route("/never/{id}", Policy::ttl(minutes(5)))
        .route(
            "/shared/{id}",
            Policy::ttl(minutes(5)).override_cache_control(),
        )
        .route(
            "/stale/{id}",
            Policy::ttl(minutes(5)).stale_while_revalidate(seconds(10)),
        );
    let forbids = || async { ([("cache-control", "max-age=60, must-revalidate")], "x") };
    let app = Router::new()
        .route(
            "/never/{id}",
            on_get(|| async { StatusCode::IM_A_TEAPOT.into_response() }),
        )
        .route("/shared/{id}", on_get(|| async { "x" }))
        .route("/stale/{id}", on_get(forbids))
        .layer(cache.routes(routes));
    for n in 0..100 {
        get(&app, &format!("/never/{n}")).await;
    }
    for n in 0..20 {
        get(&app, &format!("/stale/{n}")).await;
    }
    let advice = cache.advice().await;
    let about: Vec<_> = advice
        .iter()
        .map(|one| (one.rule, one.subject.as_deref().unwrap_or("")))
        .collect();
    assert!(
        about.contains(&("policy-shares-private", "/shared/{id}")),
        "{about:?}"
    );
    assert!(
        about.contains(&("endpoint-never-hits", "never")),
        "{about:?}"
    );
    assert!(
        about.contains(&("policy-stale-forbidden", "stale")),
        "{about:?}"
    );
    assert!(about.contains(&("hit-rate-low", "")), "{about:?}");
}

#[test]
fn expectations_that_make_no_sense_are_refused() {
    for (builder, setting) in [
        (Cache::builder().least_hit_rate(1.5), "least_hit_rate"),
        (Cache::builder().least_hit_rate(f64::NAN), "least_hit_rate"),
        (
            Cache::builder().expect_eviction_policy("All Keys"),
            "eviction_policy",
        ),
        (
            Cache::builder().expect_eviction_policy("lru"),
            "eviction_policy",
        ),
        (
            Cache::builder().expect_eviction_policy("allkeys_lru"),
            "eviction_policy",
        ),
    ] {
        let error = builder.memory(MIB).build().unwrap_err();
        assert_eq!(error.setting(), setting);
    }
}

#[tokio::test]
async fn what_there_is_to_say_is_logged_when_redis_is_first_reached() {
    let log = support::log::Log::everybodys();
    let redis = Redis::start();
    let cache = on(&redis).build().unwrap();
    let layer = cache.layer(Policy::ttl(minutes(5)).override_cache_control());
    assert!(log.has("policy-shares-private"));
    let app = Router::new().route("/x", on_get(|| async { "x" }).layer(layer));
    get(&app, "/x").await;
    cache.invalidate(tag("x")).await.unwrap();
    eventually("it is said", || async { log.has("server-unbounded") }).await;
    assert!(log.has("maxmemory-policy allkeys-lru"));
}

#[tokio::test]
async fn a_hit_rate_that_falls_is_logged_once_until_it_is_well_again() {
    let log = support::log::Log::everybodys();
    let (cache, clock) = testing::cache();
    let policy = Policy::ttl(minutes(60)).endpoint("falls");
    let layer = cache.layer(policy.least_hit_rate(0.5));
    let app = Router::new().route("/{n}", on_get(|| async { "x" }).layer(layer));
    let minute = async |n: usize| {
        for at in 0..150 {
            get(&app, &format!("/{}", n * at)).await;
        }
        clock.advance(minutes(1));
        cache.recent().await;
    };
    cache.recent().await;
    for n in [1_000, 1_001, 1_003] {
        minute(n).await;
    }
    let told = |what: &str| log.lines(&[what, r#"endpoint="falls""#]);
    let low = told("the hit rate is low");
    assert_eq!(low.len(), 1, "{log:?}");
    assert!(low[0].contains(r#"wanted=0.5 cause="#), "{low:?}");
    minute(0).await; // one and the same
    assert_eq!(told("the hit rate is well again").len(), 1, "{log:?}");
}

/// Where its route has no name yet: there may be many layers.
#[test]
fn a_policy_without_a_name_is_told_by_where_its_layer_was_made() {
    let (cache, _clock) = testing::cache();
    let shares = || Policy::ttl(minutes(5)).override_cache_control();
    let (line, nameless) = (line!(), cache.layer(shares()));
    let named = cache.layer(shares().endpoint("news"));
    let advice = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(cache.advice());
    let subjects: Vec<_> = advice.iter().map(|one| one.subject.as_deref()).collect();
    let here = subjects[0].unwrap();
    assert!(
        here.starts_with(&format!("tests/advisor.rs:{line}:")),
        "{here}"
    );
    assert_eq!(subjects[1..], [Some("news")]);
    drop((nameless, named));
}
