//! Loads that take longer than anybody waits for them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use larder::testing::{ManualClock, MemoryStore};
use larder::values::Values;
use larder::{
    Cache, CacheBuilder, Clock, Granted, Key, Lease, MIB, Record, Removal, Removed, Seen, Store,
    StoreError, StoreErrorKind, StoreFuture, minutes, seconds,
};
use tokio::time::Instant;

use crate::NotThere;

/// Time as it is paused.
#[derive(Debug)]
struct Paused(Instant);

impl Clock for Paused {
    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.monotonic()
    }
}

/// A store with leases, as Redis has them.
#[derive(Clone)]
struct Leasing {
    store: MemoryStore,
    began: Instant,
    held: Arc<Mutex<Option<(String, Instant)>>>,
    /// It does not tell who holds it.
    mute: Arc<AtomicBool>,
}

impl Leasing {
    fn new() -> Self {
        Self {
            store: MemoryStore::new(ManualClock::new()),
            began: Instant::now(),
            held: Arc::default(),
            mute: Arc::default(),
        }
    }

    fn cache(&self) -> Values<u32> {
        Self::values(&self.with(Cache::builder()))
    }

    fn with(&self, builder: CacheBuilder) -> Cache {
        let clock = Arc::new(Paused(self.began));
        let builder = builder.store(self.clone()).clock(clock);
        builder.build().unwrap()
    }

    fn values(cache: &Cache) -> Values<u32> {
        let values = cache.values::<u32>("number").ttl(minutes(5));
        values.wait(seconds(1)).build().unwrap()
    }

    fn holder(&self) -> Option<String> {
        let held = self.held.lock().unwrap();
        let held = held.as_ref().filter(|(_, end)| *end > Instant::now());
        held.map(|(token, _)| token.clone())
    }

    fn hold(&self, lease: &Lease, ttl: Duration) {
        *self.held.lock().unwrap() = Some((lease.token.clone(), Instant::now() + ttl));
    }

    fn end(&self) {
        *self.held.lock().unwrap() = None;
    }
}

impl Store for Leasing {
    fn get<'a>(&'a self, key: &'a Key) -> StoreFuture<'a, Option<Bytes>> {
        self.store.get(key)
    }

    fn put<'a>(&'a self, record: Record<'a>) -> StoreFuture<'a, ()> {
        if let Some(lease) = record.lease {
            if self.holder().as_ref() != Some(&lease.token) {
                let fenced = StoreError::new(StoreErrorKind::Fenced, "it is another's");
                return Box::pin(std::future::ready(Err(fenced)));
            }
            self.end();
        }
        self.store.put(record)
    }

    fn remove<'a>(&'a self, removal: Removal<'a>) -> StoreFuture<'a, Removed> {
        self.store.remove(removal)
    }

    fn acquire<'a>(&'a self, lease: &'a Lease, ttl: Duration) -> StoreFuture<'a, Granted> {
        Box::pin(async move {
            if self.mute.load(Ordering::Relaxed) {
                let late = StoreError::new(StoreErrorKind::Timeout, "late");
                return Err(late);
            }
            Ok(match self.holder() {
                Some(holder) if holder != lease.token => Granted::No,
                None if lease.seen == Seen::Nothing && self.get(&lease.key).await?.is_some() => {
                    Granted::Filled
                }
                _ => {
                    self.hold(lease, ttl);
                    Granted::Yes
                }
            })
        })
    }

    fn renew<'a>(&'a self, lease: &'a Lease, ttl: Duration) -> StoreFuture<'a, bool> {
        let held = self.holder().as_ref() == Some(&lease.token);
        if held {
            self.hold(lease, ttl);
        }
        Box::pin(std::future::ready(Ok(held)))
    }

    fn release<'a>(&'a self, lease: &'a Lease, _: Option<Duration>) -> StoreFuture<'a, ()> {
        if self.holder().as_ref() == Some(&lease.token) {
            self.end();
        }
        Box::pin(std::future::ready(Ok(())))
    }
}

async fn load(values: &Values<u32>, n: u32, takes: Duration) -> u32 {
    let loaded = values.get_or_try_insert_with("a", move || async move {
        tokio::time::sleep(takes).await;
        Ok::<_, NotThere>(n)
    });
    *loaded.await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn one_that_takes_longer_than_anybody_waits_is_stored() {
    let store = Leasing::new();
    assert_eq!(load(&store.cache(), 1, minutes(2)).await, 1);
    tokio::time::sleep(seconds(1)).await; // it is written
    let found = store.cache().get("a").await;
    assert_eq!(found.as_deref(), Some(&1));
    assert_eq!(store.holder(), None);
}

#[tokio::test(start_paused = true)]
async fn what_another_process_has_stored_meanwhile_stays() {
    let store = Leasing::new();
    let slow = store.cache();
    let slow = tokio::spawn(async move { load(&slow, 1, minutes(2)).await });
    tokio::time::sleep(minutes(1)).await;
    assert_eq!(load(&store.cache(), 2, seconds(1)).await, 2);
    assert_eq!(slow.await.unwrap(), 1);
    tokio::time::sleep(seconds(1)).await; // it would be written
    let found = store.cache().get("a").await;
    assert_eq!(found.as_deref(), Some(&2));
}

#[tokio::test(start_paused = true)]
async fn where_the_store_cannot_tell_whose_it_is_memory_keeps_it() {
    let store = Leasing::new();
    let cache = store.with(Cache::builder().memory(MIB));
    let values = Leasing::values(&cache);
    let loading = values.clone();
    let loading = tokio::spawn(async move { load(&loading, 1, minutes(2)).await });
    tokio::time::sleep(minutes(1)).await;
    let errors = cache.stats().store_errors;
    store.mute.store(true, Ordering::Relaxed);
    assert_eq!(loading.await.unwrap(), 1);
    tokio::time::sleep(seconds(1)).await; // it would be written
    let found = values.get("a").await;
    assert_eq!(found.as_deref(), Some(&1));
    assert_eq!(cache.stats().store_errors, errors + 1);
}
