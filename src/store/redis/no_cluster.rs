//! Redis Cluster, left out.

use std::time::Duration;

use redis::{ErrorKind, RedisResult};

use super::connect::Connect;

const MISSING: &str = "redis+cluster:// needs larder's feature `cluster`";

pub(super) fn prepare() -> Result<(), &'static str> {
    Err(MISSING)
}

pub(super) fn open(_nodes: Vec<String>, _timeout: Duration) -> RedisResult<Box<dyn Connect>> {
    Err((ErrorKind::InvalidClientConfig, MISSING).into())
}
