//! [`CacheLayer`]: a cache and the policies of what it is laid around.

use std::fmt;
use std::sync::Arc;

use tower_layer::Layer;

use crate::cache::Engine;
use crate::outcome::Bypass;
use crate::policy::{Compiled, Found, Place, Table};
use crate::service::CacheService;

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
        Self {
            shared: Arc::new(Shared { engine, annotation }),
        }
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
