//! A shared store in memory.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::clock::Clock;
use crate::entry::codec::Peek;
use crate::invalidate::Pattern;
use crate::key::Key;
use crate::store::{Erasure, Group, Record, Removal, Removed, Store, StoreFuture};

/// A [`Store`] in memory, for tests of several instances without a server. Clones are
/// the same store. Everybody has the right to fill: instances do not wait for each
/// other, and no clock of invalidations is shared.
///
/// ```
/// # use std::sync::Arc;
/// use larder::Cache;
/// use larder::testing::{ManualClock, MemoryStore};
///
/// let clock = ManualClock::new();
/// let shared = MemoryStore::new(clock.clone());
/// let instance = || {
///     let builder = Cache::builder().store(shared.clone());
///     builder.clock(Arc::new(clock.clone())).build()
/// };
/// let (one, other) = (instance()?, instance()?);
/// # let _ = (one, other);
/// # Ok::<(), larder::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    kept: Arc<Mutex<HashMap<String, Kept>>>,
}

struct Kept {
    frame: Bytes,
    until: Duration,
    groups: Vec<Group>,
}

impl MemoryStore {
    /// An empty one, in which entries expire by this clock.
    pub fn new(clock: impl Clock) -> Self {
        Self {
            clock: Arc::new(clock),
            kept: Arc::default(),
        }
    }

    /// The names of the entries in it, sorted.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.kept().keys().cloned().collect();
        keys.sort_unstable();
        keys
    }

    /// What has not expired.
    fn kept(&self) -> MutexGuard<'_, HashMap<String, Kept>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.monotonic();
        kept.retain(|_, entry| entry.until > now);
        kept
    }
}

impl Store for MemoryStore {
    fn get<'a>(&'a self, key: &'a Key) -> StoreFuture<'a, Option<Bytes>> {
        let frame = self.kept().get(key.as_str()).map(|kept| kept.frame.clone());
        Box::pin(std::future::ready(Ok(frame)))
    }

    fn put<'a>(&'a self, record: Record<'a>) -> StoreFuture<'a, ()> {
        let entry = Kept {
            frame: record.frame,
            until: self.clock.monotonic().saturating_add(record.ttl),
            groups: record.groups.to_vec(),
        };
        self.kept().insert(record.key.as_str().to_owned(), entry);
        Box::pin(std::future::ready(Ok(())))
    }

    fn remove<'a>(&'a self, removal: Removal<'a>) -> StoreFuture<'a, Removed> {
        let mut kept = self.kept();
        let mut removed = Removed::default();
        kept.retain(|name, entry| {
            let stays = !reaches(&removal, name, entry);
            match Peek::any(&entry.frame) {
                _ if stays => {}
                Some(peek) if peek.value => removed.entries += 1, // its name has no endpoint
                _ => removed.add(name.split(':').nth(1).unwrap_or_default(), 1),
            }
            stays
        });
        Box::pin(std::future::ready(Ok(removed)))
    }

    fn count<'a>(&'a self, removal: Removal<'a>) -> StoreFuture<'a, Removed> {
        let kept = self.kept();
        let reached = kept
            .iter()
            .filter(|(name, entry)| reaches(&removal, name, entry));
        let count = reached.count() as u64;
        Box::pin(std::future::ready(Ok(count.into())))
    }

    fn erase<'a>(&'a self, erasure: Erasure<'a>) -> StoreFuture<'a, Removed> {
        let mut kept = self.kept();
        let before = kept.len();
        kept.retain(|_, entry| !bears(&erasure, entry));
        let erased = (before - kept.len()) as u64;
        Box::pin(std::future::ready(Ok(erased.into())))
    }
}

/// Whether an entry bears what is to be gone.
fn bears(erasure: &Erasure<'_>, entry: &Kept) -> bool {
    entry.groups.contains(&erasure.group) || erasure.bears(&entry.frame) == Some(true)
}

fn reaches(removal: &Removal<'_>, name: &str, entry: &Kept) -> bool {
    match removal {
        Removal::Key(key) => name == key.as_str(),
        Removal::Group(group) => entry.groups.contains(group),
        Removal::Pattern(text) => Pattern::trusted((*text).to_owned()).matches(name),
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}
