//! What Redis tells without being asked: that everything has gone, and with
//! `track_entries` that an entry was changed by other hands.

#[path = "support/cluster.rs"]
#[allow(dead_code, reason = "other tests do more with it")]
mod cluster;
#[path = "support/proxy.rs"]
#[allow(dead_code, reason = "other tests do more with it")]
mod proxy;
#[path = "support/resp.rs"]
#[allow(dead_code, reason = "other tests do more with it")]
mod resp;
mod support;

use cluster::Cluster;
use larder::{Cache, CacheBuilder, MIB, seconds, tag};
use proxy::{Proxy, Pushes};
use support::log::Log;
use support::processes::{Process, Site};
use support::redis_server::Redis;
use support::{PATIENT, SHORT, eventually};

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

/// Where nobody tells of other hands, memory is not trusted.
#[tokio::test]
async fn without_tracking_memory_is_left_alone_where_entries_are_to_be_tracked() {
    let (redis, site) = (Redis::start(), Site::new());
    let user = ["on", ">pw", "~*", "&*", "+@all", "-client"];
    redis.command::<()>(&[&["ACL", "SETUSER", "app"], &user[..]].concat());
    let url = redis.url().replace("redis://", "redis://app:pw@");
    let builder = Cache::builder()
        .memory(16 * MIB)
        .redis(url)
        .track_entries(true);
    let builder = builder.lease(seconds(60)).operation_timeout(PATIENT);
    let log = Log::everybodys();
    let process = site.with(builder.build().unwrap());
    process.get().await;
    eventually("it listens", || async {
        let health = process.cache.health().await;
        health.store.is_some_and(|store| store.listening)
    })
    .await;
    for n in 0..3 {
        process.cache.idle().await;
        let reply = process.get().await;
        assert_eq!((reply.text(), reply.detail()), (&*format!("v{n}"), "redis"));
        site.write();
        redis.command::<u64>(&["DEL", &redis.entries()[0]]);
        assert_eq!(process.get().await.text(), format!("v{}", n + 1));
    }
    let lines = log.lines(&["WARN", "track_entries", "permission"]);
    assert_eq!(lines.len(), 1, "{log:?}");
}

/// Nor by a link that has died without a word: each beat is heard on one that lives.
#[tokio::test]
async fn a_link_that_tells_of_no_beat_is_opened_anew() {
    let (redis, site) = (Redis::start(), Site::new());
    let proxy = Proxy::start(redis.port());
    let builder = Cache::builder()
        .memory(16 * MIB)
        .redis(proxy.url())
        .track_entries(true);
    let process = site.with(builder.lease(SHORT * 3).build().unwrap());
    eventually("memory holds it", || async {
        process.get().await.detail() == "memory"
    })
    .await;
    proxy.set(|rules| rules.pushes = Pushes::Lose);
    let opened = redis.calls("subscribe");
    site.write();
    redis.command::<u64>(&["DEL", &redis.entries()[0]]);
    eventually("another link", || async {
        process.get().await;
        redis.calls("subscribe") > opened
    })
    .await;
    eventually("memory is not served any more", || async {
        process.get().await.text() == "v1"
    })
    .await;
}

/// How often a process has beaten.
async fn beats(process: &Process) -> u64 {
    let health = process.cache.health().await;
    let own = health.instances.iter().find(|instance| instance.this);
    own.map_or(0, |instance| instance.beats)
}

#[tokio::test]
async fn that_another_database_was_emptied_leaves_memory_as_it_is() {
    let (redis, site) = (Redis::start(), Site::new());
    let process = process(&site, &redis, |builder| builder).await;
    let before = beats(&process).await;
    let other = redis::Client::open(format!("{}/7", redis.url())).unwrap();
    let mut other = other.get_connection().unwrap();
    redis::cmd("FLUSHDB").exec(&mut other).unwrap();
    eventually("it has heard of it, and asked", || async {
        beats(&process).await > before
    })
    .await;
    assert_eq!(process.get().await.detail(), "memory");
}

#[tokio::test]
async fn what_is_invalidated_in_another_database_is_asked_after_once() {
    let (redis, site) = (Redis::start(), Site::new());
    let process = process(&site, &redis, |builder| builder).await;
    let url = format!("{}/7", redis.url());
    let other = process_at(&site, url, |builder| builder.lease(SHORT)).await;
    let before = beats(&process).await;
    other.cache.invalidate(tag("-")).await.unwrap();
    eventually("it has asked whether that is its clock", || async {
        beats(&process).await > before
    })
    .await;
    let before = beats(&process).await;
    for _ in 0..50 {
        other.cache.invalidate(tag("-")).await.unwrap();
    }
    process.cache.set_enabled_everywhere(true).await.unwrap();
    eventually("it has heard that after all of them", || async {
        beats(&process).await > before
    })
    .await;
    let asked = beats(&process).await - before;
    assert!(asked < 10, "{asked}");
}
