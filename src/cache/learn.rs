//! What this process learns of the shared clock: from who tells, and from the whole.

use std::sync::Arc;
use std::time::Duration;

use super::engine::Engine;
use super::pulse::{Pulse, over};
use super::turns::{SNAPSHOT, Turn};
use crate::error::{StoreError, StoreErrorKind};
use crate::generation::{Learning, News, Stamp};

/// How long, in milliseconds, what was told may be on its way.
const SOON: u32 = 5;

impl Engine {
    /// Hears of an invalidation. `false` if something before it is missing.
    pub(super) fn hear(self: &Arc<Self>, pulse: &Pulse, news: Option<&News>) -> bool {
        let learning = news.map(|news| self.generations.learn(news, self.now()));
        match learning {
            Some(Learning::Known) => return true,
            // who asks has asked after it before
            Some(Learning::Gap) if self.is_strange(pulse, news) => return false,
            // what is missing shows at the beat
            Some(Learning::Gap) | None => {}
            Some(new @ Learning::New { .. }) => self.sweep_after(new),
        }
        pulse.nudge.notify_one(); // who waits for it is told at once
        matches!(learning, Some(Learning::New { .. }))
    }

    fn is_strange(&self, pulse: &Pulse, news: Option<&News>) -> bool {
        let own = self.generations.stamp().epoch;
        news.is_some_and(|news| {
            let epoch = news.stamp.epoch;
            epoch != own && pulse.strangers.hear(epoch)
        })
    }

    /// Learns what became of an own invalidation: it must not be missing here when
    /// the call returns.
    pub(super) async fn learn(
        self: &Arc<Self>,
        pulse: &Pulse,
        news: &News,
    ) -> Result<(), StoreError> {
        if !self.generations.stamp().is_known() {
            return Ok(()); // it has never had a lease: whoever gets one learns of it first
        }
        if self.hear(pulse, Some(news)) || self.hears_soon(news.stamp).await {
            return Ok(());
        }
        let turn = pulse.turns.take(self.longest_beat()).await;
        match self.generations.stamp().covers(news.stamp) {
            true => Ok(()),
            false => self.resync(pulse, &turn).await,
        }
    }

    /// Whether what is missing comes by itself: it is on its way, as a rule.
    pub(super) async fn hears_soon(&self, stamp: Stamp) -> bool {
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
    pub(super) async fn resync(
        self: &Arc<Self>,
        pulse: &Pulse,
        turn: &Turn<'_>,
    ) -> Result<(), StoreError> {
        let since = turn.goes_on(self.budget * SNAPSHOT, |_| ());
        since.ok_or_else(over)?;
        let snapshot = pulse.fence.snapshot().await?;
        let (epoch, base) = (snapshot.stamp.epoch, snapshot.base);
        let resynced = turn.with(|known| {
            if known.has_ended(epoch) {
                return None; // the next beat ends it there
            }
            if (known.epoch, known.base) != (epoch, base) {
                known.begins(epoch, base);
            }
            Some(self.generations.resync(snapshot, self.now(), known.all))
        });
        let (learning, lost) = resynced.ok_or_else(over)?.ok_or_else(ended)?;
        self.sweep_after(learning);
        if !lost.is_empty() {
            tracing::warn!(target: "larder", count = lost.len(), "redis is another server, and is told again what it has lost");
            pulse.queue.keep(lost);
        }
        Ok(())
    }
}

#[cold]
fn ended() -> StoreError {
    let why = "the shared clock is one that had been replaced by another: it begins anew";
    StoreError::new(StoreErrorKind::Unavailable, why)
}
