//! A crowd for a cold key whose handler takes 200 ms, over four processes that
//! share a Redis: how often the handler runs, and how long the slowest waits.
//!
//! `cargo bench --bench stampede`

#[path = "../tests/support/redis_server.rs"]
#[allow(dead_code, unreachable_pub, reason = "the tests do more with it")]
mod redis_server;
#[path = "../tests/support/stampede.rs"]
#[allow(dead_code, unreachable_pub, reason = "a test uses it too")]
mod stampede;

use stampede::{Crowd, HANDLER, Seen, is_one};

const ROUNDS: usize = 5;

fn main() {
    if is_one() {
        return;
    }
    let redis = redis_server::Redis::start();
    println!(
        "{:<34} {:>12} {:>24}",
        "4 processes, handler 200 ms", "runs", "slowest, of the handler's"
    );
    for requests in [1_000, 10_000] {
        let mut crowd = Crowd::start(&redis.url(), 4, &[]);
        let mut rounds: Vec<(usize, f64)> = (0..ROUNDS)
            .map(|round| {
                crowd.ask(&format!("/{requests}/{round}"), requests);
                result(&crowd.seen(), requests)
            })
            .collect();
        rounds.sort_by(|a, b| a.1.total_cmp(&b.1));
        let most = rounds.iter().map(|round| round.0).max().unwrap_or(0);
        let name = format!("{requests} requests, median of {ROUNDS}");
        println!("{name:<34} {most:>12} {:>24.2}", rounds[ROUNDS / 2].1);
    }
    let mut crowd = Crowd::start(&redis.url(), 4, &[]);
    crowd.ask("/killed", 1_000);
    crowd.kill_the_leader();
    let (runs, slowest) = result(&crowd.seen(), 750);
    println!(
        "{:<34} {:>12} {slowest:>24.2}",
        "the leader's process killed",
        1 + runs
    );
}

fn result(seen: &[Seen], requests: usize) -> (usize, f64) {
    let answers: usize = seen.iter().map(|seen| seen.answers).sum();
    assert_eq!(answers, requests);
    let runs = seen.iter().map(|seen| seen.runs).sum();
    let slowest = seen
        .iter()
        .map(|seen| seen.slowest)
        .max()
        .unwrap_or_default();
    (runs, slowest.as_secs_f64() / HANDLER.as_secs_f64())
}
