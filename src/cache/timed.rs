//! A user's store, held to its duties: every method ends in time, and a panic
//! in it is an error.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;

use crate::error::{StoreError, StoreErrorKind};
use crate::key::Key;
use crate::store::{Erasure, Granted, Lease, Record, Removal, Removed, Store, StoreFuture};
use crate::timers;

/// Removing a group or a pattern may take this many times as long as one
/// operation.
const REMOVAL: u32 = 100;

/// Who waits for another instance looks again after this at the latest.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

pub(super) struct Timed<S> {
    pub(super) store: S,
    pub(super) timeout: Duration,
}

async fn held<T>(
    timeout: Duration,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    if !timers::are_there() {
        return Err(StoreError::new(StoreErrorKind::Unavailable, timers::NONE));
    }
    match tokio::time::timeout(timeout, AssertUnwindSafe(work).catch_unwind()).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(StoreError::new(
            StoreErrorKind::Refused,
            "the store panicked",
        )),
        Err(elapsed) => Err(StoreError::new(StoreErrorKind::Timeout, elapsed)),
    }
}

impl<S: Store> Store for Timed<S> {
    fn get<'a>(&'a self, key: &'a Key) -> StoreFuture<'a, Option<Bytes>> {
        Box::pin(async move { held(self.timeout, async { self.store.get(key).await }).await })
    }

    fn put<'a>(&'a self, record: Record<'a>) -> StoreFuture<'a, ()> {
        Box::pin(async move { held(self.timeout, async { self.store.put(record).await }).await })
    }

    fn remove<'a>(&'a self, removal: Removal<'a>) -> StoreFuture<'a, Removed> {
        let work = async move { self.store.remove(removal).await };
        Box::pin(held(self.timeout * REMOVAL, work))
    }

    fn count<'a>(&'a self, removal: Removal<'a>) -> StoreFuture<'a, Removed> {
        let work = async move { self.store.count(removal).await };
        Box::pin(held(self.timeout * REMOVAL, work))
    }

    fn erase<'a>(&'a self, erasure: Erasure<'a>) -> StoreFuture<'a, Removed> {
        let work = async move { self.store.erase(erasure).await };
        Box::pin(held(self.timeout * REMOVAL, work))
    }

    fn acquire<'a>(&'a self, lease: &'a Lease, ttl: Duration) -> StoreFuture<'a, Granted> {
        let work = async move { self.store.acquire(lease, ttl).await };
        Box::pin(held(self.timeout, work))
    }

    fn renew<'a>(&'a self, lease: &'a Lease, ttl: Duration) -> StoreFuture<'a, bool> {
        Box::pin(held(self.timeout, async move {
            self.store.renew(lease, ttl).await
        }))
    }

    fn release<'a>(&'a self, lease: &'a Lease, alone: Option<Duration>) -> StoreFuture<'a, ()> {
        let work = async move { self.store.release(lease, alone).await };
        Box::pin(held(self.timeout, work))
    }

    fn released<'a>(&'a self, key: &'a Key) -> StoreFuture<'a, ()> {
        Box::pin(held(
            LONGEST_WAIT,
            async move { self.store.released(key).await },
        ))
    }
}
