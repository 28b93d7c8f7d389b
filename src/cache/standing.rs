//! What invalidations have done to what the store holds.

use super::engine::Engine;
use crate::entry::{Entry, Held};
use crate::generation::{Aging, Rule, Standing, keeps};
use crate::outcome::{Cause, InvalidatedBy};

impl Engine {
    /// What has happened to an entry from the store, as far as this process may know;
    /// `number` is from before it was read, `now` from behind that.
    pub(crate) fn holds(&self, entry: &Entry, number: u64, now: u64) -> Standing {
        if self.late(entry) {
            return Standing::Gone;
        }
        match &self.pulse {
            None if self.is_dropped(entry) && keeps(Rule::DroppedHidden) => Standing::Gone,
            None if !self.generations.valid(entry, self.numbered(number)) => Standing::Gone,
            None => Standing::Good,
            Some(_) if cfg!(larder_unfenced) || !keeps(Rule::PromotionChecked) => Standing::Good,
            Some(pulse) if !self.is_leased(now) || pulse.queue.reaches(entry) => Standing::Gone,
            Some(_) => self.generations.standing_of(entry, entry.stamp),
        }
    }

    /// The number of what was read: the one from before that (3 in `generation/mod.rs`).
    pub(super) fn numbered(&self, before: u64) -> u64 {
        match keeps(Rule::NumberedFirst) {
            true => before,
            false => self.generations.clock(),
        }
    }

    /// Remembers by what an entry in memory was invalidated.
    #[cold]
    pub(super) fn trace(&self, held: &Held) {
        let by = self.generations.blame(&held.entry, held.number());
        let traces = &self.counters.traces;
        traces.invalidated(&held.entry.canonical, by);
    }

    /// Why nothing fresh was found, as far as this process remembers, and by what it
    /// was invalidated. A variant may have been there, and gone for there were too many:
    /// then it is one more, and nothing unknown.
    pub(crate) fn traced(&self, place: &[u8], cause: Cause) -> (Cause, Option<InvalidatedBy>) {
        match (cause, self.counters.traces.cause(place, self.now())) {
            (Cause::New, (Cause::New, _)) => (self.filled_elsewhere(place), None),
            (Cause::Variant, (Cause::New | Cause::Unknown, _)) => (cause, None),
            (Cause::New | Cause::Variant, traced) => traced,
            (Cause::Invalidated, (_, by)) => (cause, by),
            _ => (cause, None),
        }
    }

    /// Ends the time to live of an entry from the store.
    #[cold]
    pub(super) fn age(&self, entry: &mut Entry, aging: Aging) {
        let now = self.now();
        let ended = aging.ended(entry.age_at(self.wall_at(now)), now);
        entry.lifetime = entry.lifetime.ended(ended);
        entry.stamp = aging.reading.stamp; // what the handler confirms now is not older
    }

    /// Whether an entry is one that this process is writing although it was
    /// invalidated: it is about to be taken back.
    fn late(&self, entry: &Entry) -> bool {
        let writing = self.writing();
        let note = writing.get(&entry.key);
        keeps(Rule::LateHidden)
            && note.is_some_and(|writes| !self.generations.valid(entry, writes.note.number))
    }
}
