//! What this process has invalidated lately.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::engine::Engine;
use super::handle::Cache;
use crate::generation::Force;
use crate::inspect::{Invalidation, Scope};
use crate::invalidate::{Find, Target, What};
use crate::key::ScopeId;

/// Older ones are forgotten.
const MOST: usize = 50;

#[derive(Debug, Default)]
pub(crate) struct Trail(Mutex<VecDeque<Invalidation>>);

impl Trail {
    fn kept(&self) -> MutexGuard<'_, VecDeque<Invalidation>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same again, as a route's each request brings it, takes no place of its own.
    fn add(&self, new: Invalidation) {
        let mut kept = self.kept();
        if let Some(last) = kept.front_mut()
            && (&last.scope, last.soft) == (&new.scope, new.soft)
        {
            let times = last.times + 1;
            *last = Invalidation { times, ..new };
            return;
        }
        kept.truncate(MOST - 1);
        kept.push_front(new);
    }
}

impl Engine {
    /// Takes down an invalidation, and how many entries went where that is known.
    pub(super) fn note_invalidation(&self, target: &Target, removed: Option<u64>) {
        self.trail.add(Invalidation {
            at: self.clock.wall(),
            scope: scope(target, &self.context.prefix),
            soft: target.force == Force::Soft,
            removed,
            times: 1,
        });
    }
}

/// What it reaches, in words that name nobody: tags and URIs by their hashes.
fn scope(target: &Target, prefix: &str) -> Scope {
    match &target.what {
        What::Scope { ids, how } => match how {
            Find::Key(key) => Scope::Key(key.to_string()),
            Find::Patterns(patterns) => {
                let pattern = patterns.first().map_or("", |pattern| pattern.as_str());
                let family = pattern
                    .strip_prefix(prefix)
                    .and_then(|it| it.strip_prefix(':'));
                match family.and_then(|family| family.split(['[', '@']).next()) {
                    Some(name) => Scope::Endpoint(name.to_owned()),
                    None => Scope::Pattern(pattern.to_owned()), // of values
                }
            }
            Find::Group => Scope::Tag(hash(ids)),
            Find::Uri => Scope::Uri(hash(ids)),
        },
        What::Pattern(pattern) => Scope::Pattern(pattern.as_str().to_owned()),
        What::Everything(_) => Scope::Everything,
    }
}

/// The first of several stands for all.
fn hash(ids: &[ScopeId]) -> String {
    ids.first().map(|id| id.to_hex()).unwrap_or_default()
}

impl Cache {
    /// Begins [`stats`](Self::stats) and [`endpoint_stats`](Self::endpoint_stats) of
    /// this process anew. What instances count together
    /// ([`recent`](Self::recent), [`analytics`](Self::analytics)) and exported metrics go on.
    pub fn reset_stats(&self) {
        self.engine.counters.reset();
    }

    /// The last 50 invalidations of this process, the latest first: those that were
    /// called for, and those that requests brought. Tags and URIs are told by their
    /// hashes.
    #[must_use]
    pub fn invalidations(&self) -> Vec<Invalidation> {
        self.engine.trail.kept().iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: usize) -> Invalidation {
        Invalidation {
            at: std::time::SystemTime::UNIX_EPOCH,
            scope: Scope::Tag(name.to_string()),
            soft: false,
            removed: None,
            times: 1,
        }
    }

    #[test]
    fn the_latest_are_kept_and_the_same_again_counts() {
        let trail = Trail::default();
        for n in 0..100 {
            trail.add(of(n));
        }
        trail.add(of(99));
        let kept = trail.kept();
        assert_eq!((kept.len(), kept[0].times), (MOST, 2));
        assert_eq!(kept[1].scope, Scope::Tag("98".into()));
    }
}
