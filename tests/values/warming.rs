//! Warming of typed values: what it promises of requests holds for them; and of both on
//! an outage.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::BoxFuture;
use larder::testing::ManualClock;
use larder::{Cache, MIB, Outage, WarmList, WarmReport, Warmed, minutes, seconds};
use tokio::sync::Semaphore;

use crate::support::redis_server::Redis;
use crate::support::{PATIENT, SHORT, eventually, get, tiers};
use crate::{Character, Source, about, characters, pass, read};

type Loader = Box<dyn Fn(String) -> BoxFuture<'static, Result<Character, String>> + Send + Sync>;

/// A loader that waits for permits, and counts how many are in it.
#[derive(Clone, Default)]
struct Gate {
    source: Source,
    inside: Arc<(AtomicUsize, AtomicUsize)>,
    permits: Arc<Pass>,
}

struct Pass(Semaphore);

impl Default for Pass {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

impl Gate {
    async fn load(self, key: String) -> Result<Character, String> {
        let now = self.inside.0.fetch_add(1, Ordering::SeqCst) + 1;
        self.inside.1.fetch_max(now, Ordering::SeqCst);
        self.permits.0.acquire().await.unwrap().forget();
        self.inside.0.fetch_sub(1, Ordering::SeqCst);
        Ok(self.source.make(&key))
    }

    /// What a run loads with.
    fn loader(&self) -> Loader {
        let gate = self.clone();
        Box::new(move |key| Box::pin(gate.clone().load(key)))
    }

    async fn holds(&self, n: usize) {
        let inside = || async { self.inside.0.load(Ordering::SeqCst) == n };
        eventually("so many are in it", inside).await;
    }
}

fn keys(n: usize) -> Vec<String> {
    (0..n).map(|n| n.to_string()).collect()
}

#[tokio::test]
async fn so_many_load_at_a_time_and_each_is_told_and_is_there_for_the_first_who_asks() {
    for tier in tiers().await {
        let (values, gate) = (characters(&tier.cache), Gate::default());
        let run = tier.cache.warm().concurrency(3);
        let mut run = run.values(&values, keys(10), gate.loader());
        assert_eq!(run.total(), 10);
        gate.holds(3).await;
        gate.permits.0.add_permits(10);
        for done in 1..=10 {
            let step = run.next().await.unwrap();
            assert_eq!((step.done, step.total), (done, 10), "{}", tier.name);
            assert_eq!(step.warmed, Warmed::Filled);
        }
        assert!(run.next().await.is_none());
        assert_eq!(gate.inside.1.load(Ordering::SeqCst), 3);
        assert_eq!(run.report().await.filled, 10);
        tier.cache.idle().await;
        assert_eq!(tier.cache.stats().requests(), 0, "it is no traffic");
        for key in ["0", "9"] {
            assert!(read(&values, &gate.source, key).await.is_cached());
        }
        assert_eq!(gate.source.runs(), 10, "{}", tier.name);
    }
}

#[tokio::test]
async fn what_is_fresh_is_skipped_unless_it_ends_too_soon() {
    for tier in tiers().await {
        let (values, gate) = (characters(&tier.cache), Gate::default());
        gate.permits.0.add_permits(100);
        read(&values, &gate.source, "0").await;
        tier.cache.idle().await;
        let warm = async |ahead| {
            let run = tier.cache.warm().fresh_for(ahead);
            let report = run.values(&values, keys(3), gate.loader()).report().await;
            tier.cache.idle().await;
            (report.fresh, report.filled)
        };
        assert_eq!(warm(seconds(0)).await, (1, 2), "{}", tier.name);
        assert_eq!(warm(seconds(0)).await, (3, 0), "{}", tier.name);
        pass(&tier.cache, &tier.clock, minutes(3)).await;
        assert_eq!(warm(minutes(1)).await, (3, 0), "two minutes are left");
        assert_eq!(warm(minutes(4)).await, (0, 3), "{}", tier.name);
    }
}

#[tokio::test]
async fn what_fails_or_cannot_be_read_is_reported_and_the_run_goes_on() {
    for tier in tiers().await {
        let values = tier.cache.values::<Character>("character");
        let values = values
            .store_if(|_, found| found.id != "unstored")
            .build()
            .unwrap();
        let list = WarmList::parse("# ours\n1\nx\n0\n2\n3\n4\n", str::parse::<u32>);
        let load = |n: u32| async move {
            match n {
                0 => Err("it is not there"),
                2 => panic!("a loader's own"),
                3 => Ok(Source::default().make("unstored")),
                _ => Ok(Source::default().make("a")),
            }
        };
        let key = |n: &u32| n.to_string().into();
        let run = tier.cache.warm().values_by(&values, list, key, load);
        let WarmReport {
            filled,
            mut failed,
            left,
            ..
        } = run.report().await;
        failed.sort_by_key(|failure| failure.at);
        let failed: Vec<_> = failed.iter().map(|f| (f.at, &*f.why)).collect();
        let unread = "invalid digit found in string";
        let wanted = [(3, unread), (4, "it is not there"), (5, "it panicked")];
        assert_eq!(
            (filled, left, &failed[..3]),
            (2, 0, &wanted[..]),
            "{}",
            tier.name
        );
        assert!(failed[3].1.starts_with("not stored: "), "{failed:?}");
    }
}

#[tokio::test]
async fn one_who_asks_for_what_is_being_warmed_shares_it_and_nobody_else_waits() {
    for tier in tiers().await {
        let (values, gate) = (characters(&tier.cache), Gate::default());
        let run = tier.cache.warm().concurrency(1);
        let run = run.values(&values, keys(2), gate.loader());
        gate.holds(1).await;
        let ask = |key: &'static str| {
            let (values, gate) = (values.clone(), gate.clone());
            tokio::spawn(async move {
                let load = move || gate.load(key.to_owned());
                values.get_or_try_insert_with(key, load).await.unwrap().run
            })
        };
        let (same, other) = (ask("0"), ask("other"));
        gate.holds(2).await;
        gate.permits.0.add_permits(10);
        let (same, other) = (same.await.unwrap(), other.await.unwrap());
        assert!(same != other && run.report().await.is_complete());
        assert_eq!(gate.source.runs(), 3, "{}: three keys", tier.name);
    }
}

#[tokio::test]
async fn what_another_process_loads_is_left_to_it() {
    let redis = Redis::start();
    let process = || {
        let builder = Cache::builder().memory(16 * MIB).redis(redis.url());
        builder
            .lease(SHORT * 10)
            .operation_timeout(PATIENT)
            .build()
            .unwrap()
    };
    let (here, there, gate) = (process(), process(), Gate::default());
    let other = there
        .warm()
        .values(&characters(&there), keys(1), gate.loader());
    gate.holds(1).await;
    let own = Gate::default();
    own.permits.0.add_permits(10);
    let report = here
        .warm()
        .values(&characters(&here), keys(2), own.loader())
        .report();
    let report = report.await;
    assert_eq!((report.filled, report.shared), (1, 1), "{report:?}");
    gate.permits.0.add_permits(1);
    assert_eq!(other.report().await.filled, 1);
    assert_eq!((gate.source.runs(), own.source.runs()), (1, 1));
}

#[tokio::test]
async fn a_cancelled_run_begins_nothing_more() {
    for tier in tiers().await {
        let (values, gate) = (characters(&tier.cache), Gate::default());
        let run = tier.cache.warm().concurrency(2);
        let run = run.values(&values, keys(10), gate.loader());
        gate.holds(2).await;
        run.cancel();
        gate.permits.0.add_permits(10);
        let report = run.report().await;
        assert_eq!((report.filled, report.left), (2, 8), "{}", tier.name);
    }
}

#[tokio::test(start_paused = true)]
async fn loads_are_so_far_apart_and_what_hangs_fails() {
    let (cache, _clock) = larder::testing::cache();
    let (values, gate) = (characters(&cache), Gate::default());
    gate.permits.0.add_permits(5);
    let start = tokio::time::Instant::now();
    let run = cache.warm().every(seconds(10)).timeout(seconds(3));
    let report = run.values(&values, keys(6), gate.loader()).report().await;
    assert_eq!((report.filled, report.failed.len()), (5, 1), "{report:?}");
    assert_eq!(report.failed[0].why, "it took longer than 3 s");
    assert_eq!(about(start.elapsed()), 53, "the first begins at once");
}

#[tokio::test]
async fn on_an_outage_memory_is_warmed_where_it_is_served() {
    let away = Cache::builder().memory(MIB).redis("redis://127.0.0.1:1");
    let cache = away.on_outage(Outage::Serve(minutes(1))).build().unwrap();
    let handler = axum::routing::get(|| async { "x" });
    let app = axum::Router::new().route("/a", handler.layer(cache.ttl(minutes(1))));
    let run = cache.warm().host("a.example").requests(app.clone(), ["/a"]);
    let report = run.report().await;
    assert!(report.is_complete(), "{report:?}");
    assert!(get(&app, "/a").await.hit());
    let numbers = cache.values::<u8>("numbers").build().unwrap();
    let load = |_| async { Ok::<_, std::convert::Infallible>(1) };
    let report = cache.warm().values(&numbers, ["one"], load).report().await;
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(numbers.get("one").await.as_deref(), Some(&1));
}

#[tokio::test]
async fn nor_is_it_warmed_once_it_is_served_no_more() {
    let clock = ManualClock::new();
    let away = Cache::builder().memory(MIB).redis("redis://127.0.0.1:1");
    let away = away
        .on_outage(Outage::Serve(minutes(1)))
        .clock(Arc::new(clock.clone()));
    let cache = away.build().unwrap();
    let handler = axum::routing::get(|| async { "x" });
    let app = axum::Router::new().route("/a", handler.layer(cache.ttl(minutes(5))));
    let warm = || cache.warm().host("a.example").requests(app.clone(), ["/a"]);
    assert!(warm().report().await.is_complete());
    clock.advance(minutes(2));
    let report = warm().report().await;
    assert!(!report.is_complete(), "{report:?}");
}
