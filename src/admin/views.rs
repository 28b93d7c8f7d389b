//! How things look in JSON. Times are in seconds, sizes in bytes.

use std::time::Duration;

use serde::Serialize;

use crate::clock::unix_millis;
use crate::error::StoreErrorKind;
use crate::inspect::{EntryInfo, Health, Instance, Invalidation, Server, StoreHealth};
use crate::outcome::Tier;
use crate::stats::Span;

#[derive(Serialize)]
pub(super) struct HealthView {
    status: &'static str,
    enabled: bool,
    store: Option<StoreView>,
    instances: Vec<InstanceView>,
    untold: usize,
}

#[derive(Serialize)]
struct StoreView {
    topology: &'static str,
    reachable: bool,
    round_trip: Option<f64>,
    error: Option<&'static str>,
    reason: Option<String>,
    breaker: &'static str,
    open_for: Option<f64>,
    listening: bool,
    leased: bool,
}

#[derive(Serialize)]
struct InstanceView {
    id: String,
    this: bool,
    in_step: bool,
    behind: Option<u64>,
    beats: u64,
}

impl HealthView {
    pub(super) fn of(health: &Health) -> Self {
        Self {
            status: health.status(),
            enabled: health.enabled,
            store: health.store.as_ref().map(StoreView::of),
            instances: health.instances.iter().map(InstanceView::of).collect(),
            untold: health.untold,
        }
    }
}

impl StoreView {
    fn of(store: &StoreHealth) -> Self {
        Self {
            topology: store.topology.as_str(),
            reachable: store.round_trip.is_some(),
            round_trip: store.round_trip.map(seconds),
            error: store.error.map(word),
            reason: store.reason.clone(),
            breaker: match store.open_for {
                Some(_) => "open",
                None => "closed",
            },
            open_for: store.open_for.map(seconds),
            listening: store.listening,
            leased: store.leased,
        }
    }
}

impl InstanceView {
    fn of(instance: &Instance) -> Self {
        Self {
            id: instance.id.clone(),
            this: instance.this,
            in_step: instance.in_step,
            behind: instance.behind,
            beats: instance.beats,
        }
    }
}

fn word(kind: StoreErrorKind) -> &'static str {
    match kind {
        StoreErrorKind::Timeout => "timeout",
        StoreErrorKind::Unavailable => "unavailable",
        StoreErrorKind::Refused | StoreErrorKind::Fenced => "refused",
    }
}

#[derive(Serialize)]
pub(super) struct ServerView {
    version: Option<String>,
    used_memory: Option<u64>,
    max_memory: Option<u64>,
    eviction_policy: Option<String>,
    evicted_keys: Option<u64>,
    expired_keys: Option<u64>,
    last_save_ok: Option<bool>,
    replicas: Option<u64>,
}

impl ServerView {
    pub(super) fn of(server: Server) -> Self {
        Self {
            version: server.version,
            used_memory: server.used_memory,
            max_memory: server.max_memory,
            eviction_policy: server.eviction_policy,
            evicted_keys: server.evicted_keys,
            expired_keys: server.expired_keys,
            last_save_ok: server.last_save_ok,
            replicas: server.replicas,
        }
    }
}

#[derive(Serialize)]
pub(super) struct EntryView {
    key: String,
    endpoint: String,
    tier: &'static str,
    status: u16,
    age: f64,
    ttl: f64,
    kept: f64,
    fill: f64,
    size: u64,
    takes: Option<u64>,
    valid: Option<bool>,
    scopes: Vec<String>,
}

impl EntryView {
    pub(super) fn of(entry: &EntryInfo) -> Self {
        Self {
            key: entry.key.to_string(),
            endpoint: entry.endpoint().to_owned(),
            tier: match entry.tier {
                Tier::Memory => "memory",
                Tier::Redis => "redis",
            },
            status: entry.status,
            age: seconds(entry.age),
            ttl: seconds(entry.ttl),
            kept: seconds(entry.kept),
            fill: seconds(entry.fill),
            size: entry.size,
            takes: entry.takes,
            valid: entry.valid,
            scopes: entry.scopes.clone(),
        }
    }
}

#[derive(Serialize)]
pub(super) struct InvalidationView {
    /// Milliseconds since 1970.
    at: u64,
    kind: &'static str,
    name: String,
    soft: bool,
    removed: Option<u64>,
    times: u64,
}

impl InvalidationView {
    pub(super) fn of(done: &Invalidation) -> Self {
        let (kind, name) = done.scope.parts();
        Self {
            at: unix_millis(done.at),
            kind,
            name: name.to_owned(),
            soft: done.soft,
            removed: done.removed,
            times: done.times,
        }
    }
}

/// A stretch of time: its start in seconds since 1970, and how requests were answered
/// in the order of the page's outcomes, hits of both tiers as one.
#[derive(Serialize)]
pub(super) struct SpanView(u64, [u64; 6]);

impl SpanView {
    pub(super) fn of(span: &Span) -> Self {
        let totals = &span.totals;
        let counts = [
            totals.hits,
            totals.stale,
            totals.revalidated,
            totals.coalesced,
            totals.misses,
            totals.bypasses,
        ];
        Self(span.start, counts)
    }
}

pub(super) fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}
