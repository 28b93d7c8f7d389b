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
//! Other processes that share the store do not see this clock.

use std::collections::HashMap;
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::invalidate::{Pattern, Target};
use crate::key::ScopeId;

/// More numbers than this are forgotten together.
const MOST_SCOPES: usize = 16_384;
/// More bans than this are forgotten together.
const MOST_BANS: usize = 256;

/// A reading of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Generation(pub(crate) u64);

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
    number: Generation,
    alone: bool,
}

impl Watch {
    pub(crate) fn new(entry: &impl Scoped, number: Generation) -> Self {
        Self {
            scopes: entry.scopes().into(),
            name: entry.name().into(),
            number,
            alone: true,
        }
    }

    /// The number under which it is valid, if nobody else has invalidated it.
    pub(crate) fn number(&self) -> Option<Generation> {
        self.alone.then_some(self.number)
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

    fn valid(&self, entry: &impl Scoped, number: Generation) -> bool {
        !self.any(entry, |mark| mark.number > number.0)
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

    /// The clock now. A fill takes it before its handler starts.
    #[inline]
    pub(crate) fn note(&self) -> Generation {
        Generation(self.clock.load(Ordering::Acquire))
    }

    /// Whether an entry of this number is still valid.
    pub(crate) fn valid(&self, entry: &impl Scoped, number: Generation) -> bool {
        self.note() == number || self.read().valid(entry, number)
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
            watch.alone &= marks.valid(watch, watch.number);
            watch.number = Generation(marks.clock + 1);
        }
        marks.clock += 1;
        let number = marks.clock;
        let now = Mark { number, at };
        match target {
            Target::Everything(_) => marks.everything = now,
            Target::Scope { ids, .. } => marks.scopes.extend(ids.iter().map(|id| (*id, now))),
            Target::Pattern(pattern) => {
                marks.bans.retain(|(_, known)| known != pattern);
                marks.bans.push((now, pattern.clone()));
            }
        }
        self.clock.store(number, Ordering::Release);
        marks.crowded() && !self.forgetting.swap(true, Ordering::AcqRel)
    }

    /// Forgets all numbers up to now, `at` in milliseconds. `sweep` must check every entry of the
    /// memory tier once and remove what is not valid; a check gives the rest
    /// its present number.
    pub(crate) fn forget(&self, at: u64, sweep: impl FnOnce()) {
        let number = self.note().0;
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
mod tests {
    use super::*;
    use crate::invalidate::Find;

    struct Thing(Vec<ScopeId>, &'static str);

    impl Scoped for Thing {
        fn scopes(&self) -> &[ScopeId] {
            &self.0
        }
        fn name(&self) -> &str {
            self.1
        }
    }

    fn thing() -> Thing {
        Thing(vec![ScopeId::tag(None, "a")], "api:things:1")
    }

    fn tag(name: &str) -> Target {
        Target::Scope {
            ids: vec![ScopeId::tag(None, name)],
            how: Find::Group,
        }
    }

    fn pattern(text: &str) -> Target {
        Target::Pattern(Pattern::trusted(text.to_owned()))
    }

    fn everything() -> Target {
        Target::Everything(Pattern::trusted("api:*".into()))
    }

    #[test]
    fn a_fill_that_began_before_is_refused() {
        for target in [tag("a"), pattern("api:things:*"), everything()] {
            let clock = Generations::default();
            let before = clock.note();
            assert!(clock.valid(&thing(), before));
            let _ = clock.advance(&target, 0);
            assert!(!clock.valid(&thing(), before), "{target:?}");
            assert!(clock.valid(&thing(), clock.note()), "{target:?}");
        }
    }

    #[test]
    fn other_scopes_are_left_alone() {
        for target in [tag("b"), pattern("api:other:*")] {
            let clock = Generations::default();
            let before = clock.note();
            let _ = clock.advance(&target, 0);
            assert!(clock.valid(&thing(), before), "{target:?}");
        }
    }

    #[test]
    fn forgetting_keeps_the_living_and_refuses_the_late() {
        let clock = Generations::default();
        let late = clock.note();
        let _ = clock.advance(&tag("a"), 0);
        let alive = clock.note();
        clock.forget(0, || assert!(!clock.valid(&thing(), late)));
        assert!(clock.read().scopes.is_empty());
        assert!(clock.valid(&thing(), alive));
        assert!(!clock.valid(&thing(), late));
    }

    #[test]
    fn a_flood_of_scopes_asks_to_be_forgotten() {
        let clock = Generations::default();
        let asked = (0..MOST_SCOPES + 100).filter(|n| clock.advance(&tag(&n.to_string()), 0));
        assert_eq!(asked.count(), 1, "one caller is asked, once");
        clock.forget(0, || {});
        assert!(!clock.advance(&tag("x"), 0));
    }

    #[test]
    fn a_watch_sees_others_and_not_its_own() {
        let clock = Generations::default();
        let before = clock.note();
        let mut watch = Watch::new(&thing(), before);
        let _ = clock.advance(&tag("b"), 0);
        let _ = clock.advance_watched(&tag("a"), 0, Some(&mut watch));
        let _ = clock.advance_watched(&tag("a"), 0, Some(&mut watch));
        assert_eq!(watch.number(), Some(clock.note()));
        assert!(clock.valid(&thing(), clock.note()));
        let _ = clock.advance(&pattern("api:things:*"), 0);
        let _ = clock.advance_watched(&tag("a"), 0, Some(&mut watch));
        assert_eq!(watch.number(), None);
    }

    #[test]
    fn it_is_known_when_an_entry_was_invalidated() {
        for target in [tag("a"), pattern("api:things:*"), everything()] {
            let clock = Generations::default();
            assert!(!clock.invalidated_since(&thing(), 0));
            let _ = clock.advance(&target, 7);
            assert!(clock.invalidated_since(&thing(), 7), "{target:?}");
            assert!(!clock.invalidated_since(&thing(), 8), "{target:?}");
            clock.forget(9, || {});
            assert!(clock.invalidated_since(&thing(), 9), "it may have been");
        }
        let clock = Generations::default();
        let _ = clock.advance(&tag("b"), 7);
        assert!(!clock.invalidated_since(&thing(), 0));
    }

    #[test]
    fn one_pattern_is_one_ban() {
        let clock = Generations::default();
        for _ in 0..10_000 {
            assert!(!clock.advance(&pattern("api:x:*"), 0));
        }
        assert_eq!(clock.read().bans.len(), 1);
    }
}
