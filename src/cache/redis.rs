//! The Redis tier in the builder.

use std::sync::Arc;

use super::builder::{CacheBuilder, Opened};
use crate::store::redis::RedisStore;

impl CacheBuilder {
    /// Keeps entries in Redis, shared by all instances that use the same
    /// prefix. The last of `store` and `redis` counts.
    ///
    /// | URL | |
    /// |---|---|
    /// | `redis://[user:password@]host[:port][/database]` | one server |
    /// | `rediss://..` | the same by TLS (feature `tls`) |
    /// | `unix:///path[?db=1]` | by a unix socket |
    /// | `redis+cluster://a:6379,b:6379` | Redis Cluster, by some of its nodes (feature `cluster`) |
    /// | `redis+sentinel://a:26379,b:26379/service[/database]` | behind Sentinel (feature `sentinel`) |
    ///
    /// The connection is made when it is first needed: a Redis that is down
    /// delays no start. While it is down requests go on without it.
    pub fn redis(mut self, url: impl Into<String>) -> Self {
        let url = url.into();
        self.store = Some(Box::new(move |settings| {
            let super::builder::StoreSettings {
                prefix,
                timeout,
                clock,
                merges,
            } = settings;
            let store = Arc::new(RedisStore::open(&url, prefix, timeout, clock, merges)?);
            Ok(Opened {
                store: Box::new(Arc::clone(&store)),
                fence: Some(store),
            })
        }));
        self
    }
}

/// A builder with a Redis tier from configuration.
#[cfg(feature = "config")]
#[allow(
    clippy::unnecessary_wraps,
    reason = "without the feature `redis` it fails"
)]
pub(crate) fn with_redis(
    builder: CacheBuilder,
    url: &str,
) -> Result<CacheBuilder, crate::error::ConfigError> {
    Ok(builder.redis(url))
}
