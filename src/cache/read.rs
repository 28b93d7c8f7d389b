//! Looking into the shared store.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName};
use tokio::runtime::Handle;

use super::engine::Engine;
use super::found::{Found, Missed};
use crate::ask::Question;
use crate::entry::codec::{self, Bounds, Corrupt, Frame};
use crate::entry::{Entry, Held};
use crate::generation::Standing;
use crate::key::Key;
use crate::outcome::{Cause, Fault, Tier};
use crate::policy::Compiled;
use crate::policy::freshness::{Rules, Use};
use crate::stats::Counts;
use crate::store::Removal;

impl Engine {
    /// Looks into the shared store, where there is one. `missed` is what memory
    /// said.
    pub(crate) async fn look_store(
        self: &Arc<Self>,
        question: &mut Question,
        family: &str,
        headers: &HeaderMap,
        missed: Missed,
    ) -> Result<Found<Entry>, Missed> {
        let of_no_use = missed.is_early() || missed.cause == Cause::StoreError;
        if self.store.is_none() || question.policy.memory_only || of_no_use {
            return Err(missed);
        }
        let Missed { cause, stale } = missed;
        let left = self.left(question);
        let look = self.look_shared(question, family, headers, cause);
        let found = match left == self.budget {
            true => look.await, // each read has a bound of its own
            false => tokio::time::timeout(left, look).await.unwrap_or_else(|_| {
                self.counters.store_timeout();
                Err(Cause::StoreError.into())
            }),
        };
        found.map_err(|missed| missed.or_earlier(stale))
    }

    pub(super) async fn look_shared(
        self: &Arc<Self>,
        question: &mut Question,
        family: &str,
        headers: &HeaderMap,
        cause: Cause,
    ) -> Result<Found<Entry>, Missed> {
        let start = self.now();
        let key = question.key(&self.context.prefix, family);
        match self.read(question, &key, cause).await {
            Err(Read::Varies(names)) if question.variant.is_none() => {
                self.memory.insert_vary(&question.canonical, &names);
                question.vary(&names, headers);
                // in a box of its own: an answer at the first read pays nothing for it
                let key = question.key(&self.context.prefix, family);
                Box::pin(self.read_next(question, &key, Cause::Variant, start)).await
            }
            Err(Read::Elsewhere(key)) if is_in(&key, family) => {
                Box::pin(self.read_next(question, &key, cause, start)).await
            }
            found => found.map_err(Missed::from),
        }
    }

    /// The second read of a request that began at `start`: both together have
    /// one timeout; each has its own already.
    async fn read_next(
        self: &Arc<Self>,
        question: &Question,
        key: &Key,
        cause: Cause,
        start: u64,
    ) -> Result<Found<Entry>, Missed> {
        let spent = Duration::from_millis(self.now().saturating_sub(start));
        let left = self.budget.saturating_sub(spent);
        let again = self.read(question, key, cause);
        match tokio::time::timeout(left, again).await {
            Ok(found) => found.map_err(Missed::from),
            Err(_) => {
                self.counters.store_timeout();
                Err(Cause::StoreError.into())
            }
        }
    }

    /// One read of the store, for the place that the question knows by now.
    async fn read(
        self: &Arc<Self>,
        question: &Question,
        key: &Key,
        cause: Cause,
    ) -> Result<Found<Entry>, Read> {
        let Some(store) = &self.store else {
            return Err(Read::nothing(cause));
        };
        if !self.is_leased(self.now()) && !self.lease().await {
            return Err(Read::nothing(Cause::StoreError));
        }
        let canonical = question.place();
        let number = self.generations.clock(); // before the read: rule 3 of `generation/mod.rs`
        let asked = self.clock.precise();
        let answer = store.get(key).await;
        let took = self.clock.precise().saturating_sub(asked);
        self.counts_of(key).measured.redis.record(took, 1);
        let frame = match answer {
            Ok(Some(frame)) => frame,
            Ok(None) => return Err(Read::nothing(cause)),
            Err(error) => {
                tracing::debug!(target: "larder", %error, "the store could not be read");
                self.counters.store_error(&error);
                return Err(Read::nothing(Cause::StoreError));
            }
        };
        let bounds = Bounds {
            max_body: question.policy.max_body,
            cookies: question.policy.store_set_cookie,
            seals: self.wire.seals.as_ref(),
        };
        match codec::decode(&frame, key, canonical, bounds) {
            Ok(Frame::Entry(mut entry)) => match self.holds(&entry, number) {
                Standing::Gone => Err(Read::nothing(Cause::Invalidated)),
                _ if entry.rules.has(Rules::ALIAS) => Err(Read::elsewhere(&entry.body)),
                standing => {
                    if let Standing::Aged(aging) = standing {
                        self.age(&mut entry, aging);
                    }
                    self.found(entry, self.numbered(number), question)
                }
            },
            Ok(Frame::Vary(names)) => Err(Read::Varies(names.into())),
            Err(corrupt) => {
                Box::pin(self.corrupt(key, corrupt)).await;
                Err(Read::nothing(Cause::Corrupt))
            }
        }
    }

    /// An entry of this age, from now on.
    pub(crate) fn held(&self, entry: Entry, age: u64, number: u64) -> Held {
        let counts = self.counts_of(&entry.key);
        Held::new(entry, age, self.now(), number, counts)
    }

    /// The counters of an entry's endpoint, or of a value's namespace.
    pub(crate) fn counts_of(&self, key: &Key) -> Arc<Counts> {
        match self.context.namespaces.of(key.as_str()) {
            Some(namespace) => self.counters.endpoint(&namespace),
            None => self.counters.of(key),
        }
    }

    /// An entry from the store: served if fresh, and kept in memory.
    fn found(
        self: &Arc<Self>,
        entry: Entry,
        number: u64,
        question: &Question,
    ) -> Result<Found<Entry>, Read> {
        let age = entry.age_at(self.wall());
        let usable = self
            .judged(&entry, age, &question.asks)
            .map_err(Read::nothing)?;
        let Use::Fresh(ttl) = usable else {
            let held = Arc::new(self.held(entry, age, number));
            return Err(Read::Nothing(Missed::of(held, Tier::Redis, age, usable)));
        };
        // a value is kept as what it stands for, once it was read
        if self.memory.keeps_entries() && !entry.rules.has(Rules::VALUE) {
            let held = self.held(entry.clone(), age, number);
            if let Some(held) = self.memory.insert(held, &self.generations) {
                let runtime = Handle::try_current().ok();
                self.precompress(held, &question.policy, runtime.as_ref());
            }
        }
        self.asked_for(&entry, &question.policy);
        Ok(Found {
            entry,
            age,
            ttl,
            number,
        })
    }

    /// Counts what was asked for, where the policy does not say what it is called.
    pub(crate) fn asked_for(&self, entry: &Entry, policy: &Compiled) {
        // a value's key may name somebody
        if policy.watch.label.is_none() && !entry.rules.has(Rules::VALUE) {
            self.counters.asked.saw_perhaps(entry.key.as_str(), 1);
        }
    }

    /// What the store holds under a key, with nothing counted or kept.
    pub(crate) async fn peek_store(
        &self,
        question: &Question,
        key: &Key,
    ) -> Result<Option<Entry>, Cause> {
        let Some(store) = &self.store else {
            return Ok(None);
        };
        let bounds = Bounds {
            max_body: question.policy.max_body,
            cookies: question.policy.store_set_cookie,
            seals: self.wire.seals.as_ref(),
        };
        match store.get(key).await.map_err(|_| Cause::StoreError)? {
            None => Ok(None),
            Some(frame) => match codec::decode(&frame, key, question.place(), bounds) {
                Ok(Frame::Entry(entry)) => Ok(Some(entry)),
                Ok(Frame::Vary(_)) => Err(Cause::Variant),
                Err(_) => Err(Cause::Corrupt),
            },
        }
    }

    async fn corrupt(&self, key: &Key, corrupt: Corrupt) {
        match corrupt {
            Corrupt::Damaged(why) => self.damaged(key, why).await,
            // another version's, or another's: it will be overwritten
            Corrupt::Foreign | Corrupt::Sealed => self.counts_of(key).fault(Fault::Corrupt),
        }
    }

    /// Removes from the store what is of no use to anybody.
    pub(crate) async fn damaged(&self, key: &Key, why: &str) {
        self.counts_of(key).fault(Fault::Corrupt);
        if let Some(times) = self.faults.damaged.happened(self.now()) {
            tracing::warn!(target: "larder", %key, why, times, "a damaged entry is removed");
        }
        if let Some(store) = &self.store {
            let _ = store.remove(Removal::Key(key)).await; // the fill overwrites it anyway
        }
    }
}

/// Why a read of the store found no entry.
enum Read {
    Nothing(Missed),
    Varies(Arc<[HeaderName]>),
    /// Another name leads to it.
    Elsewhere(Key),
}

impl Read {
    fn nothing(cause: Cause) -> Self {
        Self::Nothing(cause.into())
    }

    fn elsewhere(name: &[u8]) -> Self {
        match str::from_utf8(name) {
            Ok(name) => Self::Elsewhere(Key::new(name)),
            Err(_) => Self::nothing(Cause::Corrupt),
        }
    }
}

/// Whether a name lies in a namespace.
fn is_in(key: &Key, namespace: &str) -> bool {
    let rest = key.as_str().strip_prefix(namespace);
    rest.is_some_and(|rest| rest.starts_with(':'))
}

impl From<Read> for Missed {
    fn from(read: Read) -> Self {
        match read {
            Read::Nothing(missed) => missed,
            // a marker behind a marker
            Read::Varies(_) | Read::Elsewhere(_) => Cause::Corrupt.into(),
        }
    }
}
