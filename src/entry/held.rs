//! [`Held`]: an entry in the memory tier, with what belongs to this process.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use smallvec::SmallVec;

use super::coding::Coded;
use super::stored::Entry;
use crate::clock::Clock;
use crate::generation::{Aging, Generation, Generations, Standing};
use crate::outcome::Eviction;
use crate::stats::Counts;

/// A canonical request of so many bytes lies in the entry itself.
const HERE: usize = 88;

/// An entry, its birth on this process' monotonic clock, and its number.
#[derive(Debug)]
#[repr(C)] // in this order, see `Entry`
pub(crate) struct Held {
    /// The invalidation clock's value at which it was last found valid.
    number: AtomicU64,
    /// Milliseconds on the monotonic clock at which its age was zero; below
    /// zero for one that is older than the clock.
    born: i64,
    /// Those of its endpoint.
    pub(crate) counts: Arc<Counts>,
    /// The canonical request once more, here where a hit compares it.
    whose: SmallVec<[u8; HERE]>,
    pub(crate) entry: Entry,
    /// Its body in codings that clients may read.
    pub(crate) coded: Box<[Coded]>,
    /// What it stands for, where it is no response: then it has no body here.
    pub(crate) value: Option<Value>,
    /// When its handler began, in microseconds (`Flights::begins`).
    pub(crate) began: i64,
}

/// A typed value.
#[derive(Debug, Clone)]
pub(crate) struct Value {
    #[cfg_attr(not(feature = "values"), allow(dead_code, reason = "values read it"))]
    pub(crate) it: Arc<dyn Any + Send + Sync>,
    /// An estimate of its bytes.
    pub(crate) weight: u64,
    /// The end of its life in this process, in milliseconds from its creation.
    pub(crate) until: u64,
    /// Whether the memory tier keeps it.
    pub(crate) kept: bool,
    /// It was given here, and not loaded or read.
    pub(crate) given: bool,
}

impl Held {
    /// Holds an entry that is `age` milliseconds old at `now`. It began before that,
    /// by the time that its handler took, as far as it is known.
    pub(crate) fn new(entry: Entry, age: u64, now: u64, number: u64, counts: Arc<Counts>) -> Self {
        let born = signed(now).saturating_sub(signed(age));
        let began = born.saturating_sub(i64::from(entry.took));
        Self {
            whose: SmallVec::from_slice(&entry.canonical),
            entry,
            counts,
            coded: Box::default(),
            value: None,
            born,
            began: began.saturating_mul(1_000),
            number: AtomicU64::new(number),
        }
    }

    /// One that was filled here.
    pub(crate) fn since(mut self, began: i64) -> Self {
        self.began = began;
        self
    }

    /// Whether it was given here, and is fresh.
    pub(crate) fn is_given(&self, now: u64) -> bool {
        let given = self.value.as_ref().is_some_and(|value| value.given);
        given && self.age(now) < self.entry.lifetime.fresh
    }

    /// The same entry with coded variants beside it.
    pub(crate) fn with(&self, coded: Box<[Coded]>) -> Self {
        Self {
            whose: self.whose.clone(),
            entry: self.entry.clone(),
            coded,
            counts: Arc::clone(&self.counts),
            value: self.value.clone(),
            born: self.born,
            began: self.began,
            number: AtomicU64::new(self.number()),
        }
    }

    /// A hit that is looked at more closely has been answered from it.
    #[cold]
    pub(crate) fn took(&self, clock: &dyn Clock, began: Duration) {
        self.counts.hit_took(clock.precise().saturating_sub(began));
    }

    /// It has left memory for there was no room.
    pub(crate) fn evicted(&self, now: u64) -> Eviction {
        let why = match self.age(now) < self.entry.lifetime.keep {
            true => Eviction::Capacity,
            false => Eviction::Expired,
        };
        self.counts.eviction(why);
        why
    }

    /// The same entry with what it stands for in the place of its body.
    pub(crate) fn holding(mut self, value: Option<Value>) -> Self {
        if let Some(value) = &value {
            self.entry.body = Bytes::new();
            if value.until < self.entry.lifetime.fresh {
                self.entry.took = 0; // it ends here before its time: the store is asked first
            }
            self.entry.lifetime = self.entry.lifetime.at_most(value.until);
        }
        self.value = value;
        self
    }

    /// How many bytes of a body an answer of it has.
    #[inline]
    pub(crate) fn sends(&self, head: bool) -> u64 {
        if head {
            0
        } else {
            self.entry.body.len() as u64
        }
    }

    /// Reads a little of each part that a hit reads: a processor fetches them together, and
    /// not one after the other once it gets there.
    #[inline]
    pub(crate) fn touch(&self) {
        std::hint::black_box(self.whose.as_slice().last().copied());
        std::hint::black_box(self.entry.status);
        self.entry.fields.touch();
    }

    /// Whether it answers this canonical request.
    #[inline]
    pub(crate) fn is_of(&self, canonical: &[u8]) -> bool {
        *self.whose == *canonical
    }

    /// An estimate of the bytes it holds.
    pub(crate) fn weight(&self) -> u64 {
        let coded: usize = self.coded.iter().map(|coded| coded.len() + 96).sum();
        let value = self.value.as_ref().map(|value| value.weight);
        Self::weight_of(&self.entry, value).saturating_add(coded as u64)
    }

    /// The same of an entry that is to be held, with what a value weighs that lies in the
    /// place of its body.
    pub(crate) fn weight_of(entry: &Entry, value: Option<u64>) -> u64 {
        let canonical = entry.canonical.len();
        let whose = if canonical > HERE { canonical } else { 0 };
        let body = value.map_or(0, |_| entry.body.len() as u64);
        let beside = (entry.weight() + whose as u64).saturating_sub(body);
        beside.saturating_add(value.unwrap_or(0))
    }

    /// The invalidation clock's value at which it was last found valid.
    pub(crate) fn number(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }

    /// The reading of the clocks under which a confirmed answer is kept: that of
    /// the stored body (12 in `generation/mod.rs`).
    pub(crate) fn note(&self) -> Generation {
        Generation {
            number: self.number(),
            stamp: self.entry.stamp,
        }
    }

    /// Its age at `now`, in milliseconds.
    #[inline]
    pub(crate) fn age(&self, now: u64) -> u64 {
        u64::try_from(signed(now).saturating_sub(self.born)).unwrap_or(0)
    }

    /// Whether no hard invalidation has reached it.
    pub(crate) fn valid(&self, generations: &Generations) -> bool {
        generations.valid(&self.entry, self.number())
    }

    /// Whether no invalidation has happened since its last check.
    #[inline]
    pub(crate) fn is_checked(&self, generations: &Generations) -> bool {
        self.number() == generations.clock()
    }

    /// What invalidations have done to it. One comparison, while none has happened
    /// since the last check.
    pub(crate) fn standing(&self, generations: &Generations) -> Standing {
        let now = generations.clock();
        let number = self.number();
        if number == now {
            return Standing::Good;
        }
        let standing = generations.standing(&self.entry, number);
        if standing == Standing::Good {
            self.number.fetch_max(now, Ordering::AcqRel);
        }
        standing
    }

    /// The same entry, its time to live ended.
    pub(crate) fn aged(&self, aging: Aging) -> Self {
        let mut aged = self.with(self.coded.clone());
        let ended = aging.at.map_or(0, |at| self.age(at));
        aged.entry.lifetime = self.entry.lifetime.ended(ended);
        aged.number = AtomicU64::new(aging.reading.number);
        let stamp = aging.reading.stamp;
        if stamp.covers(self.entry.stamp) {
            aged.entry.stamp = stamp; // what the handler confirms now is not older
        }
        aged
    }
}

fn signed(millis: u64) -> i64 {
    i64::try_from(millis).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Fields;
    use crate::generation::Stamp;
    use crate::invalidate::{Find, Target, What};
    use crate::key::{Key, ScopeId};
    use crate::policy::freshness::{Lifetime, Rules};
    use http::StatusCode;

    fn held(age: u64, now: u64) -> Held {
        let entry = Entry {
            canonical: [][..].into(),
            key: Key::new("api:x:1"),
            scopes: [ScopeId::tag(None, "a")].into(),
            status: StatusCode::OK,
            fields: Fields::empty(),
            body: Bytes::new(),
            created: 0,
            lifetime: Lifetime::fresh(1_000),
            rules: Rules::default(),
            took: 0,
            stamp: Stamp::default(),
        };
        Held::new(entry, age, now, 0, Arc::default())
    }

    #[test]
    fn age_goes_on_from_what_it_was() {
        assert_eq!(held(500, 100).age(100), 500);
        assert_eq!(held(500, 100).age(1_100), 1_500);
    }

    #[test]
    fn an_entry_is_of_its_own_request_alone() {
        assert!(held(0, 0).is_of(b"") && !held(0, 0).is_of(b"x"));
    }

    /// It lies there twice, and a client says how long it is.
    #[test]
    fn a_long_request_weighs_what_it_is() {
        let weight = |len: usize| {
            let mut entry = held(0, 0).entry;
            entry.canonical = vec![0; len].into();
            Held::new(entry, 0, 0, 0, Arc::default()).weight()
        };
        assert!(weight(60_000) > 120_000 && weight(80) < 400);
    }

    #[test]
    fn a_check_is_remembered_until_the_next_invalidation() {
        let generations = Generations::default();
        let held = held(0, 0);
        assert_eq!(held.standing(&generations), Standing::Good);
        let target = |name| {
            Target::hard(What::Scope {
                ids: vec![ScopeId::tag(None, name)],
                how: Find::Group,
            })
        };
        let _ = generations.advance(&target("b"), 0);
        assert_eq!(held.standing(&generations), Standing::Good);
        assert_eq!(held.number.load(Ordering::Acquire), 1);
        let _ = generations.advance(&target("a"), 0);
        assert_eq!(held.standing(&generations), Standing::Gone);
        assert!(!held.valid(&generations));
    }
}
