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
//! row away and is silent. It listens on: what is erased is to leave its memory too.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{Mutex, Notify};
use tokio::time::Instant;

use super::engine::Engine;
use super::listen::{Ear, Listeners};
use super::queue::Queue;
use super::sharing::{Outage, Sharing};
use super::strangers::Strangers;
use super::sweep::Erasing;
use super::time::SharedTime;
use super::trouble::Trouble;
use super::turns::{BEAT, Turn, Turns};
use crate::clock::millis;
use crate::error::{StoreError, StoreErrorKind};
use crate::generation::{Rule, keeps};
use crate::random::token;
use crate::shift::Shift;
use crate::store::fence::{Beat, Fence, Rows};
use crate::store::ledger::Ledger;

pub(crate) struct Pulse {
    pub(super) fence: Arc<dyn Fence>,
    /// This process among those that share the clock, until it resigns.
    who: RwLock<Arc<str>>,
    pub(super) lease: Duration,
    /// The longest lease that was ever heard of, in milliseconds: it may outlive its
    /// clock.
    pub(super) longest: AtomicU64,
    /// Changes of entries by other hands are heard.
    pub(super) tracks: bool,
    /// What is done when there is none to be had.
    outage: Outage,
    /// The end of the lease, or of what stands in for it, in milliseconds on the
    /// monotonic clock.
    until: AtomicU64,
    /// When the clock was first out of reach; 0 while it is not.
    lost: AtomicU64,
    /// A request has come since the last beat.
    pub(super) used: AtomicBool,
    /// Who beats.
    pub(super) beating: Shift,
    /// Beats that have begun, and what was wrong with the last one that ended.
    begun: AtomicU64,
    pub(super) trouble: Trouble,
    /// Who beats.
    pub(super) turns: Turns,
    pub(super) nudge: Arc<Notify>,
    /// Who hears at once what others tell.
    pub(super) listening: Listeners,
    /// Beats in a row that told what nobody had.
    pub(super) missed: AtomicU32,
    /// Who hears it.
    pub(super) ear: Ear,
    pub(super) strangers: Strangers,
    pub(super) erasing: Erasing,
    pub(super) queue: Queue,
    pub(super) time: SharedTime,
    /// The rows as somebody has seen them last, and when he began to look.
    pub(super) looked: Mutex<Option<(Instant, Arc<Rows>)>>,
}

impl Pulse {
    pub(super) fn new(fence: Arc<dyn Fence>, sharing: Sharing) -> Self {
        Self {
            fence,
            tracks: sharing.tracks,
            outage: sharing.outage,
            lease: sharing.lease,
            longest: AtomicU64::new(millis(sharing.lease)),
            lost: AtomicU64::new(0),
            who: RwLock::new(token().into()),
            until: AtomicU64::new(0),
            used: AtomicBool::new(false),
            beating: Shift::default(),
            begun: AtomicU64::new(0),
            trouble: Trouble::default(),
            looked: Mutex::default(),
            turns: Turns::default(),
            nudge: Arc::default(),
            listening: Listeners::default(),
            missed: AtomicU32::new(0),
            ear: Ear::default(),
            strangers: Strangers::default(),
            erasing: Erasing::default(),
            queue: Queue::default(),
            time: SharedTime::default(),
        }
    }

    /// Its name, under which its row stands.
    pub(super) fn who(&self) -> Arc<str> {
        let who = self.who.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&who)
    }

    /// Another one: what is still on its way to the old row does not reach the next.
    pub(super) fn rename(&self) {
        if keeps(Rule::RowsOfOneLease) {
            *self.who.write().unwrap_or_else(PoisonError::into_inner) = token().into();
        }
    }

    #[inline]
    fn holds(&self, now: u64) -> bool {
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed); // seldom: its cache line is shared
        }
        let unfenced = cfg!(larder_unfenced) || !keeps(Rule::LeaseFirst); // see `standing.rs`
        unfenced || now < self.until.load(Ordering::Acquire)
    }

    /// The same, asked by nobody who wants to serve.
    pub(super) fn has_lease(&self, now: u64) -> bool {
        now < self.until.load(Ordering::Acquire)
    }

    pub(super) fn is_listening(&self) -> bool {
        self.listening.any()
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
    pub(super) async fn switch(&self, off: bool, longest: Duration) -> Result<(), StoreError> {
        let _turn = self.turns.take(longest).await;
        self.fence.switch(off).await
    }

    pub(super) fn end_lease(&self) {
        self.until.store(0, Ordering::Release);
    }

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

    /// Whether it is served and filled so now: `Outage::Serve` has a bound.
    pub(crate) fn serves_alone(&self) -> bool {
        self.is_outage() && self.is_leased(self.now())
    }

    /// Gets a lease, for all who wait together. `false` where the store cannot be
    /// asked.
    pub(crate) async fn lease(self: &Arc<Self>) -> bool {
        let (Some(pulse), Some(runtime)) = (&self.pulse, self.runtime()) else {
            return self.pulse.is_none();
        };
        let before = pulse.begun.load(Ordering::Acquire);
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

    /// Tries to get a lease, unless a beat that has begun after the first `before`, or
    /// one that failed shortly before, has shown that there is none.
    async fn attempt(self: &Arc<Self>, before: u64) -> bool {
        let Some(pulse) = &self.pulse else {
            return true;
        };
        if pulse.trouble.rests() {
            return false;
        }
        let failed = pulse.trouble.has_failed();
        let turn = match failed {
            false => {
                let turn = pulse.turns.take(self.longest_beat());
                tokio::time::timeout(self.budget, turn).await.ok()
            }
            // one that tries is enough: the others do not wait for it
            true => pulse.turns.try_take(self.longest_beat()),
        };
        let Some(turn) = turn else {
            return false;
        };
        if self.is_leased(self.now()) {
            return true;
        }
        let fails = !failed && pulse.trouble.has_failed();
        if fails || pulse.begun.load(Ordering::Acquire) != before {
            return false;
        }
        let leased = self.beat(pulse, &turn).await.unwrap_or(false);
        if leased {
            self.begin_beating();
        }
        leased
    }

    /// How long a beat may take.
    pub(super) fn longest_beat(&self) -> Duration {
        self.budget * BEAT
    }

    /// A beat. `false` too where it took so long that it is another's turn.
    pub(super) async fn beat(
        self: &Arc<Self>,
        pulse: &Pulse,
        turn: &Turn<'_>,
    ) -> Result<bool, StoreError> {
        pulse.begun.fetch_add(1, Ordering::AcqRel);
        let sent = Instant::now();
        let mut done = self.beat_once(pulse, turn).await;
        if !turn.lasts() {
            return Ok(false);
        }
        let (error, took) = (done.as_ref().err(), sent.elapsed());
        pulse.trouble.ended(error, took, pulse.is_asked());
        if !matches!(done, Ok(true)) && pulse.does_without(self.now()) {
            done = Ok(true);
        }
        pulse.trouble.set_failed(done.is_err());
        done
    }

    /// One beat, and where something was missed, a look at the whole and another
    /// one, which tells that; one more where the clock has to begin anew first.
    async fn beat_once(
        self: &Arc<Self>,
        pulse: &Pulse,
        turn: &Turn<'_>,
    ) -> Result<bool, StoreError> {
        let mut ended = None;
        for _ in 0..3 {
            let (sent, seen, who) = (self.now(), self.generations.stamp(), pulse.who());
            let strangers = pulse.strangers.heard();
            let ripe = turn.goes_on(self.longest_beat(), |known| {
                let since = known.since.filter(|_| known.epoch == seen.epoch);
                since.is_some_and(|since| since.elapsed() >= pulse.patience())
            });
            let beat = Beat {
                who: &who,
                seen,
                ended,
                ripe: ripe.ok_or_else(over)?,
                lease: pulse.lease,
            };
            let heard = pulse.fence.beat(beat).await?;
            let now = self.now();
            let told = turn.with(|_| {
                self.heard_off(heard.off);
                pulse.heard_of(heard.lease);
                let time = &pulse.time;
                time.heard(heard.clock.epoch, heard.time, (sent, now))
            });
            if told.ok_or_else(over)?
                && let Some(times) = self.faults.jumped.happened(now)
            {
                tracing::warn!(target: "larder", times, "the time of day of redis has jumped, and ages are counted by it from now on");
            }
            self.has_beaten(pulse);
            let epoch = heard.clock.epoch;
            let has_ended = turn.with(|known| known.has_ended(epoch));
            ended = has_ended.ok_or_else(over)?.then_some(epoch);
            if ended.is_some() {
                continue;
            }
            if self.hears_soon(heard.clock).await {
                let from = match keeps(Rule::LeaseFromSent) {
                    true => sent,
                    false => self.now(),
                };
                let leased = turn.with(|known| {
                    pulse.leased(from);
                    known.all = Some(sent);
                });
                leased.ok_or_else(over)?;
                pulse.strangers.tell(heard.clock.epoch, &strangers);
                self.replay(pulse);
                return Ok(true);
            }
            if heard.clock.epoch == seen.epoch {
                self.missed_news(pulse);
            }
            self.resync(pulse, turn).await?;
        }
        Ok(false)
    }

    /// Takes this process' row away: nobody need wait for it.
    pub(super) async fn resign(self: &Arc<Self>) {
        let Some(pulse) = &self.pulse else { return };
        let _turn = pulse.turns.take(self.longest_beat()).await;
        if keeps(Rule::LeaseEndsFirst) {
            pulse.end_lease();
        }
        let who = pulse.who();
        pulse.rename(); // who beats before that has gone has a row of its own
        if self.generations.stamp().is_known()
            && let Err(error) = pulse.fence.leave(&who, None).await
        {
            tracing::debug!(target: "larder", %error, "a row is left behind");
        }
    }
}

/// It took so long that it is another's turn.
#[cold]
pub(super) fn over() -> StoreError {
    StoreError::new(StoreErrorKind::Timeout, "another one beats by now")
}
