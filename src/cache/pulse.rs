//! The lease under which this process trusts what it holds, and the beats that
//! renew it.
//!
//! A beat tells the shared clock what this process has seen of it, and hears what
//! it says now. A process that has seen all of it may serve from its tiers until a
//! lease has gone since the beat was *sent*; out of it, it beats before it looks.
//! Who invalidates waits until every row has seen its number, or until its holder
//! can have no lease any more (`confirm`). So a process that hears nothing stops
//! serving what it holds before anybody believes that it has.
//!
//! Beats come while requests do. A process without requests for a lease takes its
//! row away and is silent.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{Either, select};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, Notify};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::engine::Engine;
use super::queue::Queue;
use crate::clock::millis;
use crate::error::{StoreError, StoreErrorKind};
use crate::generation::{Learning, News, Stamp};
use crate::random::token;
use crate::store::fence::{Beat, Fence, Rows, news};
use crate::store::ledger::Ledger;

/// Beats in a lease.
const BEATS: u32 = 3;
/// How long, in milliseconds, what was told may be on its way.
const SOON: u32 = 5;

/// What a process does with its memory while Redis is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Outage {
    /// It is not served once the lease has ended: what other processes invalidate
    /// cannot be heard of.
    #[default]
    Strict,
    /// It is served and filled for so long, counted from the first time that Redis did
    /// not answer. Until Redis answers again, what other processes invalidate is served
    /// on; `Cache-Status` says `detail=outage`.
    Serve(Duration),
}

pub(crate) struct Pulse {
    pub(super) fence: Arc<dyn Fence>,
    /// This process among those that share the clock.
    pub(super) who: String,
    pub(super) lease: Duration,
    /// What is done when there is none to be had.
    outage: Outage,
    /// The end of the lease, or of what stands in for it, in milliseconds on the
    /// monotonic clock.
    until: AtomicU64,
    /// When the clock was first out of reach; 0 while it is not.
    lost: AtomicU64,
    /// A request has come since the last beat.
    used: AtomicBool,
    /// Somebody beats.
    running: AtomicBool,
    /// Attempts to get a lease that have ended, and whether the last one failed.
    attempts: AtomicU64,
    failed: AtomicBool,
    /// Held while a beat is on its way.
    one: Mutex<Known>,
    nudge: Arc<Notify>,
    /// What others tell is heard at once.
    listening: AtomicBool,
    pub(super) queue: Queue,
    /// The rows as somebody has seen them last, and when he began to look.
    pub(super) looked: Mutex<Option<(Instant, Arc<Rows>)>>,
}

/// The epoch that is known, and since when.
#[derive(Default)]
struct Known {
    epoch: u64,
    since: Option<Instant>,
}

impl Pulse {
    pub(super) fn new(fence: Arc<dyn Fence>, lease: Duration, outage: Outage) -> Self {
        Self {
            fence,
            outage,
            lost: AtomicU64::new(0),
            who: token(),
            lease,
            until: AtomicU64::new(0),
            used: AtomicBool::new(false),
            running: AtomicBool::new(false),
            attempts: AtomicU64::new(0),
            failed: AtomicBool::new(false),
            looked: Mutex::default(),
            one: Mutex::default(),
            nudge: Arc::default(),
            listening: AtomicBool::new(false),
            queue: Queue::default(),
        }
    }

    /// After how long nobody who has not been heard of can hold a lease any more,
    /// where the longest is of so long: a tenth more, and two steps of a coarse clock.
    pub(super) fn patience(&self, longest: Duration) -> Duration {
        let longest = longest.max(self.lease);
        longest + longest / 10 + Duration::from_millis(20)
    }

    #[inline]
    fn holds(&self, now: u64) -> bool {
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed); // seldom: its cache line is shared
        }
        let unfenced = cfg!(larder_unfenced); // see `holds` in `look.rs`
        unfenced || now < self.until.load(Ordering::Acquire)
    }

    /// The same, asked by nobody who wants to serve.
    pub(super) fn has_lease(&self, now: u64) -> bool {
        now < self.until.load(Ordering::Acquire)
    }

    pub(super) fn is_listening(&self) -> bool {
        self.listening.load(Ordering::Relaxed)
    }

    /// The clock answers: there is a lease from `sent` on.
    fn leased(&self, sent: u64) {
        let until = sent.saturating_add(millis(self.lease));
        self.until.fetch_max(until, Ordering::AcqRel);
        self.lost.store(0, Ordering::Release);
    }

    /// The clock is out of reach. `true` if memory is served all the same, until the
    /// next beat.
    fn does_without(&self, now: u64) -> bool {
        let Outage::Serve(longest) = self.outage else {
            return false;
        };
        let lost = match self.lost.load(Ordering::Acquire) {
            0 => {
                let now = now.max(1);
                self.lost.store(now, Ordering::Release);
                now
            }
            lost => lost,
        };
        let end = lost.saturating_add(millis(longest));
        if now >= end {
            return false;
        }
        let until = now.saturating_add(millis(self.lease)).min(end);
        self.until.fetch_max(until, Ordering::AcqRel);
        true
    }

    /// Switches all who share the clock. No beat is on its way meanwhile.
    pub(super) async fn switch(&self, off: bool) -> Result<(), StoreError> {
        let _one = self.one.lock().await;
        self.fence.switch(off).await
    }

    fn end_lease(&self) {
        self.until.store(0, Ordering::Release);
    }
}

impl Pulse {
    pub(super) fn ledger(&self) -> &dyn Ledger {
        &*self.fence
    }
}

impl Engine {
    /// Whether this process may serve what it holds.
    #[inline]
    pub(crate) fn is_leased(&self, now: u64) -> bool {
        self.pulse.as_ref().is_none_or(|pulse| pulse.holds(now))
    }

    /// Whether memory is served without a lease: the clock is out of reach.
    #[inline]
    pub(crate) fn is_outage(&self) -> bool {
        let pulse = self.pulse.as_ref();
        pulse.is_some_and(|pulse| pulse.lost.load(Ordering::Relaxed) != 0)
    }

    /// Gets a lease, for all who wait together. `false` where the store cannot be
    /// asked.
    pub(crate) async fn lease(self: &Arc<Self>) -> bool {
        let (Some(pulse), Ok(runtime)) = (&self.pulse, Handle::try_current()) else {
            return self.pulse.is_none();
        };
        let before = pulse.attempts.load(Ordering::Acquire);
        let engine = Arc::clone(self);
        // in a task: one whose caller's time is up tells the breaker all the same
        let attempt = runtime.spawn(async move { engine.attempt(before).await });
        let leased = matches!(
            tokio::time::timeout(self.budget, attempt).await,
            Ok(Ok(true))
        );
        if !leased {
            self.counters.store_unavailable();
        }
        leased
    }

    /// Tries to get a lease, unless that has failed since `before`.
    async fn attempt(self: &Arc<Self>, before: u64) -> bool {
        let Some(pulse) = &self.pulse else {
            return true;
        };
        let known = match pulse.failed.load(Ordering::Acquire) {
            false => Some(pulse.one.lock().await),
            // one that tries is enough: the others do not wait for it
            true => pulse.one.try_lock().ok(),
        };
        let Some(mut known) = known else {
            return false;
        };
        if self.is_leased(self.now()) {
            return true;
        }
        if pulse.attempts.load(Ordering::Acquire) != before {
            return false;
        }
        let leased = self.beat(pulse, &mut known).await.unwrap_or(false);
        if leased {
            self.begin_beating();
        }
        leased
    }

    /// A beat, counted when it has ended.
    async fn beat(self: &Arc<Self>, pulse: &Pulse, known: &mut Known) -> Result<bool, StoreError> {
        let mut done = self.beat_once(pulse, known).await;
        if !matches!(done, Ok(true)) && pulse.does_without(self.now()) {
            done = Ok(true);
        }
        let again = pulse.failed.swap(done.is_err(), Ordering::AcqRel);
        pulse.attempts.fetch_add(1, Ordering::AcqRel);
        if let Err(error) = &done
            && error.kind() == StoreErrorKind::Refused
            && !again
        {
            tracing::warn!(target: "larder", %error, "redis refuses the shared clock: neither it nor memory is used");
        }
        done
    }

    /// One beat, and where something was missed, a look at the whole and another
    /// one, which tells that.
    async fn beat_once(
        self: &Arc<Self>,
        pulse: &Pulse,
        known: &mut Known,
    ) -> Result<bool, StoreError> {
        for _ in 0..2 {
            let (sent, seen) = (self.now(), self.generations.stamp());
            let ripe = known.epoch == seen.epoch
                && known
                    .since
                    .is_some_and(|since| since.elapsed() >= pulse.patience(Duration::ZERO));
            let beat = Beat {
                who: &pulse.who,
                seen,
                ripe,
                lease: pulse.lease,
            };
            let heard = pulse.fence.beat(beat).await?;
            self.heard_off(heard.off);
            if self.hears_soon(heard.clock).await {
                pulse.leased(sent);
                self.replay(pulse);
                return Ok(true);
            }
            self.resync(pulse, known).await?;
        }
        Ok(false)
    }

    /// Hears of an invalidation. `false` if something before it is missing.
    fn hear(self: &Arc<Self>, pulse: &Pulse, news: Option<&News>) -> bool {
        let learning = news.map(|news| self.generations.learn(news, self.now()));
        match learning {
            Some(Learning::Known) => return true,
            Some(Learning::New { crowded: true }) => self.forget_soon(),
            // what is missing shows at the beat
            Some(Learning::New { crowded: false } | Learning::Gap) | None => {}
        }
        pulse.nudge.notify_one(); // who waits for it is told at once
        matches!(learning, Some(Learning::New { .. }))
    }

    /// Learns what became of an own invalidation: it must not be missing here when
    /// the call returns.
    pub(super) async fn learn(
        self: &Arc<Self>,
        pulse: &Pulse,
        news: &News,
    ) -> Result<(), StoreError> {
        if self.hear(pulse, Some(news)) || self.hears_soon(news.stamp).await {
            return Ok(());
        }
        let mut known = pulse.one.lock().await;
        match self.generations.stamp().covers(news.stamp) {
            true => Ok(()),
            false => self.resync(pulse, &mut known).await,
        }
    }

    /// Whether what is missing comes by itself: it is on its way, as a rule.
    async fn hears_soon(&self, stamp: Stamp) -> bool {
        for _ in 0..SOON {
            let known = self.generations.stamp();
            if known.covers(stamp) || known.epoch != stamp.epoch {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.generations.stamp().covers(stamp)
    }

    /// Takes over all that the clock knows.
    async fn resync(self: &Arc<Self>, pulse: &Pulse, known: &mut Known) -> Result<(), StoreError> {
        let snapshot = pulse.fence.snapshot().await?;
        if known.epoch != snapshot.stamp.epoch {
            *known = Known {
                epoch: snapshot.stamp.epoch,
                since: Some(Instant::now()),
            };
        }
        if self.generations.resync(snapshot, self.now()) {
            self.forget_soon();
        }
        Ok(())
    }

    pub(super) fn begin_beating(self: &Arc<Self>) {
        let (Some(pulse), Ok(runtime)) = (&self.pulse, Handle::try_current()) else {
            return;
        };
        if pulse.running.swap(true, Ordering::AcqRel) {
            return;
        }
        let fence = Arc::clone(&pulse.fence);
        let pause = pulse.lease / BEATS;
        let listening = runtime.spawn(listen(Arc::downgrade(self), fence, pause));
        let running = Running(Arc::downgrade(self), listening.abort_handle());
        let nudge = Arc::clone(&pulse.nudge);
        let (fence, who) = (Arc::clone(&pulse.fence), pulse.who.clone());
        let (engine, beating) = (Arc::downgrade(self), Arc::downgrade(self));
        runtime.spawn(async move {
            beats(beating, pause, nudge, running).await;
            if engine.strong_count() == 0 {
                let _ = fence.leave(&who, None).await; // nobody need wait for it
            }
        });
    }

    /// Takes this process' row away: nobody need wait for it.
    pub(super) async fn resign(self: &Arc<Self>) {
        let Some(pulse) = &self.pulse else { return };
        let _one = pulse.one.lock().await;
        pulse.end_lease();
        if self.generations.stamp().is_known()
            && let Err(error) = pulse.fence.leave(&pulse.who, None).await
        {
            tracing::debug!(target: "larder", %error, "a row is left behind");
        }
    }
}

/// Somebody beats, until this is dropped, with its runtime at the latest.
struct Running(Weak<Engine>, AbortHandle);

impl Drop for Running {
    fn drop(&mut self) {
        self.1.abort();
        if let Some(engine) = self.0.upgrade()
            && let Some(pulse) = &engine.pulse
        {
            pulse.running.store(false, Ordering::Release);
        }
    }
}

/// Somebody listens, until this is dropped.
struct Listening(Weak<Engine>);

impl Listening {
    fn new(engine: &Weak<Engine>) -> Self {
        let listening = Self(Weak::clone(engine));
        listening.set(true);
        listening
    }

    fn set(&self, listening: bool) {
        if let Some(engine) = self.0.upgrade()
            && let Some(pulse) = &engine.pulse
        {
            pulse.listening.store(listening, Ordering::Relaxed);
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.set(false);
    }
}

/// Beats, until no request has come for a lease.
async fn beats(engine: Weak<Engine>, every: Duration, nudge: Arc<Notify>, running: Running) {
    let (mut idle, mut next) = (0, Instant::now() + every);
    loop {
        let pause = pin!(tokio::time::sleep_until(next));
        let nudged = match select(pin!(nudge.notified()), pause).await {
            Either::Left(_) => true,
            Either::Right(_) => {
                next = Instant::now() + every;
                false
            }
        };
        let Some(engine) = engine.upgrade() else {
            return;
        };
        let Some(pulse) = &engine.pulse else { return };
        if !nudged {
            idle = match pulse.used.swap(false, Ordering::Relaxed) {
                true => 0,
                false => idle + 1,
            };
        }
        let silent = idle >= BEATS && pulse.queue.is_empty();
        if silent || engine.renewals.is_closed() {
            engine.resign().await;
            drop(running);
            return;
        }
        let mut known = pulse.one.lock().await;
        if let Err(error) = engine.beat(pulse, &mut known).await {
            engine.counters.store_error(&error);
            tracing::debug!(target: "larder", %error, "a beat has failed");
        }
    }
}

/// Hears what is told, and begins again when the connection ends. What was told in
/// between shows at the next beat.
async fn listen(engine: Weak<Engine>, fence: Arc<dyn Fence>, pause: Duration) {
    loop {
        if let Ok(mut messages) = fence.listen().await {
            let _heard = Listening::new(&engine);
            while let Some(message) = messages.next().await {
                let Some(engine) = engine.upgrade() else {
                    return;
                };
                let Some(pulse) = &engine.pulse else { return };
                let _ = engine.hear(pulse, news(&message).as_ref());
            }
        }
        tokio::time::sleep(pause).await;
    }
}
