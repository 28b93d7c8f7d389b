//! Which layer a request would come to.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::outcome::Bypass;
use crate::policy::{Found, Place};
use crate::shared::{Annotation, Shared};

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
        // the inner one of two decides, and is made first
        let layers = layers.iter().filter_map(Weak::upgrade);
        let known = layers.filter_map(|layer| {
            let (weight, pattern) = layer.knows(path)?;
            Some((weight, layer, pattern))
        });
        let mut known: Vec<_> = known.collect();
        let most = known.iter().map(|(weight, ..)| *weight).max()?;
        known.retain(|(weight, ..)| *weight == most);
        let patterns = known.iter().filter_map(|(.., pattern)| pattern.as_deref());
        if let Some(best) = most_static(patterns, path).map(str::to_owned) {
            known.retain(|(.., pattern)| pattern.as_ref() == Some(&best));
        }
        // one that stores nothing leaves it to the others
        let stores = known
            .iter()
            .position(|(_, layer, pattern)| layer.stores(pattern.as_deref(), path));
        let best = stores.unwrap_or_default();
        let best = known.into_iter().nth(best);
        best.map(|(_, layer, pattern)| (layer, pattern))
    }

    /// The layer whose table leaves a path out for the sake of how it may be read, and the
    /// route by which it does.
    pub(super) fn excluding(&self, path: &str) -> Option<(Arc<Shared>, Option<String>)> {
        let layers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut layers = layers.iter().filter_map(Weak::upgrade);
        layers.find_map(|layer| {
            let pattern = layer.route_of(path);
            let place = pattern.as_deref().map_or(Place::Outside, Place::Matched);
            let excluded = layer.annotation.is_excluded_as_read(place, path);
            excluded.then_some((layer, pattern))
        })
    }

    /// Why none knows a path, where a table can tell.
    pub(super) fn tell_why_not(&self, path: &str) -> Option<String> {
        let layers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let layers = layers.iter().rev().filter_map(Weak::upgrade);
        let mut tables = layers.filter(|layer| matches!(layer.annotation, Annotation::Table(_)));
        tables.next().map(|layer| layer.tell_why_not(path))
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
                if let Ok(found) = table.find(Place::Outside, path) {
                    return Some((1, found.pattern.map(str::to_owned)));
                }
                let fallback = self.is_outside() && table.find(Place::Fallback, path).is_ok();
                fallback.then_some((0, None))
            }
            Annotation::One(_) => {
                let some = self.is_outside() || self.is_unmatched(path);
                some.then_some((0, None))
            }
        }
    }

    fn stores(&self, pattern: Option<&str>, path: &str) -> bool {
        let found = self.policy_for(pattern, path);
        found.is_ok_and(|found| found.policy.stores())
    }

    /// Why no policy is known for a path.
    pub(super) fn tell_why_not(&self, path: &str) -> String {
        match &self.annotation {
            Annotation::Table(table) => table.tell_why_not(path),
            Annotation::One(_) => "no policy covers this path".to_owned(),
        }
    }

    /// A route that it has seen, for a path.
    pub(super) fn route_of(&self, path: &str) -> Option<String> {
        let routes = self.routes();
        most_static(routes.iter().map(String::as_str), path).map(str::to_owned)
    }

    /// The policy for a route, or why there is none.
    pub(super) fn policy_for<'a>(
        &'a self,
        pattern: Option<&'a str>,
        path: &str,
    ) -> Result<Found<'a, 'a>, Bypass> {
        let known = pattern.is_some_and(|pattern| self.routes().iter().any(|it| it == pattern));
        if !known && self.is_unmatched(path) {
            return self.annotation.find(Place::Fallback, path);
        }
        let place = pattern.map_or(Place::Outside, Place::Matched);
        let found = self.annotation.find(place, path);
        found
            .or_else(|_| self.annotation.find(Place::Outside, path))
            .or_else(|_| self.annotation.find(Place::Fallback, path))
    }
}

/// Which of some patterns a router would take for a path.
fn most_static<'a>(patterns: impl Iterator<Item = &'a str>, path: &str) -> Option<&'a str> {
    let mut router = matchit::Router::new();
    for pattern in patterns {
        let _ = router.insert(pattern, pattern); // the same again
    }
    router.at(path).ok().map(|found| *found.value)
}
