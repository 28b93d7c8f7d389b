//! Sentinel, left out.

use redis::{ErrorKind, RedisResult};

use super::connect::Connect;
use super::url::SentinelUrl;

pub(super) fn open(_url: SentinelUrl) -> RedisResult<Box<dyn Connect>> {
    Err((
        ErrorKind::InvalidClientConfig,
        "redis+sentinel:// needs larder's feature `sentinel`",
    )
        .into())
}
