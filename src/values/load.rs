//! One load for all who ask.
//!
//! ```text
//! get_or_try_insert_with -> memory -> fresh                -> hit
//!                             v
//!                           store  -> fresh                -> hit, kept in memory
//!                             v
//!                           stale, may be served           -> stale, and renewed behind its back
//!                             v
//!                           flight -> another's load       -> coalesced
//!                             v
//!                           lease  -> another process' load -> coalesced
//!                             v
//!                           loader -> value                -> miss, stored
//!                                  '-> error               -> stale, else the fallback, else the error
//! ```

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, select};
use http::{HeaderMap, StatusCode};

use super::ask::Ask;
use super::cached::{CachedValue, bypassed, miss};
use super::made::{self, Made};
use crate::cache::{AsksToFill, Leased, Missed, Right};
use crate::flight::{Crowded, Entered, Flight, Follower, Handoff, Landed, Landing, Leads, Led};
use crate::outcome::{Bypass, Fault, Outcome, Refusal, Staleness};
use crate::policy::freshness::Use;

/// One that was sent from flight to flight so often goes on its own.
const TURNS: usize = 16;

/// What came of following a flight.
enum Followed<T> {
    Value(CachedValue<T>),
    Again,
    /// One of those who wait leads again.
    Failed,
    Alone,
    Late,
}

impl<T: Send + Sync + 'static> Ask<T> {
    /// The value, from wherever it is to be had. `missed` is what memory said.
    pub(super) async fn load<F, L, E>(
        mut self,
        missed: Missed,
        loader: F,
    ) -> Result<CachedValue<T>, E>
    where
        F: FnOnce() -> L + Send + 'static,
        L: Future<Output = Result<T, E>> + Send + 'static,
        E: Send + 'static,
    {
        let missed = match self.look(missed).await {
            Ok(value) => return Ok(value),
            Err(missed) => missed,
        };
        if !self.space.engine.enabled() {
            return pass(Bypass::Disabled, loader).await;
        }
        if let Some((value, usable)) = self.usable(&missed) {
            if matches!(usable, Use::Early(_) | Use::WhileRevalidating) {
                self.renew(missed, loader);
            }
            return Ok(value);
        }
        let missed = self.missed(missed);
        self.share(missed, loader).await
    }

    /// Loads, or shares the load of another.
    async fn share<F, L, E>(self, missed: Missed, loader: F) -> Result<CachedValue<T>, E>
    where
        F: FnOnce() -> L + Send + 'static,
        L: Future<Output = Result<T, E>> + Send + 'static,
        E: Send + 'static,
    {
        let engine = Arc::clone(&self.space.engine);
        if engine
            .flights
            .is_throttled(self.question.place(), engine.now())
            && let Some(value) = self.stands_in(&missed, Staleness::LeftAlone)
        {
            return Ok(value); // the loader has failed a moment ago
        }
        let (mut turns, mut patience) = (TURNS, None);
        while turns > 0 {
            match self.enter(Leads::Yes { finishes: false }) {
                Entered::Lead(led, landing) => {
                    return self.lead(led, landing, missed, loader).await;
                }
                Entered::Follow(follower) => {
                    let longest = self.space.policy.wait;
                    let patience =
                        patience.get_or_insert_with(|| Box::pin(tokio::time::sleep(longest)));
                    match self.follow(follower, patience, &missed).await {
                        Followed::Value(value) => return Ok(value),
                        Followed::Again => turns -= 1,
                        Followed::Failed => {}
                        Followed::Alone => break,
                        Followed::Late => return self.crowded(missed, loader).await,
                    }
                }
                Entered::Alone(Crowded::No) => break,
                Entered::Alone(Crowded::Yes) => return self.crowded(missed, loader).await,
            }
        }
        let led = Led::new(engine.generations.note(), engine.now(), false);
        let landing = Landing::unlisted(&led);
        self.run(missed, landing, None, loader).await
    }

    /// Enters the flight for a key. One that began before an invalidation of what
    /// is asked for is replaced, and so is one that takes longer than anybody waits.
    pub(super) fn enter(&self, leads: Leads) -> Entered {
        let (space, engine) = (&self.space, &self.space.engine);
        let (note, now) = (engine.generations.note(), engine.now());
        if !engine.has_runtime() {
            let led = Led::new(note, now, false); // nobody could end a wait
            let landing = Landing::unlisted(&led);
            return Entered::Lead(led, landing);
        }
        let holds = |flight: &Flight| {
            engine.since(flight.began) <= space.policy.wait
                && (flight.note == note
                    || !engine
                        .generations
                        .reached(&self.belongs(), flight.note.number))
        };
        let place = self.question.place();
        engine.flights.enter(place, (note, now), leads, holds)
    }

    async fn follow(
        &self,
        follower: Follower,
        patience: &mut std::pin::Pin<Box<tokio::time::Sleep>>,
        missed: &Missed,
    ) -> Followed<T> {
        let engine = &self.space.engine;
        let start = engine.now();
        let (known, _waiting) = (follower.known(|_| true), self.space.counts.waiting());
        let landed = match select(pin!(known), patience).await {
            Either::Left(((_, landed), _)) => landed,
            Either::Right(_) => return Followed::Late,
        };
        match landed {
            Some(Landed::Stored(held)) => {
                if engine
                    .generations
                    .reached(&held.entry, follower.flight().note.number)
                {
                    return Followed::Again;
                }
                match self
                    .space
                    .value_of(&held)
                    .filter(|value| self.may_use(value))
                {
                    Some(value) => Followed::Value(self.coalesced(value, missed, start)),
                    None => Followed::Alone,
                }
            }
            Some(Landed::Outdated) => Followed::Again,
            Some(Landed::Alone) => Followed::Alone,
            Some(Landed::Failed | Landed::Unreached | Landed::TimedOut) | None => {
                match self.instead(missed, Staleness::IfError) {
                    Some(value) => Followed::Value(value),
                    None => Followed::Failed,
                }
            }
        }
    }

    /// A bound is reached: what is stale stands in, else the fallback, else the
    /// loader runs, and nothing is stored of that.
    async fn crowded<F, L, E>(self, missed: Missed, loader: F) -> Result<CachedValue<T>, E>
    where
        F: FnOnce() -> L,
        L: Future<Output = Result<T, E>>,
    {
        if let Some(value) = self.instead(&missed, Staleness::Crowded) {
            return Ok(value);
        }
        pass(Bypass::Crowded, loader).await
    }

    /// Leads: polls the load until it moves away, and gets its value wherever it
    /// runs.
    async fn lead<F, L, E>(
        self,
        led: Led,
        landing: Landing,
        missed: Missed,
        loader: F,
    ) -> Result<CachedValue<T>, E>
    where
        F: FnOnce() -> L + Send + 'static,
        L: Future<Output = Result<T, E>> + Send + 'static,
        E: Send + 'static,
    {
        let handoff = Handoff::new();
        let flight = led.flight();
        let (giving, boarded) = (Arc::clone(&handoff), Arc::clone(flight));
        flight.board(Box::pin(async move {
            let answer = self.load_rightly(missed, landing, loader).await;
            giving.give(&boarded, answer);
        }));
        led.lead(|| handoff.take()).await
    }

    /// Loads, unless another process does: then its value is taken.
    async fn load_rightly<F, L, E>(
        mut self,
        missed: Missed,
        landing: Landing,
        loader: F,
    ) -> Result<CachedValue<T>, E>
    where
        F: FnOnce() -> L,
        L: Future<Output = Result<T, E>>,
    {
        let engine = Arc::clone(&self.space.engine);
        let (start, none) = (engine.now(), HeaderMap::new());
        let family = Arc::clone(&self.space.name);
        let least = engine.generations.last(&self.belongs());
        let asks = AsksToFill::new(missed.cause, self.seen(&missed), least);
        let right = engine.right_to_fill(&mut self.question, &family, &none, asks);
        match right.await {
            Right::Fill(lease) => self.run(missed, landing, lease, loader).await,
            // it takes too long elsewhere: once here, for all who wait here
            Right::Alone => self.run(missed, landing, None, loader).await,
            Right::Found(found) => {
                let (entry, age, number) = (found.entry.clone(), found.age, found.number);
                let Ok((value, _)) = self.take(found).await else {
                    return self.run(missed, landing, None, loader).await;
                };
                let holds = self.space.to_hold(&value, entry.body.len(), age);
                let held = engine.held(*entry, age, number).holding(Some(holds));
                landing.make(|_landing| Landed::Stored(Arc::new(held)));
                let value = self.coalesced(value, &missed, start);
                Ok(value)
            }
        }
    }

    /// Runs the loader, and stores what it gives.
    async fn run<F, L, E>(
        self,
        missed: Missed,
        landing: Landing,
        lease: Option<Leased>,
        loader: F,
    ) -> Result<CachedValue<T>, E>
    where
        F: FnOnce() -> L,
        L: Future<Output = Result<T, E>>,
    {
        let engine = &self.space.engine;
        let note = landing.flight().note; // from before the loader starts
        match made::timed(&self.space, loader).await {
            Ok((value, (began, took))) => {
                let value = Arc::new(value);
                let made = Made {
                    value: Arc::clone(&value),
                    note,
                    began,
                    took,
                    lease,
                    placed: None,
                    written: None,
                };
                let stored = self.store(made, landing);
                let outcome = miss(missed.cause, stored);
                Ok(CachedValue::new(value, outcome))
            }
            Err(error) => {
                let place = self.question.place();
                engine.flights.throttle(place, engine.now(), true);
                drop((lease, landing)); // it has failed, whoever waits may lead
                match self.instead(&missed, Staleness::IfError) {
                    Some(value) => {
                        self.space.counts.fault(Fault::HandlerHidden);
                        Ok(value)
                    }
                    None => Err(error),
                }
            }
        }
    }

    /// Renews a value behind the back of one who was served it, one caller for each
    /// at a time.
    fn renew<F, L, E>(mut self, missed: Missed, loader: F)
    where
        F: FnOnce() -> L + Send + 'static,
        L: Future<Output = Result<T, E>> + Send + 'static,
    {
        let engine = Arc::clone(&self.space.engine);
        let Some(runtime) = engine.runtime() else {
            return;
        };
        let place = self.question.place();
        if engine.flights.is_throttled(place, engine.now()) {
            return; // it has failed a moment ago
        }
        let Entered::Lead(led, landing) = self.enter(Leads::Renews) else {
            return; // somebody is at it
        };
        let (longest, on) = (self.space.policy.wait, runtime.clone());
        let work = async move {
            if let Some(Err(_)) = self.renewed(landing, &missed, loader).await {
                self.space.counts.fault(Fault::HandlerHidden);
            }
            drop(led);
        };
        let turns = Arc::clone(&engine);
        engine.tasks.spawn(&runtime, async move {
            let Ok(_turn) = turns.renewals.try_acquire() else {
                return; // too many, or the cache shuts down
            };
            // one that hangs takes neither a turn nor the cache's end for longer
            if let Either::Right((_, work)) =
                select(Box::pin(work), pin!(tokio::time::sleep(longest))).await
            {
                drop(on.spawn(work));
            }
        });
    }

    /// Loads and stores what nobody waits for; none where another process does.
    pub(super) async fn renewed<F, L, E>(
        &mut self,
        landing: Landing,
        missed: &Missed,
        loader: F,
    ) -> Option<Result<Result<(), Refusal>, E>>
    where
        F: FnOnce() -> L,
        L: Future<Output = Result<T, E>>,
    {
        let (engine, none) = (Arc::clone(&self.space.engine), HeaderMap::new());
        let family = Arc::clone(&self.space.name);
        let right = engine.right_to_renew(&mut self.question, &family, &none, missed);
        let Right::Fill(lease) = right.await else {
            return None;
        };
        let note = landing.flight().note;
        Some(match made::timed(&self.space, loader).await {
            Ok((value, (began, took))) => {
                let made = Made {
                    value: Arc::new(value),
                    note,
                    began,
                    took,
                    lease,
                    placed: None,
                    written: None,
                };
                Ok(self.store(made, landing))
            }
            Err(error) => {
                let place = self.question.place();
                engine.flights.throttle(place, engine.now(), true);
                Err(error)
            }
        })
    }

    fn coalesced(&self, value: Arc<T>, missed: &Missed, start: u64) -> CachedValue<T> {
        let outcome = Outcome::Coalesced {
            cause: missed.cause,
            waited: self.space.engine.since(start),
            status: StatusCode::OK,
        };
        CachedValue::new(value, outcome)
    }
}

/// Runs a loader for its own caller.
pub(super) async fn pass<T, F, L, E>(reason: Bypass, loader: F) -> Result<CachedValue<T>, E>
where
    F: FnOnce() -> L,
    L: Future<Output = Result<T, E>>,
{
    let value = Arc::new(loader().await?);
    Ok(CachedValue::new(value, bypassed(reason)))
}
