//! Threads and tasks whose steps the model checker orders (`model.rs`).

use std::cell::Cell;
use std::convert::Infallible;
use std::future::Future;

use futures_util::future::{AbortHandle as Abort, abortable};
pub(super) use shuttle::sync::{Mutex, MutexGuard};

pub(super) struct Handle;
pub(super) struct AbortHandle(Abort);
pub(super) struct Task(Abort);

impl Handle {
    pub(super) fn try_current() -> Result<Self, Infallible> {
        Ok(Self)
    }

    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> Task {
        let (work, abort) = abortable(work);
        TASKS.set(TASKS.get() + 1);
        drop(shuttle::future::spawn(async move {
            let _aborted = work.await;
            TASKS.set(TASKS.get() - 1);
        }));
        Task(abort)
    }
}

thread_local! {
    /// Tasks that have not ended: shuttle does not wait for them.
    pub(super) static TASKS: Cell<usize> = const { Cell::new(0) };
}

impl Task {
    pub(super) fn abort_handle(&self) -> AbortHandle {
        AbortHandle(self.0.clone())
    }

    pub(super) fn abort(&self) {
        self.0.abort();
    }
}

impl AbortHandle {
    pub(super) fn abort(&self) {
        self.0.abort();
    }
}
