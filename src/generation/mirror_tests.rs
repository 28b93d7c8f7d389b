//! The mirror, fed by hand.

use super::*;
use crate::invalidate::Pattern;
use crate::key::ScopeId;

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

fn hard(reach: Reach) -> Change {
    let force = Force::Hard;
    Change { reach, force }
}

fn scope(n: u8) -> Change {
    hard(Reach::Scope(ScopeId([n; 16])))
}

fn ban(text: &str) -> Change {
    hard(Reach::Ban(Pattern::trusted(text.to_owned())))
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
    mirror.resync(
        Snapshot {
            stamp: at(number),
            ..Snapshot::default()
        },
        None,
    );
    mirror
}

#[test]
fn what_was_made_before_an_invalidation_does_not_hold_after_it() {
    for change in [scope(1), ban("api:th*"), hard(Reach::Everything)] {
        let mut mirror = mirror(4);
        assert!(mirror.holds(&Thing, at(4)));
        let learnt = mirror.learn(&news(5, change.clone()), 0);
        assert_eq!(learnt, Learnt::New(vec![change.clone()]));
        assert!(!mirror.holds(&Thing, at(4)), "{change:?}");
        assert!(mirror.holds(&Thing, at(5)), "{change:?}");
    }
    for change in [scope(2), ban("api:other*")] {
        let mut mirror = mirror(4);
        let _ = mirror.learn(&news(5, change.clone()), 0);
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
    assert_eq!(mirror.learn(&news(6, scope(2)), 0), Learnt::Gap);
    assert_eq!(mirror.learn(&news(4, scope(1)), 0), Learnt::Known);
    assert_eq!(mirror.stamp(), at(4));
    assert!(mirror.holds(&Thing, at(4)));
    let mut foreign = news(5, scope(1));
    foreign.stamp.epoch = 8;
    assert_eq!(mirror.learn(&foreign, 0), Learnt::Gap);
}

#[test]
fn what_came_early_is_taken_in_its_turn() {
    let mut mirror = mirror(4);
    for early in [8, 7, 6] {
        assert_eq!(mirror.learn(&news(early, scope(2)), 0), Learnt::Gap);
    }
    let learnt = mirror.learn(&news(5, scope(1)), 0);
    assert!(matches!(learnt, Learnt::New(changes) if changes.len() == 4));
    assert_eq!((mirror.stamp(), mirror.early.len()), (at(8), 0));
    assert!(!mirror.holds(&Thing, at(4)) && mirror.holds(&Thing, at(5)));
    // also behind a snapshot that is older than the last of it
    assert_eq!(mirror.learn(&news(11, scope(1)), 0), Learnt::Gap);
    let new = mirror.resync(
        Snapshot {
            stamp: at(10),
            ..Snapshot::default()
        },
        None,
    );
    assert_eq!((new.new, mirror.stamp()), (vec![scope(1)], at(11)));
}

#[test]
fn a_snapshot_says_what_was_missed() {
    let mut mirror = mirror(4);
    let snapshot = Snapshot {
        stamp: at(9),
        base: 0,
        floor: 2,
        changes: vec![(3, scope(2)), (8, scope(1)), (9, ban("api:x*"))],
    };
    let new = mirror.resync(snapshot.clone(), None).new;
    assert_eq!(new, [scope(1), ban("api:x*")], "what is new");
    assert_eq!(mirror.stamp(), at(9));
    assert!(!mirror.holds(&Thing, at(7)) && mirror.holds(&Thing, at(8)));
    let older = Snapshot {
        stamp: at(8),
        ..snapshot
    };
    assert_eq!(mirror.resync(older, None), Resynced::default());
    assert_eq!(mirror.stamp(), at(9));
}

#[test]
fn what_another_server_has_lost_is_kept_and_named() {
    let mut mirror = mirror(4);
    for (number, change) in [(5, scope(1)), (6, scope(2)), (7, ban("api:x*"))] {
        let _ = mirror.learn(&news(number, change), 0);
    }
    let snapshot = Snapshot {
        stamp: at(1_001),
        base: 1_000,
        floor: 0,
        changes: vec![(5, scope(1)), (1_001, scope(3))],
    };
    let resynced = mirror.resync(snapshot.clone(), None);
    assert_eq!(resynced.new, [scope(3)]);
    assert_eq!(resynced.lost, [scope(2), ban("api:x*")]);
    assert!(!mirror.holds(&Thing, at(4)) && mirror.holds(&Thing, at(5)));
    assert_eq!(mirror.hard.scopes.len(), 3);
    let again = mirror.resync(snapshot, None);
    assert_eq!(again, Resynced::default(), "it is known by now");
}

#[test]
fn what_was_forgotten_may_have_been_anything() {
    let snapshot = |epoch, floor| Snapshot {
        stamp: Stamp { epoch, number: 9 },
        base: 0,
        floor,
        changes: vec![(9, scope(2))],
    };
    assert_eq!(
        mirror(4).resync(snapshot(EPOCH, 6), None).new,
        [hard(Reach::Everything)],
        "the floor has risen above what is known"
    );
    assert_eq!(
        mirror(4).resync(snapshot(8, 0), None).new,
        [hard(Reach::Everything)]
    );
    let mut mirror = mirror(4);
    mirror.resync(snapshot(EPOCH, 6), None);
    assert!(!mirror.holds(&Thing, at(5)) && mirror.holds(&Thing, at(6)));
}

#[test]
fn a_mirror_forgets_what_its_floor_stands_for() {
    let mut mirror = mirror(0);
    for n in 1..=200_u64 {
        let id = hard(Reach::Scope(ScopeId([u8::try_from(n).unwrap(); 16])));
        let mut news = news(n, id);
        news.floor = n.saturating_sub(10);
        let _ = mirror.learn(&news, 0);
    }
    assert_eq!(mirror.hard.scopes.len(), 10);
    let _ = mirror.learn(&news(201, hard(Reach::Everything)), 0);
    assert_eq!(mirror.hard.scopes.len(), 0);
}

#[test]
fn what_ends_a_time_to_live_keeps_its_time_and_what_was_missed_has_none_of_its_own() {
    let soft = |n| Change {
        reach: Reach::Scope(ScopeId([n; 16])),
        force: Force::Soft,
    };
    let mut mirror = mirror(4);
    let _ = mirror.learn(&news(5, soft(1)), 7);
    let snapshot = Snapshot {
        stamp: at(6),
        changes: vec![(5, soft(1)), (6, soft(2))],
        ..Snapshot::default()
    };
    mirror.resync(snapshot.clone(), Some(30));
    let time = |mirror: &Mirror, n| mirror.soft.of(&soft(n).reach).at;
    assert_eq!((time(&mirror, 1), time(&mirror, 2)), (Some(7), Some(30)));
    let mut late = Mirror::default();
    late.resync(snapshot, None);
    assert_eq!((time(&late, 1), time(&late, 2)), (None, None));
}
