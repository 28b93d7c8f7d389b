//! What Redis tells without being asked: that everything has gone, and with
//! `track_entries` that an entry was changed by other hands.

#[path = "support/cluster.rs"]
#[allow(dead_code, reason = "other tests do more with it")]
mod cluster;
mod support;

use cluster::Cluster;
use larder::{Cache, CacheBuilder, MIB, seconds};
use support::processes::{Process, Site};
use support::redis_server::Redis;
use support::{PATIENT, eventually};

/// A process whose next beat is far away.
async fn process(site: &Site, redis: &Redis, more: fn(CacheBuilder) -> CacheBuilder) -> Process {
    process_at(site, redis.url(), more).await
}

async fn process_at(site: &Site, url: String, more: fn(CacheBuilder) -> CacheBuilder) -> Process {
    let builder = Cache::builder().memory(16 * MIB).redis(url);
    let builder = builder.lease(seconds(60)).operation_timeout(PATIENT);
    let process = site.with(more(builder).build().unwrap());
    process.get().await;
    let listens = || async {
        process
            .cache
            .health()
            .await
            .store
            .is_some_and(|s| s.listening)
    };
    eventually("it listens", listens).await;
    process.cache.idle().await;
    eventually("memory holds it", || async {
        process.get().await.detail() == "memory"
    })
    .await;
    process
}

#[tokio::test]
async fn flushall_is_heard_at_once() {
    for command in ["FLUSHALL", "FLUSHDB"] {
        let (redis, site) = (Redis::start(), Site::new());
        let process = process(&site, &redis, |builder| builder).await;
        site.write();
        redis.command::<()>(&[command]);
        eventually("memory is not served any more", || async {
            process.get().await.text() == "v1"
        })
        .await;
    }
}

/// Each primary tells of itself: that the entries are on, and that the clock is on.
#[tokio::test]
async fn flushall_of_one_primary_is_heard_at_once() {
    for clock in [false, true] {
        let (cluster, site) = (Cluster::start(3, false).await, Site::new());
        let process = process_at(&site, cluster.url(), |builder| builder).await;
        site.write();
        let mut entries = cluster.nodes.iter().flat_map(Redis::entries);
        let (entry, clock_at) = (entries.next().unwrap(), cluster.primary_of("api:!{clock}"));
        let at = match clock {
            true => clock_at,
            false => cluster.primary_of(&entry),
        };
        cluster.nodes[at].command::<()>(&["FLUSHALL"]);
        eventually("memory is not served any more", || async {
            process.get().await.text() == "v1"
        })
        .await;
    }
}

#[tokio::test]
async fn a_foreign_del_is_heard_where_entries_are_tracked() {
    for command in ["DEL", "UNLINK"] {
        let (redis, site) = (Redis::start(), Site::new());
        let process = process(&site, &redis, |builder| builder.track_entries(true)).await;
        site.write();
        let name = redis.entries().remove(0);
        redis.command::<u64>(&[command, &name]);
        eventually("memory is not served any more", || async {
            process.get().await.text() == "v1"
        })
        .await;
    }
}

#[tokio::test]
async fn a_foreign_del_is_not_heard_elsewhere() {
    let (redis, site) = (Redis::start(), Site::new());
    let process = process(&site, &redis, |builder| builder).await;
    let name = redis.entries().remove(0);
    redis.command::<u64>(&["DEL", &name]);
    site.write();
    redis.command::<()>(&["PUBLISH", "api:!clock", "nothing that can be read"]);
    assert_eq!(process.get().await.detail(), "memory");
}

#[tokio::test]
async fn what_was_changed_while_nobody_listened_is_not_served() {
    let (redis, site) = (Redis::start(), Site::new());
    let process = process(&site, &redis, |builder| builder.track_entries(true)).await;
    site.write();
    let name = redis.entries().remove(0);
    // the link is cut first, so that nobody tells
    redis.command::<u64>(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    redis.command::<u64>(&["DEL", &name]);
    eventually("memory is not served any more", || async {
        process.get().await.text() == "v1"
    })
    .await;
}
