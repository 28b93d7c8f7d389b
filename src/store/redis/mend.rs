//! While a server is away one task of its own finds out when it is back: it makes
//! a connection, asks every primary on it, and closes the breakers of those that
//! answer. No request waits for that.
//!
//! Between two tries it pauses, from 25 ms up to 0.8 s, twice as long each time,
//! jittered by half. A server that is lost again soon after is given no shorter
//! pause than before. Tries go on while requests come: a process without any
//! sends nothing.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{Either, join_all, select};
use redis::{RedisResult, Value};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::connect::{Node, Work};
use super::line::{Line, SHARDS};
use super::link::Failure;
use crate::lasting::Outage;
use crate::random::random;

const SHORTEST: Duration = Duration::from_millis(25);
/// The longest pause is the shortest one, doubled so often.
const DOUBLINGS: u32 = 5;
/// A server that has answered for so long is lost for the first time.
const STEADY: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(super) struct Mend {
    /// Somebody tries.
    running: AtomicBool,
    /// A request has come since the last try.
    wanted: AtomicBool,
    tries: AtomicU32,
    /// A server was lost.
    lost: Notify,
    /// When a server answered again, for the last time.
    mended: Mutex<Option<Instant>>,
}

/// Somebody tries, until this is dropped, with its runtime at the latest.
struct Mending(Arc<Line>);

impl Drop for Mending {
    fn drop(&mut self) {
        self.0.mend.running.store(false, Ordering::Release);
    }
}

impl Line {
    /// Whether all servers are asked.
    pub(super) fn is_up(&self) -> bool {
        self.breakers.iter().all(|breaker| breaker.admits())
    }

    /// There is no connection to be had.
    pub(super) fn away(self: &Arc<Self>) {
        let opened = self.breakers.iter().map(|breaker| breaker.open());
        if opened.filter(|opened| *opened).count() > 0 {
            self.lost();
        }
    }

    /// A server was lost.
    pub(super) fn lost(self: &Arc<Self>) {
        tracing::warn!(target: "larder", "redis does not answer, it is left alone");
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
        if !self.mend.running.load(Ordering::Acquire) {
            self.begin_mending();
        }
    }

    fn begin_mending(self: &Arc<Self>) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if self.mend.running.swap(true, Ordering::AcqRel) {
            return;
        }
        let mending = Mending(Arc::clone(self));
        runtime.spawn(async move { mending.0.mend().await });
    }

    async fn mend(self: &Arc<Self>) {
        let mut outage = Outage::new();
        loop {
            let tries = self.mend.tries.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(pause(tries)).await;
            if !self.mend.wanted.swap(false, Ordering::AcqRel) {
                return;
            }
            match self.ask_all().await {
                Ok(true) => {
                    let after = outage.lasted();
                    tracing::warn!(target: "larder", ?after, "redis answers again");
                    let mended = self.mend.mended.lock();
                    *mended.unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                    return;
                }
                Ok(false) => {}
                Err(error) => tracing::debug!(target: "larder", %error, "redis is still away"),
            }
            if let Some(since) = outage.lasts() {
                tracing::warn!(target: "larder", ?since, "redis is still away");
            }
        }
    }

    /// Asks every primary on a connection of today. `true` if all answer.
    async fn ask_all(&self) -> RedisResult<bool> {
        let borrowed = self.make_another().await?;
        let nodes = borrowed.connection.primaries().await?;
        let ping = redis::cmd("PING");
        let asked = nodes.iter().map(|node: &Node| {
            tokio::time::timeout(self.timeout, borrowed.run(Work::One(node, &ping)))
        });
        let mut answered = [true; SHARDS];
        for (n, answer) in join_all(asked).await.into_iter().enumerate() {
            answered[n % SHARDS] &= matches!(answer, Ok(Ok(_)));
        }
        for (breaker, answered) in self.breakers.iter().zip(answered) {
            match (answered, breaker.admits()) {
                (true, false) => breaker.mended(),
                (false, _) => drop(breaker.open()),
                (true, true) => {}
            }
        }
        Ok(answered.iter().all(|answered| *answered))
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
