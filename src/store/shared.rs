//! The trait of a shared store.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;

use crate::error::StoreError;
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
    fn remove<'a>(&'a self, removal: Removal<'a>) -> StoreFuture<'a, u64>;
}
