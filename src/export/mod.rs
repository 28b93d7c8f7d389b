//! The statistics for the `metrics` facade, by the names in the README.
//!
//! Nothing is counted twice: what the cache has counted is handed over every five
//! seconds while there are requests (`cache/record.rs`), behind the requests' backs.

use metrics::{Label, counter, describe_counter, describe_gauge, gauge};

use crate::cache::{Cache, CacheBuilder};
use crate::outcome::Mismatch;
use crate::stats::{Latency, Reason, Stats, Tally};

/// Bounds of the latency buckets, in seconds.
const BOUNDS: [f64; 14] = [
    0.000_001, 0.000_005, 0.000_025, 0.000_1, 0.000_5, 0.002_5, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0,
    5.0, 30.0,
];

/// What they are, for who asks a recorder.
const COUNTERS: [(&str, &str); 16] = [
    (
        "larder_requests_total",
        "Requests, by how they were answered.",
    ),
    (
        "larder_misses_total",
        "Misses, by why nothing stored could answer.",
    ),
    (
        "larder_invalidated_total",
        "Misses of what was invalidated, by scope.",
    ),
    (
        "larder_bypasses_total",
        "Requests that took no part in caching, by reason.",
    ),
    (
        "larder_refusals_total",
        "Answers that were not stored, by reason.",
    ),
    ("larder_faults_total", "What has failed, by kind."),
    (
        "larder_evictions_total",
        "Entries that had to leave memory, by cause.",
    ),
    (
        "larder_mismatches_total",
        "Comparisons that failed, by what differed.",
    ),
    (
        "larder_bytes_total",
        "Bytes of bodies, from the cache and from handlers.",
    ),
    ("larder_stores_total", "Answers that were stored."),
    (
        "larder_removed_total",
        "Entries that invalidations have removed.",
    ),
    (
        "larder_abandoned_total",
        "Requests whose clients went away.",
    ),
    (
        "larder_calls_saved_total",
        "Runs of handlers that were saved.",
    ),
    ("larder_invalidations_total", "Invalidations."),
    (
        "larder_latency_seconds_bucket",
        "Requests whose head took no longer, by phase.",
    ),
    (
        "larder_latency_seconds_count",
        "Requests whose time was measured, by phase.",
    ),
];

const GAUGES: [(&str, &str); 11] = [
    (
        "larder_time_saved_seconds",
        "Time of handlers that was saved.",
    ),
    ("larder_fills", "Handlers that run now."),
    (
        "larder_waiters",
        "Requests that wait for another's handler.",
    ),
    (
        "larder_latency_seconds_sum",
        "Time until the head, by phase, in all.",
    ),
    ("larder_memory_entries", "Entries in memory."),
    ("larder_memory_bytes", "Bytes in memory."),
    ("larder_memory_capacity_bytes", "The bound of memory."),
    (
        "larder_in_flight_bytes",
        "Bytes of bodies that are recorded.",
    ),
    ("larder_flights", "Fills that are under way."),
    ("larder_enabled", "1 while the cache is on."),
    (
        "larder_redis_up",
        "1 while Redis is asked and its clock can be used.",
    ),
];

/// Hands over what the cache has counted until now.
pub(crate) fn publish(cache: &Cache) {
    for (name, what) in COUNTERS {
        describe_counter!(name, what);
    }
    for (name, what) in GAUGES {
        describe_gauge!(name, what);
    }
    let engine = cache.engine();
    let name = engine
        .metrics_name
        .as_ref()
        .unwrap_or(&engine.context.prefix);
    // a counter that begins anew stands still until it has caught up
    let (endpoints, invalidations) = engine.counters.exported();
    for one in endpoints {
        let of = [
            Label::new("cache", name.clone()),
            Label::new("endpoint", one.endpoint.clone()),
        ];
        of_endpoint(&one.stats, &of);
    }
    let of = [Label::new("cache", name.clone())];
    counter!("larder_invalidations_total", of.to_vec()).absolute(invalidations);
    of_cache(cache, &of);
}

fn with(of: &[Label], key: &'static str, value: impl Into<String>) -> Vec<Label> {
    let more = Label::new(key, value.into());
    of.iter().cloned().chain([more]).collect()
}

fn of_endpoint(stats: &Stats, of: &[Label]) {
    let outcomes = [
        ("hit_memory", stats.hits_memory),
        ("hit_redis", stats.hits_redis),
        ("stale", stats.stale),
        ("revalidated", stats.revalidated),
        ("coalesced", stats.coalesced),
        ("miss", stats.misses),
        ("bypass", stats.bypasses),
    ];
    for (outcome, n) in outcomes {
        counter!("larder_requests_total", with(of, "outcome", outcome)).absolute(n);
    }
    for (source, n) in [
        ("cache", stats.bytes_cached),
        ("handler", stats.bytes_handled),
    ] {
        counter!("larder_bytes_total", with(of, "source", source)).absolute(n);
    }
    counter!("larder_abandoned_total", of.to_vec()).absolute(stats.abandoned);
    counter!("larder_stores_total", of.to_vec()).absolute(stats.stores);
    counter!("larder_removed_total", of.to_vec()).absolute(stats.removed);
    counter!("larder_calls_saved_total", of.to_vec()).absolute(stats.calls_saved);
    let saved = stats.time_saved.as_secs_f64();
    gauge!("larder_time_saved_seconds", of.to_vec()).set(saved);
    gauge!("larder_fills", of.to_vec()).set(stats.fills as f64);
    gauge!("larder_waiters", of.to_vec()).set(stats.waiters as f64);
    by("larder_misses_total", "cause", &stats.misses_by, of);
    by(
        "larder_invalidated_total",
        "scope",
        &stats.invalidated_by,
        of,
    );
    by("larder_bypasses_total", "reason", &stats.bypasses_by, of);
    by("larder_refusals_total", "reason", &stats.refusals_by, of);
    by("larder_faults_total", "kind", &stats.faults, of);
    by("larder_evictions_total", "cause", &stats.evictions, of);
    // from nothing on: who asks for an increase would not see the first one
    for part in Mismatch::ALL {
        let (n, of) = (stats.mismatches.get(*part), with(of, "part", part.as_str()));
        counter!("larder_mismatches_total", of).absolute(n);
    }
    let phases = [
        ("hit", &stats.latency.hit),
        ("miss", &stats.latency.miss),
        ("fill", &stats.latency.fill),
        ("redis", &stats.latency.redis),
    ];
    for (phase, latency) in phases {
        if latency.count > 0 {
            buckets(latency, &with(of, "phase", phase));
        }
    }
}

fn by<R: Copy + Eq + std::fmt::Display>(
    name: &'static str,
    key: &'static str,
    tally: &Tally<R>,
    of: &[Label],
) {
    for (reason, n) in tally.iter() {
        counter!(name, with(of, key, reason.to_string())).absolute(n);
    }
}

/// As Prometheus has histograms: how many were not above each bound.
fn buckets(latency: &Latency, of: &[Label]) {
    for bound in BOUNDS {
        let below = latency.buckets.iter();
        let below = below.filter(|(end, _)| end.as_secs_f64() <= bound);
        let n = below.map(|(_, n)| n).sum();
        let le = with(of, "le", bound.to_string());
        counter!("larder_latency_seconds_bucket", le).absolute(n);
    }
    let le = with(of, "le", "+Inf");
    counter!("larder_latency_seconds_bucket", le).absolute(latency.count);
    counter!("larder_latency_seconds_count", of.to_vec()).absolute(latency.count);
    gauge!("larder_latency_seconds_sum", of.to_vec()).set(latency.sum.as_secs_f64());
}

fn of_cache(cache: &Cache, of: &[Label]) {
    let (stats, engine) = (cache.stats(), cache.engine());
    let gauges = [
        ("larder_memory_entries", stats.memory_entries),
        ("larder_memory_bytes", stats.memory_bytes),
        ("larder_memory_capacity_bytes", stats.memory_capacity),
        ("larder_in_flight_bytes", stats.in_flight_bytes),
        ("larder_flights", stats.flights),
        ("larder_enabled", u64::from(cache.is_enabled())),
    ];
    for (name, n) in gauges {
        gauge!(name, of.to_vec()).set(n as f64);
    }
    if let Some(up) = engine.is_up() {
        gauge!("larder_redis_up", of.to_vec()).set(f64::from(u8::from(up)));
    }
}

impl CacheBuilder {
    /// What the label `cache` of its metrics says. Two caches of one process need two names, or two
    /// prefixes: of two that share one, each counter is that of the one that has counted more. Default: the prefix.
    pub fn metrics_name(mut self, name: impl Into<String>) -> Self {
        self.metrics_name = Some(name.into());
        self
    }
}

impl Cache {
    /// Hands what was counted to the `metrics` recorder now. It is done every five
    /// seconds while requests come; call it before a scrape that must be exact.
    pub fn publish_metrics(&self) {
        self.engine().capture();
        publish(self);
    }
}
