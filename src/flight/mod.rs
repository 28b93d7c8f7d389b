//! Flights: one fill for each key, however many ask.
//!
//! The request that begins a fill *leads*: it polls the fill itself, so that a
//! miss that nobody shares costs no task. As soon as somebody follows, or the
//! leader goes away while others wait, the fill moves to a task, so that a
//! stalled client stalls nobody. What the fill makes is recorded as it comes,
//! and all who share it read the recording at their own pace.
//!
//! A fill *lands* once, in one of four ways ([`Landed`]). Whatever happens to it
//! (a panic, a runtime that ends, a leader that goes away), its [`Landing`] is
//! dropped with it and lands it as failed: no flight is left behind.

mod body;
mod fly;
mod table;

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tracing::{Instrument, Span};

use crate::entry::{Complete, Entry, Held, Recording};
use crate::generation::Generation;

pub(crate) use body::{Following, Leading};
pub(crate) use fly::{Drive, Handoff, drive};
pub(crate) use table::{Crowded, Entered, Flights, Follower, Landing, Leads};

/// How a fill has ended.
#[derive(Debug, Clone)]
pub(crate) enum Landed {
    /// With an entry.
    Stored(Arc<Held>),
    /// With an answer that nobody may share: all run their own handler, at once.
    Alone,
    /// Complete, but no longer valid: those who read it may, those who wait begin
    /// again.
    Outdated,
    /// Without an answer, or with one that broke off: one who waits leads again.
    Failed,
}

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
}

/// Makes an entry of the whole body. The landing ends when the entry lies where
/// the next request looks.
pub(crate) type Finish = Box<dyn FnOnce(Complete, Option<Landing>) -> Landed + Send>;

/// One fill, and those who wait for it.
pub(crate) struct Flight {
    /// From before the handler started.
    pub(crate) note: Generation,
    /// Goes on without anybody.
    finishes: bool,
    state: Mutex<State>,
    seat: Mutex<Seat>,
    runtime: Option<Handle>,
    span: Span,
}

#[derive(Default)]
struct State {
    opened: Option<Arc<Opened>>,
    recording: Option<Recording>,
    finish: Option<Finish>,
    landed: Option<Landed>,
    /// What a fill in a task panicked with: its leader's to see.
    panic: Option<Box<dyn Any + Send>>,
    wakers: HashMap<u64, Waker>,
    next_reader: u64,
    followers: usize,
    /// The leader's future and its body, as far as they are there.
    led: usize,
    /// Its entry is being made: what is dropped now does not end it.
    completing: bool,
}

/// Where the fill is.
enum Seat {
    /// Not begun, or over.
    Empty,
    Here(BoxFuture<'static, ()>),
    /// Its leader polls it just now; afterwards it moves to a task, if so wanted.
    Out {
        moves: bool,
    },
    Task(AbortHandle),
}

/// A place in a recording.
#[derive(Debug)]
pub(crate) struct Reader {
    id: u64,
    at: usize,
}

/// What a reader finds.
pub(crate) enum Read {
    Data(Bytes),
    End,
    /// It will not be complete.
    Broken,
}

impl Flight {
    pub(crate) fn new(note: Generation, finishes: bool) -> Arc<Self> {
        Arc::new(Self {
            note,
            finishes,
            state: Mutex::default(),
            seat: Mutex::new(Seat::Empty),
            runtime: Handle::try_current().ok(),
            span: Span::current(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seat(&self) -> MutexGuard<'_, Seat> {
        self.seat.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and wakes all who watch it.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let changed = change(&mut state);
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        wakers.into_values().for_each(Waker::wake);
        changed
    }

    pub(crate) fn reader(&self) -> Reader {
        let mut state = self.state();
        state.next_reader += 1;
        Reader {
            id: state.next_reader,
            at: 0,
        }
    }

    pub(crate) fn forget(&self, reader: &Reader) {
        self.state().wakers.remove(&reader.id);
    }

    /// Puts the fill in its seat.
    pub(crate) fn board(&self, fill: BoxFuture<'static, ()>) {
        *self.seat() = Seat::Here(fill);
    }

    /// The head has come.
    fn open(&self, opened: Opened, recording: Recording, finish: Finish) {
        self.change(|state| {
            state.opened = Some(Arc::new(opened));
            state.recording = Some(recording);
            state.finish = Some(finish);
        });
    }

    fn push(&self, data: Bytes) -> Result<(), Bytes> {
        self.change(|state| match &mut state.recording {
            Some(recording) => recording.push(data),
            None => Err(data),
        })
    }

    /// The next of the recording, or a promise to wake.
    pub(crate) fn poll_read(&self, reader: &mut Reader, cx: &mut Context<'_>) -> Poll<Read> {
        let mut state = self.state();
        let chunk = state.recording.as_ref();
        if let Some(data) = chunk.and_then(|recording| recording.chunk(reader.at)) {
            reader.at += 1;
            return Poll::Ready(Read::Data(data.clone()));
        }
        match &state.landed {
            Some(Landed::Stored(_) | Landed::Outdated) => Poll::Ready(Read::End),
            Some(_) => Poll::Ready(Read::Broken),
            None => {
                state.wakers.insert(reader.id, cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Whether there is nothing more to read.
    pub(crate) fn is_read(&self, reader: &Reader) -> bool {
        let state = self.state();
        let chunk = state.recording.as_ref();
        chunk
            .and_then(|recording| recording.chunk(reader.at))
            .is_none()
            && matches!(state.landed, Some(Landed::Stored(_) | Landed::Outdated))
    }

    pub(crate) fn declared(&self) -> Option<u64> {
        self.state().recording.as_ref()?.declared()
    }

    /// What is known, or a promise to wake when that changes.
    pub(crate) fn poll_known(
        &self,
        reader: &Reader,
        cx: &mut Context<'_>,
        enough: impl FnOnce(Option<&Arc<Opened>>, Option<&Landed>) -> bool,
    ) -> Poll<(Option<Arc<Opened>>, Option<Landed>)> {
        let mut state = self.state();
        if enough(state.opened.as_ref(), state.landed.as_ref()) {
            return Poll::Ready((state.opened.clone(), state.landed.clone()));
        }
        state.wakers.insert(reader.id, cx.waker().clone());
        Poll::Pending
    }

    /// Watches for a panic of the fill in its task.
    pub(crate) fn poll_panic(
        &self,
        reader: &Reader,
        cx: &mut Context<'_>,
    ) -> Option<Box<dyn Any + Send>> {
        let mut state = self.state();
        state.wakers.insert(reader.id, cx.waker().clone());
        state.panic.take()
    }

    /// Polls the fill, if it is in its seat.
    pub(crate) fn poll_fill(self: &Arc<Self>, cx: &mut Context<'_>) {
        let taken = match std::mem::replace(&mut *self.seat(), Seat::Out { moves: false }) {
            Seat::Here(fill) => Ok(fill),
            other => Err(other),
        };
        let mut fill = match taken {
            Ok(fill) => fill,
            Err(other) => {
                *self.seat() = other;
                return;
            }
        };
        // a panic drops the fill, and its landing with it
        let ended = fill.poll_unpin(cx).is_ready();
        let mut seat = self.seat();
        let moves = matches!(*seat, Seat::Out { moves: true });
        *seat = match (ended, moves) {
            (true, _) => Seat::Empty,
            (false, false) => Seat::Here(fill),
            (false, true) => self.into_task(fill),
        };
    }

    /// Moves the fill to a task of its own.
    fn detach(self: &Arc<Self>) {
        let mut seat = self.seat();
        *seat = match std::mem::replace(&mut *seat, Seat::Empty) {
            Seat::Here(fill) => self.into_task(fill),
            Seat::Out { .. } => Seat::Out { moves: true },
            other => other,
        };
    }

    fn into_task(self: &Arc<Self>, fill: BoxFuture<'static, ()>) -> Seat {
        let Some(runtime) = &self.runtime else {
            return Seat::Here(fill); // its leader goes on polling it
        };
        let flight = Arc::clone(self);
        let fill = std::panic::AssertUnwindSafe(fill.instrument(self.span.clone()));
        let task = runtime.spawn(async move {
            if let Err(panic) = fill.catch_unwind().await {
                flight.change(|state| state.panic = Some(panic));
            }
        });
        Seat::Task(task.abort_handle())
    }

    /// The leader's client has gone, or one who followed.
    fn left(self: &Arc<Self>, leave: impl FnOnce(&mut State)) {
        let mut state = self.state();
        leave(&mut state);
        let (led, followed) = (state.led > 0, state.followers > 0);
        drop(state);
        match (led, followed || self.finishes) {
            (true, _) => {}
            (false, true) => self.detach(),
            (false, false) => self.cancel(),
        }
    }

    fn cancel(&self) {
        let seat = std::mem::replace(&mut *self.seat(), Seat::Empty);
        if let Seat::Task(task) = &seat {
            task.abort();
        }
        drop(seat); // outside the lock: the landing is dropped with the fill
    }

    /// Waits for the answer, and polls the fill meanwhile.
    pub(crate) async fn lead<T>(self: &Arc<Self>, mut answer: impl FnMut() -> Option<T>) -> T {
        let led = Led::new(self);
        std::future::poll_fn(|cx| {
            if let Some(answer) = answer() {
                return Poll::Ready(answer);
            }
            if let Some(panic) = self.poll_panic(&led.reader, cx) {
                std::panic::resume_unwind(panic); // the handler's, as without a cache
            }
            self.poll_fill(cx);
            answer().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// How it has ended, if it has.
    pub(crate) fn landed(&self) -> Option<Landed> {
        self.state().landed.clone()
    }
}

/// The leader's request, while it waits for the head.
struct Led {
    flight: Arc<Flight>,
    reader: Reader,
}

impl Led {
    fn new(flight: &Arc<Flight>) -> Self {
        flight.state().led += 1;
        Self {
            reader: flight.reader(),
            flight: Arc::clone(flight),
        }
    }
}

impl Drop for Led {
    fn drop(&mut self) {
        self.flight.forget(&self.reader);
        self.flight.left(|state| state.led -= 1);
    }
}

impl std::fmt::Debug for Flight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flight")
            .field("note", &self.note)
            .finish_non_exhaustive()
    }
}
