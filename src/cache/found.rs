//! What a look into the tiers has found.

use std::sync::Arc;

use http::HeaderMap;

use crate::entry::Held;
use crate::outcome::{Cause, Tier};
use crate::policy::conditional;
use crate::policy::freshness::{Rules, Use};

/// A fresh entry.
pub(crate) struct Found<E> {
    pub(crate) entry: E,
    /// Milliseconds.
    pub(crate) age: u64,
    /// Milliseconds.
    pub(crate) ttl: u64,
    /// This process' clock of invalidations from before it was looked up.
    #[cfg_attr(
        not(feature = "values"),
        allow(dead_code, reason = "values are kept by it")
    )]
    pub(crate) number: u64,
}

impl<E> Found<E> {
    pub(crate) fn times(&self) -> (u64, u64) {
        (self.age, self.ttl)
    }
}

/// An entry that is not fresh, or not fresh enough for the request.
#[derive(Clone)]
pub(crate) struct Stale {
    pub(crate) held: Arc<Held>,
    /// Where it was found.
    pub(crate) tier: Tier,
    /// Milliseconds.
    pub(crate) age: u64,
    pub(crate) usable: Use,
}

impl Stale {
    /// Whether the handler can be asked if it still holds.
    pub(crate) fn validates(&self) -> bool {
        let entry = &self.held.entry;
        entry.rules.has(Rules::VALIDATES) && entry.status.is_success() // the rule was wider once
    }

    /// Makes a request ask so. `false` where there is nothing to ask by.
    pub(crate) fn ask(&self, request: &mut HeaderMap) -> bool {
        conditional::validate(request, &self.held.entry.fields.to_headers())
    }
}

/// Why nothing fresh was found, and what was.
#[derive(Clone)]
pub(crate) struct Missed {
    pub(crate) cause: Cause,
    /// Few have one: in a box of its own it costs the others nothing.
    pub(crate) stale: Option<Box<Stale>>,
}

impl From<Cause> for Missed {
    fn from(cause: Cause) -> Self {
        let stale = None;
        Self { cause, stale }
    }
}

impl Missed {
    /// An entry that is there and not fresh enough.
    pub(super) fn of(held: Arc<Held>, tier: Tier, age: u64, usable: Use) -> Self {
        let life = held.entry.lifetime;
        let cause = match age < life.fresh {
            true => Cause::Request,
            false => Cause::Expired,
        };
        let stale = (age < life.keep.max(life.fresh)).then(|| {
            Box::new(Stale {
                held,
                tier,
                age,
                usable,
            })
        });
        Self { cause, stale }
    }

    /// What memory holds is fresh, and only to be renewed: it answers as it is.
    pub(crate) fn is_early(&self) -> bool {
        let early = |stale: &Stale| matches!(stale.usable, Use::Early(_));
        self.stale.as_deref().is_some_and(early)
    }

    /// The later look's word, and the younger of two stale entries.
    pub(super) fn or_earlier(self, earlier: Option<Box<Stale>>) -> Self {
        let stale = match (self.stale, earlier) {
            (Some(a), Some(b)) if b.held.entry.created > a.held.entry.created => Some(b),
            (Some(a), _) => Some(a),
            (None, b) => b,
        };
        Self { stale, ..self }
    }
}
