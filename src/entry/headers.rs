//! Which fields of an answer are stored, and in which shape.

use bytes::{Bytes, BytesMut};
use http::header::{self, CACHE_STATUS, HeaderName};
use http::{HeaderMap, HeaderValue};

use crate::policy::is_hop_by_hop;

/// The fields of an answer that may be stored: not those of one connection
/// (RFC 9111, 3.1), not those in `per_request`, and no `Age`, which is counted
/// anew. The values share one allocation.
pub(crate) fn storable(headers: &HeaderMap, per_request: &[HeaderName]) -> HeaderMap {
    let listed = connection_listed(headers);
    let keeps = |name: &HeaderName| {
        !is_hop_by_hop(name)
            && *name != header::AGE
            && *name != header::SET_COOKIE
            && !listed.contains(name)
            && !per_request.contains(name)
    };
    let kept: Vec<_> = headers.iter().filter(|(name, _)| keeps(name)).collect();
    pack(&kept)
}

/// Field names that `Connection` lists.
fn connection_listed(headers: &HeaderMap) -> Vec<HeaderName> {
    let lines = headers.get_all(header::CONNECTION).iter();
    lines
        .flat_map(|line| line.as_bytes().split(|b| *b == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect()
}

/// Copies values into one block and gives the map its exact size.
fn pack(fields: &[(&HeaderName, &HeaderValue)]) -> HeaderMap {
    let len = fields.iter().map(|(_, value)| value.len()).sum();
    let mut block = BytesMut::with_capacity(len);
    for (_, value) in fields {
        block.extend_from_slice(value.as_bytes());
    }
    let block = block.freeze();
    let mut map = HeaderMap::with_capacity(fields.len() + 2);
    let mut at = 0;
    for (name, value) in fields {
        let end = at + value.len();
        map.append(*name, slice(&block, at..end, value));
        at = end;
    }
    reserve_for_hit(&mut map);
    map
}

/// Puts `Age` and `Cache-Status` in place, empty, so that a hit overwrites two
/// values and never grows the map.
pub(super) fn reserve_for_hit(headers: &mut HeaderMap) {
    headers.insert(header::AGE, HeaderValue::from_static(""));
    if !headers.contains_key(CACHE_STATUS) {
        headers.insert(CACHE_STATUS, HeaderValue::from_static(""));
    }
}

/// Whether a field is there for the hit alone and is not part of the answer.
pub(super) fn is_reserved(name: &HeaderName, value: &HeaderValue) -> bool {
    *name == header::AGE || (*name == CACHE_STATUS && value.is_empty())
}

fn slice(block: &Bytes, range: std::ops::Range<usize>, value: &HeaderValue) -> HeaderValue {
    // the bytes are a value's already, so that the copy always succeeds
    let mut copy = HeaderValue::from_maybe_shared(block.slice(range))
        .unwrap_or_else(|_| value.clone());
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
        let real = stored.iter().filter(|(n, v)| !is_reserved(n, v));
        let mut names: Vec<&str> = real.map(|(n, _)| n.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-type", "x-kept", "x-kept"]);
        assert_eq!(stored.get_all("x-kept").iter().count(), 2);
        assert_eq!(stored["content-type"], "text/plain");
    }
}
