//! The counters of a cache: those of its endpoints, by name.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::counts::Counts;
use super::filled::Filled;
use super::histogram::Sums;
use super::low::Low;
use super::recorder::Recorder;
use super::reset::Base;
use super::seen::Asked;
use super::shards::is_sample;
use super::snapshot::{EndpointStats, Stats};
use super::traces::Traces;
use crate::clock::Clock;
use crate::error::{StoreError, StoreErrorKind};
use crate::key::Key;
use crate::outcome::Fault;

/// Routes and namespaces are fewer; what comes after that is counted together.
const MOST_ENDPOINTS: usize = 10_000;

/// Its endpoints are found by name when an entry is made or a request misses; an
/// entry in memory knows its own.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    endpoints: RwLock<HashMap<Box<str>, Arc<Counts>, ahash::RandomState>>,
    /// Of requests that no policy covers, and of what is no endpoint's.
    rest: Arc<Counts>,
    invalidations: AtomicU64,
    base: Base,
    pub(crate) recorder: Recorder,
    pub(crate) asked: Asked,
    pub(crate) filled: Filled,
    pub(crate) low: Low,
    pub(crate) traces: Arc<Traces>,
}

impl Counters {
    /// The counters of an endpoint, as it stands in keys: with its tenant or
    /// without.
    pub(crate) fn endpoint(&self, family: &str) -> Arc<Counts> {
        let tenant = family.bytes().position(|byte| byte == b'@');
        let name = tenant.map_or(family, |at| &family[..at]);
        let known = self
            .endpoints
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(counts) = known.get(name) {
            return Arc::clone(counts);
        }
        drop(known);
        let mut endpoints = self
            .endpoints
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        match endpoints.len() < MOST_ENDPOINTS || endpoints.contains_key(name) {
            true => Arc::clone(endpoints.entry(name.into()).or_default()),
            false => self.rest(),
        }
    }

    /// Those of an entry's endpoint.
    pub(crate) fn of(&self, key: &Key) -> Arc<Counts> {
        match key.as_str().split(':').nth(1) {
            Some(family) => self.endpoint(family),
            None => self.rest(),
        }
    }

    /// When a request began, if it is one that is looked at more closely.
    #[inline]
    pub(crate) fn sample(&self, clock: &dyn Clock) -> Option<Duration> {
        (!cfg!(larder_no_stats) && is_sample()).then(|| clock.precise())
    }

    pub(crate) fn rest(&self) -> Arc<Counts> {
        Arc::clone(&self.rest)
    }

    /// Operations of the store that have failed.
    pub(crate) fn store_error(&self, error: &StoreError) {
        self.rest.fault(match error.kind() {
            StoreErrorKind::Timeout => Fault::StoreTimeout,
            StoreErrorKind::Unavailable => Fault::StoreUnavailable,
            StoreErrorKind::Refused | StoreErrorKind::Fenced => Fault::StoreRefused,
        });
    }

    /// One whose time was up.
    pub(crate) fn store_timeout(&self) {
        self.rest.fault(Fault::StoreTimeout);
    }

    /// One without which nothing else can be asked.
    pub(crate) fn store_unavailable(&self) {
        self.rest.fault(Fault::StoreUnavailable);
    }

    /// Old invalidations had to be forgotten.
    pub(crate) fn forgotten(&self) {
        self.rest.fault(Fault::Forgotten);
    }

    pub(crate) fn invalidations(&self, n: u64) {
        self.invalidations.fetch_add(n, Ordering::Relaxed);
    }

    /// Entries that are gone, and of which endpoints they were, where that is known.
    pub(crate) fn removed(&self, entries: u64, endpoints: &BTreeMap<Box<str>, u64>) {
        let mut left = entries;
        for (name, n) in endpoints {
            self.endpoint(name).removed(*n);
            left = left.saturating_sub(*n);
        }
        self.rest.removed(left);
    }

    /// What the cache has done in all.
    pub(crate) fn snapshot(&self) -> Stats {
        let mut read = (Stats::default(), Sums::default());
        self.base.add("", &self.rest, &mut read);
        for (name, counts) in self.list() {
            self.base.add(&name, &counts, &mut read);
        }
        let (mut stats, sums) = read;
        let invalidations = self.invalidations.load(Ordering::Relaxed);
        stats.invalidations = self.base.invalidations(invalidations);
        // a mean over all endpoints would count a hit of a fast one as a fill of a slow one
        stats.complete(&sums, 0);
        let each = self.by_endpoint();
        stats.time_saved = each.iter().map(|one| one.stats.time_saved).sum();
        stats
    }

    /// The same since this process began, with what was measured left out.
    fn whole(&self) -> Stats {
        let (mut stats, mut sums) = (Stats::default(), Sums::default());
        self.rest.add_to(&mut stats, &mut sums);
        for (_, counts) in self.list() {
            counts.add_to(&mut stats, &mut sums);
        }
        stats
    }

    /// What is read from now on was counted from now on.
    pub(crate) fn reset(&self) {
        let list = self.list();
        let named = list.iter().map(|(name, counts)| (name.clone(), &**counts));
        let rest = (Box::default(), &*self.rest);
        self.base.set(
            named.chain([rest]),
            self.invalidations.load(Ordering::Relaxed),
        );
    }

    fn since_reset(&self, name: Box<str>, counts: &Counts) -> EndpointStats {
        let mut read = (Stats::default(), Sums::default());
        self.base.add(&name, counts, &mut read);
        let (mut stats, sums) = read;
        stats.complete(&sums, counts.mean_fill());
        EndpointStats {
            endpoint: name.into(),
            namespace: false,
            stats,
        }
    }

    /// What each endpoint has done, in the order of their names.
    pub(crate) fn by_endpoint(&self) -> Vec<EndpointStats> {
        self.each(|(name, counts)| self.since_reset(name, &counts))
    }

    /// The same since this process began, and how many invalidations there were.
    #[cfg_attr(not(feature = "metrics"), allow(dead_code, reason = "metrics tell it"))]
    pub(crate) fn exported(&self) -> (Vec<EndpointStats>, u64) {
        let invalidations = self.invalidations.load(Ordering::Relaxed);
        (self.each(of_one), invalidations)
    }

    fn each(&self, of: impl Fn((Box<str>, Arc<Counts>)) -> EndpointStats) -> Vec<EndpointStats> {
        let rest = (Box::default(), self.rest());
        let mut all: Vec<_> = self.list().into_iter().chain([rest]).map(of).collect();
        let nothing = Stats::default();
        all.retain(|one| !one.endpoint.is_empty() || one.stats != nothing);
        all.sort_by(|a, b| a.endpoint.cmp(&b.endpoint));
        all
    }

    /// Takes what was counted since the last look. Whether there was anything.
    /// `least` is the hit rate below which it is warned of all together.
    pub(crate) fn capture(&self, now: u64, shares: bool, least: f64) -> bool {
        self.low.look(now, "", least, self.whole());
        let list = self.list().into_iter();
        let mut all: Vec<_> = list.map(|(name, c)| (name, c.counted())).collect();
        all.push((Box::default(), self.rest.counted()));
        for (name, counts) in self.list() {
            if let Some(wanted) = counts.wanted() {
                self.low.look(
                    now,
                    &name,
                    wanted,
                    of_one((name.clone(), Arc::clone(&counts))).stats,
                );
            }
            if let Some(users) = counts.users.get() {
                self.recorder.users(now, &name, &users.take(), shares);
            }
        }
        self.recorder.asked(now, &self.asked.take(), shares);
        self.recorder.capture(now, &all, shares)
    }

    /// The endpoints whose users are counted.
    pub(crate) fn naming_users(&self) -> Vec<Box<str>> {
        let all = self.list().into_iter();
        let named = all.filter(|(_, counts)| counts.users.get().is_some());
        named.map(|(name, _)| name).collect()
    }

    pub(crate) fn list(&self) -> Vec<(Box<str>, Arc<Counts>)> {
        let known = self
            .endpoints
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let entries = known.iter();
        entries
            .map(|(name, counts)| (name.clone(), Arc::clone(counts)))
            .collect()
    }
}

fn of_one((name, counts): (Box<str>, Arc<Counts>)) -> EndpointStats {
    let (mut stats, mut sums) = (Stats::default(), Sums::default());
    counts.add_to(&mut stats, &mut sums);
    stats.complete(&sums, counts.mean_fill());
    EndpointStats {
        endpoint: name.into(),
        namespace: false,
        stats,
    }
}
