//! Waiting until every process that shares the clock has seen an invalidation, or
//! can no longer serve what it holds.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

use super::engine::Engine;
use super::pulse::Pulse;
use crate::clock::millis;
use crate::error::{StoreError, StoreErrorKind};
use crate::generation::{Change, Rule, Stamp, changes_of, keeps};
use crate::invalidate::Target;
use crate::store::fence::{Row, Rows};

/// How often rows are looked at: so often after this,
const FIRST: Duration = Duration::from_millis(1);
const OFTEN: u32 = 4;
/// then each time after twice as long, and no seldomer than this.
const SELDOMEST: Duration = Duration::from_millis(25);
/// Another one's look is waited for no longer than this.
const LONGEST: Duration = Duration::from_millis(250);

/// An invalidation that the clock has, and who must see it.
pub(super) struct Told {
    pub(super) stamp: Stamp,
    changes: Vec<Change>,
    rows: Rows,
    at: Instant,
}

/// What the clock is still to be told of. It is kept for a beat where that does not happen
/// here: its task may end with its runtime.
pub(super) struct Untold {
    engine: Arc<Engine>,
    changes: Vec<Change>,
}

impl Drop for Untold {
    fn drop(&mut self) {
        if let Some(pulse) = &self.engine.pulse
            && !self.changes.is_empty()
        {
            pulse.queue.keep(std::mem::take(&mut self.changes));
        }
    }
}

impl Engine {
    /// What the clock is to be told of these targets.
    pub(super) fn untold_of(self: &Arc<Self>, targets: &[Target]) -> Untold {
        let changes = match &self.pulse {
            Some(_) => targets.iter().flat_map(changes_of).collect(),
            None => Vec::new(),
        };
        Untold {
            engine: Arc::clone(self),
            changes,
        }
    }

    /// Sets the fence: from now on nothing older is valid for who has seen it. None
    /// where no clock is shared.
    pub(super) async fn tell(
        self: &Arc<Self>,
        mut untold: Untold,
    ) -> Result<Option<Told>, StoreError> {
        let Some(pulse) = self.pulse.as_ref().filter(|_| !untold.changes.is_empty()) else {
            return Ok(None);
        };
        match pulse.fence.advance(&untold.changes).await {
            Ok((news, rows)) => {
                let at = Instant::now();
                if keeps(Rule::OwnLearnt) {
                    self.learn(pulse, &news).await?; // else it is kept: it must not be missing here
                }
                Ok(Some(Told {
                    stamp: news.stamp,
                    changes: std::mem::take(&mut untold.changes),
                    rows,
                    at,
                }))
            }
            Err(error) => {
                self.counters.store_error(&error);
                drop(untold);
                self.begin_beating(); // until it could be told
                Err(error)
            }
        }
    }

    /// Waits for everybody. Returns how many have confirmed.
    pub(super) async fn confirmed(
        self: &Arc<Self>,
        told: Result<Option<Told>, StoreError>,
    ) -> Result<u64, StoreError> {
        match (&self.pulse, told?) {
            (Some(pulse), Some(told)) => match pulse.confirmed(&told).await {
                Some((confirmed, silent)) => {
                    self.forget_rows(silent);
                    Ok(confirmed)
                }
                None => {
                    pulse.queue.keep(told.changes);
                    self.begin_beating(); // until it was told again
                    let why = "redis became another server, which may not have been told";
                    Err(StoreError::new(StoreErrorKind::Unavailable, why))
                }
            },
            _ => Ok(0),
        }
    }
}

impl Engine {
    /// Takes away the rows of those who are gone: their next beat writes them anew.
    fn forget_rows(self: &Arc<Self>, silent: Vec<Row>) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if silent.is_empty() {
            return;
        }
        let engine = Arc::clone(self);
        self.tasks.spawn(&runtime, async move {
            let Some(pulse) = &engine.pulse else { return };
            for row in silent {
                let _ = pulse.fence.leave(&row.who, Some(row.beats)).await;
            }
        });
    }
}

impl Engine {
    /// The same of rows that say what they said when they were looked at last, a lease ago or
    /// more: where nothing is invalidated, nobody else takes them away.
    pub(super) async fn forget_silent(
        self: &Arc<Self>,
        pulse: &Pulse,
        looked: &mut Option<(Instant, Vec<Row>)>,
    ) {
        let asked = Instant::now();
        let early = |(when, _): &(Instant, Vec<Row>)| asked - *when < pulse.patience();
        if looked.as_ref().is_some_and(early) {
            return; // another process' lease may be longer than so many beats of this one
        }
        let Ok(rows) = pulse.fence.rows(None).await else {
            return;
        };
        pulse.heard_of(rows.lease);
        let rows = rows.rows;
        if let Some((when, before)) = looked.take()
            && asked.duration_since(when) >= pulse.patience()
        {
            let said: HashMap<&str, u64> =
                rows.iter().map(|row| (&row.who[..], row.beats)).collect();
            let who = pulse.who();
            let same = |row: &Row| said.get(&row.who[..]) == Some(&row.beats) && *row.who != *who;
            self.forget_rows(before.into_iter().filter(same).collect());
        }
        *looked = Some((Instant::now(), rows));
    }
}

impl Pulse {
    /// Somebody may hold a lease of so long.
    pub(super) fn heard_of(&self, lease: Duration) {
        if keeps(Rule::LongestLease) {
            self.longest.fetch_max(millis(lease), Ordering::Relaxed);
        }
    }

    /// After how long nobody who has not been heard of can hold a lease any more: the
    /// longest, a tenth more, and two steps of a coarse clock.
    pub(super) fn patience(&self) -> Duration {
        let longest = Duration::from_millis(self.longest.load(Ordering::Relaxed));
        longest + longest / 10 + Duration::from_millis(20)
    }

    /// Waits for everybody. How many have confirmed, and the rows of those who never
    /// will; nothing where the clock has gone on with another server meanwhile.
    async fn confirmed(&self, told: &Told) -> Option<(u64, Vec<Row>)> {
        let (stamp, at) = (told.stamp, told.at);
        let mut waiting = Waiting::new(self, stamp, &told.rows, at);
        let (mut pause, mut looks) = (FIRST, 0);
        while !waiting.is_over() {
            let end = at + self.patience();
            let next = (Instant::now() + pause).min(end);
            tokio::time::sleep_until(next).await;
            if next == end {
                // who has not seen it has no lease by now, and neither has who is not known
                if let Ok(rows) = self.fence.rows(Some(stamp)).await {
                    waiting.look(&rows, Instant::now());
                }
                break;
            }
            looks += 1;
            if looks >= OFTEN {
                pause = (pause * 2).min(SELDOMEST);
            }
            // one that cannot be asked is waited for to the end
            match tokio::time::timeout_at(end, self.rows(at, pause)).await {
                Ok(Ok(rows)) => waiting.look(&rows, Instant::now()),
                _ => waiting.full = true, // nor one who looks for all and stands still
            }
        }
        if waiting.went_on {
            return None;
        }
        let patience = self.patience();
        let pending = waiting.pending.into_iter();
        let silent =
            pending.filter(|(row, since)| !row.seen.covers(stamp) && since.elapsed() >= patience);
        Some((waiting.confirmed, silent.map(|(row, _)| row).collect()))
    }

    /// The rows as they were after a moment, and not long ago: those who wait
    /// together look once.
    async fn rows(&self, after: Instant, fresh: Duration) -> Result<Arc<Rows>, StoreError> {
        // no longer than a look may take: his runtime may not be driven
        let Ok(mut looked) = timeout(LONGEST, self.looked.lock()).await else {
            return Ok(Arc::new(self.fence.rows(None).await?));
        };
        if let Some((when, rows)) = &*looked
            && *when > after
            && when.elapsed() < fresh
        {
            return Ok(Arc::clone(rows));
        }
        let when = Instant::now();
        let rows = Arc::new(self.fence.rows(None).await?);
        *looked = Some((when, Arc::clone(&rows)));
        Ok(rows)
    }
}

/// Those who have not confirmed yet.
struct Waiting<'a> {
    pulse: &'a Pulse,
    stamp: Stamp,
    /// Their rows, and since when they say the same.
    pending: Vec<(Row, Instant)>,
    confirmed: u64,
    /// There may be holders of a lease that nobody knows: only a whole lease is
    /// enough.
    full: bool,
    base: u64,
    /// In the same epoch, with another server.
    went_on: bool,
}

impl<'a> Waiting<'a> {
    fn new(pulse: &'a Pulse, stamp: Stamp, rows: &Rows, at: Instant) -> Self {
        pulse.heard_of(rows.lease);
        let mut waiting = Self {
            pulse,
            stamp,
            pending: Vec::new(),
            confirmed: 0,
            full: (rows.young && keeps(Rule::YoungAwaited)) || rows.epoch != stamp.epoch,
            base: rows.base,
            went_on: false,
        };
        for row in &rows.rows {
            if *row.who != *pulse.who() && !row.seen.covers(stamp) {
                waiting.pending.push((row.clone(), at));
            }
        }
        waiting
    }

    fn is_over(&self) -> bool {
        let patience = self.pulse.patience();
        let mut pending = self.pending.iter();
        (!self.full && pending.all(|(_, since)| since.elapsed() >= patience))
            || !keeps(Rule::Awaited)
    }

    /// Looks at the rows as they are now.
    fn look(&mut self, rows: &Rows, now: Instant) {
        self.full |= rows.epoch != self.stamp.epoch && keeps(Rule::VanishedAwaited);
        self.went_on |= rows.epoch == self.stamp.epoch && rows.base != self.base;
        self.pulse.heard_of(rows.lease);
        let here: HashMap<&str, &Row> = rows.rows.iter().map(|row| (&row.who[..], row)).collect();
        let (stamp, before) = (self.stamp, self.pending.len());
        let mut gone = 0;
        self.pending
            .retain_mut(|(known, since)| match here.get(&known.who[..]) {
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
        self.full |= gone > 0 && keeps(Rule::VanishedAwaited);
    }
}
