//! Instances that share a Redis count together.

use std::sync::Arc;
use std::time::Duration;

use axum::{Router, routing::get as on_get};
use larder::testing::ManualClock;
use larder::{Cache, MIB, Policy, Recent, endpoint, hours, minutes, seconds, testing};

use crate::support::redis_server::Redis;
use crate::support::{PATIENT, SHORT, get};

struct Instance {
    cache: Cache,
    clock: ManualClock,
    app: Router,
}

fn instance(redis: &Redis) -> Instance {
    let clock = ManualClock::new();
    let cache = Cache::builder()
        .redis(redis.url())
        .memory(MIB)
        .lease(SHORT)
        .operation_timeout(PATIENT)
        .clock(Arc::new(clock.clone()))
        .build()
        .unwrap();
    let policy = Policy::ttl(hours(2)).cost(0.25);
    let handler = on_get(|| async { "ok" });
    let app = Router::new().route("/scene/{n}", handler.layer(cache.layer(policy)));
    Instance { cache, clock, app }
}

impl Instance {
    async fn ask(&self, keys: std::ops::Range<usize>) {
        for n in keys {
            get(&self.app, &format!("/scene/{n}")).await;
        }
        self.cache.idle().await;
    }

    async fn recent(&self) -> Recent {
        let recent = self.cache.recent().await;
        assert!(recent.shared);
        recent
    }
}

#[tokio::test]
async fn the_counts_of_all_instances_are_one() {
    let redis = Redis::start();
    let (a, b) = (instance(&redis), instance(&redis));
    a.ask(0..10).await;
    b.ask(0..15).await;
    b.ask(0..15).await;
    a.cache.recent().await; // what it has told, everybody may know
    let recent = b.recent().await;
    for window in [recent.minute, recent.hour, recent.day] {
        assert_eq!((window.misses, window.hits), (15, 25));
        assert_eq!((window.requests(), window.stores), (40, 15));
        assert!((window.hit_rate() - 0.625).abs() < 1e-9);
        assert!((window.cost_spent - 15.0 * 0.25).abs() < 1e-9);
        assert!((window.cost_saved - 25.0 * 0.25).abs() < 1e-9);
    }
    assert_eq!(recent.by_hour.len(), 24);
    assert_eq!(recent.by_hour[23].totals, recent.day);
    assert_eq!(recent.by_day[30].totals.requests(), 40);
    assert_eq!(recent.entries, 15);
    let latency = &a.cache.stats().latency;
    assert_eq!(
        (latency.redis.count, latency.fill.count),
        (10, 10),
        "each miss asks once"
    );
}

#[tokio::test]
async fn windows_roll_and_outlive_their_instance() {
    let redis = Redis::start();
    let dead = instance(&redis);
    dead.ask(0..3).await;
    dead.cache.shutdown().await;
    drop(dead);
    let next = instance(&redis);
    assert_eq!(next.recent().await.day.misses, 3);
    next.clock.advance(minutes(2));
    let recent = next.recent().await;
    assert_eq!((recent.minute.misses, recent.hour.misses), (0, 3));
    next.clock.advance(hours(23));
    let recent = next.recent().await;
    assert_eq!((recent.hour.misses, recent.day.misses), (0, 3));
    next.clock.advance(hours(1));
    assert_eq!(next.recent().await.day.misses, 0);
}

#[tokio::test]
async fn the_entries_fall_on_removal_and_expiry() {
    let redis = Redis::start();
    let instance = instance(&redis);
    instance.ask(0..20).await;
    assert_eq!(instance.recent().await.entries, 20);
    instance.clock.advance(hours(1));
    instance.ask(20..30).await;
    assert_eq!(instance.recent().await.entries, 30);
    let key = redis.entries().remove(0);
    instance.cache.invalidate(larder::key(key)).await.unwrap();
    assert_eq!(instance.recent().await.entries, 29);
    instance.ask(0..30).await; // one is made anew
    assert_eq!(instance.recent().await.entries, 30);
    instance.cache.invalidate(endpoint("scene")).await.unwrap();
    assert_eq!(instance.recent().await.entries, 0);
    instance.ask(0..5).await;
    assert_eq!(instance.recent().await.entries, 5);
    instance.clock.advance(hours(3));
    assert_eq!(instance.recent().await.entries, 0, "they have expired");
}

#[tokio::test]
async fn an_outage_delays_counts_and_loses_none() {
    let redis = Redis::start();
    let (a, b) = (instance(&redis), instance(&redis));
    a.ask(0..4).await;
    a.cache.recent().await;
    a.ask(0..4).await; // from memory
    redis.stop();
    let slow = tokio::time::timeout(Duration::from_millis(50), a.cache.recent());
    assert!(slow.await.is_err(), "nobody answers");
    redis.resume(); // it hears now what it was told, and nobody knows that
    a.ask(0..4).await;
    a.recent().await;
    assert_eq!(b.recent().await.day.requests(), 12);
}

#[tokio::test]
async fn who_serves_nothing_tells_nothing() {
    let redis = Redis::start();
    let instance = instance(&redis);
    instance.ask(0..1).await;
    instance.cache.shutdown().await;
    let teller = redis.command::<Vec<String>>(&["KEYS", "api:!{stats}:by:*"]);
    let batches = || redis.command::<u64>(&["GET", &teller[0]]);
    let before = batches();
    instance.recent().await;
    instance.recent().await;
    assert_eq!(batches(), before);
}

#[tokio::test]
async fn without_redis_the_process_counts_alone() {
    let (cache, clock) = testing::cache();
    let app = Router::new().route("/a", on_get(|| async { "ok" }).layer(cache.ttl(seconds(9))));
    get(&app, "/a").await;
    get(&app, "/a").await;
    let recent = cache.recent().await;
    assert!(!recent.shared);
    assert_eq!(
        (recent.minute.hits, recent.minute.misses, recent.entries),
        (1, 1, 1)
    );
    clock.advance(hours(1));
    get(&app, "/a").await;
    let recent = cache.recent().await;
    assert_eq!((recent.hour.misses, recent.day.misses), (1, 2));
}
