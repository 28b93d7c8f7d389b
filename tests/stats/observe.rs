//! Policies that only watch, and hits that are verified.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use axum::{Router, routing::get as on_get};
use larder::testing::{ManualClock, MemoryStore};
use larder::{Cache, Cause, LowCause, Mismatch, Policy, Refusal, seconds, testing};

use crate::support::{get, get_with, request, send};

/// A handler that answers what it is told, and counts.
#[derive(Clone, Default)]
struct Origin {
    runs: Arc<AtomicUsize>,
    version: Arc<AtomicUsize>,
    field: Arc<AtomicUsize>,
}

impl Origin {
    fn app(&self, cache: &Cache, policy: Policy) -> Router {
        let origin = self.clone();
        let handler = move || {
            let origin = origin.clone();
            async move {
                origin.runs.fetch_add(1, Ordering::SeqCst);
                let mut fields = HeaderMap::new();
                fields.insert("x-field", origin.field.load(Ordering::SeqCst).into());
                (
                    fields,
                    format!("version {}", origin.version.load(Ordering::SeqCst)),
                )
            }
        };
        Router::new().route(
            "/x",
            on_get(handler.clone())
                .post(handler)
                .layer(cache.layer(policy)),
        )
    }

    fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn a_policy_that_observes_serves_nothing_and_tells_what_it_would() {
    let (cache, clock) = testing::cache();
    let origin = Origin::default();
    let app = origin.app(&cache, Policy::ttl(seconds(10)).observe(1.0));
    for n in 0..4 {
        origin.version.store(n / 2, Ordering::SeqCst);
        let reply = get(&app, "/x").await;
        assert_eq!(
            reply.text(),
            format!("version {}", n / 2),
            "always the handler's"
        );
    }
    assert_eq!(origin.runs(), 4);
    let stats = cache.stats();
    assert_eq!((stats.misses, stats.misses_by.get(Cause::Observed)), (4, 3));
    assert_eq!(
        (stats.stores, stats.refusals_by.get(Refusal::Observed)),
        (1, 3)
    );
    assert!((stats.would_be_hit_rate() - 0.75).abs() < 1e-9);
    assert!(stats.hit_rate() == 0.0);
    assert_eq!(
        (stats.compared, stats.mismatches.get(Mismatch::Body)),
        (3, 2)
    );
    clock.advance(seconds(10));
    get(&app, "/x").await; // it would have expired: nothing has renewed it
    assert_eq!(cache.stats().misses_by.get(Cause::Expired), 1);
    origin.field.store(7, Ordering::SeqCst);
    get(&app, "/x").await;
    assert_eq!(cache.stats().mismatches.get(Mismatch::Field), 1);
}

#[tokio::test]
async fn a_share_of_the_hits_is_verified_behind_their_backs() {
    let (cache, _clock) = testing::cache();
    let origin = Origin::default();
    let app = origin.app(&cache, Policy::ttl(seconds(10)).verify(1.0));
    for _ in 0..3 {
        get(&app, "/x").await;
    }
    cache.idle().await;
    let stats = cache.stats();
    assert_eq!(
        (stats.compared, stats.mismatches.total()),
        (2, 0),
        "{stats:?}"
    );
    origin.version.store(1, Ordering::SeqCst);
    let reply = get(&app, "/x").await;
    assert_eq!(
        (reply.hit(), reply.text()),
        (true, "version 0"),
        "the hit is served"
    );
    cache.idle().await;
    let stats = cache.stats();
    assert_eq!(
        (stats.compared, stats.mismatches.get(Mismatch::Body)),
        (3, 1)
    );
    assert_eq!(
        (stats.requests(), stats.hits_memory, stats.stores),
        (4, 3, 1)
    );
    assert_eq!(
        get(&app, "/x").await.text(),
        "version 0",
        "what is stored stays"
    );
}

/// The handler may be another cache, to which the request would say the same.
#[tokio::test]
async fn a_hit_is_verified_without_what_its_request_said_to_this_cache() {
    let (cache, _clock) = testing::cache();
    let handler = |fields: HeaderMap| async move {
        match fields.contains_key("cache-control") || fields.contains_key("pragma") {
            true => (
                StatusCode::GATEWAY_TIMEOUT,
                [("cache-control", "max-age=9")],
            ),
            false => (StatusCode::OK, [("cache-control", "max-age=9")]),
        }
    };
    let layer = cache.layer(Policy::http().verify(1.0));
    let app = Router::new().route("/x", on_get(handler).layer(layer));
    get(&app, "/x").await;
    for asked in [("cache-control", "only-if-cached"), ("pragma", "x")] {
        assert!(get_with(&app, "/x", &[asked]).await.hit());
        cache.idle().await;
    }
    let stats = cache.stats();
    assert_eq!((stats.compared, stats.mismatches.total()), (2, 0));
}

#[tokio::test]
async fn a_head_is_not_compared() {
    let (cache, _clock) = testing::cache();
    let app = Origin::default().app(&cache, Policy::ttl(seconds(10)).observe(1.0));
    get(&app, "/x").await;
    send(&app, request(Method::HEAD, "/x", &[])).await;
    let stats = cache.stats();
    assert_eq!((stats.compared, stats.mismatches.total()), (0, 0));
    assert_eq!(stats.misses_by.get(Cause::Observed), 1);
}

/// A POST that asks by its content.
fn question() -> Request<Body> {
    let mut request = request(Method::POST, "/x", &[("content-type", "application/json")]);
    *request.body_mut() = Body::from("[1]");
    request
}

#[tokio::test]
async fn questions_are_observed_as_well() {
    let (cache, _clock) = testing::cache();
    let origin = Origin::default();
    let policy = Policy::ttl(seconds(10)).methods([Method::POST]);
    let app = origin.app(&cache, policy.observe(1.0));
    for n in 0..4 {
        origin.version.store(n / 2, Ordering::SeqCst);
        let reply = send(&app, question()).await;
        assert_eq!(reply.text(), format!("version {}", n / 2));
    }
    assert_eq!(origin.runs(), 4);
    let stats = cache.stats();
    assert_eq!((stats.misses, stats.misses_by.get(Cause::Observed)), (4, 3));
    assert_eq!(
        (stats.compared, stats.mismatches.get(Mismatch::Body)),
        (3, 2)
    );
}

#[tokio::test]
async fn hits_of_questions_are_verified_as_well() {
    let (cache, _clock) = testing::cache();
    let origin = Origin::default();
    let policy = Policy::ttl(seconds(10)).methods([Method::POST]);
    let app = origin.app(&cache, policy.verify(1.0));
    send(&app, question()).await;
    origin.version.store(1, Ordering::SeqCst);
    for _ in 0..2 {
        let reply = send(&app, question()).await;
        assert_eq!((reply.hit(), reply.text()), (true, "version 0"));
        cache.idle().await;
    }
    let stats = cache.stats();
    assert_eq!(
        (stats.compared, stats.mismatches.get(Mismatch::Body)),
        (2, 2)
    );
    assert_eq!((stats.hits_memory, stats.stores), (2, 1), "{stats:?}");
}

/// A cache without memory whose hits come from a store.
fn from_a_store() -> Cache {
    let clock = ManualClock::new();
    let store = MemoryStore::new(clock.clone());
    let cache = Cache::builder().store(store).clock(Arc::new(clock));
    cache.build().unwrap()
}

#[tokio::test]
async fn hits_in_the_store_are_verified_too() {
    let cache = from_a_store();
    let origin = Origin::default();
    let app = origin.app(&cache, Policy::ttl(seconds(10)).verify(1.0));
    get(&app, "/x").await;
    cache.idle().await;
    origin.version.store(1, Ordering::SeqCst);
    for _ in 0..2 {
        let reply = get(&app, "/x").await;
        assert_eq!(
            (reply.hit(), reply.text()),
            (true, "version 0"),
            "the hit is served"
        );
        cache.idle().await;
    }
    let stats = cache.stats();
    assert_eq!(
        (stats.compared, stats.mismatches.get(Mismatch::Body)),
        (2, 2)
    );
    assert_eq!(
        (stats.requests(), stats.hits_redis, stats.stores),
        (3, 2, 1),
        "{stats:?}"
    );
    assert_eq!(origin.runs(), 3);
}

#[tokio::test]
async fn the_share_is_the_one_that_was_asked_for() {
    let (cache, _clock) = testing::cache();
    let origin = Origin::default();
    let app = origin.app(&cache, Policy::ttl(seconds(10)).verify(0.5));
    for _ in 0..=400 {
        get(&app, "/x").await;
    }
    cache.idle().await;
    let compared = cache.stats().compared;
    cache.reset_stats();
    assert_eq!(cache.stats().compared, 0, "since the reset");
    // six standard deviations to either side
    assert!((140..=260).contains(&compared), "{compared} of 400");
}

/// A policy is tried out by observing: nobody is to be told that it finds nothing.
#[tokio::test]
async fn what_is_only_observed_has_the_hit_rate_that_it_would_have() {
    for (ttl, well) in [(seconds(3_600), true), (seconds(1), false)] {
        let (cache, clock) = testing::cache();
        let policy = Policy::ttl(ttl).observe(0.0).least_hit_rate(0.6);
        let app = Origin::default().app(&cache, policy);
        for _ in 0..400 {
            get(&app, "/x").await;
            clock.advance(seconds(1));
            cache.recent().await;
        }
        let (low, advice) = (cache.low_hit_rates(), cache.advice().await);
        let rules: Vec<_> = advice.iter().map(|advice| advice.rule).collect();
        if well {
            assert!(low.is_empty() && rules.is_empty(), "{low:?} {advice:?}");
            continue;
        }
        let causes: Vec<_> = low.iter().map(|low| low.cause).collect();
        assert_eq!(causes, [LowCause::ShortTtl; 2], "{low:?}");
        assert!(rules.contains(&"endpoint-never-hits"), "{advice:?}");
        let todo = advice.iter().find(|one| one.rule == "hit-rate-low");
        assert!(todo.unwrap().todo.contains("longer TTL"), "{advice:?}");
    }
}

#[test]
fn shares_are_from_0_to_1() {
    let (cache, _clock) = testing::cache();
    for (policy, setting) in [
        (Policy::ttl(seconds(1)).observe(1.5), "observe"),
        (Policy::ttl(seconds(1)).verify(-0.1), "verify"),
        (Policy::ttl(seconds(1)).cost(f64::NAN), "cost"),
    ] {
        assert_eq!(cache.try_layer(policy).unwrap_err().setting(), setting);
    }
}
