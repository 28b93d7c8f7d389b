//! The counts of four instances that share a Redis agree exactly with what a load
//! generator has seen. `LARDER_OPS=1000000` makes it long; `LARDER_SEED` repeats a run.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode};
use larder::{Cache, MIB, Outcome, Policy, Tier, hours, tag, testing};
use tower::util::BoxCloneSyncService;
use tower::{Layer, ServiceExt, service_fn};

use crate::support::redis_server::Redis;
use crate::support::{PATIENT, request};

const INSTANCES: usize = 4;
const CLIENTS: usize = 16;
const KEYS: u64 = 3_000;

type App = BoxCloneSyncService<
    Request<Body>,
    Response<larder::ResponseBody<larder::ResponseBody<Body>>>,
    Infallible,
>;
type Seen = Arc<Mutex<BTreeMap<&'static str, u64>>>;

fn instance(redis: &Redis) -> (Cache, App) {
    let cache = Cache::builder()
        .redis(redis.url())
        .memory(4 * MIB)
        .operation_timeout(PATIENT)
        .build()
        .unwrap();
    let handler = service_fn(|request: Request<Body>| async move {
        if request.uri().path().ends_with("00") {
            tokio::time::sleep(Duration::from_micros(200)).await; // some share it
        }
        let mut response = Response::new(Body::from(request.uri().path().to_owned()));
        if request.uri().path().ends_with('7') {
            *response.status_mut() = StatusCode::IM_A_TEAPOT; // not stored
        }
        Ok::<_, Infallible>(response)
    });
    let inner = cache.layer(Policy::ttl(hours(1)).endpoint("inner").tag("all"));
    // the outer layer asks it all of the inner one but for what it has itself
    let outer = cache.layer(Policy::ttl(hours(1)).endpoint("outer"));
    let app = BoxCloneSyncService::new(outer.layer(inner.layer(handler)));
    (cache, app)
}

/// Pseudo-random numbers (xorshift), the same for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

fn name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Hit {
            tier: Tier::Memory, ..
        } => "memory",
        Outcome::Hit { .. } => "redis",
        Outcome::Stale { .. } => "stale",
        Outcome::Revalidated { .. } => "revalidated",
        Outcome::Coalesced { .. } => "coalesced",
        Outcome::Miss { .. } => "miss",
        Outcome::Bypass { .. } => "bypass",
        other => panic!("{other:?}"),
    }
}

async fn client(app: App, cache: Cache, seen: Seen, mut dice: Dice, requests: u64) {
    let mut mine: BTreeMap<&'static str, u64> = BTreeMap::new();
    for n in 0..requests {
        // a few keys are asked for much
        let sides = if dice.roll(2) == 0 { 40 } else { KEYS };
        let path = format!("/{}", dice.roll(sides));
        let request = match dice.roll(50) {
            0 => request(Method::GET, &path, &[("cookie", "a=b")]),
            1 => request(Method::PUT, &path, &[]),
            _ => request(Method::GET, &path, &[]),
        };
        let answer = app.clone().oneshot(request);
        if dice.roll(200) == 0 {
            // a client without patience: what it would have got nobody knows
            let answered = tokio::time::timeout(Duration::from_micros(50), answer).await;
            let what = match answered {
                Ok(Ok(response)) => name(&testing::outcome(&response)),
                Ok(Err(never)) => match never {},
                Err(_) => "gone",
            };
            *mine.entry(what).or_default() += 1;
            continue;
        }
        let Ok(response) = answer.await;
        *mine.entry(name(&testing::outcome(&response))).or_default() += 1;
        drop(
            axum::body::to_bytes(Body::new(response.into_body()), 1 << 20)
                .await
                .unwrap(),
        );
        if n % 5_000 == 4_999 || n == requests / 2 {
            let _ = cache.invalidate(tag("all")).await;
        }
    }
    let mut seen = seen.lock().unwrap();
    for (what, n) in mine {
        *seen.entry(what).or_default() += n;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_counts_agree_exactly_with_the_load_generators() {
    let ops = std::env::var("LARDER_OPS").map_or(6_000, |ops| ops.parse().unwrap());
    let seed = std::env::var("LARDER_SEED").map_or_else(
        |_| std::process::id().into(),
        |seed| seed.parse::<u64>().unwrap(),
    );
    println!("seed {seed}, {ops} requests");
    let redis = Redis::start();
    let instances: Vec<_> = (0..INSTANCES).map(|_| instance(&redis)).collect();
    let seen = Seen::default();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|n| {
            let (cache, app) = instances[n % INSTANCES].clone();
            let dice = Dice(seed.wrapping_mul(0x9E37_79B9).wrapping_add(n as u64) | 1);
            let requests = ops / CLIENTS as u64;
            tokio::spawn(client(app, cache, Arc::clone(&seen), dice, requests))
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    let all = ops / CLIENTS as u64 * CLIENTS as u64;
    let mut counted: BTreeMap<&'static str, u64> = BTreeMap::new();
    let (mut requests, mut gone) = (0, 0);
    for (cache, _) in &instances {
        cache.idle().await;
        let stats = cache.stats();
        requests += stats.requests();
        gone += stats.abandoned;
        for (what, n) in [
            ("memory", stats.hits_memory),
            ("redis", stats.hits_redis),
            ("stale", stats.stale),
            ("revalidated", stats.revalidated),
            ("coalesced", stats.coalesced),
            ("miss", stats.misses),
            ("bypass", stats.bypasses),
        ] {
            *counted.entry(what).or_default() += n;
        }
        assert_eq!((stats.fills, stats.waiters), (0, 0));
    }
    counted.retain(|_, n| *n > 0);
    let seen = seen.lock().unwrap().clone();
    println!("seen {seen:?}\ncounted {counted:?}, {gone} gone");
    assert_eq!(requests, all, "every request once");
    assert_eq!(seen.values().sum::<u64>(), all);
    // who has gone counts as a miss, or as a bypass where it was to pass
    let of = |map: &BTreeMap<&str, u64>, what| map.get(what).copied().unwrap_or(0);
    assert_eq!(of(&seen, "gone"), gone);
    for what in ["memory", "redis", "coalesced", "stale", "revalidated"] {
        assert_eq!(of(&counted, what), of(&seen, what), "{what}");
    }
    let passed = |map| of(map, "miss") + of(map, "bypass");
    assert_eq!(passed(&counted), passed(&seen) + gone);
    for (cache, _) in &instances {
        assert!(cache.recent().await.shared); // each tells what it has
    }
    let recent = instances[0].0.recent().await;
    assert_eq!(
        recent.day.requests(),
        all,
        "all instances together, in Redis"
    );
    assert_eq!(recent.day.hits, of(&seen, "memory") + of(&seen, "redis"));
    assert_eq!(recent.day.coalesced, of(&seen, "coalesced"));
}
