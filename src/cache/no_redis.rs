//! The Redis tier, left out.

use super::builder::CacheBuilder;
use crate::error::ConfigError;

/// A builder with a Redis tier from configuration.
pub(crate) fn with_redis(_builder: CacheBuilder, _url: &str) -> Result<CacheBuilder, ConfigError> {
    Err(ConfigError::new("redis", "needs larder's feature `redis`"))
}
