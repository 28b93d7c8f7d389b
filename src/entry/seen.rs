//! [`Seen`]: the shapes of what came from the store, so that the next answer of a
//! route needs no map of its own to be built.

use std::sync::{PoisonError, RwLock};

use http::{HeaderMap, HeaderValue};

use super::headers::Fields;
use super::shape::{OWN, Shape};

/// A policy's answers have few: more are not remembered.
const MOST: usize = 4;

/// Shapes that came from the store under a policy.
#[derive(Debug, Default)]
pub(crate) struct Seen(RwLock<Vec<Shape>>);

impl Seen {
    /// Fields in a shape that was seen before: none where it was not, and whatever
    /// `value` says of a value that is none.
    pub(super) fn fields<E>(
        &self,
        pairs: &[(&[u8], &[u8])],
        value: impl Fn(&[u8]) -> Result<HeaderValue, E>,
    ) -> Option<Result<Fields, E>> {
        let seen = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let shape = seen.iter().find(|shape| shape.fits(pairs))?;
        Some(shape.with(pairs, value).map(Fields::ready))
    }

    /// Remembers the shape of some fields.
    pub(super) fn learn(&self, fields: &HeaderMap) {
        let full = |seen: &Vec<_>| seen.len() >= MOST;
        let known = full(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        if known || OWN.iter().any(|name| fields.contains_key(name)) {
            return; // what a hit says would have no places in it
        }
        let (shape, _) = Shape::of(fields.clone());
        let mut seen = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if !full(&seen) && !seen.contains(&shape) {
            seen.push(shape);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Shapes;
    use http::HeaderName;

    const STATUS: HeaderValue = HeaderValue::from_static("x");

    type Pairs<'a> = [(&'a str, &'a str)];

    fn map(pairs: &Pairs<'_>) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            map.append(name, HeaderValue::from_str(value).unwrap());
        }
        map
    }

    fn read(seen: &Seen, pairs: &Pairs<'_>) -> Option<HeaderMap> {
        let pairs = pairs.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes()));
        let pairs: Vec<_> = pairs.collect();
        let mut fields = seen.fields(&pairs, HeaderValue::from_bytes)?.unwrap();
        let (read, len) = (fields.to_headers(), fields.len());
        says(&fields);
        fields.share(&Shapes::default());
        assert_eq!((fields.to_headers(), fields.len()), (read.clone(), len));
        says(&fields);
        Some(read)
    }

    /// What a hit says is there beside them, or is not.
    fn says(fields: &Fields) {
        let told = || fields.clone().into_map((7, Some(&STATUS)));
        for said in [fields.to_map((7, Some(&STATUS))), told()] {
            assert!(said["age"] == "7" && said["cache-status"] == STATUS);
            assert_eq!(said.len(), fields.len() + 2);
        }
        let silent = fields.to_map((7, None));
        assert!(silent["age"] == "7" && !silent.contains_key("cache-status"));
        assert_eq!(silent.len(), fields.len() + 1);
    }

    #[test]
    fn what_has_a_shape_that_was_seen_is_read_in_it() {
        let seen = Seen::default();
        let first = [
            ("content-type", "application/json"),
            ("etag", "1"),
            ("etag", "2"),
        ];
        assert_eq!(read(&seen, &first), None);
        seen.learn(&map(&first));
        let second = [
            ("content-type", "application/json"),
            ("etag", "3"),
            ("etag", ""),
        ];
        assert_eq!(read(&seen, &second), Some(map(&second)));
        for other in [
            &[("content-type", "text/html"), ("etag", "1"), ("etag", "2")][..],
            &[("content-type", "application/json"), ("etag", "1")],
            &[
                ("content-type", "application/json"),
                ("etag", "1"),
                ("link", "2"),
            ],
            &[
                ("etag", "1"),
                ("etag", "2"),
                ("content-type", "application/json"),
            ],
        ] {
            assert_eq!(read(&seen, other), None, "{other:?}");
        }
    }

    #[test]
    fn where_another_cache_has_spoken_no_shape_is_remembered() {
        let seen = Seen::default();
        let inner = [("cache-status", "inner; hit"), ("etag", "1")];
        seen.learn(&map(&inner));
        assert_eq!(read(&seen, &inner), None);
    }

    #[test]
    fn no_more_shapes_than_a_few_are_remembered() {
        let seen = Seen::default();
        for n in 0..MOST + 3 {
            seen.learn(&map(&[(&format!("x-{n}"), "1")]));
            seen.learn(&map(&[(&format!("x-{n}"), "2")]));
        }
        assert_eq!(seen.0.read().unwrap().len(), MOST);
        assert!(read(&seen, &[("x-0", "9")]).is_some());
    }
}
