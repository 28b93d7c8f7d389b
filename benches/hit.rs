//! The time of a hit in memory, in process and with the request's own making,
//! beside a plain axum handler and a service that returns a ready clone:
//! interleaved, medians.
//!
//! `cargo bench --bench hit`, or with a case's name and a number to send that
//! many requests to it alone, under a profiler.

#[path = "support/cases.rs"]
mod cases;

use std::time::{Duration, Instant};

use cases::{KEYS, cases};

const BATCH: usize = 2_000;
/// Requests before those whose time is taken: what the case before this one has left in the
/// processor's caches is not its doing.
const WARM: usize = 3 * BATCH;
const ROUNDS: usize = 100;

#[tokio::main(flavor = "current_thread")]
#[allow(clippy::disallowed_methods, reason = "a bench measures time")]
async fn main() {
    let (mut cases, cache) = cases().await;
    let mut args = std::env::args().skip(1).filter(|arg| !arg.starts_with('-'));
    if let Some(only) = args.next() {
        let case = cases.iter_mut().find(|case| case.name.contains(&only));
        let requests = args.next().map_or(Ok(1_000_000), |n| n.parse());
        (case.expect("a case's name").run)(requests.expect("a number"));
        return;
    }
    let mut times = vec![Vec::new(); cases.len()];
    for _ in 0..ROUNDS {
        for (case, times) in cases.iter_mut().zip(&mut times) {
            (case.run)(WARM);
            let start = Instant::now();
            (case.run)(BATCH);
            times.push(start.elapsed());
        }
    }
    assert_eq!(
        cache.stats().misses,
        3 * KEYS as u64,
        "only hits were measured"
    );
    let base = median(&mut times[0]);
    println!("{:<22} {:>8} {:>7}", "", "ns", "ratio");
    for (case, times) in cases.iter().zip(&mut times) {
        let time = median(times);
        let ns = time.as_nanos() / BATCH as u128;
        let ratio = time.as_secs_f64() / base.as_secs_f64();
        println!("{:<22} {ns:>8} {ratio:>7.2}", case.name);
    }
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
