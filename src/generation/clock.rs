//! The clock of this process, and what it knows of the one that instances share.

use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::change::{Change, Force, Mark, Numbers, Reach, changes_of};
use super::mirror::{Learnt, Mirror, News, Resynced, Snapshot, Stamp};
use super::rules::{Rule, keeps};
use crate::invalidate::Target;
use crate::key::ScopeId;

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

/// What invalidations have done to an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing.
    Good,
    /// Its time to live has ended.
    Aged(Aging),
    Gone,
}

/// The end of a time to live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Aging {
    /// When this process heard of it, in milliseconds; nothing where that may have been
    /// at any time.
    pub(crate) at: Option<u64>,
    /// The reading under which that is all that has happened.
    pub(crate) reading: Generation,
}

impl Aging {
    /// At what age it has ended, where that is `age` now, in milliseconds.
    pub(crate) fn ended(&self, age: u64, now: u64) -> u64 {
        let since = self.at.map(|at| now.saturating_sub(at));
        since.map_or(0, |since| age.saturating_sub(since))
    }
}

impl Standing {
    fn after(mark: Option<Mark>, reading: Generation) -> Self {
        mark.map_or(Self::Good, |mark| {
            Self::Aged(Aging {
                at: mark.at,
                reading,
            })
        })
    }
}

/// What became of news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Learning {
    Known,
    /// `crowded` asks the caller to [`forget`](Generations::forget) soon, `erased` to
    /// drop what is gone from memory, `risen` to tell that the shared clock has forgotten.
    New {
        crowded: bool,
        erased: bool,
        risen: bool,
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
pub(super) struct Marks {
    clock: u64,
    floor: Mark,
    pub(super) hard: Numbers,
    soft: Numbers,
    /// What was changed in the store by other hands: memory's copy is not served.
    pub(super) doubts: Numbers,
    /// What memory holds from before this number is not served: doubts were forgotten.
    doubted: u64,
    /// What is known of the clock that instances share.
    mirror: Mirror,
}

impl Marks {
    fn valid(&self, entry: &impl Scoped, number: u64) -> bool {
        let floor = number >= self.floor.number || !keeps(Rule::FloorRefuses);
        floor && self.hard.above(entry, number).is_none()
    }

    fn standing(&self, entry: &impl Scoped, number: u64) -> Standing {
        let doubted = number < self.doubted || self.doubts.above(entry, number).is_some();
        if doubted || !self.valid(entry, number) {
            return Standing::Gone;
        }
        Standing::after(self.soft.above(entry, number), self.reading())
    }

    fn reading(&self) -> Generation {
        Generation {
            number: self.clock,
            stamp: self.mirror.stamp(),
        }
    }

    fn crowded(&self) -> bool {
        let mut all = [&self.hard, &self.soft, &self.doubts].into_iter();
        all.any(Numbers::is_crowded)
    }
}

impl Generations {
    pub(super) fn read(&self) -> std::sync::RwLockReadGuard<'_, Marks> {
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
        self.read().reading()
    }

    /// Whether an entry of this number is still valid in this process.
    pub(crate) fn valid(&self, entry: &impl Scoped, number: u64) -> bool {
        self.clock() == number || self.read().valid(entry, number)
    }

    /// Whether an invalidation of either kind has reached what began under this number:
    /// who asks after it does not share that.
    pub(crate) fn reached(&self, entry: &impl Scoped, number: u64) -> bool {
        if self.clock() == number {
            return false;
        }
        let marks = self.read();
        !marks.valid(entry, number) || marks.soft.above(entry, number).is_some()
    }

    /// What has happened to an entry of this number in this process.
    pub(crate) fn standing(&self, entry: &impl Scoped, number: u64) -> Standing {
        self.read().standing(entry, number)
    }

    /// What has happened to an entry from the store, by its stamp.
    pub(crate) fn standing_of(&self, entry: &impl Scoped, stamp: Stamp) -> Standing {
        let marks = self.read();
        match marks.mirror.holds(entry, stamp) {
            false => Standing::Gone,
            true => Standing::after(marks.mirror.aged(entry, stamp), marks.reading()),
        }
    }

    /// The number that the shared clock had after the last invalidation of what an entry
    /// belongs to.
    pub(crate) fn last(&self, entry: &impl Scoped) -> u64 {
        self.read().mirror.last(entry)
    }

    /// The shared clock as it is known here.
    pub(crate) fn stamp(&self) -> Stamp {
        self.read().mirror.stamp()
    }

    /// Learns of another instance's invalidation, or of what became of an own one.
    pub(crate) fn learn(&self, news: &News, at: u64) -> Learning {
        let mut marks = self.write();
        let before = marks.mirror.forgotten();
        match marks.mirror.learn(news, at) {
            Learnt::Known => Learning::Known,
            Learnt::Gap => Learning::Gap,
            Learnt::New(changes) => {
                let erased = changes.iter().any(|change| change.force == Force::Erase);
                let crowded = self.take(&mut marks, changes, (at, Some(at)));
                Learning::New {
                    crowded,
                    erased,
                    risen: marks.mirror.forgotten() > before,
                }
            }
        }
    }

    /// Takes over all that the store knows, at `at` in milliseconds; what is new has happened
    /// after `since`, where that is known. Says what the caller is to do about what was
    /// new, which may have been erased, and what the store has lost and is to be told again.
    #[must_use]
    pub(crate) fn resync(
        &self,
        snapshot: Snapshot,
        at: u64,
        since: Option<u64>,
    ) -> (Learning, Vec<Change>) {
        let mut marks = self.write();
        let (known, before) = (marks.mirror.stamp(), marks.mirror.forgotten());
        let same = known.epoch == snapshot.stamp.epoch;
        let Resynced { new, lost } = marks.mirror.resync(snapshot, since);
        let learning = match new.is_empty() {
            true => Learning::Known,
            false => Learning::New {
                crowded: self.take(&mut marks, new, (at, since)),
                erased: known.is_known(), // who knew nothing has held nothing
                risen: same && marks.mirror.forgotten() > before,
            },
        };
        (learning, lost)
    }

    /// What memory holds of this is not served before the store was asked again; what is
    /// being made is not touched by that. `true` asks the caller to
    /// [`forget`](Self::forget) soon.
    #[must_use]
    pub(crate) fn doubt(&self, reaches: impl IntoIterator<Item = Reach>, at: u64) -> bool {
        let mut marks = self.write();
        marks.clock += 1;
        let number = marks.clock;
        for reach in reaches {
            let at = Some(at);
            marks.doubts.mark(Mark { number, at }, reach);
        }
        self.clock.store(number, Ordering::Release);
        self.is_crowded(&marks)
    }

    /// Moves the clock on, at a time; a time to live may have ended earlier.
    fn take(
        &self,
        marks: &mut Marks,
        changes: Vec<Change>,
        (at, since): (u64, Option<u64>),
    ) -> bool {
        if changes.is_empty() {
            return false;
        }
        marks.clock = match keeps(Rule::OwnNumbers) {
            true => marks.clock + 1,
            false => marks.mirror.stamp().number,
        };
        let number = marks.clock;
        for Change { reach, force } in changes {
            let (numbers, at) = match force {
                Force::Hard | Force::Erase => (&mut marks.hard, Some(at)),
                Force::Soft => (&mut marks.soft, since),
            };
            numbers.mark(Mark { number, at }, reach);
        }
        self.clock.store(number, Ordering::Release);
        self.is_crowded(marks)
    }

    fn is_crowded(&self, marks: &Marks) -> bool {
        marks.crowded() && !self.forgetting.swap(true, Ordering::AcqRel)
    }

    /// Whether an entry was invalidated since a moment, in milliseconds. What is
    /// forgotten may have been it.
    pub(crate) fn invalidated_since(&self, entry: &impl Scoped, since: u64) -> bool {
        let happened = |mark: &Mark| mark.number > 0 && mark.at.is_none_or(|at| at >= since);
        let marks = self.read();
        let mut both = [&marks.hard, &marks.soft].into_iter();
        happened(&marks.floor) || both.any(|numbers| numbers.find(entry, happened).is_some())
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
        self.take(&mut marks, changes_of(target), (at, Some(at)))
    }

    /// Forgets the oldest numbers where there are too many, at `at` in milliseconds. `sweep` must
    /// check every entry of the memory tier once, remove what is gone and age what has
    /// aged; a check gives the rest its present number. Doubts go apart: what is being made
    /// is not refused for them. `true` if what is being made may be.
    pub(crate) fn forget(&self, at: u64, sweep: impl FnOnce()) -> bool {
        let now = self.clock();
        sweep();
        let mut marks = self.write();
        if marks.doubts.is_crowded() {
            marks.doubts.forget(now);
            marks.doubted = now;
        }
        let Some(number) = marks.hard.oldest().max(marks.soft.oldest()) else {
            return false;
        };
        let number = number.min(now); // what came since the sweep began is kept
        let risen = number > marks.floor.number;
        if risen {
            let at = Some(at);
            marks.floor = Mark { number, at };
        }
        marks.hard.forget(number);
        marks.soft.forget(number);
        risen
    }

    /// It is done, or nobody will do it: the next invalidation may ask again.
    pub(crate) fn forgotten(&self) {
        self.forgetting.store(false, Ordering::Release);
    }
}
