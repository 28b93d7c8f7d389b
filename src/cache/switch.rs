//! The switch: on and off, for this process and for all that share a Redis.
//!
//! What is switched for all is kept beside the shared clock, and heard with each
//! beat. So it outlives every process, and reaches one that starts later before it
//! serves anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::engine::Engine;
use super::handle::Cache;
use crate::audit;
use crate::error::{StoreError, StoreErrorKind};

/// This process is off.
const HERE: u8 = 1;
/// All are.
const EVERYWHERE: u8 = 2;

/// Who is off.
#[derive(Debug)]
pub(crate) struct Switch(AtomicU8);

impl Switch {
    pub(crate) fn new(on: bool) -> Self {
        Self(AtomicU8::new(if on { 0 } else { HERE }))
    }

    #[inline]
    fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    fn is_off(&self, whom: u8) -> bool {
        self.0.load(Ordering::Relaxed) & whom != 0
    }

    fn set(&self, whom: u8, on: bool) {
        match on {
            true => self.0.fetch_and(!whom, Ordering::Relaxed),
            false => self.0.fetch_or(whom, Ordering::Relaxed),
        };
    }
}

impl Engine {
    #[inline]
    pub(crate) fn enabled(&self) -> bool {
        self.switch.is_on()
    }

    /// A request passes a cache that is off. Where all are off, it keeps the beats
    /// going that will tell when they are on again.
    #[cold]
    pub(crate) fn passed_off(self: &Arc<Self>) {
        if self.switch.is_off(EVERYWHERE) {
            self.is_leased(self.now()); // says that requests come
            self.begin_beating();
        }
    }

    async fn switch_all(&self, on: bool, who: &str) -> Result<(), StoreError> {
        let Some(pulse) = &self.pulse else {
            return Ok(());
        };
        let done = pulse.switch(!on, self.longest_beat()).await;
        let action = match on {
            true => "switch-on-everywhere",
            false => "switch-off-everywhere",
        };
        let result = done.as_ref().map(drop).map_err(|error| error as _);
        audit::done(who, action, &"all processes", 0, result);
        done?;
        self.switch.set(EVERYWHERE, on);
        if on {
            self.switch_here(on, who);
        }
        Ok(())
    }

    fn switch_here(&self, on: bool, who: &str) {
        self.switch.set(HERE, on);
        let action = if on { "switch-on" } else { "switch-off" };
        audit::done(who, action, &"this process", 0, Ok(()));
    }

    /// What a beat has heard.
    pub(super) fn heard_off(&self, off: bool) {
        if self.switch.is_off(EVERYWHERE) != off {
            self.switch.set(EVERYWHERE, !off);
            tracing::warn!(target: "larder", enabled = !off, "the cache was switched for all processes");
        }
    }
}

impl Cache {
    /// Switches the cache of this process on or off while it runs. One that is off
    /// lets every request through to its handler and still performs every
    /// invalidation. For all processes:
    /// [`set_enabled_everywhere`](Self::set_enabled_everywhere).
    pub fn set_enabled(&self, enabled: bool) {
        self.engine.switch_here(enabled, &audit::who());
    }

    /// Switches the cache on or off in all processes that share its Redis and its
    /// prefix, and in those that start later: the switch is kept in Redis, beside the
    /// clock of invalidations. This process honours it when the call returns, the
    /// others as soon as they hear of it, within a third of their
    /// [`lease`](crate::CacheBuilder::lease) at the latest. Switching on also undoes
    /// this process' own [`set_enabled(false)`](Self::set_enabled). A Redis that is
    /// emptied is on.
    ///
    /// Without a Redis tier it is [`set_enabled`](Self::set_enabled). The call goes on if its
    /// future is dropped.
    ///
    /// # Errors
    ///
    /// If Redis could not be told, or has not answered in time: all are switched later
    /// then, if it was told.
    pub async fn set_enabled_everywhere(&self, enabled: bool) -> Result<(), StoreError> {
        if self.engine.pulse.is_none() {
            self.set_enabled(enabled);
            return Ok(());
        }
        let (engine, who) = (Arc::clone(&self.engine), audit::who());
        let work = async move { engine.switch_all(enabled, &who).await };
        let done = self.engine.tasks.outlasting(work).await;
        let stopped = |error| Err(StoreError::new(StoreErrorKind::Unavailable, error));
        done.unwrap_or_else(stopped)
    }

    /// Whether the cache is on, as far as this process has heard.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.engine.enabled()
    }
}
