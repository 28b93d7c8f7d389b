//! Which fields of an answer are stored, and in which shape.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue};
use smallvec::SmallVec;

use super::shape::{Shape, Shapes};
use crate::known::number_value;
use crate::policy::is_hop_by_hop;

/// The fields of an answer that may be stored: not those of one connection
/// (RFC 9111, 3.1), not those in `per_request`, and no `Age`, which is counted
/// anew.
pub(crate) fn storable(headers: &HeaderMap, per_request: &[HeaderName]) -> HeaderMap {
    let listed = connection_listed(headers);
    let keeps = |name: &HeaderName| {
        !is_hop_by_hop(name)
            && *name != header::AGE
            && *name != header::SET_COOKIE
            && !listed.contains(name)
            && !per_request.contains(name)
    };
    let kept = headers.iter().filter(|(name, _)| keeps(name));
    kept.map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Field names that `Connection` lists.
fn connection_listed(headers: &HeaderMap) -> Vec<HeaderName> {
    let lines = headers.get_all(header::CONNECTION).iter();
    lines
        .flat_map(|line| line.as_bytes().split(|b| *b == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect()
}

/// The fields of an entry: their names are its shape's, and each value is a
/// slice of the entry's block.
#[derive(Debug, Clone, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Fields {
    shape: Arc<Shape>,
    values: Values,
}

/// As many as most answers have lie in the entry itself.
pub(super) type Values = SmallVec<[HeaderValue; 8]>;

impl Fields {
    pub(crate) fn empty() -> Self {
        Self::from_iter([])
    }

    /// Copies values and body into one block, so that a hit touches little
    /// memory.
    pub(crate) fn pack(headers: &HeaderMap, body: &[u8]) -> (Self, Bytes) {
        let own = |value: &&HeaderValue| common(value).is_none();
        let len: usize = headers.values().filter(own).map(HeaderValue::len).sum();
        let mut block = BytesMut::with_capacity(len + body.len());
        for value in headers.values().filter(own) {
            block.extend_from_slice(value.as_bytes());
        }
        block.extend_from_slice(body);
        let mut block = block.freeze();
        let mut field = |(name, value): (&HeaderName, &HeaderValue)| {
            let value = common(value).unwrap_or_else(|| copied(block.split_to(value.len()), value));
            (name.clone(), value)
        };
        let fields = headers.iter().map(&mut field).collect();
        (fields, block)
    }

    /// The same fields with values in a block of their own, so that they do not
    /// keep a larger one.
    pub(crate) fn detached(&self) -> Self {
        let map: HeaderMap = self.iter().map(|(n, v)| (n.clone(), v.clone())).collect();
        Self::pack(&map, &[]).0
    }

    /// Shares its names with other entries.
    pub(crate) fn share(&mut self, shapes: &Shapes) {
        self.shape = shapes.share(&self.shape);
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.shape.names().zip(&self.values)
    }

    /// The fields as a response's, with what the hit itself says.
    #[inline]
    pub(crate) fn to_map(&self, age: HeaderValue, status: Option<HeaderValue>) -> HeaderMap {
        self.shape.fill(&self.values, age, status)
    }

    /// An estimate of the bytes that it holds elsewhere, values' own excepted.
    pub(crate) fn weight(&self) -> usize {
        let values = match self.values.spilled() {
            true => std::mem::size_of_val(&*self.values),
            false => 0,
        };
        values + self.shape.weight()
    }
}

impl FromIterator<(HeaderName, HeaderValue)> for Fields {
    fn from_iter<T: IntoIterator<Item = (HeaderName, HeaderValue)>>(fields: T) -> Self {
        let (shape, values) = Shape::of(fields.into_iter().collect());
        let shape = Arc::new(shape);
        Self { shape, values }
    }
}

/// A value that needs no bytes of its own.
fn common(value: &HeaderValue) -> Option<HeaderValue> {
    if let Some(text) = COMMON.iter().find(|text| **text == *value) {
        return Some(HeaderValue::from_static(text));
    }
    let text = value.to_str().ok().filter(|text| text.len() <= 4)?;
    let known = number_value(text.parse().ok()?);
    (known == *value).then_some(known)
}

/// Values so common that they need no bytes of their own: cloning one is free.
const COMMON: [&str; 12] = [
    "application/json",
    "application/json; charset=utf-8",
    "text/plain",
    "text/plain; charset=utf-8",
    "text/html",
    "text/html; charset=utf-8",
    "text/css",
    "text/javascript",
    "application/xml",
    "application/octet-stream",
    "image/svg+xml",
    "accept-encoding",
];

/// The same value in other bytes.
fn copied(bytes: Bytes, value: &HeaderValue) -> HeaderValue {
    // the bytes are a value's already, so that the copy always succeeds
    let copy = HeaderValue::from_maybe_shared(bytes);
    let mut copy = copy.unwrap_or_else(|_| value.clone());
    copy.set_sensitive(value.is_sensitive());
    copy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_one_connection_or_request_are_not_stored() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("content-type", "text/plain"),
            ("connection", "close, X-Private"),
            ("x-private", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("proxy-connection", "close"),
            ("age", "5"),
            ("x-request-id", "7"),
            ("set-cookie", "a=b"),
            ("x-kept", "1"),
            ("x-kept", "2"),
        ] {
            let name = HeaderName::from_static(name);
            headers.append(name, HeaderValue::from_static(value));
        }
        let stored = storable(&headers, &[HeaderName::from_static("x-request-id")]);
        let (fields, body) = Fields::pack(&stored, b"body");
        assert_eq!(body, "body");
        let mut names: Vec<&str> = fields.iter().map(|(n, _)| n.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-type", "x-kept", "x-kept"]);
        assert_eq!(stored.get_all("x-kept").iter().count(), 2);
        assert_eq!(stored["content-type"], "text/plain");
    }
}
