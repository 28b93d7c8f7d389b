//! A checker over real processes: what `tests/history.rs` and `tests/values_history.rs` hold
//! several caches of one process to holds for processes of the system, which stand still with
//! all that they have begun, and are killed in the middle of it.
//!
//! Processes with memory and without, on one Redis that forgets its scripts and stands still
//! for a moment, insert, load, remove and read values, and ask for pages, all at once, and
//!
//! - no read that began after a removal was done gets what was given, or began to be made,
//!   before it;
//! - no read that began after an insertion was done, in its own process or in one without
//!   memory, gets a value that had been given before it began, or whose load had begun.
//!
//! `LARDER_OPS` asks for more, `LARDER_SEED` begins with a known seed.

#[path = "../support/mod.rs"]
mod support;

mod child;
mod history;
mod process;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};

use history::{History, KEYS, Kind};
use process::Process;
use support::chance::Chance;
use support::redis_server::Redis;

const PROCESSES: usize = 4;
const CLIENTS: usize = 3;
/// One operation of so many is trouble.
const TROUBLE: u64 = 150;

/// The processes now, and the one that stands still.
struct World {
    redis: Redis,
    history: Arc<History>,
    processes: Vec<Mutex<Arc<Process>>>,
    stands: Mutex<Option<Arc<Process>>>,
}

impl World {
    fn start() -> Self {
        let (redis, history) = (Redis::start(), Arc::<History>::default());
        let start = |n| Mutex::new(Process::start(&redis.url(), n, &history));
        Self {
            processes: (0..PROCESSES).map(start).collect(),
            redis,
            history,
            stands: Mutex::default(),
        }
    }

    fn slot(&self, n: usize) -> MutexGuard<'_, Arc<Process>> {
        self.processes[n].lock().unwrap()
    }

    fn troubles(&self, chance: &mut Chance) {
        let n = chance.below(PROCESSES as u64) as usize;
        let mut stands = self.stands.lock().unwrap();
        if let Some(process) = stands.take() {
            process.resume();
        }
        match chance.below(4) {
            0 => self.redis.command::<()>(&["SCRIPT", "FLUSH"]),
            1 => self.redis.command::<()>(&["CLIENT", "PAUSE", "30", "ALL"]),
            2 => {
                let process = Arc::clone(&self.slot(n));
                process.stop();
                *stands = Some(process); // until the next trouble
            }
            _ => {
                let next = Process::start(&self.redis.url(), n, &self.history);
                std::mem::replace(&mut *self.slot(n), next).kill();
            }
        }
    }

    fn acts(&self, n: usize, chance: &mut Chance) {
        let process = Arc::clone(&self.slot(n));
        let key = chance.below(KEYS as u64) as usize;
        match chance.below(60) {
            0 => self.writes((&process, n), "all", (0..KEYS).flat_map(of_all), key),
            1..=4 => self.writes((&process, n), "remove", [(Kind::Value, key)], key),
            5..=8 => self.writes((&process, n), "item", [(Kind::Page, key)], key),
            9..=18 => self.inserts((&process, n), key),
            19..=30 => self.reads((&process, n), "load", (Kind::Value, key)),
            31..=45 => self.reads((&process, n), "page", (Kind::Page, key)),
            _ => self.reads((&process, n), "read", (Kind::Value, key)),
        }
    }

    fn reads(&self, (process, n): (&Process, usize), what: &str, of: (Kind, usize)) {
        let least = self.history.log(of).least(n);
        if let Some(Some(found)) = process.asks(what, of.1, 0).map(|came| came.version()) {
            self.history.check(n, of, least, found);
        }
    }

    fn inserts(&self, (process, n): (&Process, usize), key: usize) {
        let (began, of) = (self.history.event(), (Kind::Value, key));
        self.history.log(of).inserts(n, began);
        let came = process.asks("insert", key, began);
        if came.is_some_and(|came| came.is_done()) {
            self.history.log(of).inserted(began, self.history.event());
        }
    }

    fn writes(
        &self,
        (process, _): (&Process, usize),
        what: &str,
        reached: impl IntoIterator<Item = (Kind, usize)>,
        key: usize,
    ) {
        let began = self.history.event();
        let came = process.asks(what, key, began);
        if came.is_some_and(|came| came.is_done()) {
            for of in reached {
                self.history.log(of).removed(began);
            }
        }
    }
}

fn of_all(key: usize) -> [(Kind, usize); 2] {
    [(Kind::Value, key), (Kind::Page, key)]
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Each process is this test, called again.
#[test]
fn no_process_reads_what_is_older_than_what_was_done_before() {
    if let Ok(url) = std::env::var(process::URL) {
        return child::run(url, std::env::var(process::MEMORY).is_ok());
    }
    use std::hash::{BuildHasher, RandomState};
    let seed = number("LARDER_SEED").unwrap_or_else(|| RandomState::new().hash_one(0));
    let operations = number("LARDER_OPS").unwrap_or(4_000);
    println!("seed {seed}, {operations} operations");
    let world = World::start();
    let history = &world.history;
    std::thread::scope(|threads| {
        for client in 0..PROCESSES * CLIENTS {
            let (world, mut chance) = (&world, Chance::of(seed, client as u64));
            threads.spawn(move || {
                loop {
                    match world.history.operations.fetch_add(1, Ordering::Relaxed) {
                        n if n >= operations => break,
                        n if n % TROUBLE == TROUBLE - 1 => world.troubles(&mut chance),
                        _ => world.acts(client % PROCESSES, &mut chance),
                    }
                }
                // who still waits for one that stands still gets his answer
                if let Some(process) = &*world.stands.lock().unwrap() {
                    process.resume();
                }
            });
        }
    });
    let found = history.found.load(Ordering::Relaxed);
    let violations = history.violations.lock().unwrap();
    println!("{found} found, {} violations", violations.len());
    assert!(found > operations / 10, "it has done something");
    assert!(violations.is_empty(), "seed {seed}: {violations:#?}");
}
