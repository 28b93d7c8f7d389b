//! Reading a request's body and making it again.

use std::any::Any;
use std::future::Future;
#[cfg(feature = "axum")]
use std::pin::{Pin, pin};
#[cfg(feature = "axum")]
use std::task::{Context, Poll};

use bytes::Bytes;
#[cfg(feature = "axum")]
use futures_util::future::{Either, select};
use http_body::Body;
#[cfg(feature = "axum")]
use http_body::SizeHint;
use http_body_util::{BodyExt, Full};

#[cfg(feature = "axum")]
use crate::error::BoxError;

/// A body as it was, and its content, if all of it could be read: none for a
/// type that cannot be made again, or beyond `limit`, or with trailers, or where it is
/// `late` before.
pub(crate) async fn read<R: Body + Send + 'static>(
    body: R,
    limit: usize,
    late: impl Future<Output = ()>,
) -> (R, Option<Bytes>) {
    let body = match cast::<R, Full<Bytes>>(body) {
        Ok(full) => {
            let content = match full.collect().await {
                Ok(collected) => collected.to_bytes(),
                Err(never) => match never {},
            };
            return bounded(Full::new(content.clone()), content, limit);
        }
        Err(body) => body,
    };
    let body = match cast::<R, String>(body) {
        Ok(text) => {
            let content = Bytes::from(text.clone());
            return bounded(text, content, limit);
        }
        Err(body) => body,
    };
    #[cfg(feature = "axum")]
    let body = match cast::<R, axum::body::Body>(body) {
        Ok(body) => {
            let (body, content) = axum_body(body, limit, pin!(late)).await;
            return back(body, content);
        }
        Err(body) => body,
    };
    #[cfg(not(feature = "axum"))]
    drop(late); // what is whole needs no time
    (body, None)
}

fn bounded<R: 'static, T: 'static>(body: T, content: Bytes, limit: usize) -> (R, Option<Bytes>) {
    let content = (content.len() <= limit).then_some(content);
    back(body, content)
}

/// `T` is `R`: it was made of one.
fn back<R: 'static, T: 'static>(body: T, content: Option<Bytes>) -> (R, Option<Bytes>) {
    match cast::<T, R>(body) {
        Ok(body) => (body, content),
        Err(_) => unreachable!("a body of the type that was read"),
    }
}

/// The same value by its own type, if that is what it is.
fn cast<A: 'static, B: 'static>(value: A) -> Result<B, A> {
    let mut slot = Some(value);
    let same = (&mut slot as &mut dyn Any).downcast_mut::<Option<B>>();
    match (same.and_then(Option::take), slot) {
        (Some(value), _) => Ok(value),
        (None, Some(value)) => Err(value),
        (None, None) => unreachable!("nobody has taken it"),
    }
}

#[cfg(feature = "axum")]
type AxumFrame = Result<http_body::Frame<Bytes>, BoxError>;

#[cfg(feature = "axum")]
async fn axum_body(
    mut body: axum::body::Body,
    limit: usize,
    mut late: Pin<&mut impl Future<Output = ()>>,
) -> (axum::body::Body, Option<Bytes>) {
    let mut read = bytes::BytesMut::new();
    let last = loop {
        let next = match select(body.frame(), late.as_mut()).await {
            Either::Left((next, _)) => next,
            Either::Right(_) => break None,
        };
        match next {
            None => {
                let content = read.freeze();
                return (content.clone().into(), Some(content));
            }
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => {
                    read.extend_from_slice(&data);
                    if read.len() > limit {
                        break None;
                    }
                }
                Err(trailers) => break Some(Ok(trailers)),
            },
            Some(Err(error)) => break Some(Err(error.into_inner())),
        }
    };
    let whole = Rest {
        read: Some(read.freeze()),
        last,
        rest: body,
    };
    (axum::body::Body::new(whole), None)
}

/// A body of which some was read: that, what came last, and the rest. Its errors are
/// those within axum's, which is put around them again: axum looks for what it knows
/// (a limit that was reached) no deeper than it puts them itself.
#[cfg(feature = "axum")]
struct Rest {
    read: Option<Bytes>,
    last: Option<AxumFrame>,
    rest: axum::body::Body,
}

#[cfg(feature = "axum")]
impl Body for Rest {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<AxumFrame>> {
        if let Some(read) = self.read.take().filter(|read| !read.is_empty()) {
            return Poll::Ready(Some(Ok(http_body::Frame::data(read))));
        }
        match self.last.take() {
            Some(frame) => Poll::Ready(Some(frame)),
            None => {
                let next = Pin::new(&mut self.rest).poll_frame(cx);
                next.map_err(axum::Error::into_inner)
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        let last = match &self.last {
            Some(Ok(frame)) => frame.data_ref().map_or(0, Bytes::len),
            _ => 0,
        };
        let known = (self.read.as_ref().map_or(0, Bytes::len) + last) as u64;
        let (mut hint, rest) = (SizeHint::default(), self.rest.size_hint());
        if let Some(most) = rest.upper() {
            hint.set_upper(most.saturating_add(known));
        }
        hint.set_lower(rest.lower().saturating_add(known));
        hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_cast_to_its_own_type_alone() {
        assert_eq!(cast::<u8, u8>(1), Ok(1));
        assert_eq!(cast::<u8, u16>(1), Err(1));
    }
}
