//! What the Redis tier tells of itself, beyond what every [`Store`](super::Store)
//! can.

use std::time::Duration;

use bytes::Bytes;

use super::StoreFuture;
use crate::inspect::{Server, Topology};

/// Names and the heads of their frames, and where to go on.
pub(crate) struct Listed {
    pub(crate) entries: Vec<(String, Bytes)>,
    pub(crate) next: Option<String>,
}

pub(crate) trait Insight: Send + Sync + 'static {
    fn topology(&self) -> Topology;

    /// For how long nothing has been asked but by a probe.
    fn open_for(&self) -> Option<Duration>;

    /// Asks every primary for a sign of life. How long the slowest took.
    fn ping(&self) -> StoreFuture<'_, Duration>;

    /// What the primaries say of themselves.
    fn servers(&self) -> StoreFuture<'_, Vec<Server>>;

    /// Whether it may have made it.
    fn is_cursor(&self, cursor: &str) -> bool;

    /// Some of the entries that match, from a cursor on; none begins. A cursor that
    /// it has not made is at the end.
    fn list<'a>(&'a self, pattern: &'a str, cursor: Option<&'a str>) -> StoreFuture<'a, Listed>;
}
