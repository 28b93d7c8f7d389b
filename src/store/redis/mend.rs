//! While a server is away one task of its own finds out when it is back: it makes
//! a connection, asks every primary on it, and closes the breakers of those that
//! answer. No request waits for that. An error is an answer, unless it is an outage
//! itself. There are servers that answer to a `PING` and to nothing else (a replica takes no
//! writes, a cluster is down): that of the clock is asked as a script would ask it.
//!
//! That a server is away is told at the start, once a minute while it lasts, and at the
//! end; one that comes and goes is not told more often.
//!
//! Between two tries it pauses, from 25 ms up to 0.8 s, twice as long each time,
//! jittered by half. A server that is lost again soon after is given no shorter
//! pause than before. Tries go on while requests come: a process without any
//! sends nothing.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{Either, join, join_all, select};
use redis::Value;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::connect::Work;
use super::line::{Line, SHARDS, is_outage};
use super::link::Failure;
use crate::lasting::Outage;
use crate::random::random;

const SHORTEST: Duration = Duration::from_millis(25);
/// The longest pause is the shortest one, doubled so often.
const DOUBLINGS: u32 = 5;
/// How late one who tries may be.
const LONGEST: Duration = Duration::from_millis(250);
/// A server that has answered for so long is lost for the first time.
const STEADY: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(super) struct Mend {
    trying: Mutex<Trying>,
    /// A request has come since the last try.
    wanted: AtomicBool,
    tries: AtomicU32,
    /// A server was lost.
    lost: Notify,
    /// When a server answered again, for the last time.
    mended: Mutex<Option<Instant>>,
    outage: Mutex<Outage>,
    /// Why a server was lost, or is not back, for the last time.
    why: Mutex<Option<Arc<str>>>,
}

/// Who tries.
#[derive(Default)]
struct Trying {
    number: u64,
    /// When he is given up, if nothing is heard of him: his runtime may not be driven. None
    /// where nobody tries.
    end: Option<Instant>,
}

impl Mend {
    fn trying(&self) -> MutexGuard<'_, Trying> {
        self.trying.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it still is his to try, whose next step takes no longer than this.
    fn goes_on(&self, number: u64, longest: Duration) -> bool {
        let mut trying = self.trying();
        let his = trying.number == number;
        if his {
            trying.end = Some(Instant::now() + longest);
        }
        his
    }

    pub(super) fn why(&self) -> Option<Arc<str>> {
        self.why_last().clone()
    }

    fn why_last(&self) -> MutexGuard<'_, Option<Arc<str>>> {
        self.why.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn outage(&self) -> MutexGuard<'_, Outage> {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody tries, until this is dropped, with its runtime at the latest.
struct Mending {
    line: Arc<Line>,
    number: u64,
}

impl Drop for Mending {
    fn drop(&mut self) {
        let mut trying = self.line.mend.trying();
        if trying.number == self.number {
            trying.end = None;
        }
    }
}

impl Line {
    /// Whether all servers are asked.
    pub(super) fn is_up(&self) -> bool {
        self.breakers.iter().all(|breaker| breaker.admits())
    }

    /// There is no connection to be had.
    pub(super) fn away(self: &Arc<Self>, why: &impl fmt::Display) {
        let opened = self.breakers.iter().map(|breaker| breaker.open());
        if opened.filter(|opened| *opened).count() > 0 {
            self.lost(why);
        }
    }

    /// A server was lost.
    pub(super) fn lost(self: &Arc<Self>, why: &impl fmt::Display) {
        *self.mend.why_last() = Some(why.to_string().into());
        if self.mend.outage().lasts().is_some() {
            tracing::warn!(target: "larder", error = %why, "redis does not answer, it is left alone");
        }
        self.mend.lost.notify_waiters();
        let mended = self.mend.mended.lock();
        let last = *mended.unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.elapsed() >= STEADY) {
            self.mend.tries.store(0, Ordering::Relaxed);
        }
        self.wanted();
    }

    /// Waits for an answer while the server is asked.
    pub(super) async fn unless_lost(
        &self,
        shard: usize,
        answer: impl Future<Output = Result<Value, Failure>>,
    ) -> Result<Value, Failure> {
        let mut answer = pin!(answer);
        loop {
            let mut lost = pin!(self.mend.lost.notified());
            lost.as_mut().enable();
            if !self.breakers[shard].admits() {
                return Err(Failure::Timeout);
            }
            if let Either::Left((end, _)) = select(answer.as_mut(), lost).await {
                return end;
            }
        }
    }

    /// Somebody wants to ask a server that is away.
    pub(super) fn wanted(self: &Arc<Self>) {
        self.mend.wanted.store(true, Ordering::Release);
        self.begin_mending();
    }

    fn begin_mending(self: &Arc<Self>) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let number = {
            let mut trying = self.mend.trying();
            if trying.end.is_some_and(|end| Instant::now() < end) {
                return;
            }
            trying.number += 1;
            trying.end = Some(Instant::now() + LONGEST);
            trying.number
        };
        let mending = Mending {
            line: Arc::clone(self),
            number,
        };
        runtime.spawn(async move { mending.line.mend(mending.number).await });
    }

    async fn mend(self: &Arc<Self>, number: u64) {
        loop {
            let tries = self.mend.tries.fetch_add(1, Ordering::Relaxed);
            let pause = pause(tries);
            if !self.mend.goes_on(number, pause + LONGEST) {
                return;
            }
            tokio::time::sleep(pause).await;
            if !self.mend.wanted.swap(false, Ordering::AcqRel) {
                return;
            }
            let asks = self.longest() * 2 + self.timeout * 2;
            if !self.mend.goes_on(number, asks + LONGEST) {
                return;
            }
            match self.ask_all(number).await {
                Ok(()) => {
                    if let Some(after) = self.mend.outage().ends() {
                        tracing::warn!(target: "larder", ?after, "redis answers again");
                    }
                    let mended = self.mend.mended.lock();
                    *mended.unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                    return;
                }
                Err(error) => {
                    if let Some(since) = self.mend.outage().lasts() {
                        tracing::warn!(target: "larder", ?since, %error, "redis is still away");
                    }
                    *self.mend.why_last() = Some(error.into());
                }
            }
        }
    }

    /// Asks every primary on a connection of today, and the clock's. Why one of them does
    /// not answer.
    async fn ask_all(&self, number: u64) -> Result<(), String> {
        let borrowed = self.make_another().await.map_err(|e| e.to_string())?;
        let nodes = borrowed.connection.primaries().await;
        let nodes = nodes.map_err(|error| error.to_string())?;
        let (ping, probe) = (redis::cmd("PING"), self.probe());
        let ask = |work| tokio::time::timeout(self.timeout, borrowed.run(work));
        let pings = nodes.iter().map(|node| ask(Work::One(node, &ping)));
        let (clock, pings) = join(ask(probe), join_all(pings)).await;
        // one that hangs does not answer to a PING either, or waits behind another server
        let clock = clock.ok().map(Ok);
        let clock = clock.map(|clock| (borrowed.connection.shard(probe), clock));
        let mut answered = [true; SHARDS];
        let mut why = Ok(());
        for (shard, answer) in pings.into_iter().enumerate().chain(clock) {
            let error = match answer {
                Ok(Err(error)) if is_outage(&error) => error.to_string(),
                Ok(_) => continue,
                Err(_) => "redis did not answer in time".to_owned(),
            };
            answered[shard % SHARDS] = false;
            why = Err(error);
        }
        if !self.mend.goes_on(number, LONGEST) {
            return why; // another one has asked since
        }
        for (breaker, answered) in self.breakers.iter().zip(answered) {
            match (answered, breaker.admits()) {
                (true, false) => breaker.mended(),
                (false, _) => drop(breaker.open()),
                (true, true) => {}
            }
        }
        why
    }
}

/// Between half of a pause and one and a half of it: instances do not try in step.
fn pause(tries: u32) -> Duration {
    let pause = SHORTEST * 2_u32.pow(tries.min(DOUBLINGS));
    let share = u32::try_from(random() % 1_000).unwrap_or(0);
    pause / 2 + pause * share / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_are_bounded() {
        for tries in 0..100 {
            let pause = pause(tries);
            let middle = SHORTEST * 2_u32.pow(tries.min(DOUBLINGS));
            assert!(pause >= middle / 2 && pause <= middle * 3 / 2, "{pause:?}");
            assert!(pause <= Duration::from_millis(1_200));
        }
    }
}
