//! What is invalidated, and the numbers under which that is remembered.

use std::collections::HashMap;

use super::Scoped;
use crate::invalidate::{Pattern, Target, What};
use crate::key::ScopeId;

/// What an invalidation does to what it reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) enum Force {
    /// It is gone.
    #[default]
    Hard,
    /// Its time to live has ended.
    Soft,
    /// It is gone, and nobody keeps its bytes in memory either.
    Erase,
}

/// What an invalidation reaches.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Reach {
    Scope(ScopeId),
    Ban(Pattern),
    Everything,
}

/// One thing that was invalidated.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Change {
    pub(crate) reach: Reach,
    pub(crate) force: Force,
}

/// What of a target instances are told.
pub(crate) fn changes_of(target: &Target) -> Vec<Change> {
    let reaches = match &target.what {
        What::Scope { ids, .. } => ids.iter().copied().map(Reach::Scope).collect(),
        What::Pattern(pattern) => vec![Reach::Ban(pattern.clone())],
        What::Everything(_) => vec![Reach::Everything],
    };
    let force = target.force;
    let change = |reach| Change { reach, force };
    reaches.into_iter().map(change).collect()
}

/// An invalidation: its number, and when this process heard of it, in milliseconds, or when
/// it last knew that there was none; nothing where it has never known. The number 0 is none.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mark {
    pub(super) number: u64,
    pub(super) at: Option<u64>,
}

/// More scopes than this are not kept, as in the clock that processes share: the oldest
/// quarter goes.
pub(super) const MOST_SCOPES: usize = 65_536;
/// And of patterns.
pub(super) const MOST_BANS: usize = 256;

/// The last invalidations of everything, of each scope, and by each pattern.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    pub(super) everything: Mark,
    pub(super) scopes: HashMap<ScopeId, Mark>,
    pub(super) bans: Vec<(Mark, Pattern)>,
}

impl Numbers {
    pub(super) fn mark(&mut self, mark: Mark, reach: Reach) {
        match reach {
            Reach::Everything => self.everything = mark,
            Reach::Scope(id) => {
                self.scopes.insert(id, mark);
            }
            Reach::Ban(pattern) => {
                self.bans.retain(|(_, known)| *known != pattern);
                self.bans.push((mark, pattern));
            }
        }
    }

    /// The first found of those of a kind that have reached an entry.
    pub(super) fn find(&self, entry: &impl Scoped, kind: impl Fn(&Mark) -> bool) -> Option<Mark> {
        let everything = kind(&self.everything).then_some(self.everything);
        let scopes = || {
            let marks = entry.scopes().iter();
            let mut marks = marks.filter_map(|scope| self.scopes.get(scope));
            marks.find(|mark| kind(mark)).copied()
        };
        let bans = || {
            let mut bans = self.bans.iter();
            let found = bans.find(|(mark, ban)| kind(mark) && ban.matches(entry.name()));
            found.map(|(mark, _)| *mark)
        };
        everything.or_else(scopes).or_else(bans)
    }

    /// All of them.
    pub(super) fn all(self) -> Vec<(Mark, Reach)> {
        let scopes = self.scopes.into_iter();
        let bans = self.bans.into_iter();
        let mut all: Vec<_> = scopes.map(|(id, mark)| (mark, Reach::Scope(id))).collect();
        all.extend(bans.map(|(mark, ban)| (mark, Reach::Ban(ban))));
        all.push((self.everything, Reach::Everything));
        all
    }

    /// One of them.
    pub(super) fn of(&self, reach: &Reach) -> Mark {
        let known = match reach {
            Reach::Everything => Some(self.everything),
            Reach::Scope(id) => self.scopes.get(id).copied(),
            Reach::Ban(pattern) => {
                let ban = self.bans.iter().find(|(_, ban)| ban == pattern);
                ban.map(|(mark, _)| *mark)
            }
        };
        known.unwrap_or_default()
    }

    /// The last of those that have reached an entry, 0 where none has.
    pub(super) fn last(&self, entry: &impl Scoped) -> u64 {
        let scopes = entry.scopes().iter();
        let scopes = scopes.filter_map(|scope| self.scopes.get(scope));
        let bans = self.bans.iter();
        let bans = bans.filter(|(_, ban)| ban.matches(entry.name()));
        let all = scopes.chain(bans.map(|(mark, _)| mark));
        all.fold(self.everything.number, |last, mark| last.max(mark.number))
    }

    /// Whether one is above a number.
    pub(super) fn above(&self, entry: &impl Scoped, number: u64) -> Option<Mark> {
        self.find(entry, |mark| mark.number > number)
    }

    pub(super) fn is_crowded(&self) -> bool {
        self.scopes.len() > MOST_SCOPES || self.bans.len() > MOST_BANS
    }

    /// The number up to which the oldest quarter goes, where there are too many.
    pub(super) fn oldest(&self) -> Option<u64> {
        let scopes = || quarter(self.scopes.values().map(|mark| mark.number));
        let bans = || quarter(self.bans.iter().map(|(mark, _)| mark.number));
        let scopes = (self.scopes.len() > MOST_SCOPES).then(scopes);
        scopes.max((self.bans.len() > MOST_BANS).then(bans))
    }

    /// Forgets what is not above a number.
    pub(super) fn forget(&mut self, upto: u64) {
        self.scopes.retain(|_, mark| mark.number > upto);
        self.bans.retain(|(mark, _)| mark.number > upto);
    }
}

/// The number below which a quarter of them lies.
fn quarter(numbers: impl Iterator<Item = u64>) -> u64 {
    let mut numbers: Vec<u64> = numbers.collect();
    let at = numbers.len() / 4;
    *numbers.select_nth_unstable(at).1
}
