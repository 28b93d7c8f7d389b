//! A typed hit from memory beside the in-process store's own `get`: interleaved,
//! medians; and its allocations.
//!
//! `cargo bench --bench values`

use std::future::Future;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use larder::values::{CachedValue, Values};
use larder::{Cache, MIB, hours};

const KEYS: usize = 1_000;
const BATCH: usize = 10_000;
const ROUNDS: usize = 100;

type Case<'a> = (&'static str, Box<dyn FnMut(usize) + 'a>);

#[tokio::main(flavor = "current_thread")]
#[allow(clippy::disallowed_methods, reason = "a bench measures time")]
async fn main() {
    let names: Vec<String> = (0..KEYS).map(|n| format!("char_{n}")).collect();
    let store = quick_cache::sync::Cache::<String, Arc<String>>::new(KEYS * 2);
    let cache = Cache::builder().memory(64 * MIB).build().unwrap();
    let values: Values<String> = cache.values("character").ttl(hours(1)).build().unwrap();
    for name in &names {
        store.insert(name.clone(), Arc::new(name.clone()));
        values.insert(name, name.clone()).await;
    }
    let load = || async { unreachable!("everything is stored") };
    let mut cases: [Case<'_>; 3] = [
        (
            "the store's own get",
            Box::new(|n| assert!(store.get(&names[n]).is_some())),
        ),
        (
            "get",
            Box::new(|n| at_once(values.get(&names[n])).map_or_else(|| panic!("a miss"), drop)),
        ),
        (
            "get_or_try_insert_with",
            Box::new(|n| {
                let found: Result<CachedValue<_>, ()> =
                    at_once(values.get_or_try_insert_with(&names[n], load));
                assert!(found.is_ok());
            }),
        ),
    ];
    let mut times = vec![Vec::new(); cases.len()];
    for _ in 0..ROUNDS {
        for ((_, run), times) in cases.iter_mut().zip(&mut times) {
            let start = Instant::now();
            for n in 0..BATCH {
                run(black_box(n % KEYS));
            }
            times.push(start.elapsed());
        }
    }
    let ns = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2].as_nanos() as f64 / BATCH as f64
    };
    let base = ns(&mut times[0]);
    println!(
        "{:<24} {:>8} {:>8} {:>12}",
        "", "ns", "beyond", "allocations"
    );
    for ((name, run), times) in cases.iter_mut().zip(&mut times) {
        let time = ns(times);
        let counted = allocation_counter::measure(|| run(7)).count_total;
        println!("{name:<24} {time:>8.1} {:>8.1} {counted:>12}", time - base);
    }
}

fn at_once<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("a hit waits for nothing")
}
