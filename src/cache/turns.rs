//! Whose turn it is to beat. One beats at a time, and takes over what it hears while it is
//! its turn.
//!
//! Its task may stand still in the middle: its runtime is not driven, or its thread is
//! blocked. Others wait no longer for it than its step may take. Then its turn is over, and
//! what it hears afterwards is of no use: the lease it would bring may be of a row that has
//! gone since, and the clock of an epoch that has ended.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as One, OwnedMutexGuard};
use tokio::time::{Instant, timeout_at};

/// A beat is so many operations at most,
pub(super) const BEAT: u32 = 4;
/// and the whole of the clock takes as long as so many.
pub(super) const SNAPSHOT: u32 = 9;

#[derive(Default)]
pub(super) struct Turns(Mutex<State>);

#[derive(Default)]
struct State {
    /// Of the turn that began last.
    number: u64,
    /// Held in it.
    one: Arc<One<()>>,
    /// When it is over, if nothing more is heard of it.
    end: Option<Instant>,
    known: Known,
}

/// More epochs that have ended are not remembered.
const MOST_ENDED: usize = 64;

/// What is known of the shared clock: the epoch, and since when.
#[derive(Default)]
pub(super) struct Known {
    pub(super) epoch: u64,
    pub(super) base: u64,
    pub(super) since: Option<Instant>,
    /// When all of it was known last, in milliseconds on the monotonic clock.
    pub(super) all: Option<u64>,
    /// The epochs before, the last one last.
    ended: VecDeque<u64>,
}

impl Known {
    /// Goes by this clock from now on.
    pub(super) fn begins(&mut self, epoch: u64, base: u64) {
        if self.epoch != epoch && self.epoch != 0 {
            if self.ended.len() == MOST_ENDED {
                self.ended.pop_front();
            }
            self.ended.push_back(self.epoch);
        }
        (self.epoch, self.base, self.since) = (epoch, base, Some(Instant::now()));
    }

    /// Whether it has been another one since. Then what was invalidated meanwhile is not in it,
    /// and what was stored before would be served again.
    pub(super) fn has_ended(&self, epoch: u64) -> bool {
        self.ended.contains(&epoch)
    }
}

/// A turn, until it is dropped or over.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    number: u64,
    _one: OwnedMutexGuard<()>,
}

impl Turns {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, state: &mut State, one: OwnedMutexGuard<()>, longest: Duration) -> Turn<'_> {
        state.number += 1;
        state.end = Some(Instant::now() + longest);
        Turn {
            turns: self,
            number: state.number,
            _one: one,
        }
    }

    /// Its turn, if it is nobody else's. Its first step takes no longer than `longest`.
    pub(super) fn try_take(&self, longest: Duration) -> Option<Turn<'_>> {
        let mut state = self.state();
        let over = state.end.is_some_and(|end| end <= Instant::now());
        if over && state.one.try_lock().is_err() {
            state.one = Arc::default(); // whoever waits for the other one comes back
        }
        let one = Arc::clone(&state.one).try_lock_owned().ok()?;
        Some(self.begin(&mut state, one, longest))
    }

    /// Waits for its turn.
    pub(super) async fn take(&self, longest: Duration) -> Turn<'_> {
        loop {
            if let Some(turn) = self.try_take(longest) {
                return turn;
            }
            let (one, end) = {
                let state = self.state();
                let end = state.end.unwrap_or_else(Instant::now);
                (Arc::clone(&state.one), end)
            };
            if let Ok(one) = timeout_at(end, one.lock_owned()).await {
                let mut state = self.state();
                if Arc::ptr_eq(&state.one, OwnedMutexGuard::mutex(&one)) {
                    return self.begin(&mut state, one, longest);
                }
            }
        }
    }
}

impl Turn<'_> {
    /// Does something with what is known, if it still is its turn.
    pub(super) fn with<T>(&self, does: impl FnOnce(&mut Known) -> T) -> Option<T> {
        let mut state = self.turns.state();
        (state.number == self.number).then(|| does(&mut state.known))
    }

    /// The same, where its next step takes no longer than this.
    pub(super) fn goes_on<T>(
        &self,
        longest: Duration,
        does: impl FnOnce(&Known) -> T,
    ) -> Option<T> {
        let mut state = self.turns.state();
        (state.number == self.number).then(|| {
            state.end = Some(Instant::now() + longest);
            does(&state.known)
        })
    }

    pub(super) fn lasts(&self) -> bool {
        self.turns.state().number == self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn who_stands_still_is_waited_for_as_long_as_his_step_may_take() {
        let turns = Turns::default();
        let first = turns.take(LONGEST).await;
        assert!(turns.try_take(LONGEST).is_none());
        let began = Instant::now();
        let second = turns.take(LONGEST).await;
        assert_eq!(began.elapsed(), LONGEST);
        assert!(!first.lasts() && second.lasts());
        assert!(first.with(|known| known.epoch = 7).is_none());
        assert_eq!(second.with(|known| known.epoch), Some(0));
        drop(first);
        assert!(turns.try_take(LONGEST).is_none(), "it is the second's");
        drop(second);
        assert!(turns.try_take(LONGEST).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn who_goes_on_is_waited_for() {
        let turns = Turns::default();
        let first = turns.take(LONGEST).await;
        let wait = async {
            let second = turns.take(LONGEST).await;
            (second.lasts(), Instant::now())
        };
        let work = async {
            for _ in 0..5 {
                assert!(first.goes_on(LONGEST, |_| ()).is_some());
                tokio::time::sleep(LONGEST * 9 / 10).await;
            }
            assert!(first.lasts());
            drop(first);
            Instant::now()
        };
        let ((second, began), ended) = futures_util::future::join(wait, work).await;
        assert!(second);
        assert_eq!(began, ended, "at once");
    }

    #[tokio::test(start_paused = true)]
    async fn one_whose_turn_has_come_and_who_does_not_hear_of_it_keeps_it_from_nobody() {
        let turns = Turns::default();
        let first = turns.take(LONGEST).await;
        let mut deaf = Box::pin(turns.take(LONGEST));
        assert!(futures_util::FutureExt::now_or_never(&mut deaf).is_none());
        drop(first); // it is his, and nobody polls him
        let second = turns.take(LONGEST).await;
        assert!(second.lasts());
        drop(second);
        assert!(deaf.await.lasts());
    }
}
