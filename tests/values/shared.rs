//! One load for all who ask.

use std::sync::Arc;

use futures_util::future::join_all;
use larder::{Cache, MIB, Outcome};
use tokio::sync::Semaphore;

use crate::support::redis_server::Redis;
use crate::support::{PATIENT, SHORT, eventually, tiers, tiers_with};
use crate::{NotThere, Source, characters};

#[tokio::test]
async fn ten_thousand_callers_share_one_load() {
    // in a process that has too much to do, reading may take longer than anybody would wait
    for tier in tiers_with(|cache| cache.operation_timeout(PATIENT * 12)).await {
        let (values, source) = (characters(&tier.cache), Source::default());
        let gate = Arc::new(Semaphore::new(0));
        let ask = || {
            let (values, source, gate) = (values.clone(), source.clone(), Arc::clone(&gate));
            tokio::spawn(async move {
                let load = move || async move {
                    gate.acquire().await.unwrap().forget();
                    Ok::<_, NotThere>(source.make("a"))
                };
                values.get_or_try_insert_with("a", load).await.unwrap()
            })
        };
        let callers: Vec<_> = (0..10_000).map(|_| ask()).collect();
        eventually("a flight", || async { tier.cache.stats().flights == 1 }).await;
        tokio::task::yield_now().await;
        gate.add_permits(10_000); // another load is to be counted, not waited for
        let answers = join_all(callers).await;
        assert!(
            answers
                .iter()
                .all(|answer| answer.as_ref().unwrap().run == 1)
        );
        assert_eq!(source.runs(), 1, "{}", tier.name);
        let stats = tier.cache.stats();
        assert_eq!(
            (stats.misses, stats.requests()),
            (1, 10_000),
            "{}",
            tier.name
        );
    }
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_its_load_to_those_who_wait() {
    for tier in tiers().await {
        let (values, source) = (characters(&tier.cache), Source::default());
        let gate = Arc::new(Semaphore::new(0));
        let ask = || {
            let (values, source, gate) = (values.clone(), source.clone(), Arc::clone(&gate));
            tokio::spawn(async move {
                let load = move || async move {
                    gate.acquire().await.unwrap().forget();
                    Ok::<_, NotThere>(source.make("a"))
                };
                values.get_or_try_insert_with("a", load).await.unwrap()
            })
        };
        let leader = ask();
        eventually("a flight", || async { tier.cache.stats().flights == 1 }).await;
        let follower = ask();
        tokio::task::yield_now().await;
        leader.abort();
        assert!(leader.await.is_err());
        gate.add_permits(1);
        let answer = follower.await.unwrap();
        assert_eq!((answer.run, source.runs()), (1, 1), "{}", tier.name);
    }
}

#[tokio::test]
async fn a_caller_that_goes_away_alone_leaves_the_key_free() {
    for tier in tiers().await {
        let (values, source) = (characters(&tier.cache), Source::default());
        let hanging = {
            let values = values.clone();
            tokio::spawn(async move {
                let load = || std::future::pending::<Result<crate::Character, NotThere>>();
                values.get_or_try_insert_with("a", load).await
            })
        };
        eventually("a flight", || async { tier.cache.stats().flights == 1 }).await;
        hanging.abort();
        assert!(hanging.await.is_err());
        tier.cache.idle().await;
        let answer = crate::read(&values, &source, "a").await;
        assert_eq!(answer.run, 1, "{}", tier.name);
    }
}

#[tokio::test]
async fn a_loader_that_panics_wedges_nothing() {
    for tier in tiers().await {
        let (values, source) = (characters(&tier.cache), Source::default());
        let panicking = {
            let values = values.clone();
            tokio::spawn(async move {
                let load = || async { panic!("a loader's own") };
                values
                    .get_or_try_insert_with::<_, _, NotThere>("a", load)
                    .await
            })
        };
        assert!(
            panicking.await.unwrap_err().is_panic(),
            "its caller's to see"
        );
        tier.cache.idle().await;
        let answer = crate::read(&values, &source, "a").await;
        assert_eq!(answer.run, 1, "{}", tier.name);
    }
}

#[tokio::test]
async fn processes_share_one_load_and_wake_each_other() {
    let redis = Redis::start();
    let process = || {
        let builder = Cache::builder().memory(16 * MIB).redis(redis.url());
        builder
            .lease(SHORT * 10)
            .operation_timeout(PATIENT)
            .build()
            .unwrap()
    };
    let caches = [process(), process(), process()];
    let (source, gate) = (Source::default(), Arc::new(Semaphore::new(0)));
    let ask = |cache: &Cache| {
        let (values, source, gate) = (characters(cache), source.clone(), Arc::clone(&gate));
        tokio::spawn(async move {
            let load = move || async move {
                gate.acquire().await.unwrap().forget();
                Ok::<_, NotThere>(source.make("a"))
            };
            values.get_or_try_insert_with("a", load).await.unwrap()
        })
    };
    let first = ask(&caches[0]);
    let lock = "api:!lock:{character:a}".to_owned();
    eventually("a lease", || async { redis.keys().contains(&lock) }).await;
    let others: Vec<_> = caches.iter().cycle().take(30).map(ask).collect();
    eventually("waiters", || async { redis.waiters() == 2 }).await;
    gate.add_permits(1);
    assert_eq!(first.await.unwrap().run, 1);
    for other in join_all(others).await {
        let other = other.unwrap();
        assert_eq!(other.run, 1);
        assert!(matches!(
            other.outcome(),
            Outcome::Coalesced { .. } | Outcome::Hit { .. }
        ));
    }
    assert_eq!(source.runs(), 1);
}

#[tokio::test]
async fn loaders_that_fail_run_one_at_a_time_and_each_caller_has_his_own_error() {
    for tier in tiers().await {
        let (values, gate) = (characters(&tier.cache), Arc::new(Semaphore::new(0)));
        let running = Arc::new(std::sync::Mutex::new((0, 0)));
        let ask = |_| {
            let (values, gate, running) = (values.clone(), gate.clone(), running.clone());
            tokio::spawn(async move {
                let load = move || async move {
                    let mine = {
                        let mut running = running.lock().unwrap();
                        running.0 += 1;
                        running.1 += 1;
                        assert_eq!(running.0, 1, "exactly one leads");
                        running.1
                    };
                    gate.acquire().await.unwrap().forget();
                    running.lock().unwrap().0 -= 1;
                    Err::<crate::Character, _>(mine)
                };
                values.get_or_try_insert_with("a", load).await.unwrap_err()
            })
        };
        let callers: Vec<_> = (0..5).map(ask).collect();
        eventually("a flight", || async { tier.cache.stats().flights == 1 }).await;
        gate.add_permits(5);
        let mut errors: Vec<i32> = join_all(callers)
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        errors.sort_unstable();
        assert_eq!(errors, [1, 2, 3, 4, 5], "{}", tier.name);
    }
}
