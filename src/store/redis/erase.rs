//! Erasure: what bears a tag goes, wherever it lies, and its names with it.
//!
//! Groups lead to what was written lately; a frame tells its tags itself. So every
//! primary is scanned, each frame looked at as far as its tags, and what bears the
//! tag unlinked. Its names are then taken out of the groups of all primaries.

use futures_util::{StreamExt, TryStreamExt, stream};
use redis::Value;

use super::connect::Node;
use super::tier::{RedisStore, is_of_another_type, refused};
use crate::error::StoreError;
use crate::store::{Erasure, Removed};

/// Keys that a step of a scan looks at.
const COUNT: usize = 1_000;
/// Of so many frames the tags are read at a time.
const TOGETHER: usize = 64;
/// The tags of nearly all frames end before this byte.
const ENOUGH: &str = "4095";
/// Names that one command takes out of a group.
const NAMES: usize = 500;

impl RedisStore {
    pub(super) async fn erase_all(&self, erasure: &Erasure<'_>) -> Result<Removed, StoreError> {
        let (mut done, mut names) = self.unlink_group(erasure.group).await?;
        let nodes = self.link.primaries(self.slow()).await?;
        let scanned = self.unlink_bearing(&nodes, erasure, &mut names).await;
        // what was unlinked is found no more: it is forgotten also where the scan has failed
        if !names.is_empty() {
            for node in &nodes {
                self.forget_names(node, &names).await?;
            }
        }
        done += scanned?;
        let mut unlink = redis::cmd("UNLINK");
        unlink.arg(self.group(erasure.group));
        self.run(&unlink, self.slow()).await?;
        Ok(done)
    }

    /// Scans every primary, unlinks what bears the tag, and adds its names.
    async fn unlink_bearing(
        &self,
        nodes: &[Node],
        erasure: &Erasure<'_>,
        names: &mut Vec<Vec<u8>>,
    ) -> Result<Removed, StoreError> {
        let mut done = Removed::default();
        for node in nodes {
            for pattern in erasure.patterns {
                let mut cursor = b"0".to_vec();
                loop {
                    let (next, keys) = self.scan(node, &cursor, pattern, COUNT).await?;
                    let bearing = self.bearing(keys, erasure).await?;
                    let unlinked = self.unlink(&bearing).await;
                    names.extend(bearing);
                    done += unlinked?;
                    if next == b"0" {
                        break;
                    }
                    cursor = next;
                }
            }
            done.primaries += 1;
        }
        Ok(done)
    }

    /// Those whose frames bear the tag.
    async fn bearing(
        &self,
        keys: Vec<Vec<u8>>,
        erasure: &Erasure<'_>,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let theirs = keys
            .into_iter()
            .filter(|key| !key.starts_with(self.internal.as_bytes()));
        let looks = theirs.map(|key| async move {
            let bears = self.bears(&key, erasure).await?;
            Ok::<_, StoreError>(bears.then_some(key))
        });
        let looks = stream::iter(looks).buffer_unordered(TOGETHER);
        looks
            .try_filter_map(|key| async move { Ok(key) })
            .try_collect()
            .await
    }

    async fn bears(&self, key: &[u8], erasure: &Erasure<'_>) -> Result<bool, StoreError> {
        let mut part = redis::cmd("GETRANGE");
        part.arg(key).arg("0").arg(ENOUGH);
        let mut whole = redis::cmd("GET");
        whole.arg(key);
        for command in [part, whole] {
            let frame = match self.run(&command, self.slow()).await {
                Ok(Value::BulkString(frame)) => frame,
                Ok(Value::Nil) => return Ok(false),
                Ok(_) => return Err(refused("a frame is no string")),
                Err(error) if is_of_another_type(&error) => return Ok(false), // nobody's of ours
                Err(error) => return Err(error),
            };
            if let Some(bears) = erasure.bears(&frame) {
                return Ok(bears);
            }
        }
        Ok(false)
    }

    /// Takes names out of the groups of one primary.
    async fn forget_names(&self, node: &Node, names: &[Vec<u8>]) -> Result<(), StoreError> {
        let pattern = format!("{}group:*", self.internal);
        let mut cursor = b"0".to_vec();
        loop {
            let (next, groups) = self.scan(node, &cursor, &pattern, COUNT).await?;
            let removals = groups.into_iter().map(|group| self.forget_in(group, names));
            let removals = stream::iter(removals).buffer_unordered(TOGETHER);
            removals.try_collect::<()>().await?;
            if next == b"0" {
                return Ok(());
            }
            cursor = next;
        }
    }

    async fn forget_in(&self, group: Vec<u8>, names: &[Vec<u8>]) -> Result<(), StoreError> {
        for names in names.chunks(NAMES) {
            let mut zrem = redis::cmd("ZREM");
            zrem.arg(&group).arg(names);
            self.run(&zrem, self.slow()).await?;
        }
        Ok(())
    }
}
