//! [`RedisStore`]: the shared store of a cache.
//!
//! | name | what |
//! |---|---|
//! | `<prefix>:<endpoint>:<hash>` | an entry's frame |
//! | `<prefix>:!lock:{<key>}`, `<prefix>:!wake` | see `lease.rs` |
//! | `<prefix>:!{clock}`, `<prefix>:!{clock}:scopes`, `<prefix>:!clock` | see `fence.rs` |
//! | `<prefix>:!group:<hash>` | the keys of one URI or tag, a sorted set by the time at which they expire |

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use redis::{Cmd, ErrorKind, FromRedisValue, ServerErrorKind, ToRedisArgs, Value};

use super::connect::Node;
use super::link::Link;
use super::scripts::{Scripts, Text};
use super::url;
use super::wakes::Wakes;
use super::written::Written;
use crate::clock::{Clock, millis};
use crate::error::{BoxError, ConfigError, StoreError, StoreErrorKind};
use crate::key::Key;
use crate::lasting::Lasting;
use crate::store::{Erasure, Granted, Group, Lease, Record, Removal, Removed, Store, StoreFuture};

/// Writes, scans and removals may take this many times as long as a read:
/// no request waits for them.
const SLOWER: u32 = 8;

/// Entries in Redis.
pub(crate) struct RedisStore {
    pub(super) link: Arc<Link>,
    timeout: Duration,
    pub(super) scripts: Scripts,
    pub(super) wakes: Wakes,
    pub(super) written: Written,
    pub(super) clock: Arc<dyn Clock>,
    /// How names begin that larder keeps for itself.
    pub(super) internal: String,
    /// Where the server is another, the clock goes on.
    pub(super) merges: bool,
    /// What others have put under a value's name is in the way.
    pub(super) theirs: Lasting,
}

impl RedisStore {
    /// Reads the URL; connects when it is first needed.
    pub(crate) fn open(
        url: &str,
        prefix: &str,
        timeout: Duration,
        clock: Arc<dyn Clock>,
        merges: bool,
    ) -> Result<Self, ConfigError> {
        let clock_key = format!("{prefix}:!{{clock}}");
        Ok(Self {
            merges,
            link: Arc::new(Link::new(url::open(url, timeout)?, timeout, clock_key)),
            timeout,
            scripts: Scripts::new(),
            wakes: Wakes::default(),
            written: Written::default(),
            clock,
            internal: format!("{prefix}:!"),
            theirs: Lasting::default(),
        })
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(super) fn slow(&self) -> Duration {
        self.timeout * SLOWER
    }

    pub(super) async fn run(&self, cmd: &Cmd, timeout: Duration) -> Result<Value, StoreError> {
        self.link.run(&Node::Only, cmd, timeout).await
    }

    /// Runs a script by its hash, and by its text where the server does not
    /// know it yet.
    pub(super) async fn script(
        &self,
        script: &Text,
        keys: &[impl ToRedisArgs],
        args: &[&[u8]],
    ) -> Result<Value, StoreError> {
        self.script_within(script, keys, args, self.slow()).await
    }

    /// The same where a request waits for it.
    pub(super) async fn quick_script(
        &self,
        script: &Text,
        keys: &[impl ToRedisArgs],
        args: &[&[u8]],
    ) -> Result<Value, StoreError> {
        self.script_within(script, keys, args, self.timeout).await
    }

    pub(super) async fn script_within(
        &self,
        script: &Text,
        keys: &[impl ToRedisArgs],
        args: &[&[u8]],
        timeout: Duration,
    ) -> Result<Value, StoreError> {
        let command = |name: &str, script: &str| {
            let mut cmd = redis::cmd(name);
            cmd.arg(script).arg(keys.len()).arg(keys).arg(args);
            cmd
        };
        let known = command("EVALSHA", &script.hash);
        match self.run(&known, timeout).await {
            Err(error) if is_no_script(&error) => {
                self.run(&command("EVAL", &script.text), timeout).await
            }
            result => result,
        }
    }

    pub(super) fn group(&self, group: Group) -> String {
        format!("{}group:{}", self.internal, group.as_hex())
    }

    async fn read(&self, key: &Key) -> Result<Option<Bytes>, StoreError> {
        match self.link.read(key, self.timeout).await {
            Ok(Value::Nil) => Ok(None),
            Ok(Value::BulkString(frame)) => Ok(Some(frame.into())),
            Ok(_) => Err(refused("GET did not answer with a string")),
            // a value's name may hold what is others': no frame
            Err(error) if is_of_another_type(&error) && !self.is_ours(key.as_str().as_bytes()) => {
                Ok(Some(Bytes::new()))
            }
            Err(error) => Err(error),
        }
    }

    async fn write(&self, record: Record<'_>) -> Result<(), StoreError> {
        let ttl = millis(record.ttl).max(1).to_string();
        let groups = record.groups.iter();
        let groups: Vec<String> = groups.map(|group| self.group(*group)).collect();
        if self.link.any_keys() {
            return self.store(&record, record.lease, &groups, &ttl).await;
        }
        let longer = self.longer(record.ttl);
        for group in groups {
            let args = [record.key.as_str().as_bytes(), longer.as_bytes()];
            self.script(&self.scripts.join, &[group], &args).await?;
        }
        if let (None, Some(key), false) = (record.lease, record.replaces, record.leads) {
            let mut del = redis::cmd("DEL");
            del.arg(self.lock(key));
            self.run(&del, self.slow()).await?;
        }
        match record.lease {
            Some(lease) => self.write_leased(&record, lease, &ttl).await,
            None => self.set(&record, &ttl).await,
        }
    }

    /// Whether all that has such a name is larder's. A value's may be of others too.
    pub(super) fn is_ours(&self, key: &[u8]) -> bool {
        key.starts_with(self.internal.trim_end_matches('!').as_bytes())
    }

    /// Groups live longer than their entries: an entry is never there without
    /// them. In milliseconds.
    pub(super) fn longer(&self, ttl: Duration) -> String {
        millis(ttl.saturating_add(self.slow() * 4)).to_string()
    }

    /// Writes an entry, whoever has its lock.
    pub(super) async fn set(&self, record: &Record<'_>, ttl: &str) -> Result<(), StoreError> {
        let bare = Record {
            frame: record.frame.clone(),
            groups: &[],
            lease: None,
            replaces: record.replaces.map(|_| record.key),
            ..*record
        };
        self.store(&bare, None, &[], ttl).await
    }

    /// The keys of a group.
    pub(super) async fn members(&self, group: Group) -> Result<Vec<Vec<u8>>, StoreError> {
        let members = &self.scripts.members;
        let reply = self.script(members, &[self.group(group)], &[]).await?;
        FromRedisValue::from_redis_value(reply)
            .map_err(|error| refused(redis::RedisError::from(error)))
    }
}

impl Store for RedisStore {
    fn get<'a>(&'a self, key: &'a Key) -> StoreFuture<'a, Option<Bytes>> {
        Box::pin(self.read(key))
    }

    fn put<'a>(&'a self, record: Record<'a>) -> StoreFuture<'a, ()> {
        Box::pin(self.write(record))
    }

    fn remove<'a>(&'a self, removal: Removal<'a>) -> StoreFuture<'a, Removed> {
        Box::pin(async move {
            match removal {
                Removal::Key(key) => self.unlink(&[key_of(key)]).await,
                Removal::Group(group) => Ok(self.unlink_group(group).await?.0),
                Removal::Pattern(pattern) => self.remove_pattern(pattern).await,
            }
        })
    }

    fn count<'a>(&'a self, removal: Removal<'a>) -> StoreFuture<'a, Removed> {
        Box::pin(async move {
            match removal {
                Removal::Key(key) => Ok(self.existing(&[key_of(key)]).await?.into()),
                Removal::Group(group) => {
                    Ok(self.existing(&self.members(group).await?).await?.into())
                }
                Removal::Pattern(pattern) => self.count_pattern(pattern).await,
            }
        })
    }

    fn erase<'a>(&'a self, erasure: Erasure<'a>) -> StoreFuture<'a, Removed> {
        Box::pin(async move { self.erase_all(&erasure).await })
    }

    fn acquire<'a>(&'a self, lease: &'a Lease, ttl: Duration) -> StoreFuture<'a, Granted> {
        Box::pin(self.ask_lease(lease, ttl))
    }

    fn renew<'a>(&'a self, lease: &'a Lease, ttl: Duration) -> StoreFuture<'a, bool> {
        Box::pin(self.keep_lease(lease, ttl))
    }

    fn release<'a>(&'a self, lease: &'a Lease, alone: Option<Duration>) -> StoreFuture<'a, ()> {
        Box::pin(self.end_lease(lease, alone))
    }

    fn released<'a>(&'a self, key: &'a Key) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.wakes.wait(&self.link, self.channel(), key).await;
            Ok(())
        })
    }
}

fn key_of(key: &Key) -> Vec<u8> {
    key.as_str().as_bytes().to_vec()
}

pub(super) fn refused(why: impl Into<BoxError>) -> StoreError {
    StoreError::new(StoreErrorKind::Refused, why)
}

/// What a name holds is no string: nothing of larder's.
pub(super) fn is_of_another_type(error: &StoreError) -> bool {
    let source = std::error::Error::source(error);
    source
        .and_then(|source| source.downcast_ref::<redis::RedisError>())
        .is_some_and(|error| error.code() == Some("WRONGTYPE"))
}

pub(super) fn is_no_script(error: &StoreError) -> bool {
    let source = std::error::Error::source(error);
    source
        .and_then(|source| source.downcast_ref::<redis::RedisError>())
        .is_some_and(|error| error.kind() == ErrorKind::Server(ServerErrorKind::NoScript))
}
