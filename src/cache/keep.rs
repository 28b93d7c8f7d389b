//! Keeping in the tiers what a fill has made, and dropping what no longer holds.

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard};

use http::HeaderName;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::engine::{Engine, Writes};
use super::lease::Leased;
use super::place::Placed;
use crate::entry::{Entry, Held, Room, Value};
use crate::error::StoreError;
use crate::flight::Landing;
use crate::generation::Generation;
use crate::key::Key;
use crate::outcome::{Eviction, Refusal};
use crate::policy::Compiled;
use crate::policy::freshness::Rules;
use crate::stats::{Counts, Kept};
use crate::store::variants::Variant;
use crate::store::{Group, Removal};

/// What a fill has made, ready to be kept.
pub(crate) struct Fill {
    pub(crate) entry: Entry,
    /// From before the handler started.
    pub(crate) note: Generation,
    /// When that was (`Flights::begins`).
    pub(crate) began: i64,
    /// How old the answer is, in milliseconds.
    pub(crate) age: u64,
    pub(crate) groups: Vec<Group>,
    pub(crate) varies: Option<Varies>,
    pub(crate) policy: Arc<Compiled>,
    /// Of the flight that made it: it is listed until the next request finds the
    /// entry.
    pub(crate) landing: Option<Landing>,
    /// The right under which it was made.
    pub(crate) lease: Option<Leased>,
    /// What it stands for, where it is no response.
    pub(crate) value: Option<Value>,
    /// What leads to it, where it has more than one key.
    pub(crate) alias: Option<Entry>,
    /// The turn to write it, which who gives has beforehand.
    pub(crate) placed: Option<Placed>,
    /// Of one that was given and not filled: dropped when the store has it, or will not
    /// have it.
    pub(crate) written: Option<oneshot::Sender<()>>,
}

impl Fill {
    /// The canonical request that it answers, whatever it varies on.
    fn asked(&self) -> &[u8] {
        let varies = self.varies.as_ref().map(|varies| &varies.canonical);
        varies.unwrap_or(&self.entry.canonical)
    }

    /// The names of what it takes the place of, where it was given: what leads to it comes last.
    pub(super) fn replaced(&self) -> impl Iterator<Item = &Key> {
        let alias = self.alias.as_ref().map(|alias| &alias.key);
        let names = [Some(&self.entry.key), alias].into_iter().flatten();
        names.filter(|_| self.written.is_some())
    }

    /// The name under which it is looked for first.
    pub(super) fn place(&self) -> &Key {
        self.alias
            .as_ref()
            .map_or(&self.entry.key, |alias| &alias.key)
    }

    /// What it weighs in memory, where a value lies in place of its body.
    fn weight(&self) -> u64 {
        let value = self.value.as_ref().map(|value| value.weight);
        Held::weight_of(&self.entry, value)
    }

    /// Takes over what a confirmed entry can be invalidated by.
    pub(crate) fn join(&mut self, confirmed: &Entry) {
        let known = self.entry.scopes.to_vec();
        let more = confirmed.scopes.iter().copied();
        let more: Vec<_> = more.filter(|scope| !known.contains(scope)).collect();
        self.groups.extend(more.iter().copied().map(Group));
        self.entry.scopes = [known, more].concat().into();
    }
}

/// Where a marker goes that says what answers vary on.
pub(crate) struct Varies {
    pub(crate) canonical: crate::key::Canonical,
    pub(crate) key: Key,
    pub(crate) names: Arc<[HeaderName]>,
}

impl Engine {
    pub(super) fn writing(&self) -> MutexGuard<'_, HashMap<Key, Writes>> {
        let writing = self.places.writing.lock();
        writing.unwrap_or_else(|broken| broken.into_inner())
    }

    /// Notes a variant, and drops what that puts out of reach or over the bound.
    fn keep_variant(self: &Arc<Self>, varies: &Varies, entry: &Entry, began: i64) {
        let variant = Variant {
            canonical: Arc::clone(&entry.canonical),
            key: entry.key.clone(),
            language: entry.fields.language(),
        };
        let (canonical, names) = (&varies.canonical, &varies.names);
        let most = self.max_variants;
        let variant = (variant, began);
        self.drop_variants(self.memory.insert_variant(canonical, names, variant, most));
    }

    fn drop_variants(self: &Arc<Self>, out: Vec<Variant>) {
        for variant in out {
            self.counts_of(&variant.key).eviction(Eviction::Variants);
            self.memory.remove(&variant.canonical);
            self.unlink(variant.key);
        }
    }

    /// Drops an entry that no longer holds from all tiers, without an
    /// invalidation.
    pub(crate) fn discard(self: &Arc<Self>, held: &Arc<Held>) {
        self.memory.remove_upto(&held.entry);
        self.unlink(held.entry.key.clone());
    }

    /// Removes a key from the store in the background.
    pub(super) fn unlink(self: &Arc<Self>, key: Key) {
        let (Some(_), Some(runtime)) = (&self.store, self.runtime()) else {
            return;
        };
        let engine = Arc::clone(self);
        let work = async move {
            if let Some(store) = &engine.store {
                engine.counted(store.remove(Removal::Key(&key)).await);
            }
        };
        self.tasks.spawn(&runtime, work);
    }

    /// Keeps an answer in the tiers, unless it was invalidated meanwhile, or one that
    /// began later is there: then it is for those who wait for it. The shared store is
    /// written in the background.
    pub(crate) fn keep(
        self: &Arc<Self>,
        mut fill: Fill,
        runtime: Option<&Handle>,
    ) -> Option<Arc<Held>> {
        if !self.generations.valid(&fill.entry, fill.note.number) {
            tracing::debug!(target: "larder", key = %fill.entry.key, "invalidated while it was made");
            self.outdated(fill);
            return None;
        }
        self.flights.unmark(&fill.entry.canonical);
        let wanted = fill.value.as_ref().is_none_or(|value| value.kept);
        let fits = self.memory.has_room(fill.weight());
        let in_memory = fits && wanted && self.trusts_memory();
        let turn = self.memory.turn(fill.asked());
        if self.is_overtaken(&fill) {
            tracing::debug!(target: "larder", key = %fill.entry.key, "one that began later is there");
            let held = self.held(fill.entry, fill.age, fill.note.number);
            return Some(Arc::new(held.holding(fill.value)));
        }
        match &fill.varies {
            Some(varies) => self.keep_variant(varies, &fill.entry, fill.began),
            None => {
                self.drop_variants(self.memory.orphans(&fill.entry.canonical, &[]));
                if !in_memory {
                    self.memory.remove(&fill.entry.canonical);
                }
            }
        }
        if let Some(landing) = fill.landing.as_ref().filter(|_| in_memory) {
            landing.hand_over(&fill.entry.body); // else it would have no room beside itself
        }
        self.balance();
        let held = self.held(fill.entry.clone(), fill.age, fill.note.number);
        let given = fill.written.is_some();
        let value = fill.value.take().map(|value| Value { given, ..value });
        let held = held.holding(value).since(fill.began);
        let held = match in_memory {
            true => {
                let held = self.memory.insert(held, &self.generations);
                let Some(held) = held else {
                    self.outdated(fill);
                    return None;
                };
                drop(turn);
                self.precompress(&held, &fill.policy, runtime);
                fill.landing = None;
                held
            }
            false => {
                drop(turn);
                Arc::new(held)
            }
        };
        let is_written = self.is_written(fill.policy.memory_only);
        if in_memory || is_written {
            held.counts.stored();
            let until = self.now() + held.entry.lifetime.keep.saturating_sub(fill.age);
            self.counters.traces.returned(&held.entry.canonical, until);
            self.has_filled(&held.entry);
        } else if self.memory.keeps_entries() && !fits {
            held.counts.refusal(Refusal::NoRoom);
        }
        self.watch(&fill, &held.counts); // of a value memory keeps no body
        self.asked_for(&held.entry, &fill.policy, 1);
        if !is_written {
            return Some(held);
        }
        let can_wait = |runtime: &&Handle| match fill.written {
            Some(_) => self.timers.are_there(runtime), // it must not fail unnoticed
            None => !self.timers.are_missing(runtime),
        };
        let Some(runtime) = runtime.filter(can_wait) else {
            if let Some(times) = self.faults.no_runtime.happened(self.now()) {
                tracing::warn!(target: "larder", times, "no tokio runtime: an answer is kept in memory alone");
            }
            return Some(held);
        };
        let room = Room::of(&self.unwritten, fill.entry.weight());
        if room.is_none() && fill.written.is_none() {
            // the store is slower than answers come: who asks next fills again
            if let Some(times) = self.faults.unwritten.happened(self.now()) {
                tracing::warn!(target: "larder", times, "too much waits for the store: an answer is not written");
            }
            return Some(held);
        }
        let engine = Arc::clone(self);
        self.tasks.spawn(runtime, async move {
            engine.write(fill).await;
            drop(room);
        });
        Some(held)
    }

    /// It was invalidated while it was made, or given.
    fn outdated(self: &Arc<Self>, fill: Fill) {
        let runtime = self.runtime().filter(|_| fill.written.is_some());
        if let Some(runtime) = runtime {
            let engine = Arc::clone(self);
            let work = async move { engine.end_replaced(&fill).await };
            self.tasks.spawn(&runtime, work);
        }
    }

    /// Whether one that began later lies where it would go, or is led to by what it
    /// would replace.
    fn is_overtaken(&self, fill: &Fill) -> bool {
        let names = fill.varies.as_ref().map_or(&[][..], |varies| &varies.names);
        let (asked, began) = ((fill.asked(), names), fill.began);
        let place = &fill.entry.canonical;
        self.memory.is_later(place, began, &self.generations)
            || self.memory.leads_later(asked, began, &self.generations)
    }

    /// Takes note of whether an answer has changed.
    fn watch(&self, fill: &Fill, counts: &Counts) {
        let entry = &fill.entry;
        if entry.rules.has(Rules::VALUE) && entry.body.is_empty() {
            return; // nobody has written it: there is nothing to compare
        }
        let kept = Kept {
            policy: &fill.policy,
            key: &entry.canonical,
            body: &entry.body,
            now: self.now(),
            ttl: entry.lifetime.fresh.saturating_sub(fill.age),
        };
        let invalidated = |since| self.generations.invalidated_since(entry, since);
        let watch = &counts.watch;
        watch.saw(&kept, invalidated, || counts.taking_part());
    }

    pub(super) fn counted<T>(&self, result: Result<T, StoreError>) {
        if let Err(error) = result {
            self.counters.store_error(&error);
            tracing::debug!(target: "larder", %error, "the store could not be written");
        }
    }
}
