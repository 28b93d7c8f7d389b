//! Soft invalidation makes stale instead of gone; a dry run only counts.

mod support;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::routing::{get as on_get, put};
use larder::{
    Cache, MIB, Policy, Selector, Staleness, endpoint, everything, key, minutes, pattern, seconds,
    tag, uri,
};
use support::characters::{app as characters, fill};
use support::processes::Site;
use support::redis_server::Redis;
use support::{Calls, PATIENT, SHORT, eventually, get, request, send, tiers};
use tokio::sync::Semaphore;

/// Answers with how often it has run, and confirms its `"same"` ETag if asked.
fn app(cache: &Cache, policy: Policy) -> (Router, Calls) {
    let calls = Calls::default();
    let count = calls.clone();
    let handler = move |headers: HeaderMap| async move {
        let body = format!("v{}", count.count());
        let status = match headers.contains_key(header::IF_NONE_MATCH) {
            true => StatusCode::NOT_MODIFIED,
            false => StatusCode::OK,
        };
        (status, [(header::ETAG, "\"same\"")], body)
    };
    let route = on_get(handler).layer(cache.layer(policy.tag("item:{id}")));
    let writes = put(|| async {}).layer(cache.invalidates(tag("item:1").soft()));
    let router = Router::new().route("/items/{id}", route);
    (router.route("/writes", writes), calls)
}

fn policy() -> Policy {
    Policy::ttl(minutes(5)).stale_while_revalidate(seconds(10))
}

fn is_stale(reply: &support::Reply) -> bool {
    let why = Staleness::WhileRevalidating;
    matches!(reply.outcome, larder::Outcome::Stale { why: w, .. } if w == why)
}

#[tokio::test]
async fn what_is_reached_is_stale_and_renewed() {
    for tiers in tiers().await {
        let cache = &tiers.cache;
        let selectors: [Selector; 5] = [
            tag("item:1"),
            endpoint("items"),
            uri("/items/1"),
            pattern("api:it*"),
            everything(),
        ];
        let (app, _) = app(cache, policy());
        get(&app, "/items/1").await;
        for (n, selector) in selectors.into_iter().enumerate() {
            cache.idle().await;
            let before = get(&app, "/items/1").await;
            assert!(before.hit(), "{} {selector:?}", tiers.name);
            cache.invalidate(selector.clone().soft()).await.unwrap();
            let stale = get(&app, "/items/1").await;
            assert!(is_stale(&stale), "{} {:?}", tiers.name, stale.outcome);
            assert_eq!(stale.text(), format!("v{}", n + 1), "{selector:?}");
            cache.idle().await;
            let renewed = get(&app, "/items/1").await;
            assert_eq!(renewed.text(), format!("v{}", n + 2), "{selector:?}");
            assert!(renewed.hit(), "{} {:?}", tiers.name, renewed.outcome);
        }
    }
}

#[tokio::test]
async fn what_is_not_reached_stays_fresh() {
    for tiers in tiers().await {
        let (app, _) = app(&tiers.cache, policy());
        get(&app, "/items/1").await;
        tiers.cache.idle().await;
        for selector in [tag("item:2"), endpoint("item"), uri("/items/2")] {
            tiers.cache.invalidate(selector.soft()).await.unwrap();
        }
        assert!(get(&app, "/items/1").await.hit(), "{}", tiers.name);
    }
}

#[tokio::test]
async fn a_window_is_counted_from_the_invalidation() {
    for tiers in tiers().await {
        let (app, _) = app(&tiers.cache, policy());
        for (later, stale) in [(9, true), (11, false)] {
            let first = get(&app, "/items/1").await;
            tiers.cache.idle().await;
            tiers.clock.advance(seconds(60));
            assert_eq!(get(&app, "/items/1").await.text(), first.text());
            tiers.cache.invalidate(tag("item:1").soft()).await.unwrap();
            tiers.clock.advance(seconds(later));
            let reply = get(&app, "/items/1").await;
            assert_eq!(is_stale(&reply), stale, "{} {later}", tiers.name);
            assert_eq!(reply.text() == first.text(), stale, "{}", tiers.name);
            tiers.cache.idle().await;
            tiers.cache.invalidate(everything()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn without_a_window_it_is_a_miss() {
    for tiers in tiers().await {
        let (app, _) = app(&tiers.cache, Policy::ttl(minutes(5)));
        get(&app, "/items/1").await;
        tiers.cache.idle().await;
        tiers.cache.invalidate(tag("item:1").soft()).await.unwrap();
        let reply = get(&app, "/items/1").await;
        assert_eq!((reply.text(), reply.hit()), ("v2", false), "{}", tiers.name);
    }
}

#[tokio::test]
async fn what_the_handler_confirms_is_fresh_again_everywhere() {
    let redis = Redis::start();
    let cache = || {
        let builder = Cache::builder().redis(redis.url()).memory(MIB);
        builder
            .lease(SHORT)
            .operation_timeout(PATIENT)
            .build()
            .unwrap()
    };
    let confirmed = Policy::ttl(minutes(5)).revalidate(minutes(5));
    let (a, b) = (cache(), cache());
    let (first, calls) = app(&a, confirmed.clone());
    let (second, others) = app(&b, confirmed);
    get(&first, "/items/1").await;
    a.idle().await;
    a.invalidate(tag("item:1").soft()).await.unwrap();
    let reply = get(&first, "/items/1").await;
    let revalidated = matches!(reply.outcome, larder::Outcome::Revalidated { .. });
    assert!(revalidated, "{:?}", reply.outcome);
    assert_eq!((reply.text(), calls.now()), ("v1", 2));
    a.idle().await;
    assert_eq!(get(&first, "/items/1").await.detail(), "memory");
    let other = get(&second, "/items/1").await;
    assert_eq!((other.text(), other.detail()), ("v1", "redis"));
    assert_eq!((calls.now(), others.now()), (2, 0));
    a.invalidate(tag("item:1")).await.unwrap();
    assert!(
        !get(&second, "/items/1").await.hit(),
        "a hard one reaches it"
    );
}

#[tokio::test]
async fn other_processes_find_it_stale() {
    let redis = Redis::start();
    let site = Site::new();
    let (a, b) = (site.process(&redis), site.process(&redis));
    a.holds("v0").await;
    b.holds("v0").await;
    site.write();
    let done = a.cache.invalidate(endpoint("items").soft()).await.unwrap();
    assert_eq!((done.confirmed, done.memory, done.store), (1, 1, 0));
    assert_eq!(redis.entries().len(), 1, "nothing was removed");
    let reply = b.get().await;
    assert_eq!((reply.text(), reply.hit()), ("v1", false));
}

#[tokio::test]
async fn a_fill_that_began_before_is_stale_when_it_lands() {
    for tiers in tiers().await {
        let mut site = Site::new();
        let gate = Arc::new(Semaphore::new(0));
        site.gate = Some(Arc::clone(&gate));
        let process = site.with(tiers.cache.clone());
        let app = process.app.clone();
        let late = tokio::spawn(async move { get(&app, "/items/1").await });
        eventually("it is being filled", || async { site.runs() == 1 }).await;
        site.write();
        tiers.cache.invalidate(tag("item:1").soft()).await.unwrap();
        gate.add_permits(100);
        assert_eq!(late.await.unwrap().text(), "v0", "it asked before");
        tiers.cache.idle().await;
        assert_eq!(process.get().await.text(), "v1", "{}", tiers.name);
    }
}

#[tokio::test]
async fn a_hard_one_after_it_leaves_nothing_to_be_served() {
    for tiers in tiers().await {
        let (app, _) = app(&tiers.cache, policy());
        get(&app, "/items/1").await;
        tiers.cache.idle().await;
        tiers.cache.invalidate(tag("item:1").soft()).await.unwrap();
        tiers.cache.invalidate(tag("item:1")).await.unwrap();
        assert_eq!(get(&app, "/items/1").await.text(), "v2", "{}", tiers.name);
    }
}

#[tokio::test]
async fn a_route_may_declare_it() {
    for tiers in tiers().await {
        let (app, _) = app(&tiers.cache, policy());
        get(&app, "/items/1").await;
        tiers.cache.idle().await;
        send(&app, request(Method::PUT, "/writes", &[])).await;
        let reply = get(&app, "/items/1").await;
        assert!(is_stale(&reply), "{} {:?}", tiers.name, reply.outcome);
    }
}

#[tokio::test]
async fn a_dry_run_counts_and_removes_nothing() {
    for tiers in tiers().await {
        let (cache, app) = (&tiers.cache, characters(&tiers.cache));
        let all = ["/characters/1", "/characters/10", "/other/1"];
        fill(&app, cache, &all).await;
        let (shared, name) = match &tiers.redis {
            Some(redis) => (true, redis.entries().remove(0)),
            None => (false, "api:other:00".into()),
        };
        let cases: [(Selector, u64, bool); 6] = [
            (pattern("api:characters:*"), 2, true),
            (endpoint("characters"), 2, true),
            (tag("character:1"), 1, false),
            (uri("/characters/10"), 1, false),
            (key(name), u64::from(shared), false),
            (everything(), 3, true),
        ];
        for (selector, count, scans) in cases {
            let would = cache.invalidate(selector.clone().dry_run()).await.unwrap();
            assert_eq!(would.removed(), count, "{} {selector:?}", tiers.name);
            assert_eq!(would.primaries, u64::from(shared && scans), "{selector:?}");
        }
        for path in all {
            assert!(get(&app, path).await.hit(), "{} {path}", tiers.name);
        }
        let done = cache.invalidate(everything()).await.unwrap();
        assert_eq!(done.primaries, u64::from(shared));
    }
}

/// A process that comes later does not know when it was: as if it had always been.
#[tokio::test]
async fn a_window_does_not_begin_anew_with_each_process() {
    let (redis, site) = (Redis::start(), Site::new());
    let window = Duration::from_millis(200);
    let policy = || Policy::ttl(minutes(5)).stale_while_revalidate(window);
    let process = || {
        let builder = Cache::builder().memory(MIB).redis(redis.url()).lease(SHORT);
        let cache = builder.operation_timeout(PATIENT).build().unwrap();
        site.with_policy(cache, policy())
    };
    let (a, b) = (process(), process());
    a.holds("v0").await;
    site.write();
    a.cache.invalidate(tag("item:1").soft()).await.unwrap();
    let now = || redis.command::<(u64, u64)>(&["TIME"]);
    let millis = |(seconds, micros): (u64, u64)| seconds * 1_000 + micros / 1_000;
    let end = millis(now()) + 300;
    eventually("the window is over", || async { millis(now()) > end }).await;
    assert_eq!(b.get().await.text(), "v1");
}
