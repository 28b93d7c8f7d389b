//! Erasing what bears a tag: fenced as an invalidation, then really gone.

use std::sync::Arc;

use super::engine::Engine;
use super::handle::Cache;
use crate::audit;
use crate::error::{InvalidateError, StoreError, StoreErrorKind};
use crate::invalidate::{Invalidated, Kind, Mode, Selector, Target, What, target_in};
use crate::store::{Erasure, Group, Removed};

impl Cache {
    /// Erases what bears a tag, such as a user's: responses, values, and what leads to
    /// them, in this process' memory and in Redis. Returns how many there were.
    ///
    /// It begins as an [invalidation](Self::invalidate): nobody serves them from then
    /// on, and what is being made of them is not stored. Then every primary is scanned,
    /// the tags of each entry are read, also of one that a lost group would not lead to,
    /// and of one that is [encrypted](crate::CacheBuilder::encryption) with a key that
    /// this process lacks. Their names go from all groups. This takes the time of a scan.
    /// Other processes that share the clock drop what they hold in memory as soon as they
    /// hear of it, in the background; one that cannot hear, when it can again. The call
    /// goes on to its end if its future is dropped.
    ///
    /// A [`dry_run`](Selector::dry_run) erases nothing: it counts what the tag leads to,
    /// without a scan, as that of an invalidation does.
    ///
    /// ```
    /// # async fn forget(cache: larder::Cache) -> Result<(), larder::InvalidateError> {
    /// use larder::tag;
    ///
    /// let erased = cache.erase(tag("user:7")).await?;
    /// println!("{} entries are gone", erased.removed());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If the selector is no [`tag`](crate::tag), or if the shared store could not be
    /// told, or not be scanned to its end: then erase again. A store of your own must be
    /// able to ([`Store::erase`](crate::Store::erase)).
    pub async fn erase(&self, tag: impl Into<Selector>) -> Result<Invalidated, InvalidateError> {
        self.erase_selected(tag.into(), None).await
    }

    /// As [`erase`](Self::erase), of one tenant.
    ///
    /// # Errors
    ///
    /// As [`erase`](Self::erase).
    pub async fn erase_for(
        &self,
        tenant: &str,
        tag: impl Into<Selector>,
    ) -> Result<Invalidated, InvalidateError> {
        self.erase_selected(tag.into(), Some(tenant)).await
    }

    async fn erase_selected(
        &self,
        selector: Selector,
        tenant: Option<&str>,
    ) -> Result<Invalidated, InvalidateError> {
        let bad = InvalidateError::bad_selector;
        let engine = Arc::clone(self.engine());
        if !matches!(selector.kind, Kind::Tag(_)) {
            return Err(bad("what is erased bears a tag: erase(tag(..))"));
        }
        if tenant.is_none() && engine.tenant.is_some() {
            return Err(bad("this cache has tenants: use erase_for"));
        }
        if selector.mode == Mode::DryRun {
            return self.invalidate_selected(&selector, tenant).await;
        }
        let target = target_in(&selector, &engine.context, tenant)?.erased();
        let (who, action, what) = (audit::who(), target.action(), target.to_string());
        let erasing = Arc::clone(&engine);
        let work = async move {
            let done = erasing.erase_target(target).await;
            let entries = done.as_ref().map_or(0, Invalidated::removed);
            let result = done.as_ref().map(drop).map_err(|error| error as _);
            audit::done(&who, action, &what, entries, result);
            done
        };
        let done = engine.tasks.outlasting(work).await;
        done.unwrap_or_else(|stopped| {
            let error = StoreError::new(StoreErrorKind::Unavailable, stopped);
            Err(InvalidateError::store(error))
        })
    }
}

impl Engine {
    async fn erase_target(
        self: &Arc<Self>,
        target: Target,
    ) -> Result<Invalidated, InvalidateError> {
        let groups: Vec<Group> = match &target.what {
            What::Scope { ids, .. } => ids.iter().copied().map(Group).collect(),
            _ => Vec::new(), // only tags are erased
        };
        let done = self.invalidate(target).await;
        let mut done = done.map_err(|error| self.not_told(error))?;
        self.memory.drop_markers();
        if let Some(store) = &self.store {
            let mut patterns = self.context.namespaces.patterns();
            patterns.push(format!("{}:*", self.context.prefix));
            let mut erased = Removed::default();
            for group in groups {
                let erasure = Erasure {
                    group,
                    patterns: &patterns,
                };
                erased += store.erase(erasure).await.map_err(InvalidateError::store)?;
            }
            self.count_removed(&Removed::default(), &erased);
            done.store += erased.entries;
            done.primaries = done.primaries.max(erased.primaries);
        }
        tracing::info!(target: "larder", memory = done.memory, store = done.store, "erased");
        Ok(done)
    }
}
