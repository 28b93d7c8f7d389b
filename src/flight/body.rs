//! The bodies of those who share a fill.

use std::fmt;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::fly::{Rest, RestSlot};
use super::{Flight, Follower, Landed, Read, Reader};
use crate::entry::Recording;
use crate::error::BoxError;

type Next = Option<Result<Frame<Bytes>, BoxError>>;

impl Flight {
    /// Its leader has read all that was recorded, and no entry is made of it: it is kept
    /// for nobody, unless somebody follows.
    fn spend(&self) {
        let mut state = self.state();
        let alone = state.followers == 0;
        let recording = state.recording.as_mut().filter(|_| alone);
        let chunks = recording.map(Recording::empty);
        drop(state);
        drop(chunks); // what drops them may run anything
    }

    /// What a reader has before it of the length that is declared.
    pub(super) fn left_of(&self, reader: &Reader) -> Option<u64> {
        let declared = self.declared()?;
        Some(declared.saturating_sub(reader.place.read() as u64))
    }
}

/// The leader's: the recording as it grows, and behind it what cannot be
/// recorded. While it is read, it polls the fill.
pub(crate) struct Leading<B> {
    flight: Arc<Flight>,
    reader: Reader,
    slot: RestSlot<B>,
    rest: Option<Rest<B>>,
}

impl<B> Leading<B> {
    pub(super) fn new(flight: Arc<Flight>, slot: RestSlot<B>) -> Self {
        let mut reader = flight.reader();
        reader.leads = true;
        flight.state().led += 1;
        Self {
            flight,
            reader,
            slot,
            rest: None,
        }
    }
}

impl<B> Leading<B> {
    /// The whole, where it has become an entry and nothing of it was read.
    pub(crate) fn stored(&self) -> Option<Bytes> {
        match self.flight.landed() {
            Some(Landed::Stored(held)) => Some(held.entry.body.clone()),
            _ => None,
        }
    }
}

impl<B> Leading<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        if self.rest.is_none() {
            let mut read = self.flight.poll_read(&mut self.reader, cx);
            if read.is_pending() {
                self.flight.poll_fill(cx);
                read = self.flight.poll_read(&mut self.reader, cx);
            }
            match read {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Read::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Poll::Ready(Read::End) => return Poll::Ready(None),
                Poll::Ready(Read::Broken) => {}
            }
            self.rest = Some(match self.take_rest() {
                Some(rest) => rest,
                None => ready!(self.poll_broken(cx)),
            });
            self.flight.spend();
        }
        let Some(rest) = &mut self.rest else {
            return Poll::Ready(None);
        };
        if let Some(first) = rest.first.take() {
            return Poll::Ready(Some(first));
        }
        match &mut rest.body {
            Some(body) => body.as_mut().poll_frame(cx).map_err(Into::into),
            None => Poll::Ready(None),
        }
    }

    fn take_rest(&self) -> Option<Rest<B>> {
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        slot.take()
    }

    /// The fill has ended before the body did: its panic is passed on, else it is
    /// an error; a part is no whole.
    fn poll_broken(&self, cx: &Context<'_>) -> Poll<Rest<B>> {
        self.flight.watch(&self.reader, cx);
        match self.flight.ended() {
            None => Poll::Pending,
            Some(Some(panic)) => std::panic::resume_unwind(panic),
            Some(None) => Poll::Ready(Rest {
                first: Some(Err(BrokenOff.into())),
                body: None,
            }),
        }
    }

    pub(crate) fn is_end(&self) -> bool {
        match &self.rest {
            None => self.flight.is_read(&self.reader),
            Some(Rest { first: Some(_), .. }) => false,
            Some(Rest { body, .. }) => body.as_ref().is_none_or(|body| body.is_end_stream()),
        }
    }

    /// Of what is still to come (`http_body::Body::size_hint`).
    pub(crate) fn size_hint(&self) -> SizeHint {
        match &self.rest {
            None => hint(self.flight.left_of(&self.reader)),
            Some(rest) => rest.size_hint(),
        }
    }
}

impl<B> Drop for Leading<B> {
    fn drop(&mut self) {
        self.flight.forget(&self.reader);
        self.flight.left(|state| state.led -= 1);
    }
}

/// A follower's: the recording as it grows. One that breaks off ends in an error,
/// never as if it were whole.
pub(crate) struct Following {
    follower: Follower,
}

impl Following {
    pub(crate) fn new(follower: Follower) -> Self {
        Self { follower }
    }

    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        let (flight, reader) = self.follower.parts();
        flight.poll_read(reader, cx).map(|read| match read {
            Read::Data(data) => Some(Ok(Frame::data(data))),
            Read::End => None,
            Read::Broken if flight.has_declared() => None, // what is behind it is the leader's
            Read::Broken => Some(Err(BrokenOff.into())),
        })
    }

    pub(crate) fn is_end(&self) -> bool {
        self.follower.is_read()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        hint(self.follower.left())
    }
}

fn hint(left: Option<u64>) -> SizeHint {
    left.map_or_else(SizeHint::default, SizeHint::with_exact)
}

/// The response that a request shared broke off.
#[derive(Debug)]
struct BrokenOff;

impl fmt::Display for BrokenOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the response that this request shares broke off")
    }
}

impl std::error::Error for BrokenOff {}
