//! The circuit breaker of one server: after five failures in a row nothing is
//! asked, until `mend.rs` has found that it answers again.
//!
//! | event | closed | open |
//! |---|---|---|
//! | an answer | closed, nothing counted | closed: one that was on its way |
//! | a failure | open if it is the fifth since the last answer | open |
//! | a timeout | the same, unless others were answered meanwhile | open |
//! | no connection to be had | open | open |
//! | mended | | closed, and the next failure opens it again |
//!
//! A timeout on a connection that has answered others since is a wait for one's
//! turn: a busy connection is no outage. Reads that go together are one that is asked.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const FAILURES: u32 = 5;

#[derive(Debug)]
pub(super) struct Breaker {
    /// The state is `Closed { failures: 0 }`. Changed under its lock; while it
    /// stays so, nobody takes that.
    calm: AtomicBool,
    state: Mutex<State>,
    /// Counts answers.
    answers: AtomicU32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Everything is asked; so many failures since the last answer.
    Closed { failures: u32 },
    /// Nothing is asked, since then.
    Open { since: Instant },
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            calm: AtomicBool::new(true),
            state: Mutex::new(State::Closed { failures: 0 }),
            answers: AtomicU32::new(0),
        }
    }
}

impl Breaker {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether to ask now.
    #[inline]
    pub(super) fn admits(&self) -> bool {
        self.calm.load(Ordering::Relaxed) || self.open_for().is_none()
    }

    /// Answers so far: who asks notes them.
    #[inline]
    pub(super) fn answers(&self) -> u32 {
        self.answers.load(Ordering::Relaxed)
    }

    /// An answer came.
    #[inline]
    pub(super) fn success(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
        if !self.calm.load(Ordering::Relaxed) {
            self.close(0);
        }
    }

    /// No answer came in time to who had noted `answers`. `true` if that opens it.
    pub(super) fn timeout(&self, answers: u32) -> bool {
        answers == self.answers() && self.failure()
    }

    /// An answer came that says that there will be none, or the connection ended.
    /// `true` if that opens it.
    pub(super) fn failure(&self) -> bool {
        let failures = match *self.state() {
            State::Closed { failures } => failures + 1,
            State::Open { .. } => FAILURES,
        };
        if failures < FAILURES {
            self.close(failures);
            return false;
        }
        self.open()
    }

    /// There is no connection to be had. `true` if that opens it.
    pub(super) fn open(&self) -> bool {
        let mut state = self.state();
        if let State::Open { .. } = *state {
            return false;
        }
        let since = Instant::now();
        *state = State::Open { since };
        self.calm.store(false, Ordering::Relaxed);
        true
    }

    /// It answers again, to one question at least.
    pub(super) fn mended(&self) {
        self.close(FAILURES - 1);
    }

    fn close(&self, failures: u32) {
        let mut state = self.state();
        *state = State::Closed { failures };
        self.calm.store(failures == 0, Ordering::Relaxed);
    }

    /// How long ago it has opened; none while it is closed.
    pub(super) fn open_for(&self) -> Option<Duration> {
        match *self.state() {
            State::Closed { .. } => None,
            State::Open { since } => Some(since.elapsed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened() -> Breaker {
        let breaker = Breaker::default();
        let opens: Vec<bool> = (0..6).map(|_| breaker.failure()).collect();
        assert_eq!(opens, [false, false, false, false, true, false]);
        breaker
    }

    #[test]
    fn it_opens_after_five_failures_in_a_row() {
        assert!(!opened().admits());
    }

    #[test]
    fn an_answer_between_failures_keeps_it_closed() {
        let breaker = Breaker::default();
        for _ in 0..20 {
            breaker.failure();
            breaker.success();
        }
        assert!(breaker.admits());
    }

    #[test]
    fn who_waited_while_others_were_answered_opens_nothing() {
        let breaker = Breaker::default();
        for _ in 0..20 {
            let noted = breaker.answers();
            breaker.success(); // another one's
            assert!(!breaker.timeout(noted));
        }
        assert!(breaker.admits());
        let noted = breaker.answers();
        let opens = (0..5).filter(|_| breaker.timeout(noted)).count();
        assert_eq!((opens, breaker.admits()), (1, false));
    }

    #[test]
    fn without_a_connection_it_opens_at_once() {
        let breaker = Breaker::default();
        assert!(breaker.open() && !breaker.open());
        assert!(!breaker.admits());
    }

    #[test]
    fn once_mended_it_opens_at_the_first_failure_and_not_after_an_answer() {
        let breaker = opened();
        breaker.mended();
        assert!(breaker.admits());
        assert!(breaker.failure() && !breaker.admits());
        breaker.mended();
        breaker.success();
        assert!(!breaker.failure() && breaker.admits());
    }

    #[test]
    fn an_answer_that_was_on_its_way_closes_it() {
        let breaker = opened();
        breaker.success();
        assert!(breaker.admits());
    }
}
