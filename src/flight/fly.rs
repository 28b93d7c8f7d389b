//! The fill itself, once it has a head: a body that is recorded as it comes.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName};
use http_body::{Body, Frame, SizeHint};

use super::{ALONE, Finish, Flight, Landing, Leading};
use crate::clock::{Clock, millis};
use crate::entry::{Entry, Recording};
use crate::error::BoxError;
use crate::inner::Content;
use crate::outcome::Refusal;

/// So many frames without a byte are passed over in one turn: a body of those alone
/// never comes to its limit.
const EMPTY: usize = 64;

/// What is known once the head of an answer has come that may be stored.
#[derive(Debug)]
pub(crate) struct Opened {
    /// The entry to be, without fields and body.
    pub(crate) entry: Entry,
    /// The fields that will be stored.
    pub(crate) headers: HeaderMap,
    /// What it varies on.
    pub(crate) vary: Arc<[HeaderName]>,
    /// How old the answer was when it came, in milliseconds.
    pub(crate) age: u64,
    /// Whether it may be sent before it is complete.
    pub(crate) streams: bool,
    /// When that was, in milliseconds.
    pub(crate) came: u64,
}

impl Opened {
    /// How old it is by now, in milliseconds (RFC 9111, 4.2.3).
    pub(crate) fn age(&self, now: u64) -> u64 {
        self.age.saturating_add(now.saturating_sub(self.came))
    }
}

/// A body on its way into its recording.
pub(crate) type Drive = BoxFuture<'static, ()>;

/// What of a body cannot be recorded: what came last, and the rest. The leader's
/// client gets them as they are.
pub(crate) struct Rest<B> {
    pub(super) first: Option<Result<Frame<Bytes>, BoxError>>,
    pub(super) body: Option<Pin<Box<B>>>,
}

impl<B> Rest<B> {
    /// The end.
    pub(super) fn none() -> Self {
        Self {
            first: None,
            body: None,
        }
    }
}

impl<B: Body<Data = Bytes>> Rest<B> {
    /// Of all that is still to come.
    pub(super) fn size_hint(&self) -> SizeHint {
        let first = match &self.first {
            Some(Ok(frame)) => frame.data_ref().map_or(0, Bytes::len) as u64,
            _ => 0,
        };
        let Some(body) = &self.body else {
            return SizeHint::with_exact(first);
        };
        let (mut hint, behind) = (SizeHint::default(), body.size_hint());
        if let Some(most) = behind.upper() {
            hint.set_upper(most.saturating_add(first));
        }
        hint.set_lower(behind.lower().saturating_add(first));
        hint
    }
}

/// From the fill, wherever it runs, to its leader.
pub(crate) struct Handoff<A> {
    answer: Mutex<Option<A>>,
}

impl<A> Handoff<A> {
    pub(crate) fn new() -> Arc<Self> {
        let answer = Mutex::new(None);
        Arc::new(Self { answer })
    }

    /// Gives the answer to the leader, and wakes it. The fill keeps no hold of it:
    /// a leader that has gone away takes its body along.
    pub(crate) fn give(self: Arc<Self>, flight: &Flight, answer: A) {
        let mut place = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        *place = Some(answer);
        drop(place);
        flight.change(|_| ());
    }

    pub(crate) fn take(&self) -> Option<A> {
        let mut answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        answer.take()
    }
}

/// Where the leader's body finds what cannot be recorded.
pub(crate) type RestSlot<B> = Arc<Mutex<Option<Rest<B>>>>;

/// Begins to record a body. Gives the body that the leader's client gets, and
/// what drives it.
pub(crate) fn drive<B>(
    landing: Landing,
    opened: Opened,
    recording: Recording,
    finish: Finish,
    body: B,
    clock: Arc<dyn Clock>,
) -> (Leading<B>, Drive)
where
    B: Content,
{
    let flight = Arc::clone(landing.flight());
    flight.open(opened, recording, finish, millis(clock.monotonic()));
    let slot = RestSlot::default();
    let leading = Leading::new(flight, Arc::clone(&slot));
    (leading, fly(landing, Box::pin(body), slot, clock).boxed())
}

/// Reads a body to its end, and lands.
async fn fly<B>(landing: Landing, mut body: Pin<Box<B>>, slot: RestSlot<B>, clock: Arc<dyn Clock>)
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let flight = Arc::clone(landing.flight());
    let mut refused = None;
    let first = loop {
        match std::future::poll_fn(|cx| poll_next(body.as_mut(), cx)).await {
            None => {
                leave(&slot, Rest::none());
                return landing.complete();
            }
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => match flight.push(data, millis(clock.monotonic())) {
                    Ok(()) => {}
                    Err(data) => {
                        refused = Some(match flight.is_over(data.len()) {
                            true => Refusal::TooLarge,
                            false => Refusal::NoRoom,
                        });
                        break Ok(Frame::data(data));
                    }
                },
                Err(trailers) => {
                    refused = Some(Refusal::Trailers);
                    break Ok(trailers);
                }
            },
            Some(Err(error)) => break Err(error.into()),
        }
    };
    let rest = Rest {
        body: refused.map(|_| body), // it goes on, and others like it will
        first: Some(first),
    };
    leave(&slot, rest);
    match (refused, flight.opened()) {
        (Some(refusal), Some(opened)) => {
            let finish = flight.state().finish.take();
            if let Some(finish) = finish {
                finish(Err(refusal), None);
            }
            // too much is in flight just now: the next one may have room
            let until = (refusal != Refusal::NoRoom).then_some(opened.came + ALONE);
            landing.alone(until);
        }
        _ => {
            // it has failed, though all that it declared may have come
            let finish = flight.state().finish.take();
            drop((finish, landing));
        }
    }
}

/// The next frame with something in it.
fn poll_next<B>(
    mut body: Pin<&mut B>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, B::Error>>>
where
    B: Body<Data = Bytes>,
{
    for _ in 0..EMPTY {
        if body.is_end_stream() {
            return Poll::Ready(None);
        }
        match ready!(body.as_mut().poll_frame(cx)) {
            Some(Ok(frame)) if frame.data_ref().is_some_and(Bytes::is_empty) => {}
            next => return Poll::Ready(next),
        }
    }
    cx.waker().wake_by_ref(); // others have their turn before
    Poll::Pending
}

/// Leaves to the leader what comes after the recording. Without this a recording
/// that has ended was broken off.
fn leave<B>(slot: &RestSlot<B>, rest: Rest<B>) {
    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(rest);
}
