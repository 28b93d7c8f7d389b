//! The invalidation clock of this process: what keeps a late write from
//! bringing back what was invalidated.
//!
//! A fill notes the clock *before* its handler starts. Invalidating a scope
//! moves the clock on and writes the new number to the scope; a pattern's
//! number is kept beside it as a ban. An entry is valid while none of its
//! scopes, and no ban that matches it, has a number above its own. So an old
//! fill defeats itself: whenever it lands, its number is too low.
//!
//! Each rule can be left out in the unit tests' build (`rules.rs`), and the checker in
//! `src/model/` finds a violation then: those are the tests named `without_..` below.
//!
//! Why nothing invalidated is served after the call has returned:
//!
//! 1. The note is taken before the handler starts. (`a_fill_that_began_before_is_refused`,
//!    `without_a_note_before_the_handler`)
//! 2. An entry found in the memory tier is checked on every hit; the check is
//!    one comparison while no invalidation has happened since the last.
//!    (`a_check_is_remembered_until_the_next_invalidation`, `without_numbers_of_its_own`)
//!    So is what a follower gets of another's fill, when it is known.
//!    (`without_a_check_of_what_followers_get`) That a flight which began before is
//!    not joined at all spares the wait and no more.
//! 3. What is read from the store is stamped with the clock from before the
//!    read, and the clock is moved once more after the store has dropped its
//!    entries, so that what was read in between is invalid too. Meanwhile a store that
//!    knows no clock is not read for it: what was found there, confirmed by 304 and
//!    written back, would look as new as the answer that confirmed it.
//!    (`without_a_number_from_before_the_read`, `without_a_second_fence_in_one_process`,
//!    `without_hiding_what_is_dropped_in_one_process`)
//! 4. What is written to the store is checked again when the write has ended,
//!    and removed if it is no longer valid; nobody is served it until then, nor who
//!    has read it until then. (`without_taking_back_in_one_process`,
//!    `without_hiding_what_is_taken_back`,
//!    `what_was_read_before_it_was_taken_back_is_not_served_after`)
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
//!    wherever it lands. (`what_was_made_before_an_invalidation_does_not_hold_after_it`,
//!    `without_a_check_of_what_the_store_holds`)
//! 7. A process serves what it holds, and what it reads, within its lease alone:
//!    it has seen all that the clock had when it last asked. The call waits until each
//!    row has seen its number, or can have no lease any more by the waiter's own clock.
//!    (`tests/coherence.rs`; `without_a_lease_before_any_tier`,
//!    `without_a_lease_that_counts_from_its_beat`, `without_waiting_for_others`,
//!    `without_waiting_for_the_longest_lease`, `without_a_clock_of_its_own`,
//!    `without_counting_suspended_time`) A process that resigns ends
//!    its lease first, and comes back under another name: what takes its row away may
//!    arrive late. (`without_a_lease_that_ends_before_its_row`)
//! 8. News are applied in their order only: one that was lost shows at the next
//!    beat, and the whole is read. (`news_are_taken_in_their_order`,
//!    `without_the_order_of_news`)
//! 9. A clock that was lost, or whose server is another, begins a new epoch, in which
//!    nothing that was stored is valid; and for a lease nobody's word is enough. One that
//!    comes back after another is ended by who has known both: what the other was told is
//!    not in it. (`a_clock_that_another_has_stood_for_does_not_go_on`,
//!    `another_epochs_or_no_stamp_holds_nothing`, `what_redis_has_lost_nobody_serves`,
//!    `without_the_run_id`, `without_the_number_of_scopes`, `without_epochs_in_comparisons`,
//!    `without_an_empty_memory_in_another_epoch`, `without_rows_that_die_with_the_hash`,
//!    `without_waiting_where_rows_have_vanished`, `without_waiting_in_a_young_epoch`,
//!    `without_a_word_from_replicas`)
//! 10. What the clock forgets raises its floor: what is older is not valid, and a
//!     process that knew less drops what it holds. (`what_was_forgotten_may_have_been_anything`,
//!     `without_a_floor_for_entries`, `without_a_floor_for_mirrors`)
//! 11. An own invalidation moves the process' clock before the shared one is told, and
//!     once more when it has answered; what it has answered is known here before the
//!     call returns. (`without_learning_of_an_own_invalidation`)
//! 12. What the handler confirms by 304 keeps the reading of the body that it
//!     confirms. (`Held::note`)
//! 13. A soft invalidation ends times to live instead: what it reaches is stale from then on,
//!     by the same numbers and in the same order, and keeps nothing from being stored.
//!     (`what_was_invalidated_softly_is_aged_once`)

mod blame;
mod change;
mod clock;
mod mirror;
mod rules;
#[cfg(test)]
mod tests;

pub(crate) use change::{Change, Force, Reach, changes_of};
pub(crate) use clock::{Aging, Generation, Generations, Learning, Scoped, Standing, Watch};
pub(crate) use mirror::{News, Snapshot, Stamp};
#[cfg(test)]
pub(crate) use rules::Without;
pub(crate) use rules::{Rule, keeps};
