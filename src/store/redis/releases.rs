//! What each release has filled, in Redis.
//!
//! | name | what |
//! |---|---|
//! | `<prefix>:!{stats}:releases` | a sorted set: `<hash of a release>:<day>`, by the day |
//! | `<prefix>:!{stats}:filled:<hash>:<day>` | bits: the places that it has filled on that day |

use redis::{FromRedisValue, RedisError, Value};

use super::tier::{RedisStore, refused};
use crate::error::StoreError;
use crate::stats::Map;

/// Maps that are read at most, the latest first.
const MOST: usize = 8;
/// Seconds: a day and the next.
const LIFE: u64 = 2 * 86_400;

impl RedisStore {
    pub(super) async fn tell_bits(
        &self,
        release: &str,
        day: u64,
        bits: &[u32],
    ) -> Result<(), StoreError> {
        let of_day = format!("{release}:{day}");
        let key = self.stats_name(&format!("filled:{of_day}"));
        for bits in bits.chunks(1_000) {
            let mut set = redis::cmd("BITFIELD");
            set.arg(&key);
            for bit in bits {
                set.arg("SET").arg("u1").arg(bit).arg(1);
            }
            self.run(&set, self.slow()).await?;
        }
        let mut expire = redis::cmd("EXPIRE");
        expire.arg(&key).arg(LIFE);
        self.run(&expire, self.slow()).await?;
        let releases = self.stats_name("releases");
        let mut add = redis::cmd("ZADD");
        add.arg(&releases).arg(day).arg(of_day);
        self.run(&add, self.slow()).await?;
        let mut old = redis::cmd("ZREMRANGEBYSCORE");
        old.arg(&releases).arg("-inf").arg(day.saturating_sub(2));
        self.run(&old, self.slow()).await.map(drop)
    }

    pub(super) async fn told_bits(&self, release: &str, day: u64) -> Result<Vec<Map>, StoreError> {
        let mut range = redis::cmd("ZRANGEBYSCORE");
        range.arg(self.stats_name("releases"));
        range.arg(day.saturating_sub(1)).arg("+inf");
        let names = self.run(&range, self.slow()).await?;
        let names: Result<Vec<String>, _> = FromRedisValue::from_redis_value(names);
        let names = names.map_err(|error| refused(RedisError::from(error)))?;
        let mut maps = Vec::new();
        for name in names.iter().rev().take(MOST) {
            let mut get = redis::cmd("GET");
            get.arg(self.stats_name(&format!("filled:{name}")));
            if let Value::BulkString(bits) = self.run(&get, self.slow()).await? {
                let (own, bits) = (name.starts_with(release), bits.into());
                maps.push(Map { own, bits });
            }
        }
        Ok(maps)
    }
}
