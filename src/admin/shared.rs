//! [`Shared`]: what all routes share.

use std::sync::Arc;

use super::live::Live;
use crate::cache::Cache;
use crate::warm::{Warming, Warmup};

/// What all routes share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) cache: Cache,
    pub(super) live: Arc<Live>,
    pub(super) warms: Option<Arc<Through>>,
}

/// Begins a run of warming.
pub(super) type Through = dyn Fn(Warmup, Vec<String>) -> Warming + Send + Sync;
