//! The layer: where it can stand, and what it does there.

mod inside;
#[path = "../support/mod.rs"]
mod support;
mod tables;

use axum::Router;
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::routing::{get as on_get, put};
use larder::testing::{self, assert_bypass};
use larder::{
    Bypass, Cache, Cause, Hint, MIB, Outcome, Policy, Routes, Tier, minutes, seconds, tag,
};
use support::{Calls, get, request, send, tiers};
use tower::ServiceExt;

fn counted(calls: &Calls) -> axum::routing::MethodRouter {
    let calls = calls.clone();
    on_get(move || async move { format!("answer {}", calls.count()) })
}

#[tokio::test]
async fn a_second_request_is_a_hit_with_its_age() {
    for tiers in tiers().await {
        let calls = Calls::default();
        let app = Router::new().route("/x", counted(&calls).layer(tiers.cache.ttl(minutes(5))));
        let miss = get(&app, "/x").await;
        assert_eq!(
            miss.cache_status(),
            "larder; fwd=uri-miss; fwd-status=200; stored; detail=new"
        );
        assert_eq!(miss.headers.get("age"), None);
        tiers.cache.idle().await;
        tiers.clock.advance(seconds(7));
        let hit = get(&app, "/x").await;
        assert_eq!(hit.text(), "answer 1", "{}", tiers.name);
        assert_eq!(hit.header("age"), "7");
        let name = tiers.name;
        assert_eq!(
            hit.cache_status(),
            format!("larder; hit; ttl=293; detail={name}")
        );
        assert_eq!(hit.header("content-type"), miss.header("content-type"));
        assert_eq!(hit.header("content-length"), "8");
        assert_eq!(calls.now(), 1);
    }
}

#[tokio::test]
async fn a_ttl_ends() {
    for tiers in tiers().await {
        let calls = Calls::default();
        let app = Router::new().route("/x", counted(&calls).layer(tiers.cache.ttl(seconds(10))));
        get(&app, "/x").await;
        tiers.cache.idle().await;
        tiers.clock.advance(seconds(9));
        assert!(get(&app, "/x").await.hit());
        tiers.clock.advance(seconds(1));
        let stale = get(&app, "/x").await;
        assert_eq!(stale.text(), "answer 2");
        assert_eq!(stale.detail(), "expired");
    }
}

#[tokio::test]
async fn both_tiers_promote_from_redis_to_memory() {
    let redis = support::redis_server::Redis::start();
    let instance = || {
        let builder = Cache::builder().memory(16 * MIB).redis(redis.url());
        builder.build().unwrap()
    };
    let (one, two) = (instance(), instance());
    let calls = Calls::default();
    let app =
        |cache: &Cache| Router::new().route("/x", counted(&calls).layer(cache.ttl(minutes(5))));
    let (first, second) = (app(&one), app(&two));
    get(&first, "/x").await;
    one.idle().await;
    let tier = |outcome: Outcome| match outcome {
        Outcome::Hit { tier, .. } => tier,
        other => panic!("{other:?}"),
    };
    assert_eq!(tier(get(&first, "/x").await.outcome), Tier::Memory);
    assert_eq!(tier(get(&second, "/x").await.outcome), Tier::Redis);
    assert_eq!(tier(get(&second, "/x").await.outcome), Tier::Memory);
    assert_eq!(calls.now(), 1);
}

#[tokio::test]
async fn head_is_answered_from_gets_entry_and_fills_nothing() {
    for tiers in tiers().await {
        let calls = Calls::default();
        let app = Router::new().route("/x", counted(&calls).layer(tiers.cache.ttl(minutes(5))));
        let head = || request(Method::HEAD, "/x", &[]);
        let miss = send(&app, head()).await;
        assert_eq!((miss.detail(), miss.body.len()), ("head", 0));
        tiers.cache.idle().await;
        assert!(!send(&app, head()).await.hit());
        get(&app, "/x").await;
        tiers.cache.idle().await;
        let hit = send(&app, head()).await;
        assert!(hit.hit() && hit.body.is_empty());
        assert_eq!(hit.header("content-length"), "8");
    }
}

/// axum lays a route's layer around each of its handlers apart: by a HEAD nobody comes to
/// the handler of GET, where HEAD has one of its own.
#[tokio::test]
async fn a_head_neither_renews_nor_verifies() {
    let (cache, clock) = testing::cache();
    let policy = Policy::ttl(minutes(5)).stale_while_revalidate(minutes(5));
    let route = on_get(|| async { "page" }).head(|| async {});
    let app = Router::new().route("/x", route.layer(cache.layer(policy.verify(1.0))));
    get(&app, "/x").await;
    for stale in [false, true] {
        let head = send(&app, request(Method::HEAD, "/x", &[])).await;
        assert_eq!((head.hit(), head.header("content-length")), (true, "4"));
        cache.idle().await;
        assert_eq!(get(&app, "/x").await.text(), "page", "{stale}");
        cache.idle().await;
        clock.advance(minutes(6));
    }
    assert_eq!(cache.stats().mismatches.total(), 0);
}

#[tokio::test]
async fn a_routers_fallback_is_cached_only_if_asked() {
    let (cache, _clock) = testing::cache();
    let app = |policy| {
        let router = Router::new().fallback(|| async { "page" });
        router.layer(cache.layer(policy))
    };
    let policy = || Policy::ttl(minutes(1)).endpoint("pages");
    let plain = app(policy());
    get(&plain, "/x").await;
    assert_eq!(get(&plain, "/x").await.detail(), "unmatched");
    let asked = app(policy().unmatched());
    get(&asked, "/x").await;
    assert!(get(&asked, "/x").await.hit());
}

#[tokio::test]
async fn the_handlers_hint_comes_before_route_and_cache_control() {
    let (cache, clock) = testing::cache();
    let hinted = on_get(|| async {
        let hint = Hint::ttl(seconds(5)).tag("t");
        (hint, [("cache-control", "max-age=60")], "x")
    });
    let refused = on_get(|| async { (Hint::no_store(), "x") });
    let app = Router::new()
        .route("/hinted", hinted)
        .route("/refused", refused)
        .layer(cache.routes(Routes::new().default_policy(minutes(5))));
    get(&app, "/hinted").await;
    assert_eq!(
        get(&app, "/hinted").await.cache_status(),
        "larder; hit; ttl=5; detail=memory"
    );
    clock.advance(seconds(5));
    assert!(!get(&app, "/hinted").await.hit());
    assert_eq!(
        cache.invalidate(larder::tag("t")).await.unwrap().removed(),
        1
    );
    get(&app, "/refused").await;
    assert_eq!(get(&app, "/refused").await.detail(), "hint");
}

#[tokio::test]
async fn parameters_are_the_routes_own_where_the_path_was_rewritten() {
    let (cache, calls) = (testing::cache().0, Calls::default());
    let show = counted(&calls).layer(cache.ttl(minutes(5)));
    let one = cache.layer(Policy::ttl(minutes(5)).tag("{lang}:{id}"));
    let gone = put(|| async {}).layer(cache.invalidates(tag("de:{id}")));
    let inner = Router::new()
        .route("/{lang}/list", show)
        .route("/{lang}/characters/{id}", counted(&calls).layer(one))
        .route("/{lang}/approve/{id}", gone);
    let app = Router::new().fallback(move |mut request: Request| {
        let path = request.uri().path();
        let path = path.strip_prefix("/en").unwrap_or(path);
        *request.uri_mut() = format!("/de{path}").parse().unwrap();
        inner.clone().oneshot(request)
    });
    for path in ["/characters/7", "/en/characters/7"] {
        for approved in [false, true] {
            get(&app, path).await;
            assert!(get(&app, path).await.hit(), "{path}");
            match approved {
                false => drop(cache.invalidate(tag("de:7")).await.unwrap()),
                true => drop(send(&app, request(Method::PUT, "/approve/7", &[])).await),
            }
            assert!(!get(&app, path).await.hit(), "{path}");
        }
    }
}

#[tokio::test]
async fn parameters_that_cannot_be_told_are_missing() {
    let (cache, calls) = (testing::cache().0, Calls::default());
    let one = cache.layer(Policy::ttl(minutes(5)).tag("character:{id}"));
    let inner = Router::new().route("/x/characters/{id}", counted(&calls).layer(one));
    let outer = on_get(|request: Request| inner.oneshot(request)); // the two patterns are put together
    let app = Router::new().route("/x/{*rest}", outer);
    get(&app, "/x/characters/7").await;
    assert_eq!(get(&app, "/x/characters/7").await.detail(), "template");
}

#[tokio::test]
async fn a_cache_that_is_off_asks_the_handler() {
    let (cache, _clock) = testing::cache();
    let calls = Calls::default();
    let app = Router::new().route("/x", counted(&calls).layer(cache.ttl(minutes(1))));
    get(&app, "/x").await;
    cache.set_enabled(false);
    assert!(!cache.is_enabled());
    assert_eq!(get(&app, "/x").await.detail(), "disabled");
    assert_eq!(
        cache.invalidate("api:x:*").await.unwrap().removed(),
        1,
        "it still invalidates"
    );
    cache.set_enabled(true);
    assert!(!get(&app, "/x").await.hit());

    let off = Router::new().route(
        "/x",
        counted(&calls).layer(Cache::disabled().ttl(minutes(1))),
    );
    let response = off.oneshot(request(Method::GET, "/x", &[])).await.unwrap();
    assert_bypass(&response, Bypass::Disabled);
}

#[tokio::test]
async fn the_counters_add_up() {
    let (cache, _clock) = testing::cache();
    let calls = Calls::default();
    let app = Router::new().route("/{x}", counted(&calls).layer(cache.ttl(minutes(1))));
    get(&app, "/a").await;
    get(&app, "/a").await;
    get(&app, "/b").await;
    send(&app, request(Method::GET, "/a", &[("cookie", "a=b")])).await;
    let stats = cache.stats();
    assert_eq!((stats.hits_memory, stats.misses, stats.bypasses), (1, 2, 1));
    assert_eq!(
        (stats.requests(), stats.stores, stats.memory_entries),
        (4, 2, 2)
    );
    assert!((stats.hit_rate() - 1.0 / 3.0).abs() < 1e-9);
    assert!(stats.memory_bytes > 0 && stats.memory_bytes < stats.memory_capacity);
}

#[tokio::test]
async fn the_outcome_says_why() {
    let (cache, clock) = testing::cache();
    let calls = Calls::default();
    let app = Router::new().route("/x", counted(&calls).layer(cache.ttl(seconds(1))));
    let cause = |outcome| match outcome {
        Outcome::Miss { cause, status, .. } => {
            assert_eq!(status, StatusCode::OK);
            cause
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(cause(get(&app, "/x").await.outcome), Cause::New);
    clock.advance(seconds(1));
    assert_eq!(cause(get(&app, "/x").await.outcome), Cause::Expired);
    cache.invalidate("api:x:*").await.unwrap();
    assert_eq!(cause(get(&app, "/x").await.outcome), Cause::Invalidated);
}

#[tokio::test]
async fn memory_never_grows_over_its_bound() {
    let cache = Cache::builder().memory(MIB).build().unwrap();
    let handler = on_get(|| async { "x".repeat(2_000) });
    let app = Router::new().route("/{n}", handler.layer(cache.ttl(minutes(1))));
    for n in 0..2_000 {
        get(&app, &format!("/{n}")).await;
        let stats = cache.stats();
        assert!(stats.memory_bytes <= MIB, "{n}: {}", stats.memory_bytes);
    }
    let stats = cache.stats();
    assert!(
        stats.memory_entries > 200,
        "and it is used: {}",
        stats.memory_entries
    );
    assert_eq!(stats.stores, 2_000);
}
