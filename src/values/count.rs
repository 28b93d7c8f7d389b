//! Each look-up is counted once, by how it ends: what memory has where it is
//! found, everything else here.

use std::sync::Arc;
use std::time::Duration;

use super::space::Space;
use crate::outcome::{Fault, Outcome};
use crate::reply;

/// A look-up that memory did not answer. One that is dropped was left behind by
/// its caller.
pub(super) struct Counting<T> {
    space: Arc<Space<T>>,
    began: Duration,
    open: bool,
}

impl<T: Send + Sync + 'static> Counting<T> {
    pub(super) fn begin(space: &Arc<Space<T>>) -> Self {
        space.engine.record();
        Self {
            began: space.engine.clock.precise(),
            space: Arc::clone(space),
            open: true,
        }
    }

    /// It has a value, or there is none.
    pub(super) fn ended(mut self, outcome: &Outcome) {
        self.open = false;
        let counts = &self.space.counts;
        counts.request(outcome, 0);
        let took = self.took();
        match outcome {
            Outcome::Hit { .. } => counts.measured.hit.record(took, 1),
            Outcome::Stale { why, .. } if !why.has_waited() => {
                counts.measured.hit.record(took, 1);
            }
            Outcome::Bypass { .. } => {}
            _ => counts.measured.miss.record(took, 1),
        }
        reply::seen(outcome);
    }

    /// Its loader has failed, and nothing stood in.
    pub(super) fn failed(mut self) {
        self.open = false;
        self.space.counts.unanswered(true);
        self.space.counts.fault(Fault::Handler);
    }

    fn took(&self) -> Duration {
        let now = self.space.engine.clock.precise();
        now.saturating_sub(self.began)
    }
}

impl<T> Drop for Counting<T> {
    fn drop(&mut self) {
        if self.open {
            self.space.counts.unanswered(true);
            self.space.counts.abandoned();
        }
    }
}

impl<T: Send + Sync + 'static> Space<T> {
    /// A look-up in which the cache takes no part.
    pub(super) fn passed(&self, outcome: &Outcome) {
        self.counts.request(outcome, 0);
        reply::seen(outcome);
    }
}
