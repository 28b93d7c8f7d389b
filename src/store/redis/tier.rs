//! [`RedisStore`]: the shared store of a cache.
//!
//! | name | what |
//! |---|---|
//! | `<prefix>:<endpoint>:<hash>` | an entry's frame |
//! | `<prefix>:!group:<hash>` | the keys of one URI or tag, a sorted set by the time at which they expire |

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use redis::{Cmd, ErrorKind, FromRedisValue, Script, ServerErrorKind, Value};

use super::connect::Node;
use super::link::Link;
use super::url;
use crate::clock::{Clock, millis};
use crate::error::{BoxError, ConfigError, StoreError, StoreErrorKind};
use crate::key::Key;
use crate::store::{Group, Record, Removal, Store, StoreFuture};

/// Writes, scans and removals may take this many times as long as a read:
/// no request waits for them.
const SLOWER: u32 = 8;

/// Puts a key into groups until it expires, and drops what has expired.
const JOIN: &str = r"
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local ttl = tonumber(ARGV[2])
for _, group in ipairs(KEYS) do
  redis.call('ZREMRANGEBYSCORE', group, '-inf', now)
  local known = redis.call('ZSCORE', group, ARGV[1])
  if not known or tonumber(known) < now + ttl then
    redis.call('ZADD', group, now + ttl, ARGV[1])
  end
  if redis.call('PTTL', group) < ttl then redis.call('PEXPIRE', group, ttl) end
end
return 1";

/// The keys of a group. They stay in it until they expire: a removal may have
/// to be repeated, and an entry that is being written must stay in its groups.
const MEMBERS: &str = r"
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
return redis.call('ZRANGEBYSCORE', KEYS[1], now, '+inf')";

/// Entries in Redis.
pub(crate) struct RedisStore {
    pub(super) link: Arc<Link>,
    timeout: Duration,
    join: Script,
    members: Script,
    /// How names begin that larder keeps for itself.
    pub(super) internal: String,
}

impl RedisStore {
    /// Reads the URL; connects when it is first needed.
    pub(crate) fn open(
        url: &str,
        prefix: &str,
        timeout: Duration,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConfigError> {
        Ok(Self {
            link: Arc::new(Link::new(url::open(url, timeout)?, clock)),
            timeout,
            join: Script::new(JOIN),
            members: Script::new(MEMBERS),
            internal: format!("{prefix}:!"),
        })
    }

    pub(super) fn slow(&self) -> Duration {
        self.timeout * SLOWER
    }

    pub(super) async fn run(&self, cmd: &Cmd, timeout: Duration) -> Result<Value, StoreError> {
        self.link.run(&Node::Only, cmd, timeout).await
    }

    /// Runs a script by its hash, and by its text where the server does not
    /// know it yet.
    async fn script(
        &self,
        (script, text): (&Script, &str),
        keys: &[String],
        args: &[&[u8]],
    ) -> Result<Value, StoreError> {
        let command = |name: &str, script: &str| {
            let mut cmd = redis::cmd(name);
            cmd.arg(script).arg(keys.len()).arg(keys).arg(args);
            cmd
        };
        let known = command("EVALSHA", script.get_hash());
        match self.run(&known, self.slow()).await {
            Err(error) if is_no_script(&error) => {
                self.run(&command("EVAL", text), self.slow()).await
            }
            result => result,
        }
    }

    fn group(&self, group: Group) -> String {
        format!("{}group:{}", self.internal, group.as_hex())
    }

    async fn read(&self, key: &Key) -> Result<Option<Bytes>, StoreError> {
        match self.link.read(key, self.timeout).await? {
            Value::Nil => Ok(None),
            Value::BulkString(frame) => Ok(Some(frame.into())),
            _ => Err(refused("GET did not answer with a string")),
        }
    }

    async fn write(&self, record: Record<'_>) -> Result<(), StoreError> {
        let ttl = millis(record.ttl).max(1).to_string();
        // the groups first, and for longer: an entry is never there without them
        let longer = millis(record.ttl.saturating_add(self.slow() * 4)).to_string();
        let groups: Vec<String> = record
            .groups
            .iter()
            .map(|group| self.group(*group))
            .collect();
        let at_once = match groups.len() {
            0 | 1 => true,
            _ => self.link.any_keys(),
        };
        let step = if at_once { groups.len().max(1) } else { 1 };
        for groups in groups.chunks(step) {
            let args = [record.key.as_str().as_bytes(), longer.as_bytes()];
            self.script((&self.join, JOIN), groups, &args).await?;
        }
        let mut set = redis::cmd("SET");
        set.arg(record.key.as_str()).arg(&record.frame[..]);
        set.arg("PX").arg(&ttl);
        self.run(&set, self.slow()).await.map(drop)
    }

    async fn remove_group(&self, group: Group) -> Result<u64, StoreError> {
        let members = (&self.members, MEMBERS);
        let reply = self.script(members, &[self.group(group)], &[]).await?;
        let keys: Vec<Vec<u8>> = FromRedisValue::from_redis_value(reply)
            .map_err(|error| refused(redis::RedisError::from(error)))?;
        self.unlink(&keys).await
    }
}

impl Store for RedisStore {
    fn get<'a>(&'a self, key: &'a Key) -> StoreFuture<'a, Option<Bytes>> {
        Box::pin(self.read(key))
    }

    fn put<'a>(&'a self, record: Record<'a>) -> StoreFuture<'a, ()> {
        Box::pin(self.write(record))
    }

    fn remove<'a>(&'a self, removal: Removal<'a>) -> StoreFuture<'a, u64> {
        match removal {
            Removal::Key(key) => Box::pin(async move {
                let key = key.as_str().as_bytes().to_vec();
                self.unlink(&[key]).await
            }),
            Removal::Group(group) => Box::pin(self.remove_group(group)),
            Removal::Pattern(pattern) => Box::pin(self.remove_pattern(pattern)),
        }
    }
}

pub(super) fn refused(why: impl Into<BoxError>) -> StoreError {
    StoreError::new(StoreErrorKind::Refused, why)
}

fn is_no_script(error: &StoreError) -> bool {
    let source = std::error::Error::source(error);
    source
        .and_then(|source| source.downcast_ref::<redis::RedisError>())
        .is_some_and(|error| error.kind() == ErrorKind::Server(ServerErrorKind::NoScript))
}
