//! Where a fill runs: in its seat, polled by its leader, or in a task.
//!
//! The seat's lock is held to look and to move, never while a fill is polled,
//! spawned or dropped: each of these may run anything.

use std::any::Any;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tracing::Instrument;

use super::sync::{AbortHandle, MutexGuard};
use super::{Flight, Reader, State};
use crate::generation::Generation;

type Fill = BoxFuture<'static, ()>;

/// Where the fill is.
pub(super) enum Seat {
    /// Not begun, or over.
    Empty,
    Here(Fill),
    /// Its leader polls it just now; afterwards it moves to a task, if so wanted.
    Out {
        moves: bool,
    },
    /// On its way to a task.
    Moving,
    Task(AbortHandle),
}

impl Flight {
    fn seat(&self) -> MutexGuard<'_, Seat> {
        self.seat.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the fill in its seat; those who have followed so early move it on.
    pub(crate) fn board(self: &Arc<Self>, fill: Fill) {
        *self.seat() = Seat::Here(fill);
        if self.state().followers > 0 {
            self.detach();
        }
    }

    /// Polls the fill, if it is in its seat.
    pub(super) fn poll_fill(self: &Arc<Self>, cx: &mut Context<'_>) {
        let mut seat = self.seat();
        if !matches!(*seat, Seat::Here(_)) {
            return;
        }
        let taken = std::mem::replace(&mut *seat, Seat::Out { moves: false });
        drop(seat);
        let Seat::Here(mut fill) = taken else { return };
        // a panic drops the fill, and its landing with it
        let mut over = Over(Some(Arc::clone(self)));
        if fill.poll_unpin(cx).is_ready() {
            return;
        }
        over.0 = None;
        let mut seat = self.seat();
        if matches!(*seat, Seat::Out { moves: true }) {
            *seat = Seat::Moving;
            drop(seat);
            self.into_task(fill);
        } else {
            *seat = Seat::Here(fill);
        }
    }

    /// Moves the fill to a task of its own.
    pub(super) fn detach(self: &Arc<Self>) {
        let taken = match &mut *self.seat() {
            seat @ Seat::Here(_) => std::mem::replace(seat, Seat::Moving),
            Seat::Out { moves } => {
                *moves = true;
                return;
            }
            Seat::Empty | Seat::Moving | Seat::Task(_) => return,
        };
        if let Seat::Here(fill) = taken {
            self.into_task(fill);
        }
    }

    fn into_task(self: &Arc<Self>, fill: Fill) {
        let over = Over(Some(Arc::clone(self)));
        let Some(runtime) = &self.runtime else {
            return; // nobody could go on with it
        };
        let fill = AssertUnwindSafe(fill.instrument(self.span.clone()));
        let task = runtime.spawn(async move {
            let ended = fill.catch_unwind().await;
            over.panicked(ended.err());
        });
        let mut seat = self.seat();
        if matches!(*seat, Seat::Moving) {
            *seat = Seat::Task(task.abort_handle());
        } else {
            drop(seat);
            task.abort(); // it was cancelled meanwhile, or has ended
        }
    }

    /// The leader's client has gone, or one who followed.
    pub(super) fn left(self: &Arc<Self>, leave: impl FnOnce(&mut State)) {
        let mut state = self.state();
        leave(&mut state);
        let (led, wanted) = (state.led > 0, state.followers > 0 || state.finishes);
        drop(state);
        match (led, wanted) {
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

    /// Whether the fill is over, and what it panicked with in its task.
    pub(super) fn ended(&self) -> Option<Option<Box<dyn Any + Send>>> {
        let over = matches!(*self.seat(), Seat::Empty);
        over.then(|| self.state().panic.take())
    }
}

/// Empties the seat when the fill is over, whatever ended it.
struct Over(Option<Arc<Flight>>);

impl Over {
    /// The panic is its leader's to see.
    fn panicked(&self, panic: Option<Box<dyn Any + Send>>) {
        if let Some(flight) = &self.0 {
            flight.state().panic = panic;
        }
    }
}

impl Drop for Over {
    fn drop(&mut self) {
        if let Some(flight) = &self.0 {
            let seat = std::mem::replace(&mut *flight.seat(), Seat::Empty);
            drop(seat);
            flight.change(|_| ());
        }
    }
}

/// The leader's request, from before anybody can find its flight until it has
/// the head.
pub(crate) struct Led {
    flight: Arc<Flight>,
    reader: Reader,
}

impl Led {
    /// A flight, and the request that leads it.
    pub(crate) fn new(note: Generation, began: u64, finishes: bool) -> Self {
        let flight = Flight::new(note, began, finishes);
        flight.state().led += 1;
        let reader = flight.reader();
        Self { flight, reader }
    }

    pub(crate) fn flight(&self) -> &Arc<Flight> {
        &self.flight
    }

    /// Waits for the answer, and polls the fill meanwhile.
    pub(crate) async fn lead<T>(&self, mut answer: impl FnMut() -> Option<T>) -> T {
        let flight = &self.flight;
        std::future::poll_fn(|cx| {
            if let Some(answer) = answer() {
                return Poll::Ready(answer);
            }
            flight.watch(&self.reader, cx);
            flight.poll_fill(cx);
            let ended = flight.ended(); // before the last look: it gives, then it ends
            match (answer(), ended) {
                (Some(answer), _) => Poll::Ready(answer),
                (None, None) => Poll::Pending,
                (None, Some(panic)) => match panic {
                    Some(panic) => resume_unwind(panic), // the handler's, as without a cache
                    None => panic!("the runtime of this request's handler has shut down"),
                },
            }
        })
        .await
    }
}

impl Drop for Led {
    fn drop(&mut self) {
        self.flight.forget(&self.reader);
        self.flight.left(|state| state.led -= 1);
    }
}
