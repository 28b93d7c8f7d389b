//! The clock that instances share, as this process knows it: pure state, that
//! whoever talks to the store feeds.

use std::collections::BTreeMap;

use super::Scoped;
use super::change::{Change, Force, Mark, Numbers, Reach};
use super::rules::{Rule, keeps};

/// A reading of the shared clock. The epoch 0 is none: nothing was read yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub(crate) struct Stamp {
    /// Random; another one after all was lost.
    pub(crate) epoch: u64,
    pub(crate) number: u64,
}

impl Stamp {
    pub(crate) fn is_known(self) -> bool {
        self.epoch != 0
    }

    /// Whether who knows this knows all that `other` does.
    pub(crate) fn covers(self, other: Self) -> bool {
        let same = self.epoch == other.epoch || !keeps(Rule::EpochsCompared);
        same && self.number >= other.number
    }
}

/// One invalidation, as the store announces it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct News {
    /// The clock after it.
    pub(crate) stamp: Stamp,
    /// Entries with a lower number are no longer valid: what was invalidated below
    /// it is forgotten.
    pub(crate) floor: u64,
    pub(crate) changes: Vec<Change>,
}

/// All that the store knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Snapshot {
    pub(crate) stamp: Stamp,
    /// The clock when it went on with another server, or 0.
    pub(crate) base: u64,
    pub(crate) floor: u64,
    pub(crate) changes: Vec<(u64, Change)>,
}

/// What a look at the whole has brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Resynced {
    /// What is new to the process.
    pub(super) new: Vec<Change>,
    /// What the process knows, and the store has lost.
    pub(super) lost: Vec<Change>,
}

/// What became of news.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Learnt {
    /// It was known.
    Known,
    /// This is new to the process.
    New(Vec<Change>),
    /// Something before it is missing: the whole must be read.
    Gap,
}

/// What this process knows of the shared clock.
#[derive(Debug, Default)]
pub(crate) struct Mirror {
    stamp: Stamp,
    floor: u64,
    /// The floor that the store has told.
    told: u64,
    hard: Numbers,
    soft: Numbers,
    /// News that came before others which they follow.
    early: BTreeMap<u64, News>,
}

/// More news than this are not kept for later.
const MOST_EARLY: usize = 1_024;

impl Mirror {
    pub(crate) fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Whether an entry with a stamp is valid, as far as is known here.
    pub(crate) fn holds(&self, entry: &impl Scoped, stamp: Stamp) -> bool {
        stamp.is_known()
            && stamp.epoch == self.stamp.epoch
            && (stamp.number >= self.floor || !keeps(Rule::FloorRefuses))
            && self.hard.above(entry, stamp.number).is_none()
    }

    /// The number of the last invalidation of either kind that has reached an entry.
    pub(super) fn last(&self, entry: &impl Scoped) -> u64 {
        self.hard.last(entry).max(self.soft.last(entry))
    }

    /// What has ended the time to live of an entry that holds.
    pub(super) fn aged(&self, entry: &impl Scoped, stamp: Stamp) -> Option<Mark> {
        self.soft.above(entry, stamp.number)
    }

    /// Learns of one invalidation. Only the next one is taken: one that was lost in
    /// between must not be covered up (8 in `generation/mod.rs`).
    pub(super) fn learn(&mut self, news: &News, at: u64) -> Learnt {
        if news.stamp.epoch != self.stamp.epoch {
            return Learnt::Gap;
        }
        if news.stamp.number <= self.stamp.number {
            return Learnt::Known;
        }
        if news.stamp.number != self.stamp.number + 1 && keeps(Rule::InOrder) {
            if self.early.len() < MOST_EARLY {
                self.early.insert(news.stamp.number, news.clone());
            }
            return Learnt::Gap;
        }
        let mut new = Vec::new();
        self.take(news, Some(at), &mut new);
        self.catch_up(Some(at), &mut new);
        Learnt::New(new)
    }

    fn take(&mut self, news: &News, at: Option<u64>, new: &mut Vec<Change>) {
        self.stamp = news.stamp;
        let number = news.stamp.number;
        for change in &news.changes {
            self.mark(Mark { number, at }, change.clone());
        }
        self.rise(news.floor);
        new.extend_from_slice(&news.changes);
    }

    /// Takes what came early and is next by now.
    fn catch_up(&mut self, at: Option<u64>, new: &mut Vec<Change>) {
        while let Some(next) = self.early.remove(&(self.stamp.number + 1)) {
            self.take(&next, at, new);
        }
        let known = self.stamp.number;
        self.early.retain(|number, _| *number > known);
    }

    /// Takes over all that the store knows, and says what of it is new: it has happened
    /// after `since`. An older snapshot than what is known tells nothing.
    pub(super) fn resync(&mut self, snapshot: Snapshot, since: Option<u64>) -> Resynced {
        let known = self.stamp;
        let same = known.epoch == snapshot.stamp.epoch;
        if same && snapshot.stamp.number < known.number {
            return Resynced::default();
        }
        let merges = same && known.number < snapshot.base;
        let (hard, soft) = (
            std::mem::take(&mut self.hard),
            std::mem::take(&mut self.soft),
        );
        // another clock; or what was forgotten since may have been anything
        let other = !same && keeps(Rule::EpochClears);
        let forgotten = same && known.number < snapshot.floor && keeps(Rule::FloorClears);
        let unknown = other || forgotten;
        let early = std::mem::take(&mut self.early);
        *self = Self {
            stamp: snapshot.stamp,
            early: if same { early } else { BTreeMap::new() },
            ..Self::default()
        };
        let mut new = Vec::new();
        for (number, change) in snapshot.changes {
            if number > known.number {
                new.push(change.clone());
            }
            // one that is known keeps its time
            let aged = soft.of(&change.reach);
            let is_known = same && change.force == Force::Soft && aged.number == number;
            let at = if is_known { aged.at } else { since };
            self.mark(Mark { number, at }, change);
        }
        self.rise(snapshot.floor);
        self.catch_up(since, &mut new);
        let mut lost = Vec::new();
        if merges {
            lost = self.missing(hard, Force::Hard);
            lost.extend(self.missing(soft, Force::Soft));
        }
        let everything = Change {
            reach: Reach::Everything,
            force: Force::Hard,
        };
        let new = match unknown {
            true => vec![everything],
            false => new,
        };
        Resynced { new, lost }
    }

    /// What was known before and the store has not.
    fn missing(&mut self, before: Numbers, force: Force) -> Vec<Change> {
        let now = match force {
            Force::Hard | Force::Erase => &mut self.hard,
            Force::Soft => &mut self.soft,
        };
        let floor = self.floor;
        let marks = before.all().into_iter();
        let missing =
            marks.filter(|(mark, reach)| mark.number > floor && now.of(reach).number < mark.number);
        let missing: Vec<_> = missing.collect();
        for (mark, reach) in &missing {
            now.mark(*mark, reach.clone());
        }
        let change = |(_, reach)| Change { reach, force };
        missing.into_iter().map(change).collect()
    }

    fn mark(&mut self, mark: Mark, change: Change) {
        let numbers = match change.force {
            Force::Hard | Force::Erase => &mut self.hard,
            Force::Soft => &mut self.soft,
        };
        numbers.mark(mark, change.reach);
    }

    /// Up to where something was forgotten that is not covered by all.
    pub(super) fn forgotten(&self) -> u64 {
        let all = self.hard.everything.number;
        if self.told > all { self.told } else { 0 }
    }

    /// Forgets what the floor stands for.
    fn rise(&mut self, floor: u64) {
        self.told = floor;
        let floor = floor.max(self.hard.everything.number);
        if floor > self.floor {
            self.floor = floor;
            self.hard.forget(floor);
            self.soft.forget(floor);
        }
    }
}

#[cfg(test)]
#[path = "mirror_tests.rs"]
mod tests;
