//! The clock, and what it keeps from coming back.

use super::change::MOST_SCOPES;
use super::*;
use crate::invalidate::{Find, Pattern, Target, What};
use crate::key::ScopeId;

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
    Target::hard(What::Scope {
        ids: vec![ScopeId::tag(None, name)],
        how: Find::Group,
    })
}

fn pattern(text: &str) -> Target {
    Target::hard(What::Pattern(Pattern::trusted(text.to_owned())))
}

fn everything() -> Target {
    Target::hard(What::Everything(Pattern::trusted("api:*".into())))
}

#[test]
fn a_fill_that_began_before_is_refused() {
    for target in [tag("a"), pattern("api:things:*"), everything()] {
        let clock = Generations::default();
        let before = clock.clock();
        assert!(clock.valid(&thing(), before));
        let _ = clock.advance(&target, 0);
        assert!(!clock.valid(&thing(), before), "{target:?}");
        assert!(clock.valid(&thing(), clock.clock()), "{target:?}");
    }
}

#[test]
fn other_scopes_are_left_alone() {
    for target in [tag("b"), pattern("api:other:*")] {
        let clock = Generations::default();
        let before = clock.clock();
        let _ = clock.advance(&target, 0);
        assert!(clock.valid(&thing(), before), "{target:?}");
    }
}

/// So many others.
fn flood(clock: &Generations) -> usize {
    let others = 0..=MOST_SCOPES;
    let asked = others.filter(|n| clock.advance(&tag(&n.to_string()), 0));
    asked.count()
}

#[test]
fn forgetting_keeps_the_living_and_refuses_the_late() {
    let clock = Generations::default();
    let late = clock.clock();
    let _ = clock.advance(&tag("a"), 0);
    assert_eq!(flood(&clock), 1, "one caller is asked, once");
    let alive = clock.clock();
    assert!(clock.forget(0, || assert!(!clock.valid(&thing(), late))));
    let left = clock.read().hard.scopes.len();
    assert!(
        (MOST_SCOPES / 4 * 3 - 2..MOST_SCOPES / 4 * 3 + 2).contains(&left),
        "{left}"
    );
    assert!(clock.valid(&thing(), alive));
    assert!(!clock.valid(&thing(), late));
    assert!(!clock.advance(&tag("x"), 0));
}

/// A fill takes its time, and others write meanwhile.
#[test]
fn forgetting_refuses_only_what_is_older_than_all_that_is_known() {
    let clock = Generations::default();
    let _ = flood(&clock);
    let began = clock.clock();
    for n in 0..MOST_SCOPES / 2 {
        let _ = clock.advance(&tag(&format!("later {n}")), 0);
        if n % 1_000 == 0 {
            clock.forget(0, || {});
            clock.forgotten();
        }
    }
    assert!(clock.valid(&thing(), began));
}

/// Other hands change whatever lies in the store.
#[test]
fn what_is_doubted_refuses_nothing_that_is_being_made() {
    let clock = Generations::default();
    let began = clock.clock();
    let scope = |n: usize| Reach::Scope(ScopeId::tag(None, &n.to_string()));
    let asked = (0..=MOST_SCOPES).filter(|n| clock.doubt([scope(*n)], 0));
    assert_eq!(asked.count(), 1);
    let held = clock.clock();
    assert!(!clock.forget(0, || {}));
    assert_eq!(clock.read().doubts.scopes.len(), 0);
    assert!(clock.valid(&thing(), began));
    let standing = |number| clock.standing(&thing(), number);
    assert_eq!(
        (standing(began), standing(held)),
        (Standing::Gone, Standing::Good)
    );
}

#[test]
fn a_watch_sees_others_and_not_its_own() {
    let clock = Generations::default();
    let mut watch = Watch::new(&thing(), clock.note());
    let _ = clock.advance(&tag("b"), 0);
    let _ = clock.advance_watched(&tag("a"), 0, Some(&mut watch));
    let _ = clock.advance_watched(&tag("a"), 0, Some(&mut watch));
    assert_eq!(watch.note().unwrap().number, clock.clock());
    assert!(clock.valid(&thing(), clock.clock()));
    let _ = clock.advance(&pattern("api:things:*"), 0);
    let _ = clock.advance_watched(&tag("a"), 0, Some(&mut watch));
    assert_eq!(watch.note(), None);
}

#[test]
fn it_is_known_when_an_entry_was_invalidated() {
    for target in [tag("a"), pattern("api:things:*"), everything()] {
        let clock = Generations::default();
        assert!(!clock.invalidated_since(&thing(), 0));
        let _ = clock.advance(&target, 7);
        assert!(clock.invalidated_since(&thing(), 7), "{target:?}");
        assert!(!clock.invalidated_since(&thing(), 8), "{target:?}");
        let _ = flood(&clock);
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
    assert_eq!(clock.read().hard.bans.len(), 1);
}

#[test]
fn what_was_invalidated_softly_is_aged_once() {
    for target in [tag("a"), pattern("api:things:*"), everything()] {
        let clock = Generations::default();
        let before = clock.clock();
        assert_eq!(clock.standing(&thing(), before), Standing::Good);
        let _ = clock.advance(&target.clone().soft(), 7);
        assert!(clock.valid(&thing(), before), "{target:?}");
        let Standing::Aged(aging) = clock.standing(&thing(), before) else {
            panic!("{target:?} has done nothing");
        };
        assert_eq!((aging.at, aging.reading), (Some(7), clock.note()));
        let after = clock.standing(&thing(), aging.reading.number);
        assert_eq!(after, Standing::Good);
        let _ = clock.advance(&target, 8);
        assert_eq!(clock.standing(&thing(), before), Standing::Gone);
    }
    let clock = Generations::default();
    let _ = clock.advance(&tag("b").soft(), 7);
    assert_eq!(clock.standing(&thing(), 0), Standing::Good);
}

/// The first look at the clock finds all of it new: nothing of that was erased here, and
/// what is noted meanwhile of variants is not to be forgotten.
#[test]
fn what_is_new_to_who_knew_nothing_was_not_erased() {
    let generations = Generations::default();
    let at = |epoch| Snapshot {
        stamp: Stamp { epoch, number: 3 },
        ..Snapshot::default()
    };
    let erased = |learning| matches!(learning, Learning::New { erased: true, .. });
    assert!(!erased(generations.resync(at(7), 0, None).0));
    assert!(
        erased(generations.resync(at(8), 0, None).0),
        "another clock"
    );
}
