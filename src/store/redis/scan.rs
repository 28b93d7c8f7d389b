//! Removal by pattern: SCAN over every primary, UNLINK as the scan goes. Never
//! KEYS, which would stop the server for everybody.

use redis::{FromRedisValue, RedisError, Value};

use super::connect::Node;
use super::tier::{RedisStore, refused};
use crate::error::StoreError;

/// What measured best: fewer round trips than 100, and no stall for others as
/// with 5,000.
const COUNT: usize = 1_000;

impl RedisStore {
    /// Removes what matches, but nothing that larder keeps for itself.
    pub(super) async fn remove_pattern(&self, pattern: &str) -> Result<u64, StoreError> {
        let mut removed = 0;
        for node in self.link.primaries(self.slow()).await? {
            let mut cursor = b"0".to_vec();
            loop {
                let (next, keys) = self.scan(&node, &cursor, pattern, COUNT).await?;
                let theirs = |key: &Vec<u8>| !key.starts_with(self.internal.as_bytes());
                let keys: Vec<Vec<u8>> = keys.into_iter().filter(theirs).collect();
                removed += self.unlink(&keys).await?;
                if next == b"0" {
                    break;
                }
                cursor = next;
            }
        }
        Ok(removed)
    }

    /// One step: where to go on, and what was found.
    pub(super) async fn scan(
        &self,
        node: &Node,
        cursor: &[u8],
        pattern: &str,
        count: usize,
    ) -> Result<(Vec<u8>, Vec<Vec<u8>>), StoreError> {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(pattern);
        scan.arg("COUNT").arg(count);
        let reply = self.link.run(node, &scan, self.slow()).await?;
        let page: Result<(Vec<u8>, Vec<Vec<u8>>), _> = FromRedisValue::from_redis_value(reply);
        page.map_err(|error| refused(RedisError::from(error)))
    }

    /// Removes keys, in batches, and counts those that were there.
    pub(super) async fn unlink(&self, keys: &[Vec<u8>]) -> Result<u64, StoreError> {
        let mut removed = 0;
        for batch in keys.chunks(COUNT) {
            let mut unlink = redis::cmd("UNLINK");
            for key in batch {
                unlink.arg(key);
            }
            match self.run(&unlink, self.slow()).await? {
                Value::Int(n) => removed += u64::try_from(n).unwrap_or(0),
                _ => return Err(refused("UNLINK did not answer with a number")),
            }
        }
        Ok(removed)
    }
}
