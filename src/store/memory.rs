//! The memory tier: bounded in bytes, scan-resistant, looked up by the
//! canonical request itself.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderName;
use quick_cache::sync::{Cache, EntryAction};
use quick_cache::{OptionsBuilder, Weighter};

use super::evicted::{Evicted, Put};
use super::slot::Place;
pub(crate) use super::slot::Slot;
use super::turns::{Turn, Turns};
use super::variants::{Variant, Variants, Weighed};
use crate::clock::Clock;
use crate::entry::{Entry, Held, Shapes};
use crate::generation::{Aging, Generations, Standing};
use crate::hint::mostly;
use crate::key::Canonical;
use crate::stats::Traces;

/// What the tier itself spends on an item: its slot in the table and in the
/// queue, the reference counts and clocks of the entry.
const OVERHEAD: u64 = 690;

#[derive(Clone)]
struct Bytes;

impl Weighter<Place, Slot> for Bytes {
    fn weight(&self, _: &Place, slot: &Slot) -> u64 {
        let content = match slot {
            Slot::Entry(held) => held.weight(),
            Slot::Vary(_, weighed) => weighed.bytes(),
        };
        content.saturating_add(OVERHEAD)
    }
}

/// Hashes a place, which is a hash: as it is.
#[derive(Debug, Clone)]
struct AsItIs(u64);

impl BuildHasher for AsItIs {
    type Hasher = Self;

    #[inline]
    fn build_hasher(&self) -> Self {
        Self(0)
    }
}

impl Hasher for AsItIs {
    #[inline]
    fn write_u64(&mut self, place: u64) {
        self.0 = place;
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("a place is a number");
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

/// What lies there is another's: dropped out of a hit's way.
#[cold]
fn none(_: Option<Slot>) -> Option<Slot> {
    None
}

/// The tier. Without a size of its own it keeps what answers vary on, and
/// nothing else.
pub(crate) struct Memory {
    slots: Cache<Place, Slot, Bytes, AsItIs, Evicted>,
    hasher: ahash::RandomState,
    turns: Turns,
    shapes: Shapes,
    bound: u64,
    /// The bound in whole sixteenths of all shards: what becomes of it as room is yielded and
    /// comes back is exact. A fraction would be lost each time, and the tier in the end.
    room: u64,
    /// What the heaviest entry may weigh.
    heaviest: u64,
    /// Sixteenths of the bound that what is in flight has.
    yielded: AtomicU64,
    keeps_entries: bool,
}

/// Room for markers where there is no memory tier.
const MARKERS: u64 = 1 << 20;
/// A shard holds at least this much, so that a large entry has room.
const SHARD: u64 = 16 << 20;

impl Memory {
    /// A tier of at most `bytes`; zero keeps markers alone.
    pub(crate) fn new(bytes: u64, clock: Arc<dyn Clock>, traces: Arc<Traces>) -> Self {
        let capacity = if bytes == 0 { MARKERS } else { bytes };
        let cores = std::thread::available_parallelism().map_or(4, usize::from);
        let shards = usize::try_from(capacity / SHARD).unwrap_or(usize::MAX);
        let shards = 1 << shards.clamp(1, cores * 4).ilog2(); // else rounded up, to smaller ones
        let room = capacity - capacity % (16 * shards as u64);
        let options = OptionsBuilder::new()
            .shards(shards)
            .estimated_items_capacity(usize::try_from(capacity / 4096).unwrap_or(1 << 20).max(64))
            .weight_capacity(room)
            .build();
        #[allow(clippy::expect_used, reason = "both required options are set above")]
        let options = options.expect("capacity and estimate are set");
        let slots = Cache::with_options(options, Bytes, AsItIs(0), Evicted { clock, traces });
        Self {
            heaviest: slots.shard_capacity() / 100 * 97, // the hot part of a shard
            slots,
            hasher: ahash::RandomState::new(),
            turns: Turns::default(),
            shapes: Shapes::default(),
            bound: bytes,
            room,
            yielded: AtomicU64::new(0),
            keeps_entries: bytes > 0,
        }
    }

    #[inline]
    pub(crate) fn get(&self, canonical: &[u8]) -> Option<Slot> {
        match self.slots.get(&self.place(canonical)) {
            // taken apart: moving a slot whole waits for its parts to be written
            Some(Slot::Entry(held)) if mostly(held.is_of(canonical)) => Some(Slot::Entry(held)),
            Some(slot) if slot.is_of(canonical) => Some(slot),
            other => none(other),
        }
    }

    #[inline]
    fn place(&self, canonical: &[u8]) -> Place {
        self.hasher.hash_one(canonical)
    }

    /// The same, and nobody has asked: it is not kept longer for that.
    pub(crate) fn peek(&self, canonical: &[u8]) -> Option<Slot> {
        let slot = self.slots.peek(&self.place(canonical));
        slot.filter(|slot| slot.is_of(canonical))
    }

    pub(crate) fn keeps_entries(&self) -> bool {
        self.keeps_entries
    }

    /// Whether there may be room for an entry of such a weight: one shard has it.
    pub(crate) fn has_room(&self, weight: u64) -> bool {
        self.keeps_entries && weight.saturating_add(OVERHEAD) <= self.heaviest
    }

    /// One turn for all answers to a canonical request, see `turns.rs`.
    pub(crate) fn turn(&self, canonical: &[u8]) -> Turn<'_> {
        self.turns.of(canonical)
    }

    /// Whether a value lies at a place that was given here, and is fresh.
    pub(crate) fn is_given(&self, place: &[u8], now: u64) -> bool {
        matches!(self.peek(place), Some(Slot::Entry(held)) if held.is_given(now))
    }

    /// Whether what lies at a place, and is valid, began after `began`.
    pub(crate) fn is_later(&self, place: &[u8], began: i64, generations: &Generations) -> bool {
        let later = |held: &Held| held.began > began && held.valid(generations);
        matches!(self.peek(place), Some(Slot::Entry(held)) if later(&held))
    }

    /// The same for an answer to `canonical` that varies on `names`: none that began
    /// later is to be put out of reach.
    pub(crate) fn leads_later(
        &self,
        (canonical, names): (&[u8], &[HeaderName]),
        began: i64,
        generations: &Generations,
    ) -> bool {
        match self.peek(canonical) {
            Some(Slot::Vary(known, _)) => *known.names != *names && known.latest() > began,
            _ => self.is_later(canonical, began, generations),
        }
    }

    /// Keeps an entry, if it is still valid. One that ceases to be meanwhile is
    /// found out by the next look.
    pub(crate) fn insert(&self, mut held: Held, generations: &Generations) -> Option<Arc<Held>> {
        held.valid(generations).then(|| {
            held.entry.fields.share(&self.shapes);
            let held = Arc::new(held);
            let place = self.place(&held.entry.canonical);
            self.put(place, Slot::Entry(Arc::clone(&held)));
            held
        })
    }

    fn put(&self, place: Place, slot: Slot) {
        let mut put = Put(Some(slot.clone()));
        self.slots.insert_with_lifecycle(place, slot, &mut put);
    }

    /// Puts an entry in the place of this very one, if it is still there.
    pub(crate) fn replace(&self, held: &Arc<Held>, by: Arc<Held>) {
        let at_once = Some(std::time::Duration::ZERO);
        let place = self.place(&held.entry.canonical);
        let _ = self.slots.entry(&place, at_once, |_, slot| {
            if matches!(slot, Slot::Entry(there) if Arc::ptr_eq(there, held)) {
                *slot = Slot::Entry(by);
            }
            EntryAction::Retain(())
        });
    }

    /// Notes that answers vary on these fields.
    pub(crate) fn insert_vary(
        &self,
        canonical: &Canonical,
        names: &Arc<[HeaderName]>,
    ) -> Arc<Variants> {
        if let Some(Slot::Vary(known, _)) = self.get(canonical)
            && known.names == *names
        {
            return known;
        }
        let (whose, names) = (Arc::clone(canonical), Arc::clone(names));
        let variants = Arc::new(Variants::new(whose, names));
        self.mark(&variants);
        variants
    }

    /// Notes one more variant. Those that are to go are returned: the oldest
    /// beyond `most`, and all that vary on other fields.
    pub(crate) fn insert_variant(
        &self,
        canonical: &Canonical,
        names: &Arc<[HeaderName]>,
        (variant, began): (Variant, i64),
        most: usize,
    ) -> Vec<Variant> {
        let mut out = self.orphans(canonical, names);
        let variants = self.insert_vary(canonical, names);
        out.extend(variants.add(variant, began, most));
        self.mark(&variants); // weighed anew
        out
    }

    /// The variants to which nothing leads once answers vary on `names`.
    pub(crate) fn orphans(&self, canonical: &[u8], names: &[HeaderName]) -> Vec<Variant> {
        match self.get(canonical) {
            Some(Slot::Vary(known, _)) if *known.names != *names => known.take(),
            _ => Vec::new(),
        }
    }

    fn mark(&self, variants: &Arc<Variants>) {
        let slot = Slot::Vary(Arc::clone(variants), Weighed::of(variants));
        self.put(self.place(&variants.of), slot);
    }

    /// Removes a marker: answers no longer vary.
    pub(crate) fn remove(&self, canonical: &[u8]) {
        let same = |slot: &Slot| slot.is_of(canonical);
        self.slots.remove_if(&self.place(canonical), same);
    }

    /// Removes this very entry, not one that has taken its place.
    pub(crate) fn remove_entry(&self, held: &Arc<Held>) {
        let same = |slot: &Slot| matches!(slot, Slot::Entry(other) if Arc::ptr_eq(other, held));
        self.slots
            .remove_if(&self.place(&held.entry.canonical), same);
    }

    /// Removes this entry or its equal, read from the store or older, but not
    /// one that was made since.
    pub(crate) fn remove_upto(&self, entry: &Entry) {
        let old = |slot: &Slot| {
            let created = entry.created;
            slot.is_of(&entry.canonical)
                && matches!(slot, Slot::Entry(other) if other.entry.created <= created)
        };
        self.slots.remove_if(&self.place(&entry.canonical), old);
    }

    /// Gives up room for so many bytes that are in flight, and for an eighth of the
    /// bound that may come before the next look. The capacity changes in sixteenths,
    /// for a change looks at every shard.
    pub(crate) fn yield_to(&self, in_flight: u64) {
        let step = (self.bound / 16).max(1);
        let steps = match in_flight {
            0 => 0,
            bytes => (bytes.div_ceil(step) + 2).min(16),
        };
        if self.keeps_entries && self.yielded.swap(steps, Ordering::AcqRel) != steps {
            self.slots.set_capacity(self.room / 16 * (16 - steps));
        }
    }

    /// Lets go of what is too much: an entry that has grown in its place pushes nobody out.
    pub(crate) fn fit(&self) {
        loop {
            let steps = self.yielded.load(Ordering::Acquire);
            self.slots.set_capacity(self.room / 16 * (16 - steps));
            if self.yielded.load(Ordering::Acquire) == steps {
                return;
            }
        }
    }

    /// Visits all entries, removes those that are gone, and ages those that have aged.
    /// Returns how many that were. Takes a shard's lock for one item at a time.
    pub(crate) fn sweep(&self, standing: impl Fn(&Held) -> Standing) -> u64 {
        let mut reached = 0;
        for (_, slot) in self.slots.iter() {
            let Slot::Entry(held) = slot else { continue };
            match standing(&held) {
                Standing::Good => continue,
                Standing::Gone => self.remove_entry(&held),
                Standing::Aged(aging) => drop(self.age(&held, aging)),
            }
            reached += 1;
        }
        reached
    }

    /// Removes markers of what is not here, and forgets variants that are not.
    pub(crate) fn drop_markers(&self) {
        for (place, slot) in self.slots.iter() {
            let Slot::Vary(variants, _) = slot else {
                continue;
            };
            let is_here = |canonical: &Canonical| self.peek(canonical).is_some();
            if variants.keep_only(is_here) == 0 {
                let same = |slot: &Slot| matches!(slot, Slot::Vary(other, _) if Arc::ptr_eq(other, &variants));
                self.slots.remove_if(&place, same);
            }
        }
    }

    /// How many entries are of a kind.
    pub(crate) fn count(&self, kind: impl Fn(&Held) -> bool) -> u64 {
        let slots = self.slots.iter();
        let found = slots.filter(|(_, slot)| matches!(slot, Slot::Entry(held) if kind(held)));
        found.count() as u64
    }

    /// Ends an entry's time to live.
    pub(crate) fn age(&self, held: &Arc<Held>, aging: Aging) -> Arc<Held> {
        let aged = Arc::new(held.aged(aging));
        self.replace(held, Arc::clone(&aged));
        aged
    }

    /// Visits entries until it returns `false`.
    pub(crate) fn each(&self, mut visit: impl FnMut(&Held) -> bool) {
        for (_, slot) in self.slots.iter() {
            if let Slot::Entry(held) = slot
                && !visit(&held)
            {
                return;
            }
        }
    }

    /// Entries held, markers included.
    pub(crate) fn len(&self) -> u64 {
        self.slots.len() as u64
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> u64 {
        if self.keeps_entries {
            self.slots.weight()
        } else {
            0
        }
    }

    /// The bound.
    pub(crate) fn capacity(&self) -> u64 {
        if self.keeps_entries { self.bound } else { 0 }
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
