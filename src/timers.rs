//! Which runtimes have timers: without one nobody could end a wait.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use tokio::runtime::{Handle, Id};

/// What who would wait is told.
pub(crate) const NONE: &str = "no tokio runtime with timers: nobody could end a wait";

/// More than so many that have none are not remembered.
const MOST: usize = 64;

/// What is known of runtimes that were met.
#[derive(Default)]
pub(crate) struct Timers {
    hasher: ahash::RandomState,
    /// The hash of the last one that has them.
    with: AtomicU64,
    any: AtomicBool,
    /// Those that have none.
    without: RwLock<Vec<Id>>,
}

impl Timers {
    /// Whether this thread's runtime has them.
    pub(crate) fn are_there(&self, runtime: &Handle) -> bool {
        let name = self.hasher.hash_one(runtime.id());
        if self.with.load(Ordering::Relaxed) == name {
            return true;
        }
        if self.are_missing(runtime) {
            return false;
        }
        let found = are_there();
        match found {
            true => self.with.store(name, Ordering::Relaxed),
            false => self.miss(runtime.id()),
        }
        found
    }

    /// Whether a runtime is known to have none.
    pub(crate) fn are_missing(&self, runtime: &Handle) -> bool {
        let without = || self.without.read().unwrap_or_else(PoisonError::into_inner);
        self.any.load(Ordering::Acquire) && without().contains(&runtime.id())
    }

    #[cold]
    fn miss(&self, id: Id) {
        let mut without = self.without.write().unwrap_or_else(PoisonError::into_inner);
        if without.len() >= MOST {
            without.remove(0);
        }
        without.push(id);
        self.any.store(true, Ordering::Release);
    }
}

/// The same for who does not remember it, and where there may be no runtime at all.
pub(crate) fn are_there() -> bool {
    let timer = || drop(tokio::time::sleep(Duration::ZERO));
    Handle::try_current().is_ok() && std::panic::catch_unwind(timer).is_ok()
}
