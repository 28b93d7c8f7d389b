//! Flights: one fill for each key, however many ask.
//!
//! The request that begins a fill *leads*: it polls the fill itself, so that a
//! miss that nobody shares costs no task. As soon as somebody follows, or the
//! leader goes away while others wait, the fill moves to a task, so that a
//! stalled client stalls nobody. What the fill makes is recorded as it comes,
//! and all who share it read the recording at their own pace.
//!
//! A fill *lands* once, in one of six ways ([`Landed`]). Whatever happens to it
//! (a panic, a runtime that ends, a leader that goes away), its [`Landing`] is
//! dropped with it and lands it as failed: no flight is left behind.

mod body;
mod fly;
mod follower;
mod marks;
#[cfg(all(test, larder_shuttle))]
mod model;
#[cfg(all(test, larder_shuttle))]
mod model_sync;
mod seat;
mod stalled;
mod sync;
mod table;

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tracing::Span;

use crate::entry::{Complete, Held, Place, Recording};
use crate::generation::Generation;
use crate::outcome::Refusal;

pub(crate) use body::{Following, Leading};
pub(crate) use fly::{Drive, Handoff, Opened, drive};
pub(crate) use follower::Follower;
pub(crate) use marks::Marks;
pub(crate) use seat::Led;
use seat::Seat;
use sync::{Handle, Mutex, MutexGuard};
pub(crate) use table::{ALONE, Crowded, Entered, Flights, Landing, Leads};

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
    /// The same by an error of the service: it is out of reach.
    Unreached,
    /// Without an answer in time: nobody asks the handler at once again.
    TimedOut,
}

/// Makes an entry of the whole body, or takes note of why there is none though its head
/// was one to store. The landing ends when the entry lies where the next request looks.
pub(crate) type Finish =
    Box<dyn FnOnce(Result<Complete, Refusal>, Option<Landing>) -> Landed + Send>;

/// One fill, and those who wait for it.
pub(crate) struct Flight {
    /// From before the handler started.
    pub(crate) note: Generation,
    /// When that was, in milliseconds.
    pub(crate) began: u64,
    state: Mutex<State>,
    seat: Mutex<Seat>,
    runtime: Option<Handle>,
    span: Span,
}

#[derive(Default)]
struct State {
    opened: Option<Arc<Opened>>,
    recording: Option<Recording>,
    /// When it last grew, or began, in milliseconds.
    grown: u64,
    finish: Option<Finish>,
    landed: Option<Landed>,
    /// What a fill in a task panicked with: its leader's to see.
    panic: Option<Box<dyn Any + Send>>,
    /// Of those who wait for the head, or for the end.
    watchers: BTreeMap<u64, Waker>,
    /// Of those who wait for more of the recording, or for its end.
    readers: BTreeMap<u64, Waker>,
    next_reader: u64,
    followers: usize,
    /// The leader's future and its body, as far as they are there.
    led: usize,
    /// How far the leader's client has read.
    led_to: Place,
    /// Its recording was given up: nobody may follow.
    shed: bool,
    /// Its entry is being made: what is dropped now does not end it.
    completing: bool,
    /// Goes on without anybody.
    finishes: bool,
    /// Who answers the leader's request: this fill, or something stale before it.
    answers: Answers,
}

/// What a leader's request is answered by.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Answers {
    #[default]
    Open,
    /// The fill: what it says counts as the request's outcome.
    Fill,
    /// Something stale, for the fill took too long.
    Stale,
}

/// One who reads a recording.
#[derive(Debug)]
pub(crate) struct Reader {
    id: u64,
    place: Place,
    /// It is the leader's body.
    leads: bool,
}

/// What a reader finds.
pub(crate) enum Read {
    Data(Bytes),
    End,
    /// It will not be complete.
    Broken,
}

impl Flight {
    fn new(note: Generation, began: u64, finishes: bool) -> Arc<Self> {
        let state = State {
            finishes,
            ..State::default()
        };
        Arc::new(Self {
            note,
            began,
            state: Mutex::new(state),
            seat: Mutex::new(Seat::Empty),
            runtime: Handle::try_current().ok(),
            span: Span::current(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and wakes all who watch it.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let changed = change(&mut state);
        let watchers = std::mem::take(&mut state.watchers);
        let readers = std::mem::take(&mut state.readers);
        drop(state);
        let wakers = watchers.into_values().chain(readers.into_values());
        wakers.for_each(Waker::wake);
        changed
    }

    fn reader(&self) -> Reader {
        let mut state = self.state();
        state.next_reader += 1;
        Reader {
            id: state.next_reader,
            place: Place::default(),
            leads: false,
        }
    }

    /// Wakes nobody for this reader any more.
    fn forget(&self, reader: &Reader) {
        let mut state = self.state();
        let watcher = state.watchers.remove(&reader.id);
        let reader = state.readers.remove(&reader.id);
        drop(state); // a waker's drop may run anything
        drop((watcher, reader));
    }

    /// Wakes a reader at the next change.
    fn watch(&self, reader: &Reader, cx: &Context<'_>) {
        wait(self.state(), |state| &mut state.watchers, reader, cx);
    }

    /// The head has come.
    fn open(&self, opened: Opened, recording: Recording, finish: Finish, now: u64) {
        self.change(|state| {
            state.opened = Some(Arc::new(opened));
            state.recording = Some(recording);
            state.grown = now;
            state.finish = Some(finish);
        });
    }

    /// Whether so many more bytes are over the recording's limit.
    fn is_over(&self, more: usize) -> bool {
        let state = self.state();
        state
            .recording
            .as_ref()
            .is_none_or(|recording| recording.is_over(more))
    }

    /// Records what has come, and wakes those who read it.
    fn push(&self, data: Bytes, now: u64) -> Result<(), Bytes> {
        let mut state = self.state();
        state.grown = now;
        let pushed = match &mut state.recording {
            Some(recording) => recording.push(data),
            None => Err(data),
        };
        let readers = std::mem::take(&mut state.readers);
        drop(state);
        readers.into_values().for_each(Waker::wake);
        pushed
    }

    /// The next of the recording, or a promise to wake.
    fn poll_read(&self, reader: &mut Reader, cx: &mut Context<'_>) -> Poll<Read> {
        let mut state = self.state();
        let recording = state.recording.as_ref();
        if let Some(data) = recording.and_then(|recording| recording.next(&mut reader.place)) {
            if reader.leads {
                state.led_to.clone_from(&reader.place);
            }
            return Poll::Ready(Read::Data(data));
        }
        match &state.landed {
            Some(Landed::Stored(_) | Landed::Outdated) => Poll::Ready(Read::End),
            Some(_) => Poll::Ready(Read::Broken),
            None => {
                wait(state, |state| &mut state.readers, reader, cx);
                Poll::Pending
            }
        }
    }

    /// Whether there is nothing more to read.
    fn is_read(&self, reader: &Reader) -> bool {
        let state = self.state();
        let recording = state.recording.as_ref();
        recording.is_none_or(|recording| recording.is_read(&reader.place))
            && matches!(state.landed, Some(Landed::Stored(_) | Landed::Outdated))
    }

    /// Whether all that it declared has come, and something behind it that is not for
    /// all: trailers, say.
    fn has_declared(&self) -> bool {
        let state = self.state();
        let recording = state.recording.as_ref();
        matches!(state.landed, Some(Landed::Alone))
            && recording.is_some_and(Recording::has_declared)
    }

    /// The fill has what the leader's request is answered by. `false` if that has
    /// its answer already.
    pub(crate) fn answers(&self) -> bool {
        let mut state = self.state();
        if state.answers == Answers::Open {
            state.answers = Answers::Fill;
        }
        state.answers == Answers::Fill
    }

    /// The leader's request is answered by something stale: the fill goes on
    /// without it. `false` if the fill has an answer already.
    pub(crate) fn leave_behind(&self) -> bool {
        let mut state = self.state();
        if state.answers == Answers::Open {
            state.answers = Answers::Stale;
            state.finishes = true;
        }
        state.answers == Answers::Stale
    }

    /// The leader's request has another answer, whatever the fill comes to.
    pub(crate) fn overtaken(&self) {
        self.state().answers = Answers::Stale;
    }

    /// The fill goes on without anybody.
    pub(crate) fn go_on(&self) {
        self.state().finishes = true;
    }

    /// The fill ends when nobody wants it any more.
    pub(crate) fn give_up(&self) {
        self.state().finishes = false;
    }

    /// Ends when the fill has landed.
    pub(crate) async fn over(self: Arc<Self>) {
        let reader = self.reader();
        let landed =
            |cx: &mut Context<'_>| self.poll_known(&reader, cx, |_, landed| landed.is_some());
        std::future::poll_fn(landed).await;
        self.forget(&reader);
    }

    pub(crate) fn declared(&self) -> Option<u64> {
        self.state().recording.as_ref()?.declared()
    }

    /// What is known, or a promise to wake when that changes.
    fn poll_known(
        &self,
        reader: &Reader,
        cx: &mut Context<'_>,
        enough: impl FnOnce(Option<&Arc<Opened>>, Option<&Landed>) -> bool,
    ) -> Poll<(Option<Arc<Opened>>, Option<Landed>)> {
        let state = self.state();
        if enough(state.opened.as_ref(), state.landed.as_ref()) {
            return Poll::Ready((state.opened.clone(), state.landed.clone()));
        }
        wait(state, |state| &mut state.watchers, reader, cx);
        Poll::Pending
    }

    /// Since when it has had nothing new for those who come, in milliseconds: one
    /// whose answer is sent as it comes has something new with each part of it.
    pub(crate) fn silent_since(&self) -> u64 {
        let state = self.state();
        let streams = state.opened.as_ref().is_some_and(|opened| opened.streams);
        match streams {
            true => state.grown,
            false => self.began,
        }
    }

    /// What is known of its answer since its head has come.
    pub(crate) fn opened(&self) -> Option<Arc<Opened>> {
        self.state().opened.clone()
    }

    /// How it has ended, if it has.
    pub(crate) fn landed(&self) -> Option<Landed> {
        self.state().landed.clone()
    }
}

/// Leaves a waker behind. What it replaces is dropped when the lock is free: that
/// may run anything.
fn wait(
    mut state: MutexGuard<'_, State>,
    wakers: impl FnOnce(&mut State) -> &mut BTreeMap<u64, Waker>,
    reader: &Reader,
    cx: &Context<'_>,
) {
    let wakers = wakers(&mut state);
    let known = wakers.get(&reader.id);
    let replaced = match known.is_some_and(|waker| waker.will_wake(cx.waker())) {
        true => None,
        false => wakers.insert(reader.id, cx.waker().clone()),
    };
    drop(state);
    drop(replaced);
}

impl std::fmt::Debug for Flight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flight")
            .field("note", &self.note)
            .finish_non_exhaustive()
    }
}
