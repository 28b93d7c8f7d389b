//! The memory tier's bound holds, bodies in flight included.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Path;
use axum::http::Method;
use axum::routing::get as on_get;
use futures_util::{FutureExt, StreamExt, stream};
use http_body_util::BodyExt;
use larder::{
    Cache, Key, MIB, Outcome, Policy, Record, Removal, Removed, Store, StoreFuture, minutes, tag,
    testing,
};
use support::{Calls, get, request};
use tokio::sync::Semaphore;
use tower::ServiceExt;

const PART: usize = 256 << 10;

/// Bodies of four parts; the last two come when they are let go.
fn app(cache: &Cache, gate: &Arc<Semaphore>) -> Router {
    let gate = Arc::clone(gate);
    let handler = move |Path(_): Path<u32>| async move {
        let parts = stream::iter(0..4).then(move |n| {
            let gate = Arc::clone(&gate);
            async move {
                if n >= 2 {
                    gate.acquire().await.unwrap().forget();
                }
                Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; PART]))
            }
        });
        Body::from_stream(parts)
    };
    let layer = cache.layer(Policy::ttl(minutes(5)).endpoint("memory"));
    Router::new().route("/{n}", on_get(handler).layer(layer))
}

#[tokio::test]
async fn what_is_in_flight_takes_its_room_from_the_entries() {
    let cache = Cache::builder().memory(8 * MIB).build().unwrap();
    let gate = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
    let router = app(&cache, &gate);
    let holds = |when: &str| {
        let stats = cache.stats();
        let all = stats.memory_bytes + stats.in_flight_bytes;
        assert!(all <= stats.memory_capacity, "{when}: {stats:?}");
        stats
    };
    for n in 0..20 {
        get(&router, &format!("/{n}")).await;
        holds("while it is filled");
    }
    assert!(cache.stats().memory_bytes > 5 * MIB, "the tier is full");

    gate.forget_permits(Semaphore::MAX_PERMITS);
    let mut bodies = Vec::new();
    for n in 100..120 {
        let request = request(axum::http::Method::GET, &format!("/{n}"), &[]);
        let mut body = router.clone().oneshot(request).await.unwrap().into_body();
        for _ in 0..2 {
            let frame = body.frame().await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap().len(), PART);
        }
        bodies.push(body);
        holds("while they fly");
    }
    let flying = holds("all fly").in_flight_bytes;
    assert!(
        (3 * MIB..=4 * MIB).contains(&flying),
        "half of it at most: {flying}"
    );
    gate.add_permits(40);
    for body in bodies {
        let rest = body.collect().await.unwrap().to_bytes();
        assert_eq!(
            rest.len(),
            2 * PART,
            "what is not recorded is delivered all the same"
        );
        holds("while they land");
    }
    assert_eq!(cache.stats().in_flight_bytes, 0);
}

/// A store whose writes end when they are let go.
#[derive(Clone)]
struct Slow {
    writes: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
}

impl Store for Slow {
    fn get<'a>(&'a self, _: &'a Key) -> StoreFuture<'a, Option<Bytes>> {
        Box::pin(async { Ok(None) })
    }

    fn put<'a>(&'a self, _: Record<'a>) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.writes.fetch_add(1, Ordering::SeqCst);
            let _turn = self.gate.acquire().await;
            Ok(())
        })
    }

    fn remove<'a>(&'a self, _: Removal<'a>) -> StoreFuture<'a, Removed> {
        Box::pin(async { Ok(0.into()) })
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_slow_store_has_a_bound() {
    let store = Slow {
        writes: Arc::default(),
        gate: Arc::new(Semaphore::new(0)),
    };
    let cache = Cache::builder().memory(8 * MIB).store(store.clone());
    let cache = cache.build().unwrap();
    let gate = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
    let router = app(&cache, &gate);
    for n in 0..20 {
        assert_eq!(get(&router, &format!("/{n}")).await.body.len(), 4 * PART);
        tokio::task::yield_now().await;
    }
    let writes = store.writes.load(Ordering::SeqCst);
    assert!((2..=4).contains(&writes), "half of the memory: {writes}");
    store.gate.add_permits(Semaphore::MAX_PERMITS);
    cache.idle().await;
    get(&router, "/100").await;
    cache.idle().await;
    assert_eq!(store.writes.load(Ordering::SeqCst), writes + 1);
}

/// A look at every entry takes its time, and a worker has others to serve.
#[tokio::test]
async fn an_invalidation_looks_at_memory_aside_and_once_for_all_who_ask() {
    let (cache, _clock) = testing::cache();
    let calls = Calls::default();
    let handler = on_get(move || async move { calls.count().to_string() });
    let layer = cache.layer(Policy::ttl(minutes(5)).tag("all").tag("item:{id}"));
    let app = Router::new().route("/{id}", handler.layer(layer));
    for n in 0..3_000 {
        get(&app, &format!("/{n}")).await;
    }
    let mut call = std::pin::pin!(cache.invalidate(tag("item:7")));
    assert!(
        (&mut call).now_or_never().is_none(),
        "it walks on the caller's thread"
    );
    assert_eq!(call.await.unwrap().removed(), 1);
    let calls = (0..20).map(|_| cache.invalidate(tag("all")));
    let done = futures_util::future::join_all(calls).await;
    let removed: u64 = done.iter().map(|done| done.as_ref().unwrap().memory).sum();
    assert_eq!((removed, cache.stats().memory_entries), (2_999, 0));
}

/// What is recorded takes its room from the entries, but not from its own.
#[tokio::test]
async fn the_largest_body_is_kept_in_twice_its_room() {
    for declared in [None, Some(MIB)] {
        let cache = Cache::builder().memory(2 * MIB).build().unwrap();
        let handler = on_get(move || async move {
            let parts = (0..4).map(|_| Ok::<_, std::io::Error>(vec![b'x'; PART]));
            let body = Body::from_stream(stream::iter(parts));
            let length = declared.map(|len: u64| ("content-length", len.to_string()));
            (axum::response::AppendHeaders(length), body)
        });
        let app = Router::new().route("/x", handler.layer(cache.ttl(minutes(5))));
        get(&app, "/x").await;
        let again = get(&app, "/x").await;
        assert_eq!((again.hit(), again.body.len()), (true, 4 * PART));
        assert_eq!(cache.stats().in_flight_bytes, 0);
    }
}

/// A server reads no further than the length that is declared.
#[tokio::test]
async fn so_is_one_that_nobody_reads_behind_its_last_byte() {
    let cache = Cache::builder().memory(2 * MIB).build().unwrap();
    let handler = on_get(move || async move {
        let parts = (0..4).map(|_| Ok::<_, std::io::Error>(vec![b'x'; PART]));
        let body = Body::from_stream(stream::iter(parts).chain(stream::pending()));
        ([("content-length", MIB.to_string())], body)
    });
    let app = Router::new().route("/x", handler.layer(cache.ttl(minutes(5))));
    let response = app.clone().oneshot(request(Method::GET, "/x", &[])).await;
    let mut body = response.unwrap().into_body();
    for _ in 0..4 {
        assert!(body.frame().await.unwrap().is_ok());
    }
    drop(body);
    let stats = cache.stats();
    assert_eq!((stats.memory_entries, stats.in_flight_bytes), (1, 0));
    assert!(get(&app, "/x").await.hit());
}

#[tokio::test]
async fn a_value_is_called_stored_where_memory_has_room_for_all_of_it() {
    let bound = 64 << 10;
    let weights = (bound * 95 / 100..bound).step_by(50);
    let long = "a".repeat(200);
    for (weight, key) in weights.flat_map(|weight| [(weight, "a"), (weight, &*long)]) {
        let cache = Cache::builder().memory(bound as u64).build().unwrap();
        let values = cache.values::<u32>("number").ttl(minutes(5));
        let values = values.weigh(move |_| weight).build().unwrap();
        let given = values.insert(key, 1).await.outcome();
        let stored = matches!(given, Outcome::Miss { stored: Ok(()), .. });
        assert_eq!(stored, values.contains(key).await, "{weight} {key}");
    }
}
