//! [`ResponseBody`]: the body of every response that went through a layer.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::cache::Writing;
use crate::ending::Ending;
use crate::entry::Held;
use crate::error::BoxError;
use crate::flight::{Following, Leading};
use crate::hint::rarely;

pin_project! {
    /// A stored body, the inner service's own, or one that is recorded on its way
    /// and perhaps shared.
    pub struct ResponseBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<B> {
        Stored { bytes: Option<Bytes> },
        Held { held: Option<Arc<Held>> },
        Inner { #[pin] body: B },
        Leading { leading: Box<Leading<B>> },
        Following { following: Box<Following> },
        Ending { ending: Pin<Box<Ending<B>>> },
        Metered { metered: Pin<Box<Metered<B>>> },
    }
}

pin_project! {
    /// A body whose length nobody knows before its end. It tells it then, or when it is
    /// left behind.
    struct Metered<B> {
        #[pin]
        body: ResponseBody<B>,
        meter: Meter,
    }
}

struct Meter {
    bytes: u64,
    /// Who wants to know.
    told: Option<Box<dyn FnOnce(u64) + Send + Sync>>,
}

impl Meter {
    fn tell(&mut self) {
        if let Some(told) = self.told.take() {
            told(self.bytes);
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.tell();
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

    /// The body of an entry in memory. What counts the references to its bytes is
    /// touched when they are sent, not before.
    #[inline]
    pub(crate) fn held(held: Option<Arc<Held>>) -> Self {
        let held = held.filter(|held| !rarely(held.entry.body.is_empty()));
        let kind = Kind::Held { held };
        Self { kind }
    }

    /// The bytes of a stored body.
    pub(crate) fn stored_bytes(&self) -> Bytes {
        match &self.kind {
            Kind::Stored { bytes: Some(bytes) } => bytes.clone(),
            Kind::Held { held: Some(held) } => held.entry.body.clone(),
            _ => Bytes::new(),
        }
    }

    /// How many bytes of a stored body there are.
    #[inline]
    pub(crate) fn len(&self) -> u64 {
        match &self.kind {
            Kind::Stored { bytes: Some(bytes) } => bytes.len() as u64,
            Kind::Held { held: Some(held) } => held.entry.body.len() as u64,
            _ => 0,
        }
    }

    /// Whether all of it is there.
    pub(crate) fn is_stored(&self) -> bool {
        matches!(self.kind, Kind::Stored { .. } | Kind::Held { .. })
    }

    /// Another stored body in its place; none stays none, as for HEAD.
    pub(crate) fn replaced(self, by: Bytes) -> Self {
        match self.kind {
            Kind::Stored { bytes: Some(_) } | Kind::Held { held: Some(_) } => Self::stored(by),
            _ => self,
        }
    }

    /// A recording that is complete already needs nobody to read it along.
    pub(crate) fn settled(self) -> Self {
        match self.kind {
            Kind::Leading { leading } => match leading.stored() {
                Some(bytes) => Self::stored(bytes),
                None => leading.into(),
            },
            _ => self,
        }
    }

    pub(crate) fn inner(body: B) -> Self {
        let kind = Kind::Inner { body };
        Self { kind }
    }

    /// Invalidates once more at its end.
    pub(crate) fn ending(body: B, writing: Writing) -> Self
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let ending = Box::pin(Ending::new(body, writing));
        let kind = Kind::Ending { ending };
        Self { kind }
    }

    /// Tells at its end how many bytes went through it.
    pub(crate) fn metered(self, told: impl FnOnce(u64) + Send + Sync + 'static) -> Self {
        let (bytes, told) = (0, Some(Box::new(told) as _));
        let meter = Meter { bytes, told };
        let metered = Box::pin(Metered { body: self, meter });
        let kind = Kind::Metered { metered };
        Self { kind }
    }
}

#[cfg(feature = "axum")]
impl ResponseBody<axum::body::Body> {
    /// Without a box around a box.
    pub(crate) fn into_axum(self) -> axum::body::Body {
        match self.kind {
            Kind::Stored { bytes: None } | Kind::Held { held: None } => axum::body::Body::empty(),
            Kind::Stored { bytes: Some(bytes) } => bytes.into(),
            Kind::Inner { body } => body,
            _ => axum::body::Body::new(self),
        }
    }
}

impl<B> From<Box<Leading<B>>> for ResponseBody<B> {
    fn from(leading: Box<Leading<B>>) -> Self {
        let kind = Kind::Leading { leading };
        Self { kind }
    }
}

impl<B> From<Following> for ResponseBody<B> {
    fn from(following: Following) -> Self {
        let following = Box::new(following);
        let kind = Kind::Following { following };
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
            KindProj::Held { held } => {
                let bytes = held.take().map(|held| held.entry.body.clone());
                Poll::Ready(bytes.map(Frame::data).map(Ok))
            }
            KindProj::Inner { body } => body.poll_frame(cx).map_err(Into::into),
            KindProj::Leading { leading } => leading.poll_next(cx),
            KindProj::Following { following } => following.poll_next(cx),
            KindProj::Ending { ending } => ending.as_mut().poll_next(cx),
            KindProj::Metered { metered } => {
                let this = metered.as_mut().project();
                let frame = ready!(this.body.poll_frame(cx));
                match &frame {
                    Some(Ok(frame)) => {
                        let len = frame.data_ref().map_or(0, Bytes::len);
                        this.meter.bytes += len as u64;
                    }
                    _ => this.meter.tell(),
                }
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Stored { bytes } => bytes.is_none(),
            Kind::Held { held } => held.is_none(),
            Kind::Inner { body } => body.is_end_stream(),
            Kind::Leading { leading } => leading.is_end(),
            Kind::Following { following } => following.is_end(),
            Kind::Ending { ending } => ending.is_end(),
            Kind::Metered { metered } => metered.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Stored { bytes } => exactly(bytes.as_ref()),
            Kind::Held { held } => exactly(held.as_ref().map(|held| &held.entry.body)),
            Kind::Inner { body } => body.size_hint(),
            Kind::Leading { leading } => leading.size_hint(),
            Kind::Following { following } => following.size_hint(),
            Kind::Ending { ending } => ending.size_hint(),
            Kind::Metered { metered } => metered.body.size_hint(),
        }
    }
}

fn exactly(bytes: Option<&Bytes>) -> SizeHint {
    SizeHint::with_exact(bytes.map_or(0, |bytes| bytes.len() as u64))
}

impl<B> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            Kind::Stored { .. } | Kind::Held { .. } => "stored",
            Kind::Inner { .. } => "inner",
            Kind::Leading { .. } => "leading",
            Kind::Following { .. } => "following",
            Kind::Ending { .. } => "ending",
            Kind::Metered { .. } => "metered",
        };
        f.debug_tuple("ResponseBody").field(&kind).finish()
    }
}

impl<B> Default for ResponseBody<B> {
    fn default() -> Self {
        Self::empty()
    }
}
