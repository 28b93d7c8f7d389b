//! What the stand-in tells of itself and counts: nothing.

use std::time::Duration;

use super::link::{Link, error};
use crate::error::StoreErrorKind::Refused;
use crate::inspect::{Server, Topology};
use crate::stats::{Batch, Map, Slot, Slots};
use crate::store::StoreFuture;
use crate::store::insight::{Insight, Listed};
use crate::store::ledger::{Entries, Ledger};

fn refused<'a, T: Send + 'a>() -> StoreFuture<'a, T> {
    Box::pin(async { error(Refused) })
}

impl Insight for Link {
    fn topology(&self) -> Topology {
        Topology::Server
    }

    fn open_for(&self) -> Option<Duration> {
        None
    }

    fn ping(&self) -> StoreFuture<'_, Duration> {
        refused()
    }

    fn servers(&self) -> StoreFuture<'_, Vec<Server>> {
        refused()
    }

    fn is_cursor(&self, _: &str) -> bool {
        false
    }

    fn list<'a>(&'a self, _: &'a str, _: Option<&'a str>) -> StoreFuture<'a, Listed> {
        refused()
    }
}

impl Ledger for Link {
    fn entries(&self) -> Entries {
        Entries::default()
    }

    fn tell<'a>(&'a self, _: &'a Batch) -> StoreFuture<'a, ()> {
        refused()
    }

    fn read<'a>(&'a self, _: &'a [Slot]) -> StoreFuture<'a, Slots> {
        refused()
    }

    fn top(&self, _: u64, _: usize) -> StoreFuture<'_, Vec<(Box<str>, u64)>> {
        refused()
    }

    fn users<'a>(&'a self, _: &'a [u64], _: &'a str) -> StoreFuture<'a, u64> {
        refused()
    }

    fn tell_filled<'a>(&'a self, _: &'a str, _: u64, _: &'a [u32]) -> StoreFuture<'a, ()> {
        refused()
    }

    fn filled<'a>(&'a self, _: &'a str, _: u64) -> StoreFuture<'a, Vec<Map>> {
        refused()
    }

    fn living(&self, _: u64) -> StoreFuture<'_, u64> {
        refused()
    }
}
