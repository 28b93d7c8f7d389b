//! Hit rates that are too low: of the whole cache, and of endpoints whose policy asks for
//! one. Each is looked at once a minute has gone and a hundred requests have come, and told
//! with the likeliest cause when it falls, and when it is well again.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::snapshot::Stats;
use crate::outcome::Cause;

/// Milliseconds.
const MINUTE: u64 = 60_000;
/// Fewer requests say nothing.
const ENOUGH: u64 = 100;

/// A hit rate that was under [`Policy::least_hit_rate`](crate::Policy::least_hit_rate), or
/// [`CacheBuilder::least_hit_rate`](crate::CacheBuilder::least_hit_rate), when it was looked
/// at last.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LowHitRate {
    /// The endpoint, as it stands in keys; empty for the whole cache.
    pub endpoint: String,
    /// What it was, from 0 to 1.
    pub hit_rate: f64,
    /// What is asked for.
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
    /// Requests want none of what is stored: `no-cache`, `max-age`, `Authorization`, or a check
    /// that values do not pass.
    Requests,
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
            Self::Requests => {
                "requests take nothing that is stored (no-cache, Authorization, a check of values)"
            }
        })
    }
}

#[derive(Debug, Default)]
pub(crate) struct Low(Mutex<HashMap<Box<str>, Looked>>);

/// When it was looked at last, what it had counted then, and what was found.
#[derive(Debug)]
struct Looked {
    at: u64,
    before: Stats,
    young: bool,
    low: Option<LowHitRate>,
}

impl Low {
    fn looked(&self) -> MutexGuard<'_, HashMap<Box<str>, Looked>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at an endpoint, or under no name at all of them, where it is time.
    pub(crate) fn look(&self, now: u64, endpoint: &str, wanted: f64, stats: Stats) {
        let mut looked = self.looked();
        let Some(last) = looked.get_mut(endpoint) else {
            let first = Looked {
                at: now,
                before: stats,
                young: true,
                low: None,
            };
            looked.insert(endpoint.into(), first);
            return;
        };
        if now < last.at + MINUTE {
            return;
        }
        let Some((hit_rate, cause)) = since(&last.before, &stats, last.young) else {
            return; // too few requests to say
        };
        let was = last.low.take();
        (last.at, last.before, last.young) = (now, stats, false);
        if hit_rate < wanted {
            if was.is_none() {
                tracing::warn!(target: "larder", rule = "hit-rate-low", endpoint, hit_rate, wanted, %cause, "the hit rate is low");
            }
            last.low = Some(LowHitRate {
                endpoint: endpoint.into(),
                hit_rate,
                wanted,
                cause,
            });
        } else if was.is_some() {
            tracing::info!(target: "larder", endpoint, hit_rate, wanted, "the hit rate is well again");
        }
    }

    pub(crate) fn known(&self) -> Vec<LowHitRate> {
        let mut known: Vec<_> = self
            .looked()
            .values()
            .filter_map(|looked| looked.low.clone())
            .collect();
        known.sort_by(|a, b| a.endpoint.cmp(&b.endpoint));
        known
    }
}

/// The hit rate since then, and why it is not higher.
fn since(before: &Stats, now: &Stats, young: bool) -> Option<(f64, LowCause)> {
    let by = |cause| now.misses_by.get(cause) - before.misses_by.get(cause);
    // what is only observed is found, and would be served
    let misses = (now.misses - before.misses).saturating_sub(by(Cause::Observed));
    let all = now.requests() - now.bypasses - (before.requests() - before.bypasses);
    if all < ENOUGH {
        return None;
    }
    let fresh = match young {
        true => LowCause::Young,
        false => LowCause::ChangingKey,
    };
    let stores = now.stores - before.stores;
    let causes = [
        (by(Cause::New) + by(Cause::Variant), fresh),
        (by(Cause::Release), LowCause::Young),
        (by(Cause::Expired), LowCause::ShortTtl),
        (by(Cause::Evicted) + by(Cause::Unknown), LowCause::Evictions),
        (by(Cause::Invalidated), LowCause::Invalidations),
        (
            by(Cause::Request) + by(Cause::Authorization),
            LowCause::Requests,
        ),
        (misses.saturating_sub(stores), LowCause::NotStored),
    ];
    let likeliest = causes.into_iter().max_by_key(|(n, _)| *n)?;
    Some(((all - misses) as f64 / all as f64, likeliest.1))
}
