//! Work that one does at a time, as long as something is heard of him: his task may stand
//! still, for its runtime is not driven or its thread is blocked. Then another one takes over.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Who does it.
#[derive(Debug, Default)]
pub(crate) struct Shift(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    number: u64,
    /// When he is given up. None where nobody does it.
    end: Option<Instant>,
}

impl Shift {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of one who does it from now on, unless somebody does, and whether he takes it
    /// over. Nothing is heard of him for no longer than `longest`.
    pub(crate) fn begin(&self, longest: Duration) -> Option<(u64, bool)> {
        let (mut state, now) = (self.state(), Instant::now());
        if state.end.is_some_and(|end| now < end) {
            return None;
        }
        let over = state.end.replace(now + longest).is_some();
        state.number += 1;
        Some((state.number, over))
    }

    /// Whether it still is his, of whom nothing is heard for no longer than this.
    pub(crate) fn goes_on(&self, number: u64, longest: Duration) -> bool {
        let mut state = self.state();
        let his = state.number == number;
        if his {
            state.end = Some(Instant::now() + longest);
        }
        his
    }

    /// He has ended.
    pub(crate) fn ends(&self, number: u64) {
        let mut state = self.state();
        if state.number == number {
            state.end = None;
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.state().end.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn one_at_a_time_as_long_as_something_is_heard_of_him() {
        let shift = Shift::default();
        assert_eq!(shift.begin(LONGEST), Some((1, false)));
        for _ in 0..3 {
            tokio::time::advance(LONGEST * 3 / 4).await;
            assert_eq!(shift.begin(LONGEST), None);
            assert!(shift.goes_on(1, LONGEST));
        }
        tokio::time::advance(LONGEST).await;
        assert_eq!(shift.begin(LONGEST), Some((2, true)));
        assert!(!shift.goes_on(1, LONGEST));
        shift.ends(1);
        assert!(shift.is_on(), "it is the second's");
        shift.ends(2);
        assert_eq!(shift.begin(LONGEST), Some((3, false)));
    }
}
