//! Where entries lie: the memory tier, and a shared [`Store`].

pub(crate) mod memory;
mod shared;

pub use shared::{Group, Record, Removal, Store, StoreFuture};
