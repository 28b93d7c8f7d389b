//! The circuit breaker: after five failures in a row nothing is asked, except
//! for one probe a second.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const FAILURES: u32 = 5;
const REST: Duration = Duration::from_secs(1);

/// Times are readings of one monotonic clock.
#[derive(Debug)]
pub(super) struct Breaker {
    /// The state is `Closed { failures: 0 }`. Changed under its lock; while it
    /// stays so, nobody takes that.
    calm: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Everything is asked; so many failures since the last answer.
    Closed { failures: u32 },
    /// Nothing is asked until then; then one is. It opened at `since`.
    Open { until: Duration, since: Duration },
}

impl Breaker {
    pub(super) fn new() -> Self {
        Self {
            calm: AtomicBool::new(true),
            state: Mutex::new(State::Closed { failures: 0 }),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(|broken| broken.into_inner())
    }

    /// Whether to ask now. Of those who come while it is open, the first after
    /// the rest is the probe; the next one is let through a rest later, also
    /// if the probe never says how it ended.
    #[inline]
    pub(super) fn admits(&self, now: impl FnOnce() -> Duration) -> bool {
        self.calm.load(Ordering::Relaxed) || self.state_admits(now())
    }

    fn state_admits(&self, now: Duration) -> bool {
        let mut state = self.state();
        match *state {
            State::Closed { .. } => true,
            State::Open { until, .. } if now < until => false,
            State::Open { since, .. } => {
                let until = now + REST;
                *state = State::Open { until, since };
                true
            }
        }
    }

    /// An answer came.
    #[inline]
    pub(super) fn success(&self) {
        if !self.calm.load(Ordering::Relaxed) {
            self.calm_down();
        }
    }

    fn calm_down(&self) {
        let mut state = self.state();
        if let State::Open { .. } = *state {
            tracing::warn!(target: "larder", "redis answers again");
        }
        *state = State::Closed { failures: 0 };
        self.calm.store(true, Ordering::Relaxed);
    }

    /// No answer came, or one that says that none will.
    pub(super) fn failure(&self, now: Duration) {
        let mut state = self.state();
        self.calm.store(false, Ordering::Relaxed);
        *state = match *state {
            State::Closed { failures } if failures + 1 < FAILURES => State::Closed {
                failures: failures + 1,
            },
            State::Closed { .. } => {
                tracing::warn!(target: "larder", "redis does not answer, it is left alone");
                let (until, since) = (now + REST, now);
                State::Open { until, since }
            }
            State::Open { since, .. } => {
                let until = now + REST;
                State::Open { until, since }
            }
        };
    }

    /// How long ago it has opened; none while it is closed.
    pub(super) fn open_for(&self, now: Duration) -> Option<Duration> {
        match *self.state() {
            State::Closed { .. } => None,
            State::Open { since, .. } => Some(now.saturating_sub(since)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(10_000 + millis)
    }

    fn opened() -> Breaker {
        let breaker = Breaker::new();
        for n in 0..5 {
            assert!(breaker.admits(|| at(n)));
            breaker.failure(at(n));
        }
        breaker
    }

    #[test]
    fn it_opens_after_five_failures_in_a_row() {
        assert!(!opened().admits(|| at(10)));
    }

    #[test]
    fn it_opens_however_slow_the_failures_are() {
        let breaker = Breaker::new();
        for n in 0..5 {
            assert!(breaker.admits(|| at(n * 2_000)));
            breaker.failure(at(n * 2_000));
        }
        assert!(!breaker.admits(|| at(8_500)));
    }

    #[test]
    fn an_answer_between_failures_keeps_it_closed() {
        let breaker = Breaker::new();
        for n in 0..20 {
            breaker.failure(at(n));
            breaker.success();
        }
        assert!(breaker.admits(|| at(30)));
    }

    #[test]
    fn one_probe_a_second_and_its_answer_closes_it() {
        let breaker = opened();
        assert!(breaker.admits(|| at(1_010)), "the probe");
        assert!(!breaker.admits(|| at(1_011)), "one at a time");
        assert!(
            breaker.admits(|| at(2_011)),
            "the next, if the first never ended"
        );
        breaker.failure(at(2_020));
        assert!(!breaker.admits(|| at(3_000)));
        assert!(breaker.admits(|| at(3_021)));
        breaker.success();
        assert!(breaker.admits(|| at(3_022)) && breaker.admits(|| at(3_023)));
    }
}
