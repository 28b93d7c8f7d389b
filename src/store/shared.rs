//! The trait of a shared store.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::entry::codec::Peek;
use crate::error::{StoreError, StoreErrorKind};
use crate::key::{Key, ScopeId};

/// What a [`Store`]'s methods return.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A set of entries that are removed together: one URI's, or one tag's. Only
/// a hash of its name is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Group(pub(crate) ScopeId);

impl Group {
    /// 32 hexadecimal digits.
    #[must_use]
    pub fn as_hex(&self) -> String {
        self.0.to_hex()
    }
}

/// What is written for one entry.
#[derive(Debug)]
#[non_exhaustive]
pub struct Record<'a> {
    /// The entry's key.
    pub key: &'a Key,
    /// The entry, opaque to the store.
    pub frame: Bytes,
    /// How long it is kept.
    pub ttl: Duration,
    /// The groups that it belongs to.
    pub groups: &'a [Group],
    /// The right under which it was made. One that is no longer held must refuse
    /// the write, as [`Fenced`](crate::StoreErrorKind::Fenced); one that is ends
    /// with it, and those who wait are woken.
    pub lease: Option<&'a Lease>,
    /// It is no entry, and only leads to one: a marker of what answers vary on, or
    /// another name of a value. It does not count as an entry.
    pub leads: bool,
    /// It stands in the place of whatever is being made: who fills this key loses the right
    /// to it, and what he writes later is refused.
    pub replaces: Option<&'a Key>,
}

/// The right to fill one key, among the instances that share a store.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Lease {
    /// The key to be filled.
    pub key: Key,
    /// Tells its holder from all others: 48 hexadecimal digits. The last 16 are the number
    /// that the shared clock of invalidations had when it was made, or zeros.
    pub token: String,
    /// A holder whose token has a lower number fills in vain, for its key was invalidated
    /// since: it gives way, and what it writes is refused.
    pub least: u64,
    /// What its asker has found under the key.
    pub seen: Seen,
}

/// What the asker of a [`Lease`] has found under its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Seen {
    /// Nothing.
    Nothing,
    /// A frame with these eight bytes at its place 16: when its entry was made.
    Frame([u8; 8]),
    /// Whatever lies there, it is of no use.
    Useless,
}

/// What became of asking for a [`Lease`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Granted {
    /// It is held now.
    Yes,
    /// Another instance holds it.
    No,
    /// Nobody holds it, but what lies under the key is not what was seen: it has
    /// been filled meanwhile.
    Filled,
    /// Nobody holds it, for answers under this key are not shared.
    Alone,
}

/// What is removed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Removal<'a> {
    /// One entry.
    Key(&'a Key),
    /// All entries of a group.
    Group(Group),
    /// All entries whose key matches: `*`, `?`, `[..]` and `\` as in Redis.
    Pattern(&'a str),
}

/// What a removal has removed, or would.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Removed {
    /// Entries that were there.
    pub entries: u64,
    /// Servers that were looked through from one end to the other for them.
    pub primaries: u64,
    /// How many of the entries were of which endpoint, the second part of the keys that begin
    /// with the cache's prefix; those of no known one are left out, and typed values.
    pub endpoints: BTreeMap<Box<str>, u64>,
}

impl From<u64> for Removed {
    fn from(entries: u64) -> Self {
        Self {
            entries,
            ..Self::default()
        }
    }
}

impl Removed {
    /// So many more of an endpoint.
    pub fn add(&mut self, endpoint: &str, entries: u64) {
        self.entries += entries;
        match self.endpoints.get_mut(endpoint) {
            Some(known) => *known += entries,
            None if entries > 0 => drop(self.endpoints.insert(endpoint.into(), entries)),
            None => {}
        }
    }
}

impl std::ops::AddAssign for Removed {
    /// The entries of both; the servers are the same ones.
    fn add_assign(&mut self, other: Self) {
        self.entries += other.entries;
        for (endpoint, entries) in other.endpoints {
            *self.endpoints.entry(endpoint).or_default() += entries;
        }
        self.primaries = self.primaries.max(other.primaries);
    }
}

/// What is to be gone: all that bears a tag.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Erasure<'a> {
    /// The tag.
    pub group: Group,
    /// What the names of all entries match, as in Redis.
    pub patterns: &'a [String],
}

impl Erasure<'_> {
    /// Whether an entry, or what leads to one, bears the tag; none where more of its frame
    /// is needed to tell.
    #[must_use]
    pub fn bears(&self, frame: &[u8]) -> Option<bool> {
        match Peek::any(frame) {
            Some(peek) => Some(peek.scopes(frame)?.contains(&self.group.0)),
            None => Some(false), // no entry
        }
    }
}

/// A store that instances share. Implement it to bring your own; for Redis it
/// is there ([`CacheBuilder::redis`](crate::CacheBuilder::redis)).
///
/// An implementation has these duties:
///
/// - *Time.* Every method ends within a time that a request can wait; what
///   takes longer is an error. `remove` by group or pattern may take longer.
/// - *Expiry.* An entry is not returned after its time, nor earlier without need.
/// - *Order.* A `put` that has ended is seen by every `get` and `remove` that
///   begins later. An entry belongs to its groups before `get` returns it.
/// - *Cancellation.* A future that is dropped leaves no entry half written.
/// - *Privacy.* Frames hold whatever responses hold: encrypt or protect them as
///   the data asks.
pub trait Store: Send + Sync + 'static {
    /// The frame under a key.
    fn get<'a>(&'a self, key: &'a Key) -> StoreFuture<'a, Option<Bytes>>;

    /// Writes an entry, in place of any earlier one.
    fn put<'a>(&'a self, record: Record<'a>) -> StoreFuture<'a, ()>;

    /// Removes entries and returns how many there were.
    fn remove<'a>(&'a self, removal: Removal<'a>) -> StoreFuture<'a, Removed>;

    /// Counts what [`remove`](Self::remove) would remove. Default: an error, for a
    /// store that cannot tell.
    fn count<'a>(&'a self, removal: Removal<'a>) -> StoreFuture<'a, Removed> {
        let _ = removal;
        let error = StoreError::new(StoreErrorKind::Refused, "this store cannot count");
        Box::pin(std::future::ready(Err(error)))
    }

    /// Removes every entry that bears a tag, also one that its group has lost, and
    /// forgets their names. Default: an error, for a store that cannot look at all that
    /// it holds.
    fn erase<'a>(&'a self, erasure: Erasure<'a>) -> StoreFuture<'a, Removed> {
        let _ = erasure;
        let error = StoreError::new(StoreErrorKind::Refused, "this store cannot erase");
        Box::pin(std::future::ready(Err(error)))
    }

    /// Asks for the right to fill a key, for `ttl`. Default: everybody has it, and
    /// instances fill side by side.
    fn acquire<'a>(&'a self, lease: &'a Lease, ttl: Duration) -> StoreFuture<'a, Granted> {
        let _ = (lease, ttl);
        Box::pin(std::future::ready(Ok(Granted::Yes)))
    }

    /// Holds it for `ttl` from now on. `false` if it was lost.
    fn renew<'a>(&'a self, lease: &'a Lease, ttl: Duration) -> StoreFuture<'a, bool> {
        let _ = (lease, ttl);
        Box::pin(std::future::ready(Ok(true)))
    }

    /// Gives it back without an entry. With `alone`, nobody is to wait for an
    /// answer under this key for so long, or until one is [put](Self::put) there.
    fn release<'a>(&'a self, lease: &'a Lease, alone: Option<Duration>) -> StoreFuture<'a, ()> {
        let _ = (lease, alone);
        Box::pin(std::future::ready(Ok(())))
    }

    /// Ends when the right to fill a key was given back or an entry was written,
    /// or some time later: who waits looks again.
    fn released<'a>(&'a self, key: &'a Key) -> StoreFuture<'a, ()> {
        let _ = key;
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Ok(())
        })
    }
}

/// A store that several own.
impl<S: Store + ?Sized> Store for Arc<S> {
    fn get<'a>(&'a self, key: &'a Key) -> StoreFuture<'a, Option<Bytes>> {
        (**self).get(key)
    }

    fn put<'a>(&'a self, record: Record<'a>) -> StoreFuture<'a, ()> {
        (**self).put(record)
    }

    fn remove<'a>(&'a self, removal: Removal<'a>) -> StoreFuture<'a, Removed> {
        (**self).remove(removal)
    }

    fn count<'a>(&'a self, removal: Removal<'a>) -> StoreFuture<'a, Removed> {
        (**self).count(removal)
    }

    fn erase<'a>(&'a self, erasure: Erasure<'a>) -> StoreFuture<'a, Removed> {
        (**self).erase(erasure)
    }

    fn acquire<'a>(&'a self, lease: &'a Lease, ttl: Duration) -> StoreFuture<'a, Granted> {
        (**self).acquire(lease, ttl)
    }

    fn renew<'a>(&'a self, lease: &'a Lease, ttl: Duration) -> StoreFuture<'a, bool> {
        (**self).renew(lease, ttl)
    }

    fn release<'a>(&'a self, lease: &'a Lease, alone: Option<Duration>) -> StoreFuture<'a, ()> {
        (**self).release(lease, alone)
    }

    fn released<'a>(&'a self, key: &'a Key) -> StoreFuture<'a, ()> {
        (**self).released(key)
    }
}
