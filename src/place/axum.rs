//! Where a request is on its way through an axum router.

use axum::extract::{MatchedPath, OriginalUri};
use http::{Extensions, Uri};

use crate::policy::Place;
use crate::sent::is_one_server;

/// What a router has said so far. A router marks every request that it sees
/// with its original URI, and those that match a route with the route.
#[inline]
pub(crate) fn place(extensions: &Extensions) -> Place<'_> {
    if extensions.is_empty() {
        return Place::Outside;
    }
    if let Some(path) = extensions.get::<MatchedPath>() {
        return Place::Matched(path.as_str());
    }
    match extensions.get::<OriginalUri>() {
        Some(_) => Place::Fallback,
        None => Place::Outside,
    }
}

/// The URI that the handler sees, where it is not the original one: a layer has
/// rewritten it, or a nested router has cut it. The two look alike, and by the
/// first the same original may be two requests.
#[inline]
pub(crate) fn rewritten<'a>(original: &Uri, uri: &'a Uri) -> Option<&'a Uri> {
    let named = original.authority().is_some() || uri.authority().is_some();
    if let (Some(was), Some(is)) = (original.path_and_query(), uri.path_and_query())
        && std::ptr::eq(was.as_str(), is.as_str())
        && (!named || is_one_server(original, uri))
    {
        return None; // one and the same text, as it nearly always is
    }
    differs(original, uri).then_some(uri)
}

#[cold]
fn differs(original: &Uri, uri: &Uri) -> bool {
    original.path() != uri.path()
        || original.query() != uri.query()
        || !is_one_server(original, uri)
}

/// The URI as the client sent it, also where a nested router has cut it.
#[inline]
pub(crate) fn original_uri<'a>(extensions: &'a Extensions, uri: &'a Uri) -> &'a Uri {
    match extensions.get::<OriginalUri>() {
        Some(OriginalUri(uri)) => uri,
        None => uri,
    }
}
