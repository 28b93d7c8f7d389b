//! Layers of one cache inside each other: the inner one decides, and the outer
//! one lets its answer through as it is.
//!
//! A layer that forwards a request leaves its cache's mark in the request. One
//! that finds its own mark leaves it in the response.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use http::{Extensions, Request, Response};
use smallvec::SmallVec;

use crate::cache::{Engine, Leased};
use crate::flight::Flight;
use crate::key::Key;
use crate::outcome::{Bypass, Outcome};
use crate::stats::Ticket;

/// Caches whose layers a request is inside of, and what it is counted by there.
#[derive(Clone)]
struct Enclosing(SmallVec<[(usize, Arc<Ticket>); 2]>);

impl Enclosing {
    fn ticket(&self, engine: &Engine) -> Option<&Arc<Ticket>> {
        let mut known = self.0.iter();
        let of = |(cache, _): &&(usize, _)| *cache == id(engine);
        known.find(of).map(|(_, ticket)| ticket)
    }
}

/// The cache whose inner layer has answered.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Decided(usize);

/// The fills that a request is part of: it must not wait for one of them.
#[derive(Clone)]
struct Filling(SmallVec<[Weak<Flight>; 2]>);

/// The caches that renew by a request behind somebody's back: nobody waits for its answer.
#[derive(Clone)]
struct Behind(SmallVec<[usize; 1]>);

/// The right to fill that a layer further out has, for one further in that asks for the
/// same: it would wait for its own request. Beside it, whose it is.
#[derive(Clone)]
pub(crate) struct Lent(usize, Arc<Mutex<Option<Leased>>>);

impl Lent {
    pub(crate) fn take(&self) -> Option<Leased> {
        let mut lease = self.1.lock().unwrap_or_else(PoisonError::into_inner);
        lease.take()
    }

    fn is_elsewhere(&self, engine: &Engine, key: &Key) -> bool {
        let lease = self.1.lock().unwrap_or_else(PoisonError::into_inner);
        self.0 != id(engine)
            && lease
                .as_ref()
                .is_some_and(|lease| lease.lease().key == *key)
    }

    fn take_of(&self, engine: &Engine, key: &Key) -> Option<Leased> {
        if self.0 != id(engine) {
            return None;
        }
        let mut lease = self.1.lock().unwrap_or_else(PoisonError::into_inner);
        lease.take_if(|lease| lease.lease().key == *key)
    }
}

/// What a request was lent, by the layers that it is inside of.
#[derive(Clone)]
struct Rights(SmallVec<[Lent; 1]>);

/// The fills of layers further out.
pub(crate) struct Outer(SmallVec<[Weak<Flight>; 2]>);

impl Outer {
    /// Whether their requests still wait for an answer of theirs.
    pub(crate) fn answers(&self) -> bool {
        let mut flights = self.0.iter();
        flights.all(|flight| flight.upgrade().is_some_and(|flight| flight.answers()))
    }
}

/// Tells caches apart while both live.
fn id(engine: &Engine) -> usize {
    std::ptr::from_ref(engine).addr()
}

pub(crate) fn enclose<R>(request: &mut Request<R>, engine: &Engine, ticket: &Arc<Ticket>) {
    let mark = (id(engine), Arc::clone(ticket));
    match request.extensions_mut().get_mut::<Enclosing>() {
        Some(known) if known.ticket(engine).is_some() => {}
        Some(known) => known.0.push(mark),
        None => {
            let marks = [mark].into_iter().collect();
            request.extensions_mut().insert(Enclosing(marks));
        }
    }
}

/// What a request is counted by: a layer further out has it already.
pub(crate) fn ticket(request: &Extensions, engine: &Engine) -> Option<Arc<Ticket>> {
    let known = request.get::<Enclosing>();
    known.and_then(|known| known.ticket(engine)).cloned()
}

/// Makes a request part of a fill.
pub(crate) fn fill(request: &mut Extensions, flight: &Arc<Flight>) {
    let flight = Arc::downgrade(flight);
    match request.get_mut::<Filling>() {
        Some(known) => known.0.push(flight),
        None => {
            request.insert(Filling([flight].into_iter().collect()));
        }
    }
}

/// Lends a right to fill to layers further in.
pub(crate) fn lend(request: &mut Extensions, engine: &Engine, lease: Leased) -> Lent {
    let lent = Lent(id(engine), Arc::new(Mutex::new(Some(lease))));
    let ours = lent.clone();
    match request.get_mut::<Rights>() {
        Some(known) => known.0.push(ours),
        None => {
            request.insert(Rights([ours].into_iter().collect()));
        }
    }
    lent
}

/// What a layer further out has of the right to fill a key.
pub(crate) enum Loan {
    Nothing,
    Right(Leased),
    /// Another cache has it: where both have one store, who waited for it would wait for
    /// his own request.
    Elsewhere,
}

/// The right to fill a key, where a layer of the same cache further out has it.
pub(crate) fn lent(request: &Extensions, engine: &Engine, key: impl FnOnce() -> Key) -> Loan {
    let Some(Rights(all)) = request.get::<Rights>() else {
        return Loan::Nothing;
    };
    let key = key();
    match all.iter().find_map(|lent| lent.take_of(engine, &key)) {
        Some(lease) => Loan::Right(lease),
        None if all.iter().any(|lent| lent.is_elsewhere(engine, &key)) => Loan::Elsewhere,
        None => Loan::Nothing,
    }
}

/// The fills that a request is part of.
pub(crate) fn enclosing(request: &Extensions) -> Outer {
    let known = request.get::<Filling>();
    Outer(known.map(|known| known.0.clone()).unwrap_or_default())
}

/// Whether a request is part of any fill.
pub(crate) fn is_within(request: &Extensions) -> bool {
    request.get::<Filling>().is_some()
}

/// Whether a request is part of this fill: a layer further out waits for it.
pub(crate) fn is_filling(request: &Extensions, flight: &Flight) -> bool {
    let known = request.get::<Filling>();
    known.is_some_and(|known| {
        let mut flights = known.0.iter();
        flights.any(|known| std::ptr::eq(known.as_ptr(), flight))
    })
}

/// Nobody waits for this request's answer.
pub(crate) fn behind(request: &mut Extensions, engine: &Engine) {
    let mut known = request
        .remove::<Behind>()
        .map_or_else(SmallVec::new, |b| b.0);
    known.push(id(engine));
    request.insert(Behind(known));
}

/// Whether a layer of the same cache further out renews by this request.
pub(crate) fn is_behind(request: &Extensions, engine: &Engine) -> bool {
    let known = request.get::<Behind>();
    known.is_some_and(|known| known.0.contains(&id(engine)))
}

/// Whether a layer of the same cache is further out.
#[inline]
pub(crate) fn is_inner(request: &Extensions, engine: &Engine) -> bool {
    !request.is_empty() && has_ticket(request, engine)
}

#[inline(never)]
fn has_ticket(request: &Extensions, engine: &Engine) -> bool {
    let known = request.get::<Enclosing>();
    known.is_some_and(|known| known.ticket(engine).is_some())
}

/// Tells layers further out that this response is decided.
#[inline]
pub(crate) fn mark<B>(response: &mut Response<B>, nested: bool, engine: &Engine) {
    if nested {
        response.extensions_mut().insert(Decided(id(engine)));
    }
}

/// Whether a layer further in has decided.
pub(crate) fn decided<B>(response: &Response<B>, engine: &Engine) -> bool {
    response.extensions().get::<Decided>() == Some(&Decided(id(engine)))
}

/// Whether a layer further in has taken the request for a question: its answer is none
/// to a write, whatever the method.
pub(crate) fn is_asked<B>(response: &Response<B>, engine: &Engine) -> bool {
    let asked = |outcome: &Outcome| match outcome {
        Outcome::Bypass { reason, .. } => !matches!(
            reason,
            Bypass::Method | Bypass::NoPolicy | Bypass::Unmatched
        ),
        _ => true,
    };
    let outcome = response.extensions().get::<Outcome>();
    decided(response, engine) && outcome.is_some_and(asked)
}
