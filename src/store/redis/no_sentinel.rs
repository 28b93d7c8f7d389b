//! Sentinel, left out.

use std::time::Duration;

use redis::{ErrorKind, RedisResult};

use super::connect::Connect;
use super::nodes::SentinelUrl;

const MISSING: &str = "redis+sentinel:// needs larder's feature `sentinel`";

pub(super) fn prepare() -> Result<(), &'static str> {
    Err(MISSING)
}

pub(super) fn open(_url: SentinelUrl, _operation: Duration) -> RedisResult<Box<dyn Connect>> {
    Err((ErrorKind::InvalidClientConfig, MISSING).into())
}
