//! Which runtimes have timers: without one nobody could end a wait.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use tokio::runtime::{Handle, Id};

/// More than so many that have none are not remembered.
const MOST: usize = 64;

/// Those that have none, as far as they were met.
#[derive(Default)]
pub(crate) struct Timers {
    any: AtomicBool,
    without: RwLock<Vec<Id>>,
}

impl Timers {
    /// Whether this thread's runtime has them.
    pub(super) fn are_there(&self, runtime: &Handle) -> bool {
        if self.are_missing(runtime) {
            return false;
        }
        let there = || std::panic::catch_unwind(|| drop(tokio::time::sleep(Duration::ZERO)));
        if there().is_ok() {
            return true;
        }
        self.miss(runtime.id());
        false
    }

    /// Whether a runtime is known to have none.
    pub(super) fn are_missing(&self, runtime: &Handle) -> bool {
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
