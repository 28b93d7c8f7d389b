//! Memory without what no longer holds, behind everybody's back: so that old numbers can
//! be forgotten, and because what was erased is to be nowhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::runtime::Handle;

use super::engine::Engine;
use crate::entry::Held;
use crate::generation::{Learning, Standing};

/// Whether memory is being swept of what was erased: one sweep at a time, and one more
/// for all who ask meanwhile.
#[derive(Default)]
pub(super) struct Erasing(AtomicU8);

const NOBODY: u8 = 0;
const SWEEPING: u8 = 1;
const ASKED: u8 = 2;

impl Erasing {
    /// `true` for the one who is to sweep.
    fn begin(&self) -> bool {
        let asked = |now| Some(if now == NOBODY { SWEEPING } else { ASKED });
        let order = Ordering::AcqRel;
        self.0.fetch_update(order, Ordering::Acquire, asked) == Ok(NOBODY)
    }

    /// `true` if somebody has asked since.
    fn again(&self) -> bool {
        let after = |now| Some(if now == ASKED { SWEEPING } else { NOBODY });
        let order = Ordering::AcqRel;
        self.0.fetch_update(order, Ordering::Acquire, after) == Ok(ASKED)
    }
}

impl Engine {
    /// Does what was learnt asks for.
    pub(super) fn sweep_after(self: &Arc<Self>, learning: Learning) {
        let Learning::New {
            crowded,
            erased,
            risen,
        } = learning
        else {
            return;
        };
        if risen {
            self.has_forgotten("entries that are older are not valid any more");
        }
        if crowded {
            self.forget_soon();
        }
        if erased {
            self.erase_soon();
        }
    }

    /// Removes from memory whatever is no longer valid, and forgets the numbers by which
    /// that was known.
    pub(super) fn forget_soon(self: &Arc<Self>) {
        let forgetter = Forgetter(Arc::clone(self));
        aside(move || forgetter.forget());
    }

    /// Something may have been erased elsewhere: removes from memory whatever is no longer
    /// valid, and what leads to it.
    fn erase_soon(self: &Arc<Self>) {
        if let Some(pulse) = &self.pulse
            && pulse.erasing.begin()
        {
            let eraser = Eraser(Arc::clone(self));
            aside(move || eraser.erase());
        }
    }

    /// A clock had too many scopes or patterns: its floor has risen.
    fn has_forgotten(&self, so: &str) {
        self.counters.forgotten();
        if let Some(times) = self.faults.forgotten.happened(self.now()) {
            tracing::warn!(target: "larder", so, times, "too many scopes or patterns are invalidated: the clock forgets the oldest");
        }
    }

    /// What has happened to an entry, which is remembered where it goes.
    pub(super) fn swept(&self, held: &Held) -> Standing {
        let standing = held.standing(&self.generations);
        if standing == Standing::Gone {
            self.trace(held);
        }
        standing
    }
}

/// Where it keeps nobody waiting.
pub(super) fn aside(work: impl FnOnce() + Send + 'static) {
    match Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(work)),
        Err(_) => work(),
    }
}

/// If it is dropped before it ran, somebody else will be asked.
struct Forgetter(Arc<Engine>);

impl Forgetter {
    fn forget(&self) {
        let generations = &self.0.generations;
        let risen = generations.forget(self.0.now(), || {
            self.0.memory.sweep(|held| self.0.swept(held));
        });
        if risen {
            self.0.has_forgotten("what began before them is not stored");
        }
    }
}

impl Drop for Forgetter {
    fn drop(&mut self) {
        self.0.generations.forgotten();
    }
}

/// The same.
struct Eraser(Arc<Engine>);

impl Eraser {
    fn erase(&self) {
        let memory = &self.0.memory;
        let more = || {
            let pulse = self.0.pulse.as_ref();
            pulse.is_some_and(|pulse| pulse.erasing.again())
        };
        loop {
            memory.sweep(|held| self.0.swept(held));
            memory.drop_markers();
            if !more() {
                return;
            }
        }
    }
}

impl Drop for Eraser {
    fn drop(&mut self) {
        if let Some(pulse) = &self.0.pulse {
            pulse.erasing.0.store(NOBODY, Ordering::Release);
        }
    }
}
