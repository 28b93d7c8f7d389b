//! [`Values`]: a namespace of typed values.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use tokio::sync::oneshot;
use tracing::{Instrument, Span};

use super::ask::{Ask, CheckFn};
use super::cached::{CachedValue, bypassed, miss};
use super::count::Counting;
use super::key::ValueKey;
use super::made::Made;
use super::space::Space;
use crate::cache::Cache;
use crate::error::InvalidateError;
use crate::flight::{Landing, Led};
use crate::invalidate::{Invalidated, Target, namespace};
use crate::key::Key;
use crate::outcome::Cause;

/// So many keys are looked for at a time.
const TOGETHER: usize = 64;

/// A namespace of typed values, made by [`Cache::values`]. Cheap to clone; all
/// clones are the same namespace.
///
/// A key is a text ([`ValueKey`]). Whatever the cache's own trouble, none of the
/// look-ups fails: what cannot be had from the tiers is a miss.
pub struct Values<T> {
    space: Arc<Space<T>>,
}

impl<T: Send + Sync + 'static> Values<T> {
    pub(super) fn of(space: Space<T>) -> Self {
        Self {
            space: Arc::new(space),
        }
    }

    /// The value under a key, if it is stored and fresh.
    pub async fn get<'a>(&self, key: impl Into<ValueKey<'a>>) -> Option<CachedValue<T>> {
        self.find(&key.into(), None).await
    }

    /// The value under a key, if it is stored, fresh, and this caller may use it: one
    /// for which `check` says no, or panics, is a miss, and stays for those who may.
    pub async fn get_valid<'a>(
        &self,
        key: impl Into<ValueKey<'a>>,
        check: impl Fn(&T) -> bool + Send + Sync + 'static,
    ) -> Option<CachedValue<T>> {
        let check: CheckFn<T> = Arc::new(check);
        self.find(&key.into(), Some(check)).await
    }

    async fn find(&self, key: &ValueKey<'_>, check: Option<CheckFn<T>>) -> Option<CachedValue<T>> {
        if let Some(reason) = self.space.bypass(key) {
            self.space.passed(&bypassed(reason));
            return None;
        }
        match self.space.hit(key, check.as_ref()) {
            Ok(value) => Some(value),
            Err(by) => {
                let counting = Counting::begin(&self.space);
                let mut ask = Ask::new(&self.space, key, check);
                let found = Box::pin(ask.find(by)).await;
                let found = found.map_err(|by| ask.missed(by).cause);
                counting.ended(&match &found {
                    Ok(value) => value.outcome(),
                    Err(cause) => miss(*cause, Ok(())), // nothing was refused
                });
                found.ok()
            }
        }
    }

    /// The values under some keys, in their order, as [`get`](Self::get) would find
    /// them: 64 at a time, and what goes to Redis goes together.
    pub async fn get_many<'a, K>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Vec<Option<CachedValue<T>>>
    where
        K: Into<ValueKey<'a>>,
    {
        let keys: Vec<ValueKey<'a>> = keys.into_iter().map(Into::into).collect();
        // in a list: a closure among what it awaits would keep it out of spawned tasks
        let finds: Vec<_> = keys.iter().map(|key| self.find(key, None)).collect();
        stream::iter(finds).buffered(TOGETHER).collect().await
    }

    /// The value under a key, or what `loader` makes of it, which is stored. However
    /// many ask, in all processes, one loader runs; the others wait for it
    /// ([`wait`](super::ValuesBuilder::wait)).
    ///
    /// A caller that is dropped takes its load along, unless others wait for it. A
    /// loader must not ask for its own key: it would wait for itself.
    ///
    /// # Errors
    ///
    /// The loader's own, as it is. It is not stored: of those who wait one runs its
    /// own loader next. What is stale comes first where
    /// [`stale_if_error`](super::ValuesBuilder::stale_if_error) allows it, then the
    /// [`fallback`](super::ValuesBuilder::fallback).
    pub async fn get_or_try_insert_with<'a, F, L, E>(
        &self,
        key: impl Into<ValueKey<'a>>,
        loader: F,
    ) -> Result<CachedValue<T>, E>
    where
        F: FnOnce() -> L + Send + 'static,
        L: Future<Output = Result<T, E>> + Send + 'static,
        E: Send + 'static,
    {
        self.find_or_load(&key.into(), None, loader).await
    }

    /// The same, but a value that was found and for which `check` says no, or panics,
    /// is replaced by the loader's. What the loader makes is not checked.
    ///
    /// # Errors
    ///
    /// As [`get_or_try_insert_with`](Self::get_or_try_insert_with).
    pub async fn get_valid_or_try_insert_with<'a, F, L, E>(
        &self,
        key: impl Into<ValueKey<'a>>,
        check: impl Fn(&T) -> bool + Send + Sync + 'static,
        loader: F,
    ) -> Result<CachedValue<T>, E>
    where
        F: FnOnce() -> L + Send + 'static,
        L: Future<Output = Result<T, E>> + Send + 'static,
        E: Send + 'static,
    {
        let check: CheckFn<T> = Arc::new(check);
        self.find_or_load(&key.into(), Some(check), loader).await
    }

    async fn find_or_load<F, L, E>(
        &self,
        key: &ValueKey<'_>,
        check: Option<CheckFn<T>>,
        loader: F,
    ) -> Result<CachedValue<T>, E>
    where
        F: FnOnce() -> L + Send + 'static,
        L: Future<Output = Result<T, E>> + Send + 'static,
        E: Send + 'static,
    {
        if let Some(reason) = self.space.bypass(key) {
            let outcome = bypassed(reason);
            self.space.passed(&outcome);
            let value = loader().await?;
            return Ok(CachedValue::new(Arc::new(value), outcome));
        }
        match self.space.hit(key, check.as_ref()) {
            Ok(value) => Ok(value),
            Err(missed) => {
                let counting = Counting::begin(&self.space);
                let ask = Ask::new(&self.space, key, check);
                let loaded = Box::pin(ask.load(missed, loader)).await;
                match &loaded {
                    Ok(value) => counting.ended(&value.outcome()),
                    Err(_) => counting.failed(),
                }
                loaded
            }
        }
    }

    /// Stores a value in place of any earlier one, and ends when the shared store has
    /// it, or cannot have it. Under one key, or of one content, one goes after the other in a
    /// process. A load that began before, in this process or another, does not overwrite it,
    /// and who waits for that load in another process gets this value. What other processes
    /// hold in memory they serve on: [`remove`](Self::remove) reaches them.
    ///
    /// Where it may not be stored, or the cache is off, the earlier one is removed; where
    /// that takes longer than an operation may, it goes on behind the call. Where Redis does
    /// not take it (a full one, or one that is away), it takes the earlier one away, or
    /// invalidates it as soon as it answers again. Without a tokio runtime with timers nobody
    /// can tell Redis: memory alone has the new one, and a warning says so.
    pub async fn insert<'a>(&self, key: impl Into<ValueKey<'a>>, value: T) -> CachedValue<T> {
        let (key, value, engine) = (key.into(), Arc::new(value), &self.space.engine);
        if let Some(reason) = self.space.bypass(&key) {
            if self.space.never(&key).is_none() {
                self.supersede(&key).await; // it would be served once the cache is on
            }
            return CachedValue::new(value, bypassed(reason));
        }
        let (alias, own) = (self.space.alias(&key), self.space.key(&key));
        let placed = match engine.is_written(self.space.policy.memory_only) {
            true => Some(engine.place(&own, alias.as_ref()).await), // it must not end what is being written
            false => None,
        };
        if !engine.is_leased(engine.now()) {
            let _ = engine.lease().await; // without one memory alone has it
        }
        // for loads that began before
        engine.fence(&self.space.target(alias.unwrap_or(own)));
        let led = Led::new(engine.generations.note(), engine.now(), false);
        let (written, done) = oneshot::channel();
        let made = Made {
            value: Arc::clone(&value),
            note: led.flight().note,
            began: engine.flights.begins(engine.now()),
            took: Duration::ZERO,
            lease: None,
            placed,
            written: Some(written),
        };
        let ask = Ask::new(&self.space, &key, None);
        let stored = ask.store(made, Landing::unlisted(&led));
        let _ = done.await; // dropped, when it is written
        if stored.is_err() {
            self.supersede(&key).await; // the store still has the earlier one
        }
        CachedValue::new(value, miss(Cause::New, stored))
    }

    /// Removes an earlier value, and waits for that as long as a request may wait for
    /// the cache. The rest goes on behind it.
    async fn supersede(&self, key: &ValueKey<'_>) {
        let engine = &self.space.engine;
        let targets = self.targets(key);
        let cache = Cache::of(Arc::clone(engine));
        let work = async move {
            for target in targets {
                let _ = cache.invalidate_target(target).await; // else it is queued
            }
        };
        match engine.runtime() {
            Some(runtime) => {
                let work = engine
                    .tasks
                    .spawn(&runtime, work.instrument(Span::current()));
                let _ = tokio::time::timeout(engine.budget, work).await;
            }
            None => work.await,
        }
    }

    /// Removes a value, as [`Cache::invalidate`] does by [`key`](crate::key()): once it
    /// has returned, no process serves the value, nor one whose load began before.
    ///
    /// # Errors
    ///
    /// As [`Cache::invalidate`].
    pub async fn remove<'a>(
        &self,
        key: impl Into<ValueKey<'a>>,
    ) -> Result<Invalidated, InvalidateError> {
        let cache = Cache::of(Arc::clone(&self.space.engine));
        // together: where Redis is away each is queued, whatever becomes of the other
        let both = self.targets(&key.into());
        let both = both
            .into_iter()
            .map(|target| cache.invalidate_target(target));
        let mut done = Invalidated::default();
        for one in join_all(both).await {
            let one = one?;
            done.memory += one.memory;
            done.store += one.store;
            done.confirmed = done.confirmed.max(one.confirmed);
        }
        Ok(done)
    }

    /// A value by its name, and by what leads to it: it may lie under another key's.
    fn targets(&self, key: &ValueKey<'_>) -> Vec<Target> {
        let names = [Some(self.space.key(key)), self.space.alias(key)];
        let names = names.into_iter().flatten();
        names.map(|name| self.space.target(name)).collect()
    }

    /// Removes all values of the namespace, in one step.
    ///
    /// # Errors
    ///
    /// As [`Cache::invalidate`].
    pub async fn clear(&self) -> Result<Invalidated, InvalidateError> {
        let cache = Cache::of(Arc::clone(&self.space.engine));
        cache.invalidate(namespace(&*self.space.name)).await
    }

    /// What [`get`](Self::get) would find, without being counted, and without
    /// taking it into memory.
    pub async fn peek<'a>(&self, key: impl Into<ValueKey<'a>>) -> Option<CachedValue<T>> {
        let key = key.into();
        if self.space.bypass(&key).is_some() {
            return None;
        }
        match self.space.look(&key, None) {
            Ok(value) => Some(value),
            Err(missed) => {
                let mut ask = Ask::new(&self.space, &key, None);
                ask.keeps = false;
                ask.find(missed).await.ok()
            }
        }
    }

    /// Whether [`peek`](Self::peek) finds a value.
    pub async fn contains<'a>(&self, key: impl Into<ValueKey<'a>>) -> bool {
        self.peek(key).await.is_some()
    }

    /// How much longer the value under a key is fresh, where it is stored: in memory,
    /// else in Redis.
    pub async fn ttl<'a>(&self, key: impl Into<ValueKey<'a>>) -> Option<Duration> {
        self.peek(key).await?.ttl()
    }

    /// The name under which a value lies in Redis.
    #[must_use]
    pub fn key<'a>(&self, key: impl Into<ValueKey<'a>>) -> Key {
        self.space.key(&key.into())
    }

    pub(super) fn space(&self) -> &Arc<Space<T>> {
        &self.space
    }

    /// The namespace's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.space.name
    }
}

impl<T> Clone for Values<T> {
    fn clone(&self) -> Self {
        Self {
            space: Arc::clone(&self.space),
        }
    }
}

impl<T> fmt::Debug for Values<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Values")
            .field("name", &self.space.name)
            .finish_non_exhaustive()
    }
}
