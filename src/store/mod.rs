//! Where entries lie: the memory tier, and a shared [`Store`].

mod evicted;
pub(crate) mod fence;
pub(crate) mod insight;
pub(crate) mod ledger;
pub(crate) mod memory;
#[cfg(feature = "redis")]
pub(crate) mod redis;
mod shared;
mod slot;
mod turns;
pub(crate) mod variants;

pub use shared::{
    Erasure, Granted, Group, Lease, Record, Removal, Removed, Seen, Store, StoreFuture,
};
