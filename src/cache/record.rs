//! Counting with the other instances, behind the requests' backs.
//!
//! Every five seconds while there is something to tell, this process tells the
//! others what it has counted: one command, and none on a request's way. Who cannot
//! tell it now tells it later; a batch counts once, however often it is told. One
//! without requests for a minute is silent.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::runtime::Handle;

use super::engine::Engine;
use super::handle::Cache;
use super::invalidation::NO_RUNTIME;
use super::pulse::Pulse;
use crate::clock::unix_millis;
use crate::entry::Held;
use crate::error::{StoreError, StoreErrorKind};
use crate::export;
use crate::policy::Compiled;
use crate::stats::{
    Analytics, DAY, EndpointAnalytics, Frequented, Grain, LowHitRate, Recent, SAMPLE, Slot, Slots,
};
use crate::store::ledger::Ledger;

const PAUSE: Duration = Duration::from_secs(5);
/// Looks without anything new, before it ends.
const PATIENCE: u32 = 12;
/// What other releases have filled is learnt anew after so many.
const LEARNS: u32 = 12;
/// Names in the list of the most frequent.
const TOP: usize = 50;
/// Milliseconds.
const HOUR: u64 = 3_600_000;

/// Somebody records, until this is dropped, with its runtime at the latest.
struct Recording(Weak<Engine>);

impl Drop for Recording {
    fn drop(&mut self) {
        if let Some(engine) = self.0.upgrade() {
            let recording = &engine.counters.recorder.recording;
            recording.store(false, Ordering::Release);
        }
    }
}

impl Engine {
    pub(super) fn ledger(&self) -> Option<&dyn Ledger> {
        self.pulse.as_ref().map(|pulse| pulse.ledger())
    }

    /// The time by which slots are told apart: the clock of this process, for one that
    /// has not asked Redis yet knows no other.
    pub(super) fn slot_time(&self) -> u64 {
        unix_millis(self.clock.wall())
    }

    /// Whether Redis is asked, where there is one.
    #[cfg_attr(not(feature = "metrics"), allow(dead_code, reason = "metrics tell it"))]
    pub(crate) fn is_up(&self) -> Option<bool> {
        self.pulse.as_ref().map(Pulse::is_up)
    }

    /// Records from now on, unless somebody does.
    #[inline]
    pub(crate) fn record(self: &Arc<Self>) {
        if !self.counters.recorder.recording.load(Ordering::Relaxed) {
            self.begin_recording();
        }
    }

    /// One hit of many, looked at more closely.
    #[cold]
    pub(crate) fn sampled(self: &Arc<Self>, held: &Held, policy: &Compiled) {
        if policy.watch.label.is_none() {
            let key = held.entry.key.as_str();
            self.counters.asked.saw_perhaps(key, SAMPLE);
        }
        self.record();
    }

    #[cold]
    fn begin_recording(self: &Arc<Self>) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let recording = &self.counters.recorder.recording;
        if !self.has_runtime() || recording.swap(true, Ordering::AcqRel) {
            return;
        }
        self.begin_learning(&runtime);
        let (engine, running) = (Arc::downgrade(self), Recording(Arc::downgrade(self)));
        runtime.spawn(async move {
            let _running = running;
            let (mut idle, mut round) = (0, 0_u32);
            while idle < PATIENCE {
                tokio::time::sleep(PAUSE).await;
                let Some(engine) = engine.upgrade() else {
                    return;
                };
                idle = match engine.capture() {
                    true => 0,
                    false => idle + 1,
                };
                export::publish(&Cache::of(Arc::clone(&engine)));
                if let Err(error) = engine.tell_counts().await {
                    tracing::debug!(target: "larder", %error, "counts are told later");
                }
                round = round.wrapping_add(1);
                if round.is_multiple_of(LEARNS) {
                    engine.learn_filled().await;
                }
            }
        });
    }

    /// Looks at what was counted. Whether there was anything.
    pub(crate) fn capture(&self) -> bool {
        let ledger = self.ledger();
        if let Some(entries) = ledger.map(Ledger::entries) {
            let recorder = &self.counters.recorder;
            recorder.entries(entries.expiring, entries.removed);
        }
        let (now, least) = (self.slot_time(), self.least_hit_rate());
        self.counters.capture(now, ledger.is_some(), least)
    }

    /// Tells the others what was captured.
    pub(crate) async fn tell_counts(&self) -> Result<(), StoreError> {
        let Some(ledger) = self.ledger() else {
            return Ok(());
        };
        if !self.has_runtime() {
            return Err(StoreError::new(StoreErrorKind::Unavailable, NO_RUNTIME));
        }
        let recorder = &self.counters.recorder;
        // no longer than that: his runtime may not be driven, and what is told twice counts once
        let _one = tokio::time::timeout(self.budget, recorder.one.lock()).await;
        while let Some(batch) = recorder.batch() {
            ledger.tell(&batch).await?;
            recorder.heard(batch.number);
        }
        if let Err(error) = self.tell_filled().await {
            tracing::debug!(target: "larder", %error, "what was filled is told later");
        }
        Ok(())
    }

    /// Tells what is left, before the process ends.
    pub(super) async fn tell_last(&self) {
        self.capture();
        if let Err(error) = self.tell_counts().await {
            tracing::debug!(target: "larder", %error, "the last counts are lost");
        }
    }

    /// Different users of so many days.
    async fn users(&self, ledger: Option<&dyn Ledger>, days: u64, endpoint: &str) -> u64 {
        let now = self.slot_time();
        match ledger {
            Some(ledger) => {
                let last = now / DAY;
                let days: Vec<u64> = ((last + 1).saturating_sub(days)..=last).collect();
                ledger.users(&days, endpoint).await.unwrap_or_default()
            }
            None => self.counters.recorder.own_users(now, days, endpoint),
        }
    }

    /// What all instances have counted, or this one alone.
    async fn counts(&self, grains: &[Grain]) -> (Slots, u64, bool) {
        self.capture();
        let own = || self.counters.recorder.own();
        let Some(ledger) = self.ledger() else {
            return (own(), self.memory.len(), false);
        };
        let now = self.slot_time();
        let slots: Vec<Slot> = grains.iter().flat_map(|grain| grain.window(now)).collect();
        let all = async {
            self.tell_counts().await?;
            let slots = ledger.read(&slots).await?;
            Ok::<_, StoreError>((slots, ledger.living(now / HOUR).await?))
        };
        match all.await {
            Ok((slots, entries)) => (slots, entries, true),
            Err(error) => {
                tracing::debug!(target: "larder", %error, "the counts of all cannot be read");
                (own(), self.memory.len(), false)
            }
        }
    }
}

impl Cache {
    /// What has been counted in the last minute, hour and day, by all instances that
    /// share a Redis and a prefix. Without Redis, or while it does not answer, by this
    /// process alone: [`Recent::shared`] tells.
    ///
    /// Costs three commands at most, however much was counted.
    ///
    /// ```
    /// # async fn tell(cache: larder::Cache) {
    /// let recent = cache.recent().await;
    /// println!("{} of {}", recent.day.hit_rate(), recent.day.requests());
    /// # }
    /// ```
    pub async fn recent(&self) -> Recent {
        let grains = [Grain::TenSeconds, Grain::Minute, Grain::Hour, Grain::Day];
        let engine = self.engine();
        let (slots, entries, shared) = engine.counts(&grains).await;
        slots.recent(engine.slot_time(), entries, shared)
    }

    /// Hit rates of this process that were under what is asked for when they were looked at
    /// last: of endpoints, by [`Policy::least_hit_rate`](crate::Policy::least_hit_rate), and
    /// of all together, by
    /// [`CacheBuilder::least_hit_rate`](crate::CacheBuilder::least_hit_rate).
    #[must_use]
    pub fn low_hit_rates(&self) -> Vec<LowHitRate> {
        self.engine().counters.low.known()
    }

    /// What was asked for most, by how many users, and what each endpoint has seen. Of
    /// all instances, as in [`recent`](Self::recent).
    ///
    /// Costs a command for each endpoint whose policy names users, and seven more at
    /// most.
    pub async fn analytics(&self) -> Analytics {
        let grains = [Grain::Hour, Grain::HourOf, Grain::DayOf];
        let engine = self.engine();
        let (slots, _, shared) = engine.counts(&grains).await;
        let now = engine.slot_time();
        let ledger = engine.ledger().filter(|_| shared);
        let named = engine.counters.naming_users();
        let mut endpoints = Vec::new();
        for name in slots.endpoints(Grain::HourOf, now) {
            let users = match named.contains(&name) {
                true => engine.users(ledger, 1, &name).await,
                false => 0,
            };
            endpoints.push(EndpointAnalytics {
                day: slots.window(Grain::HourOf, &name, now),
                users_today: users,
                by_hour: slots.series(Grain::HourOf, &name, now),
                by_day: slots.series(Grain::DayOf, &name, now),
                endpoint: name.into(),
            });
        }
        let top = match ledger {
            Some(ledger) => ledger.top(now / DAY, TOP).await.unwrap_or_default(),
            None => engine.counters.recorder.own_top(TOP),
        };
        Analytics {
            shared,
            day: slots.window(Grain::Hour, "", now),
            top: top
                .into_iter()
                .map(|(name, count)| Frequented {
                    name: name.into(),
                    count,
                })
                .collect(),
            users_today: engine.users(ledger, 1, "").await,
            users_month: engine.users(ledger, Grain::Day.slots(), "").await,
            endpoints,
        }
    }
}
