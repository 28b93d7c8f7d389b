//! Whose turn it is: a bound on how many fills begin in a time, and the end of a
//! run that is cancelled.

use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval};

/// The turns of one run. None is left over for later: a run that had nothing to
/// fill for a while does not catch up in a burst.
#[derive(Debug)]
pub(crate) struct Turns {
    turns: Semaphore,
    every: Option<Duration>,
}

/// The run is cancelled.
#[derive(Debug)]
pub(crate) struct Cancelled;

impl Turns {
    pub(super) fn new(every: Option<Duration>) -> Self {
        let turns = Semaphore::new(0);
        Self { turns, every }
    }

    /// Waits for a turn. Tells whether that took any time.
    pub(crate) async fn next(&self) -> Result<bool, Cancelled> {
        if self.every.is_none() {
            return match self.is_cancelled() {
                true => Err(Cancelled),
                false => Ok(false),
            };
        }
        self.turns.acquire().await.map_err(|_| Cancelled)?.forget();
        Ok(true)
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.turns.is_closed()
    }

    pub(super) fn cancel(&self) {
        self.turns.close();
    }

    /// Grants the turns; never ends.
    pub(super) async fn grant(&self) {
        let Some(every) = self.every else {
            return std::future::pending().await;
        };
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if self.turns.available_permits() == 0 {
                self.turns.add_permits(1);
            }
        }
    }
}
