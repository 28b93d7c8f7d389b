//! Invalidations at the worst moments (FAULTS 20, 21, 23).

use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::get as on_get;
use larder::testing::ManualClock;
use larder::{Outcome, Policy, Selector, endpoint, everything, hours, minutes, seconds, tag, uri};

use super::support::Reply;
use super::*;
use crate::proxy::{Chance, Way, seed};

/// An answer that can be asked whether it still holds, and takes twenty seconds of a clock.
fn validated(site: &Site, cache: Cache, policy: Policy, clock: ManualClock) -> Process {
    let site = site.clone();
    let handler = on_get(move |headers: HeaderMap| async move {
        clock.advance(seconds(20));
        let text = format!("v{}", site.version.load(Ordering::SeqCst));
        site.runs.fetch_add(1, Ordering::SeqCst);
        let etag = format!("\"{text}\"");
        match headers.get("if-none-match") {
            Some(known) if *known == *etag => {
                (StatusCode::NOT_MODIFIED, [("etag", etag)]).into_response()
            }
            _ => ([("etag", etag)], text).into_response(),
        }
    });
    let layer = cache.layer(policy.tag("item:{id}"));
    let app = Router::new().route("/items/{id}", handler.layer(layer));
    Process { cache, app }
}

/// What a request of `a` is about to do when `b` invalidates.
#[derive(Debug, Clone, Copy)]
enum Doing {
    Miss,
    /// An entry that may be served stale is renewed behind the answer.
    Refresh,
    /// An entry that is all but stale is renewed behind the answer.
    Early,
    /// An entry is asked for, and confirmed by a 304.
    Confirm,
    /// Redis has it, memory has not.
    Promote,
    /// An invalidation that could not be told is told.
    Replay,
}

impl Doing {
    /// More frames than there are; fewer where each takes a while.
    fn steps(self) -> u64 {
        match self {
            Self::Replay => 5,
            _ => 8,
        }
    }

    /// Brings both to where a request of `a` does it.
    async fn prepare(self, (a, clock): (&Process, &ManualClock), b: &Process, proxy: &Proxy) {
        comes_back(a).await;
        comes_back(b).await;
        let it = tag("item:1");
        match self {
            Self::Miss => drop(b.cache.invalidate(it).await.unwrap()),
            Self::Refresh | Self::Confirm => drop(b.cache.invalidate(it.soft()).await.unwrap()),
            Self::Early => {
                b.cache.invalidate(it).await.unwrap();
                a.get().await;
                a.cache.idle().await;
                let Outcome::Hit { ttl, .. } = a.get().await.outcome else {
                    panic!("no hit");
                };
                // of the twenty seconds that it took: chance leaves it alone once in 20,000 times
                clock.advance(ttl - Duration::from_millis(1));
            }
            Self::Promote => {
                b.cache.invalidate(it).await.unwrap();
                b.get().await;
                b.cache.idle().await;
            }
            Self::Replay => {
                proxy.refuse(true);
                a.cache.invalidate(it).await.unwrap_err();
                proxy.refuse(false);
            }
        }
    }
}

impl Doing {
    /// The request; where something is still to be told, those until it was.
    async fn ask(self, app: &Router, cache: &Cache) -> Reply {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        loop {
            let reply = get(app, "/items/1").await;
            let late = tokio::time::Instant::now() > deadline;
            if late || cache.health().await.untold == 0 {
                return reply;
            }
        }
    }
}

/// Stops the traffic of `a` behind each frame in turn, invalidates at `b`, and lets it
/// go: whoever asks from then on gets what is new.
async fn at_every_step_of(doing: Doing) {
    let (redis, proxy) = behind_proxy();
    let site = Site::new();
    let clock = ManualClock::new();
    let settings = |url: String, timeout| {
        let builder = builder(url).memory(16 * MIB).lease(SHORT);
        let builder = builder.operation_timeout(timeout);
        match doing {
            Doing::Early => builder.clock(Arc::new(clock.clone())),
            _ => builder,
        }
    };
    let policy = match doing {
        Doing::Confirm => Policy::ttl(minutes(5)).revalidate(hours(1)),
        _ => Policy::ttl(minutes(5)).stale_while_revalidate(hours(1)),
    };
    let process = |url, timeout| {
        let cache = settings(url, timeout).build().unwrap();
        validated(&site, cache, policy.clone(), clock.clone())
    };
    let (a, b) = (process(proxy.url(), TIMEOUT), process(redis.url(), PATIENT));
    let mut stopped = 0;
    for way in [Way::ToServer, Way::ToClient] {
        for step in 0..doing.steps() {
            doing.prepare((&a, &clock), &b, &proxy).await;
            proxy.stall(way, step);
            let runs = site.runs();
            let (app, cache) = (a.app.clone(), a.cache.clone());
            let done = tokio::spawn(async move {
                let reply = doing.ask(&app, &cache).await;
                cache.idle().await;
                reply
            });
            eventually("it stands or is done", || async {
                proxy.is_stalled(way) || done.is_finished()
            })
            .await;
            stopped += usize::from(proxy.is_stalled(way));
            // whoever was not stopped has done it
            let idle = proxy.is_stalled(way) || matches!(doing, Doing::Promote | Doing::Replay);
            assert!(idle || site.runs() > runs, "{doing:?}, {way:?} {step}");
            site.write();
            let began = tokio::time::Instant::now();
            b.cache.invalidate(tag("item:1")).await.unwrap();
            clock.advance(began.elapsed()); // a lease that was waited for is over on it too
            proxy.flow();
            let at = format!("{doing:?}, {way:?} {step}");
            let version = format!("v{}", site.version.load(Ordering::SeqCst));
            for process in [&a, &b] {
                assert_eq!(process.get().await.text(), version, "{at}");
            }
            assert_eq!(done.await.unwrap().status, 200);
            for process in [&a, &b, &a] {
                assert_eq!(process.get().await.text(), version, "{at}, later");
                process.cache.idle().await;
            }
        }
    }
    assert!(stopped > 2, "it was in the middle {stopped} times");
}

#[tokio::test]
async fn in_a_miss() {
    at_every_step_of(Doing::Miss).await;
}

#[tokio::test]
async fn in_a_refresh_behind_the_answer() {
    at_every_step_of(Doing::Refresh).await;
}

#[tokio::test]
async fn in_a_refresh_ahead_of_time() {
    at_every_step_of(Doing::Early).await;
}

#[tokio::test]
async fn in_a_confirmation() {
    at_every_step_of(Doing::Confirm).await;
}

#[tokio::test]
async fn in_a_promotion() {
    at_every_step_of(Doing::Promote).await;
}

#[tokio::test]
async fn in_a_replay_after_an_outage() {
    at_every_step_of(Doing::Replay).await;
}

/// A fill that takes too long goes on behind what is stale.
#[tokio::test(start_paused = true)]
async fn in_a_fill_that_was_left_behind() {
    let mut site = Site::new();
    let gate = Arc::new(tokio::sync::Semaphore::new(1));
    site.gate = Some(Arc::clone(&gate));
    let policy = Policy::ttl(minutes(5))
        .stale_if_error(hours(1))
        .soft_timeout(Duration::from_millis(50));
    let cache = Cache::builder().memory(16 * MIB).build().unwrap();
    let a = site.with_policy(cache, policy);
    a.get().await;
    a.cache.invalidate(tag("item:1").soft()).await.unwrap();
    let stale = a.get().await; // its handler waits at the gate
    assert_eq!((stale.text(), site.runs()), ("v0", 2));
    site.write();
    a.cache.invalidate(tag("item:1")).await.unwrap();
    gate.add_permits(10);
    a.cache.idle().await;
    for _ in 0..3 {
        served(&a, &site).await;
        a.cache.idle().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_purged_at_once_under_load_is_filled_once_each() {
    const ITEMS: usize = 20;
    const PURGES: u64 = 5;
    let redis = Redis::start();
    let site = Site::new();
    let patient = Duration::from_secs(5);
    let process = || {
        let builder = Cache::builder().redis(redis.url()).memory(16 * MIB);
        site.with(builder.operation_timeout(patient).build().unwrap())
    };
    let all = [process(), process()];
    for n in 0..ITEMS {
        get(&all[0].app, &format!("/items/{n}")).await;
    }
    all[0].cache.invalidate(tag("none")).await.unwrap(); // the clock is old from here on
    let before = site.runs();
    let asked = Arc::new(AtomicUsize::new(0));
    let load: Vec<_> = (0..40)
        .map(|client| {
            let (app, asked) = (all[client % 2].app.clone(), Arc::clone(&asked));
            tokio::spawn(async move {
                loop {
                    let n = asked.fetch_add(1, Ordering::SeqCst) % ITEMS;
                    assert_eq!(get(&app, &format!("/items/{n}")).await.status, 200);
                    tokio::task::yield_now().await; // a hit in memory waits for nothing
                }
            })
        })
        .collect();
    for _ in 0..PURGES {
        let (turn, all_asked) = (asked.load(Ordering::SeqCst), 40 * ITEMS);
        all[0].cache.invalidate(everything()).await.unwrap();
        eventually("all is asked for", || async {
            asked.load(Ordering::SeqCst) > turn + all_asked
        })
        .await;
    }
    for client in load {
        client.abort();
        assert!(
            client.await.unwrap_err().is_cancelled(),
            "no request failed"
        );
    }
    let runs = site.runs() - before;
    // one each, and one more where the first began before the purge
    let most = PURGES * ITEMS as u64 * 2 + ITEMS as u64;
    assert!(
        runs <= most,
        "{runs} runs for {} requests",
        asked.load(Ordering::SeqCst)
    );
}

#[tokio::test]
async fn invalidations_at_once_that_overlap_are_each_kept() {
    let redis = Redis::start();
    let site = Site::new();
    let (a, b) = (patient(&site, redis.url()), patient(&site, redis.url()));
    comes_back(&a).await;
    let mut chance = Chance(seed());
    let name = redis.entries().remove(0);
    let mut any = || -> Selector {
        match chance.below(7) {
            0 => tag("item:1"),
            1 => endpoint("items"),
            2 => uri("/items/1"),
            3 => larder::key(name.clone()),
            4 => "api:it*".into(),
            5 => "api:*:*".into(),
            _ => everything(),
        }
    };
    for round in 0..60 {
        served(&a, &site).await;
        served(&b, &site).await;
        site.write();
        let calls: Vec<_> = [&a, &b, &a]
            .iter()
            .map(|process| {
                let (cache, selector) = (process.cache.clone(), any());
                tokio::spawn(async move { cache.invalidate(selector).await })
            })
            .collect();
        let filling: Vec<_> = [&a, &b]
            .iter()
            .map(|process| {
                let app = process.app.clone();
                tokio::spawn(async move { get(&app, "/items/1").await })
            })
            .collect();
        let mut calls = calls.into_iter();
        calls.next().unwrap().await.unwrap().unwrap(); // one is enough
        served(&a, &site).await;
        served(&b, &site).await;
        for call in calls {
            call.await
                .unwrap()
                .unwrap_or_else(|error| panic!("{round}: {error}"));
        }
        for reply in filling {
            assert_eq!(reply.await.unwrap().status, 200);
        }
        served(&a, &site).await;
        served(&b, &site).await;
    }
}
