//! [`Written`]: what counts entries, on its way to Redis.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::store::ledger::Entries;

/// What this process has done to entries, until it is told.
#[derive(Debug, Default)]
pub(super) struct Written(Mutex<Entries>);

impl Written {
    pub(super) fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn removed(&self, n: u64) {
        self.entries().removed += n;
    }
}
