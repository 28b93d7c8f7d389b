//! The shared clock in Redis.
//!
//! | name | what |
//! |---|---|
//! | `<prefix>:!{clock}` | a hash: the server's run id, the epoch, the clock, the floor, `base`, the clock when it went on with another server; `replicated`, when it last had replicas, in seconds; `all` and `=<pattern>`, the numbers of these invalidations, `aged` and `~<pattern>` those of soft ones; `@<instance>`, what it has seen |
//! | `<prefix>:!{clock}:scopes` | a sorted set: the scopes by the number of their last invalidation, a `~` before those of soft ones |
//! | `<prefix>:!{clock}:off` | there while the cache is switched off for all: it outlives the clock |
//! | `<prefix>:!clock` | a channel: each invalidation |
//! | `<prefix>:!flushed` | never there: tracked, so that FLUSHALL is told |
//!
//! Every access is a script that first compares the server's run id and the size
//! of the sorted set with what the hash says. A failover, a restart or a loss of
//! either begins another epoch.

use std::fmt;
use std::time::Duration;

use futures_util::stream::BoxStream;
use redis::Value;

use super::push::Topic;
use super::scripts::Text;
use super::tier::{RedisStore, is_no_script, refused};
use crate::clock::millis;
use crate::error::{StoreError, StoreErrorKind};
use crate::generation::{Change, News, Snapshot, Stamp};
use crate::key::Key;
use crate::random::random;
use crate::store::StoreFuture;
use crate::store::fence::{self, Beat, Fence, Heard, Row, Rows, Told, encode, news, parts};

type Reply = Result<Value, StoreError>;

impl RedisStore {
    fn clock_keys(&self) -> [String; 3] {
        let hash = format!("{}{{clock}}", self.internal);
        let (scopes, off) = (format!("{hash}:scopes"), format!("{hash}:off"));
        [hash, scopes, off]
    }

    fn clock_channel(&self) -> String {
        format!("{}clock", self.internal)
    }

    /// Runs a script on the clock; its first argument is the epoch that begins if
    /// the present one was lost.
    async fn on_clock(&self, script: &Text, args: &[&[u8]]) -> Reply {
        self.on_clock_within(script, args, self.timeout()).await
    }

    /// The same for a script that tells first whether replicas must confirm what it has
    /// written (`replicated`): a primary that was deposed without knowing it has none that
    /// would. Where there are some it is run with `WAIT`, see `own.rs`; once more if that
    /// was not known.
    async fn on_clock_confirmed(&self, script: &Text, args: &[&[u8]]) -> Result<Items, StoreError> {
        let mut waits = self.link.own().is_wanted();
        loop {
            let (reply, confirmed) = match waits {
                true => self.on_own(script, args).await?,
                false => (self.on_clock(script, args).await?, false),
            };
            let mut reply = Items::of(reply)?;
            let replicas = reply.number()?;
            self.link.own().want(replicas == 1);
            match replicas {
                0 => return Ok(reply),
                1 if confirmed => return Ok(reply),
                1 if !waits => waits = true,
                1 => return Err(unconfirmed("no replica has confirmed what redis was told")),
                _ => {
                    let why = "redis has lost its replicas: it may be deposed";
                    return Err(unconfirmed(why));
                }
            }
        }
    }

    /// Runs a script and waits for a replica. Whether one has confirmed what was written.
    async fn on_own(&self, script: &Text, args: &[&[u8]]) -> Result<(Value, bool), StoreError> {
        let (keys, fresh) = (self.clock_keys(), self.fresh());
        let wait = millis(self.timeout() / 2).max(1);
        let both = |name: &str, script: &str| {
            let mut both = redis::pipe();
            let cmd = both.cmd(name).arg(script).arg(keys.len()).arg(&keys);
            cmd.arg(&fresh).arg(args).cmd("WAIT").arg(1).arg(wait);
            both
        };
        let known = both("EVALSHA", &script.hash);
        let reply = match self.link.confirmed(&known, self.timeout()).await {
            Err(error) if is_no_script(&error) => {
                let whole = both("EVAL", &script.text);
                self.link.confirmed(&whole, self.timeout()).await
            }
            reply => reply,
        };
        let mut reply = Items::of(reply?)?;
        let told = reply.next()?;
        let confirmed = matches!(reply.next()?, Value::Int(replicas) if replicas > 0);
        Ok((told, confirmed))
    }

    /// The epoch that begins if the present one was lost.
    fn fresh(&self) -> String {
        let merges = if self.merges { "+" } else { "" };
        format!("{merges}{}", hexed(random() | 1)) // 0 is none
    }

    async fn beat_once(&self, beat: Beat<'_>) -> Result<Heard, StoreError> {
        let Beat { who, seen, .. } = beat;
        let (epoch, number) = (hexed(seen.epoch), seen.number.to_string());
        let ripe: &[u8] = if beat.ripe { b"1" } else { b"0" };
        let lease = millis(beat.lease).to_string();
        let ended = beat.ended.map_or_else(String::new, hexed);
        let (epoch, number) = (epoch.as_bytes(), number.as_bytes());
        let (lease, ended) = (lease.as_bytes(), ended.as_bytes());
        let args = [who.as_bytes(), epoch, number, ripe, lease, ended];
        let script = &self.scripts.beat;
        let mut reply = self.on_clock_confirmed(script, &args).await?;
        let clock = Stamp {
            epoch: reply.hex()?,
            number: reply.number()?,
        };
        Ok(Heard {
            clock,
            off: reply.number()? == 1,
            time: reply.number()?,
            lease: Duration::from_millis(reply.number()?),
        })
    }

    async fn on_clock_within(&self, script: &Text, args: &[&[u8]], time: Duration) -> Reply {
        let fresh = self.fresh();
        let mut all = vec![fresh.as_bytes()];
        all.extend_from_slice(args);
        self.script_within(script, &self.clock_keys(), &all, time)
            .await
    }
}

impl Fence for RedisStore {
    fn advance<'a>(&'a self, changes: &'a [Change]) -> StoreFuture<'a, (News, Rows)> {
        Box::pin(async move {
            let (blob, channel) = (encode(changes), self.clock_channel());
            let mut args: Vec<&[u8]> = vec![channel.as_bytes(), &blob];
            for change in changes {
                let (kind, name) = parts(change);
                args.extend([kind.as_bytes(), name]);
            }
            let script = &self.scripts.advance;
            let mut reply = match self.on_clock_confirmed(script, &args).await {
                Err(error) if is_out_of_memory(&error) => {
                    // without the clock there is another epoch: nothing old is valid
                    let mut unlink = redis::cmd("UNLINK");
                    unlink.arg(&self.clock_keys()[..2]);
                    self.run(&unlink, self.timeout()).await?;
                    self.on_clock_confirmed(script, &args).await?
                }
                reply => reply?,
            };
            let told = news(&reply.bytes()?).ok_or_else(unreadable)?;
            Ok((told, rows(reply)?))
        })
    }

    fn beat<'a>(&'a self, beat: Beat<'a>) -> StoreFuture<'a, Heard> {
        Box::pin(async move {
            let heard = self.beat_once(beat).await;
            if heard.as_ref().is_err_and(is_unreadable) {
                self.link.line().out_of_step();
            }
            heard
        })
    }

    fn switch(&self, off: bool) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let (off, channel): (&[u8], _) = (if off { b"1" } else { b"0" }, self.clock_channel());
            let args = [off, channel.as_bytes()];
            self.on_clock(&self.scripts.switch, &args).await.map(drop)
        })
    }

    fn snapshot(&self) -> StoreFuture<'_, Snapshot> {
        Box::pin(async move {
            let script = &self.scripts.snapshot;
            let reply = self.on_clock_within(script, &[], self.slow()).await?;
            let mut reply = Items::of(reply)?;
            let stamp = Stamp {
                epoch: reply.hex()?,
                number: reply.number()?,
            };
            let base = reply.number()?;
            let (floor, all, aged) = (reply.number()?, reply.number()?, reply.number()?);
            let mut changes = Vec::new();
            for (kind, number) in [("*", all), ("+", aged)] {
                if number > 0 {
                    changes.push((number, change(kind, b"")?));
                }
            }
            let mut bans = Items::of(reply.next()?)?;
            while !bans.is_empty() {
                let name = bans.bytes()?;
                let change = match name.split_first() {
                    Some((b'=', pattern)) => change("b", pattern)?,
                    Some((b'~', pattern)) => change("B", pattern)?,
                    _ => return Err(unreadable()),
                };
                changes.push((bans.number()?, change));
            }
            let mut scopes = Items::of(reply.next()?)?;
            while !scopes.is_empty() {
                let name = scopes.bytes()?;
                let change = match name.len() > 16 {
                    true => change("S", &name[1..])?,
                    false => change("s", &name)?,
                };
                changes.push((scopes.number()?, change));
            }
            Ok(Snapshot {
                stamp,
                base,
                floor,
                changes,
            })
        })
    }

    fn rows(&self, ripe: Option<Stamp>) -> StoreFuture<'_, Rows> {
        Box::pin(async move {
            let (epoch, number) = match ripe {
                Some(stamp) => (hexed(stamp.epoch), stamp.number.to_string()),
                None => (String::new(), "0".to_owned()),
            };
            let args = [epoch.as_bytes(), number.as_bytes()];
            rows(Items::of(self.on_clock(&self.scripts.rows, &args).await?)?)
        })
    }

    fn leave<'a>(&'a self, who: &'a str, beats: Option<u64>) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let beats = beats.map_or_else(String::new, |beats| beats.to_string());
            let args = [who.as_bytes(), beats.as_bytes()];
            self.on_clock(&self.scripts.leave, &args).await.map(drop)
        })
    }

    fn take_back<'a>(&'a self, key: &'a Key, frame: &'a [u8]) -> StoreFuture<'a, ()> {
        Box::pin(self.unlink_frame(key, frame))
    }

    fn listen(&self, entries: bool) -> StoreFuture<'_, BoxStream<'static, Told>> {
        Box::pin(async move {
            let topic = Topic {
                channel: Some(self.clock_channel()),
                tracked: Some(match entries {
                    true => self.internal.trim_end_matches('!').to_owned(),
                    false => format!("{}flushed", self.internal),
                }),
            };
            let pushes = self.link.listen(topic).await;
            pushes.map_err(|error| StoreError::new(StoreErrorKind::Unavailable, error))
        })
    }
}

fn change(kind: &str, name: &[u8]) -> Result<Change, StoreError> {
    fence::change(kind.as_bytes()[0], name).ok_or_else(unreadable)
}

fn unconfirmed(why: &'static str) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, why)
}

fn hexed(epoch: u64) -> String {
    format!("{epoch:016x}")
}

/// `epoch, young, lease, base, (who, epoch, number, beats)..`
fn rows(mut reply: Items) -> Result<Rows, StoreError> {
    let (epoch, young) = (reply.hex()?, reply.number()? == 1);
    let lease = Duration::from_millis(reply.number()?);
    let base = reply.number()?;
    let mut rows = Vec::new();
    while !reply.is_empty() {
        rows.push(Row {
            who: String::from_utf8_lossy(&reply.bytes()?).into_owned(),
            seen: Stamp {
                epoch: reply.hex()?,
                number: reply.number()?,
            },
            beats: reply.number()?,
        });
    }
    Ok(Rows {
        epoch,
        base,
        young,
        lease,
        rows,
    })
}

/// The items of an array, one by one.
struct Items(std::vec::IntoIter<Value>);

impl Items {
    fn of(value: Value) -> Result<Self, StoreError> {
        match value {
            Value::Array(items) => Ok(Self(items.into_iter())),
            _ => Err(unreadable()),
        }
    }

    fn is_empty(&self) -> bool {
        self.0.len() == 0
    }

    fn next(&mut self) -> Result<Value, StoreError> {
        self.0.next().ok_or_else(unreadable)
    }

    fn bytes(&mut self) -> Result<Vec<u8>, StoreError> {
        match self.next()? {
            Value::BulkString(bytes) => Ok(bytes.to_vec()),
            _ => Err(unreadable()),
        }
    }

    fn text<T>(&mut self, read: impl FnOnce(&str) -> Option<T>) -> Result<T, StoreError> {
        let bytes = self.bytes()?;
        let text = std::str::from_utf8(&bytes).ok();
        text.and_then(read).ok_or_else(unreadable)
    }

    fn hex(&mut self) -> Result<u64, StoreError> {
        self.text(|text| u64::from_str_radix(text, 16).ok())
    }

    fn number(&mut self) -> Result<u64, StoreError> {
        self.text(|text| text.parse().ok())
    }
}

/// What a script has answered is nothing that it says.
#[derive(Debug)]
struct Unreadable;

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the shared clock's scripts answered with something else")
    }
}

impl std::error::Error for Unreadable {}

fn unreadable() -> StoreError {
    refused(Unreadable)
}

fn is_unreadable(error: &StoreError) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<Unreadable>())
}

fn is_out_of_memory(error: &StoreError) -> bool {
    let source = std::error::Error::source(error);
    source
        .and_then(|source| source.downcast_ref::<redis::RedisError>())
        .is_some_and(|error| error.code() == Some("OOM") || error.to_string().contains("OOM"))
}
