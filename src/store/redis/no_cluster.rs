//! Redis Cluster, left out.

use std::time::Duration;

use redis::{ErrorKind, RedisResult};

use super::connect::Connect;

pub(super) fn open(_nodes: Vec<String>, _timeout: Duration) -> RedisResult<Box<dyn Connect>> {
    Err((
        ErrorKind::InvalidClientConfig,
        "redis+cluster:// needs larder's feature `cluster`",
    )
        .into())
}
