//! Runtimes that end, several of them, or none.

use std::future::Future;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};

use axum::http::Method;
use futures_util::FutureExt;
use larder::testing::MemoryStore;
use larder::{Cache, MIB, everything, seconds};
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;

use crate::support::request;
use crate::{cached, handler, policy, settle, site, text, whole};

static CACHE: LazyLock<Cache> = LazyLock::new(|| Cache::builder().memory(MIB).build().unwrap());

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn a_runtime_that_ends_leaves_no_flight() {
    let (first, second) = (runtime(), runtime());
    let mut site = first.block_on(async { site(policy()) });
    let (asking, run) = first.block_on(async {
        let asking = site.ask_many(3);
        let run = site.origin.run().await;
        settle().await;
        (asking, run)
    });
    // one of the second runtime follows the first one's fill
    let follower = second.block_on(async {
        let follower = site.ask();
        settle().await;
        assert!(!follower.is_answered());
        follower
    });
    drop(first);
    assert!(run.is_cancelled());
    second.block_on(async {
        site.origin.run().await.answer("body");
        assert_eq!(text(follower.response().await).await, "body");
        assert_eq!(site.hit().await, "body");
        drop(asking);
        site.is_over(2).await;
    });
}

#[test]
fn a_runtime_that_ends_in_the_body_breaks_it_for_those_of_others() {
    let (first, second) = (runtime(), runtime());
    let mut site = first.block_on(async { site(policy()) });
    let (leading, feeder) = first.block_on(async {
        let leader = site.ask();
        let feeder = site.origin.run().await.stream(Some(8));
        feeder.send("one ");
        (leader.response().await, feeder)
    });
    let follower = second.block_on(async { site.ask().response().await });
    drop(first);
    second.block_on(async {
        assert!(whole(follower).await.is_err(), "a part is no whole");
        assert!(whole(leading).await.is_err(), "for the leader neither");
        feeder.dropped().await;
        assert_eq!(site.cache.stats().flights, 0);
    });
}

#[test]
fn a_leader_that_outlives_its_runtime_does_not_wait_for_ever() {
    let (first, second) = (runtime(), runtime());
    let mut site = first.block_on(async { site(policy()) });
    let mut leader = Box::pin(site.app.clone().oneshot(request(Method::GET, "/x", &[])));
    let follower = first.block_on(async {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(leader.as_mut().poll(&mut cx).is_pending());
        let follower = site.ask();
        site.origin.all().await;
        follower
    });
    drop((first, follower)); // the fill was in a task of that runtime
    let ended = second.block_on(async { crate::soon(tokio::spawn(leader)).await });
    assert!(ended.unwrap_err().is_panic());
    assert_eq!(site.cache.stats().flights, 0);
}

#[test]
fn a_static_cache_serves_many_runtimes() {
    let (app, mut origin) = handler();
    let app = cached(&CACHE, policy().endpoint("many"), app);
    for _ in 0..3 {
        let runtime = runtime();
        runtime.block_on(async {
            let asking: Vec<_> = (0..10)
                .map(|_| crate::ask(&app, request(Method::GET, "/many", &[])))
                .collect();
            let run = origin.run().await;
            assert!(origin.is_idle().await);
            run.fails();
            origin.run().await.panics();
            for asking in asking {
                asking.goes_away().await;
            }
            origin.all().await; // those whose turn came meanwhile
        });
    }
    assert_eq!(CACHE.stats().flights, 0);
}

#[test]
fn without_a_runtime_each_request_is_on_its_own() {
    let mut site = site(policy());
    let mut cx = Context::from_waker(Waker::noop());
    let ask = || Box::pin(site.app.clone().oneshot(request(Method::GET, "/x", &[])));
    let (mut one, mut two) = (ask(), ask());
    assert!(one.as_mut().poll(&mut cx).is_pending());
    assert!(two.as_mut().poll(&mut cx).is_pending());
    while let Ok(run) = site.origin.runs.try_recv() {
        run.answer("body");
    }
    for future in [&mut one, &mut two] {
        let Poll::Ready(Ok(response)) = future.as_mut().poll(&mut cx) else {
            panic!("it was answered");
        };
        assert_eq!(response.status(), 200);
    }
    assert_eq!(site.cache.stats().flights, 0);
}

#[test]
fn a_runtime_without_timers_shares_without_a_panic() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut site = site(policy());
        let leader = site.ask();
        let follower = site.ask();
        settle().await;
        for run in site.origin.all().await {
            run.answer("body");
        }
        settle().await;
        assert!(leader.is_answered());
        assert!(follower.0.await.is_ok(), "the follower panicked");
    });
}

#[test]
fn a_runtime_without_timers_and_a_hard_timeout() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut site = site(policy().hard_timeout(seconds(1)));
        let leader = site.ask();
        settle().await;
        for run in site.origin.all().await {
            run.answer("body");
        }
        assert!(leader.0.await.is_ok(), "the leader panicked");
    });
}

/// Caches whose stores cannot be asked without timers, with the clock of the first.
fn stores() -> [Cache; 2] {
    let (_, clock) = larder::testing::cache();
    let builder = || Cache::builder().memory(MIB).clock(Arc::new(clock.clone()));
    let own = builder().store(MemoryStore::new(clock.clone()));
    let redis = builder().redis("redis://127.0.0.1:1");
    [own.build().unwrap(), redis.build().unwrap()]
}

#[test]
fn without_a_runtime_a_store_is_left_alone() {
    for cache in stores() {
        let (handler, mut origin) = handler();
        let app = cached(&cache, policy(), handler);
        for method in [Method::GET, Method::POST, Method::GET] {
            let mut cx = Context::from_waker(Waker::noop());
            let mut asking = Box::pin(app.clone().oneshot(request(method, "/x", &[])));
            assert!(asking.as_mut().poll(&mut cx).is_pending());
            origin.runs.try_recv().expect("a run").answer("body");
            let answered = asking.now_or_never().expect("an answer").unwrap();
            assert_eq!(answered.status(), 200);
        }
        assert!(cache.stats().store_errors > 0);
        let all = || everything();
        let done = cache.invalidate(all()).now_or_never();
        done.expect("at once").unwrap_err();
        let counted = cache.invalidate(all().dry_run()).now_or_never();
        counted.expect("at once").unwrap_err();
        let erased = cache.erase(larder::tag("x")).now_or_never();
        erased.expect("at once").unwrap_err();
    }
}

#[test]
fn on_a_runtime_without_timers_a_store_is_left_alone() {
    let runtime = Builder::new_current_thread().build().unwrap();
    for cache in stores() {
        let (handler, mut origin) = handler();
        let app = cached(&cache, policy().finish(), handler);
        runtime.block_on(async {
            for method in [Method::GET, Method::POST, Method::GET] {
                let asking = crate::ask(&app, request(method, "/x", &[]));
                for run in origin.all().await {
                    run.answer("body");
                }
                let answered = asking.0.await.expect("no panic").unwrap();
                assert_eq!(answered.status(), 200);
                settle().await;
            }
            cache.invalidate(everything()).await.unwrap_err();
        });
    }
}
