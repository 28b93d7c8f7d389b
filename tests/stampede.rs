//! A cold key and a crowd, over four real processes that share a Redis.

#[path = "support/redis_server.rs"]
#[allow(dead_code, unreachable_pub, reason = "each test uses its part")]
mod redis_server;
#[path = "support/stampede.rs"]
#[allow(dead_code, unreachable_pub, reason = "a bench uses it too")]
mod stampede;

use redis_server::Redis;
use stampede::{Crowd, is_one};

/// What the processes are started with: this very test, which does their part.
const PART: [&str; 3] = ["one_of_the_crowd", "--exact", "--nocapture"];

#[test]
fn one_of_the_crowd() {
    is_one(); // started as a test like others, it has nothing to do
}

#[test]
fn a_thousand_requests_over_four_processes_run_the_handler_once() {
    let redis = Redis::start();
    let mut crowd = Crowd::start(&redis.url(), 4, &PART);
    for round in 0..3 {
        crowd.ask(&format!("/cold/{round}"), 1_000);
        let seen = crowd.seen();
        let runs: usize = seen.iter().map(|seen| seen.runs).sum();
        let answers: usize = seen.iter().map(|seen| seen.answers).sum();
        assert_eq!((runs, answers), (1, 1_000), "{seen:?}");
    }
}

#[test]
fn when_the_leaders_process_is_killed_one_other_leads() {
    let redis = Redis::start();
    let mut crowd = Crowd::start(&redis.url(), 4, &PART);
    crowd.ask("/cold", 400);
    crowd.kill_the_leader();
    let seen = crowd.seen();
    let runs: usize = seen.iter().map(|seen| seen.runs).sum();
    let answers: usize = seen.iter().map(|seen| seen.answers).sum();
    assert_eq!((runs, answers), (1, 300), "{seen:?}");
}
