//! The mark of a request that warms, and what its layer tells the run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::Extensions;

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
    /// It waits for it now.
    waits: AtomicBool,
}

impl Warms {
    pub(super) fn new(turns: Arc<Turns>, enough: u64) -> Self {
        Self(Arc::new(Request {
            turns,
            enough,
            taken: AtomicBool::new(false),
            waits: AtomicBool::new(false),
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
        self.0.waits.store(true, Ordering::Relaxed);
        let turn = self.0.turns.next().await;
        self.0.waits.store(false, Ordering::Relaxed);
        turn
    }

    /// Whether the request waits for its turn.
    pub(super) fn waits(&self) -> bool {
        self.0.waits.load(Ordering::Relaxed)
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
