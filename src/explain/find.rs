//! Which layer a request would come to.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::layer::{Annotation, Shared};
use crate::policy::{Found, Place};

/// The layers of a cache, as long as they live.
#[derive(Default)]
pub(crate) struct Layers(Mutex<Vec<Weak<Shared>>>);

impl Layers {
    pub(crate) fn add(&self, layer: &Arc<Shared>) {
        let mut layers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        layers.retain(|layer| layer.strong_count() > 0);
        layers.push(Arc::downgrade(layer));
    }

    /// The layer that knows a path best, and the route by which it does.
    pub(super) fn of_path(&self, path: &str) -> Option<(Arc<Shared>, Option<String>)> {
        let layers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let layers = layers.iter().filter_map(Weak::upgrade);
        let known = layers.filter_map(|layer| {
            let (weight, pattern) = layer.knows(path)?;
            Some((weight, layer, pattern))
        });
        let best = known.max_by_key(|(weight, ..)| *weight)?;
        Some((best.1, best.2))
    }
}

impl Shared {
    /// How well this layer knows a path: by a route that it has seen, by its table, or
    /// because it stands around everything.
    fn knows(&self, path: &str) -> Option<(u8, Option<String>)> {
        if let Some(pattern) = self.route_of(path) {
            let found = self.annotation.find(Place::Matched(&pattern), path);
            return found.is_ok().then_some((2, Some(pattern)));
        }
        match &self.annotation {
            Annotation::Table(table) => {
                if let Some(found) = table.find(Place::Outside, path) {
                    return Some((1, found.pattern.map(str::to_owned)));
                }
                let fallback = self.is_outside() && table.find(Place::Fallback, path).is_some();
                fallback.then_some((0, None))
            }
            Annotation::One(_) => self.is_outside().then_some((0, None)),
        }
    }

    /// A route that it has seen, for a path.
    pub(super) fn route_of(&self, path: &str) -> Option<String> {
        self.routes().into_iter().find(|route| fits(route, path))
    }

    /// The policy for a route.
    pub(super) fn policy_for<'a>(
        &'a self,
        pattern: Option<&'a str>,
        path: &str,
    ) -> Option<Found<'a, 'a>> {
        let place = pattern.map_or(Place::Outside, Place::Matched);
        let found = self.annotation.find(place, path);
        found
            .or_else(|_| self.annotation.find(Place::Outside, path))
            .or_else(|_| self.annotation.find(Place::Fallback, path))
            .ok()
    }
}

fn fits(pattern: &str, path: &str) -> bool {
    let mut router = matchit::Router::new();
    router.insert(pattern, ()).is_ok() && router.at(path).is_ok()
}
