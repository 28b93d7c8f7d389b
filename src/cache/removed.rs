//! What invalidations have removed, by endpoint.

use std::cell::RefCell;

use super::engine::Engine;
use crate::entry::Held;
use crate::generation::Standing;
use crate::invalidate::Target;
use crate::store::Removed;

impl Engine {
    /// Removes from memory what the target reaches, or ends its time to live.
    pub(super) fn sweep(&self, target: &Target) -> Removed {
        let removed = RefCell::new(Removed::default());
        self.memory.sweep(|held| match target.reaches(&held.entry) {
            true => {
                let standing = self.swept(held);
                if standing != Standing::Good {
                    let endpoint = self.endpoint_of(held);
                    removed.borrow_mut().add(&endpoint, 1);
                }
                standing
            }
            false => Standing::Good,
        });
        removed.into_inner()
    }

    /// The endpoint, or the namespace of a value.
    fn endpoint_of(&self, held: &Held) -> Box<str> {
        let key = held.entry.key.as_str();
        let namespace = self.context.namespaces.of(key);
        namespace.unwrap_or_else(|| key.split(':').nth(1).unwrap_or_default().into())
    }

    /// Counts what is gone: of the store, where each entry has its place, or of memory,
    /// where it held more.
    pub(super) fn count_removed(&self, memory: &Removed, store: &Removed) {
        let most = match memory.entries > store.entries {
            true => memory,
            false => store,
        };
        self.counters.removed(most.entries, &most.endpoints);
    }
}
