//! What is given and not loaded, and what other releases have stored.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use larder::testing::ManualClock;
use larder::values::{Content, ValueKey, Values};
use larder::{
    Cache, Cause, Key, MIB, Outcome, Record, Removal, Removed, Store, StoreFuture, seconds,
};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::support::redis_server::Redis;
use crate::support::{Calls, PATIENT, SHORT, eventually};
use crate::{Character, NotThere, Source, characters, read, settings};

fn process(redis: &Redis) -> Cache {
    let builder = Cache::builder().memory(16 * MIB).redis(redis.url());
    let builder = builder.lease(SHORT * 10).operation_timeout(PATIENT);
    builder.build().unwrap()
}

/// Loads, once the gate is open.
fn load(
    values: &Values<Character>,
    key: &ValueKey<'static>,
    gate: &Arc<Semaphore>,
) -> tokio::task::JoinHandle<String> {
    let (values, key, gate) = (values.clone(), key.clone(), Arc::clone(gate));
    tokio::spawn(async move {
        let load = move || async move {
            gate.acquire().await.unwrap().forget();
            Ok::<_, NotThere>(Source::default().make("loaded"))
        };
        let loaded = values.get_or_try_insert_with(key, load).await.unwrap();
        loaded.id.clone()
    })
}

#[tokio::test]
async fn a_load_of_another_process_does_not_overwrite_what_was_inserted() {
    let redis = Redis::start();
    let (here, there, third) = (process(&redis), process(&redis), process(&redis));
    let plain = (ValueKey::new("a"), "api:!lock:{character:a}".to_owned());
    let hash = Content::of("b");
    let of_content = (
        ValueKey::new("b").content(hash),
        format!("api:!lock:{{character:hash:{}}}", hash.to_hex()),
    );
    for (key, lock) in [plain, of_content] {
        let gate = Arc::new(Semaphore::new(0));
        let loading = load(&characters(&there), &key, &gate);
        eventually("a lease", || async { redis.keys().contains(&lock) }).await;
        let waiting = load(&characters(&third), &key, &Arc::new(Semaphore::new(0)));
        eventually("a waiter", || async { redis.waiters() >= 1 }).await;
        let values = characters(&here);
        values
            .insert(key.clone(), Source::default().make("given"))
            .await;
        assert_eq!(waiting.await.unwrap(), "given", "who waits has it too");
        gate.add_permits(1);
        assert_eq!(loading.await.unwrap(), "loaded", "its own caller's");
        there.idle().await;
        for (cache, who) in [(&process(&redis), "in redis"), (&there, "in its memory")] {
            let found = characters(cache).get(key.clone()).await.unwrap();
            assert_eq!(found.id, "given", "{who}");
        }
    }
}

/// Where answers are not shared nobody holds a lease.
#[tokio::test]
async fn nor_does_one_without_a_lease_that_knows_more_of_the_clock() {
    let redis = Redis::start();
    let there = process(&redis);
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_connection().unwrap();
    let mut set = |key: &str, value: &[u8]| {
        let mut set = redis::cmd("SET");
        set.arg(key).arg(value).exec(&mut connection).unwrap();
    };
    there.invalidate("api:other:*").await.unwrap(); // its clock has begun
    set("api:!lock:{character:a}", b"!");
    let (gate, runs) = (Arc::new(Semaphore::new(0)), Calls::default());
    let (opens, counts) = (Arc::clone(&gate), runs.clone());
    let load = move || async move {
        counts.count();
        opens.acquire().await.unwrap().forget();
        Ok::<_, NotThere>(Source::default().make("loaded"))
    };
    let values = characters(&there);
    let loading = async move { values.get_or_try_insert_with("a", load).await.unwrap() };
    let loading = tokio::spawn(loading);
    eventually("it loads", || async { runs.now() == 1 }).await;
    let here = characters(&process(&redis));
    here.insert("a", Source::default().make("given")).await;
    let mut given: Vec<u8> = redis.command(&["GET", "character:a"]);
    // who gave it lags behind, and came later by more than two processes' clocks are apart
    for (at, more) in [(16, 1_000), (56, -1)] {
        let known = i64::from_le_bytes(given[at..at + 8].try_into().unwrap());
        given[at..at + 8].copy_from_slice(&(known + more).to_le_bytes());
    }
    set("character:a", &given);
    gate.add_permits(1);
    assert_eq!(loading.await.unwrap().id, "loaded", "its own caller's");
    there.idle().await;
    let stays: Vec<u8> = redis.command(&["GET", "character:a"]);
    assert!(stays == given, "what was given stays");
}

#[tokio::test]
async fn releases_do_not_read_each_others_values_and_one_removal_reaches_all() {
    let redis = Redis::start();
    let process = |release: &str| {
        let builder = Cache::builder().memory(16 * MIB).redis(redis.url());
        let builder = builder.lease(SHORT).operation_timeout(PATIENT);
        builder.release(release).build().unwrap()
    };
    let (source, content) = (Source::default(), Content::of("x"));
    let caches = ["", "1.4", "1.5 beta"].map(process);
    let values = caches
        .each_ref()
        .map(|cache| settings(cache).version("2").build().unwrap());
    for (at, values) in values.iter().enumerate() {
        let run = read(values, &source, "a").await.run;
        assert_eq!(run, 2 * at + 1, "its own");
        let key = ValueKey::new("b").content(content);
        let source = source.clone();
        let load = move || source.load("b");
        let run = values.get_or_try_insert_with(key, load).await.unwrap().run;
        assert_eq!(run, 2 * at + 2, "its own");
    }
    for cache in &caches {
        cache.idle().await;
    }
    let names = [
        "character:a:v2",
        "character:a:v2:r1.4",
        "character:a:v2:r1.5%20beta",
    ];
    let keys = redis.entries();
    assert!(
        names.iter().all(|name| keys.iter().any(|key| key == name)),
        "{keys:?}"
    );
    assert_eq!(values[2].key("a").as_str(), names[2]);
    assert_eq!(
        caches[0].stats().corrupt,
        0,
        "nobody takes another's for damaged"
    );

    values[1].remove("a").await.unwrap();
    values[1]
        .remove(ValueKey::new("b").content(content))
        .await
        .unwrap();
    for values in &values {
        assert!(!values.contains("a").await);
        assert!(!values.contains(ValueKey::new("b").content(content)).await);
    }
}

#[tokio::test]
async fn a_value_of_another_release_is_a_miss_by_release() {
    let redis = Redis::start();
    let process = |release: &str| {
        let builder = Cache::builder().redis(redis.url()).release(release);
        let builder = builder.lease(SHORT).operation_timeout(PATIENT);
        builder.build().unwrap()
    };
    let (old, new) = (process("1.4"), process("1.5"));
    let values = characters(&old);
    for n in 0..200 {
        values
            .insert(format!("{n}"), Source::default().make("x"))
            .await;
    }
    old.shutdown().await; // it tells what it has filled
    let (values, n) = (characters(&new), std::cell::Cell::new(0));
    eventually("it has heard of that", || async {
        let load = || async { Ok::<_, NotThere>(Source::default().make("y")) };
        let key = format!("{}", n.replace(n.get() + 1));
        let read = values.get_or_try_insert_with(key, load).await.unwrap();
        new.idle().await;
        let release = Cause::Release;
        matches!(read.outcome(), Outcome::Miss { cause, .. } if cause == release)
    })
    .await;
}

#[tokio::test]
async fn what_is_inserted_while_the_cache_is_off_leaves_no_older_value_behind() {
    for tier in crate::support::tiers().await {
        let (cache, values) = (&tier.cache, characters(&tier.cache));
        let keys = [
            ValueKey::new("a"),
            ValueKey::new("b").content(Content::of("b")),
        ];
        for key in keys {
            values.insert(&key, Source::default().make("old")).await;
            assert!(values.contains(&key).await, "{}", tier.name);
            cache.set_enabled(false);
            values.insert(&key, Source::default().make("new")).await;
            cache.set_enabled(true);
            assert!(!values.contains(&key).await, "{} {key:?}", tier.name);
        }
    }
}

#[tokio::test]
async fn what_is_refused_at_an_insertion_leaves_no_older_value_behind() {
    let redis = Redis::start();
    let (here, there) = (process(&redis), process(&redis));
    let values = settings(&here).max_size(60).store_if(|_, c| c.id != "no");
    let (values, theirs) = (values.build().unwrap(), characters(&there));
    let large = "large".repeat(20);
    let keys = [
        ValueKey::new("a"),
        ValueKey::new("b").content(Content::of("b")),
    ];
    for (key, refused) in keys.iter().flat_map(|key| [(key, &*large), (key, "no")]) {
        values.insert(key, Source::default().make("old")).await;
        assert!(theirs.get(key).await.is_some(), "read by another process");
        let new = values.insert(key, Source::default().make(refused)).await;
        assert!(!new.outcome().is_stored(), "{refused}");
        assert!(!values.contains(key).await, "{refused} {key:?}");
        assert!(!theirs.contains(key).await, "{refused} {key:?}");
    }
}

/// A store that holds nothing, and never ends a removal.
struct NeverRemoves;

impl Store for NeverRemoves {
    fn get<'a>(&'a self, _: &'a Key) -> StoreFuture<'a, Option<Bytes>> {
        Box::pin(async { Ok(None) })
    }

    fn put<'a>(&'a self, _: Record<'a>) -> StoreFuture<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn remove<'a>(&'a self, _: Removal<'a>) -> StoreFuture<'a, Removed> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test(start_paused = true)]
async fn an_insertion_waits_for_the_earlier_value_to_go_no_longer_than_an_operation_may() {
    let builder = Cache::builder().memory(MIB).store(NeverRemoves);
    let cache = builder.build().unwrap();
    let values = characters(&cache);
    values.insert("a", Source::default().make("old")).await;
    cache.set_enabled(false);
    let insertion = values.insert("a", Source::default().make("new"));
    let ended = tokio::time::timeout(seconds(1), insertion).await;
    assert_eq!(ended.expect("bounded").id, "new");
    cache.set_enabled(true);
    assert!(!values.contains("a").await);
}

#[tokio::test]
async fn where_redis_takes_no_more_the_earlier_value_is_taken_away() {
    let redis = Redis::start();
    let (a, b) = (process(&redis), process(&redis));
    let (a, b) = (characters(&a), characters(&b));
    let source = Source::default();
    a.insert("x", source.make("x")).await;
    let () = redis.command(&["CONFIG", "SET", "maxmemory", "1"]);
    a.insert("x", source.make("x")).await;
    let elsewhere = b.get("x").await;
    assert!(elsewhere.is_none(), "{elsewhere:?}");
    assert_eq!(a.get("x").await.unwrap().run, 2, "memory has it");
}

/// A store that holds nothing, and is not heard of again.
struct Hangs;

impl Store for Hangs {
    fn get<'a>(&'a self, _: &'a Key) -> StoreFuture<'a, Option<Bytes>> {
        Box::pin(std::future::pending())
    }

    fn put<'a>(&'a self, _: Record<'a>) -> StoreFuture<'a, ()> {
        Box::pin(std::future::pending())
    }

    fn remove<'a>(&'a self, _: Removal<'a>) -> StoreFuture<'a, Removed> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test(start_paused = true)]
async fn an_insertion_waits_for_a_store_that_hangs_once() {
    let builder = Cache::builder().memory(MIB).store(Hangs);
    let cache = builder.operation_timeout(SHORT).build().unwrap();
    let values = characters(&cache);
    let begun = Instant::now();
    values.insert("a", Source::default().make("new")).await;
    let took = begun.elapsed();
    assert!(took < SHORT * 2, "{took:?}");
    assert_eq!(values.get("a").await.unwrap().id, "new");
}

/// Nobody can wait for Redis there.
#[test]
fn what_is_inserted_without_a_runtime_is_in_memory_alone() {
    let redis = Redis::start();
    let main = Runtime::new().unwrap();
    let bare = Builder::new_current_thread().enable_io().build().unwrap(); // it has no timers
    let (here, there) = (process(&redis), process(&redis));
    let (values, theirs) = (characters(&here), characters(&there));
    let keys = [
        ValueKey::new("a"),
        ValueKey::new("b").content(Content::of("b")),
    ];
    for (key, timers) in keys.iter().flat_map(|key| [(key, "bare"), (key, "none")]) {
        main.block_on(async {
            values.insert(key, Source::default().make("old")).await;
            assert!(theirs.get(key).await.is_some(), "read by another process");
        });
        let insertion = values.insert(key, Source::default().make("new"));
        match timers {
            "bare" => drop(bare.block_on(insertion)),
            _ => drop(insertion.now_or_never().expect("at once")),
        }
        let found = main.block_on(values.get(key)).expect("memory has it");
        assert_eq!(found.id, "new");
    }
}

/// What another process had loaded before was read meanwhile, and the clocks of two processes
/// do not tell by a few milliseconds which was first.
#[tokio::test]
async fn what_was_given_stays_in_memory_beside_what_is_read_of_another_process() {
    let redis = Redis::start();
    let clocks = [0; 2].map(|_| ManualClock::new());
    let [here, there] = clocks.each_ref().map(|clock| {
        clock.advance(SHORT);
        let builder = Cache::builder().memory(16 * MIB).redis(redis.url());
        let builder = builder.clock(Arc::new(clock.clone()));
        builder.operation_timeout(PATIENT).build().unwrap()
    });
    let (gives, loads) = (characters(&here), characters(&there));
    // from here on one goes by Redis' time of now
    let known = futures_util::future::join(gives.get("a"), loads.get("a"));
    assert!(matches!(known.await, (None, None)));
    clocks[1].advance(SHORT / 2);
    read(&loads, &Source::default(), "a").await;
    there.idle().await;
    let loaded: Vec<u8> = redis.command(&["GET", "character:a"]);
    gives.insert("a", Source::default().make("given")).await;
    let client = redis::Client::open(redis.url()).unwrap();
    let mut set = redis::cmd("SET");
    set.arg("character:a").arg(loaded); // as it lay there a moment ago
    set.exec(&mut client.get_connection().unwrap()).unwrap();
    let older = gives.get_valid("a", |value| value.id != "given").await;
    assert_eq!(older.unwrap().id, "a");
    assert_eq!(gives.get("a").await.unwrap().id, "given");
}
