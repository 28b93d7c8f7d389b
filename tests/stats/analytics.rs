//! Who asks for what: frequent keys and labels, different users, costs.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use axum::{Router, routing::get as on_get};
use larder::testing::ManualClock;
use larder::{Analytics, Cache, MIB, Policy, RequestHead, Routes, days, hours, minutes, testing};

use crate::support::redis_server::Redis;
use crate::support::{PATIENT, SHORT, get, send};

fn system(head: &RequestHead<'_>) -> Option<String> {
    head.uri().path().rsplit('/').next().map(str::to_owned)
}

fn user(head: &RequestHead<'_>) -> Option<String> {
    let user = head.headers().get("x-visitor")?;
    user.to_str().ok().map(str::to_owned)
}

fn app(cache: &Cache) -> Router {
    let policy = Policy::ttl(hours(1)).endpoint("narrative").cost(0.5);
    let policy = policy.label(system).count_users(user);
    Router::new().route(
        "/narrative/{system}",
        on_get(|| async { "x" }).layer(cache.layer(policy)),
    )
}

async fn ask(app: &Router, system: &str, user: usize) {
    let request = Request::builder()
        .uri(format!("/narrative/{system}"))
        .header("host", "a.example")
        .header("x-visitor", format!("ada-{user}@example.org"));
    send(app, request.body(Body::empty()).unwrap()).await;
}

fn top(analytics: &Analytics) -> Vec<(&str, u64)> {
    let top = analytics.top.iter();
    top.map(|one| (one.name.as_str(), one.count)).collect()
}

#[tokio::test]
async fn labels_users_and_costs_of_one_process() {
    let (cache, clock) = testing::cache();
    let app = app(&cache);
    for n in 0..90 {
        ask(&app, ["western", "western", "vedic"][n % 3], n % 10).await;
    }
    let analytics = cache.analytics().await;
    assert!(!analytics.shared);
    assert_eq!(top(&analytics), [("western", 60), ("vedic", 30)]);
    assert_eq!((analytics.users_today, analytics.users_month), (10, 10));
    let narrative = &analytics.endpoints[0];
    assert_eq!(
        (narrative.endpoint.as_str(), narrative.users_today),
        ("narrative", 10)
    );
    assert_eq!((narrative.day.requests(), narrative.day.fills), (90, 2));
    assert!((narrative.day.cost_saved - 44.0).abs() < 1e-9);
    assert!((analytics.day.cost_spent - 1.0).abs() < 1e-9);
    clock.advance(days(1));
    ask(&app, "vedic", 77).await;
    let analytics = cache.analytics().await;
    assert_eq!((analytics.users_today, analytics.users_month), (1, 11));
}

/// Each request set the cost of all that its endpoint had done before.
#[tokio::test]
async fn of_routes_of_one_endpoint_the_dearest_tells_the_cost() {
    let (cache, _clock) = testing::cache();
    let of = |cost| cache.layer(Policy::ttl(hours(1)).cost(cost));
    let app = Router::new()
        .route("/users", on_get(|| async { "x" }).layer(of(0.0)))
        .route("/users/{id}", on_get(|| async { "x" }).layer(of(0.5)));
    for uri in ["/users/1", "/users/1", "/users/1", "/users"] {
        get(&app, uri).await;
        cache.idle().await;
    }
    let day = cache.recent().await.day;
    assert!((day.cost_saved - 1.0).abs() < 1e-9, "{day:?}");
    assert!((day.cost_spent - 1.0).abs() < 1e-9, "{day:?}");
}

/// Each hit of the inner layer was a run of the handler to the outer one.
#[tokio::test]
async fn a_handler_that_ran_once_in_nested_layers_is_one_fill() {
    let (cache, _clock) = testing::cache();
    let policy = || Policy::ttl(hours(1)).cost(0.5);
    let inner = cache.layer(policy().tag("x"));
    let app = Router::new()
        .route("/a", on_get(|| async { "x" }).layer(inner))
        .layer(cache.layer(policy()));
    for _ in 0..4 {
        get(&app, "/a").await;
        cache.idle().await;
    }
    let (stats, day) = (cache.stats(), cache.recent().await.day);
    assert_eq!((stats.hits_memory, stats.latency.fill.count), (3, 1));
    assert_eq!(day.fills, 1);
    assert!((day.cost_spent - 0.5).abs() < 1e-9, "{day:?}");
}

/// A path is anybody's to choose, and 64 KB of it were kept and told.
#[tokio::test]
async fn a_long_label_is_cut() {
    let (cache, _clock) = testing::cache();
    let app = app(&cache);
    let long = "ä".repeat(1_000);
    ask(&app, &format!("x{}", "%C3%A4".repeat(1_000)), 1).await;
    let named = Policy::ttl(hours(1)).label(move |_| Some(long.clone()));
    let app = Router::new().route("/b", on_get(|| async { "x" }).layer(cache.layer(named)));
    get(&app, "/b").await;
    let top = cache.analytics().await.top;
    let lengths: Vec<usize> = top.iter().map(|one| one.name.len()).collect();
    assert_eq!(lengths, [256, 256]);
}

#[tokio::test]
async fn labels_and_users_of_all_instances() {
    let redis = Redis::start();
    let instance = || {
        let cache = Cache::builder().redis(redis.url()).memory(MIB).lease(SHORT);
        let clock = Arc::new(ManualClock::new());
        cache
            .operation_timeout(PATIENT)
            .clock(clock)
            .build()
            .unwrap()
    };
    let (a, b) = (instance(), instance());
    let (of_a, of_b) = (app(&a), app(&b));
    for n in 0..40 {
        ask(&of_a, "western", n).await;
        ask(&of_b, "vedic", n + 20).await;
    }
    ask(&of_b, "western", 0).await;
    a.analytics().await;
    let analytics = b.analytics().await;
    assert!(analytics.shared);
    assert_eq!(top(&analytics), [("western", 41), ("vedic", 40)]);
    assert!((58..=62).contains(&analytics.users_today), "{analytics:?}");
    assert_eq!(analytics.endpoints[0].users_today, analytics.users_today);
    assert_eq!(analytics.endpoints[0].by_day[30].totals.requests(), 81);
    for key in redis.keys() {
        assert!(!key.contains("ada-"), "{key}");
    }
}

#[tokio::test]
async fn without_labels_keys_are_counted() {
    let cache = Cache::builder().memory(MIB).build().unwrap();
    let app = Router::new().route("/{n}", on_get(|| async { "x" }).layer(cache.ttl(hours(1))));
    for n in 0..1_000 {
        get(&app, if n % 8 == 0 { "/rare" } else { "/often" }).await;
    }
    let analytics = cache.analytics().await;
    assert!(analytics.top[0].name.starts_with("api:root:"));
    assert!(
        analytics.top[0].count >= 2 * analytics.top[1].count,
        "{analytics:?}"
    );
}

#[tokio::test]
async fn a_request_in_several_layers_of_one_cache_is_named_once() {
    let policy = || Policy::ttl(hours(1)).label(system).count_users(user);
    let users = Policy::ttl(hours(1)).count_users(user);
    // what varies otherwise does not find what the inner one has stored
    let tables = [
        Routes::new().route("/other", minutes(1)),
        Routes::new().route("/narrative/{system}", policy().vary(["x-other"])),
        Routes::new().route("/narrative/{system}", users.vary(["x-other"])),
    ];
    for (at, table) in tables.into_iter().enumerate() {
        let (cache, _clock) = testing::cache();
        let inner = on_get(|| async { "x" }).layer(cache.layer(policy()));
        let app = Router::new().route("/narrative/{system}", inner);
        let app = app.layer(cache.routes(table));
        for n in 0..3 {
            ask(&app, "western", n).await;
        }
        let analytics = cache.analytics().await;
        assert_eq!(top(&analytics), [("western", 3)], "{at}");
        assert_eq!(analytics.users_today, 3, "{at}");
        assert_eq!(cache.stats().requests(), 3, "{at}");
    }
}
