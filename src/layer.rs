//! [`CacheLayer`]: a cache and the policies of what it is laid around.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use tower_layer::Layer;

use crate::cache::{Cache, Engine};
use crate::error::ConfigError;
use crate::invalidate::Selector;
use crate::policy::{Compiled, Policy, Routes, Table};
use crate::service::CacheService;
use crate::shared::{Annotation, Shared};

/// Caches the responses of the service it is laid around. Made by
/// [`Cache::layer`](crate::Cache::layer) and its siblings; cheap to clone.
#[derive(Clone)]
#[must_use]
pub struct CacheLayer {
    pub(crate) shared: Arc<Shared>,
}

impl CacheLayer {
    pub(crate) fn new(engine: Arc<Engine>, annotation: Annotation) -> Self {
        let shared = Arc::new(Shared::new(engine, annotation));
        shared.engine.layers.add(&shared);
        Self { shared }
    }
}

impl<S> Layer<S> for CacheLayer {
    type Service = CacheService<S>;

    fn layer(&self, inner: S) -> CacheService<S> {
        CacheService::new(inner, Arc::clone(&self.shared))
    }
}

impl fmt::Debug for CacheLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheLayer").finish_non_exhaustive()
    }
}

/// How layers are made.
impl Cache {
    /// A layer that caches what it is laid around for `ttl`, with all the safe
    /// defaults of [`Policy::ttl`].
    ///
    /// # Panics
    ///
    /// If `ttl` is less than a millisecond, or more than 100 years.
    #[track_caller]
    pub fn ttl(&self, ttl: Duration) -> CacheLayer {
        self.layer(Policy::ttl(ttl))
    }

    /// A layer with a policy.
    ///
    /// # Panics
    ///
    /// If the policy cannot work, as `Router::route` does for a bad path;
    /// [`try_layer`](Self::try_layer) returns the error instead.
    #[track_caller]
    pub fn layer(&self, policy: impl Into<Policy>) -> CacheLayer {
        made(self.try_layer(policy))
    }

    /// A layer with a policy.
    ///
    /// # Errors
    ///
    /// If the policy cannot work; the error names the setting.
    #[track_caller]
    pub fn try_layer(&self, policy: impl Into<Policy>) -> Result<CacheLayer, ConfigError> {
        let policy = policy.into();
        let compiled = Compiled::new(&policy, &self.engine().context)?;
        self.tell_of_no_place(&policy, None);
        let made = Location::caller().to_string();
        let nameless = policy.endpoint.is_none().then_some(made.as_str());
        let engine = self.engine();
        let credentials = &engine.context.credentials;
        engine.advisor.learn(&policy, nameless, credentials);
        let annotation = Annotation::One(Arc::new(compiled));
        Ok(CacheLayer::new(Arc::clone(engine), annotation))
    }

    /// A layer with a route table.
    ///
    /// # Panics
    ///
    /// If the table cannot work; [`try_routes`](Self::try_routes) returns the
    /// error instead.
    #[track_caller]
    pub fn routes(&self, routes: impl Into<Routes>) -> CacheLayer {
        made(self.try_routes(routes))
    }

    /// A layer with a route table.
    ///
    /// # Errors
    ///
    /// If the table cannot work; the error names row and setting.
    pub fn try_routes(&self, routes: impl Into<Routes>) -> Result<CacheLayer, ConfigError> {
        let routes = routes.into();
        let table = Table::new(&routes, &self.engine().context)?;
        for (pattern, policy) in &routes.rows {
            self.tell_of_no_place(policy, Some(pattern));
        }
        if let Some(policy) = &routes.default {
            self.tell_of_no_place(policy, None);
        }
        let engine = self.engine();
        let credentials = &engine.context.credentials;
        engine.advisor.learn_all(&routes, credentials);
        let annotation = Annotation::Table(Box::new(table));
        Ok(CacheLayer::new(Arc::clone(engine), annotation))
    }

    /// Warns where a policy's answers may lie in no tier that there is.
    fn tell_of_no_place(&self, policy: &Policy, row: Option<&str>) {
        let nowhere = policy.memory_only && !self.engine().has_place(true);
        if nowhere && self.engine().store.is_some() {
            tracing::warn!(target: "larder", row, "memory_only: this cache has no memory, so nothing is stored; call memory(bytes)");
        }
    }

    /// A layer that stores nothing and invalidates after each successful
    /// unsafe request: the selector, which may name route parameters, and the
    /// request's own URI.
    ///
    /// # Panics
    ///
    /// If the selector makes no sense.
    #[track_caller]
    pub fn invalidates(&self, selector: impl Into<Selector>) -> CacheLayer {
        self.layer(Policy::none().invalidates(selector))
    }
}

#[track_caller]
fn made(layer: Result<CacheLayer, ConfigError>) -> CacheLayer {
    match layer {
        Ok(layer) => layer,
        Err(error) => panic!("{error}"),
    }
}
