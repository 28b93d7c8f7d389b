//! [`Shape`]: the names of an entry's fields and their commonest values, in a map
//! that is ready to be cloned. The entries of a route have one shape; in memory
//! they share it.

use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, PoisonError, RwLock};

use http::header::{AGE, CACHE_STATUS, HeaderName, ValuesMut};
use http::{HeaderMap, HeaderValue};

use super::common::is_common;
use super::own::Own;
use crate::known::{number_value, small};

/// A map: the places of `Age` and `Cache-Status`, which a hit says, and those of
/// the fields behind them. Blank are those of values that not all share.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    map: HeaderMap,
    /// Whether the hit's own places are there: where the fields have one of
    /// these names themselves, there are none.
    ready: bool,
    /// Many entries have it: none of them pays for it.
    shared: bool,
}

/// What a hit says: its age in seconds, and its member of `Cache-Status`.
pub(crate) type Said<'a> = (u64, Option<&'a HeaderValue>);

/// The hit's own.
pub(super) const OWN: [HeaderName; 2] = [AGE, CACHE_STATUS];

impl Shape {
    /// The shape of some fields, and their own values in the order of their places.
    pub(super) fn of(fields: HeaderMap) -> (Self, Own) {
        let blank = HeaderValue::from_static("");
        let ready = fields.keys().all(|name| !OWN.contains(name));
        let mut map = HeaderMap::with_capacity(fields.len() + OWN.len());
        if ready {
            map.extend(OWN.map(|name| (name, blank.clone())));
        }
        map.extend(fields);
        let own = take_own(&mut map, if ready { OWN.len() } else { 0 });
        let shared = false;
        (Self { map, ready, shared }, own)
    }

    /// How many places stand in front of the fields'.
    fn own(&self) -> usize {
        if self.ready { OWN.len() } else { 0 }
    }

    /// Fields with those of their values that are not the shape's own.
    pub(super) fn fields<'a>(
        &'a self,
        values: &'a Own,
    ) -> impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)> {
        let mut values = values.iter();
        let fields = self.map.iter().skip(self.own());
        fields.map(move |(name, value)| match value.is_empty() {
            true => (name, values.next().unwrap_or(value)),
            false => (name, value),
        })
    }

    /// Whether fields, names and values, have this shape.
    pub(super) fn fits(&self, pairs: &[(&[u8], &[u8])]) -> bool {
        let mut places = self.map.iter();
        places.by_ref().take(self.own()).for_each(drop);
        self.len() == pairs.len()
            && places.zip(pairs).all(|((name, common), (named, value))| {
                name.as_str().as_bytes() == *named && (common.is_empty() || common == *value)
            })
    }

    /// Fields that do, in a map with the hit's own places in front.
    pub(super) fn with<E>(
        &self,
        pairs: &[(&[u8], &[u8])],
        value: impl Fn(&[u8]) -> Result<HeaderValue, E>,
    ) -> Result<HeaderMap, E> {
        let mut map = self.map.clone();
        let mut places = map.values_mut();
        places.by_ref().take(self.own()).for_each(drop);
        for (place, (_, text)) in places.zip(pairs) {
            if place.is_empty() {
                put(place, value(text)?);
            }
        }
        Ok(map)
    }

    /// The shape of such a map, and the values that are not the shape's own.
    pub(super) fn of_ready(mut map: HeaderMap) -> (Self, Own) {
        let own = take_own(&mut map, OWN.len());
        let (ready, shared) = (true, false);
        (Self { map, ready, shared }, own)
    }

    /// How many fields there are.
    pub(super) fn len(&self) -> usize {
        self.map.len() - self.own()
    }

    /// Makes an empty map a response's fields: what a hit says, and `values` in their
    /// places.
    #[inline]
    pub(super) fn fill(&self, map: &mut HeaderMap, (age, status): Said<'_>, values: &Own) {
        std::mem::forget(std::mem::replace(map, self.map.clone())); // empty, it holds nothing
        let large;
        match status {
            Some(status) if self.ready => {
                let age = match small(age) {
                    Some(age) => age,
                    None => {
                        large = number_value(age);
                        &large
                    }
                };
                let mut places = map.values_mut();
                for said in [age, status] {
                    if let Some(place) = places.next() {
                        put(place, said.clone());
                    }
                }
                put_all(places, values.iter());
            }
            _ => self.fill_apart(map, (age, status), values),
        }
    }

    /// The same where that has no places of its own, or says no status.
    #[cold]
    fn fill_apart(&self, map: &mut HeaderMap, (age, status): Said<'_>, values: &Own) {
        let mut places = map.values_mut();
        places.by_ref().take(self.own()).for_each(drop);
        put_all(places, values.iter());
        map.insert(AGE, number_value(age));
        match status {
            Some(status) if self.ready => {
                map.insert(CACHE_STATUS, status.clone());
            }
            Some(status) => {
                map.append(CACHE_STATUS, status.clone());
            }
            None if self.ready => {
                map.remove(CACHE_STATUS);
            }
            None => {}
        }
    }

    /// An estimate of the bytes that an entry pays for it.
    pub(super) fn weight(&self) -> usize {
        match self.shared {
            true => 0,
            false => 160 + weight(&self.map),
        }
    }
}

/// Puts a value into a blank place. What is blank holds nothing that had to be
/// dropped.
#[inline]
fn put(place: &mut HeaderValue, value: HeaderValue) {
    std::mem::forget(std::mem::replace(place, value));
}

/// Takes the values behind the first so many that not all share.
fn take_own(map: &mut HeaderMap, first: usize) -> Own {
    let values = map.values_mut().skip(first);
    let own = values.filter(|value| !is_common(value));
    let blank = || HeaderValue::from_static("");
    own.map(|value| std::mem::replace(value, blank())).collect()
}

/// What a hit says, put into the first places of a map.
pub(super) fn say_ready(mut map: HeaderMap, (age, status): Said<'_>) -> HeaderMap {
    let mut places = map.values_mut();
    if let (Some(first), Some(second)) = (places.next(), places.next()) {
        put(first, number_value(age));
        match status {
            Some(status) => put(second, status.clone()),
            None => {
                map.remove(CACHE_STATUS);
            }
        }
    }
    map
}

/// Puts values into the blank places.
#[inline]
fn put_all<'a>(
    places: ValuesMut<'_, HeaderValue>,
    mut values: impl Iterator<Item = &'a HeaderValue>,
) {
    for place in places {
        if place.is_empty()
            && let Some(value) = values.next()
        {
            put(place, value.clone());
        }
    }
}

/// An estimate of the bytes that a map holds, values' own excepted.
pub(super) fn weight(map: &HeaderMap) -> usize {
    map.capacity() * 6 + map.len() * 104
}

impl PartialEq for Shape {
    fn eq(&self, other: &Self) -> bool {
        self.map.len() == other.map.len() && self.map.iter().eq(&other.map)
    }
}

impl Eq for Shape {}

impl Hash for Shape {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.map.iter().for_each(|field| field.hash(state));
    }
}

/// The shapes that entries share. As many as routes answer with, so they are
/// few; names that a client makes up must not make them many.
#[derive(Debug, Default)]
pub(crate) struct Shapes(RwLock<HashSet<Arc<Shape>>>);

const MOST: usize = 256;

impl Shapes {
    /// The one shape like this that entries share, or this one where there are
    /// too many already.
    pub(super) fn share(&self, shape: &Arc<Shape>) -> Arc<Shape> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(&**shape) {
            return Arc::clone(known);
        }
        drop(known);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.retain(|shape| Arc::strong_count(shape) > 1);
        }
        if known.len() >= MOST {
            return Arc::clone(shape);
        }
        let mut shared = Shape::clone(shape);
        shared.shared = true;
        let shared = Arc::new(shared);
        known.insert(Arc::clone(&shared));
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter().copied();
        pairs
            .map(|(name, value)| {
                let name = HeaderName::from_static(name);
                (name, HeaderValue::from_static(value))
            })
            .collect()
    }

    fn filled(pairs: &[(&'static str, &'static str)], status: Option<&'static str>) -> Vec<String> {
        filled_at(7, pairs, status)
    }

    fn filled_at(
        age: u64,
        pairs: &[(&'static str, &'static str)],
        status: Option<&'static str>,
    ) -> Vec<String> {
        let (shape, values) = Shape::of(fields(pairs));
        assert_eq!(shape.len(), pairs.len());
        assert_eq!(shape.fields(&values).count(), pairs.len());
        let mut map = HeaderMap::new();
        let status = status.map(HeaderValue::from_static);
        shape.fill(&mut map, (age, status.as_ref()), &values);
        let said = map
            .iter()
            .map(|(n, v)| format!("{n}: {}", v.to_str().unwrap()));
        let mut said: Vec<String> = said.collect();
        said.sort_unstable();
        said
    }

    #[test]
    fn every_value_lands_in_its_place() {
        let pairs = [("b", "1"), ("a", "2"), ("b", "3"), ("c", "4")];
        let said = ["a: 2", "age: 7", "b: 1", "b: 3", "c: 4", "cache-status: x"];
        assert_eq!(filled(&pairs, Some("x")), said);
        assert_eq!(filled(&pairs, None), said[..5]);
        let old = [said[0], "age: 86400", said[2], said[3], said[4], said[5]];
        assert_eq!(filled_at(86_400, &pairs, Some("x")), old);
    }

    #[test]
    fn a_status_from_further_in_stands_in_front() {
        let pairs = [("a", "1"), ("cache-status", "inner"), ("age", "1")];
        let both = ["a: 1", "age: 7", "cache-status: inner", "cache-status: x"];
        assert_eq!(filled(&pairs, Some("x")), both);
        assert_eq!(filled(&pairs, None), both[..3]);
        let (shape, values) = Shape::of(fields(&pairs));
        let mut map = HeaderMap::new();
        let status = HeaderValue::from_static("x");
        shape.fill(&mut map, (7, Some(&status)), &values);
        let said: Vec<_> = map.get_all(CACHE_STATUS).iter().collect();
        assert_eq!(said, ["inner", "x"]);
    }

    #[test]
    fn entries_share_a_shape_until_there_are_too_many() {
        let shapes = Shapes::default();
        let shape = |names: &[(&'static str, &'static str)]| Arc::new(Shape::of(fields(names)).0);
        let a = shapes.share(&shape(&[("a", "1"), ("b", "1")]));
        assert!(Arc::ptr_eq(
            &a,
            &shapes.share(&shape(&[("a", "2"), ("b", "2")]))
        ));
        assert!(!Arc::ptr_eq(
            &a,
            &shapes.share(&shape(&[("b", "1"), ("a", "1")]))
        ));
        assert_eq!(a.weight(), 0);
        let numbered = |n: usize| {
            let name = HeaderName::try_from(format!("x-{n}")).unwrap();
            let field = [(name, HeaderValue::from_static(""))];
            Arc::new(Shape::of(field.into_iter().collect()).0)
        };
        let kept: Vec<_> = (0..MOST).map(|n| shapes.share(&numbered(n))).collect();
        let more = shapes.share(&numbered(MOST));
        assert!(more.weight() > 0, "an entry pays for a shape of its own");
        drop(kept);
        assert_eq!(
            shapes.share(&numbered(MOST)).weight(),
            0,
            "unused ones made room"
        );
    }
}
