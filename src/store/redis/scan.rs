//! By pattern: SCAN over every primary, UNLINK as the scan goes. Never
//! KEYS, which would stop the server for everybody.

use futures_util::{StreamExt, TryStreamExt, stream};
use redis::{FromRedisValue, RedisError, Value};

use super::connect::Node;
use super::tier::{RedisStore, is_of_another_type, refused};
use crate::entry::layout::{MAGIC, SUM};
use crate::error::StoreError;
use crate::key::Key;
use crate::store::{Group, Removed};

/// Keys that a step looks at. A step holds the server up for others, by a tenth of a
/// millisecond so: with 1,000 the p99 of hits meanwhile was more than twice the idle one,
/// with 100 the whole took half as long again (`benches/reclaim.rs`).
const PAGE: usize = 250;
/// Keys of one command that removes or counts.
const BATCH: usize = 1_000;

/// Of so many values' names it is asked together whether they hold frames.
const TOGETHER: usize = 64;

/// What is done with the keys that are found.
#[derive(Clone, Copy)]
enum Found {
    Removed,
    Counted,
}

impl RedisStore {
    /// Removes what matches, but nothing that larder keeps for itself.
    pub(super) async fn remove_pattern(&self, pattern: &str) -> Result<Removed, StoreError> {
        self.scan_all(pattern, Found::Removed).await
    }

    /// Counts what matches.
    pub(super) async fn count_pattern(&self, pattern: &str) -> Result<Removed, StoreError> {
        self.scan_all(pattern, Found::Counted).await
    }

    async fn scan_all(&self, pattern: &str, found: Found) -> Result<Removed, StoreError> {
        let mut done = Removed::default();
        for node in self.link.primaries(self.slow()).await? {
            let mut cursor = b"0".to_vec();
            loop {
                let (next, keys) = self.scan(&node, &cursor, pattern, PAGE).await?;
                let theirs = |key: &Vec<u8>| !key.starts_with(self.internal.as_bytes());
                let keys: Vec<Vec<u8>> = keys.into_iter().filter(theirs).collect();
                done += match found {
                    Found::Removed => self.unlink(&keys).await?,
                    Found::Counted => (self.frames(&keys).await?.len() as u64).into(),
                };
                if next == b"0" {
                    break;
                }
                cursor = next;
            }
            done.primaries += 1;
        }
        Ok(done)
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

    /// Removes keys, in batches, and counts those that were there. Where some of a batch
    /// were not, of several endpoints, they are taken from the largest.
    pub(super) async fn unlink(&self, keys: &[Vec<u8>]) -> Result<Removed, StoreError> {
        self.unlink_of(None, keys).await
    }

    async fn unlink_of(
        &self,
        group: Option<&str>,
        keys: &[Vec<u8>],
    ) -> Result<Removed, StoreError> {
        let mut all = Removed::default();
        for batch in self.frames(keys).await?.chunks(BATCH) {
            let there = match group {
                Some(group) => self.take(group, batch).await?,
                None => self.batches("UNLINK", batch).await?,
            };
            let mut removed = Removed::default();
            for key in batch {
                removed.add(self.endpoint_of(key), 1);
            }
            let gone = removed.entries.saturating_sub(there);
            let largest = removed.endpoints.values_mut().max();
            if let Some(largest) = largest {
                *largest = largest.saturating_sub(gone);
            }
            removed.entries = there;
            removed.endpoints.remove("");
            all += removed;
        }
        self.written.removed(all.entries);
        Ok(all)
    }

    /// Removes what is in a group, endpoint by endpoint: some may be gone long since.
    /// Returns the names too.
    pub(super) async fn unlink_group(
        &self,
        group: Group,
    ) -> Result<(Removed, Vec<Vec<u8>>), StoreError> {
        let mut all = Removed::default();
        let mut keys = self.members(group).await?;
        keys.sort_unstable();
        // on a cluster entries lie elsewhere than their group, and one that is being written
        // is in it before it is there: names stay until they expire
        let group = self.link.any_keys().then(|| self.group(group));
        let same = |a: &Vec<u8>, b: &Vec<u8>| self.endpoint_of(a) == self.endpoint_of(b);
        for of_one in keys.chunk_by(same) {
            all += self.unlink_of(group.as_deref(), of_one).await?;
        }
        Ok((all, keys))
    }

    /// Removes entries, and their names from their group.
    async fn take(&self, group: &str, keys: &[Vec<u8>]) -> Result<u64, StoreError> {
        let keys: Vec<&[u8]> = std::iter::once(group.as_bytes())
            .chain(keys.iter().map(Vec::as_slice))
            .collect();
        let there = self.script(&self.scripts.take, &keys, &[]).await;
        Ok(u64::try_from(self.number(there).await?).unwrap_or(0))
    }

    /// Removes an entry if it is this frame: how that begins, its checksum with it, tells.
    pub(super) async fn unlink_frame(&self, key: &Key, frame: &[u8]) -> Result<(), StoreError> {
        let begins = &frame[..frame.len().min(SUM.end)];
        let (script, keys) = (&self.scripts.take_back, [key.as_str()]);
        let gone = self.number(self.script(script, &keys, &[begins]).await);
        self.written
            .removed(u64::try_from(gone.await?).unwrap_or(0));
        Ok(())
    }

    /// None for a value's key.
    fn endpoint_of<'a>(&self, key: &'a [u8]) -> &'a str {
        let prefix = self.internal.trim_end_matches('!').as_bytes();
        let rest = key.strip_prefix(prefix).unwrap_or_default();
        let name = rest.split(|byte| matches!(byte, b':' | b'@')).next();
        str::from_utf8(name.unwrap_or_default()).unwrap_or_default()
    }

    /// Counts the keys that are there.
    pub(super) async fn existing(&self, keys: &[Vec<u8>]) -> Result<u64, StoreError> {
        self.batches("EXISTS", &self.frames(keys).await?).await
    }

    /// Without those values' names that hold no frame: they are others'.
    async fn frames(&self, keys: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, StoreError> {
        if keys.iter().all(|key| self.is_ours(key)) {
            return Ok(keys.to_vec());
        }
        let looks = keys.iter().cloned().map(|key| async move {
            let is_frame = self.is_ours(&key) || self.is_frame(&key).await?;
            Ok::<_, StoreError>(is_frame.then_some(key))
        });
        let looks = stream::iter(looks).buffered(TOGETHER);
        let frames = looks.try_filter_map(|key| async move { Ok(key) });
        frames.try_collect().await
    }

    async fn is_frame(&self, key: &[u8]) -> Result<bool, StoreError> {
        let mut begin = redis::cmd("GETRANGE");
        begin.arg(key).arg(0).arg(MAGIC.len() - 1);
        match self.run(&begin, self.slow()).await {
            Ok(begin) => Ok(begin == Value::BulkString(MAGIC.to_vec())),
            Err(error) if is_of_another_type(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn batches(&self, command: &str, keys: &[Vec<u8>]) -> Result<u64, StoreError> {
        let mut all = 0;
        for batch in keys.chunks(BATCH) {
            let mut cmd = redis::cmd(command);
            for key in batch {
                cmd.arg(key);
            }
            match self.run(&cmd, self.slow()).await? {
                Value::Int(n) => all += u64::try_from(n).unwrap_or(0),
                _ => return Err(refused(format!("{command} did not answer with a number"))),
            }
        }
        Ok(all)
    }
}
