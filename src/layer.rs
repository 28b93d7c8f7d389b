//! [`CacheLayer`]: a cache and the policies of what it is laid around.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use http::Request;
use tower_layer::Layer;

use crate::cache::Engine;
use crate::guard;
use crate::key::endpoint_of_route;
use crate::outcome::Bypass;
use crate::place::{original_uri, place};
use crate::policy::{Compiled, Found, NameFn, Place, RequestHead, Table, Watch};
use crate::service::CacheService;
use crate::stats::{Counts, Users};

/// Caches the responses of the service it is laid around. Made by
/// [`Cache::layer`](crate::Cache::layer) and its siblings; cheap to clone.
#[derive(Clone)]
#[must_use]
pub struct CacheLayer {
    pub(crate) shared: Arc<Shared>,
}

/// What the services of one layer share.
pub(crate) struct Shared {
    pub(crate) engine: Arc<Engine>,
    pub(crate) annotation: Annotation,
    /// The endpoints of the routes seen so far: as many as there are routes.
    endpoints: RwLock<HashMap<String, Arc<str>>>,
    /// The routes seen so far, and whether a request came without one.
    routes: RwLock<HashSet<String>>,
    outside: AtomicBool,
}

impl Shared {
    /// The endpoint that a matched route implies.
    pub(crate) fn endpoint_of(&self, pattern: Option<&str>) -> Arc<str> {
        let Some(pattern) = pattern else {
            return "default".into();
        };
        let known = |map: &HashMap<String, Arc<str>>| map.get(pattern).cloned();
        if let Some(endpoint) = self.endpoints.read().ok().and_then(|map| known(&map)) {
            return endpoint;
        }
        let endpoint: Arc<str> = endpoint_of_route(pattern).into();
        if let Ok(mut map) = self.endpoints.write() {
            map.insert(pattern.to_owned(), Arc::clone(&endpoint));
        }
        endpoint
    }
}

impl Shared {
    /// The counters of the endpoint that a request is for. `new` is one that no layer
    /// further out has looked at.
    pub(crate) fn counts_of<R>(&self, request: &Request<R>, new: bool) -> Arc<Counts> {
        let extensions = request.extensions();
        let path = original_uri(extensions, request.uri()).path();
        match self.annotation.find(place(extensions), path) {
            Ok(Found { policy, pattern }) => {
                self.see(pattern);
                let counts = match &policy.endpoint {
                    Some(endpoint) => self.engine.counters.endpoint(endpoint),
                    None => self.engine.counters.endpoint(&self.endpoint_of(pattern)),
                };
                counts.has_policy(&policy.watch);
                let windows = [policy.stale_while_revalidate, policy.stale_if_error];
                counts.may_serve_stale(windows.iter().any(Option::is_some));
                if new {
                    self.look_at(policy, &counts, request);
                }
                counts
            }
            Err(_) => self.engine.counters.rest(),
        }
    }
}

impl Shared {
    /// Remembers a route, for who asks about requests without sending them.
    fn see(&self, pattern: Option<&str>) {
        let Some(pattern) = pattern else {
            return self.outside.store(true, Ordering::Relaxed);
        };
        let known = |routes: &HashSet<String>| routes.contains(pattern);
        if !known(&self.routes.read().unwrap_or_else(PoisonError::into_inner)) {
            let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
            routes.insert(pattern.to_owned());
        }
    }

    pub(crate) fn routes(&self) -> Vec<String> {
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        routes.iter().cloned().collect()
    }

    pub(crate) fn is_outside(&self) -> bool {
        self.outside.load(Ordering::Relaxed)
    }

    /// Takes down what a policy tells of a request for the statistics.
    #[inline]
    pub(crate) fn look_at<R>(&self, policy: &Compiled, counts: &Counts, request: &Request<R>) {
        if policy.watch.names() {
            self.look_closely(&policy.watch, counts, request);
        }
    }

    #[cold]
    fn look_closely<R>(&self, watch: &Watch, counts: &Counts, request: &Request<R>) {
        let head = RequestHead {
            method: request.method(),
            uri: original_uri(request.extensions(), request.uri()),
            headers: request.headers(),
            extensions: request.extensions(),
        };
        let name = |of: &Option<NameFn>| guard::call(|| of.as_ref()?(&head)).flatten();
        if let Some(label) = name(&watch.label) {
            self.engine.counters.asked.saw(&label, 1);
        }
        if let Some(user) = name(&watch.user) {
            counts.users.get_or_init(Users::default).saw(&user);
        }
    }
}

/// How a layer knows the policy of a request.
pub(crate) enum Annotation {
    /// One for all that it is laid around.
    One(Arc<Compiled>),
    Table(Box<Table>),
}

impl Annotation {
    #[inline]
    pub(crate) fn find<'t: 'p, 'p>(
        &'t self,
        place: Place<'p>,
        path: &str,
    ) -> Result<Found<'t, 'p>, Bypass> {
        match (self, place) {
            (Self::One(policy), Place::Fallback) if !policy.unmatched => Err(Bypass::Unmatched),
            (Self::One(policy), place) => Ok(Found {
                policy,
                pattern: match place {
                    Place::Matched(pattern) => Some(pattern),
                    _ => None,
                },
            }),
            (Self::Table(table), place) => table.find(place, path).ok_or(Bypass::NoPolicy),
        }
    }
}

impl CacheLayer {
    pub(crate) fn new(engine: Arc<Engine>, annotation: Annotation) -> Self {
        let shared = Arc::new(Shared {
            engine,
            annotation,
            endpoints: RwLock::default(),
            routes: RwLock::default(),
            outside: AtomicBool::new(false),
        });
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
