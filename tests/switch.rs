//! The switch: off in one process, and off in all that share a Redis.

mod support;

use larder::{Bypass, Cache, MIB, Outcome, tag};
use support::processes::{Process, Site};
use support::redis_server::Redis;
use support::{PATIENT, SHORT, eventually};

/// One that has time for Redis, on a machine that is busy.
fn process(site: &Site, redis: &Redis) -> Process {
    let builder = Cache::builder().memory(16 * MIB).redis(redis.url());
    let builder = builder.lease(SHORT * 3).operation_timeout(PATIENT);
    site.with(builder.build().unwrap())
}

async fn is_off(process: &Process) -> bool {
    let disabled = Bypass::Disabled;
    matches!(process.get().await.outcome, Outcome::Bypass { reason, .. } if reason == disabled)
}

#[tokio::test]
async fn what_is_switched_off_everywhere_is_off_in_every_process_and_on_again() {
    let redis = Redis::start();
    let site = Site::new();
    let (a, b) = (process(&site, &redis), process(&site, &redis));
    a.get().await;
    b.get().await;
    a.cache.set_enabled_everywhere(false).await.unwrap();
    assert!(is_off(&a).await, "at once");
    eventually("the other hears of it", || is_off(&b)).await;
    b.cache.set_enabled_everywhere(true).await.unwrap();
    assert!(!is_off(&b).await);
    eventually("the other hears of it", || async { !is_off(&a).await }).await;
}

#[tokio::test]
async fn a_process_that_starts_later_is_off_from_its_first_request_on() {
    let redis = Redis::start();
    let site = Site::new();
    let a = process(&site, &redis);
    a.get().await;
    a.cache.set_enabled_everywhere(false).await.unwrap();
    a.cache.shutdown().await;
    let later = process(&site, &redis);
    assert!(is_off(&later).await);
}

#[tokio::test]
async fn a_restart_of_redis_does_not_switch_it_on() {
    let mut redis = Redis::start_durable();
    let site = Site::new();
    let a = process(&site, &redis);
    a.get().await;
    a.cache.set_enabled_everywhere(false).await.unwrap();
    redis.kill();
    redis.restart();
    let later = process(&site, &redis);
    assert!(is_off(&later).await, "a new epoch keeps the switch");
}

/// As where a Redis that is full forces a process to give the clock up, or evicts it.
#[tokio::test]
async fn a_clock_that_is_lost_does_not_switch_it_on() {
    let redis = Redis::start();
    let site = Site::new();
    let a = process(&site, &redis);
    a.get().await;
    a.cache.set_enabled_everywhere(false).await.unwrap();
    assert_eq!(
        redis.command::<u64>(&["UNLINK", "api:!{clock}", "api:!{clock}:scopes"]),
        1
    );
    a.cache.invalidate(tag("item:1")).await.unwrap(); // begins another
    let later = process(&site, &redis);
    assert!(is_off(&later).await);
    later.cache.set_enabled_everywhere(true).await.unwrap();
    assert!(!is_off(&later).await);
}

/// A Redis that evicts what is used least would evict the switch first.
#[tokio::test]
async fn the_switch_is_used_as_often_as_somebody_beats() {
    let policy = ["--maxmemory-policy", "allkeys-lfu", "--lfu-log-factor", "0"];
    let redis = Redis::start_with(&policy);
    let a = process(&Site::new(), &redis);
    a.get().await;
    a.cache.set_enabled_everywhere(false).await.unwrap();
    let used = || redis.command::<u64>(&["OBJECT", "FREQ", "api:!{clock}:off"]);
    let before = used();
    eventually("beats use it", || async {
        assert!(is_off(&a).await);
        used() > before + 3
    })
    .await;
}

#[tokio::test]
async fn a_cache_that_is_off_everywhere_performs_invalidations() {
    let redis = Redis::start();
    let site = Site::new();
    let (a, b) = (process(&site, &redis), process(&site, &redis));
    b.get().await;
    a.cache.set_enabled_everywhere(false).await.unwrap();
    site.write();
    a.cache.invalidate(tag("item:1")).await.unwrap();
    b.cache.set_enabled_everywhere(true).await.unwrap();
    assert_eq!(b.get().await.text(), "v1");
}

#[tokio::test]
async fn a_process_can_be_off_alone() {
    let redis = Redis::start();
    let site = Site::new();
    let (a, b) = (process(&site, &redis), process(&site, &redis));
    a.cache.set_enabled(false);
    assert!(is_off(&a).await && !is_off(&b).await);
    a.cache.set_enabled_everywhere(true).await.unwrap();
    assert!(!is_off(&a).await);
}

#[tokio::test]
async fn who_cannot_tell_the_others_switches_nobody() {
    let mut redis = Redis::start();
    let site = Site::new();
    let a = process(&site, &redis);
    a.get().await;
    redis.kill();
    assert!(a.cache.set_enabled_everywhere(false).await.is_err());
    assert!(a.cache.is_enabled());
}
