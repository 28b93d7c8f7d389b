//! Background work: counted, so that it can be waited for.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::runtime::{Handle, Id};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinError;
use tokio::time::timeout;
use tracing::{Instrument, Span};

/// After so long it is looked whether the runtimes of what runs are driven:
const PATIENCE: Duration = Duration::from_secs(5);
/// one that is begins a task within this.
const LONGEST: Duration = Duration::from_secs(1);

/// Counts what runs in the background.
#[derive(Debug)]
pub(crate) struct Tasks {
    running: watch::Sender<usize>,
    /// Where, and how much there.
    runtimes: Arc<Runtimes>,
    /// Without permits, and closed at the end: who waits for one hears of that.
    ending: Semaphore,
}

#[derive(Debug, Default)]
struct Runtimes(Mutex<HashMap<Id, (Handle, usize)>>);

impl Runtimes {
    fn all(&self) -> MutexGuard<'_, HashMap<Id, (Handle, usize)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begins(&self, runtime: &Handle) {
        let mut all = self.all();
        let one = all.entry(runtime.id());
        one.or_insert_with(|| (runtime.clone(), 0)).1 += 1;
    }

    fn ends(&self, runtime: Id) {
        let mut all = self.all();
        let Some((_, n)) = all.get_mut(&runtime) else {
            return;
        };
        *n -= 1;
        let gone = if *n == 0 { all.remove(&runtime) } else { None };
        drop(all);
        drop(gone); // not under the lock
    }

    /// Whether one of them is driven.
    async fn any_is_driven(&self) -> bool {
        let all: Vec<Handle> = self.all().values().map(|(one, _)| one.clone()).collect();
        let is_driven = |runtime: Handle| async move {
            let (run, has_run) = oneshot::channel();
            let task = runtime.spawn(async move { run.send(()) });
            let driven = timeout(LONGEST, has_run).await.is_ok();
            task.abort(); // it has run, or nobody would run it
            driven
        };
        join_all(all.into_iter().map(is_driven))
            .await
            .contains(&true)
    }
}

/// One more while it lives.
struct Running {
    all: watch::Sender<usize>,
    runtimes: Arc<Runtimes>,
    runtime: Id,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.runtimes.ends(self.runtime);
        self.all.send_modify(|n| *n -= 1);
    }
}

impl Tasks {
    pub(crate) fn new() -> Self {
        Self {
            running: watch::Sender::new(0),
            runtimes: Arc::default(),
            ending: Semaphore::new(0),
        }
    }

    /// Runs `work` on `runtime`. It counts until it ends, or until its runtime
    /// does.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        runtime: &Handle,
        work: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        self.running.send_modify(|n| *n += 1);
        self.runtimes.begins(runtime);
        let running = Running {
            all: self.running.clone(),
            runtimes: Arc::clone(&self.runtimes),
            runtime: runtime.id(),
        };
        runtime.spawn(async move {
            let result = work.await;
            drop(running);
            result
        })
    }

    /// Does some work to its end, also where its caller goes away: what does not end at once
    /// goes on in a task.
    pub(crate) async fn outlasting<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, JoinError> {
        let mut work = Box::pin(work.instrument(Span::current()));
        if let Some(done) = work.as_mut().now_or_never() {
            return Ok(done);
        }
        match Handle::try_current() {
            Ok(runtime) => self.spawn(&runtime, work).await,
            Err(_) => Ok(work.await),
        }
    }

    /// Whoever can end early is to.
    pub(crate) fn end(&self) {
        self.ending.close();
    }

    /// Waits for that.
    pub(crate) async fn ends(&self) {
        let _ = self.ending.acquire().await;
    }

    /// Waits until nothing runs on a runtime that is driven: on another one it may go on at
    /// any time, or never. How much that is. Needs timers.
    pub(crate) async fn idle_where_driven(&self) -> usize {
        while timeout(PATIENCE, self.idle()).await.is_err() {
            if !self.runtimes.any_is_driven().await {
                break;
            }
        }
        *self.running.borrow()
    }

    /// Waits until nothing runs.
    pub(crate) async fn idle(&self) {
        let mut running = self.running.subscribe();
        // cannot fail: the sender is ours
        let _ = running.wait_for(|n| *n == 0).await;
    }
}
