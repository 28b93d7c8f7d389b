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
//! 13. A soft invalidation ends times to live instead: what it reaches is stale from then on,
//!     by the same numbers and in the same order, and keeps nothing from being stored.
//!     (`what_was_invalidated_softly_is_aged_once`)

mod blame;
mod change;
mod clock;
mod mirror;
#[cfg(test)]
mod tests;

pub(crate) use change::{Change, Force, Reach, changes_of};
pub(crate) use clock::{Aging, Generation, Generations, Learning, Scoped, Standing, Watch};
pub(crate) use mirror::{News, Snapshot, Stamp};
