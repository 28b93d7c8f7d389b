//! Clients that do not read. A leader polls its fill itself, at its client's pace: where
//! that reads nothing, its recording would keep the room that others need, for as long as
//! the client likes. Once room is scarce, what stalls so is given up: the client gets the
//! rest as it comes, and nothing is stored of it.

use std::sync::{Arc, PoisonError, Weak};

use super::{Flight, Flights};

/// A recording that has not grown for so long, in milliseconds, stalls.
const STALLED: u64 = 5_000;

/// How often, in milliseconds, they are looked for at most.
const OFTEN: u64 = 1_000;

/// Flights that are recorded. Those that are gone are forgotten now and then.
#[derive(Default)]
pub(super) struct Recorded {
    flights: Vec<Weak<Flight>>,
    /// Beyond so many, those that are gone are looked for.
    enough: usize,
    /// When those that stall may be looked for again, in milliseconds.
    next: u64,
}

impl Recorded {
    fn forget(&mut self) {
        self.flights.retain(|flight| flight.strong_count() > 0);
        self.enough = 64.max(2 * self.flights.len());
    }
}

impl Flights {
    /// Takes note of a flight that is recorded.
    pub(crate) fn is_recorded(&self, flight: Weak<Flight>) {
        let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        if recorded.flights.len() >= recorded.enough {
            recorded.forget();
        }
        recorded.flights.push(flight);
    }

    /// Room is scarce: gives up the recordings that stall.
    pub(crate) fn shed(&self, now: u64) {
        let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        if now < recorded.next {
            return;
        }
        recorded.next = now.saturating_add(OFTEN);
        recorded.forget();
        let flights: Vec<_> = recorded.flights.iter().filter_map(Weak::upgrade).collect();
        drop(recorded);
        for flight in flights {
            flight.shed(now);
        }
    }
}

impl Flight {
    /// Gives up its recording, where that stalls and nobody but its leader wants it. One
    /// that goes on without anybody does so at once.
    fn shed(self: &Arc<Self>, now: u64) {
        let mut state = self.state();
        let stalls = now.saturating_sub(state.grown) >= STALLED;
        if !stalls || state.landed.is_some() || state.completing || state.followers > 0 {
            return;
        }
        if state.finishes {
            drop(state);
            return self.detach();
        }
        let place = std::mem::take(&mut state.led_to);
        let Some(recording) = &mut state.recording else {
            return;
        };
        let read = recording.shed(&place);
        state.shed = true;
        state.led_to = place;
        drop(state);
        drop(read); // what drops it may run anything
    }

    /// Whether its recording was given up.
    pub(super) fn is_shed(&self) -> bool {
        self.state().shed
    }
}
