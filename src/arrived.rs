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
            has_body: has_body(request.body()),
        }
    }
}

/// Whether a body has anything in it, as far as it tells: some wrappers say nothing of its end.
#[inline]
pub(crate) fn has_body<B: Body>(body: &B) -> bool {
    !body.is_end_stream() && body.size_hint().exact() != Some(0)
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

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use bytes::Bytes;
    use http_body::{Frame, SizeHint};

    use super::*;

    /// Tells its length and no end, as tower-http wraps what is not coded.
    struct OfLength(u64);

    impl Body for OfLength {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            Poll::Ready(None)
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(self.0)
        }
    }

    #[test]
    fn a_body_of_no_bytes_is_none() {
        assert!(!has_body(&OfLength(0)) && has_body(&OfLength(1)));
        assert!(!has_body(&String::new()) && has_body(&String::from("x")));
    }
}
