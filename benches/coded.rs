//! A hit of 64 KiB of JSON for a client that reads br: coded beforehand by
//! larder, beside tower-http's `CompressionLayer` around the same cache.
//!
//! `cargo bench --bench coded`

use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{Request, Response};
use axum::routing::get;
use larder::{Cache, Coding, MIB, Policy, minutes};
use tower::{Service, ServiceExt};
use tower_http::compression::CompressionLayer;

const ROUNDS: usize = 31;

/// 64 KiB of objects that differ.
fn json() -> String {
    let mut text = String::from("[");
    for n in 0.. {
        if text.len() > 64 << 10 {
            break;
        }
        let hash = (n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        text.push_str(&format!(
            "{{\"id\":{n},\"name\":\"item {n}\",\"hash\":\"{hash:x}\"}},"
        ));
    }
    text.push_str("null]");
    text
}

async fn ask<S, B>(service: &S) -> usize
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone,
    B: http_body::Body,
    B::Error: std::fmt::Debug,
{
    let request = Request::get("/x").header(ACCEPT_ENCODING, "gzip, deflate, br");
    let request = request.body(Body::empty()).unwrap();
    let response = service.clone().oneshot(request).await.unwrap();
    let coded = response.headers().contains_key(CONTENT_ENCODING);
    let body = http_body_util::BodyExt::collect(response.into_body()).await;
    let len = body.unwrap().to_bytes().len();
    if coded { len } else { 0 }
}

#[tokio::main(flavor = "current_thread")]
#[allow(clippy::disallowed_methods, reason = "a bench measures time")]
async fn main() {
    let cache = Cache::builder().memory(64 * MIB).build().unwrap();
    let handler = || get(|| async { ([(CONTENT_TYPE, "application/json")], json()) });
    let policy = Policy::ttl(minutes(10));
    let coded = policy
        .clone()
        .endpoint("coded")
        .precompress([Coding::Brotli]);
    let coded = cache
        .layer(coded)
        .around(Router::new().route("/x", handler()));
    let plain = cache
        .layer(policy)
        .around(Router::new().route("/x", handler()));
    let outside = tower::ServiceBuilder::new()
        .layer(CompressionLayer::new())
        .service(plain);
    ask(&coded).await;
    ask(&outside).await;
    cache.idle().await;
    let (ours, theirs) = (ask(&coded).await, ask(&outside).await);
    assert!(ours > 0 && theirs > 0, "both are coded");
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..200 {
            ask(&coded).await;
        }
        times[0].push(start.elapsed() / 200);
        let start = Instant::now();
        for _ in 0..10 {
            ask(&outside).await;
        }
        times[1].push(start.elapsed() / 10);
    }
    let [ours_time, theirs_time] = times.map(median);
    println!("64 KiB of JSON, hits            us    bytes sent");
    println!(
        "coded beforehand       {:>11.1} {ours:>13}",
        ours_time.as_secs_f64() * 1e6
    );
    println!(
        "CompressionLayer around{:>11.1} {theirs:>13}",
        theirs_time.as_secs_f64() * 1e6
    );
    println!(
        "ratio {:.4}",
        ours_time.as_secs_f64() / theirs_time.as_secs_f64()
    );
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
