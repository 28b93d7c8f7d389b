//! [`Cache`]: the handle.

use std::fmt;
use std::sync::Arc;

use super::builder::CacheBuilder;
use super::engine::Engine;
use crate::audit;
use crate::error::InvalidateError;
use crate::invalidate::{Invalidated, Mode, Selector, Target, target_for};
use crate::stats::{EndpointStats, Stats};

/// A cache: its tiers, its settings, its counters. Cheap to clone; all clones
/// are the same cache.
///
/// ```
/// use larder::{Cache, MIB};
///
/// let cache = Cache::builder().memory(256 * MIB).build()?;
/// # let _ = cache;
/// # Ok::<(), larder::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Cache {
    pub(super) engine: Arc<Engine>,
}

impl Cache {
    /// Begins the settings of a new cache.
    pub fn builder() -> CacheBuilder {
        CacheBuilder::new()
    }

    /// A cache without tiers that is switched off: every request goes to its
    /// handler.
    #[must_use]
    pub fn disabled() -> Self {
        CacheBuilder::new().disabled()
    }

    pub(crate) fn of(engine: Arc<Engine>) -> Self {
        Self { engine }
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Removes entries: by pattern (a `&str`), [`tag`](crate::tag),
    /// [`endpoint`](crate::endpoint), [`uri`](crate::uri), [`key`](crate::key)
    /// or [`everything`](crate::everything). [`soft`](Selector::soft) makes them stale
    /// instead, [`dry_run`](Selector::dry_run) counts them.
    ///
    /// This process' memory honours it at once, also for answers that are being
    /// made now. The shared store has been told when the call returns. The call
    /// goes on if its future is dropped.
    ///
    /// ```
    /// # async fn update(cache: larder::Cache) {
    /// match cache.invalidate("api:characters:*").await {
    ///     Ok(done) => println!("{} entries went", done.removed()),
    ///     Err(error) => eprintln!("{error}"), // the write itself is done: not a 500
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If the selector makes no sense, or if the shared store could not be told. Redis
    /// is told as soon as it answers again
    /// ([`Queued`](crate::InvalidateErrorKind::Queued)).
    pub async fn invalidate(
        &self,
        selector: impl Into<Selector>,
    ) -> Result<Invalidated, InvalidateError> {
        self.invalidate_selected(&selector.into(), None).await
    }

    /// As [`invalidate`](Self::invalidate), for one tenant's entries alone; whose tenants they are,
    /// this process' or another's, does not matter, and one that nobody has reaches nothing but
    /// values that are nobody's.
    /// Tags and URIs of a cache with tenants are always one tenant's; a pattern, an
    /// endpoint or everything is all tenants' without one. Of typed values a tag reaches the tenant's
    /// and those that are nobody's; nothing else reaches any.
    ///
    /// # Errors
    ///
    /// As [`invalidate`](Self::invalidate).
    pub async fn invalidate_for(
        &self,
        tenant: &str,
        selector: impl Into<Selector>,
    ) -> Result<Invalidated, InvalidateError> {
        self.invalidate_selected(&selector.into(), Some(tenant))
            .await
    }

    pub(super) async fn invalidate_selected(
        &self,
        selector: &Selector,
        tenant: Option<&str>,
    ) -> Result<Invalidated, InvalidateError> {
        let target = target_for(selector, &self.engine.context, tenant)?;
        selector.could_match(&self.engine.context)?;
        if selector.mode == Mode::DryRun {
            let found = self.engine.count(&target).await;
            return found.map_err(InvalidateError::uncounted);
        }
        self.invalidate_target(target).await
    }

    pub(crate) async fn invalidate_target(
        &self,
        target: Target,
    ) -> Result<Invalidated, InvalidateError> {
        let (who, action, what) = (audit::who(), target.action(), target.to_string());
        let engine = Arc::clone(&self.engine);
        let work = async move {
            let done = engine.invalidate(target).await;
            let entries = done.as_ref().map_or(0, Invalidated::removed);
            let result = done.as_ref().map(drop).map_err(|error| error as _);
            audit::done(&who, action, &what, entries, result);
            done
        };
        let done = self.engine.tasks.outlasting(work).await;
        let done = done.unwrap_or_else(|stopped| Err(self.engine.untold(stopped)));
        done.map_err(|error| self.engine.not_told(error))
    }

    /// What this process' cache has done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let memory = &self.engine.memory;
        let mut stats = self.engine.counters.snapshot();
        stats.flights = self.engine.flights.len() as u64;
        stats.in_flight_bytes = self.engine.in_flight.used();
        stats.memory_entries = memory.len();
        stats.memory_bytes = memory.bytes();
        stats.memory_capacity = memory.capacity();
        stats
    }

    /// What each endpoint has done so far in this process, in the order of their
    /// names.
    #[must_use]
    pub fn endpoint_stats(&self) -> Vec<EndpointStats> {
        let mut all = self.engine.counters.by_endpoint();
        for one in &mut all {
            one.namespace = self.engine.context.namespaces.has(&one.endpoint);
        }
        all
    }

    /// Begins no more renewals in the background, and waits until what has begun
    /// has ended: answers have reached the shared store, leases are given back, and
    /// nobody's invalidation waits for this process. What Redis could not be told of yet it is
    /// told now, or a warning says after one
    /// [`operation_timeout`](crate::CacheBuilder::operation_timeout) that it is lost. For a graceful end of the
    /// process, once its server takes no more requests: those that come are served on,
    /// but while they keep filling, their work is waited for too. Work on a runtime that is
    /// not driven is given up after five seconds, with a warning.
    pub async fn shutdown(&self) {
        self.engine.renewals.close();
        self.engine.tasks.end();
        let tasks = &self.engine.tasks;
        let left = match self.engine.has_runtime() {
            true => tasks.idle_where_driven().await,
            false => {
                tasks.idle().await;
                0
            }
        };
        if left > 0 {
            tracing::warn!(target: "larder", left, "work in the background is given up: its runtime is not driven");
        }
        self.engine.tell_rest().await;
        self.engine.tell_last().await;
        self.engine.stop_listening();
        self.engine.resign().await;
    }

    /// Waits until no work goes on in the background: answers have reached the
    /// shared store, invalidations have ended. For tests, and before a process
    /// ends.
    pub async fn idle(&self) {
        self.engine.tasks.idle().await;
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("prefix", &self.engine.context.prefix)
            .field("enabled", &self.is_enabled())
            .finish_non_exhaustive()
    }
}
