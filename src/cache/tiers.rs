//! Looking into the tiers, and keeping what a fill has made.

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use http::{HeaderMap, HeaderName};
use tokio::runtime::Handle;

use super::engine::{Engine, Writes};
use crate::ask::{Asked, Question};
use crate::entry::codec::{self, Bounds, Corrupt, Frame};
use crate::entry::{Entry, Held};
use crate::generation::Generation;
use crate::key::{Key, Writer};
use crate::outcome::Cause;
use crate::policy::conditional;
use crate::policy::freshness::{Rules, Use, usable};
use crate::policy::request::Asks;
use crate::store::memory::Slot;
use crate::store::variants::Variant;
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

/// An entry that is not fresh, or not fresh enough for the request.
#[derive(Clone)]
pub(crate) struct Stale {
    pub(crate) held: Arc<Held>,
    /// Milliseconds.
    pub(crate) age: u64,
    pub(crate) usable: Use,
}

impl Stale {
    /// Whether the handler can be asked if it still holds.
    pub(crate) fn validates(&self) -> bool {
        self.held.entry.rules.has(Rules::VALIDATES)
    }

    /// Makes a request ask so. `false` where there is nothing to ask by.
    pub(crate) fn ask(&self, request: &mut HeaderMap) -> bool {
        conditional::validate(request, &self.held.entry.fields.to_headers())
    }
}

/// Why nothing fresh was found, and what was.
pub(crate) struct Missed {
    pub(crate) cause: Cause,
    pub(crate) stale: Option<Stale>,
}

impl From<Cause> for Missed {
    fn from(cause: Cause) -> Self {
        let stale = None;
        Self { cause, stale }
    }
}

impl Missed {
    /// The later look's word, and the younger of two stale entries.
    fn or_earlier(self, earlier: Option<Stale>) -> Self {
        let stale = match (self.stale, earlier) {
            (Some(a), Some(b)) if b.held.entry.created > a.held.entry.created => Some(b),
            (Some(a), _) => Some(a),
            (None, b) => b,
        };
        Self { stale, ..self }
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

impl Fill {
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
    /// Looks into memory. Beside what was missed stands the place among
    /// answers that vary, where memory knows that they do.
    #[inline]
    pub(crate) fn look_memory(
        &self,
        asked: &Asked<'_>,
        canonical: &Writer,
        headers: &HeaderMap,
    ) -> Result<Found<Arc<Held>>, (Missed, Option<Box<Writer>>)> {
        match self.memory.get(canonical.as_bytes()) {
            Some(Slot::Entry(entry)) => self.fresh(entry, &asked.asks).map_err(|m| (m, None)),
            Some(Slot::Vary(variants, _)) => {
                let names = &variants.names;
                let variant = asked.policy.variant(canonical.as_bytes(), names, headers);
                let entry = self.memory.get(variant.as_bytes()).or_else(|| {
                    let other = asked.policy.spoken(&variants, headers)?;
                    self.memory.get(&other)
                });
                let found = match entry {
                    Some(Slot::Entry(entry)) => self.fresh(entry, &asked.asks),
                    _ => Err(Cause::Variant.into()),
                };
                found.map_err(|missed| (missed, Some(Box::new(variant))))
            }
            None => Err((Cause::New.into(), None)),
        }
    }

    /// An entry in memory, if it is still valid and fresh.
    #[inline]
    fn fresh(&self, held: Arc<Held>, asks: &Asks) -> Result<Found<Arc<Held>>, Missed> {
        if !held.valid(&self.generations) {
            self.memory.remove_entry(&held);
            return Err(Cause::Invalidated.into());
        }
        let age = held.age(self.now());
        match judged(&held.entry, age, asks) {
            Ok(Use::Fresh(ttl)) => Ok(Found {
                entry: held,
                age,
                ttl,
            }),
            Ok(usable) => Err(missed(held, age, usable)),
            Err(cause) => Err(cause.into()),
        }
    }

    /// Looks into the shared store, where there is one. `missed` is what memory
    /// said.
    pub(crate) async fn look_store(
        &self,
        question: &mut Question,
        family: &str,
        headers: &HeaderMap,
        missed: Missed,
    ) -> Result<Found<Entry>, Missed> {
        if self.store.is_none() || question.policy.memory_only {
            return Err(missed);
        }
        let Missed { cause, stale } = missed;
        let found = self.look_shared(question, family, headers, cause).await;
        found.map_err(|missed| missed.or_earlier(stale))
    }

    async fn look_shared(
        &self,
        question: &mut Question,
        family: &str,
        headers: &HeaderMap,
        cause: Cause,
    ) -> Result<Found<Entry>, Missed> {
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
            Ok(Err(Read::Nothing(missed))) => Err(missed),
            Ok(Err(Read::Varies(_))) => Err(Cause::Corrupt.into()), // a marker behind a marker
            Err(_) => {
                self.counters.store_errors(1);
                Err(Cause::StoreError.into())
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
            return Err(Read::nothing(cause));
        };
        let canonical = question.place();
        let key = Key::of(&self.context.prefix, family, canonical);
        let note = self.generations.note(); // before the read: rule 3 of `generation.rs`
        let frame = match store.get(&key).await {
            Ok(Some(frame)) => frame,
            Ok(None) => return Err(Read::nothing(cause)),
            Err(error) => {
                tracing::debug!(target: "larder", %error, "the store could not be read");
                self.counters.store_errors(1);
                return Err(Read::nothing(Cause::StoreError));
            }
        };
        let bounds = Bounds {
            max_body: question.policy.max_body,
            cookies: question.policy.store_set_cookie,
        };
        match codec::decode(frame, &key, canonical, bounds) {
            Ok(Frame::Entry(entry)) if self.late(&entry) => Err(Read::nothing(Cause::Invalidated)),
            Ok(Frame::Entry(entry)) => self.found(entry, note, &question.asks),
            Ok(Frame::Vary(names)) => Err(Read::Varies(names.into())),
            Err(corrupt) => {
                self.corrupt(&key, corrupt).await;
                Err(Read::nothing(Cause::Corrupt))
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
    fn found(&self, entry: Entry, note: Generation, asks: &Asks) -> Result<Found<Entry>, Read> {
        let age = entry.age_at(self.wall());
        let usable = judged(&entry, age, asks).map_err(Read::nothing)?;
        let Use::Fresh(ttl) = usable else {
            let held = Arc::new(Held::new(entry, age, self.now(), note));
            return Err(Read::Nothing(missed(held, age, usable)));
        };
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

    /// Notes a variant, and drops what that puts out of reach or over the bound.
    fn keep_variant(self: &Arc<Self>, varies: &Varies, entry: &Entry) {
        let variant = Variant {
            canonical: Arc::clone(&entry.canonical),
            key: entry.key.clone(),
            language: entry.fields.language(),
        };
        let (canonical, names) = (&varies.canonical, &varies.names);
        let most = self.max_variants;
        self.drop_variants(self.memory.insert_variant(canonical, names, variant, most));
    }

    fn drop_variants(self: &Arc<Self>, out: Vec<Variant>) {
        for variant in out {
            self.memory.remove(&variant.canonical);
            self.unlink(variant.key);
        }
    }

    /// Drops an entry that no longer holds from all tiers, without an
    /// invalidation.
    pub(crate) fn discard(self: &Arc<Self>, held: &Arc<Held>) {
        self.memory.remove_upto(held);
        self.unlink(held.entry.key.clone());
    }

    /// Removes a key from the store in the background.
    fn unlink(self: &Arc<Self>, key: Key) {
        let (Some(_), Ok(runtime)) = (&self.store, Handle::try_current()) else {
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

    /// Keeps an answer in the tiers, unless it was invalidated meanwhile. The
    /// shared store is written in the background.
    pub(crate) fn keep(self: &Arc<Self>, fill: Fill, runtime: Option<&Handle>) {
        if !self.generations.valid(&fill.entry, fill.note) {
            tracing::debug!(target: "larder", key = %fill.entry.key, "invalidated while it was made");
            return;
        }
        match &fill.varies {
            Some(varies) => self.keep_variant(varies, &fill.entry),
            None => {
                self.drop_variants(self.memory.orphans(&fill.entry.canonical, &[]));
                if !self.memory.keeps_entries() {
                    self.memory.remove(&fill.entry.canonical);
                }
            }
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
    Nothing(Missed),
    Varies(Arc<[HeaderName]>),
}

impl Read {
    fn nothing(cause: Cause) -> Self {
        Self::Nothing(cause.into())
    }
}

/// How an entry may be used for a request.
#[inline]
fn judged(entry: &Entry, age: u64, asks: &Asks) -> Result<Use, Cause> {
    if asks.authorized && !entry.rules.has(Rules::SHARES_AUTHORIZED) {
        return Err(Cause::Authorization);
    }
    Ok(usable(
        &entry.lifetime,
        entry.rules,
        age,
        asks.wish.as_ref(),
    ))
}

/// An entry that is there and not fresh enough.
fn missed(held: Arc<Held>, age: u64, usable: Use) -> Missed {
    let life = held.entry.lifetime;
    let cause = match age < life.fresh {
        true => Cause::Request,
        false => Cause::Expired,
    };
    let stale = (age < life.keep.max(life.fresh)).then_some(Stale { held, age, usable });
    Missed { cause, stale }
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
