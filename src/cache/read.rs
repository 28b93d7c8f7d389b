//! Looking into the shared store.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use tokio::runtime::Handle;

use super::engine::Engine;
use super::found::{Found, Missed};
use crate::entry::codec::{self, Bounds, Corrupt, Frame};
use crate::entry::{Entry, Held};
use crate::generation::Standing;
use crate::key::Key;
use crate::outcome::{Cause, Fault, Tier};
use crate::policy::Compiled;
use crate::policy::freshness::{Rules, Use};
use crate::question::Question;
use crate::stats::{Counts, SAMPLE};

/// The clocks of processes are seldom further apart, in microseconds.
const APART: i64 = 250_000;

/// An endpoint as it stands in keys, and what counts its requests.
#[derive(Clone, Copy)]
pub(crate) struct Family<'a> {
    pub(crate) name: &'a str,
    pub(crate) counts: &'a Counts,
}

impl Engine {
    /// What a policy takes from the store.
    fn bounds<'a>(&'a self, policy: &'a Compiled) -> Bounds<'a> {
        Bounds {
            max_body: policy.max_body,
            cookies: policy.store_set_cookie,
            seals: self.wire.seals.as_ref(),
            seen: Some(&policy.seen),
        }
    }

    /// Looks into the shared store, where there is one. `missed` is what memory
    /// said; `now` is the time, in milliseconds on the monotonic clock.
    pub(crate) async fn look_store(
        self: &Arc<Self>,
        question: &mut Question,
        family: Family<'_>,
        headers: &HeaderMap,
        missed: Missed,
        now: u64,
    ) -> Result<Found<Box<Entry>>, Missed> {
        let of_no_use = missed.is_early() || missed.cause == Cause::StoreError;
        if self.store.is_none() || question.policy.memory_only || of_no_use {
            return Err(missed);
        }
        let times = (now, self.until(question, now));
        let look = self.look_shared(question, family, headers, missed.cause, times);
        look.await.map_err(|later| later.or_earlier(missed.stale))
    }

    /// The same, whatever memory said, from now until a time. What it is given moves
    /// into its future once: an `async fn` would keep room for it twice.
    pub(super) fn look_shared<'a>(
        self: &'a Arc<Self>,
        question: &'a mut Question,
        family: Family<'a>,
        headers: &'a HeaderMap,
        cause: Cause,
        (now, until): (u64, u64),
    ) -> impl Future<Output = Result<Found<Box<Entry>>, Missed>> + Send + 'a {
        let key = question.key(&self.context.prefix, family.name);
        async move {
            let fetched = self.fetch(&key, family.counts, (now, until)).await;
            let read = match self.read(fetched, question, &key, (cause, 0)) {
                Ok(found) => return Ok(found),
                Err(Read::Nothing(missed)) => return Err(missed),
                Err(read) => read,
            };
            // in a box of its own: an answer at the first read pays nothing for it
            let at = (key, family, cause);
            Box::pin(self.look_further(read, question, headers, at, until)).await
        }
    }

    /// Goes where the first read has pointed to.
    async fn look_further(
        self: &Arc<Self>,
        read: Read,
        question: &mut Question,
        headers: &HeaderMap,
        (key, family, cause): (Key, Family<'_>, Cause),
        until: u64,
    ) -> Result<Found<Box<Entry>>, Missed> {
        let (key, cause, since) = match read {
            Read::Varies(names) if question.variant.is_none() => {
                self.memory.insert_vary(&question.canonical, &names);
                question.vary(&names, headers);
                let key = question.key(&self.context.prefix, family.name);
                (key, Cause::Variant, 0)
            }
            Read::Elsewhere(key, since) if is_in(&key, family.name) => (key, cause, since),
            read => return Err(self.ended(read, &key)),
        };
        let fetched = self.fetch(&key, family.counts, (self.now(), until)).await;
        match self.read(fetched, question, &key, (cause, since)) {
            Ok(found) => Ok(found),
            Err(read) => Err(self.ended(read, &key)),
        }
    }

    /// A read after which there is none.
    fn ended(self: &Arc<Self>, read: Read, key: &Key) -> Missed {
        match read {
            Read::Nothing(missed) => return missed,
            Read::Corrupt(Corrupt::Unfit) => return Cause::Bounds.into(),
            Read::Corrupt(why) => self.corrupt(key, why),
            Read::Varies(_) | Read::Elsewhere(..) => {} // a marker behind a marker
        }
        Cause::Corrupt.into()
    }

    /// What the store holds under a key, with the clock's number from before it was
    /// asked. Each of its answers has a bound, which is less than what is left until a
    /// time only where some of that is spent.
    async fn fetch(
        self: &Arc<Self>,
        key: &Key,
        counts: &Counts,
        (now, until): (u64, u64),
    ) -> Fetched {
        let Some(store) = &self.store else {
            return Ok((None, 0));
        };
        if !self.has_runtime() {
            self.counters.store_unavailable();
            return Err(Cause::StoreError); // nobody could end the wait for it
        }
        let left = until.saturating_sub(now);
        let spent = left < self.budget_millis();
        let left = Duration::from_millis(left);
        if !self.is_leased(now) {
            let lease = Box::pin(tokio::time::timeout(left, self.lease()));
            if !matches!(lease.await, Ok(true)) {
                return Err(Cause::StoreError);
            }
        }
        let number = self.generations.clock(); // before the read: rule 3 of `generation/mod.rs`
        let times = counts.measures_read();
        let asked = times.map(|_| self.clock.precise());
        let get = store.get(key);
        let answer = match spent {
            false => Some(get.await),
            true => Box::pin(tokio::time::timeout(left, get)).await.ok(),
        };
        if let (Some(times), Some(asked)) = (times, asked) {
            let took = self.clock.precise().saturating_sub(asked);
            counts.measured.redis.record(took, times);
        }
        match answer {
            Some(Ok(frame)) => Ok((frame, number)),
            Some(Err(error)) => {
                tracing::debug!(target: "larder", %error, "the store could not be read");
                self.counters.store_error(&error);
                Err(Cause::StoreError)
            }
            None => {
                self.counters.store_timeout();
                Err(Cause::StoreError)
            }
        }
    }

    /// Reads what was fetched for the place that the question knows by now. Where
    /// nothing was, that is so for `cause`. What was made before `since` is not what was led
    /// to: it comes after, or never.
    fn read(
        self: &Arc<Self>,
        fetched: Fetched,
        question: &Question,
        key: &Key,
        (cause, since): (Cause, u64),
    ) -> Result<Found<Box<Entry>>, Read> {
        let (frame, number) = fetched.map_err(Read::nothing)?;
        let now = self.now();
        let frame = frame.ok_or_else(|| Read::nothing(cause))?;
        let bounds = self.bounds(&question.policy);
        match codec::decode(&frame, key, question.place(), bounds) {
            Ok(Frame::Entry(mut entry)) => match self.holds(&entry, number, now) {
                Standing::Gone => Err(Read::nothing(Cause::Invalidated)),
                _ if entry.created < since => Err(Read::nothing(cause)),
                _ if entry.rules.has(Rules::ALIAS) => Err(Read::elsewhere(&entry)),
                standing => {
                    if let Standing::Aged(aging) = standing {
                        self.age(&mut entry, aging);
                    }
                    self.found(entry, self.numbered(number), question, now)
                }
            },
            Ok(Frame::Vary(names)) => Err(Read::Varies(names.into())),
            Err(why) => Err(Read::Corrupt(why)),
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
        entry: Box<Entry>,
        number: u64,
        question: &Question,
        now: u64,
    ) -> Result<Found<Box<Entry>>, Read> {
        let age = entry.age_at(self.wall_at(now));
        let usable = self
            .judged(&entry, age, &question.asks)
            .map_err(Read::nothing)?;
        let Use::Fresh(ttl) = usable else {
            let held = Arc::new(self.held(*entry, age, number));
            return Err(Read::Nothing(Missed::of(held, Tier::Redis, age, usable)));
        };
        self.flights.may_wait(question.place());
        // a value is kept as what it stands for, once it was read
        let kept = self.memory.keeps_entries() && self.trusts_memory();
        if kept && !entry.rules.has(Rules::VALUE) {
            let held = self.held(Entry::clone(&entry), age, number);
            if let Some(held) = self.keep_read(held, &question.canonical) {
                let runtime = Handle::try_current().ok();
                self.precompress(&held, &question.policy, runtime.as_ref());
            }
        }
        if self.dice.roll().is_multiple_of(SAMPLE) {
            self.asked_for(&entry, &question.policy, SAMPLE);
        }
        Ok(Found {
            entry,
            age,
            ttl,
            number,
        })
    }

    /// Keeps in memory what was read, unless one that began later has come there since, or was
    /// given here and may have: the clocks of processes differ.
    pub(crate) fn keep_read(&self, held: Held, asked: &[u8]) -> Option<Arc<Held>> {
        let (memory, generations) = (&self.memory, &self.generations);
        let _turn = memory.turn(asked);
        let place = &held.entry.canonical;
        let stays = memory.is_later(place, held.began, generations)
            || held.entry.rules.has(Rules::VALUE)
                && memory.is_given(place, self.now())
                && memory.is_later(place, held.began.saturating_sub(APART), generations);
        (!stays).then(|| memory.insert(held, generations)).flatten()
    }

    /// Counts what was asked for, where the policy does not say what it is called.
    pub(crate) fn asked_for(&self, entry: &Entry, policy: &Compiled, times: u64) {
        // a value's key may name somebody
        if policy.watch.label.is_none() && !entry.rules.has(Rules::VALUE) {
            self.counters.asked.saw_perhaps(entry.key.as_str(), times);
        }
    }

    /// What the store holds under a key, with nothing counted or kept.
    pub(crate) async fn peek_store(
        &self,
        question: &Question,
        key: &Key,
    ) -> Result<Option<Frame>, Cause> {
        let Some(store) = &self.store else {
            return Ok(None);
        };
        let bounds = self.bounds(&question.policy);
        match store.get(key).await.map_err(|_| Cause::StoreError)? {
            None => Ok(None),
            Some(frame) => match codec::decode(&frame, key, question.place(), bounds) {
                Ok(frame) => Ok(Some(frame)),
                Err(Corrupt::Unfit) => Err(Cause::Bounds),
                Err(_) => Err(Cause::Corrupt),
            },
        }
    }

    fn corrupt(self: &Arc<Self>, key: &Key, corrupt: Corrupt) {
        match corrupt {
            Corrupt::Damaged(why) => self.damaged(key, why),
            Corrupt::NoFrame if self.context.namespaces.of(key.as_str()).is_some() => {
                self.counts_of(key).fault(Fault::Corrupt);
                if let Some(times) = self.faults.not_ours.happened(self.now()) {
                    tracing::warn!(target: "larder", %key, times, "what lies under a value's name is not larder's: it is left alone, and nothing is written there");
                }
            }
            Corrupt::NoFrame => self.damaged(key, "magic"),
            // another version's, or another's: it will be overwritten
            Corrupt::Foreign | Corrupt::Sealed => self.counts_of(key).fault(Fault::Corrupt),
            Corrupt::Unfit => {} // it is another's, and whole
        }
    }

    /// Removes from the store, behind the request, what is of no use to anybody.
    pub(crate) fn damaged(self: &Arc<Self>, key: &Key, why: &str) {
        self.counts_of(key).fault(Fault::Corrupt);
        if let Some(times) = self.faults.damaged.happened(self.now()) {
            tracing::warn!(target: "larder", %key, why, times, "a damaged entry is removed");
        }
        self.unlink(key.clone());
    }
}

/// What the store holds, if anything, and the clock's number from before; or why it
/// was not asked.
type Fetched = Result<(Option<Bytes>, u64), Cause>;

/// Why a read of the store found no entry.
enum Read {
    Nothing(Missed),
    Corrupt(Corrupt),
    Varies(Arc<[HeaderName]>),
    /// Another name leads to it, since then.
    Elsewhere(Key, u64),
}

impl Read {
    fn nothing(cause: Cause) -> Self {
        Self::Nothing(cause.into())
    }

    fn elsewhere(leads: &Entry) -> Self {
        match str::from_utf8(&leads.body) {
            Ok(name) => Self::Elsewhere(Key::new(name), leads.created),
            Err(_) => Self::nothing(Cause::Corrupt),
        }
    }
}

/// Whether a name lies in a namespace.
fn is_in(key: &Key, namespace: &str) -> bool {
    let rest = key.as_str().strip_prefix(namespace);
    rest.is_some_and(|rest| rest.starts_with(':'))
}
