//! What `larder::testing` gives to the tests of applications.

mod support;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Response, StatusCode};
use axum::response::IntoResponse;
use axum::routing::get as on_get;
use larder::testing::{self, Chaos, ChaosStore, ManualClock, MemoryStore, Operation};
use larder::{Bypass, Cache, Policy, Refusal, StoreErrorKind, hours, minutes, tag};
use support::{Calls, get, request};
use tower::ServiceExt;

fn app(cache: &Cache, calls: &Calls) -> Router {
    let calls = calls.clone();
    let handler = on_get(move || async move { format!("{}", calls.count()) });
    let policy = Policy::ttl(minutes(5)).stale_if_error(hours(1)).tag("it");
    Router::new().route("/x", handler.layer(cache.layer(policy)))
}

struct Instance {
    cache: Cache,
    app: Router,
}

/// Instances on one store, on a clock that stands still.
fn instances(store: &ChaosStore, clock: &ManualClock, calls: &Calls) -> [Instance; 2] {
    [(); 2].map(|()| {
        let builder = Cache::builder().store(store.clone());
        let cache = builder.clock(Arc::new(clock.clone())).build().unwrap();
        let app = app(&cache, calls);
        Instance { cache, app }
    })
}

async fn ask(instance: &Instance) -> String {
    let reply = get(&instance.app, "/x").await;
    assert_eq!(reply.status, 200);
    instance.cache.idle().await;
    reply.text().to_owned()
}

#[tokio::test(start_paused = true)]
async fn instances_share_a_store_in_memory_whose_entries_expire() {
    let (clock, calls) = (ManualClock::new(), Calls::default());
    let memory = MemoryStore::new(clock.clone());
    let [a, b] = instances(&ChaosStore::new(memory.clone()), &clock, &calls);
    assert_eq!((ask(&a).await, ask(&b).await), ("1".into(), "1".into()));
    assert_eq!(memory.keys().len(), 1);
    a.cache.invalidate(tag("it")).await.unwrap();
    assert_eq!(memory.keys().len(), 0);
    assert_eq!(ask(&b).await, "2");
    clock.advance(hours(2));
    assert_eq!(memory.keys().len(), 0);
    assert_eq!((ask(&a).await, ask(&b).await), ("3".into(), "3".into()));
}

/// A value's key is no endpoint's name, and may be anybody's.
#[tokio::test(start_paused = true)]
async fn values_that_are_removed_from_a_store_in_memory_are_no_endpoints() {
    let store = MemoryStore::new(ManualClock::new());
    let cache = Cache::builder().store(store).build().unwrap();
    let values = cache.values::<u8>("count").tag("all").build().unwrap();
    values.insert("user_7", 1).await;
    cache.invalidate(tag("all")).await.unwrap();
    let stats = cache.endpoint_stats();
    let names: Vec<&str> = stats.iter().map(|one| &*one.endpoint).collect();
    assert_eq!((names, cache.stats().removed), (vec!["", "count"], 1));
}

#[tokio::test(start_paused = true)]
async fn whatever_a_store_does_requests_are_answered() {
    let (clock, calls) = (ManualClock::new(), Calls::default());
    let store = ChaosStore::new(MemoryStore::new(clock.clone()));
    let [a, b] = instances(&store, &clock, &calls);
    let operations = [Operation::Get, Operation::Put, Operation::Acquire];
    for operation in operations {
        for chaos in [
            Chaos::Fails(StoreErrorKind::Unavailable),
            Chaos::Late(Duration::from_secs(3)),
            Chaos::Hangs,
            Chaos::Corrupts,
            Chaos::Loses,
        ] {
            store.always(operation, chaos);
            a.cache.invalidate(tag("it")).await.unwrap();
            for instance in [&a, &b, &a] {
                let answer: usize = ask(instance).await.parse().unwrap();
                assert!(answer <= calls.now(), "{operation:?} {chaos:?}");
            }
            store.calm();
            ask(&a).await;
            let known = ask(&b).await;
            assert_eq!(ask(&a).await, known, "{operation:?} {chaos:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_kind_of_chaos_does_what_it_says() {
    let (clock, calls) = (ManualClock::new(), Calls::default());
    let store = ChaosStore::new(MemoryStore::new(clock.clone()));
    let [a, b] = instances(&store, &clock, &calls);
    store.next(1, Operation::Put, Chaos::Loses);
    assert_eq!((ask(&a).await, ask(&b).await), ("1".into(), "2".into()));
    store.next(1, Operation::Get, Chaos::Corrupts);
    assert_eq!((ask(&a).await, a.cache.stats().corrupt), ("3".into(), 1));
    assert_eq!(ask(&b).await, "3", "one call alone");
    store.next(2, Operation::Get, Chaos::Fails(StoreErrorKind::Refused));
    let errors = a.cache.stats().store_errors;
    assert_eq!((ask(&a).await, ask(&a).await), ("4".into(), "5".into()));
    assert_eq!(a.cache.stats().store_errors, errors + 2);
    let before = store.calls(Operation::Get);
    ask(&a).await;
    assert_eq!(store.calls(Operation::Get), before + 1);
}

#[tokio::test(start_paused = true)]
async fn chance_is_the_same_for_the_same_seed() {
    let mut ends = Vec::new();
    for seed in [7, 7, 6] {
        let (clock, calls) = (ManualClock::new(), Calls::default());
        let store = ChaosStore::new(MemoryStore::new(clock.clone()));
        let [a, b] = instances(&store, &clock, &calls);
        let fails = Chaos::Fails(StoreErrorKind::Timeout);
        store.sometimes(seed, 3, [fails, Chaos::Loses, Chaos::Corrupts]);
        let mut answers = Vec::new();
        for n in 0..60 {
            answers.push(ask(if n % 2 == 0 { &a } else { &b }).await);
        }
        ends.push(answers);
    }
    assert_eq!(ends[0], ends[1]);
    assert_ne!(ends[0], ends[2]);
}

async fn plain(app: &Router, uri: &str) -> Response<Body> {
    let get = request(Method::GET, uri, &[]);
    app.clone().oneshot(get).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn assertions_hold_for_what_they_name() {
    let (cache, clock) = testing::cache();
    let policy = || {
        let policy = Policy::ttl(minutes(5)).revalidate(hours(2));
        policy.stale_if_error(hours(1)).tag("it")
    };
    let slow = on_get(|headers: axum::http::HeaderMap| async move {
        tokio::task::yield_now().await;
        match headers.contains_key("if-none-match") {
            true => StatusCode::NOT_MODIFIED.into_response(),
            false => ([("etag", "\"1\"")], "slow").into_response(),
        }
    });
    let app = Router::new().route("/x", slow.layer(cache.layer(policy())));
    let (first, second) = tokio::join!(plain(&app, "/x"), plain(&app, "/x"));
    testing::assert_miss(&first);
    testing::assert_stored(&first);
    testing::assert_coalesced(&second);
    let both = tokio::join!(body(first), body(second));
    assert_eq!(both.0, both.1);
    cache.idle().await;
    testing::assert_hit(&plain(&app, "/x").await);
    clock.advance(minutes(6));
    testing::assert_revalidated(&plain(&app, "/x").await);
    cache.idle().await;
    clock.advance(minutes(6));
    let fails = on_get(|| async { StatusCode::BAD_GATEWAY });
    let app = Router::new().route("/x", fails.layer(cache.layer(policy())));
    testing::assert_stale(&plain(&app, "/x").await);
    cache.invalidate(tag("it")).await.unwrap();
    testing::assert_not_stored(&plain(&app, "/x").await, Refusal::Status);
    let post = app.oneshot(request(Method::POST, "/x", &[])).await.unwrap();
    testing::assert_bypass(&post, Bypass::Method);
}

async fn body(response: Response<Body>) -> bytes::Bytes {
    let body = axum::body::to_bytes(response.into_body(), usize::MAX);
    body.await.unwrap()
}
