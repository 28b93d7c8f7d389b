//! Looking for a value in the tiers.

use std::sync::Arc;

use http::HeaderMap;
use smallvec::SmallVec;

use super::cached::{CachedValue, miss};
use super::key::ValueKey;
use super::space::{Belongs, Space, hit};
use crate::cache::guard::{self, Callback};
use crate::cache::{Family, Found, Missed, Stale};
use crate::entry::Entry;
use crate::key::{Key, ScopeId};
use crate::outcome::{Cause, Outcome, Refusal, Staleness, Tier};
use crate::policy::freshness::{Use, stands_in};
use crate::question::Question;
use crate::store::Seen;

/// One who asks for a value that memory did not have.
pub(super) struct Ask<T> {
    pub(super) space: Arc<Space<T>>,
    pub(super) question: Question,
    /// Where its value lies in the store, if it was not found elsewhere.
    pub(super) name: Key,
    /// What leads to it, where keys share values.
    pub(super) alias: Option<Key>,
    pub(super) key: Arc<str>,
    /// The tags that its key names.
    pub(super) seeds: SmallVec<[ScopeId; 1]>,
    /// A check of this look-up's own.
    pub(super) check: Option<CheckFn<T>>,
    /// What lies in the store is of no use to it.
    pub(super) useless: bool,
    /// Whether what is found in the store is kept in memory.
    pub(super) keeps: bool,
}

pub(super) type CheckFn<T> = Arc<dyn Fn(&T) -> bool + Send + Sync>;

impl<T: Send + Sync + 'static> Space<T> {
    /// What memory says at once.
    #[inline]
    pub(super) fn look(
        &self,
        key: &ValueKey<'_>,
        check: Option<&CheckFn<T>>,
    ) -> Result<CachedValue<T>, Missed> {
        let found = self.engine.look_at(self.place(key).as_bytes())?;
        match self.held(&found.entry) {
            Some(value) if self.may_use(&key.text, &value, check) => {
                Ok(hit(value, Tier::Memory, found.times()))
            }
            Some(_) => Err(Cause::Request.into()), // others may use it
            None => {
                self.engine.memory.remove_entry(&found.entry);
                Err(Cause::Invalidated.into())
            }
        }
    }

    /// The same for one who is counted.
    #[inline]
    pub(super) fn hit(
        &self,
        key: &ValueKey<'_>,
        check: Option<&CheckFn<T>>,
    ) -> Result<CachedValue<T>, Missed> {
        let clock = &*self.engine.clock;
        let began = self.engine.counters.sample(clock);
        let value = self.look(key, check)?;
        self.counts.hit(0);
        if let Some(began) = began {
            let took = clock.precise().saturating_sub(began);
            self.counts.hit_took(took);
            self.engine.record();
        }
        Ok(value)
    }

    #[inline]
    fn may_use(&self, key: &str, value: &T, check: Option<&CheckFn<T>>) -> bool {
        let own = |check: &CheckFn<T>| {
            guard::call(&self.engine, Callback::Check, || check(value)) == Some(true)
        };
        self.is_valid(key, value) && check.is_none_or(own)
    }
}

impl<T: Send + Sync + 'static> Ask<T> {
    pub(super) fn new(
        space: &Arc<Space<T>>,
        key: &ValueKey<'_>,
        check: Option<CheckFn<T>>,
    ) -> Self {
        Self {
            question: space.question(key),
            name: space.key(key),
            alias: space.alias(key),
            space: Arc::clone(space),
            key: key.text.as_ref().into(),
            seeds: space.seeds_of(key),
            check,
            useless: false,
            keeps: true,
        }
    }

    /// What is known beforehand of what its value belongs to.
    pub(super) fn belongs(&self) -> Belongs {
        let alias = self.alias.as_ref();
        self.space.belongs(&self.name, alias, &self.seeds)
    }

    pub(super) fn may_use(&self, value: &T) -> bool {
        self.space.may_use(&self.key, value, self.check.as_ref())
    }

    /// Looks into memory once there is a lease, then into the store. `missed` is what
    /// memory said.
    pub(super) async fn look(&mut self, missed: Missed) -> Result<CachedValue<T>, Missed> {
        let engine = Arc::clone(&self.space.engine);
        let (family, none) = (Arc::clone(&self.space.name), HeaderMap::new());
        let missed = match engine.look_again(&mut self.question, &none, missed).await {
            Ok(found) => match self.space.held(&found.entry) {
                Some(value) if self.may_use(&value) => {
                    return Ok(hit(value, Tier::Memory, found.times()));
                }
                Some(_) => Cause::Request.into(),
                None => Cause::Invalidated.into(),
            },
            Err(missed) => missed,
        };
        if !engine.enabled() {
            return Err(missed); // that is what the lease has told
        }
        let counts = engine.counters.endpoint(&family);
        let family = Family {
            name: &family,
            counts: &counts,
        };
        let look = engine.look_store(&mut self.question, family, &none, missed, engine.now());
        let found = look.await?;
        match self.take(found).await {
            Ok((value, times)) => Ok(hit(value, Tier::Redis, times)),
            Err(cause) => Err(cause.into()),
        }
    }

    /// The same for one who has no loader: what is fresh, and would be renewed by
    /// chance, is fresh.
    pub(super) async fn find(&mut self, missed: Missed) -> Result<CachedValue<T>, Missed> {
        match self.look(missed).await {
            Ok(value) => Ok(value),
            Err(missed) => match self.usable(&missed) {
                Some((value, Use::Early(_))) => Ok(value),
                _ => Err(missed),
            },
        }
    }

    /// Takes note of why nothing fresh was found, as far as this process remembers.
    pub(super) fn missed(&self, missed: Missed) -> Missed {
        let (engine, place) = (&self.space.engine, self.question.place());
        let (cause, by) = engine.traced(place, missed.cause);
        if let Some(by) = by {
            self.space.counts.invalidated(by);
        }
        engine.counters.traces.missed(place, cause);
        Missed { cause, ..missed }
    }

    /// Takes an entry from the store: reads it, and keeps the value in memory. One
    /// that cannot be read is removed.
    pub(super) async fn take(
        &mut self,
        found: Found<Box<Entry>>,
    ) -> Result<(Arc<T>, (u64, u64)), Cause> {
        let (space, times) = (&self.space, found.times());
        let engine = &space.engine;
        let Some(value) = space.decode(&found.entry.body).map(Arc::new) else {
            engine.damaged(&found.entry.key, "a value that cannot be read");
            return Err(Cause::Corrupt);
        };
        if !self.may_use(&value) {
            self.useless = true;
            return Err(Cause::Request);
        }
        let kept = engine.memory.keeps_entries() && engine.trusts_memory();
        if self.keeps && space.in_memory && kept {
            let written = found.entry.body.len();
            let holds = space.to_hold(&value, written, found.age);
            let held = engine.held(*found.entry, found.age, found.number);
            let _ = engine.keep_read(held.holding(Some(holds)), &self.question.canonical);
        }
        Ok((value, times))
    }

    /// What of the store its asker has seen.
    pub(super) fn seen(&self, missed: &Missed) -> Seen {
        match self.useless {
            true => Seen::Useless,
            false => crate::cache::seen(missed.stale.as_deref()),
        }
    }

    /// What is stale, where it may be used as it is found.
    pub(super) fn usable(&self, missed: &Missed) -> Option<(CachedValue<T>, Use)> {
        let stale = missed.stale.as_deref()?;
        let usable = stale.usable;
        let value = match usable {
            Use::Early(left) => hit(self.stale_value(stale)?, stale.tier, (stale.age, left)),
            Use::WhileRevalidating => {
                let why = Staleness::WhileRevalidating;
                self.stale(stale, missed.cause, why)?
            }
            _ => return None,
        };
        Some((value, usable))
    }

    /// What is stale, where it may stand in for a load that gave nothing, as it is
    /// now: it has aged since it was found, and may have been invalidated.
    pub(super) fn stands_in(&self, missed: &Missed, why: Staleness) -> Option<CachedValue<T>> {
        let engine = &self.space.engine;
        let stale = missed.stale.as_deref()?;
        let (entry, age) = (&stale.held.entry, stale.held.age(engine.now()));
        let stands = stands_in(&entry.lifetime, entry.rules, age, None, false)
            && stale.held.valid(&engine.generations);
        let stale = Stale {
            age,
            ..stale.clone()
        };
        self.stale(&stale, missed.cause, why).filter(|_| stands)
    }

    /// What stands in for a load that gave nothing: something stale, else the
    /// fallback.
    pub(super) fn instead(&self, missed: &Missed, why: Staleness) -> Option<CachedValue<T>> {
        self.stands_in(missed, why).or_else(|| {
            let fallback = self.space.rulings.fallback.as_ref()?;
            let engine = &self.space.engine;
            let value =
                guard::call(engine, Callback::Fallback, || fallback(&self.key)).flatten()?;
            let outcome = miss(missed.cause, Err(Refusal::Fallback));
            Some(CachedValue::new(Arc::new(value), outcome))
        })
    }

    fn stale(&self, stale: &Stale, cause: Cause, why: Staleness) -> Option<CachedValue<T>> {
        let value = self.stale_value(stale)?;
        let over = stale.age.saturating_sub(stale.held.entry.lifetime.fresh);
        let outcome = Outcome::Stale {
            why,
            cause,
            age: std::time::Duration::from_millis(stale.age),
            over: std::time::Duration::from_millis(over),
            status: None,
        };
        Some(CachedValue::new(value, outcome))
    }

    fn stale_value(&self, stale: &Stale) -> Option<Arc<T>> {
        let value = self.space.value_of(&stale.held)?;
        self.may_use(&value).then_some(value)
    }
}
