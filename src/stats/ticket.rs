//! Each request is counted once.
//!
//! 1. A request has one ticket in all layers of one cache; the outermost one
//!    writes it, and it goes along with the request (`nested.rs`). It is counted
//!    under the label, and as the user, that the outermost layer with one gives it.
//! 2. The layer that decides what the request gets counts it when its answer
//!    leaves (`counted.rs`); whoever comes second finds the ticket used.
//! 3. Where no answer leaves (the client went away, the handler panicked or
//!    failed), the outermost layer counts it: it ends last, for layers further in
//!    may end for other reasons.
//! 4. A renewal behind a request's back has a ticket that was never good: it is no
//!    request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A request's right to be counted, under a label and as somebody's too.
#[derive(Debug)]
pub(crate) struct Ticket {
    used: AtomicBool,
    labelled: AtomicBool,
    named: AtomicBool,
    pub(crate) began: Duration,
}

impl Ticket {
    pub(crate) fn new(began: Duration) -> Arc<Self> {
        Arc::new(Self {
            used: AtomicBool::new(false),
            labelled: AtomicBool::new(false),
            named: AtomicBool::new(false),
            began,
        })
    }

    /// Of what is no request.
    pub(crate) fn void() -> Arc<Self> {
        let ticket = Self::new(Duration::ZERO);
        for part in [&ticket.used, &ticket.labelled, &ticket.named] {
            part.store(true, Ordering::Relaxed);
        }
        ticket
    }

    /// Whether it was good until now.
    pub(crate) fn take(&self) -> bool {
        !self.used.swap(true, Ordering::AcqRel)
    }

    /// Whether no layer has put it under a label.
    pub(crate) fn take_label(&self) -> bool {
        !self.labelled.swap(true, Ordering::AcqRel)
    }

    /// Whether no layer has counted its user.
    pub(crate) fn take_user(&self) -> bool {
        !self.named.swap(true, Ordering::AcqRel)
    }
}
