//! Everything at once, by chance, in paused time: no body is cut, no request is
//! left without an answer, each counts once, and nothing stays behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, Response};
use larder::testing::{self, ManualClock};
use larder::{Cache, Policy, hours, tag};
use tower::util::BoxCloneService;
use tower::{ServiceExt, service_fn};

use crate::support::chance::Chance;
use crate::support::request;
use crate::{App, cached, soon, whole};

const CLIENTS: u64 = 32;
const REQUESTS: u64 = 200;
const WHOLE: &[u8] = b"begin--------end";

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// One source of chance for each that needs one.
#[derive(Clone)]
struct Seeds(Arc<AtomicU64>);

impl Seeds {
    fn next(&self) -> Chance {
        Chance::of(0, self.0.fetch_add(1, Ordering::Relaxed))
    }
}

fn policy() -> Policy {
    Policy::ttl(millis(3))
        .revalidate(hours(1))
        .tag("t")
        .stale_if_error(millis(20))
        .stale_while_revalidate(millis(2))
        .soft_timeout(millis(1))
        .hard_timeout(millis(6))
        .wait(millis(4))
}

/// Answers late, not at all, with parts that break off, variants, failures.
async fn answer(
    mut chance: Chance,
    request: Request<Body>,
) -> Result<Response<Body>, &'static str> {
    if chance.below(3) > 0 {
        tokio::time::sleep(millis(chance.below(9))).await;
    }
    let mut response = Response::builder().header("etag", "\"e\"");
    if request.headers().contains_key("if-none-match") && chance.below(2) == 0 {
        return Ok(response.status(304).body(Body::empty()).unwrap());
    }
    if chance.below(4) == 0 {
        response = response.header("vary", "accept-language");
    }
    match chance.below(12) {
        0 => return Ok(response.status(503).body(Body::from("down")).unwrap()),
        1 => response = response.header("cache-control", "private"),
        2 => tokio::time::sleep(hours(1)).await,
        _ => {}
    }
    if chance.below(2) == 0 {
        response = response.header("content-length", WHOLE.len());
    }
    let (slow, breaks) = (chance.below(3) == 0, chance.below(10) == 0);
    let pieces = futures_util::stream::unfold(0, move |n| async move {
        if slow {
            tokio::time::sleep(millis(1)).await;
        }
        let piece = match n {
            3 if breaks => return Some((Err("breaks"), 9)),
            0 => "begin",
            1..=4 => "--",
            5 => "end",
            _ => return None,
        };
        Some((Ok(piece), n + 1))
    });
    Ok(response.body(Body::from_stream(pieces)).unwrap())
}

/// One client: what it gets is whole, or an error.
async fn client(app: App, cache: Cache, clock: ManualClock, mut chance: Chance) {
    for _ in 0..REQUESTS {
        let path = ["/a", "/b", "/c"][chance.below(3) as usize];
        let language = ["en", "de", "fr"][chance.below(3) as usize];
        let (method, field) = match chance.below(8) {
            0 => (Method::HEAD, ("accept", "*/*")),
            1 => (Method::GET, ("range", "bytes=0-3")),
            2 => (Method::GET, ("if-none-match", "\"e\"")),
            _ => (Method::GET, ("accept", "*/*")),
        };
        let head = method == Method::HEAD;
        let asking = request(method, path, &[("accept-language", language), field]);
        let response = soon_of(app.clone().oneshot(asking))
            .await
            .expect("no error");
        let status = response.status().as_u16();
        let said = format!(
            "{path} {field:?} {status} {:?}",
            testing::outcome(&response)
        );
        if let Ok(body) = whole(response).await {
            let fine = match status {
                200 if head => true, // the handler sends one
                200 => &body[..] == WHOLE,
                206 => body == WHOLE[..4],
                304 | 504 => body.is_empty(),
                503 => true,
                _ => false,
            };
            assert!(fine, "{said} {body:?}");
        }
        clock.advance(millis(chance.below(3)));
        tokio::time::sleep(millis(chance.below(2))).await;
        if chance.below(40) == 0 {
            cache.invalidate(tag("t")).await.unwrap();
        }
    }
}

/// In paused time an hour passes at once: who hangs is found out.
async fn soon_of<T>(event: impl Future<Output = T>) -> T {
    let event = tokio::time::timeout(hours(2), event);
    event.await.expect("every request is answered")
}

#[tokio::test(start_paused = true)]
async fn everything_at_once() {
    let seed = testing_seed();
    println!("seed {seed}");
    let seeds = Seeds(Arc::new(AtomicU64::new(seed)));
    let (cache, clock) = testing::cache();
    let of = seeds.clone();
    let handler = BoxCloneService::new(service_fn(move |request| answer(of.next(), request)));
    let app = cached(&cache, policy(), handler);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| client(app.clone(), cache.clone(), clock.clone(), seeds.next()))
        .map(tokio::spawn)
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    let nothing = || {
        let stats = cache.stats();
        (stats.flights, stats.in_flight_bytes) == (0, 0)
    };
    soon_of(async {
        while !nothing() {
            tokio::time::sleep(millis(1)).await; // what hangs ends by itself
        }
    })
    .await;
    soon(cache.idle()).await;
    let stats = cache.stats();
    assert_eq!(stats.requests(), CLIENTS * REQUESTS, "{stats:?}");
}

/// Another one each time; `LARDER_SEED` repeats one.
fn testing_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    let given = std::env::var("LARDER_SEED").ok();
    given.map_or_else(
        || RandomState::new().hash_one(0),
        |seed| seed.parse().unwrap(),
    )
}
