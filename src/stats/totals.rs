//! What is read of slots: totals, series, analytics.

use std::time::Duration;

#[cfg(feature = "serde")]
use super::histogram::as_seconds;
use super::kinds::{Counted, Kind};

/// What was counted in a stretch of time.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Totals {
    /// Requests answered from memory or the shared store.
    pub hits: u64,
    /// Requests answered by a stale response.
    pub stale: u64,
    /// Requests answered by a stored response that the handler confirmed.
    pub revalidated: u64,
    /// Requests answered by the handler's answer to another request.
    pub coalesced: u64,
    /// Requests answered by the handler, or by nobody.
    pub misses: u64,
    /// Requests that did not take part in caching.
    pub bypasses: u64,
    /// Answers kept in at least one tier.
    pub stores: u64,
    /// Entries removed by invalidations.
    pub removed: u64,
    /// What failed, of all kinds.
    pub faults: u64,
    /// Bytes of bodies that stored responses had.
    pub bytes_cached: u64,
    /// Bytes of bodies that handlers had.
    pub bytes_handled: u64,
    /// How often a handler need not run.
    pub calls_saved: u64,
    /// How often a handler ran on behalf of the cache.
    pub fills: u64,
    /// All of these together.
    #[cfg_attr(feature = "serde", serde(serialize_with = "as_seconds"))]
    pub fill_time: Duration,
    /// What was saved, in the unit of [`Policy::cost`](crate::Policy::cost).
    pub cost_saved: f64,
    /// What fills have cost, in that unit.
    pub cost_spent: f64,
}

/// A stretch of time and what was counted in it.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Span {
    /// Its start, in seconds since 1970.
    pub start: u64,
    /// What was counted.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub totals: Totals,
}

/// Costs are counted in millionths.
pub(crate) const COST: f64 = 1e6;

impl Totals {
    pub(super) fn of(counted: &Counted) -> Self {
        let of = |kind: Kind| u64::try_from(counted[kind as usize]).unwrap_or(0);
        Self {
            hits: of(Kind::Hits),
            stale: of(Kind::Stale),
            revalidated: of(Kind::Revalidated),
            coalesced: of(Kind::Coalesced),
            misses: of(Kind::Misses),
            bypasses: of(Kind::Bypasses),
            stores: of(Kind::Stores),
            removed: of(Kind::Removed),
            faults: of(Kind::Faults),
            bytes_cached: of(Kind::Cached),
            bytes_handled: of(Kind::Handled),
            calls_saved: of(Kind::Saved),
            fills: of(Kind::Fills),
            fill_time: Duration::from_micros(of(Kind::FillMicros)),
            cost_saved: of(Kind::CostSaved) as f64 / COST,
            cost_spent: of(Kind::CostSpent) as f64 / COST,
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.hits += other.hits;
        self.stale += other.stale;
        self.revalidated += other.revalidated;
        self.coalesced += other.coalesced;
        self.misses += other.misses;
        self.bypasses += other.bypasses;
        self.stores += other.stores;
        self.removed += other.removed;
        self.faults += other.faults;
        self.bytes_cached += other.bytes_cached;
        self.bytes_handled += other.bytes_handled;
        self.calls_saved += other.calls_saved;
        self.fills += other.fills;
        self.fill_time += other.fill_time;
        self.cost_saved += other.cost_saved;
        self.cost_spent += other.cost_spent;
    }

    fn answered(&self) -> u64 {
        self.hits + self.stale + self.revalidated + self.coalesced
    }

    /// All requests.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.answered() + self.misses + self.bypasses
    }

    /// The share of requests that were not misses among all that took part in
    /// caching, from 0 to 1, with four decimals. Zero where there were none.
    #[must_use]
    pub fn hit_rate(&self) -> f64 {
        match self.answered() + self.misses {
            0 => 0.0,
            all => (self.answered() as f64 / all as f64 * 1e4).round() / 1e4,
        }
    }

    /// The mean time of a fill.
    #[must_use]
    pub fn mean_fill(&self) -> Duration {
        let fills = u32::try_from(self.fills.max(1)).unwrap_or(u32::MAX);
        self.fill_time / fills
    }
}

/// What was counted lately: [`Cache::recent`](crate::Cache::recent). The present
/// stretch of time is not over, so that a window is up to a slot shorter than its name.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Recent {
    /// It is what all instances have counted, and not this process alone.
    pub shared: bool,
    /// Entries in Redis that have not expired, nor been removed, markers of what
    /// answers vary on included; what Redis has evicted is not known. Where `shared` is
    /// not set: those in this process' memory.
    pub entries: u64,
    /// The last minute, in slots of ten seconds.
    pub minute: Totals,
    /// The last hour, in slots of a minute.
    pub hour: Totals,
    /// The last 24 hours, in slots of an hour.
    pub day: Totals,
    /// The last hour, minute by minute.
    pub by_minute: Vec<Span>,
    /// The last day, hour by hour.
    pub by_hour: Vec<Span>,
    /// The last 31 days, day by day (UTC).
    pub by_day: Vec<Span>,
}

/// Who asks for what: [`Cache::analytics`](crate::Cache::analytics).
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Analytics {
    /// It is what all instances have seen, and not this process alone.
    pub shared: bool,
    /// The last 24 hours of all endpoints, in slots of an hour.
    pub day: Totals,
    /// What was asked for most today and yesterday (UTC): the most frequent first, at
    /// most 50. Counts are estimates, and never too low for labels.
    pub top: Vec<Frequented>,
    /// Different users today, where a policy names them: an estimate.
    pub users_today: u64,
    /// Different users of the last 31 days.
    pub users_month: u64,
    /// The endpoints, in the order of their names.
    pub endpoints: Vec<EndpointAnalytics>,
}

/// A key, or what its policy calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Frequented {
    /// The key of an entry, or the [label](crate::Policy::label).
    pub name: String,
    /// How often it was asked for.
    pub count: u64,
}

/// What an endpoint has seen.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct EndpointAnalytics {
    /// The endpoint, as it stands in keys.
    pub endpoint: String,
    /// The last 24 hours, in slots of an hour.
    pub day: Totals,
    /// Different users today, where its policy names them.
    pub users_today: u64,
    /// The last 24 hours, hour by hour.
    pub by_hour: Vec<Span>,
    /// The last 31 days, day by day (UTC).
    pub by_day: Vec<Span>,
}
