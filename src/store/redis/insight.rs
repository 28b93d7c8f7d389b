//! What Redis tells of itself: `PING`, `INFO`, and listings by `SCAN`.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::try_join_all;
use redis::{Cmd, FromRedisValue, Value};
use tokio::time::Instant;

use super::connect::Node;
use super::tier::{RedisStore, refused};
use crate::error::{StoreError, StoreErrorKind};
use crate::inspect::{Server, Topology};
use crate::store::StoreFuture;
use crate::store::insight::{Insight, Listed};

/// So much of a frame tells all but its body, as a rule.
const HEAD: usize = 1024;
/// Keys that one page looks at, as a rule.
const PAGE: usize = 100;
/// Steps of a scan that one page takes at most: a rare pattern among many keys ends
/// a page early.
const STEPS: usize = 20;

impl RedisStore {
    async fn ask(&self, node: &Node, words: &[&str]) -> Result<Value, StoreError> {
        let mut cmd = redis::cmd(words[0]);
        cmd.arg(&words[1..]);
        self.link.run(node, &cmd, self.timeout()).await
    }

    /// A setting, where the server lets it be read.
    async fn setting(&self, node: &Node, name: &str) -> Option<String> {
        let reply = self.ask(node, &["CONFIG", "GET", name]).await.ok()?;
        let pairs: Vec<(String, String)> = FromRedisValue::from_redis_value(reply).ok()?;
        pairs.into_iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }

    async fn server(&self, node: &Node) -> Result<Server, StoreError> {
        let info = self.ask(node, &["INFO"]).await?;
        let info: String = FromRedisValue::from_redis_value(info)
            .map_err(|error| refused(redis::RedisError::from(error)))?;
        let mut server = read_info(&info);
        server.append_fsync = self.setting(node, "appendfsync").await;
        let stops = self.setting(node, "stop-writes-on-bgsave-error").await;
        server.stops_writes = stops.map(|yes| yes == "yes");
        server.saves = self
            .setting(node, "save")
            .await
            .map(|save| !save.is_empty());
        Ok(server)
    }

    /// The entries among some names, and their heads. One that ends meanwhile is
    /// left out.
    async fn heads(&self, names: Vec<Vec<u8>>) -> Result<Vec<(String, Bytes)>, StoreError> {
        let theirs = |name: &Vec<u8>| !name.starts_with(self.internal.as_bytes());
        let names = names.into_iter().filter(theirs);
        let names: Vec<String> = names.filter_map(|n| String::from_utf8(n).ok()).collect();
        let heads = names.iter().map(|name| async move {
            let mut cmd = Cmd::new();
            cmd.arg("GETRANGE").arg(name).arg(0).arg(HEAD - 1);
            match self.run(&cmd, self.slow()).await {
                Ok(Value::BulkString(head)) => Ok(Bytes::from(head)),
                Err(error) if error.kind() != StoreErrorKind::Refused => Err(error),
                _ => Ok(Bytes::new()), // no entry, whatever it is
            }
        });
        let heads = try_join_all(heads).await?;
        Ok(names.into_iter().zip(heads).collect())
    }
}

impl Insight for RedisStore {
    fn topology(&self) -> Topology {
        self.link.topology()
    }

    fn open_for(&self) -> Option<Duration> {
        self.link.open_for()
    }

    fn ping(&self) -> StoreFuture<'_, Duration> {
        Box::pin(async move {
            let nodes = self.link.primaries(self.timeout()).await?;
            let pings = nodes.iter().map(|node| async move {
                let asked = Instant::now();
                match self.ask(node, &["PING"]).await {
                    // a server that refuses it is there
                    Err(error) if error.kind() != StoreErrorKind::Refused => Err(error),
                    _ => Ok(asked.elapsed()),
                }
            });
            let times = try_join_all(pings).await?;
            Ok(times.into_iter().max().unwrap_or_default())
        })
    }

    fn is_cursor(&self, cursor: &str) -> bool {
        read_cursor(cursor).is_some()
    }

    fn servers(&self) -> StoreFuture<'_, Vec<Server>> {
        Box::pin(async move {
            let nodes = self.link.primaries(self.timeout()).await?;
            try_join_all(nodes.iter().map(|node| self.server(node))).await
        })
    }

    fn list<'a>(&'a self, pattern: &'a str, cursor: Option<&'a str>) -> StoreFuture<'a, Listed> {
        Box::pin(async move {
            let nodes = self.link.primaries(self.slow()).await?;
            let (mut at, mut scan) = match cursor {
                Some(cursor) => read_cursor(cursor).unwrap_or((usize::MAX, String::new())),
                None => (0, "0".to_owned()),
            };
            let mut names = Vec::new();
            for _ in 0..STEPS {
                let Some(node) = nodes.get(at) else { break };
                let (next, found) = self.scan(node, scan.as_bytes(), pattern, PAGE).await?;
                names.extend(found);
                scan = String::from_utf8_lossy(&next).into_owned();
                if scan == "0" {
                    at += 1;
                }
                if names.len() >= PAGE {
                    break;
                }
            }
            let next = (at < nodes.len()).then(|| format!("{at}-{scan}"));
            let entries = self.heads(names).await?;
            Ok(Listed { entries, next })
        })
    }
}

/// `<number of the primary>-<its cursor>`.
fn read_cursor(cursor: &str) -> Option<(usize, String)> {
    let (at, scan) = cursor.split_once('-')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = digits(at) && digits(scan) && scan.parse::<u64>().is_ok();
    Some((at.parse().ok().filter(|_| number)?, scan.to_owned()))
}

fn read_info(info: &str) -> Server {
    let text = |name: &str| {
        let line = |line: &str| {
            line.strip_prefix(name)?
                .strip_prefix(':')
                .map(str::to_owned)
        };
        info.lines().find_map(line)
    };
    let number = |name: &str| text(name)?.parse().ok();
    Server {
        version: text("redis_version"),
        used_memory: number("used_memory"),
        max_memory: number("maxmemory"),
        eviction_policy: text("maxmemory_policy"),
        evicted_keys: number("evicted_keys"),
        expired_keys: number("expired_keys"),
        keyspace_hits: number("keyspace_hits"),
        keyspace_misses: number("keyspace_misses"),
        last_save_ok: text("rdb_last_bgsave_status").map(|status| status == "ok"),
        append_only: number("aof_enabled").map(|on| on == 1),
        replicas: number("connected_slaves"),
        ..Server::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_is_read_by_whole_names() {
        let info = "# Memory\r\nused_memory:12\r\nused_memory_rss:99\r\nmaxmemory:0\r\n\
                    maxmemory_policy:noeviction\r\nrdb_last_bgsave_status:err\r\naof_enabled:0\r\n";
        let server = read_info(info);
        assert_eq!((server.used_memory, server.max_memory), (Some(12), Some(0)));
        assert_eq!(server.eviction_policy.as_deref(), Some("noeviction"));
        assert_eq!(server.last_save_ok, Some(false));
        assert_eq!(server.append_only, Some(false));
        assert_eq!(server.version, None);
    }

    #[test]
    fn a_cursor_that_nobody_has_made_is_none() {
        assert_eq!(read_cursor("2-17"), Some((2, "17".to_owned())));
        for bad in [
            "",
            "x",
            "1",
            "1-",
            "1-x",
            "-1-2",
            "+1-2",
            "99999999999999999999-1",
        ] {
            assert_eq!(read_cursor(bad), None, "{bad}");
        }
    }
}
