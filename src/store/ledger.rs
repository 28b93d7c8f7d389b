//! Where instances count together.

use std::collections::HashMap;

use super::StoreFuture;
use crate::stats::{Batch, Map, Slot, Slots};

/// What has become of entries in the store since it was last asked.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    /// How many more of them expire in an hour since 1970.
    pub(crate) expiring: HashMap<u64, i64>,
    pub(crate) removed: u64,
}

/// Counts that outlive their tellers.
pub(crate) trait Ledger: Send + Sync + 'static {
    /// What this process has written and removed.
    fn entries(&self) -> Entries;

    /// Counts a batch: once, however often it is told.
    fn tell<'a>(&'a self, batch: &'a Batch) -> StoreFuture<'a, ()>;

    /// What all have counted.
    fn read<'a>(&'a self, slots: &'a [Slot]) -> StoreFuture<'a, Slots>;

    /// What was asked for most on a day since 1970 and the one before.
    fn top(&self, day: u64, most: usize) -> StoreFuture<'_, Vec<(Box<str>, u64)>>;

    /// How many different users there were on some days.
    fn users<'a>(&'a self, days: &'a [u64], endpoint: &'a str) -> StoreFuture<'a, u64>;

    /// Tells what a release has filled on a day since 1970.
    fn tell_filled<'a>(
        &'a self,
        release: &'a str,
        day: u64,
        bits: &'a [u32],
    ) -> StoreFuture<'a, ()>;

    /// What all releases have filled on a day since 1970 and the one before.
    fn filled<'a>(&'a self, release: &'a str, day: u64) -> StoreFuture<'a, Vec<Map>>;

    /// Entries that have not expired, nor been removed, by an hour since 1970.
    fn living(&self, hour: u64) -> StoreFuture<'_, u64>;
}
