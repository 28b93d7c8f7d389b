//! A checker of typed values, by chance: processes with memory and without on one Redis insert,
//! load, remove and read, all at once, Redis forgets its scripts and stands still for a moment, and
//!
//! - no read that began after a removal was done gets a value that was given, or whose load
//!   began, before it;
//! - no read that began after an insertion was done, in its own process or in one without memory,
//!   gets a value that had been given before it began, or whose load had begun;
//! - nor does it find nothing, where nobody has removed anything since.
//!
//! `LARDER_OPS` asks for more, `LARDER_SEED` begins with a known seed.

mod support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use larder::values::Values;
use larder::{Cache, MIB, Outcome, Refusal, minutes, tag};
use serde::{Deserialize, Serialize};
use support::chance::Chance;
use support::redis_server::Redis;
use support::{PATIENT, SHORT};

const PROCESSES: usize = 4;
/// The others have Redis alone.
const WITH_MEMORY: usize = 2;
const CLIENTS: usize = 3;
const KEYS: usize = 6;
/// One operation of so many is trouble for Redis.
const TROUBLE: u64 = 300;

/// A value tells when it began.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Version {
    began: u64,
    loaded: bool,
}

#[derive(Clone, Copy)]
struct Given {
    by: usize,
    began: u64,
    ended: u64,
}

/// A call that may remove, until `ended`.
#[derive(Clone, Copy)]
struct Removal {
    began: u64,
    ended: u64,
    done: bool,
}

/// What was done with one key.
#[derive(Default)]
struct Log {
    given: Vec<Given>,
    removals: Vec<Removal>,
}

/// What a read may not be older than.
#[derive(Clone, Copy, Default)]
struct Least {
    removed: u64,
    given: u64,
}

#[derive(Default)]
struct History {
    events: AtomicU64,
    operations: AtomicU64,
    found: AtomicU64,
    keys: [Mutex<Log>; KEYS],
    violations: Mutex<Vec<String>>,
}

impl History {
    /// One count for everything that begins or ends.
    fn event(&self) -> u64 {
        self.events.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn log(&self, key: usize) -> MutexGuard<'_, Log> {
        self.keys[key].lock().unwrap()
    }

    fn violates(&self, what: String) {
        self.violations.lock().unwrap().push(what);
    }

    fn check(&self, (process, key): (usize, usize), least: Least, found: Option<Version>) {
        let log = self.log(key);
        let Some(found) = found else {
            if least.given > 0 && !log.may_be_gone(least.given) {
                let given = least.given;
                self.violates(format!(
                    "{process} finds nothing of {key}, given at {given}"
                ));
            }
            return;
        };
        self.found.fetch_add(1, Ordering::Relaxed);
        // a load counts from when it began, what is given until it was done
        let time = match found.loaded {
            true => found.began,
            false => log.end_of(found.began),
        };
        if time < least.removed || time < least.given {
            let Least { removed, given } = least;
            self.violates(format!(
                "{process} reads {found:?} of {key}, of {time}: removed {removed}, given {given}"
            ));
        }
    }
}

impl Log {
    /// What is true for a read by this process from now on.
    fn least(&self, process: usize) -> Least {
        let seen = |given: &&Given| process >= WITH_MEMORY || given.by == process;
        let done = self.given.iter().filter(|given| given.ended < u64::MAX);
        let removed = self.removals.iter().filter(|removal| removal.done);
        Least {
            removed: removed.map(|removal| removal.began).max().unwrap_or(0),
            given: done.filter(seen).map(|it| it.began).max().unwrap_or(0),
        }
    }

    /// Whether what was given at a moment may have been removed since, also by what was being
    /// given when an earlier one was.
    fn may_be_gone(&self, given: u64) -> bool {
        let removals = || self.removals.iter();
        let reached = |it: &Given| removals().any(|r| r.ended > it.began && r.began < it.ended);
        let others = self.given.iter().filter(|it| it.ended > given);
        removals().any(|removal| removal.ended > given) || others.into_iter().any(reached)
    }

    fn end_of(&self, began: u64) -> u64 {
        let given = self.given.iter().find(|given| given.began == began);
        given.map_or(u64::MAX, |given| given.ended)
    }
}

/// One of a process' clients.
struct Client {
    process: usize,
    cache: Cache,
    values: Values<Version>,
    history: Arc<History>,
    chance: Chance,
    redis: Arc<Redis>,
}

impl Client {
    async fn acts(&mut self) {
        let key = self.chance.below(KEYS as u64) as usize;
        match self.chance.below(40) {
            0 => self.removes(0..KEYS, 0).await,
            1 => self.removes(0..KEYS, 1).await,
            2..=4 => self.removes(key..key + 1, 2).await,
            5..=12 => self.inserts(key).await,
            13..=22 => self.loads(key).await,
            _ => self.reads(key).await,
        }
    }

    async fn troubles(&mut self) {
        let (redis, forgets) = (Arc::clone(&self.redis), self.chance.below(2) == 0);
        let done = tokio::task::spawn_blocking(move || match forgets {
            true => redis.command::<()>(&["SCRIPT", "FLUSH"]),
            false => redis.command::<()>(&["CLIENT", "PAUSE", "30", "ALL"]),
        });
        done.await.unwrap();
    }

    async fn removes(&self, keys: std::ops::Range<usize>, how: u8) {
        let began = self.history.event();
        let removal = Removal {
            began,
            ended: u64::MAX,
            done: false,
        };
        for key in keys.clone() {
            self.history.log(key).removals.push(removal);
        }
        let done = match how {
            0 => self.values.clear().await,
            1 => self.cache.invalidate(tag("all")).await,
            _ => self.values.remove(name(keys.start)).await,
        };
        let (ended, done) = (self.history.event(), done.is_ok());
        for key in keys {
            let mut log = self.history.log(key);
            let own = log.removals.iter_mut().find(|it| it.began == began);
            let own = own.unwrap();
            (own.ended, own.done) = (ended, done);
        }
    }

    async fn inserts(&self, key: usize) {
        let began = self.history.event();
        let given = Given {
            by: self.process,
            began,
            ended: u64::MAX,
        };
        self.history.log(key).given.push(given);
        let version = Version {
            began,
            loaded: false,
        };
        let inserted = self.values.insert(name(key), version).await;
        let is_stored = matches!(inserted.outcome(), Outcome::Miss { stored: Ok(()), .. });
        let mut log = self.history.log(key);
        let own = log.given.iter_mut().find(|it| it.began == began).unwrap();
        if is_stored {
            own.ended = self.history.event();
        }
    }

    async fn loads(&self, key: usize) {
        let least = self.history.log(key).least(self.process);
        let history = Arc::clone(&self.history);
        let load = move || async move {
            let began = history.event();
            for _ in 0..began % 20 {
                tokio::task::yield_now().await; // its work
            }
            Ok::<_, Refusal>(Version {
                began,
                loaded: true,
            })
        };
        let found = self.values.get_or_try_insert_with(name(key), load).await;
        self.history
            .check((self.process, key), least, Some(*found.unwrap()));
    }

    async fn reads(&self, key: usize) {
        let least = self.history.log(key).least(self.process);
        let found = self.values.get(name(key)).await;
        self.history
            .check((self.process, key), least, found.map(|it| *it));
    }
}

fn name(key: usize) -> &'static str {
    ["a", "b", "c", "d", "e", "f"][key]
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_read_is_older_than_what_was_done_before_it() {
    use std::hash::{BuildHasher, RandomState};
    let seed = number("LARDER_SEED").unwrap_or_else(|| RandomState::new().hash_one(0));
    let operations = number("LARDER_OPS").unwrap_or(10_000);
    println!("seed {seed}, {operations} operations");
    let redis = Arc::new(Redis::start());
    let history = Arc::new(History::default());
    let mut clients = Vec::new();
    for process in 0..PROCESSES {
        let builder = Cache::builder().redis(redis.url());
        let builder = builder.lease(SHORT * 10).operation_timeout(PATIENT);
        let builder = match process < WITH_MEMORY {
            true => builder.memory(16 * MIB),
            false => builder,
        };
        let cache = builder.build().unwrap();
        let values = cache.values::<Version>("version").ttl(minutes(5));
        let values = values.tag("all").build().unwrap();
        for n in 0..CLIENTS {
            let mut client = Client {
                process,
                cache: cache.clone(),
                values: values.clone(),
                history: Arc::clone(&history),
                chance: Chance::of(seed, (process * CLIENTS + n) as u64),
                redis: Arc::clone(&redis),
            };
            clients.push(tokio::spawn(async move {
                let history = Arc::clone(&client.history);
                loop {
                    match history.operations.fetch_add(1, Ordering::Relaxed) {
                        n if n >= operations => break,
                        n if n % TROUBLE == TROUBLE - 1 => client.troubles().await,
                        _ => client.acts().await,
                    }
                }
            }));
        }
    }
    for client in clients {
        client.await.unwrap();
    }
    let found = history.found.load(Ordering::Relaxed);
    let violations = history.violations.lock().unwrap();
    println!("{found} found, {} violations", violations.len());
    assert!(found > operations / 10, "it has done something");
    assert!(violations.is_empty(), "seed {seed}: {violations:#?}");
}
