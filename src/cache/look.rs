//! Looking into memory.

use std::sync::Arc;

use http::HeaderMap;

use super::engine::Engine;
use super::found::{Found, Missed};
use crate::entry::{Entry, Held};
use crate::generation::Standing;
use crate::hint::{rarely, seldom};
use crate::key::Writer;
use crate::outcome::{Cause, Tier};
use crate::policy::Compiled;
use crate::policy::freshness::{Rules, Use, is_early, usable};
use crate::policy::request::Asks;
use crate::question::{Asked, Question};
use crate::store::memory::Slot;
use crate::store::variants::Variants;

/// What memory says. Beside what was missed stands the place among answers
/// that vary, where memory knows that they do.
type InMemory = Result<Found<Arc<Held>>, Unanswered>;
pub(crate) type Unanswered = (Missed, Option<Box<Writer>>);

/// Made out of a hit's way.
#[cold]
fn unanswered(missed: Missed, variant: Option<Box<Writer>>) -> Unanswered {
    (missed, variant)
}

impl Engine {
    /// Looks into memory.
    #[inline]
    pub(crate) fn look_memory(
        &self,
        asked: &Asked<'_>,
        canonical: &Writer,
        headers: &HeaderMap,
    ) -> InMemory {
        let now = self.now();
        if rarely(!self.is_leased(now)) {
            return Err(unanswered(Cause::New.into(), None)); // the lease comes first, see `look_again`
        }
        match self.memory.get(canonical.as_bytes()) {
            Some(Slot::Entry(entry)) => match self.fresh(entry, now, &asked.asks) {
                Ok(found) => Ok(found),
                Err(missed) => Err(unanswered(missed, None)),
            },
            Some(Slot::Vary(variants, _)) => {
                seldom();
                self.look_variant(&variants, now, asked, canonical, headers)
            }
            None => Err(unanswered(Cause::New.into(), None)),
        }
    }

    #[inline(never)] // what varies does not lengthen the way of what does not
    fn look_variant(
        &self,
        variants: &Variants,
        now: u64,
        asked: &Asked<'_>,
        canonical: &Writer,
        headers: &HeaderMap,
    ) -> InMemory {
        let names = &variants.names;
        let variant = asked.policy.variant(canonical.as_bytes(), names, headers);
        let found = match self.among(variants, variant.as_bytes(), asked.policy, headers) {
            Some(Slot::Entry(entry)) => self.fresh(entry, now, &asked.asks),
            _ => Err(Cause::Variant.into()),
        };
        found.map_err(|missed| unanswered(missed, Some(Box::new(variant))))
    }

    /// What lies at a request's own place among answers that vary, or in the language that
    /// it likes best.
    fn among(
        &self,
        variants: &Variants,
        place: &[u8],
        policy: &Compiled,
        headers: &HeaderMap,
    ) -> Option<Slot> {
        self.memory.get(place).or_else(|| {
            let other = policy.spoken(variants, headers)?;
            self.memory.get(&other)
        })
    }

    /// Looks into memory at one place, where nothing varies.
    #[cfg_attr(not(feature = "values"), allow(dead_code, reason = "values lie so"))]
    #[inline]
    pub(crate) fn look_at(&self, place: &[u8]) -> Result<Found<Arc<Held>>, Missed> {
        let now = self.now();
        match self.memory.get(place) {
            Some(Slot::Entry(entry)) if self.is_leased(now) => {
                self.fresh(entry, now, &Asks::default())
            }
            _ => Err(Cause::New.into()), // without a lease that comes first, see `look_again`
        }
    }

    /// What memory says once there is a lease; without one nothing may be served.
    pub(crate) async fn look_again(
        self: &Arc<Self>,
        question: &mut Question,
        headers: &HeaderMap,
        missed: Missed,
    ) -> Result<Found<Arc<Held>>, Missed> {
        if self.is_leased(self.now()) {
            return Err(missed);
        }
        self.until(question, self.now()); // its time begins
        if !self.lease().await {
            return Err(Cause::StoreError.into());
        }
        if !self.enabled() {
            return Err(missed); // that is what the lease has told
        }
        self.look_held(question, headers, missed)
    }

    /// What memory says to a question.
    pub(crate) fn look_held(
        &self,
        question: &mut Question,
        headers: &HeaderMap,
        missed: Missed,
    ) -> Result<Found<Arc<Held>>, Missed> {
        let now = self.now();
        match self.memory.get(&question.canonical) {
            Some(Slot::Entry(entry)) => self.fresh(entry, now, &question.asks),
            Some(Slot::Vary(variants, _)) => {
                question.vary(&variants.names, headers);
                match self.among(&variants, question.place(), &question.policy, headers) {
                    Some(Slot::Entry(entry)) => self.fresh(entry, now, &question.asks),
                    _ => Err(Cause::Variant.into()),
                }
            }
            None => Err(missed),
        }
    }

    /// An entry in memory, if it is still valid and fresh.
    #[inline]
    fn fresh(&self, held: Arc<Held>, now: u64, asks: &Asks) -> Result<Found<Arc<Held>>, Missed> {
        let held = match held.is_checked(&self.generations) {
            true => held,
            false => self.checked(held)?,
        };
        let age = held.age(now);
        match self.judged(&held.entry, age, asks) {
            Ok(Use::Fresh(ttl)) => Ok(Found {
                number: held.number(),
                entry: held,
                age,
                ttl,
            }),
            Ok(usable) => {
                seldom();
                Err(Missed::of(held, Tier::Memory, age, usable))
            }
            Err(cause) => {
                seldom();
                Err(cause.into())
            }
        }
    }

    /// An entry after what invalidations have done to it since the last check.
    #[cold]
    fn checked(&self, held: Arc<Held>) -> Result<Arc<Held>, Missed> {
        match held.standing(&self.generations) {
            Standing::Good => Ok(held),
            Standing::Aged(aging) => Ok(self.memory.age(&held, aging)),
            Standing::Gone => {
                self.memory.remove_entry(&held);
                self.trace(&held);
                Err(Cause::Invalidated.into())
            }
        }
    }

    /// How an entry may be used for a request.
    #[inline]
    pub(super) fn judged(&self, entry: &Entry, age: u64, asks: &Asks) -> Result<Use, Cause> {
        if rarely(asks.authorized) && !entry.rules.has(Rules::SHARES_AUTHORIZED) {
            return Err(Cause::Authorization);
        }
        match usable(&entry.lifetime, entry.rules, age, asks.wish.as_deref()) {
            Use::Fresh(left)
                if is_early(left, entry.took, || self.dice.roll())
                    && !self.flights.is_flying(&entry.canonical) =>
            {
                Ok(Use::Early(left))
            }
            other => Ok(other),
        }
    }
}
