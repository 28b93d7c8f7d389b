//! What goes out: metrics by their documented names, and the tools that are built on
//! them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use axum::http::Method;
use axum::{Router, routing::get as on_get};
use larder::testing::{Chaos, ChaosStore, ManualClock, MemoryStore, Operation};
use larder::{Cache, MIB, Policy, StoreErrorKind, minutes, seconds, tag, testing};
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString,
    Unit,
};

use crate::support::redis_server::Redis;
use crate::support::{PATIENT, SHORT, get, request, send};

/// Keeps the last value of everything.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<BTreeMap<String, f64>>>);

struct One(Kept, String);

impl One {
    fn set(&self, value: f64) {
        self.0.0.lock().unwrap().insert(self.1.clone(), value);
    }
}

impl CounterFn for One {
    fn increment(&self, _value: u64) {
        unreachable!("counters are absolute");
    }

    /// As the recorders do that `metrics` has: it never falls.
    fn absolute(&self, value: u64) {
        let mut all = self.0.0.lock().unwrap();
        let kept = all.entry(self.1.clone()).or_default();
        *kept = kept.max(value as f64);
    }
}

impl GaugeFn for One {
    fn increment(&self, _value: f64) {}
    fn decrement(&self, _value: f64) {}

    fn set(&self, value: f64) {
        One::set(self, value);
    }
}

impl Kept {
    fn one(&self, key: &Key) -> Arc<One> {
        let mut name = key.name().to_owned();
        for label in key.labels() {
            write!(name, " {}={}", label.key(), label.value()).unwrap();
        }
        Arc::new(One(self.clone(), name))
    }

    fn get(&self, name: &str) -> f64 {
        let all = self.0.lock().unwrap();
        *all.get(name)
            .unwrap_or_else(|| panic!("no {name} in {all:#?}"))
    }

    fn names(&self) -> Vec<String> {
        let all = self.0.lock().unwrap();
        let names = all
            .keys()
            .map(|name| name.split(' ').next().unwrap().to_owned());
        let mut names: Vec<String> = names.collect();
        names.dedup();
        names
    }
}

impl Recorder for Kept {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.one(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.one(key))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

/// A cache to which everything has happened that has a metric.
pub(crate) async fn everything(redis: &Redis) -> Cache {
    let cache = Cache::builder().redis(redis.url()).memory(MIB).lease(SHORT);
    let cache = cache.operation_timeout(PATIENT).build().unwrap();
    let policy = Policy::ttl(minutes(1)).tag("n:{n}").verify(1.0);
    let origin = Arc::new(Mutex::new(0));
    let handler = move || {
        let mut version = origin.lock().unwrap();
        *version += 1;
        std::future::ready(format!("{version}{}", "x".repeat(30_000)))
    };
    let layer = cache.layer(policy);
    let refuses =
        on_get(|| async { axum::http::StatusCode::BAD_GATEWAY }).layer(cache.ttl(minutes(1)));
    let app = Router::new()
        .route("/n/{n}", on_get(handler).layer(layer))
        .route("/refuses", refuses);
    for n in (0..100).chain(95..100) {
        get(&app, &format!("/n/{n}")).await;
    }
    get(&app, "/refuses").await;
    send(&app, request(Method::GET, "/n/1", &[("cookie", "a=b")])).await;
    cache.invalidate(tag("n:99")).await.unwrap();
    get(&app, "/n/99").await;
    cache.idle().await;
    // more than memory holds, whichever that are
    for damaged in redis.entries().iter().step_by(2) {
        redis.command::<()>(&["SET", damaged, "rubbish"]);
    }
    for n in 0..100 {
        get(&app, &format!("/n/{n}")).await;
    }
    cache.idle().await;
    cache
}

#[tokio::test]
async fn every_metric_of_the_table_the_dashboard_and_the_rules_exists() {
    let redis = Redis::start();
    let cache = everything(&redis).await;
    let kept = Kept::default();
    metrics::with_local_recorder(&kept, || cache.publish_metrics());
    let known = kept.names();
    for (file, text) in [
        ("README.md", include_str!("../../README.md")),
        ("ops/grafana.json", include_str!("../../ops/grafana.json")),
        ("ops/alerts.yml", include_str!("../../ops/alerts.yml")),
    ] {
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let used = words.filter(|word| word.starts_with("larder_") && !word.ends_with('_'));
        let used: Vec<&str> = used
            .filter(|word| {
                ![
                    "larder_no_stats",
                    "larder_internals",
                    "larder_shuttle",
                    "larder_unfenced",
                ]
                .contains(word)
            })
            .collect();
        for word in &used {
            assert!(
                known.iter().any(|name| name == word),
                "{file}: {word} of {known:?}"
            );
        }
        assert!(used.len() > 10, "{file} uses metrics: {used:?}");
    }
    let table = include_str!("../../README.md");
    for name in known {
        assert!(
            table.contains(&format!("`{name}")),
            "the README's table lacks {name}"
        );
    }
}

#[tokio::test]
async fn metrics_say_what_was_counted() {
    let (cache, _clock) = testing::cache();
    let app = Router::new().route("/a", on_get(|| async { "x" }).layer(cache.ttl(minutes(1))));
    for _ in 0..3 {
        get(&app, "/a").await;
    }
    let kept = Kept::default();
    metrics::with_local_recorder(&kept, || cache.publish_metrics());
    let of = "cache=api endpoint=a";
    let requests = |outcome| kept.get(&format!("larder_requests_total {of} outcome={outcome}"));
    assert_eq!(
        (requests("hit_memory"), requests("miss"), requests("stale")),
        (2.0, 1.0, 0.0)
    );
    assert_eq!(
        kept.get(&format!("larder_misses_total {of} cause=new")),
        1.0
    );
    let le = kept.get(&format!(
        "larder_latency_seconds_bucket {of} phase=miss le=+Inf"
    ));
    assert_eq!(le, 1.0);
    let mismatches = kept.get(&format!("larder_mismatches_total {of} part=body"));
    assert_eq!(
        mismatches, 0.0,
        "there before the first: an increase is seen"
    );
    assert_eq!(kept.get("larder_enabled cache=api"), 1.0);
}

#[tokio::test]
async fn metrics_go_on_when_the_statistics_begin_anew() {
    let (cache, clock) = testing::cache();
    let handler = move || {
        clock.advance(seconds(1));
        std::future::ready("x")
    };
    let app = Router::new().route("/a", on_get(handler).layer(cache.ttl(minutes(1))));
    let kept = Kept::default();
    let publish = || metrics::with_local_recorder(&kept, || cache.publish_metrics());
    cache.invalidate(tag("none")).await.unwrap();
    for _ in 0..3 {
        get(&app, "/a").await;
    }
    publish();
    let of = "cache=api endpoint=a";
    let sum = || kept.get(&format!("larder_latency_seconds_sum {of} phase=miss"));
    assert_eq!(sum(), 1.0);
    cache.reset_stats();
    get(&app, "/a").await;
    cache.invalidate(tag("none")).await.unwrap();
    assert_eq!(cache.stats().requests(), 1, "since the reset");
    publish();
    let requests = |outcome| kept.get(&format!("larder_requests_total {of} outcome={outcome}"));
    assert_eq!((requests("hit_memory"), requests("miss")), (3.0, 1.0));
    assert_eq!(kept.get("larder_invalidations_total cache=api"), 2.0);
    assert_eq!(sum(), 1.0);
    cache.set_enabled(false);
    publish();
    assert_eq!(kept.get("larder_enabled cache=api"), 0.0);
}

#[tokio::test(start_paused = true)]
async fn hits_of_values_alone_are_exported_after_a_silence_too() {
    let (cache, _clock) = testing::cache();
    let kept = Kept::default();
    let _here = metrics::set_default_local_recorder(&kept);
    let values = cache.values::<u8>("numbers").build().unwrap();
    assert!(values.get("one").await.is_none());
    values.insert("one", 1).await;
    tokio::time::sleep(minutes(2)).await; // nothing is new
    for _ in 0..200 {
        assert!(values.get("one").await.is_some());
    }
    tokio::time::sleep(seconds(6)).await;
    let hits = "larder_requests_total cache=api endpoint=numbers outcome=hit_memory";
    assert_eq!(kept.get(hits), 200.0);
}

/// A server's and a client's.
#[tokio::test]
async fn two_caches_of_one_prefix_are_told_apart_by_their_names() {
    let kept = Kept::default();
    for (name, requests) in [("server", 3), ("client", 2)] {
        let cache = Cache::builder().memory(MIB).metrics_name(name);
        let cache = cache.build().unwrap();
        let handler = on_get(|| async { "x" }).layer(cache.ttl(minutes(1)));
        let app = Router::new().route("/x", handler);
        for _ in 0..requests {
            get(&app, "/x").await;
        }
        metrics::with_local_recorder(&kept, || cache.publish_metrics());
    }
    for (name, hits) in [("server", 2.0), ("client", 1.0)] {
        let of = format!("cache={name} endpoint=x outcome=hit_memory");
        assert_eq!(kept.get(&format!("larder_requests_total {of}")), hits);
        assert_eq!(
            kept.get(&format!("larder_memory_entries cache={name}")),
            1.0
        );
    }
}

/// Nobody's endpoint is asked for, and something fails for all: the rule `LarderFaults`.
#[tokio::test]
async fn what_fails_of_no_endpoint_is_listed_and_exported_too() {
    let store = ChaosStore::new(MemoryStore::new(ManualClock::new()));
    store.always(Operation::Get, Chaos::Fails(StoreErrorKind::Unavailable));
    let cache = Cache::builder().memory(MIB).store(store).build().unwrap();
    let app = Router::new().route("/a", on_get(|| async { "x" }).layer(cache.ttl(minutes(1))));
    get(&app, "/a").await;
    cache.idle().await;
    let all = cache.stats().faults;
    assert!(all.iter().any(|(_, times)| times > 0), "{all:?}");
    let listed = cache.endpoint_stats();
    for (fault, times) in all.iter() {
        let each = listed.iter().map(|one| one.stats.faults.get(fault));
        assert_eq!(each.sum::<u64>(), times, "{fault}: {listed:?}");
    }
    let kept = Kept::default();
    metrics::with_local_recorder(&kept, || cache.publish_metrics());
    for (fault, times) in all.iter() {
        let of = format!("cache=api endpoint= kind={fault}");
        assert_eq!(kept.get(&format!("larder_faults_total {of}")), times as f64);
    }
}

/// `increase` takes a gauge that falls for a counter that began anew: what time was saved falls
/// whenever a handler is faster than the mean of its runs.
#[test]
fn what_may_fall_is_not_asked_for_its_increase() {
    let files = [
        include_str!("../../ops/grafana.json"),
        include_str!("../../ops/alerts.yml"),
    ];
    for gauge in [
        "time_saved",
        "fills",
        "waiters",
        "memory",
        "in_flight",
        "flights",
    ] {
        for function in ["increase", "rate"] {
            let asked = format!("{function}(larder_{gauge}");
            assert!(!files.iter().any(|file| file.contains(&asked)), "{asked}");
        }
    }
}
