//! The time of day that all who share the clock go by: their Redis server's.
//!
//! Ages of entries are counted from it, so that hosts whose clocks differ, or jump,
//! agree on them. Each beat brings it. It is kept as its distance from this process'
//! monotonic clock, and follows later beats by a millisecond in ten seconds, which is more
//! than clocks drift apart: a slow answer moves ages by no more, and a jump of either
//! clock not at all.

use std::sync::atomic::{AtomicU64, Ordering};

/// Whether it is known, and since which server.
#[derive(Debug, Default)]
pub(super) struct SharedTime {
    /// Milliseconds since 1970 where the monotonic clock began; 0 while it is unknown.
    origin: AtomicU64,
    /// The clock's epoch that it is from: with another one there may be another server.
    epoch: AtomicU64,
    /// When it last followed, on the monotonic clock.
    followed: AtomicU64,
}

/// Two clocks do not drift apart by so many milliseconds in a beat: one has jumped.
const JUMP: u64 = 1_000;
/// How long it does not follow again, in milliseconds.
const STEADY: u64 = 10_000;

impl SharedTime {
    /// The server's time was `server` between two readings of the monotonic clock.
    pub(super) fn heard(&self, epoch: u64, server: u64, (sent, now): (u64, u64)) {
        let origin = server.saturating_sub(sent.midpoint(now)).max(1);
        let known = self.origin.load(Ordering::Relaxed);
        let anew = self.epoch.swap(epoch, Ordering::Relaxed) != epoch;
        let steady = now.saturating_sub(self.followed.load(Ordering::Relaxed)) < STEADY;
        let next = match anew || known == 0 {
            true => origin,
            false if steady || origin.abs_diff(known) > JUMP => return,
            false => origin.clamp(known - 1, known + 1),
        };
        self.followed.store(now, Ordering::Relaxed);
        self.origin.store(next, Ordering::Relaxed);
    }

    /// The server's time now, if it is known.
    pub(super) fn at(&self, now: u64) -> Option<u64> {
        match self.origin.load(Ordering::Relaxed) {
            0 => None,
            origin => Some(origin + now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_servers_from_the_first_beat_on() {
        let time = SharedTime::default();
        assert_eq!(time.at(5), None);
        time.heard(7, 1_000_050, (40, 60));
        assert_eq!(time.at(50), Some(1_000_050));
        assert_eq!(time.at(90), Some(1_000_090));
    }

    #[test]
    fn later_beats_move_it_a_little_jumps_not_and_another_server_at_once() {
        let time = SharedTime::default();
        time.heard(7, 1_000_000, (0, 0));
        time.heard(7, 1_900_000, (20_000, 20_000)); // its clock has jumped
        assert_eq!(time.at(0), Some(1_000_000));
        time.heard(7, 1_020_300, (20_000, 20_000));
        assert_eq!(time.at(0), Some(1_000_001));
        time.heard(7, 1_020_900, (20_500, 20_500)); // not again so soon
        assert_eq!(time.at(0), Some(1_000_001));
        time.heard(7, 1_040_000, (40_000, 40_900)); // a slow answer
        assert_eq!(time.at(0), Some(1_000_000));
        time.heard(8, 1_900_000, (0, 0));
        assert_eq!(time.at(0), Some(1_900_000));
    }
}
