//! Beats while requests come, and silence afterwards.

use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::engine::Engine;
use super::turns::{BEAT, SNAPSHOT};

/// Beats in a lease.
pub(super) const BEATS: u32 = 3;
/// After so many the rows are looked at for those of processes that are gone.
const LOOK: u32 = 64;

impl Engine {
    pub(super) fn begin_beating(self: &Arc<Self>) {
        let (Some(pulse), Some(runtime)) = (&self.pulse, self.runtime()) else {
            return;
        };
        let pause = pulse.lease / BEATS;
        let Some((number, over)) = pulse.beating.begin(self.longest_round(pause)) else {
            return;
        };
        self.advise_at_start(&runtime);
        if over {
            self.stop_listening(); // his runtime does not hear either
        }
        self.listen_on(&runtime);
        let engine = Arc::downgrade(self);
        let running = Running { engine, number };
        let nudge = Arc::clone(&pulse.nudge);
        let (fence, who) = (Arc::clone(&pulse.fence), pulse.who());
        let (engine, beating) = (Arc::downgrade(self), Arc::downgrade(self));
        runtime.spawn(async move {
            beats(beating, pause, nudge, running).await;
            if engine.strong_count() == 0 {
                let _ = fence.leave(&who, None).await; // nobody need wait for it
            }
        });
    }

    /// How long it takes until the next beat has begun.
    fn longest_round(&self, pause: Duration) -> Duration {
        pause + self.budget * (2 * BEAT + SNAPSHOT)
    }
}

/// Somebody beats, until this is dropped, with its runtime at the latest.
struct Running {
    engine: Weak<Engine>,
    number: u64,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(engine) = self.engine.upgrade()
            && let Some(pulse) = &engine.pulse
        {
            pulse.beating.ends(self.number);
        }
    }
}

/// Beats, until no request has come for a lease.
async fn beats(engine: Weak<Engine>, every: Duration, nudge: Arc<Notify>, running: Running) {
    let (mut idle, mut next) = (0, Instant::now() + every);
    let (mut count, mut looked) = (0_u32, None);
    loop {
        let pause = pin!(tokio::time::sleep_until(next));
        let nudged = match select(pin!(nudge.notified()), pause).await {
            Either::Left(_) => true,
            Either::Right(_) => {
                next = Instant::now() + every;
                false
            }
        };
        let Some(engine) = engine.upgrade() else {
            return;
        };
        let Some(pulse) = &engine.pulse else { return };
        let longest = engine.longest_round(every);
        if !pulse.beating.goes_on(running.number, longest) {
            return;
        }
        if !nudged {
            idle = match pulse.used.swap(false, Ordering::Relaxed) {
                true => 0,
                false => idle + 1,
            };
        }
        let silent = idle >= BEATS && pulse.queue.is_empty();
        let ends = engine.renewals.is_closed();
        if silent || ends {
            if ends {
                engine.stop_listening();
            }
            engine.resign().await;
            drop(running);
            return;
        }
        if let (false, Ok(runtime)) = (nudged, Handle::try_current()) {
            engine.listen_on(&runtime); // the runtime of who listened may have ended
        }
        count = count.wrapping_add(u32::from(!nudged));
        if !nudged && count.is_multiple_of(LOOK) {
            engine.forget_silent(pulse, &mut looked).await;
        }
        let turn = pulse.turns.take(engine.longest_beat()).await;
        if let Err(error) = engine.beat(pulse, &turn).await {
            engine.counters.store_error(&error);
            tracing::debug!(target: "larder", %error, "a beat has failed");
        }
    }
}
