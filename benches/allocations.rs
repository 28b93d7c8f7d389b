//! Allocations of a hit, in process and with the request's own making: in
//! memory, and in Redis, where the connection's driver is counted too. Apart
//! from `hit` and `redis_hit`, for counting takes time.
//!
//! `cargo bench --bench allocations`

#[path = "support/cases.rs"]
mod cases;
#[path = "support/redis_cases.rs"]
mod redis_cases;
#[path = "../tests/support/redis_server.rs"]
#[allow(dead_code, reason = "the tests do more with it")]
mod redis_server;

/// So many hits in Redis, for some only find a buffer too small.
const HITS: usize = 1_000;

fn main() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().unwrap();
    let (mut cases, _cache) = runtime.block_on(cases::cases());
    println!("{:<22} {:>12} {:>12}", "", "allocations", "bytes");
    for case in &mut cases {
        let counted = allocation_counter::measure(|| (case.run)(1));
        let (count, bytes) = (counted.count_total, counted.bytes_total);
        println!("{:<22} {count:>12} {bytes:>12}", case.name);
    }
    let server = redis_server::Redis::start();
    let (cases, cache) = runtime.block_on(redis_cases::cases(&server.url()));
    for case in &cases {
        let run = || runtime.block_on(async { (case.run)(HITS, 1).await });
        let counted = allocation_counter::measure(run);
        let each = |n: u64| n as f64 / HITS as f64;
        let (count, bytes) = (each(counted.count_total), each(counted.bytes_total));
        println!("Redis: {:<15} {count:>12.1} {bytes:>12.0}", case.name);
    }
    redis_cases::only_hits(&cache);
}
