//! Keys that share one value, for they have one content.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use larder::testing::{ManualClock, MemoryStore};
use larder::values::{Content, ValueKey, Values};
use larder::{
    Cache, InvalidateErrorKind, Key, MIB, Record, Removal, Removed, Store, StoreError,
    StoreErrorKind, StoreFuture, minutes, tag,
};
use tokio::runtime::Builder;
use tokio::sync::Semaphore;

use crate::NotThere;
use crate::support::redis_server::Redis;
use crate::support::{PATIENT, SHORT, eventually};

/// A key of the one content that there is.
fn key(text: &'static str) -> ValueKey<'static> {
    ValueKey::new(text).content(Content::of("content"))
}

fn numbers(cache: &Cache) -> Values<u64> {
    let values = cache.values::<u64>("number").ttl(minutes(5));
    values.build().unwrap()
}

async fn load(values: &Values<u64>, text: &'static str, n: u64) -> u64 {
    let loaded =
        values.get_or_try_insert_with(key(text), move || async move { Ok::<_, NotThere>(n) });
    *loaded.await.unwrap()
}

#[tokio::test]
async fn one_that_is_removed_while_redis_is_away_is_removed_once_it_is_back() {
    let redis = Redis::start();
    let builder = Cache::builder().memory(MIB).redis(redis.url());
    let builder = builder.lease(SHORT).operation_timeout(SHORT);
    let cache = builder.build().unwrap();
    let values = numbers(&cache);
    assert_eq!(load(&values, "one", 1).await, 1);
    cache.idle().await;
    redis.stop();
    let queued = values.remove(key("other")).await.unwrap_err();
    assert_eq!(queued.kind(), InvalidateErrorKind::Queued);
    redis.resume();
    eventually("it is told", || async {
        values.get("-").await;
        cache.health().await.untold == 0
    })
    .await;
    for text in ["one", "other"] {
        assert!(values.get(key(text)).await.is_none(), "{text}");
    }
    assert_eq!(load(&values, "other", 2).await, 2);
}

/// A store that writes entries one by one as they are let through, and what leads to them at
/// once.
#[derive(Clone)]
struct Slow {
    store: MemoryStore,
    entries: Arc<Semaphore>,
    /// One for each that leads.
    led: Arc<Semaphore>,
}

impl Store for Slow {
    fn get<'a>(&'a self, key: &'a Key) -> StoreFuture<'a, Option<Bytes>> {
        self.store.get(key)
    }

    fn put<'a>(&'a self, record: Record<'a>) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            match record.leads {
                true => self.led.add_permits(1),
                false => self.entries.acquire().await.unwrap().forget(),
            }
            self.store.put(record).await
        })
    }

    fn remove<'a>(&'a self, removal: Removal<'a>) -> StoreFuture<'a, Removed> {
        self.store.remove(removal)
    }
}

#[tokio::test]
async fn what_was_removed_is_not_led_to_again_while_its_successor_is_written() {
    let clock = ManualClock::new();
    let store = Slow {
        store: MemoryStore::new(clock.clone()),
        entries: Arc::new(Semaphore::new(1)),
        led: Arc::new(Semaphore::new(0)),
    };
    let builder = Cache::builder().store(store.clone());
    let builder = builder.clock(Arc::new(clock.clone()));
    let cache = builder.operation_timeout(PATIENT).build().unwrap();
    let values = numbers(&cache);
    assert_eq!(load(&values, "one", 1).await, 1);
    cache.idle().await;
    values.remove(key("other")).await.unwrap();
    clock.advance(SHORT);
    store.led.forget_permits(1);
    assert_eq!(load(&values, "one", 2).await, 2);
    store.led.acquire().await.unwrap().forget(); // it leads there, where the first still lies
    let between = values.get(key("other")).await;
    assert!(between.is_none(), "{between:?}");
    store.entries.add_permits(1);
    cache.idle().await;
    let found = values.get(key("other")).await;
    assert_eq!(found.as_deref(), Some(&2));
}

#[test]
fn a_load_that_began_before_does_not_lead_away_from_what_was_given() {
    let redis = Redis::start();
    let process = || {
        let builder = Cache::builder().redis(redis.url()).lease(SHORT * 10);
        let cache = builder.operation_timeout(PATIENT).build().unwrap();
        let runtime = Builder::new_current_thread().enable_all().build();
        (numbers(&cache), cache, runtime.unwrap())
    };
    let ((gives, _, stands), (loads, other, runs)) = (process(), process());
    stands.block_on(gives.insert(key("one"), 1));
    let gate = Arc::new(Semaphore::new(0));
    let late = runs.block_on(async {
        assert!(loads.get(key("one")).await.is_some());
        let cache = other.clone();
        tokio::spawn(async move { cache.invalidate(tag("-")).await });
        eventually("only one has heard of it", || async {
            let rows: Vec<String> = redis.command(&["HVALS", "api:!{clock}"]);
            rows.iter().filter(|row| row.contains(" 1 ")).count() == 1
        })
        .await;
        let (loads, gate) = (loads.clone(), Arc::clone(&gate));
        let late = tokio::spawn(async move {
            let load = move || async move {
                gate.acquire().await.unwrap().forget();
                Ok::<_, NotThere>(2)
            };
            let renewed = loads.get_valid_or_try_insert_with(key("one"), |_| false, load);
            renewed.await.map(drop)
        });
        eventually("it loads", || async {
            redis.keys().iter().any(|key| key.contains(":!lock:"))
        })
        .await;
        Some(late)
    });
    stands.block_on(gives.insert(key("other"), 3));
    gate.add_permits(1);
    let end = Semaphore::new(0);
    let found = std::thread::scope(|scope| {
        scope.spawn(|| stands.block_on(end.acquire()).map(drop)); // it hears of it by now
        let found = runs.block_on(async {
            late.unwrap().await.unwrap().unwrap();
            other.idle().await;
            loads.get(key("other")).await
        });
        end.add_permits(1);
        found
    });
    assert_eq!(found.as_deref(), Some(&3));
}

/// A store whose next write of what leads to an entry may fail.
#[derive(Clone)]
struct Failing {
    store: MemoryStore,
    fails: Arc<AtomicBool>,
}

impl Store for Failing {
    fn get<'a>(&'a self, key: &'a Key) -> StoreFuture<'a, Option<Bytes>> {
        self.store.get(key)
    }

    fn put<'a>(&'a self, record: Record<'a>) -> StoreFuture<'a, ()> {
        if record.leads && self.fails.swap(false, Ordering::Relaxed) {
            let late = StoreError::new(StoreErrorKind::Timeout, "late");
            return Box::pin(std::future::ready(Err(late)));
        }
        self.store.put(record)
    }

    fn remove<'a>(&'a self, removal: Removal<'a>) -> StoreFuture<'a, Removed> {
        self.store.remove(removal)
    }
}

#[tokio::test]
async fn one_to_which_nothing_could_lead_is_not_hidden_by_what_was_led_to_before() {
    let clock = ManualClock::new();
    let store = Failing {
        store: MemoryStore::new(clock.clone()),
        fails: Arc::default(),
    };
    let process = || {
        let builder = Cache::builder().store(store.clone());
        let cache = builder.clock(Arc::new(clock.clone())).build().unwrap();
        (numbers(&cache), cache)
    };
    let ((values, cache), (theirs, _)) = (process(), process());
    values.insert(key("one"), 1).await;
    assert_eq!(theirs.get(key("third")).await.as_deref(), Some(&1));
    store.fails.store(true, Ordering::Relaxed);
    values.insert(key("other"), 2).await;
    cache.idle().await;
    let found = theirs.get(key("third")).await;
    assert_ne!(found.as_deref(), Some(&1));
}

/// The clocks of processes differ by some milliseconds, and what was later by one of them
/// led on to the earlier value.
#[tokio::test]
async fn what_is_given_is_led_to_though_its_process_is_behind_by_its_clock() {
    let redis = Redis::start();
    let process = |clock: Option<ManualClock>| {
        let builder = Cache::builder()
            .redis(redis.url())
            .operation_timeout(PATIENT);
        let cache = match clock {
            Some(clock) => builder.clock(Arc::new(clock)).build(),
            None => builder.build(),
        };
        let cache = cache.unwrap();
        (numbers(&cache), cache)
    };
    let ((gives, _stands), (loads, other)) = (process(Some(ManualClock::new())), process(None));
    assert!(gives.get(key("one")).await.is_none()); // its clock stands from now on
    let time = || redis.command::<(u64, u64)>(&["TIME"]);
    let (second, micros) = time();
    eventually("some milliseconds", || async {
        time() > (second, micros + 20_000)
    })
    .await;
    assert_eq!(load(&loads, "one", 1).await, 1);
    other.idle().await;
    gives.insert(key("other"), 2).await;
    for text in ["one", "other"] {
        assert_eq!(loads.get(key(text)).await.as_deref(), Some(&2), "{text}");
    }
    let locks = redis
        .keys()
        .into_iter()
        .filter(|key| key.contains(":!lock:"));
    assert_eq!(locks.count(), 0, "nobody is kept waiting");
}
