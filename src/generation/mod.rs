//! The invalidation clock of this process: what keeps a late write from
//! bringing back what was invalidated.
//!
//! A fill notes the clock *before* its handler starts. Invalidating a scope
//! moves the clock on and writes the new number to the scope; a pattern's
//! number is kept beside it as a ban. An entry is valid while none of its
//! scopes, and no ban that matches it, has a number above its own. So an old
//! fill defeats itself: whenever it lands, its number is too low.
//!
//! Why nothing invalidated is served after the call has returned:
//!
//! 1. The note is taken before the handler starts. (`a_fill_that_began_before_is_refused`)
//! 2. An entry found in the memory tier is checked on every hit; the check is
//!    one comparison while no invalidation has happened since the last.
//!    (`a_check_is_remembered_until_the_next_invalidation`)
//! 3. What is read from the store is stamped with the clock from before the
//!    read, and the clock is moved once more after the store has dropped its
//!    entries, so that what was read in between is invalid too. (`invalidate`
//!    in `cache/invalidation.rs`; `tests/invalidation.rs`)
//! 4. What is written to the store is checked again when the write has ended,
//!    and removed if it is no longer valid. (`cache/keep.rs`; `tests/invalidation.rs`)
//! 5. Old numbers are forgotten only after the memory tier was swept by them;
//!    what is left is renumbered, and a fill noted below that floor is refused.
//!    (`forgetting_keeps_the_living_and_refuses_the_late`)
//!
//! Processes that share a Redis share a second clock of the same kind, which lies
//! there (`store/redis/fence.rs`) and which each of them mirrors (`mirror.rs`). What
//! one process invalidates moves that clock; the others hear of it and move their
//! own. Why none of them serves it after the call has returned:
//!
//! 6. An entry carries the reading of the shared clock from before its handler
//!    started. One from the store is checked by it, so a late write defeats itself
//!    wherever it lands. (`what_was_made_before_an_invalidation_does_not_hold_after_it`)
//! 7. A process serves what it holds, and what it reads, within its lease alone:
//!    it has seen all that the clock had when it last asked. The call waits until each
//!    row has seen its number, or can have no lease any more by the waiter's own clock.
//!    (`cache/pulse.rs`, `cache/confirm.rs`; `tests/coherence.rs`)
//! 8. News are applied in their order only: one that was lost shows at the next
//!    beat, and the whole is read. (`news_are_taken_in_their_order`)
//! 9. A clock that was lost, or whose server is another, begins a new epoch, in which
//!    nothing that was stored is valid; and for a lease nobody's word is enough.
//!    (`another_epochs_or_no_stamp_holds_nothing`, `what_redis_has_lost_nobody_serves`)
//! 10. What the clock forgets raises its floor: what is older is not valid, and a
//!     process that knew less drops what it holds. (`what_was_forgotten_may_have_been_anything`)
//! 11. An own invalidation moves the process' clock before the shared one is told, and
//!     once more when it has answered. (`cache/invalidation.rs`)
//! 12. What the handler confirms by 304 keeps the reading of the body that it
//!     confirms. (`Held::note`)

mod mirror;

use std::collections::HashMap;
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::invalidate::{Pattern, Target};
use crate::key::ScopeId;
pub(crate) use mirror::{Change, News, Snapshot, Stamp, changes_of};
use mirror::{Learnt, Mirror};

/// More numbers than this are forgotten together.
const MOST_SCOPES: usize = 16_384;
/// More bans than this are forgotten together.
const MOST_BANS: usize = 256;

/// A reading of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Generation {
    /// Of this process' clock.
    pub(crate) number: u64,
    /// Of the one that instances share.
    pub(crate) stamp: Stamp,
}

impl Generation {
    /// The one that was read earlier in this process.
    pub(crate) fn earlier(self, other: Self) -> Self {
        match self.number <= other.number {
            true => self,
            false => other,
        }
    }
}

/// What an entry can be invalidated by.
pub(crate) trait Scoped {
    fn scopes(&self) -> &[ScopeId];
    /// Its name in the store, for bans.
    fn name(&self) -> &str;
}

/// An entry to be, while its own request invalidates what it belongs to.
#[derive(Debug)]
pub(crate) struct Watch {
    scopes: Box<[ScopeId]>,
    name: Box<str>,
    note: Generation,
    alone: bool,
}

impl Watch {
    pub(crate) fn new(entry: &impl Scoped, note: Generation) -> Self {
        Self {
            scopes: entry.scopes().into(),
            name: entry.name().into(),
            note,
            alone: true,
        }
    }

    /// The reading under which it is valid, if nobody else has invalidated it.
    pub(crate) fn note(&self) -> Option<Generation> {
        self.alone.then_some(self.note)
    }
}

impl Scoped for Watch {
    fn scopes(&self) -> &[ScopeId] {
        &self.scopes
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// What became of news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Learning {
    Known,
    /// `crowded` asks the caller to [`forget`](Generations::forget) soon.
    New {
        crowded: bool,
    },
    /// Something before it is missing.
    Gap,
}

/// The clock and its numbers.
#[derive(Debug, Default)]
pub(crate) struct Generations {
    /// Equals `Marks::clock`; read without the lock.
    clock: AtomicU64,
    marks: RwLock<Marks>,
    /// Somebody has been told to forget.
    forgetting: AtomicBool,
}

#[derive(Debug, Default)]
struct Marks {
    clock: u64,
    everything: Mark,
    floor: Mark,
    scopes: HashMap<ScopeId, Mark>,
    bans: Vec<(Mark, Pattern)>,
    /// What is known of the clock that instances share.
    mirror: Mirror,
}

/// An invalidation: its number, and when it was, in milliseconds. The number 0
/// is none.
#[derive(Debug, Clone, Copy, Default)]
struct Mark {
    number: u64,
    at: u64,
}

impl Marks {
    /// Whether something of this kind has happened to an entry.
    fn any(&self, entry: &impl Scoped, kind: impl Fn(&Mark) -> bool) -> bool {
        let mut scopes = entry.scopes().iter();
        let mut bans = self.bans.iter();
        kind(&self.everything)
            || kind(&self.floor)
            || scopes.any(|scope| self.scopes.get(scope).is_some_and(&kind))
            || bans.any(|(mark, ban)| kind(mark) && ban.matches(entry.name()))
    }

    fn valid(&self, entry: &impl Scoped, number: u64) -> bool {
        !self.any(entry, |mark| mark.number > number)
    }

    /// Moves the clock on, for what `mark` does with its new number.
    fn advance(&mut self, at: u64, mark: impl FnOnce(&mut Self, Mark)) -> u64 {
        self.clock += 1;
        let number = self.clock;
        mark(self, Mark { number, at });
        number
    }

    fn mark(&mut self, now: Mark, change: Change) {
        match change {
            Change::Everything => self.everything = now,
            Change::Scope(id) => {
                self.scopes.insert(id, now);
            }
            Change::Ban(pattern) => {
                self.bans.retain(|(_, known)| *known != pattern);
                self.bans.push((now, pattern));
            }
        }
    }

    fn crowded(&self) -> bool {
        self.scopes.len() > MOST_SCOPES || self.bans.len() > MOST_BANS
    }
}

impl Generations {
    fn read(&self) -> std::sync::RwLockReadGuard<'_, Marks> {
        self.marks
            .read()
            .unwrap_or_else(|broken| broken.into_inner())
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Marks> {
        self.marks
            .write()
            .unwrap_or_else(|broken| broken.into_inner())
    }

    /// This process' clock now.
    #[inline]
    pub(crate) fn clock(&self) -> u64 {
        self.clock.load(Ordering::Acquire)
    }

    /// Both clocks now. A fill takes them before its handler starts.
    pub(crate) fn note(&self) -> Generation {
        let marks = self.read();
        Generation {
            number: marks.clock,
            stamp: marks.mirror.stamp(),
        }
    }

    /// Whether an entry of this number is still valid in this process.
    pub(crate) fn valid(&self, entry: &impl Scoped, number: u64) -> bool {
        self.clock() == number || self.read().valid(entry, number)
    }

    /// Whether an entry from the store is still valid, by its stamp.
    pub(crate) fn holds(&self, entry: &impl Scoped, stamp: Stamp) -> bool {
        self.read().mirror.holds(entry, stamp)
    }

    /// The shared clock as it is known here.
    pub(crate) fn stamp(&self) -> Stamp {
        self.read().mirror.stamp()
    }

    /// Learns of another instance's invalidation, or of what became of an own one.
    pub(crate) fn learn(&self, news: &News, at: u64) -> Learning {
        let mut marks = self.write();
        match marks.mirror.learn(news) {
            Learnt::Known => Learning::Known,
            Learnt::Gap => Learning::Gap,
            Learnt::New(changes) => {
                let crowded = self.take(&mut marks, changes, at);
                Learning::New { crowded }
            }
        }
    }

    /// Takes over all that the store knows. `true` asks the caller to
    /// [`forget`](Self::forget) soon.
    #[must_use]
    pub(crate) fn resync(&self, snapshot: Snapshot, at: u64) -> bool {
        let mut marks = self.write();
        let changes = marks.mirror.resync(snapshot);
        self.take(&mut marks, changes, at)
    }

    fn take(&self, marks: &mut Marks, changes: Vec<Change>, at: u64) -> bool {
        if changes.is_empty() {
            return false;
        }
        let number = marks.advance(at, |marks, now| {
            for change in changes {
                marks.mark(now, change);
            }
        });
        self.clock.store(number, Ordering::Release);
        self.is_crowded(marks)
    }

    fn is_crowded(&self, marks: &Marks) -> bool {
        marks.crowded() && !self.forgetting.swap(true, Ordering::AcqRel)
    }

    /// Whether an entry was invalidated since a moment, in milliseconds. What is
    /// forgotten may have been it.
    pub(crate) fn invalidated_since(&self, entry: &impl Scoped, since: u64) -> bool {
        let happened = |mark: &Mark| mark.number > 0 && mark.at >= since;
        self.read().any(entry, happened)
    }

    /// Invalidates, at `at` in milliseconds. `true` asks the caller to
    /// [`forget`](Self::forget) soon.
    #[must_use]
    pub(crate) fn advance(&self, target: &Target, at: u64) -> bool {
        self.advance_watched(target, at, None)
    }

    /// The same, and `watch` sees whether somebody else has been there.
    #[must_use]
    pub(crate) fn advance_watched(
        &self,
        target: &Target,
        at: u64,
        watch: Option<&mut Watch>,
    ) -> bool {
        let mut marks = self.write();
        if let Some(watch) = watch {
            watch.alone &= marks.valid(watch, watch.note.number);
            watch.note.number = marks.clock + 1;
        }
        self.take(&mut marks, changes_of(target), at)
    }

    /// Forgets all numbers up to now, `at` in milliseconds. `sweep` must check every entry of the
    /// memory tier once and remove what is not valid; a check gives the rest
    /// its present number.
    pub(crate) fn forget(&self, at: u64, sweep: impl FnOnce()) {
        let number = self.clock();
        sweep();
        let mut marks = self.write();
        if number > marks.floor.number {
            marks.floor = Mark { number, at };
        }
        marks.scopes.retain(|_, mark| mark.number > number);
        marks.bans.retain(|(mark, _)| mark.number > number);
    }

    /// It is done, or nobody will do it: the next invalidation may ask again.
    pub(crate) fn forgotten(&self) {
        self.forgetting.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests;
