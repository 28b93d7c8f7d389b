//! Where a request has been sent on its way to the cache. A layer may have rewritten
//! its URI, or a nested router cut it: by what the client has sent alone, it may be
//! two requests.

use http::Uri;

use crate::arrived::Arrived;
use crate::hint::{rarely, seldom};
use crate::key::{Writer, write_query};
use crate::place::rewritten;
use crate::policy::{Compiled, Found};

/// Writes what an answer depends on beyond the request itself: the route, where a
/// policy has a key of its own, and where a layer has sent the request.
#[inline]
pub(crate) fn write(writer: &mut Writer, found: &Found<'_, '_>, request: &Arrived<'_>) {
    if rarely(found.policy.key.is_some()) {
        writer.option(found.pattern.map(str::as_bytes));
    }
    let original = request.head.uri;
    if let Some(uri) = rewritten(original, request.uri) {
        seldom();
        write_changed(writer, found.policy, original, uri);
    }
}

/// The path comes first: no field's name begins with a slash.
#[inline(never)]
fn write_changed(writer: &mut Writer, policy: &Compiled, original: &Uri, uri: &Uri) {
    let own_key = policy.key.is_some();
    match own_key.then(|| segments_cut(original, uri)).flatten() {
        // a policy's own key stands for the path, and its pattern for the cut
        Some(segments) => writer.field(&segments.to_le_bytes()),
        None => writer.field(uri.path().as_bytes()),
    }
    let query = uri.query() != original.query();
    let server = !is_one_server(original, uri);
    writer.push(&[u8::from(query), u8::from(server)]);
    if query {
        write_query(writer, uri.query(), &policy.params);
    }
    if server {
        writer.option(uri.scheme_str().map(str::as_bytes));
        match uri.authority() {
            Some(authority) => writer.field_lowercase(authority.as_str().as_bytes()),
            None => writer.absent(),
        }
    }
}

/// Whether two URIs name one scheme and authority, or none.
#[inline(never)] // HTTP/1.1 names none as a rule
pub(crate) fn is_one_server(one: &Uri, other: &Uri) -> bool {
    one.authority() == other.authority() && one.scheme() == other.scheme()
}

/// How many segments a path has lost at its beginning, where that is all.
fn segments_cut(original: &Uri, uri: &Uri) -> Option<u64> {
    let cut = original.path().strip_suffix(uri.path())?;
    Some(cut.matches('/').count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_nested_router_cuts_is_counted() {
        let cut = |original: &'static str, uri: &'static str| {
            segments_cut(&Uri::from_static(original), &Uri::from_static(uri))
        };
        assert_eq!(cut("/a/b/c", "/c"), Some(2));
        assert_eq!(cut("/a/b/c?x", "/b/c?y"), Some(1));
        assert_eq!(cut("/a", "http://b.example/a"), Some(0));
        assert_eq!(cut("/a", "/"), None);
        assert_eq!(cut("/a/b", "/c"), None);
    }
}
