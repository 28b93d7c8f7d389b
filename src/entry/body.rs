//! [`ResponseBody`]: the body of every response that went through a layer.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::record::Recording;
use crate::error::BoxError;

pin_project! {
    /// A stored body, or the inner service's own, perhaps recorded on its way.
    pub struct ResponseBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<B> {
        Stored { bytes: Option<Bytes> },
        Inner { #[pin] body: B },
        Recorded { #[pin] body: B, recording: Box<Recording> },
    }
}

impl<B> ResponseBody<B> {
    pub(crate) fn empty() -> Self {
        let kind = Kind::Stored { bytes: None };
        Self { kind }
    }

    pub(crate) fn stored(bytes: Bytes) -> Self {
        let bytes = (!bytes.is_empty()).then_some(bytes);
        let kind = Kind::Stored { bytes };
        Self { kind }
    }

    /// The bytes of a stored body.
    pub(crate) fn stored_bytes(&self) -> Bytes {
        match &self.kind {
            Kind::Stored { bytes: Some(bytes) } => bytes.clone(),
            _ => Bytes::new(),
        }
    }

    /// Another stored body in its place; none stays none, as for HEAD.
    pub(crate) fn replaced(self, by: Bytes) -> Self {
        match self.kind {
            Kind::Stored { bytes: Some(_) } => Self::stored(by),
            _ => self,
        }
    }

    pub(crate) fn inner(body: B) -> Self {
        let kind = Kind::Inner { body };
        Self { kind }
    }
}

#[cfg(feature = "axum")]
impl ResponseBody<axum::body::Body> {
    /// Without a box around a box.
    pub(crate) fn into_axum(self) -> axum::body::Body {
        match self.kind {
            Kind::Stored { bytes: None } => axum::body::Body::empty(),
            Kind::Stored { bytes: Some(bytes) } => bytes.into(),
            Kind::Inner { body } => body,
            Kind::Recorded { .. } => axum::body::Body::new(self),
        }
    }
}

impl<B: Body> ResponseBody<B> {
    pub(crate) fn recorded(body: B, mut recording: Recording) -> Self {
        let kind = match body.is_end_stream() {
            true => {
                recording.end();
                Kind::Inner { body }
            }
            false => Kind::Recorded {
                body,
                recording: Box::new(recording),
            },
        };
        Self { kind }
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().kind.project() {
            KindProj::Stored { bytes } => Poll::Ready(bytes.take().map(Frame::data).map(Ok)),
            KindProj::Inner { body } => body.poll_frame(cx).map_err(Into::into),
            KindProj::Recorded {
                mut body,
                recording,
            } => {
                let frame = ready!(body.as_mut().poll_frame(cx));
                record(recording, frame.as_ref(), body.is_end_stream());
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Stored { bytes } => bytes.is_none(),
            Kind::Inner { body } | Kind::Recorded { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Stored { bytes } => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64))
            }
            Kind::Inner { body } | Kind::Recorded { body, .. } => body.size_hint(),
        }
    }
}

fn record<E>(recording: &mut Recording, frame: Option<&Result<Frame<Bytes>, E>>, ended: bool) {
    match frame {
        Some(Ok(frame)) => match frame.data_ref() {
            Some(data) => recording.push(data),
            None => recording.abandon(), // trailers are not stored
        },
        Some(Err(_)) => recording.abandon(),
        None => return recording.end(),
    }
    if ended {
        recording.end();
    }
}

impl<B> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            Kind::Stored { .. } => "stored",
            Kind::Inner { .. } => "inner",
            Kind::Recorded { .. } => "recorded",
        };
        f.debug_tuple("ResponseBody").field(&kind).finish()
    }
}

impl<B> Default for ResponseBody<B> {
    fn default() -> Self {
        Self::empty()
    }
}
