//! Counters of one process.

mod counters;

pub(crate) use counters::Counters;
pub use counters::Stats;
