//! Hit rates that are too low: looked at once an hour, with the likeliest cause.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::snapshot::Stats;
use super::tally::Tally;
use crate::outcome::Cause;

/// Milliseconds.
const HOUR: u64 = 3_600_000;
/// Fewer requests say nothing.
const ENOUGH: u64 = 100;

/// An endpoint whose hit rate was below its policy's
/// [`warn_below`](crate::Policy::warn_below) in the last hour that was looked at.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LowHitRate {
    /// The endpoint, as it stands in keys.
    pub endpoint: String,
    /// What it was, from 0 to 1.
    pub hit_rate: f64,
    /// What the policy asks for.
    pub wanted: f64,
    /// Why, most likely.
    pub cause: LowCause,
}

/// Why a hit rate is low, most likely.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum LowCause {
    /// Nothing was stored yet: this process is young, or a version or release was changed,
    /// which leaves older entries behind.
    Young,
    /// Each request has a key of its own: a part of it changes, such as a timestamp or an
    /// id.
    ChangingKey,
    /// Entries expire before they are asked for again.
    ShortTtl,
    /// There is no room: entries are evicted before they are asked for again.
    Evictions,
    /// They are invalidated before that.
    Invalidations,
    /// Answers are not stored, or the store fails: see `refusals_by` and `faults`.
    NotStored,
}

impl fmt::Display for LowCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Young => "young: nothing was stored before, or a version was changed",
            Self::ChangingKey => "a part of the key changes with each request",
            Self::ShortTtl => "the TTL is too short",
            Self::Evictions => "memory or Redis is too small",
            Self::Invalidations => "invalidated before it is asked for again",
            Self::NotStored => "answers are not stored",
        })
    }
}

#[derive(Debug, Default)]
pub(crate) struct Low {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When each was looked at last, and what it had counted then.
    last: HashMap<Box<str>, (u64, Stats)>,
    known: HashMap<Box<str>, LowHitRate>,
}

impl Low {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at an endpoint, if an hour has gone since it was looked at.
    pub(crate) fn look(&self, now: u64, endpoint: &str, wanted: f64, stats: Stats) {
        let mut state = self.state();
        let Some((at, before)) = state.last.get(endpoint) else {
            let first = (now, Stats::default());
            state.last.insert(endpoint.into(), first);
            return;
        };
        if now < at + HOUR {
            return;
        }
        let low = low(before, &stats).filter(|(rate, _)| *rate < wanted);
        state.last.insert(endpoint.into(), (now, stats));
        let Some((hit_rate, cause)) = low else {
            state.known.remove(endpoint);
            return;
        };
        tracing::warn!(target: "larder", endpoint, hit_rate, wanted, %cause, "the hit rate is low");
        let low = LowHitRate {
            endpoint: endpoint.into(),
            hit_rate,
            wanted,
            cause,
        };
        state.known.insert(endpoint.into(), low);
    }

    pub(crate) fn known(&self) -> Vec<LowHitRate> {
        let mut known: Vec<_> = self.state().known.values().cloned().collect();
        known.sort_by(|a, b| a.endpoint.cmp(&b.endpoint));
        known
    }
}

/// The hit rate since then, and why it is not higher.
fn low(before: &Stats, now: &Stats) -> Option<(f64, LowCause)> {
    let misses = now.misses - before.misses;
    let all = now.requests() - now.bypasses - (before.requests() - before.bypasses);
    if all < ENOUGH {
        return None;
    }
    let since = |tally: fn(&Stats) -> &Tally<Cause>, cause| {
        tally(now).get(cause) - tally(before).get(cause)
    };
    let by = |cause| since(|stats| &stats.misses_by, cause);
    let fresh = match before.requests() {
        0 => LowCause::Young,
        _ => LowCause::ChangingKey,
    };
    let stores = now.stores - before.stores;
    let causes = [
        (by(Cause::New) + by(Cause::Variant), fresh),
        (by(Cause::Release), LowCause::Young),
        (by(Cause::Expired), LowCause::ShortTtl),
        (by(Cause::Evicted) + by(Cause::Unknown), LowCause::Evictions),
        (by(Cause::Invalidated), LowCause::Invalidations),
        (misses.saturating_sub(stores), LowCause::NotStored),
    ];
    let likeliest = causes.into_iter().max_by_key(|(n, _)| *n)?;
    Some(((all - misses) as f64 / all as f64, likeliest.1))
}
