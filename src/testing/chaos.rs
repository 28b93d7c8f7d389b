//! A store in which things go wrong.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::error::{StoreError, StoreErrorKind};
use crate::key::Key;
use crate::store::{Erasure, Granted, Lease, Record, Removal, Removed, Store, StoreFuture};

/// What a store is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// [`Store::get`].
    Get,
    /// [`Store::put`].
    Put,
    /// [`Store::remove`] and [`Store::erase`].
    Remove,
    /// [`Store::acquire`].
    Acquire,
    /// [`Store::renew`].
    Renew,
    /// [`Store::release`].
    Release,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Chaos {
    /// An error, and nothing is done.
    Fails(StoreErrorKind),
    /// It is done so much later, by tokio's clock.
    Late(Duration),
    /// It never ends: its caller has to give up.
    Hangs,
    /// One byte of the frame is wrong, in what is read or in what is written. Other
    /// operations are done as they should be.
    Corrupts,
    /// Nothing is done, and nobody is told: a read finds nothing, a write or a removal
    /// says that it was done.
    Loses,
}

/// A [`Store`] in which things go wrong, by rule or by chance. Clones are the same
/// store: keep one to change the rules while a cache has the other.
///
/// ```
/// # async fn test(app: axum::Router) -> Result<(), larder::ConfigError> {
/// use larder::testing::{Chaos, ChaosStore, ManualClock, MemoryStore, Operation};
/// use larder::{Cache, StoreErrorKind};
///
/// let store = ChaosStore::new(MemoryStore::new(ManualClock::new()));
/// let cache = Cache::builder().store(store.clone()).build()?;
/// store.always(Operation::Get, Chaos::Hangs);
/// store.next(3, Operation::Put, Chaos::Fails(StoreErrorKind::Unavailable));
/// // .. requests are answered all the same ..
/// store.calm();
/// store.sometimes(42, 10, [Chaos::Corrupts, Chaos::Loses]);
/// # let _ = cache;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ChaosStore {
    store: Arc<dyn Store>,
    rules: Arc<Mutex<Rules>>,
}

#[derive(Default)]
struct Rules {
    always: HashMap<Operation, Chaos>,
    next: HashMap<Operation, (u64, Chaos)>,
    sometimes: Option<Sometimes>,
    calls: HashMap<Operation, u64>,
}

/// Of so many calls one goes wrong, in one of these ways.
struct Sometimes {
    seed: u64,
    one_in: u64,
    ways: Vec<Chaos>,
}

impl Sometimes {
    /// xorshift64
    fn below(&mut self, below: u64) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed % below.max(1)
    }

    fn chaos(&mut self) -> Option<Chaos> {
        if self.ways.is_empty() || self.below(self.one_in) != 0 {
            return None;
        }
        let way = self.below(self.ways.len() as u64);
        usize::try_from(way).ok().map(|way| self.ways[way])
    }
}

impl ChaosStore {
    /// A store in which nothing goes wrong yet.
    pub fn new(store: impl Store) -> Self {
        Self {
            store: Arc::new(store),
            rules: Arc::default(),
        }
    }

    fn rules(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every call of an operation goes wrong so, from now on.
    pub fn always(&self, operation: Operation, chaos: Chaos) {
        self.rules().always.insert(operation, chaos);
    }

    /// The next `calls` of an operation go wrong so; that comes before what always or
    /// sometimes does.
    pub fn next(&self, calls: u64, operation: Operation, chaos: Chaos) {
        self.rules().next.insert(operation, (calls, chaos));
    }

    /// One call in `one_in`, of whatever operation, goes wrong in one of these ways.
    /// The same seed and the same calls have the same end: print it in a test.
    pub fn sometimes(&self, seed: u64, one_in: u64, ways: impl IntoIterator<Item = Chaos>) {
        self.rules().sometimes = Some(Sometimes {
            seed: seed.max(1), // zero would stay zero
            one_in,
            ways: ways.into_iter().collect(),
        });
    }

    /// Nothing goes wrong any more.
    pub fn calm(&self) {
        let mut rules = self.rules();
        rules.always.clear();
        rules.next.clear();
        rules.sometimes = None;
    }

    /// How often an operation was asked for.
    #[must_use]
    pub fn calls(&self, operation: Operation) -> u64 {
        self.rules().calls.get(&operation).copied().unwrap_or(0)
    }

    /// What becomes of a call.
    fn chaos(&self, operation: Operation) -> Option<Chaos> {
        let mut rules = self.rules();
        *rules.calls.entry(operation).or_default() += 1;
        if let Some((left, chaos)) = rules.next.get_mut(&operation)
            && *left > 0
        {
            *left -= 1;
            return Some(*chaos);
        }
        let always = rules.always.get(&operation).copied();
        always.or_else(|| rules.sometimes.as_mut()?.chaos())
    }

    /// Waits, or fails; `true` if it is to be lost.
    async fn befalls(chaos: Option<Chaos>) -> Result<bool, StoreError> {
        match chaos {
            Some(Chaos::Fails(kind)) => Err(StoreError::new(kind, "chaos")),
            Some(Chaos::Hangs) => std::future::pending().await,
            Some(Chaos::Late(pause)) => {
                tokio::time::sleep(pause).await;
                Ok(false)
            }
            Some(Chaos::Loses) => Ok(true),
            Some(Chaos::Corrupts) | None => Ok(false),
        }
    }
}

/// With its middle byte wrong.
fn corrupted(frame: &Bytes) -> Bytes {
    let mut bytes = frame.to_vec();
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 0x55;
    }
    bytes.into()
}

impl Store for ChaosStore {
    fn get<'a>(&'a self, key: &'a Key) -> StoreFuture<'a, Option<Bytes>> {
        Box::pin(async move {
            let chaos = self.chaos(Operation::Get);
            if Self::befalls(chaos).await? {
                return Ok(None);
            }
            let frame = self.store.get(key).await?;
            Ok(match chaos {
                Some(Chaos::Corrupts) => frame.as_ref().map(corrupted),
                _ => frame,
            })
        })
    }

    fn put<'a>(&'a self, mut record: Record<'a>) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let chaos = self.chaos(Operation::Put);
            if Self::befalls(chaos).await? {
                return Ok(());
            }
            if chaos == Some(Chaos::Corrupts) {
                record.frame = corrupted(&record.frame);
            }
            self.store.put(record).await
        })
    }

    fn remove<'a>(&'a self, removal: Removal<'a>) -> StoreFuture<'a, Removed> {
        Box::pin(async move {
            match Self::befalls(self.chaos(Operation::Remove)).await? {
                true => Ok(Removed::default()),
                false => self.store.remove(removal).await,
            }
        })
    }

    fn count<'a>(&'a self, removal: Removal<'a>) -> StoreFuture<'a, Removed> {
        self.store.count(removal)
    }

    fn erase<'a>(&'a self, erasure: Erasure<'a>) -> StoreFuture<'a, Removed> {
        Box::pin(async move {
            match Self::befalls(self.chaos(Operation::Remove)).await? {
                true => Ok(Removed::default()),
                false => self.store.erase(erasure).await,
            }
        })
    }

    fn acquire<'a>(&'a self, lease: &'a Lease, ttl: Duration) -> StoreFuture<'a, Granted> {
        Box::pin(async move {
            match Self::befalls(self.chaos(Operation::Acquire)).await? {
                true => Ok(Granted::Yes),
                false => self.store.acquire(lease, ttl).await,
            }
        })
    }

    fn renew<'a>(&'a self, lease: &'a Lease, ttl: Duration) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            match Self::befalls(self.chaos(Operation::Renew)).await? {
                true => Ok(true),
                false => self.store.renew(lease, ttl).await,
            }
        })
    }

    fn release<'a>(&'a self, lease: &'a Lease, alone: Option<Duration>) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            match Self::befalls(self.chaos(Operation::Release)).await? {
                true => Ok(()),
                false => self.store.release(lease, alone).await,
            }
        })
    }

    fn released<'a>(&'a self, key: &'a Key) -> StoreFuture<'a, ()> {
        self.store.released(key)
    }
}

impl fmt::Debug for ChaosStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChaosStore").finish_non_exhaustive()
    }
}
