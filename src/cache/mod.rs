//! The cache itself: its handle, its builder, and the engine behind both.

mod builder;
mod engine;
mod handle;
mod invalidation;
#[cfg(feature = "redis")]
mod redis;
mod tiers;
mod timed;

pub use builder::CacheBuilder;
pub(crate) use engine::Engine;
pub use handle::Cache;
pub(crate) use invalidation::Writing;
pub(crate) use tiers::{Fill, Varies};
