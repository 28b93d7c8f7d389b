//! What invalidations have removed, by endpoint.
//!
//! Nobody is served what a fence has reached, so a look at all that memory holds is for
//! its room and for the count. It is done aside where it takes any time: one at a time,
//! and one more for all who ask meanwhile.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::engine::Engine;
use super::sweep::aside;
use crate::entry::Held;
use crate::generation::Standing;
use crate::invalidate::Target;
use crate::store::Removed;

/// So many entries are looked at in less time than it takes to ask another thread.
const FEW: u64 = 1_000;

/// Who waits for the next look.
#[derive(Default)]
pub(super) struct Looks(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    looking: bool,
    asked: Vec<(Target, oneshot::Sender<Removed>)>,
}

impl Looks {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `true` for the one who is to see that somebody looks.
    fn ask(&self, target: Target, tell: oneshot::Sender<Removed>) -> bool {
        let mut waiting = self.waiting();
        waiting.asked.push((target, tell));
        !std::mem::replace(&mut waiting.looking, true)
    }

    /// Those who have asked by now. Nobody looks any more where there is none.
    fn next(&self) -> Option<(Vec<Target>, Vec<oneshot::Sender<Removed>>)> {
        let mut waiting = self.waiting();
        let asked = std::mem::take(&mut waiting.asked);
        waiting.looking = !asked.is_empty();
        waiting.looking.then(|| asked.into_iter().unzip())
    }
}

/// Looks for all who ask. If it is dropped before it is done, with its runtime, none of
/// them is told.
struct Looker {
    engine: Arc<Engine>,
    /// Nobody has asked any more: who asks from now on has a looker of his own.
    done: bool,
}

impl Looker {
    fn look(&mut self) {
        while let Some((targets, tell)) = self.engine.clearing.looks.next() {
            let removed = self.engine.look_for(&targets).into_iter();
            for (tell, removed) in tell.into_iter().zip(removed) {
                let _ = tell.send(removed); // its asker may have gone
            }
        }
        self.done = true;
    }
}

impl Drop for Looker {
    fn drop(&mut self) {
        if !self.done {
            *self.engine.clearing.looks.waiting() = Waiting::default();
        }
    }
}

impl Engine {
    /// Removes from memory what the target reaches, or ends its time to live.
    pub(super) async fn sweep(self: &Arc<Self>, target: &Target) -> Removed {
        if self.memory.len() <= FEW || !self.has_runtime() {
            let mut removed = self.look_for(std::slice::from_ref(target));
            return removed.pop().unwrap_or_default();
        }
        let (tell, told) = oneshot::channel();
        if self.clearing.looks.ask(target.clone(), tell) {
            let engine = Arc::clone(self);
            let mut looker = Looker {
                engine,
                done: false,
            };
            aside(move || looker.look());
        }
        told.await.unwrap_or_default()
    }

    /// The same for each of several: an entry counts for the first that reaches it.
    fn look_for(&self, targets: &[Target]) -> Vec<Removed> {
        let removed = RefCell::new(vec![Removed::default(); targets.len()]);
        self.memory.sweep(|held| {
            let reaches = |target: &Target| target.reaches(&held.entry);
            let Some(at) = targets.iter().position(reaches) else {
                return Standing::Good;
            };
            let standing = self.swept(held);
            if standing != Standing::Good {
                let endpoint = self.endpoint_of(held);
                removed.borrow_mut()[at].add(&endpoint, 1);
            }
            standing
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invalidate::target_in;
    use crate::{Cache, MIB, everything};

    #[test]
    fn a_look_that_has_ended_takes_nobody_along_who_asks_next() {
        let cache = Cache::builder().memory(MIB).build().unwrap();
        let engine = Arc::clone(&cache.engine);
        let target = target_in(&everything(), &engine.context, None).unwrap();
        let looker = || Looker {
            engine: Arc::clone(&engine),
            done: false,
        };
        let mut first = looker();
        first.look();
        let (tell, mut told) = oneshot::channel();
        assert!(engine.clearing.looks.ask(target, tell));
        drop(first);
        looker().look();
        assert!(told.try_recv().is_ok());
    }
}
