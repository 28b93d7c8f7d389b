//! The body of a write's answer whose handler may go on writing while it is made: what the
//! request reaches is invalidated once more before the client has its end.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::task::JoinHandle;

use crate::cache::Writing;
use crate::error::BoxError;

pin_project! {
    /// Its end, or its trailers, wait for the invalidation as long as a request may. Where
    /// it fails or is left behind, nobody waits.
    pub(crate) struct Ending<B> {
        #[pin]
        body: B,
        writing: Option<Writing>,
        work: Option<JoinHandle<()>>,
        trailers: Option<Frame<Bytes>>,
    }
}

impl<B> Ending<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    pub(crate) fn new(body: B, writing: Writing) -> Self {
        Self {
            body,
            writing: Some(writing),
            work: None,
            trailers: None,
        }
    }

    pub(crate) fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        loop {
            if let Some(work) = this.work {
                let _ = ready!(Pin::new(work).poll(cx)); // or its runtime has ended
                *this.work = None;
                return Poll::Ready(this.trailers.take().map(Ok));
            }
            let frame = ready!(this.body.as_mut().poll_frame(cx));
            match frame {
                Some(Ok(frame)) if frame.is_trailers() => *this.trailers = Some(frame),
                Some(Ok(frame)) => return Poll::Ready(Some(Ok(frame))),
                Some(Err(error)) => {
                    *this.writing = None; // dropped, it invalidates
                    return Poll::Ready(Some(Err(error.into())));
                }
                None => {}
            }
            *this.work = this.writing.take().and_then(Writing::invalidate_apart);
            if this.work.is_none() {
                return Poll::Ready(this.trailers.take().map(Ok));
            }
        }
    }

    pub(crate) fn is_end(&self) -> bool {
        self.writing.is_none() && self.work.is_none() && self.body.is_end_stream()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
