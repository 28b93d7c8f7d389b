//! The clock that instances share, as this process knows it: pure state, that
//! whoever talks to the store feeds.

use std::collections::{BTreeMap, HashMap};

use super::Scoped;
use crate::invalidate::{Pattern, Target};
use crate::key::ScopeId;

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
        self.epoch == other.epoch && self.number >= other.number
    }
}

/// One thing that was invalidated.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Change {
    Scope(ScopeId),
    Ban(Pattern),
    Everything,
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
    pub(crate) floor: u64,
    pub(crate) changes: Vec<(u64, Change)>,
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
    everything: u64,
    scopes: HashMap<ScopeId, u64>,
    bans: Vec<(u64, Pattern)>,
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
        let number = stamp.number;
        if !stamp.is_known() || stamp.epoch != self.stamp.epoch {
            return false;
        }
        let above = |n: &u64| *n > number;
        let mut scopes = entry.scopes().iter();
        let mut bans = self.bans.iter();
        number >= self.floor
            && !above(&self.everything)
            && !scopes.any(|scope| self.scopes.get(scope).is_some_and(above))
            && !bans.any(|(n, ban)| above(n) && ban.matches(entry.name()))
    }

    /// Learns of one invalidation. Only the next one is taken: one that was lost in
    /// between must not be covered up (8 in `generation/mod.rs`).
    pub(crate) fn learn(&mut self, news: &News) -> Learnt {
        if news.stamp.epoch != self.stamp.epoch {
            return Learnt::Gap;
        }
        if news.stamp.number <= self.stamp.number {
            return Learnt::Known;
        }
        if news.stamp.number != self.stamp.number + 1 {
            if self.early.len() < MOST_EARLY {
                self.early.insert(news.stamp.number, news.clone());
            }
            return Learnt::Gap;
        }
        let mut new = Vec::new();
        self.take(news, &mut new);
        self.catch_up(&mut new);
        Learnt::New(new)
    }

    fn take(&mut self, news: &News, new: &mut Vec<Change>) {
        self.stamp = news.stamp;
        for change in &news.changes {
            self.mark(news.stamp.number, change.clone());
        }
        self.rise(news.floor);
        new.extend_from_slice(&news.changes);
    }

    /// Takes what came early and is next by now.
    fn catch_up(&mut self, new: &mut Vec<Change>) {
        while let Some(next) = self.early.remove(&(self.stamp.number + 1)) {
            self.take(&next, new);
        }
        let known = self.stamp.number;
        self.early.retain(|number, _| *number > known);
    }

    /// Takes over all that the store knows, and says what of it is new. An older
    /// snapshot than what is known tells nothing.
    pub(crate) fn resync(&mut self, snapshot: Snapshot) -> Vec<Change> {
        let known = self.stamp;
        let same = known.epoch == snapshot.stamp.epoch;
        if same && snapshot.stamp.number < known.number {
            return Vec::new();
        }
        // another clock; or what was forgotten since may have been anything
        let lost = !same || known.number < snapshot.floor;
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
            self.mark(number, change);
        }
        self.rise(snapshot.floor);
        self.catch_up(&mut new);
        match lost {
            true => vec![Change::Everything],
            false => new,
        }
    }

    fn mark(&mut self, number: u64, change: Change) {
        match change {
            Change::Scope(id) => {
                self.scopes.insert(id, number);
            }
            Change::Ban(pattern) => {
                self.bans.retain(|(_, known)| *known != pattern);
                self.bans.push((number, pattern));
            }
            Change::Everything => self.everything = number,
        }
    }

    /// Forgets what the floor stands for.
    fn rise(&mut self, floor: u64) {
        let everything = self.everything;
        if floor <= self.floor && everything <= self.floor {
            return;
        }
        self.floor = self.floor.max(floor).max(everything);
        let floor = self.floor;
        self.scopes.retain(|_, n| *n > floor);
        self.bans.retain(|(n, _)| *n > floor);
    }
}

/// What of a target instances are told.
pub(crate) fn changes_of(target: &Target) -> Vec<Change> {
    match target {
        Target::Scope { ids, .. } => ids.iter().copied().map(Change::Scope).collect(),
        Target::Pattern(pattern) => vec![Change::Ban(pattern.clone())],
        Target::Everything(_) => vec![Change::Everything],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Thing;

    impl Scoped for Thing {
        fn scopes(&self) -> &[ScopeId] {
            const SCOPES: &[ScopeId] = &[ScopeId([1; 16])];
            SCOPES
        }
        fn name(&self) -> &str {
            "api:things:1"
        }
    }

    const EPOCH: u64 = 7;

    fn at(number: u64) -> Stamp {
        Stamp {
            epoch: EPOCH,
            number,
        }
    }

    fn scope(n: u8) -> Change {
        Change::Scope(ScopeId([n; 16]))
    }

    fn ban(text: &str) -> Change {
        Change::Ban(Pattern::trusted(text.to_owned()))
    }

    fn news(number: u64, change: Change) -> News {
        News {
            stamp: at(number),
            floor: 0,
            changes: vec![change],
        }
    }

    fn mirror(number: u64) -> Mirror {
        let mut mirror = Mirror::default();
        mirror.resync(Snapshot {
            stamp: at(number),
            ..Snapshot::default()
        });
        mirror
    }

    #[test]
    fn what_was_made_before_an_invalidation_does_not_hold_after_it() {
        for change in [scope(1), ban("api:th*"), Change::Everything] {
            let mut mirror = mirror(4);
            assert!(mirror.holds(&Thing, at(4)));
            let learnt = mirror.learn(&news(5, change.clone()));
            assert_eq!(learnt, Learnt::New(vec![change.clone()]));
            assert!(!mirror.holds(&Thing, at(4)), "{change:?}");
            assert!(mirror.holds(&Thing, at(5)), "{change:?}");
        }
        for change in [scope(2), ban("api:other*")] {
            let mut mirror = mirror(4);
            let _ = mirror.learn(&news(5, change.clone()));
            assert!(mirror.holds(&Thing, at(4)), "{change:?}");
        }
    }

    #[test]
    fn another_epochs_or_no_stamp_holds_nothing() {
        let mirror = mirror(4);
        let other = Stamp {
            epoch: 8,
            number: 4,
        };
        assert!(!mirror.holds(&Thing, other));
        assert!(!Mirror::default().holds(&Thing, Stamp::default()));
    }

    #[test]
    fn news_are_taken_in_their_order() {
        let mut mirror = mirror(4);
        assert_eq!(mirror.learn(&news(6, scope(2))), Learnt::Gap);
        assert_eq!(mirror.learn(&news(4, scope(1))), Learnt::Known);
        assert_eq!(mirror.stamp(), at(4));
        assert!(mirror.holds(&Thing, at(4)));
        let mut foreign = news(5, scope(1));
        foreign.stamp.epoch = 8;
        assert_eq!(mirror.learn(&foreign), Learnt::Gap);
    }

    #[test]
    fn what_came_early_is_taken_in_its_turn() {
        let mut mirror = mirror(4);
        for early in [8, 7, 6] {
            assert_eq!(mirror.learn(&news(early, scope(2))), Learnt::Gap);
        }
        let learnt = mirror.learn(&news(5, scope(1)));
        assert!(matches!(learnt, Learnt::New(changes) if changes.len() == 4));
        assert_eq!((mirror.stamp(), mirror.early.len()), (at(8), 0));
        assert!(!mirror.holds(&Thing, at(4)) && mirror.holds(&Thing, at(5)));
        // also behind a snapshot that is older than the last of it
        assert_eq!(mirror.learn(&news(11, scope(1))), Learnt::Gap);
        let new = mirror.resync(Snapshot {
            stamp: at(10),
            ..Snapshot::default()
        });
        assert_eq!((new, mirror.stamp()), (vec![scope(1)], at(11)));
    }

    #[test]
    fn a_snapshot_says_what_was_missed() {
        let mut mirror = mirror(4);
        let snapshot = Snapshot {
            stamp: at(9),
            floor: 2,
            changes: vec![(3, scope(2)), (8, scope(1)), (9, ban("api:x*"))],
        };
        assert_eq!(
            mirror.resync(snapshot.clone()),
            [scope(1), ban("api:x*")],
            "what is new"
        );
        assert_eq!(mirror.stamp(), at(9));
        assert!(!mirror.holds(&Thing, at(7)) && mirror.holds(&Thing, at(8)));
        let older = Snapshot {
            stamp: at(8),
            ..snapshot
        };
        assert_eq!(mirror.resync(older), []);
        assert_eq!(mirror.stamp(), at(9));
    }

    #[test]
    fn what_was_forgotten_may_have_been_anything() {
        let snapshot = |epoch, floor| Snapshot {
            stamp: Stamp { epoch, number: 9 },
            floor,
            changes: vec![(9, scope(2))],
        };
        assert_eq!(
            mirror(4).resync(snapshot(EPOCH, 6)),
            [Change::Everything],
            "the floor has risen above what is known"
        );
        assert_eq!(mirror(4).resync(snapshot(8, 0)), [Change::Everything]);
        let mut mirror = mirror(4);
        mirror.resync(snapshot(EPOCH, 6));
        assert!(!mirror.holds(&Thing, at(5)) && mirror.holds(&Thing, at(6)));
    }

    #[test]
    fn a_mirror_forgets_what_its_floor_stands_for() {
        let mut mirror = mirror(0);
        for n in 1..=200_u64 {
            let id = Change::Scope(ScopeId([u8::try_from(n).unwrap(); 16]));
            let mut news = news(n, id);
            news.floor = n.saturating_sub(10);
            let _ = mirror.learn(&news);
        }
        assert_eq!(mirror.scopes.len(), 10);
        let _ = mirror.learn(&news(201, Change::Everything));
        assert_eq!(mirror.scopes.len(), 0);
    }
}
