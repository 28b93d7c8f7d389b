//! A hit in Redis, the memory tier off, beside a handler that does one bare
//! `GET` of the same 1 KiB: in process, interleaved, the median of the rounds'
//! ratios. Asking is one thread's; Redis, its own, has the other core.
//!
//! `cargo bench --bench redis_hit`, or with a case's name, a number and how
//! many at a time to send that many requests to it alone, under a profiler.
//! `cargo bench --bench allocations` counts the allocations of both.

#[path = "support/redis_cases.rs"]
mod cases;
#[path = "../tests/support/redis_server.rs"]
#[allow(dead_code, reason = "the tests do more with it")]
mod redis_server;

use std::time::Instant;

use cases::{Case, cases, only_hits};

const AT_A_TIME: [usize; 3] = [1, 32, 64];
const BATCH: usize = 4_096;
const ROUNDS: usize = 41;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let server = redis_server::Redis::start();
    let ([bare, larder], cache) = cases(&server.url()).await;
    let mut args = std::env::args().skip(1).filter(|arg| !arg.starts_with('-'));
    if let Some(only) = args.next() {
        let cases = [bare, larder];
        let case = cases.iter().find(|case| case.name.contains(&only));
        let mut number = |default| args.next().map_or(Ok(default), |n| n.parse());
        let requests = number(200_000).expect("a number");
        let at_a_time = number(64).expect("a number");
        (case.expect("a case's name").run)(requests, at_a_time).await;
        return;
    }
    println!(
        "{:<12} {:>12} {:>12} {:>7}",
        "at a time", "bare GET/s", "larder/s", "ratio"
    );
    for at_a_time in AT_A_TIME {
        let requests = if at_a_time == 1 { BATCH / 4 } else { BATCH };
        let mut rounds = [vec![], vec![], vec![]];
        for _ in 0..ROUNDS {
            let (bare, larder) = (
                rate(&bare, requests, at_a_time).await,
                rate(&larder, requests, at_a_time).await,
            );
            let values = [bare, larder, larder / bare];
            rounds
                .iter_mut()
                .zip(values)
                .for_each(|(all, v)| all.push(v));
        }
        let [bare, larder, ratio] = rounds.map(median);
        println!("{at_a_time:<12} {bare:>12.0} {larder:>12.0} {ratio:>7.2}");
    }
    only_hits(&cache);
}

/// Requests in a second.
#[allow(clippy::disallowed_methods, reason = "a bench measures time")]
async fn rate(case: &Case, requests: usize, at_a_time: usize) -> f64 {
    let start = Instant::now();
    (case.run)(requests, at_a_time).await;
    requests as f64 / start.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
