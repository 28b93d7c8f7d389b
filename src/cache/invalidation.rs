//! Invalidation: the clock first, then memory, then the store, and the clock
//! once more for what was read from the store in between.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join;

use super::confirm::Untold;
use super::engine::Engine;
use super::reclaim::Wish;
use crate::error::{BoxError, InvalidateError, StoreError, StoreErrorKind};
use crate::generation::{Force, Rule, Stamp, Watch, keeps};
use crate::invalidate::{Find, Invalidated, Target, What};
use crate::store::{Group, Removal, Removed};

pub(super) const NO_RUNTIME: &str = "there is no tokio runtime with timers";

/// An entry that an invalidation may have made itself.
pub(super) type Watching = Mutex<Option<Watch>>;

impl Engine {
    /// Invalidates in memory and in the store. Its caller sees that it goes on to its end.
    pub(crate) async fn invalidate(
        self: &Arc<Self>,
        target: Target,
    ) -> Result<Invalidated, StoreError> {
        self.counters.invalidations(1);
        self.fence(&target);
        let (memory, reached) = match self.store {
            None => (self.sweep(&target).await, Reached::default()),
            Some(_) => self.invalidate_store(&target).await?,
        };
        let store = reached.removed;
        if target.force != Force::Soft {
            self.count_removed(&memory, &store);
        }
        let done = Invalidated {
            memory: memory.entries,
            store: store.entries,
            primaries: store.primaries,
            confirmed: reached.confirmed,
        };
        self.note_invalidation(&target, Some(done.removed()));
        Ok(done)
    }

    /// Reaches the store while memory is swept.
    async fn invalidate_store(
        self: &Arc<Self>,
        target: &Target,
    ) -> Result<(Removed, Reached), StoreError> {
        let targets = std::slice::from_ref(target);
        let (dropping, untold) = (self.dropping(targets), self.untold_of(targets));
        if !self.has_runtime() {
            drop(untold);
            self.sweep(target).await;
            return Err(self.untold(NO_RUNTIME));
        }
        let rest = async move {
            let reached = self.reach(targets, Wish::Done, untold).await;
            if keeps(Rule::FencedTwice) {
                self.fence(target);
            }
            drop(dropping);
            let again = match target.force {
                Force::Erase => self.sweep(target).await, // its bytes are to be nowhere
                Force::Hard | Force::Soft => Removed::default(),
            };
            (again, reached)
        };
        let (mut memory, (again, reached)) = join(self.sweep(target), rest).await;
        memory += again;
        Ok((memory, reached?))
    }

    /// Moves the clock: from now on memory serves nothing of the target that
    /// is there yet.
    pub(crate) fn fence(self: &Arc<Self>, target: &Target) {
        if self.generations.advance(target, self.now()) {
            self.forget_soon();
        }
    }

    pub(super) fn fence_watched(self: &Arc<Self>, target: &Target, watching: &Watching) {
        let mut watch = watching.lock().unwrap_or_else(PoisonError::into_inner);
        let (generations, now) = (&self.generations, self.now());
        let crowded = generations.advance_watched(target, now, watch.as_mut());
        drop(watch);
        if crowded {
            self.forget_soon();
        }
    }

    /// What an invalidation of this target would remove now.
    pub(crate) async fn count(&self, target: &Target) -> Result<Invalidated, StoreError> {
        let memory = self
            .memory
            .count(|held| target.reaches(&held.entry) && held.valid(&self.generations));
        let mut found = Removed::default();
        if let Some(store) = &self.store {
            if !self.has_runtime() {
                return Err(StoreError::new(StoreErrorKind::Unavailable, NO_RUNTIME));
            }
            let beside = self.beside(target);
            for removal in removals(target).into_iter().chain(patterns(&beside)) {
                found += store.count(removal).await?;
            }
        }
        Ok(Invalidated {
            memory,
            store: found.entries,
            primaries: found.primaries,
            ..Invalidated::default()
        })
    }

    /// Reaches what others hold: fences it, removes it from the store, and waits
    /// until nobody serves it any more.
    pub(super) async fn reach(
        self: &Arc<Self>,
        targets: &[Target],
        wish: Wish,
        untold: Untold,
    ) -> Result<Reached, StoreError> {
        let told = match self.tell(untold).await {
            // what is told later is invalid all the same: nobody waits for its space
            Err(error) if wish == Wish::Done && !erases(targets) => {
                self.remove_behind(targets);
                return Err(error);
            }
            told => told,
        };
        let stamp = match &told {
            Ok(Some(told)) => told.stamp,
            _ => Stamp::default(),
        };
        let removed = async {
            let mut removed = Removed::default();
            for target in targets {
                // where no clock is shared, nobody would find it stale
                if target.force != Force::Soft || self.pulse.is_none() {
                    removed += self.remove(target, wish).await?;
                }
            }
            Ok(removed)
        };
        let (removed, confirmed) = join(removed, self.confirmed(told)).await;
        let confirmed = confirmed?;
        let removed = match removed {
            // nobody serves what is left: it is a matter of space
            Err(error) if stamp.is_known() => {
                if let Some(times) = self.faults.left.happened(self.now()) {
                    tracing::warn!(target: "larder", %error, times, "entries that are invalid stay until their TTL ends");
                }
                Removed::default()
            }
            removed => removed?,
        };
        Ok(Reached {
            removed,
            confirmed,
            stamp,
        })
    }

    /// Others were not reached.
    pub(super) fn untold(&self, why: impl Into<BoxError>) -> StoreError {
        let error = StoreError::new(StoreErrorKind::Unavailable, why);
        self.counters.store_error(&error);
        error
    }

    /// What one who has called for an invalidation is told of that.
    pub(super) fn not_told(&self, error: StoreError) -> InvalidateError {
        match self.pulse.is_some() {
            true => InvalidateError::queued(error),
            false => InvalidateError::store(error),
        }
    }

    /// What lies beside the prefix, where everything is to go.
    fn beside(&self, target: &Target) -> Vec<String> {
        match target.what {
            What::Everything(_) => self.context.namespaces.patterns(),
            _ => Vec::new(),
        }
    }

    pub(super) async fn remove(&self, target: &Target, wish: Wish) -> Result<Removed, StoreError> {
        let mut removed = Removed::default();
        let Some(store) = &self.store else {
            return Ok(removed);
        };
        let beside = self.beside(target);
        for removal in removals(target).into_iter().chain(patterns(&beside)) {
            match self.reclaim(&**store, removal, wish).await {
                Ok(n) => removed += n,
                Err(error) => {
                    self.counters.store_error(&error);
                    return Err(error);
                }
            }
        }
        Ok(removed)
    }
}

/// Whether bytes are to be nowhere.
fn erases(targets: &[Target]) -> bool {
    targets.iter().any(|target| target.force == Force::Erase)
}

/// What came of reaching others.
#[derive(Default)]
pub(super) struct Reached {
    pub(super) removed: Removed,
    /// Processes that have confirmed.
    confirmed: u64,
    /// The shared clock after it.
    pub(super) stamp: Stamp,
}

fn patterns(texts: &[String]) -> impl Iterator<Item = Removal<'_>> {
    texts.iter().map(|text| Removal::Pattern(text))
}

/// What the store is told to remove.
fn removals(target: &Target) -> Vec<Removal<'_>> {
    match &target.what {
        What::Scope { ids, how } => match how {
            Find::Key(key) => vec![Removal::Key(key)],
            Find::Group | Find::Uri => ids.iter().map(|id| Removal::Group(Group(*id))).collect(),
            Find::Patterns(patterns) => {
                let patterns = patterns.iter();
                patterns.map(|it| Removal::Pattern(it.as_str())).collect()
            }
        },
        What::Pattern(pattern) | What::Everything(pattern) => {
            vec![Removal::Pattern(pattern.as_str())]
        }
    }
}
