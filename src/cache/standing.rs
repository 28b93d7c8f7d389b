//! What invalidations have done to what the store holds.

use super::engine::Engine;
use crate::entry::Entry;
use crate::generation::{Aging, Standing};

impl Engine {
    /// What has happened to an entry from the store, as far as this process may know.
    pub(super) fn holds(&self, entry: &Entry) -> Standing {
        if self.late(entry) {
            return Standing::Gone;
        }
        match &self.pulse {
            None => Standing::Good,
            Some(_) if cfg!(larder_unfenced) => Standing::Good, // the checker must find it
            Some(pulse) if !self.is_leased(self.now()) || pulse.queue.reaches(entry) => {
                Standing::Gone
            }
            Some(_) => self.generations.standing_of(entry, entry.stamp),
        }
    }

    /// Ends the time to live of an entry from the store.
    #[cold]
    pub(super) fn age(&self, entry: &mut Entry, aging: Aging) {
        let since = self.now().saturating_sub(aging.at);
        let ended = entry.age_at(self.wall()).saturating_sub(since);
        entry.lifetime = entry.lifetime.ended(ended);
        entry.stamp = aging.reading.stamp; // what the handler confirms now is not older
    }

    /// Whether an entry is one that this process is writing although it was
    /// invalidated: it is about to be taken back.
    fn late(&self, entry: &Entry) -> bool {
        let writing = self.writing();
        let note = writing.get(&entry.key);
        note.is_some_and(|writes| !self.generations.valid(entry, writes.note.number))
    }
}
