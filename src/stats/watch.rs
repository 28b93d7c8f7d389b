//! Whether refreshed bodies really change: what a TTL that adapts goes by.
//!
//! Looked at when an answer is kept, never at a hit: of each endpoint a sample of 64
//! keys, by their hash, is remembered with the hash of the body and its time. An
//! answer that comes after an invalidation says nothing of how soon others go out
//! of date, and is not compared. Routes of one endpoint whose policies have other TTLs
//! are looked at apart.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use twox_hash::XxHash3_64;

use crate::policy::Compiled;
use crate::policy::adapt::{ENOUGH, Observed, fitting};

/// Keys that are remembered.
const SAMPLE: usize = 64;

/// So many policies of one endpoint are looked at, of those that adapt and of the others: a TTL
/// may be another each time.
const MOST: usize = 16;

/// What is known of an endpoint's changes, by what its policies say of their TTLs.
#[derive(Debug, Default)]
pub(crate) struct Watch(Mutex<Vec<(Terms, Seen)>>);

/// A policy's TTL, and the bounds within which that adapts.
type Terms = (Option<Duration>, Option<(Duration, Duration)>);

fn terms(policy: &Compiled) -> Terms {
    (policy.ttl, policy.adaptive)
}

#[derive(Debug, Default)]
struct Seen {
    sample: Vec<Last>,
    refreshes: u32,
    changed: u32,
    /// Milliseconds between answers, summed up.
    apart: u64,
    /// Requests at the last decision: answered without a miss, and all.
    requests: (u64, u64),
    /// The TTL of the latest answer, in milliseconds.
    ttl: u64,
    latest: Option<Proposed>,
}

/// The last answer to a key of the sample.
#[derive(Debug, Clone, Copy, Default)]
struct Last {
    key: u64,
    body: u64,
    /// When it came, in milliseconds, and how long it was fresh.
    at: u64,
    ttl: u64,
}

/// A decision, and what it rests on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Proposed {
    pub(crate) seen: Observed,
    pub(crate) ttl: Duration,
}

/// An answer that is kept.
pub(crate) struct Kept<'a> {
    pub(crate) policy: &'a Compiled,
    pub(crate) key: &'a [u8],
    pub(crate) body: &'a [u8],
    /// Milliseconds on the clock.
    pub(crate) now: u64,
    /// Milliseconds for which it is fresh.
    pub(crate) ttl: u64,
}

impl Watch {
    fn all(&self) -> MutexGuard<'_, Vec<(Terms, Seen)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of an answer. `invalidated` tells whether it was invalidated since
    /// a time; `requests` how many were answered without a miss, and all.
    pub(crate) fn saw(
        &self,
        kept: &Kept<'_>,
        invalidated: impl FnOnce(u64) -> bool,
        requests: impl FnOnce() -> (u64, u64),
    ) {
        let (key, body) = (
            XxHash3_64::oneshot(kept.key),
            XxHash3_64::oneshot(kept.body),
        );
        let (mut all, terms) = (self.all(), terms(kept.policy));
        let known = all.iter().position(|(of, _)| *of == terms);
        let at = known.unwrap_or(all.len());
        if known.is_none() {
            let alike = |(of, _): &&(Terms, Seen)| of.1.is_some() == terms.1.is_some();
            if all.iter().filter(alike).count() >= MOST {
                return;
            }
            all.push((terms, Seen::default()));
        }
        let seen = &mut all[at].1;
        seen.ttl = kept.ttl;
        if seen.sample.is_empty() {
            seen.sample = vec![Last::default(); SAMPLE];
        }
        let place = &mut seen.sample[key as usize % SAMPLE];
        let last = *place;
        let (now, ttl) = (kept.now, kept.ttl);
        let apart = now.saturating_sub(last.at);
        // another key's place is taken once that has not come for long
        if last.key == key || apart > last.ttl.saturating_mul(4) {
            *place = Last {
                key,
                body,
                at: now,
                ttl,
            };
        }
        if last.key != key || apart == 0 || invalidated(last.at) {
            return;
        }
        seen.refreshes += 1;
        seen.changed += u32::from(last.body != body);
        seen.apart = seen.apart.saturating_add(apart);
        if seen.refreshes.is_multiple_of(ENOUGH) {
            seen.decide(requests());
        }
    }

    /// The TTL that a policy has now, if it adapts.
    pub(crate) fn adapted(&self, policy: &Compiled) -> Option<Duration> {
        let (least, most) = policy.adaptive?;
        let (all, terms) = (self.all(), terms(policy));
        let seen = all.iter().find(|(of, _)| *of == terms);
        let latest = seen.and_then(|(_, seen)| seen.latest);
        let ttl = latest.map(|latest| latest.ttl).or(policy.ttl)?;
        Some(ttl.clamp(least, most))
    }

    /// The latest decisions, by the TTLs under which they were made.
    pub(crate) fn latest(&self) -> Vec<Proposed> {
        let all = self.all();
        let mut latest: Vec<Proposed> = all.iter().filter_map(|(_, seen)| seen.latest).collect();
        latest.sort_by_key(|latest| latest.seen.ttl);
        latest
    }
}

impl Seen {
    fn decide(&mut self, (answered, all): (u64, u64)) {
        let (answered_before, all_before) = self.requests;
        let all_since = all.saturating_sub(all_before);
        let hit_rate = match all_since {
            0 => 0.0,
            all => answered.saturating_sub(answered_before) as f64 / all as f64,
        };
        let seen = Observed {
            refreshes: self.refreshes,
            changed: self.changed,
            apart: Duration::from_millis(self.apart / u64::from(self.refreshes.max(1))),
            ttl: Duration::from_millis(self.ttl),
            hit_rate,
        };
        let Some(ttl) = fitting(&seen) else { return };
        self.latest = Some(Proposed { seen, ttl });
        self.requests = (answered, all);
        // what is long past counts ever less
        self.refreshes /= 2;
        self.changed /= 2;
        self.apart /= 2;
    }
}
