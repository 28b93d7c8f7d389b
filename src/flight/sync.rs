//! What flights lock with and run on: std and tokio, or a model of both whose
//! every interleaving can be tried (`model_sync.rs`).

#[cfg(not(all(test, larder_shuttle)))]
pub(super) use self::real::*;
#[cfg(all(test, larder_shuttle))]
pub(super) use super::model_sync::*;

#[cfg(not(all(test, larder_shuttle)))]
mod real {
    pub(in super::super) use std::sync::{Mutex, MutexGuard};
    pub(in super::super) use tokio::runtime::Handle;
    pub(in super::super) use tokio::task::AbortHandle;
}
