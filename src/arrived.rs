//! A request as the cache looks at it: without its body's type, so that one code does
//! for every service.

use http::{Request, Uri};
use http_body::Body;

use crate::place::original_uri;
use crate::policy::RequestHead;

/// A request that has arrived at a layer.
#[derive(Clone, Copy)]
pub(crate) struct Arrived<'p> {
    pub(crate) head: RequestHead<'p>,
    /// The URI that the handler sees.
    pub(crate) uri: &'p Uri,
    pub(crate) has_body: bool,
}

impl<'p> Arrived<'p> {
    #[inline]
    pub(crate) fn of<B: Body>(request: &'p Request<B>) -> Self {
        Self {
            head: head_of(request),
            uri: request.uri(),
            has_body: !request.body().is_end_stream(),
        }
    }
}

/// The head of a request, with its original URI.
#[inline]
pub(crate) fn head_of<B>(request: &Request<B>) -> RequestHead<'_> {
    RequestHead {
        method: request.method(),
        uri: original_uri(request.extensions(), request.uri()),
        headers: request.headers(),
        extensions: request.extensions(),
    }
}
