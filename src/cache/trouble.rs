//! What keeps beats from the shared clock: told once a minute while it lasts, shown by
//! [`health`](crate::Cache::health), and no reason for each request to try again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::pulse::Pulse;
use crate::error::{StoreError, StoreErrorKind};
use crate::lasting::Outage;

/// After one that has failed no request beats for four times as long as it took, and for
/// no less and no longer than this.
const SHORTEST: Duration = Duration::from_millis(25);
const LONGEST: Duration = Duration::from_millis(800);
/// A server that does not answer has been left alone before so many have failed, and that
/// is told. A refusal is told at once.
const PATIENCE: u32 = 6;

#[derive(Default)]
pub(super) struct Trouble {
    /// The last beat that ended has failed, and nothing stands in for it.
    failed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Of the last beat.
    why: Option<(StoreErrorKind, String)>,
    in_a_row: u32,
    rests: Option<Instant>,
    outage: Outage,
}

impl Trouble {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    pub(super) fn set_failed(&self, failed: bool) {
        self.failed.store(failed, Ordering::Release);
    }

    /// Why the last beat has failed, if it has.
    pub(super) fn why(&self) -> Option<(StoreErrorKind, String)> {
        self.state().why.clone()
    }

    /// Whether it is too early to try again.
    pub(super) fn rests(&self) -> bool {
        self.has_failed() && self.state().rests.is_some_and(|end| Instant::now() < end)
    }

    /// A beat has ended, after so long; `asked` is that Redis is not left alone.
    pub(super) fn ended(&self, error: Option<&StoreError>, took: Duration, asked: bool) {
        let mut state = self.state();
        let Some(error) = error else {
            state.why = None;
            state.in_a_row = 0;
            if let Some(after) = state.outage.ends() {
                tracing::warn!(target: "larder", ?after, "the shared clock in redis is used again");
            }
            return;
        };
        state.why = Some((error.kind(), error.to_string()));
        let pause = (took * 4).clamp(SHORTEST, LONGEST);
        state.rests = asked.then(|| Instant::now() + pause); // who does not ask loses no time
        state.in_a_row = state.in_a_row.saturating_add(1);
        let lasts = error.kind() == StoreErrorKind::Refused || state.in_a_row >= PATIENCE;
        if asked
            && lasts
            && let Some(since) = state.outage.lasts()
        {
            tracing::warn!(target: "larder", %error, ?since, "redis does not keep the shared clock: its entries are not used, nor memory without a lease");
        }
    }
}

impl Pulse {
    /// Whether the shared store is asked.
    pub(super) fn is_asked(&self) -> bool {
        self.fence.open_for().is_none()
    }

    /// The same, and the shared clock can be used.
    pub(crate) fn is_up(&self) -> bool {
        self.is_asked() && self.trouble.why().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOK: Duration = Duration::from_millis(100);

    fn failure() -> StoreError {
        StoreError::new(StoreErrorKind::Timeout, "late")
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_failed_rests_as_long_as_it_took_four_times() {
        let trouble = Trouble::default();
        trouble.ended(Some(&failure()), TOOK, true);
        trouble.set_failed(true);
        assert!(trouble.rests());
        tokio::time::advance(TOOK * 4).await;
        assert!(!trouble.rests());
        trouble.ended(Some(&failure()), TOOK, false);
        assert!(!trouble.rests(), "a breaker that is open costs nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn what_went_well_is_no_trouble() {
        let trouble = Trouble::default();
        trouble.ended(Some(&failure()), TOOK, true);
        assert_eq!(trouble.why().unwrap().0, StoreErrorKind::Timeout);
        trouble.ended(None, TOOK, true);
        trouble.set_failed(false);
        assert!(trouble.why().is_none() && !trouble.rests());
    }
}
