//! A cache on a shared clock that is not Redis, for the checker in `src/model/`.

use std::sync::Arc;

use super::builder::{CacheBuilder, Opened};
use crate::store::Store;
use crate::store::fence::Fence;

impl CacheBuilder {
    pub(crate) fn fenced(mut self, tier: impl Store + Fence + Clone) -> Self {
        self.store = Some(Box::new(move |_| {
            Ok(Opened {
                store: Box::new(tier.clone()),
                fence: Some(Arc::new(tier)),
            })
        }));
        self
    }
}
