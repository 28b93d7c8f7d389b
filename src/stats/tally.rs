//! Counts by reason.

use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};

/// A reason that is counted: one of a fixed list.
pub(crate) trait Reason: Copy + Eq + 'static {
    const ALL: &'static [Self];
    fn index(self) -> usize;
}

/// More reasons than any list has.
const MOST: usize = 32;

/// Atomics inside.
#[derive(Debug)]
pub(crate) struct Tallied<R> {
    counts: [AtomicU64; MOST],
    of: PhantomData<fn(R)>,
}

impl<R> Default for Tallied<R> {
    fn default() -> Self {
        Self {
            counts: std::array::from_fn(|_| AtomicU64::new(0)),
            of: PhantomData,
        }
    }
}

impl<R: Reason> Tallied<R> {
    pub(crate) fn add(&self, reason: R, n: u64) {
        self.counts[reason.index()].fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn add_to(&self, tally: &mut Tally<R>) {
        for reason in R::ALL {
            let n = self.counts[reason.index()].load(Ordering::Relaxed);
            tally.add(*reason, n);
        }
    }
}

/// Counts by reason: a snapshot. Reasons that did not occur are left out; serialized
/// it is a map from the reasons' words.
#[derive(Clone, PartialEq, Eq)]
pub struct Tally<R> {
    counts: Vec<(R, u64)>,
}

impl<R> Default for Tally<R> {
    fn default() -> Self {
        Self { counts: Vec::new() }
    }
}

impl<R: Copy + Eq> Tally<R> {
    /// How often it was for this reason.
    #[must_use]
    pub fn get(&self, reason: R) -> u64 {
        let known = self.counts.iter().find(|(known, _)| *known == reason);
        known.map_or(0, |(_, n)| *n)
    }

    /// All together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().map(|(_, n)| n).sum()
    }

    /// The reasons that occurred, and how often.
    pub fn iter(&self) -> impl Iterator<Item = (R, u64)> + '_ {
        self.counts.iter().copied()
    }

    pub(crate) fn add(&mut self, reason: R, n: u64) {
        if n == 0 {
            return;
        }
        match self.counts.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, count)) => *count += n,
            None => self.counts.push((reason, n)),
        }
    }

    pub(crate) fn minus(&mut self, before: &Self) {
        for (reason, n) in &mut self.counts {
            *n = n.saturating_sub(before.get(*reason));
        }
        self.counts.retain(|(_, n)| *n > 0);
    }
}

impl<R: fmt::Display> fmt::Debug for Tally<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.counts.iter();
        f.debug_map()
            .entries(counts.map(|(reason, n)| (reason.to_string(), n)))
            .finish()
    }
}

#[cfg(feature = "serde")]
impl<R: fmt::Display> serde::Serialize for Tally<R> {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(
            self.counts
                .iter()
                .map(|(reason, n)| (reason.to_string(), n)),
        )
    }
}
