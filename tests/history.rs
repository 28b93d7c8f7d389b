//! A checker of promise 2, by chance: several processes with memory on one Redis
//! read, write, invalidate and have faults, all at once, and no read that began after
//! an `Ok` gets a body whose handler began before that call; but for those that share
//! a fill while Redis is out of reach, which are counted apart.
//!
//! `LARDER_OPS=1000000 cargo test --release --all-features --test history -- --nocapture`
//! is the long run; `LARDER_SEED` begins with a known seed. With
//! `RUSTFLAGS="--cfg larder_unfenced"` nothing is fenced among processes, and the
//! checker must find that.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::routing::get as on_get;
use larder::{Cache, MIB, Policy, Selector, endpoint, everything, tag, uri};
use support::chance::Chance;
use support::get;
use support::redis_server::Redis;

const INSTANCES: u64 = 4;
const CLIENTS: u64 = 4;
const KEYS: u64 = 8;

/// What has happened so far: one count for everything that begins or ends.
#[derive(Default)]
struct History {
    events: AtomicU64,
    /// For each key the latest call of an invalidation that has returned `Ok`.
    required: [AtomicU64; KEYS as usize],
    operations: AtomicU64,
    hits: AtomicU64,
    invalidations: AtomicU64,
    refused: AtomicU64,
    faults: AtomicU64,
    /// Fills that were shared without a lease.
    unleased: AtomicU64,
    violations: AtomicU64,
}

impl History {
    fn event(&self) -> u64 {
        self.events.fetch_add(1, Ordering::SeqCst) + 1
    }
}

fn instance(redis: &Redis, history: &Arc<History>, seed: u64) -> (Cache, Router) {
    let cache = Cache::builder()
        .memory(16 * MIB)
        .redis(redis.url())
        .lease(Duration::from_millis(150))
        .operation_timeout(Duration::from_millis(100))
        .build()
        .unwrap();
    let (history, runs) = (Arc::clone(history), Arc::new(AtomicU64::new(seed)));
    let handler = on_get(move |Path(_): Path<u64>| async move {
        let began = history.event();
        let slow = Chance::of(runs.fetch_add(1, Ordering::Relaxed), 0).below(4);
        tokio::time::sleep(Duration::from_millis(slow)).await; // its work
        began.to_string()
    });
    let policy = Policy::ttl(Duration::from_millis(400))
        .stale_while_revalidate(Duration::from_millis(200))
        .stale_if_error(Duration::from_secs(5))
        .tag("item:{id}");
    let layer = cache.layer(policy);
    let app = Router::new().route("/items/{id}", handler.layer(layer));
    (cache, app)
}

async fn read(app: &Router, history: &History, key: u64) {
    let required = history.required[key as usize].load(Ordering::SeqCst);
    let reply = get(app, &format!("/items/{key}")).await;
    assert_eq!(reply.status, 200, "never in the way");
    let began: u64 = reply.text().parse().unwrap();
    if reply.hit() {
        history.hits.fetch_add(1, Ordering::Relaxed);
    }
    if began < required && reply.detail() == "store-error" {
        // out of reach of Redis fills are shared all the same (README, Several processes)
        history.unleased.fetch_add(1, Ordering::Relaxed);
    } else if began < required {
        history.violations.fetch_add(1, Ordering::Relaxed);
        let status = reply.cache_status();
        println!("key {key}: a body of {began} after an invalidation of {required}, {status}");
    }
}

async fn invalidate(cache: &Cache, history: &History, chance: &mut Chance) {
    let key = chance.below(KEYS);
    let (selector, keys): (Selector, _) = match chance.below(12) {
        0..=4 => (tag(format!("item:{key}")), key..key + 1),
        5..=8 => (uri(format!("/items/{key}")), key..key + 1),
        9 => (endpoint("items"), 0..KEYS),
        10 => ("api:it*".into(), 0..KEYS),
        _ => (everything(), 0..KEYS),
    };
    let call = history.event();
    let counter = match cache.invalidate(selector).await {
        Err(_) => &history.refused,
        Ok(_) => {
            history.event();
            for key in keys {
                history.required[key as usize].fetch_max(call, Ordering::SeqCst);
            }
            &history.invalidations
        }
    };
    counter.fetch_add(1, Ordering::Relaxed);
}

/// What goes wrong with Redis.
async fn fault(redis: &mut Redis, chance: &mut Chance) {
    match chance.below(6) {
        0 => drop(redis.command::<redis::Value>(&["CLIENT", "KILL", "TYPE", "pubsub"])),
        1 => drop(redis.command::<redis::Value>(&["CLIENT", "KILL", "TYPE", "normal"])),
        2 => redis.command::<()>(&["FLUSHALL"]),
        3 => drop(redis.command::<redis::Value>(&["DEL", "api:!{clock}:scopes"])),
        4 => {
            redis.stop();
            tokio::time::sleep(Duration::from_millis(20 + chance.below(300))).await; // so long
            redis.resume();
        }
        _ => {
            redis.kill();
            redis.restart();
        }
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_read_after_ok_is_older_than_the_call() {
    use std::hash::{BuildHasher, RandomState};
    let seed = number("LARDER_SEED").unwrap_or_else(|| RandomState::new().hash_one(0));
    let operations = number("LARDER_OPS").unwrap_or(20_000);
    println!("seed {seed}, {operations} operations");
    let mut redis = Redis::start_durable();
    let history = Arc::new(History::default());
    let instances: Vec<_> = (0..INSTANCES)
        .map(|n| instance(&redis, &history, seed ^ n))
        .collect();
    let clients: Vec<_> = (0..INSTANCES * CLIENTS)
        .map(|n| {
            let (cache, app) = instances[(n % INSTANCES) as usize].clone();
            let (history, mut chance) = (Arc::clone(&history), Chance::of(seed, n));
            tokio::spawn(async move {
                while history.operations.fetch_add(1, Ordering::Relaxed) < operations {
                    match chance.below(60) {
                        0 => invalidate(&cache, &history, &mut chance).await,
                        _ => read(&app, &history, chance.below(KEYS)).await,
                    }
                }
            })
        })
        .collect();
    let over = Arc::new(AtomicBool::new(false));
    let (counting, ending) = (Arc::clone(&history), Arc::clone(&over));
    let mut chance = Chance::of(seed, 1_000);
    let chaos = tokio::spawn(async move {
        while !ending.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(chance.below(400))).await; // between two
            fault(&mut redis, &mut chance).await;
            counting.faults.fetch_add(1, Ordering::Relaxed);
        }
        drop(redis);
    });
    for client in clients {
        client.await.unwrap();
    }
    over.store(true, Ordering::SeqCst);
    chaos.await.unwrap();
    let count = |n: &AtomicU64| n.load(Ordering::Relaxed);
    let (hits, violations) = (count(&history.hits), count(&history.violations));
    let (done, refused) = (count(&history.invalidations), count(&history.refused));
    let (faults, unleased) = (count(&history.faults), count(&history.unleased));
    println!(
        "{hits} hits, {done} invalidations, {refused} refused, {faults} faults, {unleased} shared without a lease, {violations} violations"
    );
    assert!(done > 0 && hits > 0, "it has done something");
    match cfg!(larder_unfenced) {
        false => assert_eq!(violations, 0, "seed {seed}"),
        true => assert!(violations > 0, "the checker finds nothing"),
    }
}
