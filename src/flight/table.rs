//! Who leads, who follows, and how a fill lands.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError};

use bytes::Bytes;

use super::marks::Marks;
use super::stalled::Recorded;
use super::sync::{Mutex, MutexGuard};
use super::{Flight, Follower, Landed, Led};
use crate::entry::Recording;
use crate::generation::Generation;
use crate::key::Canonical;

/// For how long, in milliseconds, nobody waits for an answer that the last time
/// could not be shared.
pub(crate) const ALONE: u64 = 120_000;

/// The fills that are under way, by the place of what they make.
pub(crate) struct Flights {
    table: Mutex<Table>,
    pub(super) recorded: Mutex<Recorded>,
    /// When the last fill began.
    begun: AtomicI64,
    most: usize,
    most_followers: usize,
}

#[derive(Default)]
pub(super) struct Table {
    flights: HashMap<Canonical, Arc<Flight>, ahash::RandomState>,
    /// Keys whose answers nobody may share.
    alone: Marks,
    /// Keys whose handler has failed: it is not asked again where something stale
    /// may be served.
    throttled: Marks,
    /// Those of them that gave no answer at all.
    unreached: Marks,
    /// Keys whose answers to `Authorization` are its sender's.
    pub(super) apart: Marks,
}

/// How long a handler that has failed is left alone.
const THROTTLE: u64 = 30_000;

/// What a request that found nothing fresh is to do.
pub(crate) enum Entered {
    /// Begin the fill.
    Lead(Led, Landing),
    /// Share another's.
    Follow(Follower),
    /// Run the handler for itself: nobody may share its answer, or there are too
    /// many flights, or too many follow this one.
    Alone(Crowded),
}

/// Whether a request may lead, and whether its fill then goes on without it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Leads {
    No,
    Yes {
        finishes: bool,
    },
    /// It renews what is stored, whatever became of earlier answers.
    Renews,
}

/// Whether a bound has been reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crowded {
    No,
    Yes,
}

impl Flights {
    pub(crate) fn new(most: usize, most_followers: usize) -> Self {
        Self {
            table: Mutex::new(Table::default()),
            recorded: Mutex::new(Recorded::default()),
            begun: AtomicI64::new(0),
            most,
            most_followers,
        }
    }

    /// A fill begins: now, on the monotonic clock in microseconds, and after all that
    /// have begun before, also within one tick. `now` is in milliseconds.
    pub(crate) fn begins(&self, now: u64) -> i64 {
        let now = i64::try_from(now).unwrap_or(i64::MAX).saturating_mul(1_000);
        let next = |last: i64| now.max(last.saturating_add(1));
        let (set, fetch) = (Ordering::AcqRel, Ordering::Acquire);
        let last = self.begun.fetch_update(set, fetch, |last| Some(next(last)));
        last.map_or(now, next)
    }

    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters the flight for a place. One that `holds` no longer is replaced: it
    /// began before an invalidation.
    pub(crate) fn enter(
        self: &Arc<Self>,
        place: &Canonical,
        (note, now): (Generation, u64),
        leads: Leads,
        holds: impl FnOnce(&Flight) -> bool,
    ) -> Entered {
        let mut table = self.table();
        if table.alone.holds(place, now) && !matches!(leads, Leads::Renews) {
            return Entered::Alone(Crowded::No);
        }
        if let Some(flight) = table.flights.get(place).cloned()
            && !flight.is_shed()
            && holds(&flight)
        {
            drop(table);
            return match Follower::join(flight, self.most_followers) {
                Some(follower) => Entered::Follow(follower),
                None => Entered::Alone(Crowded::Yes),
            };
        }
        let finishes = match leads {
            Leads::No => return Entered::Alone(Crowded::No),
            Leads::Yes { finishes } => finishes,
            Leads::Renews => true,
        };
        if table.flights.len() >= self.most {
            return Entered::Alone(Crowded::Yes);
        }
        let led = Led::new(note, now, finishes);
        let flight = Arc::clone(led.flight());
        let replaced = table.flights.insert(Arc::clone(place), Arc::clone(&flight));
        drop(table);
        drop(replaced);
        let listed = Some((Arc::clone(self), Arc::clone(place)));
        Entered::Lead(led, Landing { flight, listed })
    }

    /// Believes for a while that answers under a key cannot be shared.
    fn mark_alone(&self, place: &Canonical, until: u64) {
        self.table().alone.set(place, until);
    }

    fn unlist(&self, place: &Canonical, flight: &Arc<Flight>) {
        let mut table = self.table();
        let known = table.flights.get(place);
        if known.is_some_and(|known| Arc::ptr_eq(known, flight)) {
            table.flights.remove(place); // the landing holds it too: it is not dropped here
        }
    }

    /// An answer under this key could be kept.
    pub(crate) fn unmark(&self, place: &Canonical) {
        let mut table = self.table();
        table.alone.clear(place);
        table.throttled.clear(place);
        table.unreached.clear(place);
        table.apart.clear(place);
    }

    /// There is one that another instance has kept.
    pub(crate) fn may_wait(&self, place: &Canonical) {
        self.table().alone.clear(place);
    }

    /// The handler has failed: it says so, or is out of reach.
    pub(crate) fn throttle(&self, place: &Canonical, now: u64, unreached: bool) {
        let (mut table, until) = (self.table(), now + THROTTLE);
        table.throttled.set(place, until);
        match unreached {
            true => table.unreached.set(place, until),
            false => table.unreached.clear(place),
        }
    }

    /// Whether it has failed a moment ago.
    pub(crate) fn is_throttled(&self, place: &Canonical, now: u64) -> bool {
        self.table().throttled.holds(place, now)
    }

    /// Whether it was out of reach then.
    pub(crate) fn is_unreached(&self, place: &Canonical, now: u64) -> bool {
        self.table().unreached.holds(place, now)
    }

    /// Whether somebody fills a place just now.
    pub(crate) fn is_flying(&self, place: &Canonical) -> bool {
        self.table().flights.contains_key(place)
    }

    /// Fills under way.
    pub(crate) fn len(&self) -> usize {
        self.table().flights.len()
    }
}

/// The duty to land a fill: with it a fill ends, one way or another.
pub(crate) struct Landing {
    flight: Arc<Flight>,
    listed: Option<(Arc<Flights>, Canonical)>,
}

impl Landing {
    /// That of a fill that nobody else can find.
    pub(crate) fn unlisted(led: &Led) -> Self {
        Self {
            flight: Arc::clone(led.flight()),
            listed: None,
        }
    }

    pub(crate) fn flight(&self) -> &Arc<Flight> {
        &self.flight
    }

    /// What is recorded is about to be an entry's, and takes no room in flight any more.
    pub(crate) fn hand_over(&self, whole: &Bytes) {
        let read_on = {
            let mut state = self.flight.state();
            let recording = state.recording.as_mut();
            recording.map(|recording| recording.hand_over(whole))
        };
        drop(read_on); // not under the lock
    }

    /// The answer is not to be shared, and the next ones are not expected to be:
    /// until then, in milliseconds, nobody waits for them.
    pub(crate) fn alone(mut self, until: Option<u64>) {
        if let (Some((flights, place)), Some(until)) = (&self.listed, until) {
            flights.mark_alone(place, until);
        }
        self.unlist();
        self.flight.land(Landed::Alone);
    }

    /// Nobody finds the flight any more. This comes before it lands, unless there
    /// is an entry: who hears of the landing must not come back to it.
    fn unlist(&mut self) {
        if let Some((flights, place)) = self.listed.take() {
            flights.unlist(&place, &self.flight);
        }
    }

    /// The recording is at its end: its entry is made.
    pub(super) fn complete(self) {
        let flight = Arc::clone(&self.flight);
        let (whole, finish) = {
            let mut state = flight.state();
            let whole = state.recording.as_ref().and_then(Recording::end);
            (whole, state.finish.take())
        };
        let (Some(whole), Some(finish)) = (whole, finish) else {
            return; // dropped: it has failed
        };
        self.make(|landing| finish(Ok(whole), Some(landing)));
    }

    /// Lands as `make` says. It stays listed until the landing is dropped there.
    pub(crate) fn make(self, make: impl FnOnce(Self) -> Landed) {
        let flight = Arc::clone(&self.flight);
        flight.state().completing = true;
        let _ensured = Ensured(&flight);
        let landed = make(self);
        flight.land(landed);
    }
}

/// Lands a flight whose entry could not be made.
struct Ensured<'a>(&'a Flight);

impl Drop for Ensured<'_> {
    fn drop(&mut self) {
        self.0.land(Landed::Failed);
    }
}

impl Flight {
    /// Lands the fill; only the first landing counts.
    fn land(&self, landed: Landed) {
        let done = self.change(|state| {
            let landed = state.landed.get_or_insert(landed);
            let read_on = match (landed, &mut state.recording) {
                (Landed::Stored(held), Some(recording)) => recording.hand_over(&held.entry.body),
                _ => Vec::new(),
            };
            (state.finish.take(), read_on)
        });
        drop(done); // holds the cache: not under the lock
    }

    /// Whether all of a fill that was dropped is there: it had come to the length that it
    /// declared.
    fn is_whole(&self) -> bool {
        let state = self.state();
        let recording = state.recording.as_ref();
        let at_end = recording.is_some_and(Recording::is_at_declared_end);
        at_end && state.finish.is_some() && !std::thread::panicking()
    }

    /// Whether it has landed, or is about to.
    fn has_ended(&self) -> bool {
        let state = self.state();
        state.completing || state.landed.is_some()
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        let over = self.flight.has_ended();
        if !over && self.flight.is_whole() {
            let (flight, listed) = (Arc::clone(&self.flight), self.listed.take());
            return Self { flight, listed }.complete();
        }
        self.unlist();
        if !over {
            self.flight.land(Landed::Failed);
        }
    }
}

#[cfg(all(test, not(larder_shuttle)))]
mod tests {
    use super::*;

    const LEADS: Leads = Leads::Yes { finishes: false };

    fn enter(flights: &Arc<Flights>, key: u8, leads: Leads) -> Entered {
        let times = (Generation::default(), 0);
        flights.enter(&[key][..].into(), times, leads, |_| true)
    }

    #[test]
    fn flights_and_followers_are_bounded() {
        let flights = Arc::new(Flights::new(1, 1));
        let Entered::Lead(led, landing) = enter(&flights, 1, LEADS) else {
            panic!("the first leads");
        };
        let crowded = |entered| matches!(entered, Entered::Alone(Crowded::Yes));
        assert!(crowded(enter(&flights, 2, LEADS)), "a second flight");
        let one = enter(&flights, 1, LEADS);
        assert!(matches!(one, Entered::Follow(_)));
        assert!(crowded(enter(&flights, 1, LEADS)), "a second follower");
        drop(one);
        assert!(!crowded(enter(&flights, 1, LEADS)), "room again");
        drop((led, landing));
        assert_eq!(flights.len(), 0);
        assert!(!crowded(enter(&flights, 2, LEADS)), "room again");
    }

    #[test]
    fn who_does_not_lead_is_alone_where_nobody_flies() {
        let flights = Arc::new(Flights::new(1, 1));
        let alone = enter(&flights, 1, Leads::No);
        assert!(matches!(alone, Entered::Alone(Crowded::No)));
        assert_eq!(flights.len(), 0);
    }

    #[test]
    fn who_hears_of_a_failure_does_not_find_its_flight_again() {
        let flights = Arc::new(Flights::new(1, 1));
        let Entered::Lead(led, landing) = enter(&flights, 1, LEADS) else {
            panic!("the first leads");
        };
        let seen = Arc::new(Mutex::new(None));
        let waker = std::task::Waker::from(Arc::new(Looks(Arc::clone(&flights), seen.clone())));
        let cx = std::task::Context::from_waker(&waker);
        led.flight().watch(&led.flight().reader(), &cx);
        drop(landing);
        assert_eq!(*seen.lock().unwrap(), Some(0));
    }

    /// Counts the flights at the moment when it is woken.
    struct Looks(Arc<Flights>, Arc<Mutex<Option<usize>>>);

    impl std::task::Wake for Looks {
        fn wake(self: Arc<Self>) {
            *self.1.lock().unwrap() = Some(self.0.len());
        }
    }
}
