//! Background work: counted, so that it can be waited for.

use std::future::Future;

use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinError;
use tracing::{Instrument, Span};

/// Counts what runs in the background.
#[derive(Debug)]
pub(crate) struct Tasks {
    running: watch::Sender<usize>,
    /// Without permits, and closed at the end: who waits for one hears of that.
    ending: Semaphore,
}

/// One more while it lives.
struct Running(watch::Sender<usize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.send_modify(|n| *n -= 1);
    }
}

impl Tasks {
    pub(crate) fn new() -> Self {
        Self {
            running: watch::Sender::new(0),
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
        let running = Running(self.running.clone());
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

    /// Waits until nothing runs.
    pub(crate) async fn idle(&self) {
        let mut running = self.running.subscribe();
        // cannot fail: the sender is ours
        let _ = running.wait_for(|n| *n == 0).await;
    }
}
