//! Looking into the tiers, and keeping what a fill has made.

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use http::{HeaderMap, HeaderName};
use tokio::runtime::Handle;

use super::engine::{Engine, Writes};
use crate::ask::{Asked, Question};
use crate::entry::codec::{self, Corrupt, Frame};
use crate::entry::{Entry, Held};
use crate::generation::Generation;
use crate::key::{Key, Writer};
use crate::outcome::Cause;
use crate::store::memory::Slot;
use crate::store::{Group, Record, Removal};

/// A fresh entry.
pub(crate) struct Found<E> {
    pub(crate) entry: E,
    /// Milliseconds.
    pub(crate) age: u64,
    /// Milliseconds.
    pub(crate) ttl: u64,
}

impl<E> Found<E> {
    pub(crate) fn times(&self) -> (u64, u64) {
        (self.age, self.ttl)
    }
}

/// Why memory had nothing.
pub(crate) struct Missed {
    pub(crate) cause: Cause,
    /// The place among answers that vary, where memory knows that they do.
    pub(crate) variant: Option<Box<Writer>>,
}

impl From<Cause> for Missed {
    fn from(cause: Cause) -> Self {
        let variant = None;
        Self { cause, variant }
    }
}

/// What a fill has made, ready to be kept.
pub(crate) struct Fill {
    pub(crate) entry: Entry,
    /// From before the handler started.
    pub(crate) note: Generation,
    /// How old the answer is, in milliseconds.
    pub(crate) age: u64,
    pub(crate) groups: Vec<Group>,
    pub(crate) varies: Option<Varies>,
    pub(crate) memory_only: bool,
}

/// Where a marker goes that says what answers vary on.
pub(crate) struct Varies {
    pub(crate) canonical: crate::key::Canonical,
    pub(crate) key: Key,
    pub(crate) names: Arc<[HeaderName]>,
}

impl Engine {
    /// Looks into memory.
    #[inline(never)] // short in a frame of its own
    pub(crate) fn look_memory(
        &self,
        asked: &Asked<'_>,
        canonical: &Writer,
        headers: &HeaderMap,
    ) -> Result<Found<Arc<Held>>, Missed> {
        match self.memory.get(canonical.as_bytes()) {
            Some(Slot::Entry(entry)) => self.fresh(entry).map_err(Missed::from),
            Some(Slot::Vary(names)) => {
                let variant = asked.policy.variant(canonical.as_bytes(), &names, headers);
                let found = match self.memory.get(variant.as_bytes()) {
                    Some(Slot::Entry(entry)) => self.fresh(entry),
                    _ => Err(Cause::Variant),
                };
                found.map_err(|cause| Missed {
                    cause,
                    variant: Some(Box::new(variant)),
                })
            }
            None => Err(Missed::from(Cause::New)),
        }
    }

    /// An entry in memory, if it is still valid and fresh.
    #[inline]
    fn fresh(&self, entry: Arc<Held>) -> Result<Found<Arc<Held>>, Cause> {
        if !entry.valid(&self.generations) {
            self.memory.remove_entry(&entry);
            return Err(Cause::Invalidated);
        }
        let age = entry.age(self.now());
        let ttl = entry.entry.lifetime.fresh.saturating_sub(age);
        if ttl == 0 {
            return Err(Cause::Expired);
        }
        Ok(Found { entry, age, ttl })
    }

    /// Looks into the shared store, where there is one. `cause` is why memory
    /// had nothing.
    pub(crate) async fn look_store(
        &self,
        question: &mut Question,
        family: &str,
        headers: &HeaderMap,
        cause: Cause,
    ) -> Result<Found<Entry>, Cause> {
        if self.store.is_none() || question.policy.memory_only {
            return Err(cause);
        }
        let start = self.now();
        let found = match self.read(question, family, cause).await {
            Err(Read::Varies(names)) if question.variant.is_none() => {
                self.memory.insert_vary(&question.canonical, &names);
                question.vary(&names, headers);
                // both reads together have one timeout; each has its own already
                let spent = Duration::from_millis(self.now().saturating_sub(start));
                let left = self.budget.saturating_sub(spent);
                let again = Box::pin(self.read(question, family, Cause::Variant));
                tokio::time::timeout(left, again).await
            }
            found => Ok(found),
        };
        match found {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(Read::Nothing(cause))) => Err(cause),
            Ok(Err(Read::Varies(_))) => Err(Cause::Corrupt), // a marker behind a marker
            Err(_) => {
                self.counters.store_errors(1);
                Err(Cause::StoreError)
            }
        }
    }

    /// One read of the store, at the place that the question knows by now.
    async fn read(
        &self,
        question: &Question,
        family: &str,
        cause: Cause,
    ) -> Result<Found<Entry>, Read> {
        let Some(store) = &self.store else {
            return Err(Read::Nothing(cause));
        };
        let canonical = question.place();
        let key = Key::of(&self.context.prefix, family, canonical);
        let note = self.generations.note(); // before the read: rule 3 of `generation.rs`
        let frame = match store.get(&key).await {
            Ok(Some(frame)) => frame,
            Ok(None) => return Err(Read::Nothing(cause)),
            Err(error) => {
                tracing::debug!(target: "larder", %error, "the store could not be read");
                self.counters.store_errors(1);
                return Err(Read::Nothing(Cause::StoreError));
            }
        };
        match codec::decode(frame, &key, canonical, question.policy.max_body) {
            Ok(Frame::Entry(entry)) if self.late(&entry) => Err(Read::Nothing(Cause::Invalidated)),
            Ok(Frame::Entry(entry)) => self.found(entry, note),
            Ok(Frame::Vary(names)) => Err(Read::Varies(names.into())),
            Err(corrupt) => {
                self.corrupt(&key, corrupt).await;
                Err(Read::Nothing(Cause::Corrupt))
            }
        }
    }

    /// Whether an entry is one that this process is writing although it was
    /// invalidated: it is about to be taken back.
    fn late(&self, entry: &Entry) -> bool {
        let writing = self.writing();
        let note = writing.get(&entry.key);
        note.is_some_and(|writes| !self.generations.valid(entry, writes.note))
    }

    fn writing(&self) -> MutexGuard<'_, HashMap<Key, Writes>> {
        self.writing
            .lock()
            .unwrap_or_else(|broken| broken.into_inner())
    }

    /// An entry from the store: served if fresh, and kept in memory.
    fn found(&self, entry: Entry, note: Generation) -> Result<Found<Entry>, Read> {
        let age = entry.age_at(self.wall());
        let ttl = entry.lifetime.fresh.saturating_sub(age);
        if ttl == 0 {
            return Err(Read::Nothing(Cause::Expired));
        }
        if self.memory.keeps_entries() {
            let held = Held::new(entry.clone(), age, self.now(), note);
            self.memory.insert(held, &self.generations);
        }
        Ok(Found { entry, age, ttl })
    }

    async fn corrupt(&self, key: &Key, corrupt: Corrupt) {
        self.counters.corrupt(1);
        let Corrupt::Damaged(why) = corrupt else {
            return; // another version's: it will be overwritten
        };
        tracing::warn!(target: "larder", %key, why, "a damaged entry is removed");
        if let Some(store) = &self.store {
            let _ = store.remove(Removal::Key(key)).await; // the fill overwrites it anyway
        }
    }

    /// Keeps an answer in the tiers, unless it was invalidated meanwhile. The
    /// shared store is written in the background.
    pub(crate) fn keep(self: &Arc<Self>, fill: Fill, runtime: Option<&Handle>) {
        if !self.generations.valid(&fill.entry, fill.note) {
            tracing::debug!(target: "larder", key = %fill.entry.key, "invalidated while it was made");
            return;
        }
        match &fill.varies {
            Some(varies) => self.memory.insert_vary(&varies.canonical, &varies.names),
            None if !self.memory.keeps_entries() => self.memory.remove(&fill.entry.canonical),
            None => {}
        }
        if self.memory.keeps_entries() {
            let held = Held::new(fill.entry.clone(), fill.age, self.now(), fill.note);
            self.memory.insert(held, &self.generations);
        }
        self.counters.stores(1);
        if self.store.is_none() || fill.memory_only {
            return;
        }
        let Some(runtime) = runtime else {
            tracing::warn!(target: "larder", "no tokio runtime: an answer is kept in memory alone");
            return;
        };
        let engine = Arc::clone(self);
        self.tasks
            .spawn(runtime, async move { engine.write(fill).await });
    }

    /// Writes an entry to the store. Of two writes of one key the earlier note
    /// counts until both have ended.
    async fn write(&self, fill: Fill) {
        let key = fill.entry.key.clone();
        {
            let mut writing = self.writing();
            let writes = writing.entry(key.clone()).or_insert(Writes {
                note: fill.note,
                count: 0,
            });
            writes.note = writes.note.min(fill.note);
            writes.count += 1;
        }
        let _ended = Ended(self, key);
        self.write_noted(fill).await;
    }

    /// Writes an entry to the store, and takes it back if an invalidation came
    /// in between (rule 4 of `generation.rs`).
    async fn write_noted(&self, fill: Fill) {
        let Some(store) = &self.store else { return };
        let entry = &fill.entry;
        let ttl = Duration::from_millis(entry.lifetime.keep.saturating_sub(fill.age));
        if !self.generations.valid(entry, fill.note) {
            return;
        }
        if let Some(varies) = &fill.varies {
            let frame = codec::encode_vary(
                &varies.canonical,
                &varies.names,
                entry.created,
                entry.lifetime.keep,
            );
            let marker = Record {
                key: &varies.key,
                frame,
                ttl,
                groups: &fill.groups,
            };
            self.counted(store.put(marker).await);
        }
        let record = Record {
            key: &entry.key,
            frame: codec::encode(entry),
            ttl,
            groups: &fill.groups,
        };
        self.counted(store.put(record).await);
        if !self.generations.valid(entry, fill.note) {
            self.counted(store.remove(Removal::Key(&entry.key)).await);
        }
    }

    fn counted<T>(&self, result: Result<T, crate::error::StoreError>) {
        if let Err(error) = result {
            self.counters.store_errors(1);
            tracing::debug!(target: "larder", %error, "the store could not be written");
        }
    }
}

/// Why a read of the store found no entry.
enum Read {
    Nothing(Cause),
    Varies(Arc<[HeaderName]>),
}

/// Ends the note of a write, also where its runtime ends first.
struct Ended<'a>(&'a Engine, Key);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        let mut writing = self.0.writing();
        if let Some(writes) = writing.get_mut(&self.1) {
            writes.count -= 1;
            if writes.count == 0 {
                writing.remove(&self.1);
            }
        }
    }
}
