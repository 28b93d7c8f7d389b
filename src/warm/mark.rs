//! The mark of a request that warms, and what its layer tells the run.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Extensions;
use tokio::time::{Instant, timeout_at};

use super::report::Warmed;
use super::turns::{Cancelled, Turns};

/// Asks a layer to fill what is not fresh, behind everybody's back.
#[derive(Clone)]
pub(crate) struct Warms(Arc<Request>);

struct Request {
    turns: Arc<Turns>,
    /// What is fresh for longer is left as it is, in milliseconds.
    enough: u64,
    /// A layer further out has waited for the turn.
    taken: AtomicBool,
    /// When it had it; none while it waits. One that never waits has it from the start.
    turn: Mutex<Option<Instant>>,
}

impl Warms {
    pub(super) fn new(turns: Arc<Turns>, enough: u64) -> Self {
        Self(Arc::new(Request {
            turns,
            enough,
            taken: AtomicBool::new(false),
            turn: Mutex::new(Some(Instant::now())),
        }))
    }

    /// Whether what is fresh for so much longer, in milliseconds, is left as it is.
    pub(crate) fn is_enough(&self, left: u64) -> bool {
        left > self.0.enough
    }

    /// Waits for the request's turn to fill. Tells whether that took any time.
    pub(crate) async fn turn(&self) -> Result<bool, Cancelled> {
        if self.0.taken.swap(true, Ordering::Relaxed) {
            return Ok(false);
        }
        *self.had() = None;
        let turn = self.0.turns.next().await;
        *self.had() = Some(Instant::now());
        turn
    }

    fn had(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does the request's work for so long at most, counted from its turn.
    pub(super) async fn within<F: Future>(&self, longest: Duration, work: F) -> Option<F::Output> {
        let mut work = pin!(work);
        loop {
            let turn = *self.had();
            let began = turn.unwrap_or_else(Instant::now);
            let Some(end) = began.checked_add(longest) else {
                return Some(work.await); // later than there is time
            };
            match timeout_at(end, work.as_mut()).await {
                Ok(done) => return Some(done),
                // it waits for its turn, or has had it since
                Err(_) if turn.is_none() || *self.had() != turn => {}
                Err(_) => return None,
            }
        }
    }
}

/// The mark of a request, where it warms.
pub(crate) fn of(request: &Extensions) -> Option<&Warms> {
    request.get()
}

/// What a layer has to tell of a request that warmed, in its response.
#[derive(Debug, Clone)]
pub(crate) enum Told {
    Done(Warmed),
    /// The run was cancelled before its turn.
    Cancelled,
}

impl Told {
    pub(crate) fn failed(why: impl std::fmt::Display) -> Self {
        Self::Done(Warmed::Failed(why.to_string()))
    }
}
