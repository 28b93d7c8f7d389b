//! Several processes with memory on one Redis: what one of them invalidates is
//! served by none of them. Two caches stand for two processes.

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use larder::{Cache, Fault, MIB, Outage, Outcome, Selector, endpoint, everything, key, tag, uri};
use support::processes::{Site, rows};
use support::redis_server::Redis;
use support::{SHORT, eventually, get};
use tokio::sync::Semaphore;

#[tokio::test]
async fn what_one_process_invalidates_no_other_serves() {
    let redis = Redis::start();
    let site = Site::new();
    let (a, b) = (site.process(&redis), site.process(&redis));
    a.holds("v0").await;
    let name = redis.entries().remove(0);
    let selectors: [Selector; 6] = [
        tag("item:1"),
        endpoint("items"),
        uri("/items/1"),
        key(name),
        "api:it*".into(),
        everything(),
    ];
    for (n, selector) in selectors.into_iter().enumerate() {
        b.holds(&format!("v{n}")).await;
        a.holds(&format!("v{n}")).await;
        site.write();
        let done = a.cache.invalidate(&selector).await.unwrap();
        assert_eq!(done.confirmed, 1, "{selector:?}");
        let fresh = b.get().await;
        assert_eq!(
            fresh.text(),
            format!("v{}", n + 1),
            "{selector:?} {}",
            fresh.cache_status()
        );
        assert!(!fresh.hit());
    }
}

#[tokio::test]
async fn what_is_not_invalidated_stays_in_every_memory() {
    let redis = Redis::start();
    let site = Site::new();
    let (a, b) = (site.process(&redis), site.process(&redis));
    a.holds("v0").await;
    b.holds("v0").await;
    for selector in [tag("item:2"), endpoint("others"), uri("/items/2")] {
        a.cache.invalidate(selector).await.unwrap();
    }
    for process in [&a, &b] {
        assert_eq!(process.get().await.detail(), "memory");
    }
}

#[tokio::test]
async fn a_fill_that_another_process_overtakes_is_served_to_nobody_later() {
    let redis = Redis::start();
    let mut site = Site::new();
    let gate = Arc::new(Semaphore::new(0));
    site.gate = Some(Arc::clone(&gate));
    let (a, b) = (site.process(&redis), site.process(&redis));
    let app = a.app.clone();
    let late = tokio::spawn(async move { get(&app, "/items/1").await });
    eventually("it is being filled", || async { site.runs() == 1 }).await;
    site.write();
    b.cache.invalidate(tag("item:1")).await.unwrap();
    gate.add_permits(100);
    assert_eq!(late.await.unwrap().text(), "v0", "it asked before");
    a.cache.idle().await;
    for process in [&b, &a] {
        assert_eq!(process.get().await.text(), "v1");
        process.cache.idle().await;
    }
}

#[tokio::test]
async fn a_process_that_is_gone_is_waited_for_and_not_for_ever() {
    let redis = Redis::start();
    let site = Site::new();
    let a = site.process(&redis);
    a.holds("v0").await;
    let (other, url) = (site.clone(), redis.url());
    // its runtime goes, and it says no word
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let builder = Cache::builder().memory(16 * MIB).redis(url).lease(SHORT);
        let process = other.with(builder.build().unwrap());
        runtime.block_on(process.holds("v0"));
        std::mem::forget(process);
        runtime.shutdown_background();
    })
    .join()
    .unwrap();
    assert_eq!(rows(&redis), 2);
    site.write();
    let done = a.cache.invalidate(tag("item:1")).await.unwrap();
    assert_eq!(done.confirmed, 0);
    a.cache.idle().await;
    assert_eq!(a.get().await.text(), "v1"); // its own row may have gone with its lease
    assert_eq!(rows(&redis), 1, "nobody waits for it again");
}

#[tokio::test]
async fn a_fill_from_before_an_invalidation_is_not_waited_for() {
    let redis = Redis::start();
    let mut site = Site::new();
    let gate = Arc::new(Semaphore::new(0));
    site.gate = Some(Arc::clone(&gate));
    let (a, mut b) = (site.process(&redis), site.process(&redis));
    let app = a.app.clone();
    let late = tokio::spawn(async move { get(&app, "/items/1").await });
    eventually("it is being filled", || async { site.runs() == 1 }).await;
    site.gate = None;
    b.app = site.with(b.cache.clone()).app;
    site.write();
    a.cache.invalidate(tag("item:1")).await.unwrap();
    let reply = b.get().await; // though the other one is at it still
    assert_eq!((reply.text(), site.runs()), ("v1", 2));
    b.cache.idle().await;
    gate.add_permits(1);
    assert_eq!(late.await.unwrap().text(), "v0", "it asked before");
    a.cache.idle().await;
    assert_eq!(b.get().await.text(), "v1");
}

#[tokio::test]
async fn who_does_not_hear_of_it_sees_it_at_the_next_beat() {
    let redis = Redis::start();
    let site = Site::new();
    let (a, b) = (site.process(&redis), site.process(&redis));
    a.holds("v0").await;
    b.holds("v0").await;
    for n in 1..=3 {
        redis.command::<u64>(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        site.write();
        a.cache.invalidate(tag("item:1")).await.unwrap();
        let fresh = b.get().await;
        assert_eq!(fresh.text(), format!("v{n}"));
        b.cache.idle().await;
    }
}

#[tokio::test]
async fn what_redis_has_lost_nobody_serves() {
    let redis = Redis::start();
    let site = Site::new();
    let (a, b) = (site.process(&redis), site.process(&redis));
    for lose in [&["FLUSHALL"][..], &["DEL", "api:!{clock}"]] {
        a.holds(&format!("v{}", site.version.load(Ordering::SeqCst)))
            .await;
        b.get().await;
        site.write();
        redis.command::<redis::Value>(lose);
        let version = site.version.load(Ordering::SeqCst);
        for process in [&a, &b] {
            eventually("it is looked at anew", || async {
                process.get().await.text() == format!("v{version}")
            })
            .await;
        }
        a.cache.idle().await;
        b.cache.idle().await;
    }
}

#[tokio::test]
async fn scopes_that_are_lost_make_another_clock() {
    let redis = Redis::start();
    let site = Site::new();
    let a = site.process(&redis);
    a.holds("v0").await;
    a.cache.invalidate(tag("item:2")).await.unwrap();
    let epoch = || redis.command::<String>(&["HGET", "api:!{clock}", "epoch"]);
    let before = epoch();
    redis.command::<u64>(&["DEL", "api:!{clock}:scopes"]);
    a.cache.invalidate(tag("item:3")).await.unwrap();
    assert_ne!(epoch(), before);
}

#[tokio::test]
async fn a_restarted_redis_serves_nothing_old() {
    let mut redis = Redis::start_durable();
    let site = Site::new();
    let a = site.process(&redis);
    a.holds("v0").await;
    site.write();
    redis.kill();
    redis.restart();
    eventually("it asks again", || async { a.get().await.text() == "v1" }).await;
}

#[tokio::test]
async fn without_redis_memory_is_not_trusted_and_then_it_is_again() {
    let redis = Redis::start();
    let site = Site::new();
    let (a, b) = (site.process(&redis), site.process(&redis));
    a.holds("v0").await;
    b.holds("v0").await;
    redis.stop();
    eventually("the lease has ended", || async {
        a.get().await.detail() == "store-error"
    })
    .await;
    site.write();
    assert_eq!(a.get().await.text(), "v1", "every request asks");
    redis.resume();
    eventually("it holds again", || async { a.get().await.hit() }).await;
}

#[tokio::test]
async fn a_process_without_requests_is_silent() {
    let redis = Redis::start();
    let site = Site::new();
    let (a, b) = (site.process(&redis), site.process(&redis));
    a.holds("v0").await;
    b.holds("v0").await;
    assert_eq!(rows(&redis), 2);
    let listeners = || {
        let (_, n): (String, u64) = redis.command(&["PUBSUB", "NUMSUB", "api:!clock"]);
        n
    };
    eventually("both are silent", || async { rows(&redis) == 0 }).await;
    assert_eq!(listeners(), 2, "what is erased is to leave their memory");
    site.write();
    let done = a.cache.invalidate(tag("item:1")).await.unwrap();
    assert_eq!(done.confirmed, 0, "nobody had to");
    let fresh = b.get().await;
    assert_eq!(fresh.text(), "v1", "it looks first");
    b.cache.shutdown().await;
    assert_eq!(rows(&redis), 0);
    eventually("both are idle again", || async { rows(&redis) == 0 }).await;
    for (process, left) in [(&b, 1), (&a, 0)] {
        process.cache.shutdown().await; // an idle one too
        eventually("it listens no more", || async { listeners() == left }).await;
    }
}

#[tokio::test]
async fn an_invalidation_is_one_command_and_its_rows() {
    let redis = Redis::start();
    let site = Site::new();
    let a = site.process(&redis);
    a.holds("v0").await;
    a.cache.invalidate(tag("item:9")).await.unwrap(); // a young clock, and scripts
    let before = redis.calls("publish");
    a.cache.invalidate(tag("item:1")).await.unwrap();
    assert_eq!(redis.calls("publish") - before, 1);
    let reply = a.get().await;
    assert!(matches!(reply.outcome, Outcome::Miss { .. }));
}

#[tokio::test]
async fn what_redis_could_not_be_told_it_is_told_later() {
    let redis = Redis::start();
    let site = Site::new();
    let (a, b) = (site.process(&redis), site.process(&redis));
    a.holds("v0").await;
    b.holds("v0").await;
    redis.stop();
    site.write();
    let kept = a.cache.invalidate(tag("item:1")).await.unwrap_err();
    assert_eq!(kept.kind(), larder::InvalidateErrorKind::Queued);
    assert_eq!(a.get().await.text(), "v1", "this process honours it");
    redis.resume();
    eventually("the others are told", || async {
        a.get().await; // it beats while requests come
        b.get().await.text() == "v1"
    })
    .await;
}

#[tokio::test]
async fn on_an_outage_memory_is_served_for_so_long_where_that_is_wanted() {
    let redis = Redis::start();
    let site = Site::new();
    let builder = Cache::builder().memory(16 * MIB).redis(redis.url());
    let builder = builder.lease(SHORT).on_outage(Outage::Serve(SHORT * 10));
    let a = site.with(builder.build().unwrap());
    a.holds("v0").await;
    redis.stop();
    eventually("it says so", || async {
        a.get().await.detail() == "outage"
    })
    .await;
    let own = get(&a.app, "/items/2").await;
    assert_eq!(own.text(), "v0");
    a.cache.idle().await;
    assert!(get(&a.app, "/items/2").await.hit(), "it is filled too");
    eventually("not for ever", || async {
        a.get().await.detail() == "store-error"
    })
    .await;
    redis.resume();
    eventually("as before", || async { a.get().await.detail() == "memory" }).await;
}

/// What they hold is nothing, so there is nothing that they must know.
#[tokio::test]
async fn who_only_invalidates_reads_no_whole_clock() {
    let redis = Redis::start();
    let site = Site::new();
    let (a, b) = (site.process(&redis), site.process(&redis));
    for n in 0..5 {
        a.cache.invalidate(tag(format!("item:{n}"))).await.unwrap();
        b.cache.invalidate(tag(format!("item:{n}"))).await.unwrap();
    }
    assert_eq!(redis.calls("zrange"), 0, "of all scopes");
    // who begins to serve knows all of it
    site.write();
    a.holds("v1").await;
    site.write();
    b.cache.invalidate(tag("item:1")).await.unwrap();
    assert_eq!(a.get().await.text(), "v2");
}

/// What is older than that is a miss everywhere: somebody should know why.
#[tokio::test]
async fn a_clock_that_has_forgotten_says_so() {
    let redis = Redis::start();
    let site = Site::new();
    let (a, b) = (site.process(&redis), site.process(&redis));
    a.holds("v0").await;
    for n in 0..300 {
        let pattern = format!("api:other{n}:*");
        b.cache.invalidate(pattern).await.unwrap();
    }
    eventually("it is told", || async {
        a.get().await;
        let forgotten = |cache: &Cache| cache.stats().faults.get(Fault::Forgotten);
        forgotten(&a.cache) > 0
    })
    .await;
}

/// Nobody invalidates anything meanwhile.
#[tokio::test]
async fn rows_of_processes_that_are_gone_go_and_those_of_the_living_stay() {
    let redis = Redis::start();
    let site = Site::new();
    let process = || {
        let builder = Cache::builder().memory(16 * MIB).redis(redis.url());
        site.with(builder.lease(Duration::from_millis(30)).build().unwrap())
    };
    let (a, b) = (process(), process());
    a.get().await;
    b.get().await;
    // some process has a lease that is longer than all beats between two looks
    redis.command::<u64>(&["HSET", "api:!{clock}", "lease", "2000"]);
    let epoch: String = redis.command(&["HGET", "api:!{clock}", "epoch"]);
    for n in 0..20 {
        let (field, row) = (format!("@{n:032x}"), format!("{epoch} 0 {n}"));
        redis.command::<u64>(&["HSET", "api:!{clock}", &field, &row]);
    }
    eventually("they have gone", || async {
        a.get().await;
        b.get().await;
        rows(&redis) <= 2
    })
    .await;
    assert_eq!(a.cache.health().await.instances.len(), 2);
}
