//! Without one rule the checker finds a violation: what each is for.

use super::run::Setup;
use super::server::Lapse;
use super::tests::{PLAIN, SHARED, hunt};
use super::world::Fault::{self, *};
use crate::generation::Rule;

/// So many seeds are looked through for a violation, from one on that had it.
const SEEDS: u64 = 3_000;

const fn with(faults: &'static [Fault]) -> Setup {
    Setup { faults, ..SHARED }
}

macro_rules! needed {
    ($($name:ident: $first:literal, $setup:expr, [$($rule:ident),*], [$($lapse:ident),*];)*) => {$(
        #[test]
        fn $name() {
            let setup = Setup {
                without: &[$(Rule::$rule),*],
                lapses: &[$(Lapse::$lapse),*],
                ..$setup
            };
            let found = hunt(stringify!($name), &setup, $first, SEEDS);
            assert!(!found.violations.is_empty(), "nothing is found");
        }
    )*};
}

const LOST: Setup = with(&[Flush, EvictClock, EvictScopes, LosePush, Cut, Cut]);

/// Without a rule left out: what the others are measured by.
#[test]
fn with_all_rules_there_is_nothing_to_find() {
    for (name, setup) in [
        ("shared", SHARED),
        ("lost", LOST),
        ("unheard", UNHEARD),
        ("slow", SLOW),
        ("twice", TWICE),
        ("mixed", MIXED),
        ("split", with(&[Split, LosePush])),
        ("failover", with(&[Failover, Restart, Cut, LosePush])),
    ] {
        assert!(hunt(name, &setup, 0, 8).violations.is_empty(), "{name}");
    }
}

const UNHEARD: Setup = with(&[LosePush, Cut]);
const SLOW: Setup = with(&[LosePush, SlowCall, Pause]);
const TWICE: Setup = with(&[Twice, SlowCall, LosePush]);
const SLOW_READS: Setup = with(&[SlowCall]);
const MIXED: Setup = Setup {
    leases: &[100, 400],
    ..UNHEARD
};

needed! {
    without_a_note_before_the_handler: 0, SHARED, [NoteFirst], [];
    without_a_lease_before_any_tier: 0, UNHEARD, [LeaseFirst], [];
    without_a_lease_that_counts_from_its_beat: 350, SLOW, [LeaseFromSent], [];
    without_a_lease_that_ends_before_its_row: 29, UNHEARD, [LeaseEndsFirst], [];
    without_rows_of_one_lease: 585, TWICE, [RowsOfOneLease], [];
    without_the_order_of_news: 47, UNHEARD, [InOrder], [];
    without_numbers_of_its_own: 0, LOST, [OwnNumbers], [];
    without_a_number_from_before_the_read: 135, PLAIN, [NumberedFirst], [];
    without_a_check_of_what_the_store_holds: 0, SHARED, [PromotionChecked], [];
    without_a_check_of_what_followers_get: 114, SHARED, [FollowerChecked], [];
    without_an_empty_memory_in_another_epoch: 0, LOST, [EpochClears], [];
    without_epochs_in_comparisons: 0, LOST, [EpochsCompared], [];
    without_a_floor_for_entries: 455, UNHEARD, [FloorRefuses], [];
    without_a_floor_for_mirrors: 722, UNHEARD, [FloorClears], [];
    without_the_note_of_the_body_that_is_confirmed: 2, SLOW_READS, [MergeKeepsNote], [];
    without_learning_of_an_own_invalidation: 462, SLOW, [OwnLearnt], [];
    without_waiting_for_others: 0, UNHEARD, [Awaited], [];
    without_waiting_where_rows_have_vanished: 68, LOST, [VanishedAwaited], [];
    without_waiting_in_a_young_epoch: 44, LOST, [YoungAwaited], [];
    without_waiting_for_the_longest_lease: 0, MIXED, [LongestLease], [];
    without_a_second_fence_in_one_process: 159, PLAIN, [FencedTwice], [];
    without_hiding_what_is_dropped_in_one_process: 9439, PLAIN, [DroppedHidden], [];
    without_taking_back_in_one_process: 0, PLAIN, [TakenBack], [];
    without_hiding_what_is_taken_back: 544, PLAIN, [LateHidden], [];

    without_the_run_id: 14, with(&[Failover, Restart, Cut, LosePush]), [], [RunId];
    without_the_number_of_scopes: 42, with(&[EvictScopes, LosePush, Cut]), [], [Uncounted];
    without_rows_that_die_with_the_hash: 0, with(&[EvictRows, EvictRows, LosePush, Cut]), [], [RowsApart];
    without_a_clock_of_its_own: 0, with(&[WallJump, LosePush, Cut]), [], [RowsExpire];
    without_a_word_from_replicas: 0, with(&[Split, LosePush]), [], [Unacknowledged];
    without_one_step_that_invalidates_and_tells_who_must_know: 2110, TWICE, [], [TwoSteps];
    without_counting_suspended_time: 2, SLOW, [], [SuspendedClock];
}
