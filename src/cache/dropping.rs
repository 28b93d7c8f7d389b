//! What a store that knows no clock is dropping. Until that has ended nobody reads it: it
//! would be numbered like what came later, and a 304 would make it so for good.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::engine::Engine;
use crate::entry::Entry;
use crate::invalidate::Target;

/// The invalidations that are under way, each under a number of its own.
#[derive(Default)]
pub(crate) struct Dropped {
    targets: Mutex<Vec<(u64, Target)>>,
    next: AtomicU64,
}

impl Dropped {
    fn targets(&self) -> MutexGuard<'_, Vec<(u64, Target)>> {
        let targets = self.targets.lock();
        targets.unwrap_or_else(PoisonError::into_inner)
    }
}

/// The store is dropping something, until this goes.
pub(super) struct Dropping(Arc<Engine>, Option<u64>);

impl Engine {
    /// The store drops these from now on. Where a clock is shared, entries bear its
    /// numbers, and nothing has to be hidden.
    pub(super) fn dropping(self: &Arc<Self>, targets: &[Target]) -> Dropping {
        let plain = self.store.is_some() && self.pulse.is_none();
        let number = plain.then(|| self.clearing.dropped.next.fetch_add(1, Ordering::Relaxed));
        if let Some(number) = number {
            let targets = targets.iter().map(|target| (number, target.clone()));
            self.clearing.dropped.targets().extend(targets);
        }
        Dropping(Arc::clone(self), number)
    }

    /// Whether the store is dropping an entry just now.
    pub(super) fn is_dropped(&self, entry: &Entry) -> bool {
        let targets = self.clearing.dropped.targets();
        targets.iter().any(|(_, target)| target.reaches(entry))
    }
}

impl Drop for Dropping {
    fn drop(&mut self) {
        if let Some(number) = self.1 {
            self.0
                .clearing
                .dropped
                .targets()
                .retain(|(of, _)| *of != number);
        }
    }
}
