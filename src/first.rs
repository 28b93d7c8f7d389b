//! The first look: what the cache says to a request at once, without waiting for
//! anything. A plain hit in memory ends here. One code does for every service, and
//! what is no plain hit lies out of its way.

use std::sync::Arc;
use std::time::Duration;

use http::Extensions;

use crate::arrived::Arrived;
use crate::ask::{Aside, ask};
use crate::cache::{Found, Missed, Unanswered};
use crate::entry::Held;
use crate::hint::rarely;
use crate::key::Writer;
use crate::nested;
use crate::outcome::{Bypass, Tier};
use crate::place::place;
use crate::policy::Compiled;
use crate::policy::request::Asks;
use crate::question::{Asked, Question};
use crate::reply::Hit;
use crate::shared::{Arrival, Shared};
use crate::stats::Ticket;
use crate::warm::{self, Warms};

/// What the cache says to a request at once.
pub(crate) enum First {
    /// A hit in memory; only its extensions are still to be given.
    Hit(Hit, Arc<Held>),
    Found(Box<Unusual>),
    Missed(Missing),
    /// An unsafe request.
    Write(Arc<Compiled>, Option<Box<Question>>),
    /// Its content is to be read first; whether its time is taken.
    Content(Arc<Compiled>, bool),
    Bypass(Bypass),
    /// A run of warming asks.
    Warm(Warms),
    /// A layer further out renews by it.
    Refill(Box<Question>),
    /// The policy only watches, at this rate.
    Observe(Box<Question>, f64),
}

/// A hit in memory that is shaped, told of, checked or measured.
pub(crate) struct Unusual {
    pub(crate) policy: Arc<Compiled>,
    pub(crate) asks: Asks,
    pub(crate) head: bool,
    pub(crate) found: Found<Arc<Held>>,
    pub(crate) began: Option<Duration>,
    /// It is checked with the handler.
    pub(crate) verified: Option<Question>,
}

/// A request that memory could not answer.
pub(crate) struct Missing {
    pub(crate) question: Box<Question>,
    pub(crate) arrival: Arrival,
    pub(crate) missed: Missed,
    /// What it is counted by.
    pub(crate) ticket: Arc<Ticket>,
    pub(crate) sampled: bool,
}

impl Shared {
    /// Looks at a request that has arrived at a layer.
    #[inline(never)]
    pub(crate) fn first(&self, request: &Arrived<'_>) -> First {
        let (engine, extensions) = (&self.engine, request.head.extensions);
        let nested = nested::is_inner(extensions, engine);
        if rarely(nested)
            && let Some(warms) = warm::of(extensions)
        {
            return First::Warm(warms.clone());
        }
        let began = engine.counters.sample(&*engine.clock);
        let mut canonical = Writer::empty();
        let answer = ask(self, request, &mut canonical, false);
        let asked = match &answer {
            Ok(asked) => asked, // where it lies: moving it waits for it to be written
            Err(other) => return aside(other, began.is_some()),
        };
        if rarely(nested) && nested::is_behind(extensions, engine) {
            return First::Refill(boxed(asked, &canonical, None));
        }
        if rarely(!asked.policy.usual)
            && let Some(rate) = asked.policy.watch.observe
        {
            return First::Observe(boxed(asked, &canonical, None), rate);
        }
        match engine.look_memory(asked, &canonical, request.head.headers) {
            Ok(found) => {
                let plain = !nested && began.is_none() && !engine.status.tells_keys();
                if rarely(!plain || !asked.is_plain()) {
                    return self.unusual(asked, &canonical, found, began);
                }
                let (times, head) = (found.times(), asked.head);
                found.entry.counts.hit(found.entry.sends(head));
                First::Hit(Hit::of(engine, times, Tier::Memory, head), found.entry)
            }
            Err(unanswered) => {
                let how = (nested, began.is_some());
                self.missing(asked, &canonical, unanswered, how, request)
            }
        }
    }

    #[cold]
    fn unusual(
        &self,
        asked: &Asked<'_>,
        canonical: &Writer,
        found: Found<Arc<Held>>,
        began: Option<Duration>,
    ) -> First {
        let verified = self.engine.is_verified(asked.policy);
        let (policy, head, asks) = (Arc::clone(asked.policy), asked.head, asked.asks.clone());
        First::Found(Box::new(Unusual {
            policy,
            asks,
            head,
            found,
            began,
            verified: verified.then(|| asked.question(canonical, None)),
        }))
    }

    #[cold]
    fn missing(
        &self,
        asked: &Asked<'_>,
        canonical: &Writer,
        (missed, variant): Unanswered,
        (nested, sampled): (bool, bool),
        request: &Arrived<'_>,
    ) -> First {
        let ticket = ticket(self, nested, request.head.extensions);
        let (place, path) = (place(request.head.extensions), request.head.uri.path());
        let found = self.annotation.find(place, path).ok();
        let pattern = found.and_then(|found| found.pattern);
        let arrival = self.arrived(asked.policy, pattern, &request.head, &ticket);
        First::Missed(Missing {
            question: boxed(asked, canonical, variant),
            arrival,
            missed,
            ticket,
            sampled,
        })
    }
}

#[cold]
fn boxed(asked: &Asked<'_>, canonical: &Writer, variant: Option<Box<Writer>>) -> Box<Question> {
    Box::new(asked.question(canonical, variant))
}

/// What does not ask memory.
#[cold]
fn aside(request: &Aside<'_>, sampled: bool) -> First {
    match request {
        Aside::Write(policy, question) => First::Write(Arc::clone(policy), question.clone()),
        Aside::Content(policy) => First::Content(Arc::clone(policy), sampled),
        Aside::Bypass(reason) => First::Bypass(*reason),
    }
}

/// What a request is counted by: a layer further out may have it.
#[cold]
pub(crate) fn ticket(shared: &Shared, nested: bool, extensions: &Extensions) -> Arc<Ticket> {
    let engine = &shared.engine;
    if nested && nested::is_behind(extensions, engine) {
        return Ticket::void();
    }
    let known = nested::ticket(extensions, engine);
    known.unwrap_or_else(|| Ticket::new(engine.clock.precise()))
}
