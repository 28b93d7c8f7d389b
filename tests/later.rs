//! Of two answers the one whose handler began later stays, in the shared store too.

mod support;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, Method};
use axum::routing::get as on_get;
use futures_util::stream;
use larder::{Cache, MIB, Outcome, Policy};
use support::redis_server::Redis;
use support::{Calls, PATIENT, Reply, SHORT, eventually, get, request, send};
use tokio::sync::Semaphore;
use tower::ServiceExt;

/// A handler whose first run takes as long as the test says.
#[derive(Clone)]
struct Site {
    runs: Calls,
    gate: Arc<Semaphore>,
}

impl Site {
    fn new() -> Self {
        Self {
            runs: Calls::default(),
            gate: Arc::new(Semaphore::new(0)),
        }
    }

    fn app(&self, cache: &Cache) -> Router {
        let site = self.clone();
        let handler = on_get(move || async move {
            let run = site.runs.count();
            if run == 1 {
                site.gate.acquire().await.unwrap().forget();
            }
            ([("cache-control", "max-age=300")], format!("v{run}"))
        });
        let layer = cache.layer(Policy::http().endpoint("later"));
        Router::new().route("/x", handler.layer(layer))
    }

    /// Asks, and goes on when the handler runs.
    async fn asks(&self, app: &Router) -> impl Future<Output = Reply> + use<> {
        let (app, before) = (app.clone(), self.runs.now());
        let asked = tokio::spawn(async move { get(&app, "/x").await });
        eventually("it runs", || async { self.runs.now() > before }).await;
        async { asked.await.unwrap() }
    }
}

async fn reloads(app: &Router) -> Reply {
    let reload = [("cache-control", "no-cache")];
    let reply = send(app, request(Method::GET, "/x", &reload));
    let within = tokio::time::timeout(Duration::from_secs(20), reply).await;
    within.expect("it asks at once")
}

fn process(redis: &Redis, memory: bool) -> Cache {
    let builder = Cache::builder().redis(redis.url()).lease(SHORT);
    let builder = builder.operation_timeout(PATIENT);
    match memory {
        true => builder.memory(16 * MIB).build().unwrap(),
        false => builder.build().unwrap(),
    }
}

/// The server's time in milliseconds.
fn now(redis: &Redis) -> u64 {
    let (seconds, micros): (u64, u64) = redis.command(&["TIME"]);
    seconds * 1000 + micros / 1000
}

/// What begins now begins later: times are told in milliseconds.
async fn passes(redis: &Redis) {
    let before = now(redis);
    eventually("later", || async { now(redis) > before + 5 }).await;
}

/// The slow one is `a`'s, a reload `b`'s; all are asked at the end.
async fn the_later_stays(redis: &Redis, a: &Cache, b: &Cache, all: &[&Cache]) {
    let site = Site::new();
    let slow = site.asks(&site.app(a)).await;
    passes(redis).await;
    assert_eq!(reloads(&site.app(b)).await.text(), "v2");
    b.idle().await;
    site.gate.add_permits(1);
    assert_eq!(slow.await.text(), "v1", "it is its own request's answer");
    a.idle().await;
    for cache in all {
        let reply = get(&site.app(cache), "/x").await;
        assert!(reply.hit(), "{}", reply.cache_status());
        assert_eq!(reply.text(), "v2");
    }
}

#[tokio::test]
async fn on_redis_alone_an_earlier_answer_does_not_replace_a_later_one() {
    let redis = Redis::start();
    let only = process(&redis, false);
    the_later_stays(&redis, &only, &only, &[&only]).await;
}

#[tokio::test]
async fn one_of_another_process_neither() {
    for memory in [false, true] {
        let redis = Redis::start();
        let [a, b, c] = [0; 3].map(|_| process(&redis, memory));
        the_later_stays(&redis, &a, &b, &[&a, &b, &c]).await;
    }
}

/// Writes eight bytes of a frame.
fn changed(frame: &[u8], at: usize, change: impl FnOnce(u64) -> u64) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let known = u64::from_le_bytes(frame[at..at + 8].try_into().unwrap());
    frame[at..at + 8].copy_from_slice(&change(known).to_le_bytes());
    frame
}

#[tokio::test]
async fn what_is_not_as_valid_or_of_another_time_makes_room() {
    let redis = Redis::start();
    let only = process(&redis, false);
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_connection().unwrap();
    let (created, stale, epoch, number) = (16, 32, 48, 56);
    for (at, ahead, stays) in [
        (created, 5_000, true),
        (stale, 0, false), // it is over
        (number, 5_000, false),
        (epoch, 5_000, false),
        (created, 3_600_000, false),
    ] {
        only.invalidate("api:later:*").await.unwrap();
        let site = Site::new();
        let app = site.app(&only);
        let slow = site.asks(&app).await;
        passes(&redis).await;
        assert_eq!(reloads(&app).await.text(), "v2");
        only.idle().await;
        let key = redis.entries().remove(0);
        let frame: Vec<u8> = redis.command(&["GET", &key]);
        let mut there = changed(&frame, created, |time| time + ahead);
        if at != created {
            let other = |known| if at == stale { 0 } else { known - 1 };
            there = changed(&there, at, other);
        }
        let mut set = redis::cmd("SET");
        set.arg(&key).arg(&there).exec(&mut connection).unwrap();
        if at == stale {
            let came = u64::from_le_bytes(there[created..created + 8].try_into().unwrap());
            eventually("it is over", || async { now(&redis) > came }).await;
        }
        site.gate.add_permits(1);
        slow.await;
        only.idle().await;
        let now: Vec<u8> = redis.command(&["GET", &key]);
        assert_eq!(now == there, stays, "{at} {ahead}");
    }
}

/// The places of both are marked: answers vary there.
#[tokio::test]
async fn a_variant_that_came_earlier_and_is_written_later_is_no_failure() {
    let redis = Redis::start();
    let cache = process(&redis, false);
    let gate = Arc::new(Semaphore::new(0));
    let waits = Arc::clone(&gate);
    let handler = on_get(move |headers: HeaderMap| async move {
        let language = headers["accept-language"].clone();
        let slow = language == "aa";
        let body = stream::once(async move {
            if slow {
                waits.acquire().await.unwrap().forget();
            }
            Ok::<_, std::convert::Infallible>(Bytes::copy_from_slice(language.as_bytes()))
        });
        ([("vary", "accept-language")], Body::from_stream(body))
    });
    let app = Router::new().route("/x", handler.layer(cache.ttl(larder::minutes(5))));
    let speak = |language: &'static str| {
        let fields = [("accept-language", language)];
        app.clone().oneshot(request(Method::GET, "/x", &fields))
    };
    let first = speak("cc").await.unwrap(); // what they vary on is known now
    assert_eq!(to_bytes(first.into_body(), 9).await.unwrap(), "cc");
    cache.idle().await;
    let there = redis.entries().len();
    let slow = speak("aa").await.unwrap();
    passes(&redis).await;
    let fast = speak("bb").await.unwrap();
    assert_eq!(to_bytes(fast.into_body(), 9).await.unwrap(), "bb");
    eventually("it is there", || async { redis.entries().len() > there }).await;
    gate.add_permits(1);
    assert_eq!(to_bytes(slow.into_body(), 9).await.unwrap(), "aa");
    cache.idle().await;
    for language in ["aa", "bb"] {
        let reply = speak(language).await.unwrap();
        assert!(reply.extensions().get::<Outcome>().unwrap().is_hit());
    }
    assert_eq!(cache.stats().store_errors, 0);
}
