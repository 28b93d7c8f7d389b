//! Leases: the right to fill a key, among the instances that share a Redis.
//!
//! | name | what |
//! |---|---|
//! | `<prefix>:!lock:{<key>}` | the holder's token, or `!` where answers are not shared; in its key's slot |
//! | `<prefix>:!wake` | a channel: the keys whose lease has ended |

use std::time::Duration;

use redis::Value;

use super::tier::{RedisStore, refused};
use crate::clock::millis;
use crate::entry::layout::MAGIC;
use crate::error::{StoreError, StoreErrorKind};
use crate::key::Key;
use crate::store::{Granted, Lease, Record, Seen};

impl RedisStore {
    pub(super) fn lock(&self, key: &Key) -> String {
        format!("{}lock:{{{key}}}", self.internal)
    }

    pub(super) fn channel(&self) -> String {
        format!("{}wake", self.internal)
    }

    pub(super) async fn number(&self, reply: Result<Value, StoreError>) -> Result<i64, StoreError> {
        match reply? {
            Value::Int(number) => Ok(number),
            _ => Err(refused("a script did not answer with a number")),
        }
    }

    pub(super) async fn ask_lease(
        &self,
        lease: &Lease,
        ttl: Duration,
    ) -> Result<Granted, StoreError> {
        let ttl = millis(ttl).to_string();
        let (looks, seen): (&[u8], &[u8]) = match &lease.seen {
            Seen::Nothing => (b"1", b""),
            Seen::Frame(bytes) => (b"1", bytes),
            Seen::Useless => (b"0", b""),
        };
        let least = lease.least.to_string();
        let least = least.as_bytes();
        let args = [lease.token.as_bytes(), ttl.as_bytes(), looks, seen, least];
        let keys = [self.lock(&lease.key), lease.key.as_str().to_owned()];
        let reply = self.quick_script(&self.scripts.acquire, &keys, &args);
        Ok(match self.number(reply.await).await? {
            1 => Granted::Yes,
            2 => Granted::Alone,
            3 => Granted::Filled,
            _ => Granted::No,
        })
    }

    pub(super) async fn keep_lease(
        &self,
        lease: &Lease,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        let ttl = millis(ttl).to_string();
        let args = [lease.token.as_bytes(), ttl.as_bytes()];
        let reply = self
            .quick_script(&self.scripts.renew, &[self.lock(&lease.key)], &args)
            .await;
        Ok(self.number(reply).await? == 1)
    }

    pub(super) async fn end_lease(
        &self,
        lease: &Lease,
        alone: Option<Duration>,
    ) -> Result<(), StoreError> {
        let alone = alone.map_or(0, millis).to_string();
        let channel = self.channel();
        let args = [
            lease.token.as_bytes(),
            alone.as_bytes(),
            channel.as_bytes(),
            lease.key.as_str().as_bytes(),
        ];
        let reply = self
            .quick_script(&self.scripts.release, &[self.lock(&lease.key)], &args)
            .await;
        self.number(reply).await.map(drop)
    }

    /// Writes an entry under a lease where keys have their slots. One that lies in
    /// another slot than the lock is written after a look at it, and the lock
    /// given back apart.
    pub(super) async fn write_leased(
        &self,
        record: &Record<'_>,
        lease: &Lease,
        ttl: &str,
    ) -> Result<(), StoreError> {
        if *record.key != lease.key {
            if !self.keep_lease(lease, LEAST).await? {
                return Err(fenced());
            }
            self.set(record, ttl).await?;
            return self.end_lease(lease, None).await;
        }
        self.store(record, Some(lease), &[], ttl).await
    }

    /// Writes an entry, puts it into its groups and gives the lock back, all at
    /// once: only where keys may lie together.
    pub(super) async fn store(
        &self,
        record: &Record<'_>,
        lease: Option<&Lease>,
        groups: &[String],
        ttl: &str,
    ) -> Result<(), StoreError> {
        let (token, filled) = match (lease, record.replaces) {
            (Some(lease), _) => (lease.token.as_bytes(), &lease.key),
            (None, Some(key)) if record.leads => (&b"+"[..], key),
            (None, Some(key)) => (&b"*"[..], key),
            (None, None) => (&b""[..], record.key),
        };
        let mut keys = vec![record.key.as_str().to_owned(), self.lock(filled)];
        keys.extend_from_slice(groups);
        let (channel, longer) = (self.channel(), self.longer(record.ttl));
        let begins: &[u8] = match self.is_ours(record.key.as_str().as_bytes()) {
            true => b"",
            false => MAGIC,
        };
        let args = [
            token,
            &record.frame[..],
            ttl.as_bytes(),
            channel.as_bytes(),
            longer.as_bytes(),
            filled.as_str().as_bytes(),
            begins,
        ];
        let reply = self.script(&self.scripts.store, &keys, &args).await;
        match self.number(reply).await? {
            -1 => Err(self.left_alone(record.key)),
            0 => Err(fenced()),
            known => {
                let before = u64::try_from(known - 3).ok().map(Duration::from_millis);
                self.has_written(record, before);
                Ok(())
            }
        }
    }

    /// Who has read it with others has not been told.
    #[cold]
    fn left_alone(&self, key: &Key) -> StoreError {
        if let Some(times) = self.theirs.happened(millis(self.clock.monotonic())) {
            tracing::warn!(target: "larder", %key, times, "a value is not stored: what lies under its name is not larder's, and is left alone");
        }
        refused("the name holds what is not larder's: it is left alone")
    }
}

/// Enough for a write that follows.
const LEAST: Duration = Duration::from_secs(3);

fn fenced() -> StoreError {
    StoreError::new(
        StoreErrorKind::Fenced,
        "another instance has filled the key since, or may have: the lease was lost",
    )
}
