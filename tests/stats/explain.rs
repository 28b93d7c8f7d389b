//! Explanations: what would become of a request, and why.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use axum::{Router, routing::get as on_get};
use larder::testing::ManualClock;
use larder::{About, Bypass, Cache, Cause, Explanation, MIB, Policy, Staleness, Tier, Would};
use larder::{minutes, seconds, tag, testing};

use crate::support::redis_server::Redis;
use crate::support::{PATIENT, SHORT, get, get_with};

fn asked(path: &str, fields: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::get(path).header("host", "a.example");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(Body::empty()).unwrap()
}

fn said(explanation: &Explanation, about: About) -> &str {
    let mut steps = explanation.steps.iter();
    let step = steps.find(|step| step.about == about);
    step.map_or("", |step| step.found.as_str())
}

fn app(cache: &Cache) -> Router {
    let policy = Policy::ttl(seconds(10))
        .tag("character:{id}")
        .stale_while_revalidate(seconds(5))
        .vary(["accept-language"]);
    Router::new().route(
        "/characters/{id}",
        on_get(|| async { "x" }).layer(cache.layer(policy)),
    )
}

#[tokio::test]
async fn each_step_and_what_follows() {
    let (cache, clock) = testing::cache();
    let app = app(&cache);
    let would =
        async |path: &str, fields: &[(&str, &str)]| cache.explain(&asked(path, fields)).await;
    let unknown = would("/characters/1", &[]).await;
    assert_eq!(
        unknown.would,
        Would::Bypass(Bypass::NoPolicy),
        "no route was seen yet"
    );
    get(&app, "/characters/1").await;
    let before = cache.stats();
    let hit = would("/characters/1", &[]).await;
    assert_eq!(hit.would, Would::Hit(Tier::Memory), "{hit}");
    assert!(said(&hit, About::Policy).contains("/characters/{id}"));
    assert!(
        said(&hit, About::Freshness).contains("fresh for another 10s"),
        "{hit}"
    );
    assert!(said(&hit, About::Invalidations).ends_with("valid"));
    assert!(hit.key.unwrap().as_str().starts_with("api:characters:"));
    let miss = would("/characters/2", &[]).await;
    assert_eq!(
        (miss.would, said(&miss, About::Memory)),
        (Would::Miss(Cause::New), "nothing")
    );
    let other = would("/characters/1", &[("accept-language", "de")]).await;
    assert_eq!(other.would, Would::Miss(Cause::New));
    let bypass = would("/characters/1", &[("cookie", "a=b")]).await;
    assert_eq!(bypass.would, Would::Bypass(Bypass::Credential));
    clock.advance(seconds(12));
    let stale = would("/characters/1", &[]).await;
    assert_eq!(
        stale.would,
        Would::Stale(Staleness::WhileRevalidating),
        "{stale}"
    );
    clock.advance(seconds(5));
    assert_eq!(
        would("/characters/1", &[]).await.would,
        Would::Miss(Cause::Expired)
    );
    assert_eq!(cache.stats(), before, "nothing was counted or filled");
}

#[tokio::test]
async fn why_it_is_gone_and_why_the_last_miss_was_one() {
    let (cache, _clock) = testing::cache();
    let app = app(&cache);
    get(&app, "/characters/1").await;
    cache.invalidate(tag("character:1")).await.unwrap();
    let gone = cache.explain(&asked("/characters/1", &[])).await;
    assert_eq!(gone.would, Would::Miss(Cause::Invalidated));
    assert_eq!(
        said(&gone, About::Memory),
        "nothing: it was invalidated by tag"
    );
    assert_eq!(said(&gone, About::LastMiss), "new");
    get(&app, "/characters/1").await;
    let back = cache.explain(&asked("/characters/1", &[])).await;
    assert_eq!(
        (back.would, said(&back, About::LastMiss)),
        (Would::Hit(Tier::Memory), "invalidated")
    );
    let text = back.to_string();
    assert!(text.starts_with(" 1. policy "), "{text}");
    let json = serde_json::to_value(&back).unwrap();
    assert_eq!(
        (&json["would"], &json["steps"][0]["about"]),
        (&"hit (memory)".into(), &"policy".into())
    );
}

#[tokio::test]
async fn the_store_is_asked_where_a_request_would_ask_it() {
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
    get(&of_a, "/characters/1").await;
    a.idle().await;
    get(&of_b, "/characters/2").await; // it knows the route, and has a lease
    let hit = b.explain(&asked("/characters/1", &[])).await;
    assert_eq!(hit.would, Would::Hit(Tier::Redis), "{hit}");
    assert!(said(&hit, About::Invalidations).contains("of the shared clock"));
    assert_eq!(b.stats().hits_redis, 0);
    let new = b.explain(&asked("/characters/3", &[])).await;
    assert_eq!(
        (new.would, said(&new, About::Store)),
        (Would::Miss(Cause::New), "nothing")
    );
    let reply = get_with(&of_b, "/characters/1", &[]).await;
    assert!(reply.hit());
}

#[tokio::test]
async fn tables_and_single_layers_are_found() {
    let (cache, _clock) = testing::cache();
    let table = cache.routes(larder::Routes::new().route("/a/{x}", minutes(1)));
    let handler = tower::service_fn(|_: Request<Body>| async {
        Ok::<_, std::convert::Infallible>(axum::http::Response::new(Body::empty()))
    });
    let around = tower::Layer::layer(&table, handler);
    let found = cache.explain(&asked("/a/1", &[])).await;
    assert_eq!(
        found.would,
        Would::Miss(Cause::New),
        "a table knows its routes: {found}"
    );
    let found = table.explain(&asked("/b", &[])).await;
    assert_eq!(found.would, Would::Bypass(Bypass::NoPolicy));
    drop((around, table));
    let gone = cache.explain(&asked("/a/1", &[])).await;
    assert_eq!(
        gone.would,
        Would::Bypass(Bypass::NoPolicy),
        "the layer is gone"
    );
}

#[tokio::test]
async fn a_variant_that_redis_alone_knows_of_is_followed() {
    let redis = Redis::start();
    let instance = || {
        let cache = Cache::builder().redis(redis.url()).memory(MIB).lease(SHORT);
        let clock = Arc::new(ManualClock::new());
        let cache = cache.operation_timeout(PATIENT).clock(clock);
        let cache = cache.build().unwrap();
        let varies = || async { ([("vary", "x-language")], "hello") };
        let handler = on_get(varies).layer(cache.ttl(minutes(1)));
        (cache, Router::new().route("/greetings/{n}", handler))
    };
    let ((a, of_a), (b, of_b)) = (instance(), instance());
    let vedic = [("x-language", "sa")];
    get_with(&of_a, "/greetings/1", &vedic).await;
    a.idle().await;
    get(&of_b, "/greetings/2").await; // it knows the route, and has a lease
    let hit = b.explain(&asked("/greetings/1", &vedic)).await;
    assert_eq!(hit.would, Would::Hit(Tier::Redis), "{hit}");
    let known = a.explain(&asked("/greetings/1", &vedic)).await;
    assert_eq!(hit.key, known.key, "{hit}\n{known}");
    let other = b.explain(&asked("/greetings/1", &[])).await;
    assert_eq!(other.would, Would::Miss(Cause::Variant), "{other}");
}

/// As routers do.
#[tokio::test]
async fn of_routes_that_overlap_the_more_static_one_is_asked() {
    for _ in 0..10 {
        let (cache, _clock) = testing::cache();
        let handler = || on_get(|| async { "x" });
        let both = ["/users/{id}", "/users/me"];
        let around = |app: Router, path| app.route(path, handler());
        let around = both.into_iter().fold(Router::new(), around);
        let around = around.layer(cache.ttl(minutes(1)));
        get(&around, "/users/7").await;
        get(&around, "/users/me").await;
        let hit = cache.explain(&asked("/users/me", &[])).await;
        let policy = said(&hit, About::Policy);
        assert!(
            policy.contains("route /users/me, endpoint users.me"),
            "{hit}"
        );
    }
    for order in [["/users/{id}", "/users/me"], ["/users/me", "/users/{id}"]] {
        let (cache, _clock) = testing::cache();
        let each = |app: Router, path| {
            let layer = cache.layer(Policy::ttl(minutes(1)).endpoint(path));
            app.route(path, on_get(|| async { "x" }).layer(layer))
        };
        let each = order.into_iter().fold(Router::new(), each);
        get(&each, "/users/7").await;
        get(&each, "/users/me").await;
        for path in ["/users/7", "/users/me"] {
            let hit = cache.explain(&asked(path, &[])).await;
            assert_eq!(hit.would, Would::Hit(Tier::Memory), "{order:?} {hit}");
        }
    }
}

#[tokio::test]
async fn what_is_only_observed_is_never_a_hit() {
    let (cache, _clock) = testing::cache();
    let policy = Policy::ttl(minutes(1)).observe(1.0);
    let app = Router::new().route("/x", on_get(|| async { "x" }).layer(cache.layer(policy)));
    get(&app, "/x").await;
    let observed = cache.explain(&asked("/x", &[])).await;
    assert_eq!(observed.would, Would::Miss(Cause::Observed), "{observed}");
    assert!(said(&observed, About::Admission).contains("observed"));
    let new = cache.explain(&asked("/x?new", &[])).await;
    assert_eq!(
        new.would,
        Would::Miss(Cause::New),
        "nothing is there: {new}"
    );
}

#[tokio::test]
async fn without_a_lease_nothing_in_memory_is_called_a_hit() {
    let redis = Redis::start();
    let clock = Arc::new(ManualClock::new());
    let cache = Cache::builder().redis(redis.url()).memory(MIB).lease(SHORT);
    let cache = cache.operation_timeout(PATIENT).clock(clock.clone());
    let cache = cache.build().unwrap();
    let app = app(&cache);
    get(&app, "/characters/1").await;
    cache.idle().await;
    clock.advance(seconds(1)); // the lease is over, and Redis gives another
    let hit = cache.explain(&asked("/characters/1", &[])).await;
    assert_eq!(hit.would, Would::Hit(Tier::Memory), "{hit}");
    drop(redis);
    clock.advance(seconds(1));
    let before = cache.stats().requests();
    let away = cache.explain(&asked("/characters/1", &[])).await;
    assert_eq!(away.would, Would::Miss(Cause::StoreError), "{away}");
    assert!(said(&away, About::Lease).contains("no tier"), "{away}");
    assert_eq!(cache.stats().requests(), before, "it is none");
    assert_eq!(get(&app, "/characters/1").await.detail(), "store-error");
}

#[tokio::test]
async fn the_key_of_an_absolute_target_has_its_port() {
    let (cache, _clock) = testing::cache();
    let app = app(&cache);
    let absolute = || {
        let request = Request::get("http://b.example:8080/characters/1");
        request.body(Body::empty()).unwrap()
    };
    crate::support::send(&app, absolute()).await;
    let hit = cache.explain(&absolute()).await;
    assert_eq!(hit.would, Would::Hit(Tier::Memory), "{hit}");
    assert!(
        said(&hit, About::Key).contains("host \"b.example:8080\""),
        "{hit}"
    );
}

#[tokio::test]
async fn where_the_handler_must_not_be_asked_it_says_so() {
    let (cache, _clock) = testing::cache();
    let app = Router::new().route(
        "/x",
        on_get(|| async { "x" }).layer(cache.layer(Policy::http())),
    );
    let only = [("cache-control", "only-if-cached")];
    assert_eq!(get_with(&app, "/x", &only).await.detail(), "only-if-cached");
    let told = cache.explain(&asked("/x", &only)).await;
    assert_eq!(told.would, Would::Bypass(Bypass::OnlyIfCached), "{told}");
}

#[tokio::test]
async fn a_handler_that_is_left_alone_is_not_said_to_be_asked() {
    let (cache, clock) = testing::cache();
    let fails = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let failing = Arc::clone(&fails);
    let handler = move || {
        let fails = failing.load(std::sync::atomic::Ordering::Relaxed);
        std::future::ready(match fails {
            true => Err(axum::http::StatusCode::BAD_GATEWAY),
            false => Ok("x"),
        })
    };
    let policy = Policy::ttl(seconds(10)).stale_if_error(minutes(5));
    let app = Router::new().route("/x", on_get(handler).layer(cache.layer(policy)));
    get(&app, "/x").await;
    fails.store(true, std::sync::atomic::Ordering::Relaxed);
    clock.advance(seconds(11));
    let before = cache.explain(&asked("/x", &[])).await;
    assert_eq!(before.would, Would::Miss(Cause::Expired), "{before}");
    assert_eq!(get(&app, "/x").await.detail(), "stale-if-error");
    let told = cache.explain(&asked("/x", &[])).await;
    assert_eq!(told.would, Would::Stale(Staleness::LeftAlone), "{told}");
    assert_eq!(get(&app, "/x").await.detail(), "left-alone");
    clock.advance(seconds(31));
    let after = cache.explain(&asked("/x", &[])).await;
    assert_eq!(after.would, Would::Miss(Cause::Expired), "{after}");
}

/// In memory, and where Redis alone holds it.
#[tokio::test]
async fn what_is_there_and_does_not_do_has_the_cause_of_the_request() {
    for store in [false, true] {
        let clock = ManualClock::new();
        let builder = Cache::builder().clock(Arc::new(clock.clone()));
        let builder = match store {
            true => builder.store(testing::MemoryStore::new(clock.clone())),
            false => builder.memory(MIB),
        };
        let cache = builder.build().unwrap();
        let handler = || async {
            (
                [
                    ("cache-control", "max-age=60"),
                    ("vary", "x-a"),
                    ("etag", "\"1\""),
                ],
                "x",
            )
        };
        let app = Router::new().route("/x", on_get(handler).layer(cache.layer(Policy::http())));
        get(&app, "/x").await;
        cache.idle().await;
        let new = [("cache-control", "no-cache")];
        let told = cache.explain(&asked("/x", &new)).await;
        assert_eq!(told.would, Would::Miss(Cause::Request), "{store} {told}");
        assert_eq!(get_with(&app, "/x", &new).await.detail(), "request");
        cache.idle().await;
        clock.advance(minutes(2));
        let told = cache.explain(&asked("/x", &[])).await;
        assert_eq!(told.would, Would::Miss(Cause::Expired), "{store} {told}");
        assert_eq!(get(&app, "/x").await.detail(), "expired");
    }
}

#[tokio::test]
async fn of_layers_inside_each_other_the_inner_one_is_asked() {
    let (cache, _clock) = testing::cache();
    let inner = cache.layer(Policy::ttl(minutes(1)).endpoint("inner"));
    let writes = cache.invalidates(tag("a"));
    let outer = cache.layer(Policy::ttl(minutes(1)).endpoint("outer"));
    let handler = || on_get(|| async { "x" });
    let app = Router::new().route("/x", handler().layer(inner));
    let app = app.route("/w", handler().layer(writes));
    let app = app.route("/y", handler()).layer(outer);
    for (path, endpoint) in [("/x", "inner"), ("/y", "outer"), ("/w", "outer")] {
        get(&app, path).await;
        let told = cache.explain(&asked(path, &[])).await;
        assert_eq!(told.would, Would::Hit(Tier::Memory), "{path}: {told}");
        assert!(said(&told, About::Policy).contains(endpoint), "{told}");
    }
}

/// A body of axum's is not `Sync`: what borrows a request of it is not `Send`.
#[tokio::test]
async fn a_handler_may_ask_about_its_own_request() {
    let (cache, _clock) = testing::cache();
    let (asks, layer) = (cache.clone(), cache.ttl(minutes(1)));
    let explains = on_get(move |request: Request<Body>| async move {
        asks.explain(&request).await.would.to_string()
    });
    let app = Router::new().route("/why", explains.layer(layer));
    get(&app, "/why").await;
    let would = tokio::spawn(async move { cache.explain(&asked("/why", &[])).await.would });
    assert_eq!(would.await.unwrap(), Would::Hit(Tier::Memory));
}
