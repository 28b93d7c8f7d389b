//! What the cache has done: counted in shards of each endpoint, read as plain
//! snapshots.
//!
//! Each request is counted once, by how it was answered ([`ticket`]): a hit in
//! memory where it is found, everything else where its answer leaves, or where it
//! is left behind. So the outcomes add up to the requests by construction.
//!
//! A build with `--cfg larder_no_stats` counts no hits in memory, for
//! `benches/statistics.rs` to compare with.

mod counters;
mod counts;
mod filled;
mod histogram;
mod kinds;
mod low;
mod recorder;
mod reset;
mod seen;
mod shards;
mod sketch;
mod snapshot;
mod tally;
mod ticket;
mod totals;
mod traces;
mod watch;
mod windows;

pub(crate) use counters::Counters;
pub(crate) use counts::Counts;
pub(crate) use filled::Map;
pub use histogram::Latency;
#[cfg(feature = "serde")]
pub(crate) use histogram::as_seconds;
#[cfg(feature = "redis")]
pub(crate) use kinds::{Counted as Vector, KINDS};
pub use low::{LowCause, LowHitRate};
pub(crate) use recorder::{Batch, DAY};
pub(crate) use seen::Users;
pub(crate) use shards::SAMPLE;
pub use snapshot::{EndpointStats, Latencies, Stats};
pub(crate) use tally::Reason;
pub use tally::Tally;
pub(crate) use ticket::Ticket;
pub use totals::{Analytics, EndpointAnalytics, Frequented, Recent, Span, Totals};
pub(crate) use traces::Traces;
pub(crate) use watch::Kept;
pub(crate) use windows::{Grain, Slot, Slots};
