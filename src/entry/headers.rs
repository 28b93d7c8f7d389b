//! Which fields of an answer are stored, and in which shape.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue};
use sha2::{Digest, Sha256};

use super::common::common;
use super::own::Own;
use super::shape::{OWN, Said, Shape, Shapes, say_ready, weight};
use crate::key::hex;
use crate::known::number_value;
use crate::policy::is_hop_by_hop;

/// The fields of an answer that may be stored: not those of one connection
/// (RFC 9111, 3.1), not those in `per_request` or `without`, no `Set-Cookie`
/// unless `cookies` says so, and no `Age`, which is counted anew.
pub(crate) fn storable(
    headers: &HeaderMap,
    per_request: &[HeaderName],
    without: &[HeaderName],
    cookies: bool,
) -> HeaderMap {
    let listed = connection_listed(headers);
    let keeps = |name: &HeaderName| {
        !is_hop_by_hop(name)
            && *name != header::AGE
            && (cookies || *name != header::SET_COOKIE)
            && !listed.contains(name)
            && !per_request.contains(name)
            && !without.contains(name)
    };
    let kept = headers.iter().filter(|(name, _)| keeps(name));
    kept.map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// What a tag begins with that was made here.
const MADE: &str = "\"l-";

/// A strong entity tag of a body (RFC 9110, 8.8.3): the first 120 bits of its SHA-256.
pub(crate) fn etag_of(body: &[u8]) -> HeaderValue {
    let mut tag = String::with_capacity(34);
    tag.push_str(MADE);
    hex(&mut tag, &Sha256::digest(body)[..15]);
    tag.push('"');
    HeaderValue::from_str(&tag).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

/// Whether no handler can know a tag, for it was made here; coded variants have longer ones.
pub(crate) fn is_made(tag: &[u8]) -> bool {
    let made = tag.strip_prefix(MADE.as_bytes());
    let digest = made.and_then(|made| made.get(..30));
    digest.is_some_and(|digest| digest.iter().all(u8::is_ascii_hexdigit))
}

/// Whether a tag was made here of a body that is not coded here.
pub(crate) fn is_plain_made(tag: &HeaderValue) -> bool {
    is_made(tag.as_bytes()) && tag.len() == MADE.len() + 31
}

/// Field names that `Connection` lists.
fn connection_listed(headers: &HeaderMap) -> Vec<HeaderName> {
    let lines = headers.get_all(header::CONNECTION).iter();
    lines
        .flat_map(|line| line.as_bytes().split(|b| *b == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect()
}

/// The fields of an entry, each value a slice of the entry's block.
#[derive(Debug, Clone)]
pub(crate) struct Fields(Kind);

#[derive(Debug, Clone)]
#[allow(
    clippy::large_enum_variant,
    reason = "what lies in memory lies in the entry itself"
)]
enum Kind {
    /// As they lie in memory: their names are a shape's, which is ready to be cloned.
    Shaped(Shaped),
    /// As they come from the store where no other has come so.
    Loose(HeaderMap),
    /// The same where others have: blank places for what a hit says stand in front.
    Ready(HeaderMap),
}

/// Names and common values, and the entry's own. All that a hit reads lies together.
#[derive(Debug, Clone)]
#[repr(C)] // in this order
struct Shaped {
    shape: Arc<Shape>,
    values: Own,
}

impl Fields {
    pub(crate) fn empty() -> Self {
        Self(Kind::Loose(HeaderMap::new()))
    }

    /// Of a map in which what a hit says has its places.
    pub(super) fn ready(map: HeaderMap) -> Self {
        Self(Kind::Ready(map))
    }

    /// Copies values and body into one block, so that a hit touches little
    /// memory.
    pub(crate) fn pack(headers: &HeaderMap, body: &[u8]) -> (Self, Bytes) {
        let own = |value: &&HeaderValue| common(value.as_bytes()).is_none();
        let len: usize = headers.values().filter(own).map(HeaderValue::len).sum();
        let mut block = BytesMut::with_capacity(len + body.len());
        for value in headers.values().filter(own) {
            block.extend_from_slice(value.as_bytes());
        }
        block.extend_from_slice(body);
        let mut block = block.freeze();
        let mut field = |(name, value): (&HeaderName, &HeaderValue)| {
            let known = common(value.as_bytes());
            let value = known.unwrap_or_else(|| copied(block.split_to(value.len()), value));
            (name.clone(), value)
        };
        let fields = headers.iter().map(&mut field).collect();
        (fields, block)
    }

    /// The same fields with values in a block of their own, so that they do not
    /// keep a larger one.
    pub(crate) fn detached(&self) -> Self {
        Self::pack(&self.to_headers(), &[]).0
    }

    /// Makes them ready for many hits: their names are shared with other entries.
    pub(crate) fn share(&mut self, shapes: &Shapes) {
        let (shape, values) = match &mut self.0 {
            Kind::Loose(fields) => Shape::of(std::mem::take(fields)),
            Kind::Ready(fields) => Shape::of_ready(std::mem::take(fields)),
            Kind::Shaped(fields) => {
                fields.shape = shapes.share(&fields.shape);
                return;
            }
        };
        let shape = shapes.share(&Arc::new(shape));
        self.0 = Kind::Shaped(Shaped { shape, values });
    }

    pub(crate) fn len(&self) -> usize {
        match &self.0 {
            Kind::Shaped(fields) => fields.shape.len(),
            Kind::Loose(fields) => fields.len(),
            Kind::Ready(fields) => fields.len() - OWN.len(),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        let (shaped, (loose, own)) = match &self.0 {
            Kind::Shaped(fields) => (Some(fields.shape.fields(&fields.values)), (None, 0)),
            Kind::Loose(fields) => (None, (Some(fields.iter()), 0)),
            Kind::Ready(fields) => (None, (Some(fields.iter()), OWN.len())),
        };
        let loose = loose.into_iter().flatten().skip(own);
        shaped.into_iter().flatten().chain(loose)
    }

    /// The only `Content-Language`, in lower case.
    pub(crate) fn language(&self) -> Option<Box<[u8]>> {
        let mut values = self.iter().filter(|(n, _)| *n == header::CONTENT_LANGUAGE);
        let (Some((_, value)), None) = (values.next(), values.next()) else {
            return None;
        };
        let one = !value.as_bytes().contains(&b',');
        one.then(|| value.as_bytes().to_ascii_lowercase().into())
    }

    /// The fields alone, as a map.
    pub(crate) fn to_headers(&self) -> HeaderMap {
        let fields = self.iter().map(|(n, v)| (n.clone(), v.clone()));
        fields.collect()
    }

    /// The fields as a response's, with what the hit itself says.
    pub(crate) fn to_map(&self, said: Said<'_>) -> HeaderMap {
        let mut map = HeaderMap::new();
        self.fill(&mut map, said);
        map
    }

    /// The same, where an empty map lies: moving one costs as much as filling it.
    #[inline]
    pub(crate) fn fill(&self, map: &mut HeaderMap, said: Said<'_>) {
        match &self.0 {
            Kind::Shaped(fields) => fields.shape.fill(map, said, &fields.values),
            _ => self.fill_loose(map, said),
        }
    }

    #[cold]
    fn fill_loose(&self, map: &mut HeaderMap, said: Said<'_>) {
        *map = self.clone().into_map(said);
    }

    /// The same of fields that are sent once.
    pub(crate) fn into_map(self, said: Said<'_>) -> HeaderMap {
        match self.0 {
            Kind::Shaped(_) => self.to_map(said),
            Kind::Loose(fields) => say(fields, said),
            Kind::Ready(fields) => say_ready(fields, said),
        }
    }

    /// See `Held::touch`.
    #[inline]
    pub(crate) fn touch(&self) {
        if let Kind::Shaped(fields) = &self.0 {
            fields.values.touch();
        }
    }

    /// An estimate of the bytes that it holds elsewhere, values' own excepted.
    pub(crate) fn weight(&self) -> usize {
        match &self.0 {
            Kind::Shaped(fields) => fields.values.weight() + fields.shape.weight(),
            Kind::Loose(fields) | Kind::Ready(fields) => weight(fields),
        }
    }
}

/// A response's fields, and what a hit says.
fn say(mut map: HeaderMap, (age, status): Said<'_>) -> HeaderMap {
    map.insert(header::AGE, number_value(age));
    if let Some(status) = status {
        map.append(header::CACHE_STATUS, status.clone());
    }
    map
}

impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl Eq for Fields {}

impl From<HeaderMap> for Fields {
    fn from(fields: HeaderMap) -> Self {
        Self(Kind::Loose(fields))
    }
}

impl FromIterator<(HeaderName, HeaderValue)> for Fields {
    fn from_iter<T: IntoIterator<Item = (HeaderName, HeaderValue)>>(fields: T) -> Self {
        fields.into_iter().collect::<HeaderMap>().into()
    }
}

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
        let stored = storable(
            &headers,
            &[HeaderName::from_static("x-request-id")],
            &[],
            false,
        );
        let (fields, body) = Fields::pack(&stored, b"body");
        assert_eq!(body, "body");
        let mut names: Vec<&str> = fields.iter().map(|(n, _)| n.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-type", "x-kept", "x-kept"]);
        assert_eq!(stored.get_all("x-kept").iter().count(), 2);
        assert_eq!(stored["content-type"], "text/plain");
    }
}
