//! The engine: everything that the handles and services of one cache share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::advise::Advisor;
use super::guard::{self, Callback};
use super::place::Places;
use super::pulse::Pulse;
use super::reclaim::Clearing;
use super::switch::Switch;
use super::trail::Trail;
use crate::clock::{Clock, millis, unix_millis};
use crate::entry::{Budget, Wire};
use crate::explain::Layers;
use crate::flight::{Flight, Flights};
use crate::generation::{Generation, Generations};
use crate::lasting::Lasting;
use crate::outcome::Bypass;
use crate::policy::{Compiled, Context, RequestHead};
use crate::question::Question;
use crate::stats::Counters;
use crate::status::StatusField;
use crate::store::Store;
use crate::store::memory::Memory;
use crate::tasks::Tasks;
use crate::timers::Timers;

pub(crate) type TenantFn = Arc<dyn Fn(&RequestHead<'_>) -> Option<String> + Send + Sync>;

pub(crate) struct Engine {
    pub(crate) memory: Memory,
    pub(crate) store: Option<Box<dyn Store>>,
    /// How entries are written to the store.
    pub(crate) wire: Wire,
    pub(crate) generations: Generations,
    /// The lease, where instances share a clock.
    pub(crate) pulse: Option<Pulse>,
    /// What is being written to the store.
    pub(super) places: Arc<Places>,
    /// What invalidations are clearing away.
    pub(super) clearing: Clearing,
    /// What is recorded and not yet an entry.
    pub(crate) in_flight: Arc<Budget>,
    /// What waits to be written to the store.
    pub(super) unwritten: Arc<Budget>,
    /// Fills that are under way.
    pub(crate) flights: Arc<Flights>,
    pub(crate) dice: Dice,
    /// Renewals that may go on at a time; none once the cache shuts down.
    pub(crate) renewals: Semaphore,
    /// Bodies that may be coded at a time.
    pub(crate) coders: Semaphore,
    /// Entries that may wait for that.
    pub(crate) to_code: Semaphore,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tasks: Tasks,
    pub(super) timers: Timers,
    pub(crate) counters: Counters,
    pub(crate) layers: Layers,
    pub(crate) faults: Faults,
    pub(super) switch: Switch,
    pub(crate) advisor: Advisor,
    pub(super) trail: Trail,
    #[cfg_attr(not(feature = "metrics"), allow(dead_code, reason = "metrics have it"))]
    pub(crate) metrics_name: Option<String>,
    /// What policies are compiled with.
    pub(crate) context: Context,
    pub(crate) tenant: Option<TenantFn>,
    pub(crate) per_request: Vec<HeaderName>,
    pub(crate) status: StatusField,
    /// More variants of one resource than this are not kept.
    pub(crate) max_variants: usize,
    /// How long a request may wait for the cache, in all.
    pub(crate) budget: Duration,
}

/// Faults that may last: each is told once a minute.
#[derive(Default)]
pub(crate) struct Faults {
    pub(crate) damaged: Lasting,
    pub(crate) late: Lasting,
    pub(crate) no_runtime: Lasting,
    pub(crate) not_ours: Lasting,
    pub(crate) unwritten: Lasting,
    pub(crate) forgotten: Lasting,
    /// Entries that are invalid could not be removed.
    pub(crate) left: Lasting,
    /// A tag, and a declared selector, could not be made.
    pub(crate) untagged: Lasting,
    pub(crate) undeclared: Lasting,
    #[cfg_attr(not(feature = "values"), allow(dead_code, reason = "a value's"))]
    pub(crate) unencoded: Lasting,
    pub(crate) jumped: Lasting,
    /// By what they are for.
    pub(crate) callbacks: [Lasting; Callback::KINDS],
}

/// Writes of one key that are under way, and the earliest of their numbers.
pub(crate) struct Writes {
    pub(crate) note: Generation,
    pub(crate) count: usize,
}

/// Random numbers that need not be secret.
#[derive(Default)]
pub(crate) struct Dice {
    hasher: ahash::RandomState,
    rolled: AtomicU64,
}

impl Dice {
    pub(crate) fn roll(&self) -> u64 {
        self.hasher
            .hash_one(self.rolled.fetch_add(1, Ordering::Relaxed))
    }

    /// Evenly random, from 0 to 1.
    pub(crate) fn chance(&self) -> f64 {
        (self.roll() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

impl Engine {
    /// Milliseconds on the monotonic clock.
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        millis(self.clock.monotonic())
    }

    /// Keeps entries and what is in flight within the memory tier's bound together:
    /// what flies takes its room from the entries, in steps.
    pub(crate) fn balance(&self) {
        self.memory.yield_to(self.in_flight.used());
    }

    /// The tenant of a request, where the cache asks for one.
    pub(crate) fn tenant_of(&self, head: &RequestHead<'_>) -> Result<Option<String>, Bypass> {
        let Some(tenant) = &self.tenant else {
            return Ok(None);
        };
        match guard::call(self, Callback::Tenant, || tenant(head)) {
            Some(Some(tenant)) => Ok(Some(tenant)),
            _ => Err(Bypass::NoTenant),
        }
    }

    /// Whether a hit under this policy is checked with the handler.
    #[inline]
    pub(crate) fn is_verified(&self, policy: &Compiled) -> bool {
        policy.watch.verify > 0.0 && self.dice.chance() < policy.watch.verify
    }

    /// How long it is since `start` on the monotonic clock.
    pub(crate) fn since(&self, start: u64) -> Duration {
        Duration::from_millis(self.now().saturating_sub(start))
    }

    /// Whether there is a tier where answers may lie, all of them or those for memory alone.
    pub(crate) fn has_place(&self, memory_only: bool) -> bool {
        self.memory.keeps_entries() || self.is_written(memory_only)
    }

    /// Whether an entry of so many bytes may find a place, where there is any.
    pub(crate) fn may_keep(&self, bytes: u64, memory_only: bool) -> bool {
        let memory = &self.memory;
        !memory.keeps_entries() || self.is_written(memory_only) || memory.has_room(bytes)
    }

    /// Whether answers are written to a store, all of them or those for memory alone.
    pub(crate) fn is_written(&self, memory_only: bool) -> bool {
        self.store.is_some() && !memory_only
    }

    /// Whether this thread has a runtime with timers: without one nobody could go on
    /// with a fill, or end a wait for a handler or the store.
    pub(crate) fn has_runtime(&self) -> bool {
        self.runtime().is_some()
    }

    /// That runtime.
    pub(crate) fn runtime(&self) -> Option<Handle> {
        let runtime = Handle::try_current().ok();
        runtime.filter(|runtime| self.timers.are_there(runtime))
    }

    /// Counts a fill that goes on without its request among what runs in the
    /// background, for so long at most.
    pub(crate) fn watch_over(&self, flight: &Arc<Flight>, longest: Duration) {
        if let Some(runtime) = self.runtime() {
            let over = tokio::time::timeout(longest, Arc::clone(flight).over());
            drop(self.tasks.spawn(&runtime, over));
        }
    }

    /// Until when a request may wait for the store, in milliseconds on the monotonic
    /// clock: all its questions together have the time of one.
    pub(crate) fn until(&self, question: &mut Question, now: u64) -> u64 {
        let began = *question.began.get_or_insert(now);
        began.saturating_add(self.budget_millis())
    }

    /// For how long one question may take, in milliseconds.
    pub(super) fn budget_millis(&self) -> u64 {
        millis(self.budget).max(1)
    }

    /// What is left of that time.
    pub(crate) fn left(&self, question: &mut Question) -> Duration {
        let now = self.now();
        Duration::from_millis(self.until(question, now).saturating_sub(now))
    }

    /// The time of day as a `Date`.
    pub(crate) fn date(&self) -> HeaderValue {
        let date = httpdate::fmt_http_date(self.clock.wall());
        HeaderValue::from_str(&date).unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    /// Fields that are not stored under a policy, for they belong to one
    /// request. RFC 9111 (3.1) knows none.
    pub(crate) fn per_request(&self, policy: &Compiled) -> &[HeaderName] {
        match policy.http {
            true => &[],
            false => &self.per_request,
        }
    }

    /// Milliseconds since 1970, for what leaves the process: by the clock that all who
    /// share a Redis go by, or by this host's where there is none.
    pub(crate) fn wall(&self) -> u64 {
        self.wall_at(self.now())
    }

    /// The same where the monotonic clock is known.
    pub(super) fn wall_at(&self, now: u64) -> u64 {
        let shared = self.pulse.as_ref();
        let shared = shared.and_then(|pulse| pulse.time.at(now));
        shared.unwrap_or_else(|| unix_millis(self.clock.wall()))
    }
}
