//! Staleness that nobody feels: early renewal, the throttle, the budget, and a
//! graceful end.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::http::{Method, StatusCode};
use axum::response::IntoResponse;
use axum::routing::get as on_get;
use larder::testing::ManualClock;
use larder::{Cache, MIB, Policy, minutes, seconds, testing};
use support::redis_server::Redis;
use support::{Calls, get, request, send};

/// A handler that takes time on the manual clock, and may fail.
fn app(cache: &Cache, clock: &ManualClock, policy: Policy) -> (Router, Calls, Arc<AtomicBool>) {
    let (calls, fails) = (Calls::default(), Arc::new(AtomicBool::new(false)));
    let (counted, clock, failing) = (calls.clone(), clock.clone(), Arc::clone(&fails));
    let handler = move || async move {
        let run = counted.count();
        clock.advance(seconds(10));
        match failing.load(Ordering::SeqCst) {
            true => StatusCode::SERVICE_UNAVAILABLE.into_response(),
            false => format!("v{run}").into_response(),
        }
    };
    let app = Router::new().route("/x", on_get(handler).layer(cache.layer(policy)));
    (app, calls, fails)
}

#[tokio::test]
async fn a_fresh_entry_is_renewed_before_it_ends() {
    let (cache, clock) = testing::cache();
    let (app, calls, _) = app(&cache, &clock, Policy::ttl(minutes(5)));
    get(&app, "/x").await;
    for _ in 0..50 {
        assert!(get(&app, "/x").await.hit());
    }
    cache.idle().await;
    assert_eq!(calls.now(), 1, "long before its end nobody renews it");
    clock.advance(minutes(5) - std::time::Duration::from_millis(1));
    // a handler of 10 s, and a millisecond left: one in ten thousand would not
    let early = get(&app, "/x").await;
    assert!(
        early.hit() && early.text() == "v1",
        "who renews it does not wait"
    );
    cache.idle().await;
    assert_eq!(calls.now(), 2);
    let renewed = get(&app, "/x").await;
    assert!(renewed.hit());
    assert_eq!(renewed.text(), "v2");
}

#[tokio::test]
async fn a_policy_may_be_without_early_renewals() {
    let (cache, clock) = testing::cache();
    let (app, calls, _) = app(&cache, &clock, Policy::ttl(minutes(5)).early(false));
    get(&app, "/x").await;
    clock.advance(minutes(5) - std::time::Duration::from_millis(1));
    assert!(get(&app, "/x").await.hit());
    cache.idle().await;
    assert_eq!(calls.now(), 1);
}

#[tokio::test]
async fn a_renewal_that_fails_is_not_tried_again_at_once() {
    let policy = Policy::ttl(minutes(1)).stale_while_revalidate(minutes(30));
    let (cache, clock) = testing::cache();
    let (app, calls, fails) = app(&cache, &clock, policy);
    get(&app, "/x").await;
    clock.advance(minutes(2));
    fails.store(true, Ordering::SeqCst);
    for n in 0..10 {
        let stale = get(&app, "/x").await;
        assert_eq!(
            (stale.detail(), stale.text()),
            ("stale-while-revalidate", "v1"),
            "{n}"
        );
        cache.idle().await;
    }
    assert_eq!(calls.now(), 2, "one renewal in 30 s");
    clock.advance(seconds(31));
    get(&app, "/x").await;
    cache.idle().await;
    assert_eq!(calls.now(), 3);
    fails.store(false, Ordering::SeqCst);
    clock.advance(seconds(31));
    get(&app, "/x").await;
    cache.idle().await;
    assert_eq!(get(&app, "/x").await.text(), "v4");
    let stats = cache.stats();
    assert_eq!(
        (stats.misses, stats.stale),
        (1, 12),
        "a renewal is no request"
    );
    assert_eq!(stats.requests(), 14);
}

#[tokio::test]
async fn what_stands_in_for_a_failed_handler_does_so_for_a_while() {
    let policy = Policy::ttl(minutes(1)).stale_if_error(minutes(5));
    let (cache, clock) = testing::cache();
    let (app, calls, fails) = app(&cache, &clock, policy);
    get(&app, "/x").await;
    clock.advance(minutes(2));
    fails.store(true, Ordering::SeqCst);
    for n in 0..10 {
        let stale = get(&app, "/x").await;
        let (why, hit) = match n {
            0 => ("stale-if-error", false),
            _ => ("left-alone", true),
        };
        assert_eq!((stale.detail(), stale.text()), (why, "v1"));
        assert_eq!(stale.outcome.is_hit(), hit, "whether the handler was asked");
    }
    assert_eq!(calls.now(), 2, "the handler is left alone for 30 s");
    clock.advance(minutes(5));
    assert_eq!(get(&app, "/x").await.status, 503, "until its limit");
}

#[tokio::test]
async fn beyond_the_budget_and_after_the_end_nothing_is_renewed() {
    let policy = || Policy::ttl(minutes(1)).stale_while_revalidate(minutes(30));
    let clock = ManualClock::new();
    let cache = Cache::builder()
        .memory(16 * MIB)
        .max_renewals(0)
        .clock(Arc::new(clock.clone()))
        .build()
        .unwrap();
    let (router, calls, _) = app(&cache, &clock, policy());
    get(&router, "/x").await;
    clock.advance(minutes(2));
    assert_eq!(get(&router, "/x").await.text(), "v1");
    cache.idle().await;
    assert_eq!(calls.now(), 1);

    let (cache, clock) = testing::cache();
    let (router, calls, _) = app(&cache, &clock, policy());
    get(&router, "/x").await;
    clock.advance(minutes(2));
    cache.shutdown().await;
    assert_eq!(get(&router, "/x").await.text(), "v1", "it serves on");
    cache.idle().await;
    assert_eq!(calls.now(), 1);
}

/// RFC 9110, 8.6.
#[tokio::test]
async fn a_fallback_has_its_length_at_a_head_too() {
    let policy =
        Policy::ttl(minutes(1)).fallback(|_| Some(axum::http::Response::new("sorry".into())));
    let (cache, clock) = testing::cache();
    let (app, _calls, fails) = app(&cache, &clock, policy);
    fails.store(true, Ordering::SeqCst);
    for (method, text) in [(Method::GET, "sorry"), (Method::HEAD, "")] {
        let reply = send(&app, request(method, "/x", &[])).await;
        assert_eq!((reply.text(), reply.detail()), (text, "fallback"));
        assert_eq!(reply.header("content-length"), "5");
    }
}

#[tokio::test]
async fn a_fallback_answers_where_nothing_stale_may() {
    let policy = Policy::ttl(minutes(1))
        .stale_if_error(minutes(5))
        .fallback(|failure| {
            assert_eq!(failure.uri().path(), "/x");
            let status = failure.status()?;
            Some(axum::http::Response::new(format!("sorry, {status}").into()))
        });
    let (cache, clock) = testing::cache();
    let (app, calls, fails) = app(&cache, &clock, policy);
    fails.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        let reply = get(&app, "/x").await;
        assert_eq!((reply.status.as_u16(), reply.detail()), (200, "fallback"));
        assert_eq!(reply.text(), "sorry, 503 Service Unavailable");
    }
    fails.store(false, Ordering::SeqCst);
    assert_eq!(get(&app, "/x").await.text(), "v3", "it was not stored");
    fails.store(true, Ordering::SeqCst);
    clock.advance(minutes(2));
    assert_eq!(
        get(&app, "/x").await.text(),
        "v3",
        "what is stale comes first"
    );
    assert_eq!(calls.now(), 4);
}

#[tokio::test]
async fn lives_that_began_together_do_not_end_together() {
    let (cache, _clock) = testing::cache();
    let handler = on_get(|| async { "x" });
    let layer = cache.layer(Policy::ttl(minutes(10)).jitter(0.5));
    let app = Router::new().route("/{n}", handler.layer(layer));
    let mut ttls = Vec::new();
    for n in 0..50 {
        let uri = format!("/{n}");
        get(&app, &uri).await;
        let larder::Outcome::Hit { ttl, .. } = get(&app, &uri).await.outcome else {
            panic!("a hit");
        };
        assert!((minutes(5)..=minutes(10)).contains(&ttl), "{ttl:?}");
        ttls.push(ttl);
    }
    ttls.sort_unstable();
    assert!(ttls[49] - ttls[0] > minutes(2), "{ttls:?}");
    assert!(
        cache
            .try_layer(Policy::ttl(minutes(1)).jitter(1.0))
            .is_err()
    );
}

/// A process with a clock of its own.
struct Instance {
    cache: Cache,
    clock: ManualClock,
    app: Router,
    calls: Calls,
}

/// Two processes with memory on one Redis, and an entry in both that the next
/// request renews early.
async fn early() -> (Redis, [Instance; 2]) {
    let redis = Redis::start();
    let instance = || {
        let clock = ManualClock::new();
        let cache = Cache::builder()
            .memory(16 * MIB)
            .redis(redis.url())
            .operation_timeout(seconds(60))
            .lease(seconds(60))
            .clock(Arc::new(clock.clone()))
            .build()
            .unwrap();
        let (app, calls, _) = app(&cache, &clock, Policy::ttl(minutes(5)));
        Instance {
            cache,
            clock,
            app,
            calls,
        }
    };
    let instances = [instance(), instance()];
    let [a, b] = &instances;
    get(&a.app, "/x").await;
    a.cache.idle().await;
    b.clock.advance(seconds(10)); // as long as the handler took
    assert!(get(&b.app, "/x").await.hit());
    for (each, other) in instances.iter().zip(["/x?a", "/x?b"]) {
        each.clock
            .advance(minutes(5) - seconds(10) - std::time::Duration::from_millis(1));
        get(&each.app, other).await; // for its lease: ten seconds of its handler
        each.cache.idle().await;
    }
    (redis, instances)
}

#[tokio::test]
async fn who_renews_early_does_not_wait_for_redis() {
    let (redis, [a, _]) = early().await;
    redis.stop();
    let hit = tokio::time::timeout(seconds(20), get(&a.app, "/x"));
    let hit = hit.await.expect("it does not wait");
    assert!(hit.hit());
    assert_eq!(hit.text(), "v1");
    assert_eq!(a.calls.now(), 2);
    redis.resume();
    a.cache.idle().await;
    assert_eq!(a.calls.now(), 3, "once Redis answers");
}

#[tokio::test]
async fn what_one_process_has_renewed_early_the_other_takes_over() {
    let (_redis, [a, b]) = early().await;
    get(&a.app, "/x").await;
    a.cache.idle().await;
    assert_eq!((a.calls.now(), b.calls.now()), (3, 1));
    assert_eq!(get(&b.app, "/x").await.text(), "v1", "in its memory");
    b.cache.idle().await;
    assert_eq!(get(&b.app, "/x").await.text(), "v3");
    assert_eq!((a.calls.now(), b.calls.now()), (3, 1));
}

#[tokio::test]
async fn what_redis_has_lost_is_renewed_early_all_the_same() {
    let (redis, [a, b]) = early().await;
    for name in redis.entries() {
        redis.command::<u64>(&["DEL", &name]); // evicted; without a word to the clock
    }
    get(&b.app, "/x").await;
    b.cache.idle().await;
    assert_eq!((a.calls.now(), b.calls.now()), (2, 2));
    assert_eq!(redis.entries().len(), 1);
}
