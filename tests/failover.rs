//! Redis becomes another server, or may have been replaced by one.

mod support;

use larder::{Cache, CacheBuilder, Failover, MIB, minutes, tag};
use support::processes::{Process, Site};
use support::redis_server::Redis;
use support::{PATIENT, SHORT, eventually, get};

fn process(site: &Site, redis: &Redis, more: fn(CacheBuilder) -> CacheBuilder) -> Process {
    let builder = Cache::builder().memory(16 * MIB).redis(redis.url());
    let builder = builder.lease(SHORT * 3).operation_timeout(PATIENT);
    site.with(more(builder).build().unwrap())
}

fn merging(site: &Site, redis: &Redis) -> Process {
    process(site, redis, |builder| builder.on_failover(Failover::Merge))
}

/// It comes back as it was when it was last saved.
fn restart(redis: &mut Redis) {
    redis.kill();
    redis.restart();
}

#[tokio::test]
async fn who_merges_keeps_what_is_stored_and_brings_back_what_was_invalidated() {
    let mut redis = Redis::start();
    let site = Site::new();
    let (a, b) = (merging(&site, &redis), merging(&site, &redis));
    for process in [&a, &b] {
        process.holds("v0").await;
        assert_eq!(get(&process.app, "/items/2").await.text(), "v0");
        process.cache.idle().await;
    }
    redis.command::<()>(&["SAVE"]);
    site.write();
    a.cache.invalidate(tag("item:1")).await.unwrap();
    let runs = site.runs();
    restart(&mut redis);
    assert_eq!(redis.entries().len(), 2, "what was invalidated is back");
    for process in [&a, &b] {
        assert_eq!(get(&process.app, "/items/2").await.text(), "v0");
        assert_eq!(site.runs(), runs, "what was stored is served on");
    }
    for process in [&a, &b] {
        assert_eq!(process.get().await.text(), "v1");
    }
    a.cache.idle().await;
    b.cache.idle().await;
    // who did not know of it
    let c = merging(&site, &redis);
    assert_eq!(c.get().await.text(), "v1");
    assert_eq!(get(&c.app, "/items/2").await.text(), "v0");
}

#[tokio::test]
async fn what_is_invalidated_afterwards_is_heard_by_who_knew_more_than_redis() {
    let mut redis = Redis::start();
    let site = Site::new();
    let (a, b) = (merging(&site, &redis), merging(&site, &redis));
    for process in [&a, &b] {
        process.holds("v0").await;
    }
    redis.command::<()>(&["SAVE"]);
    for n in 0..5 {
        a.cache.invalidate(tag(format!("other:{n}"))).await.unwrap();
    }
    restart(&mut redis);
    let c = merging(&site, &redis);
    c.get().await; // it goes by the numbers that Redis has
    site.write();
    eventually("it is told", || async {
        c.cache.invalidate(tag("item:1")).await.is_ok()
    })
    .await;
    for process in [&a, &b] {
        assert_eq!(process.get().await.text(), "v1");
    }
}

#[tokio::test]
async fn who_does_not_merge_begins_anew() {
    let mut redis = Redis::start();
    let site = Site::new();
    let a = process(&site, &redis, |builder| builder);
    a.holds("v0").await;
    redis.command::<()>(&["SAVE"]);
    restart(&mut redis);
    site.write();
    eventually("what was stored counts no more", || async {
        a.get().await.text() == "v1"
    })
    .await;
}

/// A replica that follows.
async fn replica_of(redis: &Redis, more: &[&str]) -> Redis {
    let port = redis.port().to_string();
    let replica = Redis::start_with(&[&["--replicaof", "127.0.0.1", &port], more].concat());
    eventually("it follows", || async {
        let info: String = redis.command(&["INFO", "replication"]);
        info.contains("state=online")
    })
    .await;
    replica
}

#[tokio::test]
async fn a_replica_that_copies_still_confirms_nothing_and_takes_nothing_away() {
    let wait = ["--repl-diskless-sync", "yes", "--repl-diskless-sync-delay"];
    let redis = Redis::start_with(&[&wait[..], &["600"]].concat());
    let port = redis.port().to_string();
    let _replica = Redis::start_with(&["--replicaof", "127.0.0.1", &port]);
    eventually("it is there", || async {
        let info: String = redis.command(&["INFO", "replication"]);
        info.contains("connected_slaves:1") && !info.contains("state=online")
    })
    .await;
    let site = Site::new();
    let a = process(&site, &redis, |builder| builder);
    a.holds("v0").await;
    site.write();
    a.cache.invalidate(tag("item:1")).await.unwrap();
    assert_eq!(a.get().await.text(), "v1");
}

#[tokio::test]
async fn where_there_are_replicas_one_must_confirm() {
    let redis = Redis::start();
    let replica = replica_of(&redis, &[]).await;
    let site = Site::new();
    let a = process(&site, &redis, |builder| {
        builder.operation_timeout(SHORT * 2)
    });
    eventually("memory holds it", || async {
        a.get().await.detail() == "memory"
    })
    .await;
    assert!(redis.calls("wait") > 0);
    a.cache.invalidate(tag("item:1")).await.unwrap();
    replica.stop(); // the primary is alone, and does not know it
    eventually("nothing is trusted", || async {
        a.get().await.detail() == "store-error"
    })
    .await;
    assert!(a.cache.invalidate(tag("item:1")).await.is_err());
    replica.resume();
    eventually("it is trusted again", || async { a.get().await.hit() }).await;
}

#[tokio::test]
async fn a_primary_that_has_lost_its_replicas_is_not_trusted_and_health_says_why() {
    let redis = Redis::start();
    let replica = replica_of(&redis, &[]).await;
    let site = Site::new();
    let a = process(&site, &redis, |builder| builder);
    a.holds("v0").await;
    assert!(!a.cache.health().await.is_degraded());
    drop(replica);
    eventually("nothing is trusted", || async {
        a.get().await.detail() == "store-error"
    })
    .await;
    let health = a.cache.health().await;
    assert!(health.is_degraded());
    let store = health.store.unwrap();
    assert!(store.round_trip.is_some(), "it answers");
    let reason = store.reason.unwrap_or_default();
    assert!(reason.contains("replicas"), "{reason}");
}

#[tokio::test]
#[allow(clippy::disallowed_methods, reason = "a bound in real time, generous")]
async fn a_hit_in_redis_waits_for_no_replica() {
    let redis = Redis::start();
    let replica = replica_of(&redis, &[]).await;
    let site = Site::new();
    let builder = Cache::builder().redis(redis.url());
    let builder = builder.lease(minutes(1)).operation_timeout(PATIENT * 4);
    let a = site.with(builder.build().unwrap());
    eventually("a hit", || async {
        a.get().await;
        a.cache.idle().await;
        a.get().await.hit()
    })
    .await;
    replica.stop();
    let waits = || {
        let info: String = redis.command(&["INFO", "clients"]);
        info.contains("blocked_clients:1")
    };
    let cache = a.cache.clone();
    let told = tokio::spawn(async move { cache.invalidate(tag("item:2")).await });
    eventually("it waits for the replica", || async { waits() }).await;
    let start = std::time::Instant::now();
    assert!(a.get().await.hit());
    assert!(
        start.elapsed() < PATIENT,
        "the replica is waited for twice as long"
    );
    told.abort();
    replica.resume();
}

#[tokio::test]
async fn a_primary_that_minds_its_replicas_itself_is_asked_once() {
    let redis = Redis::start_with(&[
        "--min-replicas-to-write",
        "1",
        "--min-replicas-max-lag",
        "1",
    ]);
    let replica = replica_of(&redis, &[]).await;
    let site = Site::new();
    let a = process(&site, &redis, |builder| builder);
    eventually("memory holds it", || async {
        a.get().await.detail() == "memory"
    })
    .await;
    assert_eq!(redis.calls("wait"), 0);
    drop(replica);
    eventually("nothing is trusted", || async {
        a.get().await.detail() == "store-error"
    })
    .await;
}

#[tokio::test]
async fn a_clock_that_another_has_stood_for_does_not_go_on() {
    for more in [
        |builder: CacheBuilder| builder,
        |builder: CacheBuilder| builder.on_failover(Failover::Merge),
    ] {
        let redis = Redis::start();
        let site = Site::new();
        let (a, idle) = (process(&site, &redis, more), process(&site, &redis, more));
        let epoch = || redis.command::<String>(&["HGET", "api:!{clock}", "epoch"]);
        a.holds("v0").await;
        assert_eq!(get(&idle.app, "/items/2").await.text(), "v0");
        idle.cache.idle().await;
        let first = epoch();
        redis.command::<()>(&["SWAPDB", "0", "1"]); // or another server, at the same address
        eventually("what it stored is not there", || async {
            a.get().await;
            a.cache.idle().await;
            !redis.entries().is_empty()
        })
        .await;
        site.write();
        a.cache.invalidate("api:items:*").await.unwrap();
        redis.command::<()>(&["SWAPDB", "0", "1"]);
        eventually("it is over", || async {
            assert_eq!(a.get().await.text(), "v1");
            epoch() != first
        })
        .await;
        for process in [&a, &idle] {
            assert_eq!(get(&process.app, "/items/2").await.text(), "v1");
        }
    }
}
