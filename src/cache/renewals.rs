//! Entries that are being renewed behind their requests' backs: each by one at
//! a time.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::key::Canonical;

#[derive(Clone, Default)]
pub(crate) struct Renewals(Arc<Mutex<HashSet<Canonical>>>);

/// The turn to renew one entry; it ends when it is dropped.
pub(crate) struct Turn(Renewals, Canonical);

impl Renewals {
    fn lock(&self) -> MutexGuard<'_, HashSet<Canonical>> {
        self.0.lock().unwrap_or_else(|broken| broken.into_inner())
    }

    /// The turn, unless somebody has it.
    pub(crate) fn begin(&self, place: &Canonical) -> Option<Turn> {
        let mine = self.lock().insert(Arc::clone(place));
        mine.then(|| Turn(self.clone(), Arc::clone(place)))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.lock().remove(&self.1);
    }
}
