//! What the statistics cost a hit in memory, in nanoseconds and allocations: run once as
//! it is, and once more with them compiled out; the difference is their price.
//! `benches/statistics.sh` does both and subtracts.
//!
//! `cargo bench --bench statistics`

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use larder::{Cache, MIB, Policy, minutes};
use tower::{Layer, Service, service_fn};

const BATCH: u32 = 20_000;
const ROUNDS: usize = 200;

#[allow(clippy::disallowed_methods, reason = "a bench measures time")]
fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _entered = runtime.enter();
    let cache = Cache::builder().memory(16 * MIB).build().unwrap();
    let handler = service_fn(|_: Request<Full<Bytes>>| async {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(vec![b'x'; 1024]))))
    });
    let policy = Policy::ttl(minutes(60)).endpoint("x");
    let mut service = cache.layer(policy).layer(handler);
    let mut ask = || {
        let request = Request::get("/characters/7").header("host", "a.example");
        let answer = pin!(service.call(request.body(Full::default()).unwrap()));
        let mut answer = answer;
        let mut context = Context::from_waker(Waker::noop());
        loop {
            if let Poll::Ready(answer) = answer.as_mut().poll(&mut context) {
                return answer.unwrap();
            }
        }
    };
    drop(ask());
    let allocated = allocation_counter::measure(|| drop(ask())).count_total;
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..BATCH {
                drop(std::hint::black_box(ask()));
            }
            start.elapsed().as_secs_f64() * 1e9 / f64::from(BATCH)
        })
        .collect();
    times.sort_unstable_by(f64::total_cmp);
    // the fastest tenth: what else runs on the machine only adds to it
    println!("{:.1} {allocated}", times[ROUNDS / 10]);
}
