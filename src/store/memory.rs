//! The memory tier: bounded in bytes, scan-resistant, looked up by the
//! canonical request itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderName;
use quick_cache::sync::{Cache, EntryAction};
use quick_cache::{Lifecycle, OptionsBuilder, Weighter};

use super::variants::{Variant, Variants};
use crate::clock::{Clock, millis};
use crate::entry::{Held, Shapes};
use crate::generation::{Aging, Generations, Standing};
use crate::key::Canonical;
use crate::stats::Traces;

/// What lies under a canonical request.
#[derive(Clone)]
pub(crate) enum Slot {
    Entry(Arc<Held>),
    /// Answers vary on these fields; each lies under a longer request.
    Vary(Arc<Variants>, Weighed),
}

/// What a marker weighed when it was put in; what it holds may grow since.
#[derive(Clone, Copy)]
pub(crate) struct Weighed(u64);

/// What the tier itself spends on an item: its slot in the table and in the
/// queue, the reference counts and clocks of the entry.
const OVERHEAD: u64 = 690;

#[derive(Clone)]
struct Bytes;

impl Weighter<Canonical, Slot> for Bytes {
    fn weight(&self, key: &Canonical, slot: &Slot) -> u64 {
        let content = match slot {
            Slot::Entry(held) => held.weight(),
            Slot::Vary(_, Weighed(bytes)) => key.len() as u64 + bytes,
        };
        content + OVERHEAD
    }
}

/// Counts what had to go.
#[derive(Debug, Clone)]
struct Evicted {
    clock: Arc<dyn Clock>,
    traces: Arc<Traces>,
}

impl Lifecycle<Canonical, Slot> for Evicted {
    type RequestState = ();

    fn on_evict(&self, _state: &mut (), _canonical: Canonical, slot: Slot) {
        if let Slot::Entry(held) = slot {
            held.evicted(millis(self.clock.monotonic()));
            self.traces.evicted(&held.entry.canonical);
        }
    }
}

/// The tier. Without a size of its own it keeps what answers vary on, and
/// nothing else.
pub(crate) struct Memory {
    slots: Cache<Canonical, Slot, Bytes, ahash::RandomState, Evicted>,
    shapes: Shapes,
    bound: u64,
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
        let options = OptionsBuilder::new()
            .shards(shards.clamp(1, cores * 4))
            .estimated_items_capacity(usize::try_from(capacity / 4096).unwrap_or(1 << 20).max(64))
            .weight_capacity(capacity)
            .build();
        #[allow(clippy::expect_used, reason = "both required options are set above")]
        let options = options.expect("capacity and estimate are set");
        let hasher = ahash::RandomState::new();
        Self {
            slots: Cache::with_options(options, Bytes, hasher, Evicted { clock, traces }),
            shapes: Shapes::default(),
            bound: bytes,
            yielded: AtomicU64::new(0),
            keeps_entries: bytes > 0,
        }
    }

    #[inline]
    pub(crate) fn get(&self, canonical: &[u8]) -> Option<Slot> {
        self.slots.get(canonical)
    }

    /// The same, and nobody has asked: it is not kept longer for that.
    pub(crate) fn peek(&self, canonical: &[u8]) -> Option<Slot> {
        self.slots.peek(canonical)
    }

    pub(crate) fn keeps_entries(&self) -> bool {
        self.keeps_entries
    }

    /// Keeps an entry, if it is still valid. One that ceases to be meanwhile is
    /// found out by the next look.
    pub(crate) fn insert(&self, mut held: Held, generations: &Generations) -> Option<Arc<Held>> {
        held.valid(generations).then(|| {
            held.entry.fields.share(&self.shapes);
            let held = Arc::new(held);
            let canonical = Arc::clone(&held.entry.canonical);
            self.slots.insert(canonical, Slot::Entry(Arc::clone(&held)));
            held
        })
    }

    /// Puts an entry in the place of this very one, if it is still there.
    pub(crate) fn replace(&self, held: &Arc<Held>, by: Arc<Held>) {
        let at_once = Some(std::time::Duration::ZERO);
        let _ = self.slots.entry(&held.entry.canonical, at_once, |_, slot| {
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
        if let Some(Slot::Vary(known, _)) = self.slots.get(&canonical[..])
            && known.names == *names
        {
            return known;
        }
        let variants = Arc::new(Variants::new(Arc::clone(names)));
        self.mark(canonical, &variants);
        variants
    }

    /// Notes one more variant. Those that are to go are returned: the oldest
    /// beyond `most`, and all that vary on other fields.
    pub(crate) fn insert_variant(
        &self,
        canonical: &Canonical,
        names: &Arc<[HeaderName]>,
        variant: Variant,
        most: usize,
    ) -> Vec<Variant> {
        let mut out = self.orphans(canonical, names);
        let variants = self.insert_vary(canonical, names);
        out.extend(variants.add(variant, most));
        self.mark(canonical, &variants); // weighed anew
        out
    }

    /// The variants to which nothing leads once answers vary on `names`.
    pub(crate) fn orphans(&self, canonical: &[u8], names: &[HeaderName]) -> Vec<Variant> {
        match self.slots.get(canonical) {
            Some(Slot::Vary(known, _)) if *known.names != *names => known.take(),
            _ => Vec::new(),
        }
    }

    fn mark(&self, canonical: &Canonical, variants: &Arc<Variants>) {
        let weighed = Weighed(variants.weight() as u64);
        let slot = Slot::Vary(Arc::clone(variants), weighed);
        self.slots.insert(Arc::clone(canonical), slot);
    }

    /// Removes a marker: answers no longer vary.
    pub(crate) fn remove(&self, canonical: &[u8]) {
        self.slots.remove(canonical);
    }

    /// Removes this very entry, not one that has taken its place.
    pub(crate) fn remove_entry(&self, held: &Arc<Held>) {
        let same = |slot: &Slot| matches!(slot, Slot::Entry(other) if Arc::ptr_eq(other, held));
        self.slots.remove_if(&held.entry.canonical[..], same);
    }

    /// Removes this entry or its equal, read from the store or older, but not
    /// one that was made since.
    pub(crate) fn remove_upto(&self, held: &Held) {
        let old = |slot: &Slot| matches!(slot, Slot::Entry(other) if other.entry.created <= held.entry.created);
        self.slots.remove_if(&held.entry.canonical[..], old);
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
            self.slots.set_capacity(self.bound - steps * step);
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
