//! Leases among instances: two caches on one Redis stand for two processes.

mod support;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, Response};
use bytes::Bytes;
use larder::testing::ManualClock;
use larder::{
    Cache, CacheService, Granted, Key, Lease, MIB, Outcome, Policy, Record, Removal, Removed,
    Store, StoreFuture, hours, minutes, seconds,
};
use support::redis_server::Redis;
use support::{Calls, Reply, eventually, request, send};
use tokio::sync::Semaphore;
use tower::util::BoxCloneSyncService;
use tower::{Layer, service_fn};

type App = CacheService<BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>>;

/// A handler that all instances run: counted, and let go one by one.
#[derive(Clone)]
struct Handler {
    calls: Calls,
    gate: Arc<Semaphore>,
    private: Arc<AtomicBool>,
    varies: Arc<AtomicBool>,
    fails: Arc<AtomicBool>,
}

impl Handler {
    fn new() -> Self {
        Self {
            calls: Calls::default(),
            gate: Arc::new(Semaphore::new(0)),
            private: Arc::default(),
            varies: Arc::default(),
            fails: Arc::default(),
        }
    }

    fn go(&self, runs: usize) {
        self.gate.add_permits(runs);
    }

    fn app(&self, cache: &Cache) -> App {
        self.app_with(cache, Policy::ttl(minutes(5)).endpoint("leases"))
    }

    fn app_with(&self, cache: &Cache, policy: Policy) -> App {
        let this = self.clone();
        let handler = service_fn(move |_: Request<Body>| {
            let this = this.clone();
            async move {
                let run = this.calls.count();
                this.gate.acquire().await.unwrap().forget();
                let private = this.private.load(Ordering::SeqCst);
                let said = if private { "private" } else { "max-age=300" };
                let mut response = Response::builder().header("cache-control", said);
                if this.fails.load(Ordering::SeqCst) {
                    response = response.status(500);
                }
                if this.varies.load(Ordering::SeqCst) {
                    response = response.header("vary", "accept-language");
                }
                Ok::<_, Infallible>(response.body(Body::from(format!("v{run}"))).unwrap())
            }
        });
        cache.layer(policy).layer(BoxCloneSyncService::new(handler))
    }

    async fn has_run(&self, times: usize) {
        eventually("the handler runs", || async { self.calls.now() >= times }).await;
    }
}

fn instance(redis: &Redis) -> Cache {
    Cache::builder().redis(redis.url()).build().unwrap()
}

fn ask(app: &App, path: &'static str) -> tokio::task::JoinHandle<Reply> {
    let app = app.clone();
    tokio::spawn(async move { send(&app, request(Method::GET, path, &[])).await })
}

fn locks(redis: &Redis) -> Vec<String> {
    let keys = redis.keys().into_iter();
    keys.filter(|key| key.contains(":!lock:")).collect()
}

#[tokio::test]
async fn another_instances_fill_is_waited_for_and_shared() {
    let redis = Redis::start();
    let handler = Handler::new();
    let (a, b) = (instance(&redis), instance(&redis));
    let (app_a, app_b) = (handler.app(&a), handler.app(&b));
    let first = ask(&app_a, "/x");
    handler.has_run(1).await;
    let lock = locks(&redis).remove(0);
    assert!(
        lock.starts_with("api:!lock:{api:leases:") && lock.ends_with('}'),
        "{lock}"
    );
    let second = ask(&app_b, "/x");
    eventually("the other instance has asked", || async {
        redis.waiters() > 0
    })
    .await;
    handler.go(1);
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    assert_eq!((first.text(), second.text()), ("v1", "v1"));
    assert!(
        matches!(second.outcome, Outcome::Coalesced { .. }),
        "{:?}",
        second.outcome
    );
    a.idle().await;
    assert_eq!((handler.calls.now(), locks(&redis).len()), (1, 0));
}

#[tokio::test]
async fn answers_that_cannot_be_shared_are_not_waited_for() {
    let redis = Redis::start();
    let handler = Handler::new();
    handler.private.store(true, Ordering::SeqCst);
    let (a, b) = (instance(&redis), instance(&redis));
    let (app_a, app_b) = (handler.app(&a), handler.app(&b));
    let first = ask(&app_a, "/x");
    handler.has_run(1).await;
    let waiting = ask(&app_b, "/x");
    handler.go(1);
    assert_eq!(first.await.unwrap().text(), "v1");
    handler.has_run(2).await; // who waited runs at once
    let side_by_side = ask(&app_a, "/x");
    handler.has_run(3).await; // and nobody waits any more
    handler.go(2);
    let (one, two) = (waiting.await.unwrap(), side_by_side.await.unwrap());
    assert_ne!(one.text(), two.text());
    assert!(redis.entries().is_empty());
}

#[tokio::test]
async fn nor_are_they_where_redis_is_full_by_then() {
    let redis = Redis::start();
    let handler = Handler::new();
    handler.private.store(true, Ordering::SeqCst);
    let cache = instance(&redis);
    let asked = ask(&handler.app(&cache), "/x");
    handler.has_run(1).await;
    let lock = locks(&redis).remove(0);
    redis.command::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    handler.go(1);
    asked.await.unwrap();
    cache.idle().await;
    assert_eq!(redis.command::<String>(&["GET", &lock]), "!");
}

#[tokio::test]
async fn a_paused_owners_late_write_is_refused() {
    let redis = Redis::start();
    let handler = Handler::new();
    let cache = instance(&redis);
    let app = handler.app(&cache);
    let late = ask(&app, "/x");
    handler.has_run(1).await;
    let lock = locks(&redis).remove(0);
    // its lease ran out while it was paused, and another one has it
    redis.command::<()>(&["SET", &lock, "another's", "PX", "60000"]);
    handler.go(1);
    assert_eq!(late.await.unwrap().text(), "v1", "its own client is served");
    cache.idle().await;
    assert!(redis.entries().is_empty());
    let holder: String = redis.command(&["GET", &lock]);
    assert_eq!(holder, "another's");
    assert_eq!(
        cache.stats().store_errors,
        0,
        "that is no error of the store"
    );
}

#[tokio::test]
async fn a_lease_is_renewed_while_the_handler_runs_and_ends_with_its_client() {
    let redis = Redis::start();
    let handler = Handler::new();
    let cache = instance(&redis);
    let app = handler.app(&cache);
    let gone = ask(&app, "/x");
    handler.has_run(1).await;
    let lock = locks(&redis).remove(0);
    let ttl = || redis.command::<i64>(&["PTTL", &lock]);
    assert!((1..=3_000).contains(&ttl()));
    redis.command::<()>(&["PEXPIRE", &lock, "1500"]);
    eventually("it is renewed", || async { ttl() > 1_500 }).await;
    gone.abort();
    eventually("it is given back", || async { locks(&redis).is_empty() }).await;
    let other = ask(&handler.app(&instance(&redis)), "/x");
    handler.has_run(2).await;
    handler.go(1);
    assert_eq!(other.await.unwrap().text(), "v2");
}

#[tokio::test]
async fn a_redis_that_dies_while_one_waits_lets_it_go() {
    let mut redis = Redis::start();
    let handler = Handler::new();
    let (a, b) = (instance(&redis), instance(&redis));
    let (app_a, app_b) = (handler.app(&a), handler.app(&b));
    let first = ask(&app_a, "/x");
    handler.has_run(1).await;
    let second = ask(&app_b, "/x");
    eventually("the other instance has asked", || async {
        redis.waiters() > 0
    })
    .await;
    redis.kill();
    handler.has_run(2).await;
    handler.go(2);
    let texts = [first.await.unwrap(), second.await.unwrap()];
    assert!(
        texts
            .iter()
            .all(|reply| reply.status == 200 && !Bytes::is_empty(&reply.body))
    );
}

#[tokio::test]
async fn a_handler_that_hangs_does_not_keep_its_lease() {
    let redis = Redis::start();
    let handler = Handler::new();
    let cache = instance(&redis);
    let policy = Policy::ttl(minutes(5)).endpoint("leases");
    let short = std::time::Duration::from_millis(10);
    let hangs = ask(&handler.app_with(&cache, policy.wait(short)), "/x");
    handler.has_run(1).await;
    assert_eq!(locks(&redis).len(), 1);
    eventually("it runs out", || async { locks(&redis).is_empty() }).await;
    let other = ask(&handler.app(&instance(&redis)), "/x");
    handler.has_run(2).await;
    handler.go(2);
    for asking in [hangs, other] {
        assert_eq!(asking.await.unwrap().status, 200);
    }
}

/// An instance with memory, something stale in it, and a handler that waits from
/// its second run on.
async fn stale_at(redis: &Redis, handler: &Handler) -> (Cache, App) {
    let clock = ManualClock::new();
    let cache = Cache::builder()
        .memory(16 * MIB)
        .redis(redis.url())
        .clock(Arc::new(clock.clone()))
        .build()
        .unwrap();
    let soft = std::time::Duration::from_millis(100);
    let policy = Policy::ttl(minutes(5)).endpoint("leases").early(false);
    let policy = policy.stale_if_error(hours(1)).soft_timeout(soft);
    let app = handler.app_with(&cache, policy);
    handler.go(1);
    assert_eq!(ask(&app, "/x").await.unwrap().text(), "v1");
    cache.idle().await;
    clock.advance(minutes(6));
    (cache, app)
}

#[tokio::test]
async fn a_soft_timeout_of_a_key_that_nobody_waits_for_is_one_request_and_one_fill() {
    let redis = Redis::start();
    let handler = Handler::new();
    let (cache, app) = stale_at(&redis, &handler).await;
    let key = redis.entries().remove(0);
    let lock = format!("api:!lock:{{{key}}}");
    redis.command::<()>(&["SET", &lock, "!", "PX", "120000"]);
    let reply = ask(&app, "/x").await.unwrap();
    assert_eq!((reply.text(), reply.detail()), ("v1", "soft-timeout"));
    assert_eq!(handler.calls.now(), 2);
    handler.go(1);
    eventually("it is stored", || async { cache.stats().stores == 2 }).await;
    cache.idle().await;
    assert_eq!(cache.stats().requests(), 2, "{:?}", cache.stats());
}

#[tokio::test]
async fn many_who_wait_for_another_instances_variant_run_no_handler() {
    let redis = Redis::start();
    let handler = Handler::new();
    handler.varies.store(true, Ordering::SeqCst);
    let instance = || {
        let builder = Cache::builder().memory(16 * MIB).redis(redis.url());
        builder.operation_timeout(seconds(20)).build().unwrap()
    };
    let (app_a, app_b) = (handler.app(&instance()), handler.app(&instance()));
    let first = ask(&app_a, "/x");
    handler.has_run(1).await;
    let others: Vec<_> = (0..60).map(|_| ask(&app_b, "/x")).collect();
    eventually("the other instance has asked", || async {
        redis.waiters() > 0
    })
    .await;
    handler.go(1);
    assert_eq!(first.await.unwrap().text(), "v1");
    for other in others {
        assert_eq!(other.await.unwrap().text(), "v1");
    }
    assert_eq!(handler.calls.now(), 1);
}

#[tokio::test]
async fn who_leads_after_a_failure_has_the_lease_however_long_it_has_waited() {
    let redis = Redis::start();
    let handler = Handler::new();
    let clock = ManualClock::new();
    let builder = Cache::builder().redis(redis.url()).lease(seconds(60));
    let cache = builder.clock(Arc::new(clock.clone())).build().unwrap();
    let app = handler.app(&cache);
    let first = ask(&app, "/x");
    handler.has_run(1).await;
    let lock = locks(&redis).remove(0);
    let holder = || redis.command::<Option<String>>(&["GET", &lock]);
    let (before, leader) = (redis.calls("get"), holder());
    let second = ask(&app, "/x");
    eventually("it has looked", || async { redis.calls("get") > before }).await;
    eventually("and waits", || async { cache.stats().flights == 1 }).await;
    clock.advance(seconds(5)); // longer than a request waits for Redis
    handler.fails.store(true, Ordering::SeqCst);
    handler.go(1);
    assert_eq!(first.await.unwrap().status, 500);
    handler.has_run(2).await;
    eventually("it has the lease", || async {
        let now = holder();
        now.is_some() && now != leader
    })
    .await;
    handler.fails.store(false, Ordering::SeqCst);
    handler.go(1);
    assert_eq!(second.await.unwrap().text(), "v2");
}

/// A store that grants every lease, and whose answer to that never comes.
#[derive(Clone, Default)]
struct Silent(Arc<std::sync::Mutex<Vec<String>>>);

impl Store for Silent {
    fn get<'a>(&'a self, _: &'a Key) -> StoreFuture<'a, Option<Bytes>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn put<'a>(&'a self, _: Record<'a>) -> StoreFuture<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn remove<'a>(&'a self, _: Removal<'a>) -> StoreFuture<'a, Removed> {
        Box::pin(std::future::ready(Ok(Removed::default())))
    }

    fn acquire<'a>(&'a self, lease: &'a Lease, _: Duration) -> StoreFuture<'a, Granted> {
        self.0
            .lock()
            .unwrap()
            .push(format!("asked {}", lease.token));
        Box::pin(std::future::pending())
    }

    fn release<'a>(&'a self, lease: &'a Lease, _: Option<Duration>) -> StoreFuture<'a, ()> {
        self.0.lock().unwrap().push(format!("back {}", lease.token));
        Box::pin(std::future::ready(Ok(())))
    }
}

/// It held the key up for three seconds, until the lease ran out.
#[tokio::test]
async fn a_lease_whose_asker_has_gone_before_the_answer_is_given_back() {
    let store = Silent::default();
    let cache = Cache::builder().store(store.clone()).build().unwrap();
    let app = Handler::new().app(&cache);
    let asking = tokio::spawn(send_owned(app));
    eventually("it asks", || async { !store.0.lock().unwrap().is_empty() }).await;
    asking.abort();
    let _ = asking.await;
    cache.idle().await;
    let told = store.0.lock().unwrap();
    let token = told[0].strip_prefix("asked ").unwrap();
    assert_eq!(told[1..], [format!("back {token}")]);
}

async fn send_owned(app: App) -> Reply {
    send(&app, request(Method::GET, "/1", &[])).await
}
