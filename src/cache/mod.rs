//! The cache itself: its handle, its builder, and the engine behind both.

mod builder;
mod engine;
mod handle;
mod invalidation;
mod precompress;
#[cfg(feature = "redis")]
mod redis;
#[cfg(all(feature = "config", not(feature = "redis")))]
#[path = "no_redis.rs"]
mod redis;
mod renewals;
mod tiers;
mod timed;

pub use builder::CacheBuilder;
pub(crate) use engine::Engine;
pub use handle::Cache;
pub(crate) use invalidation::Writing;
#[cfg(feature = "config")]
pub(crate) use redis::with_redis;
pub(crate) use tiers::{Fill, Missed, Stale, Varies};
