//! Counts of all instances in Redis.
//!
//! | name | what |
//! |---|---|
//! | `<prefix>:!{stats}:<letter>:<number>` | a hash: what was counted in a stretch of time; the field `<endpoint>:<kind>` |
//! | `<prefix>:!{stats}:entries` | a hash: how many entries expire in an hour |
//! | `<prefix>:!{stats}:users:<day>:<endpoint>` | a HyperLogLog: hashes of users |
//! | `<prefix>:!{stats}:top:<day>` | a sorted set: keys and labels by how often they were asked for |
//! | `<prefix>:!{stats}:by:<instance>` | the number of an instance's last batch |
//!
//! All lie in one slot of a cluster. Each expires when no window needs it.

use std::collections::HashMap;
use std::time::Duration;

use redis::{FromRedisValue, RedisError, Value};

use super::tier::{RedisStore, refused};
use crate::clock::unix_millis;
use crate::error::StoreError;
use crate::stats::{Batch, KINDS, Map, Slot, Slots, Vector};
use crate::store::ledger::{Entries, Ledger};
use crate::store::{Record, StoreFuture};

const HOUR: u64 = 3_600_000;

fn read<T: FromRedisValue>(reply: Value) -> Result<T, StoreError> {
    T::from_redis_value(reply).map_err(|error| refused(RedisError::from(error)))
}

impl RedisStore {
    pub(super) fn stats_name(&self, rest: &str) -> String {
        format!("{}{{stats}}:{rest}", self.internal)
    }

    fn users_name(&self, endpoint: &str, day: u64) -> String {
        self.stats_name(&format!("users:{day}:{endpoint}"))
    }

    fn top_name(&self, day: u64) -> String {
        self.stats_name(&format!("top:{day}"))
    }

    fn slot_name(&self, slot: Slot) -> String {
        let letter = slot.grain.letter();
        self.stats_name(&format!("{letter}:{}", slot.number))
    }

    fn hour_in(&self, life: Duration) -> u64 {
        unix_millis(self.clock.wall() + life) / HOUR
    }

    /// An entry was written, perhaps in place of one that would have lived for another
    /// `before`. What only leads to one is none.
    pub(super) fn has_written(&self, record: &Record<'_>, before: Option<Duration>) {
        if record.leads {
            return;
        }
        let life = record.ttl;
        let mut entries = self.written.entries();
        *entries.expiring.entry(self.hour_in(life)).or_default() += 1;
        if let Some(before) = before {
            *entries.expiring.entry(self.hour_in(before)).or_default() -= 1;
        }
    }
}

impl Ledger for RedisStore {
    fn entries(&self) -> Entries {
        std::mem::take(&mut self.written.entries())
    }

    fn tell<'a>(&'a self, batch: &'a Batch) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let mut keys = vec![
                self.stats_name(&format!("by:{}", batch.who)),
                self.stats_name("entries"),
            ];
            let mut args = [batch.number, self.hour_in(Duration::ZERO), batch.removed]
                .iter()
                .map(u64::to_string)
                .collect::<Vec<String>>();
            let slots = batch.slots.iter().count();
            args.extend([slots, batch.users.len()].map(|n| n.to_string()));
            args.push(batch.expiring.len().to_string());
            for (hour, n) in &batch.expiring {
                args.extend([hour.to_string(), n.to_string()]);
            }
            for (slot, endpoints) in batch.slots.iter() {
                keys.push(self.slot_name(*slot));
                args.push(slot.grain.kept().to_string());
                let from = args.len();
                for (endpoint, counted) in endpoints {
                    let some = counted.iter().enumerate().filter(|(_, n)| **n != 0);
                    for (kind, n) in some {
                        args.extend([format!("{endpoint}:{kind}"), n.to_string()]);
                    }
                }
                args.insert(from, ((args.len() - from) / 2).to_string());
            }
            for ((endpoint, day), users) in &batch.users {
                keys.push(self.users_name(endpoint, *day));
                args.push(users.len().to_string());
                args.extend(users.iter().map(u64::to_string));
            }
            for (day, names) in &batch.top {
                keys.push(self.top_name(*day));
                args.push(names.len().to_string());
                for (name, n) in names {
                    args.extend([name.to_string(), n.to_string()]);
                }
            }
            let args: Vec<&[u8]> = args.iter().map(String::as_bytes).collect();
            self.script(&self.scripts.tell, &keys, &args)
                .await
                .map(drop)
        })
    }

    fn read<'a>(&'a self, slots: &'a [Slot]) -> StoreFuture<'a, Slots> {
        Box::pin(async move {
            let keys: Vec<String> = slots.iter().map(|slot| self.slot_name(*slot)).collect();
            let reply = self.script(&self.scripts.sums, &keys, &[]).await?;
            let found: Vec<HashMap<String, i64>> = read(reply)?;
            let mut sums = Slots::default();
            for (slot, fields) in slots.iter().zip(found) {
                for (field, n) in fields {
                    let Some((endpoint, kind)) = field.rsplit_once(':') else {
                        continue;
                    };
                    let mut counted = Vector::default();
                    // another version may count what this one does not know
                    if let Some(kind) = kind.parse::<usize>().ok().filter(|kind| *kind < KINDS) {
                        counted[kind] = n;
                        sums.add_to(*slot, endpoint, &counted);
                    }
                }
            }
            Ok(sums)
        })
    }

    fn top(&self, day: u64, most: usize) -> StoreFuture<'_, Vec<(Box<str>, u64)>> {
        Box::pin(async move {
            let mut all: HashMap<String, f64> = HashMap::new();
            for day in [day, day.saturating_sub(1)] {
                let mut range = redis::cmd("ZREVRANGE");
                range.arg(self.top_name(day)).arg(0).arg(most);
                range.arg("WITHSCORES");
                let reply = self.run(&range, self.slow()).await?;
                let found: Vec<(String, f64)> = read(reply)?;
                for (name, n) in found {
                    *all.entry(name).or_default() += n;
                }
            }
            let mut all: Vec<_> = all.into_iter().collect();
            all.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            all.truncate(most);
            let counts = all.into_iter().map(|(name, n)| (name.into(), n as u64));
            Ok(counts.collect())
        })
    }

    fn users<'a>(&'a self, days: &'a [u64], endpoint: &'a str) -> StoreFuture<'a, u64> {
        Box::pin(async move {
            let mut count = redis::cmd("PFCOUNT");
            for day in days {
                count.arg(self.users_name(endpoint, *day));
            }
            read(self.run(&count, self.slow()).await?)
        })
    }

    fn tell_filled<'a>(
        &'a self,
        release: &'a str,
        day: u64,
        bits: &'a [u32],
    ) -> StoreFuture<'a, ()> {
        Box::pin(self.tell_bits(release, day, bits))
    }

    fn filled<'a>(&'a self, release: &'a str, day: u64) -> StoreFuture<'a, Vec<Map>> {
        Box::pin(self.told_bits(release, day))
    }

    fn living(&self, hour: u64) -> StoreFuture<'_, u64> {
        Box::pin(async move {
            let hour = hour.to_string();
            let keys = [self.stats_name("entries")];
            let script = &self.scripts.living;
            read(self.script(script, &keys, &[hour.as_bytes()]).await?)
        })
    }
}
