//! Runtimes that end, or are not driven, while others go on with the same cache.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::Method;
use axum::routing::put;
use bytes::Bytes;
use futures_util::FutureExt;
use larder::testing::{ManualClock, MemoryStore};
use larder::{Cache, Key, MIB, Record, Removal, Removed, Store, StoreFuture, tag};
use tokio::runtime::{Builder, Runtime};

use crate::proxy::Way;
use crate::support::processes::Site;
use crate::support::redis_server::Redis;
use crate::support::{eventually, request, send};
use crate::{bare, behind_proxy, comes_back, process, served};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Invalidates while Redis is silent, on a runtime that ends before it has answered.
fn an_invalidation_of_a_runtime_that_ends(by_route: bool) {
    let (_redis, proxy) = behind_proxy();
    let site = Site::new();
    let process = bare(&site, proxy.url());
    let writing = site.clone();
    let write = put(move || async move { writing.write() });
    let layer = process.cache.invalidates(tag("item:{id}"));
    let write = Router::new().route("/items/{id}", write.layer(layer));
    let (one, two) = (runtime(), runtime());
    one.block_on(async {
        comes_back(&process).await;
        proxy.stall(Way::ToServer, 0);
        if by_route {
            let put = request(Method::PUT, "/items/1", &[]);
            assert_eq!(send(&write, put).await.status, 200);
        } else {
            site.write();
            let call = process.cache.invalidate(tag("item:1")).now_or_never();
            assert!(call.is_none(), "it waits");
        }
    });
    drop(one);
    proxy.cut();
    proxy.flow();
    two.block_on(async {
        assert_ne!(process.cache.health().await.untold, 0);
        served(&process, &site).await;
        eventually("it is told", || async {
            served(&process, &site).await;
            process.cache.health().await.untold == 0
        })
        .await;
        served(&process, &site).await;
    });
}

#[test]
fn a_routes_invalidation_is_kept_where_its_runtime_ends() {
    an_invalidation_of_a_runtime_that_ends(true);
}

#[test]
fn a_call_that_is_dropped_with_its_runtime_is_kept() {
    an_invalidation_of_a_runtime_that_ends(false);
}

pub(crate) fn runtimes() -> (Runtime, Runtime) {
    let many = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    (runtime(), many.unwrap())
}

#[test]
fn a_beat_whose_runtime_is_not_driven_keeps_nobody_from_hits() {
    let (redis, proxy) = behind_proxy();
    let process = process(&Site::new(), proxy.url());
    let (small, big) = runtimes();
    small.block_on(async {
        comes_back(&process).await;
        proxy.stall(Way::ToClient, 0);
        let calls = redis.calls("evalsha");
        eventually("a beat is sent", || async {
            redis.calls("evalsha") > calls
        })
        .await;
    });
    proxy.flow();
    big.block_on(async {
        let ended = || async { !process.get().await.hit() };
        eventually("the lease has ended", ended).await;
        comes_back(&process).await;
        let told = || async { process.cache.invalidate(tag("item:1")).await.is_ok() };
        eventually("others are told", told).await;
        eventually("nothing has piled up", || async {
            tokio::runtime::Handle::current()
                .metrics()
                .num_alive_tasks()
                < 10
        })
        .await;
    });
    small.block_on(tokio::task::yield_now()); // it is driven again
    big.block_on(comes_back(&process));
}

#[test]
fn one_who_mends_on_a_runtime_that_is_not_driven_keeps_nobody_from_redis() {
    let mut redis = Redis::start();
    let process = process(&Site::new(), redis.url());
    let (small, big) = runtimes();
    redis.kill();
    small.block_on(async {
        eventually("it is left alone", || async {
            process.get().await;
            crate::open_for(&process.cache).await.is_some()
        })
        .await;
    });
    redis.restart();
    big.block_on(comes_back(&process));
}

#[test]
fn one_who_connects_on_a_runtime_that_is_not_driven_keeps_nobody_from_redis() {
    let (_redis, proxy) = behind_proxy();
    let process = process(&Site::new(), proxy.url());
    let (small, big) = runtimes();
    proxy.stall(Way::ToClient, 0);
    small.block_on(async {
        let app = process.app.clone();
        let asked = tokio::spawn(async move { crate::get(&app, "/items/1").await });
        eventually("it connects", || async { proxy.connections() > 0 }).await;
        asked.abort();
    });
    proxy.flow();
    big.block_on(comes_back(&process));
}

/// Of its removals the first never ends.
struct Stuck(MemoryStore, AtomicUsize);

impl Store for Stuck {
    fn get<'a>(&'a self, key: &'a Key) -> StoreFuture<'a, Option<Bytes>> {
        self.0.get(key)
    }

    fn put<'a>(&'a self, record: Record<'a>) -> StoreFuture<'a, ()> {
        self.0.put(record)
    }

    fn remove<'a>(&'a self, removal: Removal<'a>) -> StoreFuture<'a, Removed> {
        match self.1.fetch_add(1, Ordering::SeqCst) {
            0 => Box::pin(std::future::pending()),
            _ => self.0.remove(removal),
        }
    }
}

#[test]
fn space_that_is_taken_back_on_a_runtime_that_is_not_driven_keeps_nobody_waiting() {
    let store = Arc::new(Stuck(
        MemoryStore::new(ManualClock::new()),
        AtomicUsize::new(0),
    ));
    let cache = Cache::builder().store(Arc::clone(&store)).build().unwrap();
    let (small, big) = runtimes();
    small.block_on(async {
        let call = cache.invalidate("api:items:*").now_or_never();
        assert!(call.is_none());
        eventually("it removes", || async {
            store.1.load(Ordering::SeqCst) > 0
        })
        .await;
    });
    big.block_on(async {
        let call = cache.invalidate("api:items:*");
        let done = tokio::time::timeout(Duration::from_secs(30), call).await;
        assert!(done.expect("it ends").is_ok());
    });
}

#[test]
fn what_is_kept_is_told_though_who_tells_it_is_not_driven() {
    let (_redis, proxy) = behind_proxy();
    let site = Site::new();
    let process = process(&site, proxy.url());
    let (small, big) = runtimes();
    let told = Arc::new(AtomicUsize::new(0));
    small.block_on(async {
        comes_back(&process).await;
        proxy.refuse(true);
        site.write();
        let call = process.cache.invalidate(tag("item:1"));
        call.await.expect_err("it is kept");
        let seen = Arc::clone(&told);
        proxy.set(|rules| {
            rules.delay = Some(20..21);
            rules.answer = Some(Box::new(move |words| {
                let tells = words.get(7).is_some_and(|word| word == b"api:!clock");
                seen.fetch_add(usize::from(tells), Ordering::SeqCst);
                None
            }));
        });
        proxy.refuse(false);
        eventually("it tells", || async {
            process.get().await;
            told.load(Ordering::SeqCst) > 0
        })
        .await;
    });
    proxy.set(|rules| rules.delay = None);
    big.block_on(async {
        eventually("it is told", || async {
            served(&process, &site).await;
            process.cache.health().await.untold == 0
        })
        .await;
    });
}

#[test]
fn counts_that_are_told_on_a_runtime_that_is_not_driven_keep_nobody_waiting() {
    let (_redis, proxy) = behind_proxy();
    let process = process(&Site::new(), proxy.url());
    let (small, big) = runtimes();
    let told = Arc::new(AtomicUsize::new(0));
    small.block_on(async {
        comes_back(&process).await;
        let seen = Arc::clone(&told);
        proxy.set(|rules| {
            rules.delay = Some(20..21);
            rules.answer = Some(Box::new(move |words| {
                let tells = words
                    .get(3)
                    .is_some_and(|word| word.starts_with(b"api:!{stats}"));
                seen.fetch_add(usize::from(tells), Ordering::SeqCst);
                None
            }));
        });
        let cache = process.cache.clone();
        tokio::spawn(async move { cache.recent().await });
        eventually("it tells", || async { told.load(Ordering::SeqCst) > 0 }).await;
    });
    proxy.set(|rules| rules.delay = None);
    big.block_on(async {
        let within = tokio::time::timeout(Duration::from_secs(20), process.cache.recent());
        within.await.expect("it ends");
        let within = tokio::time::timeout(Duration::from_secs(20), process.cache.shutdown());
        within.await.expect("it ends");
    });
}

#[test]
fn one_who_looks_for_all_on_a_runtime_that_is_not_driven_keeps_nobody_waiting() {
    const LEASE: Duration = Duration::from_secs(2);
    let (redis, proxy) = behind_proxy();
    let site = Site::new();
    let process = |url: String| {
        let builder = Cache::builder().redis(url).memory(MIB).lease(LEASE);
        site.with(builder.operation_timeout(LEASE).build().unwrap())
    };
    let (a, b) = (process(proxy.url()), process(redis.url()));
    let (small, big) = runtimes();
    let invalidated = || async {
        served(&a, &site).await;
        served(&b, &site).await;
        let call = a.cache.invalidate(tag("item:1"));
        let done = tokio::time::timeout(LEASE * 3 / 4, call).await;
        done.is_ok_and(|done| done.is_ok_and(|done| done.confirmed == 1))
    };
    big.block_on(eventually("the clock is young no more", invalidated));
    let looks = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&looks);
    proxy.set(|rules| {
        rules.delay = Some(20..21);
        rules.answer = Some(Box::new(move |words| {
            let looks = words.len() == 9 && words[8].iter().all(u8::is_ascii_digit);
            seen.fetch_add(usize::from(looks), Ordering::SeqCst);
            None
        }));
    });
    small.block_on(async {
        let cache = a.cache.clone();
        tokio::spawn(async move { cache.invalidate(tag("item:1")).await });
        let looked = || async { looks.load(Ordering::SeqCst) > 0 };
        eventually("it looks", looked).await;
    });
    proxy.set(|rules| rules.delay = None);
    assert!(big.block_on(invalidated()));
}

/// Nor those who invalidate in other processes: they need not wait for its lease to end.
#[test]
fn one_who_beats_and_listens_on_a_runtime_that_is_not_driven_is_replaced() {
    const LEASE: Duration = Duration::from_secs(2);
    let redis = Redis::start();
    let site = Site::new();
    let process = || {
        let builder = Cache::builder().redis(redis.url()).memory(MIB).lease(LEASE);
        site.with(builder.operation_timeout(LEASE / 8).build().unwrap())
    };
    let (a, b) = (process(), process());
    let (small, big) = runtimes();
    small.block_on(served(&a, &site));
    big.block_on(eventually("it hears at once", || async {
        served(&a, &site).await;
        let call = b.cache.invalidate(tag("item:1"));
        let done = tokio::time::timeout(LEASE / 2, call).await;
        done.is_ok_and(|done| done.is_ok_and(|done| done.confirmed == 1))
    }));
}

#[test]
fn a_runtime_without_timers_beside_one_with_them() {
    let redis = Redis::start();
    let process = Site::new().process(&redis);
    let bare = Builder::new_current_thread().enable_io().build().unwrap();
    let timed = runtime();
    assert_eq!(bare.block_on(process.get()).text(), "v0");
    timed.block_on(async {
        process.holds("v0").await;
        assert_eq!(redis.entries().len(), 1, "redis is used there");
        process.cache.shutdown().await; // it has no lease any more
    });
    let reply = bare.block_on(process.get());
    assert_eq!((reply.text(), reply.hit()), ("v0", false));
    timed.block_on(process.holds("v0"));
    bare.block_on(cannot_be_asked(&process.cache));
}

/// Who would wait for an answer is told that nobody could end that.
async fn cannot_be_asked(cache: &Cache) {
    assert!(cache.health().await.store.unwrap().error.is_some());
    assert!(cache.entries("api:*", None).await.is_err());
    assert!(cache.set_enabled_everywhere(false).await.is_err());
    cache.shutdown().await;
}

#[test]
fn without_a_runtime_a_store_of_ones_own_is_not_asked() {
    let store = MemoryStore::new(ManualClock::new());
    let cache = Cache::builder().store(store).build().unwrap();
    let health = cache.health().now_or_never().unwrap();
    assert!(health.store.unwrap().error.is_some());
    cache.shutdown().now_or_never().unwrap();
}

#[test]
fn without_a_runtime_what_redis_would_tell_is_unknown() {
    let redis = Redis::start();
    let cache = Site::new().process(&redis).cache;
    let health = cache.health().now_or_never().unwrap();
    assert!(health.store.unwrap().error.is_some());
    assert!(cache.servers().now_or_never().unwrap().is_err());
    let listed = cache.entries("api:*", None).now_or_never().unwrap();
    assert!(listed.is_err());
    cache.recent().now_or_never().unwrap();
    cache.analytics().now_or_never().unwrap();
    cache.advice().now_or_never().unwrap();
    let switched = cache.set_enabled_everywhere(false).now_or_never();
    assert!(switched.unwrap().is_err() && cache.is_enabled());
    cache.shutdown().now_or_never().unwrap();
}

#[test]
fn work_on_a_runtime_that_is_not_driven_does_not_keep_a_process_from_its_end() {
    let redis = Redis::start();
    let process = Site::new().process(&redis);
    let (stands, runs) = runtimes();
    stands.block_on(process.get()); // what it is to write stays there
    runs.block_on(async {
        let within = tokio::time::timeout(Duration::from_secs(20), process.cache.shutdown());
        within.await.expect("it ends");
    });
}
