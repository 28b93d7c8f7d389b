//! The time of day that all who share the clock go by: their Redis server's.
//!
//! Ages of entries are counted from it, so that hosts whose clocks differ, or jump,
//! agree on them. Each beat brings it. It is kept as its distance from this process'
//! monotonic clock, and follows later beats by a millisecond in ten seconds, which is more
//! than clocks drift apart: a slow answer moves ages by no more, and a jump of either
//! clock not at all, unless it lasts. Then the server's clock was put right, or another
//! server goes on with the same epoch, and whoever comes later goes by that: so do all. What a
//! slow answer told at first, such as that which made the connection, is off by half of its
//! time at most: one that took half as long, or less, puts it right at once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Whether it is known, and since which server.
#[derive(Debug, Default)]
pub(super) struct SharedTime {
    /// Milliseconds since 1970 where the monotonic clock began; 0 while it is unknown.
    origin: AtomicU64,
    /// The clock's epoch that it is from: with another one there may be another server.
    epoch: AtomicU64,
    /// Half of the time that the answer took which it is from: it is no further off.
    doubt: AtomicU64,
    /// When it last followed, on the monotonic clock.
    followed: AtomicU64,
    jumped: Mutex<Option<Jumped>>,
}

/// Another distance, which beats in a row have told.
#[derive(Debug)]
struct Jumped {
    origin: u64,
    /// Since when, on the monotonic clock,
    since: u64,
    /// and how many.
    beats: u32,
}

/// Two clocks do not drift apart by so many milliseconds in a beat: one has jumped.
const JUMP: u64 = 1_000;
/// Of one distance beats tell the same, but for so many milliseconds.
const SAME: u64 = 200;
/// How long it does not follow again, in milliseconds; a jump lasts as long, and so many beats.
const STEADY: u64 = 10_000;
const BEATS: u32 = 20;

impl SharedTime {
    /// The server's time was `server` between two readings of the monotonic clock. `true`
    /// where it has jumped, and is followed.
    pub(super) fn heard(&self, epoch: u64, server: u64, (sent, now): (u64, u64)) -> bool {
        let origin = server.saturating_sub(sent.midpoint(now)).max(1);
        let known = self.origin.load(Ordering::Relaxed);
        let anew = self.epoch.swap(epoch, Ordering::Relaxed) != epoch;
        let steady = now.saturating_sub(self.followed.load(Ordering::Relaxed)) < STEADY;
        let fresh = anew || known == 0;
        let (off, half) = (origin.abs_diff(known), now.saturating_sub(sent) / 2);
        let doubt = self.doubt.load(Ordering::Relaxed);
        let better = !fresh && half * 2 <= doubt && off <= doubt + half + 1; // in whole milliseconds
        let jumps = !fresh && off > JUMP;
        let lasts = self.lasts(jumps.then_some(origin), now);
        let taken = fresh || lasts || better;
        let next = match taken {
            true => origin,
            false if jumps || steady => return false,
            false => origin.clamp(known - 1, known + 1),
        };
        if taken {
            self.doubt.store(half, Ordering::Relaxed);
        }
        self.followed.store(now, Ordering::Relaxed);
        self.origin.store(next, Ordering::Relaxed);
        lasts
    }

    /// Whether a distance that is no drift has been told for long enough.
    fn lasts(&self, jumped: Option<u64>, now: u64) -> bool {
        let mut before = self.jumped.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |known: &Jumped| jumped.is_some_and(|it| it.abs_diff(known.origin) <= SAME);
        let known = before.take().filter(same);
        let Some(origin) = jumped else {
            return false; // it was no more than a moment's
        };
        let (since, beats) = known.map_or((now, 0), |known| (known.since, known.beats));
        let beats = beats + 1;
        let lasts = beats >= BEATS && now.saturating_sub(since) >= STEADY;
        if !lasts {
            *before = Some(Jumped {
                origin,
                since,
                beats,
            });
        }
        lasts
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

    #[test]
    fn what_a_slow_first_answer_told_is_put_right_by_a_quicker_one() {
        let time = SharedTime::default();
        time.heard(7, 1_000_390, (0, 420)); // the connection was made first
        assert_eq!(time.at(0), Some(1_000_180));
        time.heard(7, 1_000_905, (900, 910));
        assert_eq!(time.at(0), Some(1_000_000));
        time.heard(7, 1_001_600, (1_400, 1_650)); // a slow one
        assert_eq!(time.at(0), Some(1_000_000));
        time.heard(7, 1_002_300, (2_000, 2_002)); // quicker, and a jump
        assert_eq!(time.at(0), Some(1_000_000));
    }

    /// Beats from `from` on, each after `every`, by a server whose clock began at `origin`.
    /// Those that were followed.
    fn beats(time: &SharedTime, origin: u64, from: u64, every: u64, count: u64) -> Vec<u64> {
        let beats = (0..count).map(|n| from + n * every);
        let slow = |now: u64| (now / every) % 3 * 50; // an answer takes a while
        let followed = |now: &u64| time.heard(7, origin + now + slow(*now), (*now, *now));
        beats.filter(followed).collect()
    }

    #[test]
    fn a_jump_that_lasts_is_followed_by_all() {
        for (origin, every, at) in [
            (1_600_000, 500, 10_000),
            (400_000, 100, 10_000),
            (7_000_000, 5_000, 95_000),
        ] {
            let time = SharedTime::default();
            assert_eq!(beats(&time, 1_000_000, 0, every, 10), [0; 0]);
            let from = 10 * every;
            let before = at / every;
            assert_eq!(beats(&time, origin, from, every, before), [0; 0], "{every}");
            assert!(time.at(0).unwrap().abs_diff(1_000_000) < 200);
            assert_eq!(
                beats(&time, origin, from + at, every, 1),
                [from + at],
                "{every}"
            );
            assert!(time.at(0).unwrap().abs_diff(origin) < 200);
            assert_eq!(beats(&time, origin, from + at + every, every, 50), [0; 0]);
        }
    }

    #[test]
    fn one_that_does_not_last_is_not() {
        let time = SharedTime::default();
        let mut now = 0;
        for round in 0..20 {
            for (origin, count) in [(1_000_000, 1), (1_600_000 + round, 19)] {
                assert_eq!(beats(&time, origin, now, 600, count), [0; 0]);
                now += 600 * count;
            }
        }
        assert!(time.at(0).unwrap().abs_diff(1_000_000) < 200);
    }
}
