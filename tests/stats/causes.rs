//! Each miss has one cause: what becomes of entries that no process sees go.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode};
use axum::{Router, routing::get as on_get};
use http_body_util::BodyExt;
use larder::testing::{Chaos, ChaosStore, ManualClock, MemoryStore, Operation};
use larder::{
    Cache, Cause, Fault, InvalidatedBy, LowCause, Outcome, Policy, Routes, minutes, seconds,
    testing,
};
use tower::{Layer, ServiceExt};

use crate::support::redis_server::Redis;
use crate::support::{Calls, PATIENT, SHORT, get, get_with, request};

fn app(cache: &Cache) -> Router {
    let policy = Policy::ttl(seconds(10)).endpoint("x");
    Router::new().route("/{n}", on_get(|| async { "x" }).layer(cache.layer(policy)))
}

/// Why a request was a miss, once what follows from it is done.
async fn cause(cache: &Cache, app: &Router, path: &str) -> Cause {
    let reply = get(app, path).await;
    cache.idle().await;
    match reply.outcome {
        Outcome::Miss { cause, .. } => {
            assert_eq!(reply.detail(), cause.as_str());
            cause
        }
        other => panic!("{path}: {other:?}"),
    }
}

fn of_release(redis: &Redis, release: &str) -> (Cache, Router) {
    let builder = Cache::builder().redis(redis.url()).release(release);
    let builder = builder.lease(SHORT).operation_timeout(PATIENT);
    let cache = builder.build().unwrap();
    let app = app(&cache);
    (cache, app)
}

#[tokio::test]
async fn what_another_release_had_filled_is_a_miss_by_release() {
    let redis = Redis::start();
    let (old, app) = of_release(&redis, "1.0");
    for path in ["/1", "/2", "/3"] {
        cause(&old, &app, path).await;
    }
    old.shutdown().await; // a process tells the last at its end
    let (cache, app) = of_release(&redis, "1.1");
    cause(&cache, &app, "/first").await; // learns it meanwhile
    assert_eq!(cause(&cache, &app, "/1").await, Cause::Release);
    assert_eq!(cause(&cache, &app, "/4").await, Cause::New);
    let why = cache.explain(&request(Method::GET, "/2", &[])).await;
    assert!(why.to_string().contains("miss (release)"), "{why}");
    assert_eq!(cause(&cache, &app, "/2").await, Cause::Release);
    assert_eq!(cache.stats().misses_by.get(Cause::Release), 2);
    cache.shutdown().await;
    // the same release again: what another of its processes had filled and is gone
    let (again, app) = of_release(&redis, "1.1");
    cause(&again, &app, "/last").await;
    for key in redis.entries() {
        redis.command::<u64>(&["DEL", &key]);
    }
    assert_eq!(cause(&again, &app, "/1").await, Cause::Unknown);
    assert_eq!(cause(&again, &app, "/3").await, Cause::Release);
}

#[tokio::test]
async fn a_process_that_has_not_heard_of_other_releases_yet_does_not_know() {
    let redis = Redis::start();
    let (cache, _) = of_release(&redis, "1.0");
    let table = cache.routes(Routes::new().route("/{n}", seconds(10)));
    let app = table.layer(tower::service_fn(|_: Request<Body>| async {
        Ok::<_, Infallible>(Response::new(Body::from("x")))
    }));
    let why = cache.explain(&request(Method::GET, "/1", &[])).await; // counts and learns nothing
    assert!(why.to_string().contains("miss (unknown)"), "{why}");
    get(&app, "/2").await;
    cache.idle().await;
    let why = cache.explain(&request(Method::GET, "/1", &[])).await;
    assert!(why.to_string().contains("miss (new)"), "{why}");
}

#[tokio::test]
async fn without_a_release_nothing_is_told() {
    let redis = Redis::start();
    let (cache, app) = of_release(&redis, "");
    assert_eq!(cause(&cache, &app, "/1").await, Cause::New);
    cache.shutdown().await;
    assert!(!redis.keys().iter().any(|key| key.contains("filled")));
}

#[tokio::test]
async fn what_the_store_drops_has_expired_at_its_time_and_is_unknown_before() {
    let clock = ManualClock::new();
    let memory = MemoryStore::new(clock.clone());
    let store = ChaosStore::new(memory.clone());
    let builder = Cache::builder().store(store.clone());
    let cache = builder.clock(Arc::new(clock.clone())).build().unwrap();
    let app = app(&cache);
    assert_eq!(cause(&cache, &app, "/1").await, Cause::New);
    clock.advance(seconds(10));
    assert_eq!(memory.keys().len(), 0);
    assert_eq!(cause(&cache, &app, "/1").await, Cause::Expired);
    clock.advance(seconds(4));
    store.next(1, Operation::Get, Chaos::Loses);
    assert_eq!(cause(&cache, &app, "/1").await, Cause::Unknown);
    clock.advance(minutes(1));
    assert_eq!(cause(&cache, &app, "/1").await, Cause::Expired);
}

/// One of two languages is asked for again: there are variants, and it was one of them.
#[tokio::test]
async fn a_variant_that_is_gone_is_a_miss_by_what_became_of_it() {
    let app = |cache: &Cache| {
        let policy = Policy::ttl(seconds(10)).endpoint("x");
        let answer = on_get(|| async { ([("vary", "accept-language")], "x") });
        Router::new().route("/{n}", answer.layer(cache.layer(policy)))
    };
    let cause = async |cache: &Cache, app: &Router, language| {
        let reply = get_with(app, "/1", &[("accept-language", language)]).await;
        cache.idle().await;
        match reply.outcome {
            Outcome::Miss { cause, .. } => cause,
            other => panic!("{language}: {other:?}"),
        }
    };
    let clock = ManualClock::new();
    let store = MemoryStore::new(clock.clone());
    let builder = Cache::builder().store(store).clock(Arc::new(clock.clone()));
    let cache = builder.build().unwrap();
    let stored = app(&cache);
    assert_eq!(cause(&cache, &stored, "de").await, Cause::New);
    clock.advance(seconds(5));
    assert_eq!(cause(&cache, &stored, "en").await, Cause::Variant);
    clock.advance(seconds(5));
    let asked = request(Method::GET, "/1", &[("accept-language", "de")]);
    let why = cache.explain(&asked).await;
    assert!(why.to_string().contains("miss (expired)"), "{why}");
    assert_eq!(cause(&cache, &stored, "de").await, Cause::Expired);
    assert_eq!(cause(&cache, &stored, "fr").await, Cause::Variant);

    let (cache, _) = testing::cache();
    let held = app(&cache);
    for language in ["de", "en"] {
        cause(&cache, &held, language).await;
    }
    cache.invalidate("api:x:*").await.unwrap();
    assert_eq!(cause(&cache, &held, "de").await, Cause::Invalidated);
    assert_eq!(cause(&cache, &held, "fr").await, Cause::Variant);
    let by = cache.stats().invalidated_by;
    assert_eq!(by.get(InvalidatedBy::Pattern), 1);
}

/// All of it is stored, there is room for it, and it lives: the requests want none of it.
#[tokio::test]
async fn a_low_hit_rate_of_reloads_is_called_that() {
    let (cache, clock) = testing::cache();
    let policy = Policy::http().endpoint("x").least_hit_rate(0.6);
    let answer = on_get(|| async { ([("cache-control", "max-age=3600")], "x") });
    let app = Router::new().route("/{n}", answer.layer(cache.layer(policy)));
    for n in 0..400 {
        let path = format!("/{}", n % 3);
        get_with(&app, &path, &[("cache-control", "no-cache")]).await;
        cache.idle().await;
        clock.advance(seconds(1));
        cache.recent().await;
    }
    let low = cache.low_hit_rates();
    let causes: Vec<_> = low.iter().map(|low| low.cause).collect();
    assert_eq!(causes, [LowCause::Requests; 2], "{low:?}");
    let advice = cache.advice().await;
    let low = advice.iter().find(|one| one.rule == "hit-rate-low");
    assert!(low.unwrap().todo.contains("no-cache"), "{advice:?}");
    assert!(advice.iter().all(|one| one.rule != "memory-small"));
}

/// What stands in for it hides it from its client, and not from who looks after it.
#[tokio::test(start_paused = true)]
async fn a_handler_that_failed_is_a_fault_whatever_stands_in_for_it() {
    let policy = || Policy::ttl(minutes(1)).hard_timeout(seconds(1));
    let stands_in = [
        policy().stale_if_error(minutes(60)),
        policy().fallback(|_| Some(Response::new("[]".into()))),
    ];
    for policy in stands_in {
        for late in [true, false] {
            let (cache, clock) = testing::cache();
            let calls = Calls::default();
            let handler = tower::service_fn(move |_: Request<Body>| {
                let call = calls.count();
                async move {
                    match (call, late) {
                        (1, _) => Ok(Response::new(Body::from("x"))),
                        (_, true) => std::future::pending().await,
                        (_, false) => Err("failed"),
                    }
                }
            });
            let app = cache.layer(policy.clone()).layer(handler);
            let mut told = String::new();
            for _ in 0..2 {
                let asked = app.clone().oneshot(request(Method::GET, "/", &[]));
                let answer = asked.await.unwrap();
                told = format!("{:?}", answer.headers()["cache-status"]);
                answer.into_body().collect().await.unwrap();
                cache.idle().await;
                clock.advance(minutes(2));
            }
            assert!(!told.contains("fwd-status"), "it has not answered: {told}");
            let faults = cache.stats().faults;
            let hidden = faults.get(Fault::HandlerHidden);
            assert_eq!((hidden, faults.total()), (1, 1), "{told}");
        }
    }
}

/// However good it was before.
#[tokio::test]
async fn a_hit_rate_that_has_fallen_is_advised_of() {
    let (cache, clock) = testing::cache();
    let handler = on_get(|| async { "x" });
    let app = Router::new().route("/keys/{n}", handler.layer(cache.ttl(minutes(5))));
    let low = async || {
        let advice = cache.advice().await;
        let low = advice.into_iter().find(|one| one.rule == "hit-rate-low");
        low.map(|one| one.what)
    };
    for _ in 0..2_000 {
        get(&app, "/keys/same").await;
    }
    clock.advance(minutes(1));
    cache.recent().await;
    assert_eq!(low().await, None);
    for n in 0..200 {
        get(&app, &format!("/keys/{n}")).await;
    }
    clock.advance(seconds(59));
    cache.recent().await;
    assert_eq!(low().await, None, "a minute is looked at, and no less");
    clock.advance(seconds(1));
    cache.recent().await;
    assert_eq!(cache.low_hit_rates().len(), 1);
    let what = low().await.expect("it is low now");
    assert!(what.contains("0.0 %"), "{what}");
}

#[tokio::test]
async fn a_policy_for_what_is_missing_alone_is_told_of() {
    let (cache, _) = testing::cache();
    let missing = on_get(|| async { StatusCode::NOT_FOUND });
    let of = |policy: Policy| missing.clone().layer(cache.layer(policy));
    let app = Router::new()
        .route("/a", of(Policy::none().negative_ttl(seconds(5))))
        .route("/b", of(Policy::ttl(minutes(1)).negative_ttl(seconds(5))));
    for (path, told) in [
        ("/a", "a, 404 and 410 for 5s"),
        ("/b", "b, for 60s, 404 and 410 for 5s"),
    ] {
        get(&app, path).await;
        let why = cache.explain(&request(Method::GET, path, &[])).await;
        assert!(why.steps[0].found.ends_with(told), "{why}");
    }
}
