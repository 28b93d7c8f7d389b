//! The clock that processes share, where it is hard on it: a full Redis, users who
//! may not ask, leases of several lengths, many patterns, news that are missing.

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::http::Method;
use axum::routing::post;
use futures_util::FutureExt;
use larder::{Cache, InvalidateErrorKind, MIB, Policy, tag};
use support::processes::{Process, Site, rows};
use support::redis_server::Redis;
use support::{PATIENT, SHORT, eventually, get, request};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tower::ServiceExt;

fn process(site: &Site, url: String, lease: Duration) -> Process {
    let builder = Cache::builder().memory(16 * MIB).redis(url).lease(lease);
    site.with(builder.build().unwrap())
}

fn young(redis: &Redis) -> bool {
    redis.command(&["HEXISTS", "api:!{clock}", "young"])
}

/// A runtime that goes on only while it is asked.
fn slow_runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

#[tokio::test]
async fn a_full_redis_does_not_switch_the_cache_off() {
    let redis = Redis::start();
    let site = Site::new();
    let a = process(&site, redis.url(), SHORT);
    a.holds("v0").await;
    redis.command::<()>(&["CONFIG", "SET", "maxmemory", "1mb"]); // full from now on
    let epoch = || redis.command::<String>(&["HGET", "api:!{clock}", "epoch"]);
    let (before, beats) = (epoch(), redis.calls("evalsha"));
    eventually("it beats on", || async {
        assert!(a.get().await.hit());
        redis.calls("evalsha") > beats + 10
    })
    .await;
    assert_eq!(epoch(), before);
    site.write();
    a.cache.invalidate(tag("item:1")).await.unwrap();
    assert_eq!(a.get().await.text(), "v1");
}

#[tokio::test]
async fn without_info_nothing_is_trusted_and_nothing_fails() {
    let redis = Redis::start();
    let user = ["on", ">pw", "~*", "&*", "+@all", "-@dangerous"];
    redis.command::<()>(&[&["ACL", "SETUSER", "app"], &user[..]].concat());
    let url = redis.url().replace("redis://", "redis://app:pw@");
    let site = Site::new();
    let a = process(&site, url.clone(), SHORT);
    for _ in 0..3 {
        let reply = a.get().await;
        assert_eq!((reply.text(), reply.detail()), ("v0", "store-error"));
    }
    a.cache.invalidate(tag("item:1")).await.unwrap_err();
    redis.command::<()>(&["ACL", "SETUSER", "app", "+info"]);
    eventually("what was kept is told", || async {
        a.cache.health().await.untold == 0
    })
    .await;
    let b = process(&site, url, SHORT);
    b.holds("v0").await;
}

#[test]
fn a_longer_lease_of_another_process_is_waited_for() {
    let redis = Redis::start();
    let site = Site::new();
    let (main, slow) = (Runtime::new().unwrap(), slow_runtime());
    let (a, b) = (
        process(&site, redis.url(), SHORT),
        process(&site, redis.url(), SHORT * 15),
    );
    main.block_on(async {
        a.holds("v0").await;
        eventually("the clock is old", || async {
            a.get().await;
            !young(&redis)
        })
        .await;
    });
    slow.block_on(b.holds("v0")); // and no word from it any more
    site.write();
    let done = main.block_on(a.cache.invalidate(tag("item:1"))).unwrap();
    assert_eq!(done.confirmed, 0);
    assert_eq!(slow.block_on(b.get()).text(), "v1");
}

/// The next clock has not heard of it, and who has does not forget it: neither where the
/// clock is young, nor for calling it old.
#[test]
fn a_longer_lease_is_waited_for_after_its_clock_was_lost() {
    let redis = Redis::start();
    let site = Site::new();
    let (main, slow) = (Runtime::new().unwrap(), slow_runtime());
    let (a, b) = (
        process(&site, redis.url(), SHORT),
        process(&site, redis.url(), SHORT * 15),
    );
    for old in [false, true] {
        let version = site.version.load(Ordering::SeqCst);
        let (before, after) = (format!("v{version}"), format!("v{}", version + 1));
        main.block_on(async {
            a.get().await;
            a.cache.idle().await;
        });
        slow.block_on(b.holds(&before)); // and no word from it any more
        main.block_on(async {
            let known = beats(&redis);
            eventually("a has heard of its lease", || async {
                a.get().await;
                beats(&redis) > known + 1
            })
            .await;
            redis.command::<()>(&["DEL", "api:!{clock}", "api:!{clock}:scopes"]);
            eventually("another clock is old", || async {
                a.get().await;
                !old || (beats(&redis) > 0 && !young(&redis))
            })
            .await;
            site.write();
            a.cache.invalidate(tag("item:1")).await.unwrap();
        });
        assert_eq!(slow.block_on(b.get()).text(), after, "old: {old}");
    }
}

/// Who takes away the row of a process that was silent does not mean the next one.
#[tokio::test]
async fn a_row_that_comes_back_counts_on() {
    let redis = Redis::start();
    let site = Site::new();
    let a = process(&site, redis.url(), SHORT);
    eventually("it has beaten", || async {
        a.get().await;
        beats(&redis) > 3
    })
    .await;
    let known = beats(&redis);
    let fields: Vec<String> = redis.command(&["HKEYS", "api:!{clock}"]);
    for row in fields.iter().filter(|field| field.starts_with('@')) {
        redis.command::<()>(&["HDEL", "api:!{clock}", row]);
    }
    eventually("its row is back", || async {
        a.get().await;
        beats(&redis) > 0
    })
    .await;
    assert!(beats(&redis) > known);
}

/// How often all whose rows there are have told what they have seen.
fn beats(redis: &Redis) -> u64 {
    let rows: Vec<String> = redis.command(&["HGETALL", "api:!{clock}"]);
    let pairs = rows.chunks(2).filter(|pair| pair[0].starts_with('@'));
    let beats = pairs.filter_map(|pair| pair[1].rsplit(' ').next()?.parse::<u64>().ok());
    beats.sum()
}

/// Nobody can wait for Redis there, be it a call or an unsafe request.
#[test]
fn what_is_invalidated_without_a_runtime_is_told_later() {
    let redis = Redis::start();
    let site = Site::new();
    let main = Runtime::new().unwrap();
    let [a, b] = [(); 2].map(|()| process(&site, redis.url(), SHORT * 3));
    let write = || async { "written" };
    let writes = a.cache.layer(Policy::none().invalidates(tag("item:{id}")));
    let writes = Router::new().route("/items/{id}", post(write).layer(writes));
    for by_request in [false, true] {
        let before = format!("v{}", site.version.load(Ordering::SeqCst));
        for process in [&a, &b] {
            main.block_on(process.get());
            main.block_on(process.holds(&before));
        }
        site.write();
        if by_request {
            let request = request(Method::POST, "/items/1", &[]);
            let answer = writes.clone().oneshot(request).now_or_never();
            assert_eq!(answer.expect("at once").unwrap().status(), 200);
        } else {
            let done = a.cache.invalidate(tag("item:1")).now_or_never();
            let error = done.expect("at once").unwrap_err();
            assert_eq!(error.kind(), InvalidateErrorKind::Queued);
        }
        main.block_on(eventually("it is told", || async {
            assert_ne!(a.get().await.text(), before);
            b.get().await.text() != before
        }));
    }
}

#[tokio::test]
async fn a_clock_grows_old_where_nobody_serves() {
    let redis = Redis::start();
    let a = process(&Site::new(), redis.url(), SHORT);
    a.cache.invalidate(tag("item:1")).await.unwrap();
    eventually("nobody has to wait for a lease", || async {
        !young(&redis)
    })
    .await;
    assert_eq!(rows(&redis), 0);
}

#[tokio::test]
async fn one_pattern_too_many_forgets_the_oldest_alone() {
    let redis = Redis::start();
    let site = Site::new();
    let (a, b) = (
        process(&site, redis.url(), SHORT),
        process(&site, redis.url(), SHORT),
    );
    let ban = async |n: usize| {
        let pattern = format!("api:other{n}*");
        a.cache.invalidate(pattern.as_str()).await.unwrap();
    };
    a.get().await;
    for n in 0..256 {
        ban(n).await;
    }
    site.write();
    let young = get(&a.app, "/items/2").await;
    assert_eq!(young.text(), "v1");
    a.cache.idle().await;
    for n in 256..260 {
        ban(n).await;
    }
    let fields: Vec<String> = redis.command(&["HKEYS", "api:!{clock}"]);
    let bans = fields.iter().filter(|field| field.starts_with('=')).count();
    assert!(bans <= 256, "{bans}");
    assert!(
        get(&b.app, "/items/2").await.hit(),
        "it is younger than they"
    );
    assert_eq!(
        b.get().await.text(),
        "v1",
        "what is older may have been meant"
    );
}

/// Who invalidates does not serve what one writes late who was not waited for, though
/// it has missed another one's news.
#[test]
fn an_own_invalidation_behind_a_gap_holds_at_home() {
    let redis = Redis::start();
    let mut site = Site::new();
    let plain = site.clone();
    let gate = Arc::new(Semaphore::new(0));
    site.gate = Some(Arc::clone(&gate));
    let lease = SHORT * 10;
    let (main, slow) = (Runtime::new().unwrap(), slow_runtime());
    let (a, b, c) = (
        process(&plain, redis.url(), lease),
        process(&site, redis.url(), lease),
        process(&plain, redis.url(), lease),
    );
    main.block_on(async {
        a.cache.invalidate(tag("nothing")).await.unwrap(); // its connection is here
        eventually("the clock is old", || async { !young(&redis) }).await;
    });
    let before = site.runs();
    let app = b.app.clone();
    let late = main.spawn(async move { get(&app, "/items/1").await });
    main.block_on(eventually(
        "b has a slow handler, and is silent",
        || async { rows(&redis) == 0 && site.runs() > before },
    ));
    slow.block_on(get(&a.app, "/items/2")); // a's beats come no further from now on
    let text = main.block_on(async {
        let clock = || redis.command::<u64>(&["HGET", "api:!{clock}", "clock"]);
        let (before, other) = (clock(), c.cache.clone());
        tokio::spawn(async move { drop(other.invalidate(tag("other")).await) });
        eventually("a does not hear of it", || async { clock() > before }).await;
        site.write();
        a.cache.invalidate(tag("item:1")).await.unwrap();
        gate.add_permits(100);
        assert_eq!(late.await.unwrap().text(), "v0");
        b.cache.idle().await;
        a.get().await.text().to_owned()
    });
    assert_eq!(text, "v1");
    assert_eq!(site.version.load(Ordering::SeqCst), 1);
}

/// As many URIs as are kept are known already: who writes to others lets the oldest go.
#[tokio::test]
async fn a_flood_of_unsafe_requests_leaves_the_clock_bounded() {
    const MOST: u64 = 65_536;
    let redis = Redis::start();
    let a = process(&Site::new(), redis.url(), SHORT);
    a.cache.invalidate(tag("item:9")).await.unwrap();
    let flood = "local n = redis.call('ZCARD', KEYS[2])
        for at = n, tonumber(ARGV[1]) - 1 do redis.call('ZADD', KEYS[2], at, string.format('%016d', at)) end
        redis.call('HSET', KEYS[1], 'count', ARGV[1], 'clock', ARGV[1])";
    let (hash, scopes, most) = ("api:!{clock}", "api:!{clock}:scopes", MOST.to_string());
    redis.command::<()>(&["EVAL", flood, "2", hash, scopes, &most]);
    let kept = || redis.command::<u64>(&["ZCARD", scopes]);
    for n in 0..20 {
        let uri = larder::uri(format!("/written/{n}"));
        let _ = a.cache.invalidate(uri).await;
        assert!(kept() <= MOST, "{}", kept());
    }
    assert!(kept() < MOST, "the oldest quarter has gone");
    let fields: u64 = redis.command(&["HLEN", hash]);
    assert!(fields < 20, "{fields} fields");
}

#[tokio::test]
async fn many_who_wait_look_together() {
    let redis = Redis::start();
    let site = Site::new();
    let builder = Cache::builder().memory(16 * MIB).redis(redis.url());
    let builder = builder.lease(SHORT * 3).operation_timeout(PATIENT); // 200 at once
    let a = site.with(builder.build().unwrap());
    a.holds("v0").await;
    a.cache.invalidate(tag("nothing")).await.unwrap();
    // one that is gone without a word
    let (other, url) = (site.clone(), redis.url());
    let gone = std::thread::spawn(move || {
        let runtime = slow_runtime();
        let process = process(&other, url, SHORT * 3);
        runtime.block_on(process.holds("v0"));
        std::mem::forget((runtime, process));
    });
    gone.join().unwrap();
    let before = redis.calls("evalsha");
    let calls: Vec<_> = (0..200)
        .map(|_| {
            let cache = a.cache.clone();
            tokio::spawn(async move { cache.invalidate(tag("item:1")).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    // each tells, and removes a group, and the process says that it has seen that;
    // would each look, too, there were thousands more
    let sent = redis.calls("evalsha") - before;
    assert!(sent < 200 * 8, "{sent}");
    eventually("the row goes", || async { rows(&redis) <= 1 }).await;
}
