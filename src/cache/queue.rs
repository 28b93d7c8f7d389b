//! Invalidations that the shared clock could not be told of: they are told as soon
//! as it answers again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::engine::Engine;
use super::pulse::Pulse;
use super::turns::{BEAT, SNAPSHOT};
use crate::error::StoreError;
use crate::generation::{Change, Force, Reach, Scoped};
use crate::invalidate::Namespaces;
use crate::key::{Key, ScopeId};
use crate::shift::Shift;
use crate::timers;

/// Between two tries at the end of the process.
const PAUSE: Duration = Duration::from_millis(25);

/// More than this become everything.
const MOST: usize = 4_096;

/// From so many on names that were written anew are kept as their namespaces.
const MANY: usize = 1_024;

const EVERYTHING: Change = Change {
    reach: Reach::Everything,
    force: Force::Hard,
};

/// What is still to be told.
#[derive(Default)]
pub(super) struct Queue {
    changes: Mutex<Kept>,
    /// Whether there is something, read without the lock.
    any: AtomicBool,
    /// Who tells it.
    telling: Shift,
}

/// Changes, and the number of the call that wanted each last.
#[derive(Default)]
struct Kept {
    changes: HashMap<Change, u64>,
    calls: u64,
}

impl Queue {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps changes for later.
    pub(super) fn keep(&self, more: Vec<Change>) {
        let mut kept = self.kept();
        kept.calls += 1;
        let call = kept.calls;
        let changes = &mut kept.changes;
        changes.extend(more.into_iter().map(|change| (change, call)));
        if changes.len() > MOST || changes.contains_key(&EVERYTHING) {
            changes.clear();
            changes.insert(EVERYTHING, call);
        }
        self.any.store(true, Ordering::Release);
    }

    /// How many are still to be told.
    pub(super) fn len(&self) -> usize {
        self.kept().changes.len()
    }

    /// What is to be told, and the number of the last call for it.
    fn untold(&self) -> (Vec<Change>, u64) {
        let kept = self.kept();
        (kept.changes.keys().cloned().collect(), kept.calls)
    }

    /// These were told, as far as they were called for by then.
    fn told(&self, told: &[Change], upto: u64) {
        let mut kept = self.kept();
        for change in told {
            if kept.changes.get(change).is_some_and(|call| *call <= upto) {
                kept.changes.remove(change);
            }
        }
        self.any.store(!kept.changes.is_empty(), Ordering::Release);
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        !self.any.load(Ordering::Acquire)
    }

    /// Whether one of them is to invalidate an entry: for this process it has. A soft one
    /// counts as much until it is told.
    pub(super) fn reaches(&self, entry: &impl Scoped) -> bool {
        let reached = |change: &Change| match &change.reach {
            Reach::Scope(id) => entry.scopes().contains(id),
            Reach::Ban(pattern) => pattern.matches(entry.name()),
            Reach::Everything => true,
        };
        !self.is_empty() && self.kept().changes.keys().any(reached)
    }
}

/// The scope that ends what lies under a name. Where much is kept already it is the whole
/// namespace: else so many would become everything.
fn superseded(namespaces: &Namespaces, name: &Key, kept: usize) -> ScopeId {
    match namespaces.of(name.as_str()) {
        Some(namespace) if kept >= MANY => ScopeId::namespace(&namespace),
        _ => ScopeId::key(name.as_str()),
    }
}

/// Somebody tells, until this is dropped.
struct Telling {
    engine: Arc<Engine>,
    number: u64,
}

impl Drop for Telling {
    fn drop(&mut self) {
        if let Some(pulse) = &self.engine.pulse {
            pulse.queue.telling.ends(self.number);
        }
    }
}

impl Engine {
    /// What lies under a name is invalidated as soon as the clock can be told.
    #[cold]
    pub(super) fn supersede(self: &Arc<Self>, pulse: &Pulse, name: &Key) {
        let id = superseded(&self.context.namespaces, name, pulse.queue.len());
        let (reach, force) = (Reach::Scope(id), Force::Hard);
        pulse.queue.keep(vec![Change { reach, force }]);
        self.begin_beating(); // until it could be told
    }

    /// Tells what was kept, now that the clock answers.
    pub(super) fn replay(self: &Arc<Self>, pulse: &Pulse) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if pulse.queue.is_empty() {
            return;
        }
        let longest = self.budget * (BEAT + SNAPSHOT);
        let Some((number, _)) = pulse.queue.telling.begin(longest) else {
            return;
        };
        let engine = Arc::clone(self);
        let telling = Telling { engine, number };
        self.tasks.spawn(&runtime, async move {
            let engine = &telling.engine;
            let Some(pulse) = &engine.pulse else { return };
            if let Err(error) = engine.tell_kept(pulse).await {
                tracing::debug!(target: "larder", %error, "invalidations are kept on");
            }
        });
    }

    pub(super) async fn tell_kept(self: &Arc<Self>, pulse: &Pulse) -> Result<(), StoreError> {
        let (changes, upto) = pulse.queue.untold();
        let (news, _) = pulse.fence.advance(&changes).await?;
        self.learn(pulse, &news).await?;
        pulse.queue.told(&changes, upto);
        tracing::info!(target: "larder", count = changes.len(), "invalidations were told late");
        Ok(())
    }

    /// Tells what was kept before the process ends, if that can be told within the time of
    /// one operation.
    pub(super) async fn tell_rest(self: &Arc<Self>) {
        let Some(pulse) = &self.pulse else { return };
        if self.runtime().is_none() {
            let (count, error) = (pulse.queue.len(), timers::NONE);
            if count > 0 {
                tracing::warn!(target: "larder", count, error, "invalidations that redis could not be told of are lost");
            }
            return;
        }
        let end = Instant::now() + self.budget;
        while !pulse.queue.is_empty() {
            let told = tokio::time::timeout_at(end, self.tell_kept(pulse)).await;
            match told {
                Ok(Ok(())) => {}
                Ok(Err(_)) if Instant::now() + PAUSE < end => tokio::time::sleep(PAUSE).await,
                told => {
                    let error = told
                        .ok()
                        .and_then(Result::err)
                        .map(|error| error.to_string());
                    let count = pulse.queue.len();
                    tracing::warn!(target: "larder", count, error, "invalidations that redis could not be told of are lost");
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invalidate::Pattern;

    fn hard(reach: Reach) -> Change {
        let force = Force::Hard;
        Change { reach, force }
    }

    fn scope(n: u16) -> Change {
        let mut id = [0; 16];
        id[..2].copy_from_slice(&n.to_le_bytes());
        hard(Reach::Scope(ScopeId(id)))
    }

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

    #[test]
    fn what_is_kept_holds_until_it_was_told() {
        let queue = Queue::default();
        assert!(!queue.reaches(&Thing));
        let ban = hard(Reach::Ban(Pattern::trusted("api:th*".into())));
        for change in [hard(Reach::Scope(ScopeId([1; 16]))), ban, EVERYTHING] {
            queue.keep(vec![change.clone(), scope(9)]);
            assert!(queue.reaches(&Thing), "{change:?}");
            let (_, upto) = queue.untold();
            queue.told(std::slice::from_ref(&change), upto);
            assert!(!queue.reaches(&Thing), "{change:?}");
            queue.told(&[scope(9)], upto);
            assert!(queue.is_empty());
        }
    }

    #[test]
    fn what_was_called_for_again_meanwhile_is_still_to_be_told() {
        let queue = Queue::default();
        queue.keep(vec![scope(1)]);
        let (changes, upto) = queue.untold();
        queue.keep(vec![scope(1)]);
        queue.told(&changes, upto);
        assert!(!queue.is_empty());
    }

    #[test]
    fn too_much_is_everything() {
        let queue = Queue::default();
        queue.keep((0..5_000).map(scope).collect());
        queue.keep(vec![scope(1)]);
        assert_eq!(queue.untold().0, [EVERYTHING]);
    }

    #[test]
    fn where_much_is_kept_a_name_is_its_namespace() {
        let (namespaces, name) = (Namespaces::default(), Key::new("character:char_1"));
        let own = ScopeId::key("character:char_1");
        assert_eq!(superseded(&namespaces, &name, MANY), own, "it has none");
        let of = (std::any::TypeId::of::<u8>(), "u8");
        namespaces.register("character", "api", of).unwrap();
        assert_eq!(superseded(&namespaces, &name, MANY - 1), own);
        let all = ScopeId::namespace("character");
        assert_eq!(superseded(&namespaces, &name, MANY), all);
    }
}
