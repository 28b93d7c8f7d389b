//! What a write invalidates: when it has succeeded, or when nobody knows whether it has.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::engine::Engine;
use super::invalidation::{NO_RUNTIME, Watching};
use super::reclaim::Wish;
use crate::audit;
use crate::entry::Entry;
use crate::error::StoreError;
use crate::generation::{Generation, Stamp, Watch};
use crate::invalidate::Target;
use crate::store::{Removed, Store};

/// What a policy declares was done, for all its targets together.
fn told(target: &Target, entries: u64, result: Result<(), &StoreError>) {
    let result = result.map_err(|error| error as _);
    audit::done("route", target.action(), target, entries, result);
}

/// An unsafe request on its way: what it invalidates when it succeeds, or when
/// nobody knows whether it did.
pub(crate) struct Writing {
    engine: Arc<Engine>,
    targets: Vec<Target>,
    watching: Arc<Watching>,
    /// The shared clock before the handler started, and after its invalidation.
    noted: Stamp,
    last: Arc<Mutex<Stamp>>,
    runtime: Option<Handle>,
}

impl Writing {
    pub(crate) fn new(engine: &Arc<Engine>, targets: Vec<Target>) -> Self {
        Self {
            engine: Arc::clone(engine),
            targets,
            watching: Arc::default(),
            noted: engine.generations.stamp(),
            last: Arc::default(),
            runtime: engine.runtime(),
        }
    }

    /// The same once more: it invalidates when it is dropped.
    pub(crate) fn again(&self) -> Self {
        Self::new(&self.engine, self.targets.clone())
    }

    /// Reaches further: what the answer names.
    pub(crate) fn reach(&mut self, targets: Vec<Target>) {
        self.targets.extend(targets);
    }

    /// Nothing was written.
    pub(crate) fn disarm(mut self) {
        self.targets.clear();
    }

    /// Watches over the entry that the request's own answer makes.
    pub(crate) fn watch(&mut self, entry: &Entry, note: Generation) {
        self.watching = Arc::new(Mutex::new(Some(Watch::new(entry, note))));
    }

    /// Invalidates, and waits for it as long as a request may wait. The rest
    /// goes on behind it. Returns the number under which a watched entry is
    /// valid, once all is done.
    pub(crate) async fn invalidate(mut self) -> Option<Generation> {
        let targets = std::mem::take(&mut self.targets);
        if let Some(work) = self.begin(targets)
            && !in_time(&self.engine, work).await
        {
            return None;
        }
        if self.engine.pulse.is_some() {
            return self.shared_note();
        }
        let watch = self.watching.lock().unwrap_or_else(PoisonError::into_inner);
        watch.as_ref().and_then(Watch::note)
    }

    /// Invalidates, and gives what a body's end waits for: nothing where what it would wait for
    /// is driven by another runtime than the one in which the body is read.
    pub(crate) fn invalidate_apart(mut self) -> Option<JoinHandle<()>> {
        let targets = std::mem::take(&mut self.targets);
        let (work, runtime) = (self.begin(targets)?, self.runtime.as_ref()?);
        let here = Handle::try_current().is_ok_and(|here| here.id() == runtime.id());
        let engine = Arc::clone(&self.engine);
        let waits = async move {
            in_time(&engine, work).await;
        };
        here.then(|| self.engine.tasks.spawn(runtime, waits))
    }

    /// The same where instances share a clock: it has moved by this request's own
    /// invalidation alone.
    fn shared_note(&self) -> Option<Generation> {
        if self
            .engine
            .pulse
            .as_ref()
            .is_some_and(|pulse| !pulse.queue.is_empty())
        {
            return None;
        }
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.engine.generations.note();
        let next = Stamp {
            number: self.noted.number + 1,
            ..self.noted
        };
        (last.is_known() && last == next && now.stamp == last).then_some(now)
    }

    /// Memory at once, the store in a task.
    fn begin(&self, targets: Vec<Target>) -> Option<JoinHandle<()>> {
        let engine = &self.engine;
        for target in &targets {
            engine.fence_watched(target, &self.watching);
            engine.note_invalidation(target, None);
        }
        engine.counters.invalidations(targets.len() as u64);
        let store: Option<&dyn Store> = engine.store.as_deref();
        if targets.is_empty() || store.is_none() {
            targets.iter().for_each(|target| told(target, 0, Ok(())));
            return None;
        }
        let untold = engine.untold_of(&targets);
        let Some(runtime) = &self.runtime else {
            drop(untold);
            let error = engine.untold(NO_RUNTIME);
            let failed = |target| told(target, 0, Err(&error));
            targets.iter().for_each(failed);
            return None;
        };
        let (background, watching) = (Arc::clone(engine), Arc::clone(&self.watching));
        let last = Arc::clone(&self.last);
        let dropping = engine.dropping(&targets);
        let wish = match engine.pulse.is_some() {
            true => Wish::Space,
            false => Wish::Done, // what is left would be served
        };
        let work = async move {
            match background.reach(&targets, wish, untold).await {
                Ok(reached) => {
                    background.count_removed(&Removed::default(), &reached.removed);
                    let entries = reached.removed.entries;
                    targets
                        .iter()
                        .for_each(|target| told(target, entries, Ok(())));
                    *last.lock().unwrap_or_else(PoisonError::into_inner) = reached.stamp;
                }
                Err(error) => targets
                    .iter()
                    .for_each(|target| told(target, 0, Err(&error))),
            }
            for target in &targets {
                background.fence_watched(target, &watching);
            }
            drop(dropping);
        };
        Some(engine.tasks.spawn(runtime, work))
    }
}

/// Waits for it as long as a request may wait.
async fn in_time(engine: &Engine, work: JoinHandle<()>) -> bool {
    let done = tokio::time::timeout(engine.budget, work).await.is_ok();
    if !done && let Some(times) = engine.faults.late.happened(engine.now()) {
        tracing::warn!(target: "larder", times, "an invalidation goes on behind its request");
    }
    done
}

impl Drop for Writing {
    /// The handler was dropped, panicked or failed: it may have written.
    fn drop(&mut self) {
        let targets = std::mem::take(&mut self.targets);
        if !targets.is_empty() {
            drop(self.begin(targets));
        }
    }
}
