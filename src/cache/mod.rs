//! The cache itself: its handle, its builder, and the engine behind both.

mod adapt;
mod advise;
mod beats;
mod builder;
#[cfg(feature = "compression")]
mod compression;
mod confirm;
mod dropping;
#[cfg(feature = "encryption")]
mod encryption;
mod engine;
mod erase;
mod found;
pub(crate) mod guard;
mod handle;
mod inspect;
mod invalidation;
mod keep;
mod learn;
mod lease;
mod listen;
mod look;
mod place;
mod precompress;
mod pulse;
mod queue;
mod read;
mod reclaim;
mod record;
#[cfg(feature = "redis")]
mod redis;
#[cfg(all(feature = "config", not(feature = "redis")))]
#[path = "no_redis.rs"]
mod redis;
mod releases;
mod removed;
mod sharing;
#[cfg(test)]
mod stand_in;
mod standing;
mod strangers;
mod sweep;
mod switch;
mod time;
mod timed;
mod trail;
mod trouble;
mod turns;
#[cfg(feature = "values")]
mod values;
mod writing;
mod written;

pub use adapt::TtlProposal;
pub use builder::CacheBuilder;
#[cfg(feature = "compression")]
pub use compression::Compression;
pub(crate) use engine::Engine;
pub(crate) use found::{Found, Missed, Stale};
pub use handle::Cache;
pub(crate) use keep::{Fill, Varies};
pub(crate) use lease::{AsksToFill, Leased, Right, seen};
pub(crate) use look::Unanswered;
#[cfg(feature = "values")]
pub(crate) use place::Placed;
pub(crate) use read::Family;
#[cfg(feature = "config")]
pub(crate) use redis::with_redis;
pub use sharing::{Failover, Outage};
pub(crate) use writing::Writing;
