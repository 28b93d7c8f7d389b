//! What Redis tells without being asked: invalidations, the loss of everything, and
//! with [`track_entries`](crate::CacheBuilder::track_entries) each change of an entry.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::beats::BEATS;
use super::engine::Engine;
use super::pulse::Pulse;
use crate::generation::Reach;
use crate::inspect::Topology;
use crate::key::ScopeId;
use crate::lasting::Lasting;
use crate::store::fence::{Fence, Told, news};

/// While nobody beats, so often a connection that has ended is tried to be opened again,
/// each time after four times the pause. Then it is left to the next request.
const TRIES: u32 = 4;
/// A link that has told nothing while so many beats in a row did is dead.
const SILENT: u32 = 3;

/// Who listens, until he is told to stop, or the cache is gone.
#[derive(Default)]
pub(super) struct Ear {
    listening: Mutex<Option<AbortHandle>>,
    /// Changes of entries are not told to him.
    untracked: AtomicBool,
    /// Beats since anything was told: where entries are tracked each of them is.
    unheard: AtomicU32,
    /// Nobody can listen, or not to that.
    deaf: Lasting,
}

impl Ear {
    fn open(&self, listen: impl FnOnce() -> AbortHandle) {
        let mut ear = self
            .listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if ear.as_ref().is_none_or(AbortHandle::is_finished) {
            *ear = Some(listen());
        }
    }

    pub(super) fn close(&self) {
        let mut ear = self
            .listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(listening) = ear.take() {
            listening.abort();
        }
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.close();
    }
}

/// Hears what is told, and begins again when the connection ends. What was told in
/// between shows at the next beat.
async fn listen(engine: Weak<Engine>, fence: Arc<dyn Fence>, pause: Duration, tracks: bool) {
    let mut tries = 0;
    loop {
        match fence.listen(tracks).await {
            Ok(mut pushes) => {
                let _listening = Listening::begin(&engine);
                tries = 0;
                while let Some(told) = pushes.next().await {
                    let Some(engine) = engine.upgrade() else {
                        return;
                    };
                    let Some(pulse) = &engine.pulse else { return };
                    engine.told(pulse, told);
                }
            }
            Err(error) => {
                if let Some(engine) = engine.upgrade() {
                    engine.is_deaf(&error);
                }
            }
        }
        let beats = |engine: Arc<Engine>| {
            let pulse = engine.pulse.as_ref();
            pulse.is_some_and(|pulse| pulse.beating.is_on())
        };
        tries = match engine.upgrade().is_some_and(beats) {
            true => 0,
            false if tries < TRIES => tries + 1,
            false => return,
        };
        tokio::time::sleep(pause * 4_u32.pow(tries)).await;
    }
}

impl Engine {
    /// Listens from now on, if nobody does.
    pub(super) fn listen_on(self: &Arc<Self>, runtime: &Handle) {
        let Some(pulse) = &self.pulse else { return };
        let (fence, pause) = (Arc::clone(&pulse.fence), pulse.lease / BEATS);
        let listening = || listen(Arc::downgrade(self), fence, pause, pulse.tracks);
        pulse.ear.open(|| runtime.spawn(listening()).abort_handle());
    }

    pub(super) fn stop_listening(&self) {
        if let Some(pulse) = &self.pulse {
            pulse.ear.close();
        }
    }

    /// A beat has told what nobody had. A link on which that happens again and again has
    /// died without a word, and is opened anew.
    pub(super) fn missed_news(self: &Arc<Self>, pulse: &Pulse) {
        let missed = pulse.missed.fetch_add(1, Ordering::Relaxed) + 1;
        if missed >= SILENT {
            self.listen_anew(pulse, &pulse.missed);
        }
    }

    /// A beat has changed the clock's row. Where entries are tracked that is told too.
    pub(super) fn has_beaten(self: &Arc<Self>, pulse: &Pulse) {
        let unheard = &pulse.ear.unheard;
        let heard = !pulse.tracks || pulse.ear.untracked.load(Ordering::Relaxed);
        if !heard && unheard.fetch_add(1, Ordering::Relaxed) >= SILENT {
            self.listen_anew(pulse, unheard);
        }
    }

    fn listen_anew(self: &Arc<Self>, pulse: &Pulse, silent: &AtomicU32) {
        if pulse.is_listening()
            && let Ok(runtime) = Handle::try_current()
        {
            silent.store(0, Ordering::Relaxed);
            pulse.ear.close();
            self.listen_on(&runtime);
        }
    }

    /// Whether what is put into memory may be served from there: where entries are to be
    /// tracked, only while somebody is told of them.
    pub(crate) fn trusts_memory(&self) -> bool {
        let deaf = |pulse: &Pulse| {
            pulse.tracks && (!pulse.is_listening() || pulse.ear.untracked.load(Ordering::Relaxed))
        };
        !self.pulse.as_ref().is_some_and(deaf)
    }

    /// Nobody is told what changes.
    fn is_deaf(&self, why: &dyn std::fmt::Display) {
        let Some(pulse) = &self.pulse else { return };
        if !pulse.tracks {
            tracing::debug!(target: "larder", %why, "redis cannot be listened to");
        } else if let Some(times) = pulse.ear.deaf.happened(self.now()) {
            tracing::warn!(target: "larder", %why, times, "redis does not tell what changes: with track_entries memory is not used until it does");
        }
    }

    /// What memory holds may have been erased unheard. Who beats hears of it with that.
    fn catch_up(self: &Arc<Self>) {
        let (Some(pulse), Ok(runtime)) = (&self.pulse, Handle::try_current()) else {
            return;
        };
        if !pulse.has_lease(self.now()) && self.memory.len() > 0 {
            let engine = Arc::clone(self);
            drop(runtime.spawn(async move { engine.lease().await }));
        }
    }

    fn told(self: &Arc<Self>, pulse: &Pulse, told: Told) {
        pulse.ear.unheard.store(0, Ordering::Relaxed);
        match told {
            Told::Untracked(why) => {
                pulse.ear.untracked.store(true, Ordering::Relaxed);
                self.doubt();
                if pulse.tracks {
                    self.is_deaf(&why);
                }
            }
            Told::Message(message) => {
                pulse.missed.store(0, Ordering::Relaxed);
                let _ = self.hear(pulse, news(&message).as_ref());
            }
            // with all else the clock is gone, or it was another database: nothing is served
            // before a beat has said which; in a cluster it may lie on another primary, and
            // nothing is served from memory
            Told::Flushed => {
                let parted = pulse.fence.topology() == Topology::Cluster;
                if parted && self.generations.doubt([Reach::Everything], self.now()) {
                    self.forget_soon();
                }
                pulse.end_lease();
                pulse.nudge.notify_one();
            }
            Told::Gone(names) => self.drop_named(&names),
        }
    }

    /// What lies under these names may be another entry by now, also where it is
    /// being read from the store.
    fn drop_named(self: &Arc<Self>, names: &[String]) {
        let internal = format!("{}:!", self.context.prefix);
        let entries = names.iter().filter(|name| !name.starts_with(&internal));
        let reaches: Vec<_> = entries
            .map(|name| Reach::Scope(ScopeId::key(name)))
            .collect();
        if !reaches.is_empty() && self.generations.doubt(reaches, self.now()) {
            self.forget_soon();
        }
    }

    /// What memory holds may have been changed by other hands unheard.
    fn doubt(self: &Arc<Self>) {
        let tracks = self.pulse.as_ref().is_some_and(|pulse| pulse.tracks);
        if tracks && self.generations.doubt([Reach::Everything], self.now()) {
            self.forget_soon();
        }
    }
}

/// How many listen: one that was told to stop may end after the next has begun.
#[derive(Default)]
pub(super) struct Listeners(AtomicU32);

impl Listeners {
    fn change(&self, listening: bool) {
        match listening {
            true => self.0.fetch_add(1, Ordering::Relaxed),
            false => self.0.fetch_sub(1, Ordering::Relaxed),
        };
    }

    pub(super) fn any(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

/// Somebody listens, until this is dropped.
struct Listening(Weak<Engine>);

impl Listening {
    fn begin(engine: &Weak<Engine>) -> Self {
        let listening = Self(Weak::clone(engine));
        listening.set(true);
        listening
    }

    fn set(&self, listening: bool) {
        if let Some(engine) = self.0.upgrade()
            && let Some(pulse) = &engine.pulse
        {
            if listening {
                pulse.ear.untracked.store(false, Ordering::Relaxed);
                pulse.ear.unheard.store(0, Ordering::Relaxed);
            }
            pulse.listening.change(listening);
            engine.doubt();
            if listening {
                engine.catch_up();
            }
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.set(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_ends_late_does_not_end_the_next() {
        let listeners = Listeners::default();
        listeners.change(true);
        listeners.change(true); // the next, before the first has ended
        listeners.change(false);
        assert!(listeners.any());
        listeners.change(false);
        assert!(!listeners.any());
    }
}
