//! Layers of one cache inside each other: the inner one decides, and the outer
//! one lets its answer through as it is.
//!
//! A layer that forwards a request leaves its cache's mark in the request. One
//! that finds its own mark leaves it in the response.

use http::{Extensions, Request, Response};
use smallvec::SmallVec;

use crate::cache::Engine;
use crate::flight::Flight;

/// Caches whose layers a request is inside of.
#[derive(Clone)]
struct Enclosing(SmallVec<[usize; 2]>);

/// The cache whose inner layer has answered.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Decided(usize);

/// The fills that a request is part of: it must not wait for one of them.
#[derive(Clone)]
struct Filling(SmallVec<[usize; 2]>);

/// Tells caches apart while both live.
fn id(engine: &Engine) -> usize {
    std::ptr::from_ref(engine).addr()
}

pub(crate) fn enclose<R>(request: &mut Request<R>, engine: &Engine) {
    let id = id(engine);
    match request.extensions_mut().get_mut::<Enclosing>() {
        Some(known) if known.0.contains(&id) => {}
        Some(known) => known.0.push(id),
        None => {
            request
                .extensions_mut()
                .insert(Enclosing(SmallVec::from_slice(&[id])));
        }
    }
}

/// Makes a request part of a fill. It is told by its address: that one ends
/// after the request.
pub(crate) fn fill(request: &mut Extensions, flight: &Flight) {
    let address = std::ptr::from_ref(flight).addr();
    match request.get_mut::<Filling>() {
        Some(known) => known.0.push(address),
        None => {
            request.insert(Filling(SmallVec::from_slice(&[address])));
        }
    }
}

/// Whether a request is part of this fill: a layer further out waits for it.
pub(crate) fn is_filling(request: &Extensions, flight: &Flight) -> bool {
    let address = std::ptr::from_ref(flight).addr();
    let known = request.get::<Filling>();
    known.is_some_and(|known| known.0.contains(&address))
}

/// Whether a layer of the same cache is further out.
#[inline]
pub(crate) fn is_inner(request: &Extensions, engine: &Engine) -> bool {
    !request.is_empty()
        && request
            .get::<Enclosing>()
            .is_some_and(|known| known.0.contains(&id(engine)))
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
