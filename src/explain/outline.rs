//! A request without its body: what is awaited may be `Send` whatever that is.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Request;
use http_body::{Body, Frame, SizeHint};

/// What a body tells of itself.
pub(super) struct Outline {
    ended: bool,
    hint: SizeHint,
}

impl Outline {
    pub(super) fn of<B: Body>(request: &Request<B>) -> Request<Self> {
        let body = request.body();
        let mut outline = Request::new(Self {
            ended: body.is_end_stream(),
            hint: body.size_hint(),
        });
        *outline.method_mut() = request.method().clone();
        *outline.uri_mut() = request.uri().clone();
        *outline.version_mut() = request.version();
        *outline.headers_mut() = request.headers().clone();
        *outline.extensions_mut() = request.extensions().clone();
        outline
    }
}

impl Body for Outline {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::clone(&self.hint)
    }
}
