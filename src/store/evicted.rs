//! Who has left the memory tier, and why.

use std::sync::Arc;

use quick_cache::Lifecycle;

use super::slot::{Place, Slot};
use crate::clock::{Clock, millis};
use crate::entry::Held;
use crate::stats::Traces;

/// Counts what had to go.
#[derive(Debug, Clone)]
pub(super) struct Evicted {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) traces: Arc<Traces>,
}

/// What is being put in: what lay there before makes way for it, and not for lack of room.
#[derive(Default)]
pub(super) struct Put(pub(super) Option<Slot>);

impl Put {
    fn replaces(&self, old: &Arc<Held>) -> bool {
        match &self.0 {
            Some(Slot::Entry(new)) => !Arc::ptr_eq(new, old) && new.is_of(&old.entry.canonical),
            Some(marker) => marker.is_of(&old.entry.canonical),
            None => false,
        }
    }
}

impl Lifecycle<Place, Slot> for Evicted {
    type RequestState = Put;

    fn on_evict(&self, put: &mut Put, _place: Place, slot: Slot) {
        if let Slot::Entry(held) = slot
            && !put.replaces(&held)
        {
            let why = held.evicted(millis(self.clock.monotonic()));
            self.traces.evicted(&held.entry.canonical, why);
        }
    }
}
