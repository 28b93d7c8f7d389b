//! Typed values in the handle.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::handle::Cache;
use crate::values::{Codec, Json, ValuesBuilder};

impl Cache {
    /// Begins the settings of a namespace of typed values, `[A-Za-z0-9._-]+` with `:`
    /// in between: its values lie in Redis under `<namespace>:<key>`, written as JSON.
    /// See [`values`](crate::values).
    ///
    /// What others have put into Redis under such a name is left alone: it is neither read,
    /// overwritten nor removed, and its key is cached in memory alone. Let a namespace be
    /// larder's alone; a store of your own makes no such difference.
    ///
    /// A namespace is of one type. Several handles of it may differ in their settings,
    /// such as a TTL for each kind of key.
    pub fn values<T>(&self, namespace: impl Into<String>) -> ValuesBuilder<T>
    where
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        self.values_with(namespace, Json)
    }

    /// The same for values that a codec of your own writes.
    pub fn values_with<T>(
        &self,
        namespace: impl Into<String>,
        codec: impl Codec<T>,
    ) -> ValuesBuilder<T>
    where
        T: Send + Sync + 'static,
    {
        ValuesBuilder::new(Arc::clone(self.engine()), namespace.into(), Arc::new(codec))
    }
}
