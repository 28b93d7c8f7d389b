//! Waiting until every process that shares the clock has seen an invalidation, or
//! can no longer serve what it holds.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::engine::Engine;
use super::pulse::Pulse;
use crate::error::StoreError;
use crate::generation::{Stamp, changes_of};
use crate::invalidate::Target;
use crate::store::fence::{Row, Rows};

/// How often rows are looked at: so often after this,
const FIRST: Duration = Duration::from_millis(1);
const OFTEN: u32 = 4;
/// then each time after twice as long, and no seldomer than this.
const SELDOMEST: Duration = Duration::from_millis(25);

/// An invalidation that the clock has, and who must see it.
pub(super) struct Told {
    pub(super) stamp: Stamp,
    rows: Rows,
    at: Instant,
}

impl Engine {
    /// Sets the fence: from now on nothing older is valid for who has seen it. None
    /// where no clock is shared.
    pub(super) async fn tell(
        self: &Arc<Self>,
        targets: &[Target],
    ) -> Result<Option<Told>, StoreError> {
        let Some(pulse) = &self.pulse else {
            return Ok(None);
        };
        let changes: Vec<_> = targets.iter().flat_map(changes_of).collect();
        if changes.is_empty() {
            return Ok(None);
        }
        match pulse.fence.advance(&changes).await {
            Ok((news, rows)) => {
                let at = Instant::now();
                self.learn(&news);
                let stamp = news.stamp;
                Ok(Some(Told { stamp, rows, at }))
            }
            Err(error) => {
                self.counters.store_errors(1);
                pulse.queue.keep(changes);
                self.begin_beating(); // until it could be told
                Err(error)
            }
        }
    }

    /// Waits for everybody. Returns how many have confirmed.
    pub(super) async fn confirmed(
        &self,
        told: Result<Option<Told>, StoreError>,
    ) -> Result<u64, StoreError> {
        match (&self.pulse, told?) {
            (Some(pulse), Some(told)) => Ok(pulse.confirmed(told).await),
            _ => Ok(0),
        }
    }
}

impl Pulse {
    async fn confirmed(&self, told: Told) -> u64 {
        let Told { stamp, rows, at } = told;
        let mut waiting = Waiting::new(self, stamp, rows, at);
        let (end, mut pause, mut looks) = (at + self.patience(), FIRST, 0);
        while !waiting.is_over() {
            let next = (Instant::now() + pause).min(end);
            tokio::time::sleep_until(next).await;
            if next == end {
                break; // who has not seen it has no lease by now
            }
            looks += 1;
            if looks >= OFTEN {
                pause = (pause * 2).min(SELDOMEST);
            }
            // one that cannot be asked is waited for to the end
            match self.fence.rows().await {
                Ok(rows) => waiting.look(&rows, Instant::now()),
                Err(_) => waiting.full = true,
            }
        }
        let silent = waiting.pending.into_values();
        for (row, _) in silent
            .filter(|(row, since)| !row.seen.covers(stamp) && since.elapsed() >= self.patience())
        {
            // its next beat writes it anew
            let _ = self.fence.leave(&row.who, Some(row.beats)).await;
        }
        waiting.confirmed
    }
}

/// Those who have not confirmed yet.
struct Waiting<'a> {
    pulse: &'a Pulse,
    stamp: Stamp,
    /// Their rows, and since when they say the same.
    pending: HashMap<String, (Row, Instant)>,
    confirmed: u64,
    /// There may be holders of a lease that nobody knows: only a whole lease is
    /// enough.
    full: bool,
}

impl<'a> Waiting<'a> {
    fn new(pulse: &'a Pulse, stamp: Stamp, rows: Rows, at: Instant) -> Self {
        let mut waiting = Self {
            pulse,
            stamp,
            pending: HashMap::new(),
            confirmed: 0,
            full: rows.young || rows.epoch != stamp.epoch,
        };
        for row in rows.rows {
            if row.who != pulse.who && !row.seen.covers(stamp) {
                waiting.pending.insert(row.who.clone(), (row, at));
            }
        }
        waiting
    }

    fn is_over(&self) -> bool {
        let patience = self.pulse.patience();
        let mut pending = self.pending.values();
        !self.full && pending.all(|(_, since)| since.elapsed() >= patience)
    }

    /// Looks at the rows as they are now.
    fn look(&mut self, rows: &Rows, now: Instant) {
        self.full |= rows.epoch != self.stamp.epoch;
        let here: HashMap<&str, &Row> = rows.rows.iter().map(|row| (&row.who[..], row)).collect();
        let (stamp, before) = (self.stamp, self.pending.len());
        let mut gone = 0;
        self.pending
            .retain(|who, (known, since)| match here.get(&who[..]) {
                // it has resigned, or its row was lost: nobody can tell
                None => {
                    gone += 1;
                    false
                }
                Some(row) if row.seen.covers(stamp) => false,
                Some(row) => {
                    if row.beats != known.beats {
                        (*known, *since) = ((*row).clone(), now);
                    }
                    true
                }
            });
        self.confirmed += (before - self.pending.len() - gone) as u64;
        self.full |= gone > 0;
    }
}
