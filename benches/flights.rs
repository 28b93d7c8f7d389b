//! What sharing a fill costs: a coalesced request beside a hit; the first byte of
//! a miss beside the handler's own without a cache, and of a follower beside its
//! leader's (interleaved, medians); and stampedes on a cold key whose handler
//! takes 200 ms.
//!
//! `cargo bench --bench flights`

use std::convert::Infallible;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, Response};
use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream;
use http_body_util::BodyExt;
use larder::{Cache, MIB, Policy, minutes};
use tokio::runtime::Builder;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tower::{Layer, Service, ServiceExt, service_fn};

const ROUNDS: usize = 101;
const CROWD: usize = 1_000;
const HANDLER: Duration = Duration::from_millis(200);

#[allow(clippy::disallowed_methods, reason = "a bench measures time")]
fn now() -> Instant {
    Instant::now()
}

fn request(n: usize) -> Request<Body> {
    Request::builder()
        .uri(format!("/items/{n}"))
        .header("host", "bench.example")
        .body(Body::empty())
        .expect("a request")
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn cache() -> Cache {
    Cache::builder()
        .memory(64 * MIB)
        .build()
        .expect("a memory tier")
}

fn policy() -> Policy {
    Policy::ttl(minutes(10))
}

/// The time of each of a crowd's requests.
async fn crowd<S, B>(service: &S, n: usize, opens: &Notify) -> Duration
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone,
{
    let start = now();
    let asking = join_all((0..CROWD).map(|_| service.clone().oneshot(request(n))));
    // the gate opens when all have asked
    let (answers, ()) = tokio::join!(asking, async { opens.notify_one() });
    black_box(answers);
    start.elapsed() / u32::try_from(CROWD).expect("a small crowd")
}

async fn coalesced() {
    let opens = Arc::new(Notify::new());
    let gate = Arc::clone(&opens);
    let handler = service_fn(move |_: Request<Body>| {
        let gate = Arc::clone(&gate);
        async move {
            gate.notified().await;
            Ok::<_, Infallible>(Response::new(Body::from(vec![b'x'; 1024])))
        }
    });
    let cache = cache();
    let service = cache.layer(policy()).layer(handler);
    let (mut shared, mut hits) = (Vec::new(), Vec::new());
    for n in 0..ROUNDS {
        shared.push(crowd(&service, n, &opens).await);
        hits.push(crowd(&service, n, &Notify::new()).await);
    }
    let stats = cache.stats();
    let (rounds, crowd) = (ROUNDS as u64, CROWD as u64);
    assert_eq!(
        (stats.misses, stats.coalesced),
        (rounds, rounds * (crowd - 1))
    );
    assert_eq!(stats.hits_memory, rounds * crowd);
    let (shared, hit) = (micros(median(shared)), micros(median(hits)));
    println!("a coalesced request {shared:>8.2} us");
    println!("a hit               {hit:>8.2} us");
    println!("more                {:>8.2} us", shared - hit);
}

/// Until the first byte, as the client sees it.
async fn first_byte<S, B>(service: &S, n: usize) -> Duration
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone,
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let start = now();
    let Ok(response) = service.clone().oneshot(request(n)).await;
    let mut body = response.into_body();
    black_box(body.frame().await.is_some());
    let time = start.elapsed();
    while body.frame().await.is_some() {}
    time
}

/// Four pieces, and a turn of the runtime between them.
fn pieces() -> Body {
    let pieces = stream::unfold(0, |n| async move {
        if n > 0 {
            tokio::task::yield_now().await;
        }
        let piece = Ok::<_, Infallible>(Bytes::from_static(&[b'x'; 256]));
        (n < 4).then_some((piece, n + 1))
    });
    Body::from_stream(pieces)
}

async fn miss() {
    let handler =
        service_fn(|_: Request<Body>| async { Ok::<_, Infallible>(Response::new(pieces())) });
    let service = cache().layer(policy()).layer(handler);
    let (mut own, mut missed) = (Vec::new(), Vec::new());
    for n in 0..20 * ROUNDS {
        own.push(first_byte(&handler, n).await);
        missed.push(first_byte(&service, n).await);
    }
    let (own, missed) = (micros(median(own)), micros(median(missed)));
    println!("first byte of the handler {own:>8.2} us, of a miss {missed:>8.2} us");
}

/// How much later the first byte comes to each follower than to their leader.
async fn followers(most: usize) {
    let handler = service_fn(|_: Request<Body>| async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let mut response = Response::new(pieces());
        response.headers_mut().insert("content-length", 1024.into());
        Ok::<_, Infallible>(response)
    });
    let cache = cache();
    let service = cache.layer(policy()).layer(handler);
    let mut later = Vec::new();
    for n in 0..ROUNDS {
        let mut asking = JoinSet::new();
        let start = now();
        for number in 0..=most {
            let service = service.clone();
            asking.spawn(async move {
                let Ok(response) = service.oneshot(request(n)).await;
                let mut body = response.into_body();
                black_box(body.frame().await.is_some());
                let time = start.elapsed();
                while body.frame().await.is_some() {}
                (number, time)
            });
        }
        let times = asking.join_all().await;
        let leader = times.iter().find(|(number, _)| *number == 0);
        let (_, leader) = *leader.expect("the first leads");
        let others = times.iter().filter(|(number, _)| *number > 0);
        later.extend(others.map(|(_, time)| time.saturating_sub(leader)));
    }
    assert_eq!(cache.stats().misses, ROUNDS as u64);
    let later = micros(median(later));
    println!("first byte to one of {most:>3} followers {later:>8.2} us after its leader's");
}

async fn stampede(requests: usize) {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let handler = service_fn(move |_: Request<Body>| {
        counted.fetch_add(1, Ordering::Relaxed);
        async {
            tokio::time::sleep(HANDLER).await;
            Ok::<_, Infallible>(Response::new(pieces()))
        }
    });
    let service = cache().layer(policy()).layer(handler);
    let mut asking = JoinSet::new();
    let start = now();
    for _ in 0..requests {
        let service = service.clone();
        asking.spawn(async move {
            let Ok(response) = service.oneshot(request(0)).await;
            let whole = response.into_body().collect().await.expect("whole");
            assert_eq!(whole.to_bytes().len(), 1024);
            start.elapsed()
        });
    }
    let slowest = asking.join_all().await.into_iter().max();
    let slowest = slowest.unwrap_or_default();
    let (runs, ratio) = (
        runs.load(Ordering::Relaxed),
        slowest.as_secs_f64() / HANDLER.as_secs_f64(),
    );
    println!(
        "{requests:>6} at once: {runs} run, the slowest {slowest:.1?}, {ratio:.2} of the handler's"
    );
}

fn main() {
    let one = Builder::new_current_thread().enable_all().build();
    one.expect("a runtime").block_on(async {
        coalesced().await;
        miss().await;
        followers(1).await;
        followers(100).await;
    });
    let two = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    two.expect("a runtime").block_on(async {
        stampede(1_000).await;
        stampede(10_000).await;
    });
}
