//! What Redis tells without being asked: invalidations, the loss of everything, and
//! with [`track_entries`](crate::CacheBuilder::track_entries) each change of an entry.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::StreamExt;

use super::engine::Engine;
use super::pulse::Pulse;
use crate::generation::Reach;
use crate::key::ScopeId;
use crate::store::fence::{Fence, Told, news};

/// Hears what is told, and begins again when the connection ends. What was told in
/// between shows at the next beat.
pub(super) async fn listen(
    engine: Weak<Engine>,
    fence: Arc<dyn Fence>,
    pause: Duration,
    tracks: bool,
) {
    loop {
        if let Ok(mut pushes) = fence.listen(tracks).await {
            let _listening = Listening::begin(&engine);
            while let Some(told) = pushes.next().await {
                let Some(engine) = engine.upgrade() else {
                    return;
                };
                let Some(pulse) = &engine.pulse else { return };
                engine.told(pulse, told);
            }
        }
        tokio::time::sleep(pause).await;
    }
}

impl Engine {
    fn told(self: &Arc<Self>, pulse: &Pulse, told: Told) {
        match told {
            Told::Message(message) => {
                let _ = self.hear(pulse, news(&message).as_ref());
            }
            // with all else the clock is gone: nothing is served before a beat has said so
            Told::Flushed => {
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
            pulse.listening.store(listening, Ordering::Relaxed);
            engine.doubt();
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.set(false);
    }
}
