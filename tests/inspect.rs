//! What a cache tells of itself: health, servers, entries.

mod support;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get as on_get;
use larder::inspect::{InspectErrorKind, Topology};
use larder::testing::{Chaos, ChaosStore, ManualClock, MemoryStore, Operation};
use larder::{Cache, MIB, Policy, StoreErrorKind, Tier, minutes, seconds, tag};
use support::processes::Site;
use support::redis_server::Redis;
use support::{PATIENT, SHORT, eventually, get, tiers};

fn app(cache: &Cache) -> Router {
    let policy = Policy::ttl(minutes(5))
        .tag("item:{id}")
        .stale_while_revalidate(minutes(1));
    let handler = on_get(|| async { "0123456789" }).layer(cache.layer(policy));
    Router::new().route("/items/{id}", handler)
}

#[tokio::test]
async fn health_has_a_measured_round_trip_and_knows_the_other_processes() {
    let redis = Redis::start();
    let site = Site::new();
    let (a, b) = (site.process(&redis), site.process(&redis));
    a.holds("v0").await;
    b.holds("v0").await;
    let health = a.cache.health().await;
    assert_eq!(health.status(), "ok");
    let store = health.store.unwrap();
    assert_eq!(store.topology, Topology::Server);
    assert!(store.round_trip.unwrap() > Duration::ZERO && store.leased);
    assert_eq!((store.error, store.open_for), (None, None));
    let this: Vec<bool> = health.instances.iter().map(|one| one.this).collect();
    assert_eq!(this, [true, false]);
    assert!(health.instances.iter().all(|one| one.in_step));
    eventually("it listens", || async {
        a.cache.health().await.store.unwrap().listening
    })
    .await;
}

#[tokio::test]
async fn a_redis_that_is_gone_degrades_health_and_the_breaker_says_since_when() {
    let mut redis = Redis::start();
    let site = Site::new();
    let a = site.process(&redis);
    a.holds("v0").await;
    redis.kill();
    eventually("the breaker opens", || async {
        let store = a.cache.health().await.store.unwrap();
        store.round_trip.is_none() && store.open_for.is_some()
    })
    .await;
    let health = a.cache.health().await;
    assert_eq!(health.status(), "degraded");
    assert_eq!(
        health.store.unwrap().error,
        Some(StoreErrorKind::Unavailable)
    );
    assert_eq!(health.instances.len(), 1, "of the others nothing is known");
    assert!(a.cache.invalidate(tag("x")).await.is_err());
    assert_eq!(a.cache.health().await.untold, 1);
}

#[tokio::test]
async fn an_instance_that_hangs_is_not_in_step() {
    let redis = Redis::start();
    let site = Site::new();
    let a = site.process(&redis);
    a.holds("v0").await;
    let epoch: String = redis.command(&["HGET", "api:!{clock}", "epoch"]);
    let row = format!("{epoch} 0 7");
    let _: u64 = redis.command(&["HSET", "api:!{clock}", "@hung", &row]);
    a.cache.invalidate(tag("x")).await.unwrap();
    a.cache.idle().await; // its row was taken away
    let _: u64 = redis.command(&["HSET", "api:!{clock}", "@hung", &row]);
    let health = a.cache.health().await;
    let hung = health
        .instances
        .iter()
        .find(|one| one.id == "hung")
        .unwrap();
    assert!(!hung.in_step && hung.behind >= Some(1) && hung.beats == 7);
    assert!(health.is_degraded());
}

#[tokio::test]
async fn servers_say_their_memory_and_settings() {
    let redis = Redis::start_with(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]);
    let cache = Cache::builder().redis(redis.url()).build().unwrap();
    let servers = cache.servers().await.unwrap();
    let [server] = &servers[..] else {
        panic!("{servers:?}")
    };
    assert_eq!(server.max_memory, Some(100 << 20));
    assert_eq!(server.eviction_policy.as_deref(), Some("allkeys-lru"));
    assert!(server.used_memory.unwrap() > 0 && server.version.is_some());
    assert_eq!(server.append_fsync.as_deref(), Some("everysec"));
    assert_eq!(
        (server.stops_writes, server.saves),
        (Some(true), Some(false))
    );
}

#[tokio::test]
async fn an_entry_is_told_of_without_being_served_or_counted() {
    for tiers in tiers().await {
        let app = app(&tiers.cache);
        get(&app, "/items/7").await;
        tiers.cache.idle().await;
        let before = tiers.cache.stats();
        let page = tiers.cache.entries("api:items:*", None).await.unwrap();
        assert_eq!((page.entries.len(), page.next), (1, None), "{}", tiers.name);
        tiers.clock.advance(seconds(100));
        let name = page.entries[0].key.as_str();
        let entry = tiers.cache.entry(name).await.unwrap().unwrap();
        assert_eq!(
            (entry.endpoint(), entry.status, entry.size),
            ("items", 200, 10)
        );
        let tier = match tiers.redis {
            Some(_) => Tier::Redis,
            None => Tier::Memory,
        };
        assert_eq!(entry.tier, tier);
        // that of Redis goes by the server's time, which does not stand still
        assert!((100..110).contains(&entry.age.as_secs()), "{:?}", entry.age);
        assert_eq!((entry.age + entry.ttl).as_secs(), 300);
        assert_eq!((entry.age + entry.kept).as_secs(), 360);
        assert_eq!((entry.valid, entry.scopes.len()), (Some(true), 4));
        assert!(entry.takes.unwrap() > 10);
        assert_eq!(tiers.cache.stats(), before, "nothing was counted");
        tiers.cache.invalidate(tag("item:7")).await.unwrap();
        assert_eq!(tiers.cache.entry(name).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_listing_goes_page_by_page_over_all_entries_and_nothing_else() {
    let redis = Redis::start();
    for builder in [
        Cache::builder().memory(16 * MIB),
        Cache::builder()
            .redis(redis.url())
            .lease(SHORT)
            .operation_timeout(PATIENT),
    ] {
        let cache = builder.build().unwrap();
        let app = app(&cache);
        for n in 0..350 {
            get(&app, &format!("/items/{n}")).await;
        }
        cache.idle().await;
        let (mut keys, mut cursor, mut pages) = (HashSet::new(), None, 0);
        loop {
            let page = cache.entries("api:*", cursor.as_deref()).await.unwrap();
            keys.extend(page.entries.iter().map(|entry| entry.key.to_string()));
            pages += 1;
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(keys.len(), 350);
        assert!(pages >= 3 && keys.iter().all(|key| key.starts_with("api:items:")));
        let none = cache.entries("api:others:*", None).await.unwrap();
        assert!(none.entries.is_empty());
        for bad in [
            "zz",
            "",
            "-1",
            "0:0",
            "0-x",
            "1-2-3",
            "99999999999999999999",
        ] {
            let error = cache.entries("api:*", Some(bad)).await.unwrap_err();
            assert_eq!(error.kind(), InspectErrorKind::BadRequest, "{bad:?}");
        }
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let cache = Cache::builder().memory(MIB).build().unwrap();
    let bad = InspectErrorKind::BadRequest;
    for pattern in ["", "*", "other:*", "api:!*"] {
        let error = cache.entries(pattern, None).await.unwrap_err();
        assert_eq!(error.kind(), bad, "{pattern}");
    }
    for key in ["", "api:x", "api:!lock:{api:x:1}", "other:x:1"] {
        assert_eq!(cache.entry(key).await.unwrap_err().kind(), bad, "{key}");
    }
    assert_eq!(
        cache.entries("api:*", Some("x")).await.unwrap_err().kind(),
        bad
    );
}

#[tokio::test]
async fn an_entry_whose_time_was_ended_has_none_left() {
    for tiers in tiers().await {
        let app = app(&tiers.cache);
        get(&app, "/items/7").await;
        tiers.cache.idle().await;
        tiers.clock.advance(seconds(20));
        let softly = tiers.cache.invalidate(tag("item:7").soft()).await;
        softly.unwrap();
        tiers.clock.advance(seconds(5));
        let page = tiers.cache.entries("api:items:*", None).await.unwrap();
        let [listed] = &page.entries[..] else {
            panic!("{}: {page:?}", tiers.name);
        };
        let name = listed.key.as_str();
        let entry = tiers.cache.entry(name).await.unwrap().unwrap();
        for told in [listed, &entry] {
            assert_eq!(told.ttl, Duration::ZERO, "{}: {told:?}", tiers.name);
            assert_eq!(told.kept.as_secs(), 55, "{}: {told:?}", tiers.name);
            assert_eq!(told.valid, Some(true), "it may still be served");
        }
    }
}

/// What a request would find: not what this process holds and would not serve.
#[tokio::test]
async fn an_entry_is_told_of_as_others_have_left_it() {
    let redis = Redis::start();
    let site = Site::new();
    let process = || {
        let builder = Cache::builder().memory(16 * MIB).redis(redis.url());
        let cache = builder.lease(SHORT * 3).operation_timeout(PATIENT).build();
        let policy = Policy::ttl(minutes(5)).stale_while_revalidate(minutes(1));
        site.with_policy(cache.unwrap(), policy)
    };
    let (a, b) = (process(), process());
    a.holds("v0").await;
    b.holds("v0").await;
    site.write();
    let softly = b.cache.invalidate(tag("item:1").soft()).await;
    assert_eq!(softly.unwrap().confirmed, 1);
    let page = a.cache.memory_entries("api:items:*", None).unwrap();
    let name = page.entries[0].key.as_str();
    let entry = a.cache.entry(name).await.unwrap().unwrap();
    for told in [&page.entries[0], &entry] {
        assert_eq!((told.ttl, told.valid), (Duration::ZERO, Some(true)));
    }
    eventually("another process renews it", || async {
        b.get().await.text() == "v1"
    })
    .await;
    b.cache.idle().await;
    let entry = a.cache.entry(name).await.unwrap().unwrap();
    assert_eq!(entry.tier, Tier::Redis, "{entry:?}");
    assert!(entry.ttl > minutes(4), "{entry:?}");
    assert_eq!(a.get().await.text(), "v1");
}

/// The store could not take what has been answered since.
#[tokio::test]
async fn of_two_that_are_not_fresh_the_younger_is_told_of() {
    let clock = ManualClock::new();
    let store = ChaosStore::new(MemoryStore::new(clock.clone()));
    let builder = Cache::builder().memory(16 * MIB).store(store.clone());
    let cache = builder.clock(Arc::new(clock.clone())).build().unwrap();
    let policy = Policy::ttl(minutes(1)).stale_while_revalidate(minutes(60));
    let handler = on_get(|| async { "0123456789" }).layer(cache.layer(policy));
    let app = Router::new().route("/items/{id}", handler);
    let aged = async || {
        let answer = get(&app, "/items/1").await;
        cache.idle().await;
        answer.header("age").to_owned()
    };
    aged().await;
    store.always(Operation::Put, Chaos::Fails(StoreErrorKind::Timeout));
    clock.advance(seconds(70));
    aged().await; // and it is renewed
    clock.advance(seconds(80));
    let page = cache.memory_entries("api:items:*", None).unwrap();
    let entry = cache.entry(page.entries[0].key.as_str()).await.unwrap();
    let told = entry.expect("it is there");
    assert_eq!((told.tier, told.age), (Tier::Memory, seconds(80)));
    assert_eq!(aged().await, "80");
}

/// What is listed is what an invalidation by the same pattern reaches.
#[tokio::test]
async fn a_pattern_lists_the_entries_of_all_tenants() {
    let redis = Redis::start();
    let shared = Cache::builder().redis(redis.url()).lease(SHORT);
    for builder in [
        Cache::builder().memory(MIB),
        shared.operation_timeout(PATIENT),
    ] {
        let cache = builder.tenant(|head| Some(head.uri().path().to_owned()));
        let cache = cache.build().unwrap();
        let app = app(&cache);
        for uri in ["/items/1", "/items/2"] {
            get(&app, uri).await;
        }
        cache.idle().await;
        for pattern in ["api:*", "api:items:*", "api:items"] {
            let listed = cache.entries(pattern, None).await.unwrap().entries.len();
            let reached = cache.invalidate(larder::pattern(pattern).dry_run()).await;
            assert_eq!((listed, reached.unwrap().removed()), (2, 2), "{pattern}");
        }
        let by_class = cache.entries("api:item[s]@*:*", None).await.unwrap();
        assert_eq!(by_class.entries.len(), 2);
    }
}
