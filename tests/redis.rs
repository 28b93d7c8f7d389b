//! The Redis tier against real servers, also such as are down, slow or wrong.

mod support;

use std::time::Duration;

use axum::Router;
use axum::routing::get as on_get;
use bytes::Bytes;
use larder::{
    Cache, Cause, Key, MIB, Policy, Record, Removal, Removed, Store, StoreFuture, minutes,
};
use support::redis_server::{Redis, free_port};
use support::{Calls, PATIENT, SHORT, eventually, get};

fn app(cache: &Cache) -> (Router, Calls) {
    let calls = Calls::default();
    let count = calls.clone();
    let handler =
        on_get(move |uri: axum::http::Uri| async move { format!("{} {uri}", count.count()) });
    let layer = cache.layer(Policy::ttl(minutes(5)).endpoint("e"));
    (Router::new().route("/{*path}", handler.layer(layer)), calls)
}

fn cache(url: impl Into<String>) -> Cache {
    let builder = Cache::builder().redis(url).lease(SHORT);
    builder.operation_timeout(PATIENT).build().unwrap()
}

/// Fills and finds again.
async fn works(cache: &Cache) {
    let (app, _) = app(cache);
    get(&app, "/item").await;
    cache.idle().await;
    let reply = get(&app, "/item").await;
    assert!(reply.hit(), "{}", reply.cache_status());
}

/// Redis is used again, sooner or later.
async fn comes_back(cache: &Cache, app: &Router) {
    eventually("a hit", || async {
        get(app, "/again").await;
        cache.idle().await;
        get(app, "/again").await.hit()
    })
    .await;
}

#[tokio::test]
async fn an_entry_has_its_ttl_in_redis_too() {
    let redis = Redis::start();
    works(&cache(redis.url())).await;
    for key in redis.keys() {
        let ttl: i64 = redis.command(&["PTTL", &key]);
        // a group is there for longer than what it names: 32 timeouts
        let longest = if key.contains(":!") { 460_000 } else { 300_000 };
        assert!((290_000..=longest).contains(&ttl), "{key}: {ttl}");
    }
}

/// Nor where the entry is in its groups already, and only what has expired leaves them.
#[tokio::test]
async fn a_full_redis_takes_no_entry() {
    let redis = Redis::start();
    let cache = cache(redis.url());
    works(&cache).await;
    let (item, late) = (redis.entries().remove(0), "99999999999999");
    redis.command::<()>(&["CONFIG", "SET", "maxmemory", "1mb"]);
    let (app, calls) = app(&cache);
    for known in [false, true] {
        redis.command::<()>(&["DEL", &item]);
        let keys = redis.keys();
        let groups: Vec<_> = keys.iter().filter(|key| key.contains(":!group:")).collect();
        assert!(!groups.is_empty());
        for group in groups.into_iter().filter(|_| known) {
            redis.command::<()>(&["EVAL", JOINED, "1", group, late, &item]);
        }
        get(&app, "/item").await;
        get(&app, "/other").await;
        cache.idle().await;
        assert_eq!(redis.entries(), [""; 0], "known: {known}");
    }
    assert_eq!(calls.now(), 4);
    redis.command::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
    works(&cache).await;
}

/// Writes to a server that is full.
const JOINED: &str = "#!lua flags=allow-oom
return redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])";

#[tokio::test]
async fn a_redis_that_is_down_at_start_delays_and_breaks_nothing() {
    let port = free_port();
    let cache = cache(format!("redis://127.0.0.1:{port}"));
    let (app, calls) = app(&cache);
    for n in 1..=20 {
        let reply = get(&app, "/x").await;
        assert_eq!(reply.text(), format!("{n} /x"));
        cache.idle().await; // what is being written is shared until then
    }
    assert_eq!(calls.now(), 20);
    assert_eq!(get(&app, "/x").await.detail(), "store-error");
    assert!(cache.stats().store_errors >= 20);
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_a_redis_that_is_down() {
    let cache = cache("redis://no-such-host.invalid:6379");
    let (app, _) = app(&cache);
    assert_eq!(get(&app, "/x").await.text(), "1 /x");
}

#[tokio::test]
async fn it_is_used_again_when_it_comes_back() {
    let mut redis = Redis::start();
    let cache = cache(redis.url());
    let (app, _) = app(&cache);
    works(&cache).await;
    redis.kill();
    for _ in 0..20 {
        assert!(!get(&app, "/item").await.hit());
    }
    redis.restart();
    comes_back(&cache, &app).await;
}

#[tokio::test]
#[allow(clippy::disallowed_methods, reason = "a bound in real time, generous")]
async fn a_redis_that_hangs_costs_a_few_timeouts_and_then_nothing() {
    let redis = Redis::start();
    let timeout = Duration::from_millis(50);
    let cache = Cache::builder()
        .redis(redis.url())
        .lease(SHORT)
        .operation_timeout(timeout)
        .build()
        .unwrap();
    let (app, calls) = app(&cache);
    works(&cache).await;
    redis.stop();
    let start = std::time::Instant::now();
    for n in 0..200 {
        let reply = get(&app, &format!("/item?n={n}")).await;
        assert_eq!(reply.status, 200, "request {n}");
    }
    let took = start.elapsed();
    assert_eq!(calls.now(), 200);
    assert!(
        took < timeout * 60,
        "200 requests took {took:?}: the breaker did not open"
    );
    redis.resume();
    comes_back(&cache, &app).await;
}

#[tokio::test]
async fn a_damaged_entry_is_a_counted_miss_and_removed() {
    let redis = Redis::start();
    let cache = cache(redis.url());
    let (app, _) = app(&cache);
    get(&app, "/x").await;
    get(&app, "/y").await;
    cache.idle().await;
    let keys = redis.entries();
    let other: Vec<u8> = redis.command(&["GET", &keys[1]]);
    let mut damaged: Vec<u8> = redis.command(&["GET", &keys[0]]);
    damaged[100] ^= 1;
    let bad: [(&str, &[u8]); 4] = [
        ("garbage", b"garbage"),
        ("nothing", b""),
        ("a flipped bit", &damaged),
        ("another key's frame", &other),
    ];
    for (n, (what, frame)) in bad.into_iter().enumerate() {
        set(&redis, &keys[0], frame);
        let uris = ["/x", "/y"];
        let mut details = Vec::new();
        for uri in uris {
            details.push(get(&app, uri).await.detail().to_owned());
        }
        assert!(
            details.contains(&"corrupt".to_owned()),
            "{what}: {details:?}"
        );
        assert_eq!(cache.stats().corrupt, n as u64 + 1, "{what}");
        cache.idle().await;
        assert!(
            get(&app, "/x").await.hit() && get(&app, "/y").await.hit(),
            "{what}"
        );
    }
}

/// During a deploy that raises the bound, the old ones leave to the new ones what is theirs.
#[tokio::test]
async fn what_another_instance_may_store_is_left_to_it() {
    let redis = Redis::start();
    let policies = [
        (
            Policy::ttl(minutes(5)).max_body(64 << 10),
            Policy::ttl(minutes(5)).max_body(8 << 10),
        ),
        (Policy::http().store_set_cookie(), Policy::http()),
    ];
    for (n, (wide, narrow)) in policies.into_iter().enumerate() {
        let instance = |policy: Policy| {
            let cache = cache(redis.url());
            let field = if n == 0 { "x-field" } else { "set-cookie" };
            let fields = [(field, "a=b"), ("cache-control", "max-age=300")];
            let answer = move || async move { (fields, "x".repeat(32 << 10)) };
            let layer = cache.layer(policy.endpoint(format!("e{n}")));
            (
                cache,
                Router::new().route("/x", on_get(answer).layer(layer)),
            )
        };
        let ((wide, wide_app), (narrow, narrow_app)) = (instance(wide), instance(narrow));
        get(&wide_app, "/x").await;
        wide.idle().await;
        assert!(get(&wide_app, "/x").await.hit());
        for _ in 0..3 {
            assert_eq!(get(&narrow_app, "/x").await.text().len(), 32 << 10);
            narrow.idle().await;
        }
        let stats = narrow.stats();
        assert_eq!((stats.corrupt, redis.entries().len()), (0, n + 1));
        assert!(stats.misses_by.get(Cause::Bounds) > 0, "{stats:?}");
        assert!(get(&wide_app, "/x").await.hit());
    }
}

#[tokio::test]
async fn another_type_under_a_key_is_an_error_of_the_store() {
    let redis = Redis::start();
    let cache = cache(redis.url());
    let (app, _) = app(&cache);
    get(&app, "/x").await;
    cache.idle().await;
    let key = redis.entries().remove(0);
    redis.command::<()>(&["DEL", &key]);
    redis.command::<()>(&["LPUSH", &key, "x"]);
    assert_eq!(get(&app, "/x").await.detail(), "store-error");
}

fn set(redis: &Redis, key: &str, value: &[u8]) {
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_connection().unwrap();
    redis::cmd("SET")
        .arg(key)
        .arg(value)
        .exec(&mut connection)
        .unwrap();
}

#[tokio::test]
async fn every_form_of_the_url_works() {
    let socket = std::env::temp_dir().join(format!(
        "larder-{}-{}.sock",
        std::process::id(),
        free_port()
    ));
    let path = socket.to_string_lossy().into_owned();
    let redis = Redis::start_with(&["--unixsocket", &path]);
    redis.command::<()>(&[
        "ACL",
        "SETUSER",
        "app",
        "on",
        ">p@ss",
        "~api:*",
        "&api:*",
        "+@all",
        "-@admin",
        "-@dangerous",
        "+info",
    ]);
    let port = redis.port();
    for url in [
        format!("redis://127.0.0.1:{port}"),
        format!("redis://127.0.0.1:{port}/3"),
        format!("redis://app:p%40ss@127.0.0.1:{port}"),
        format!("unix://{path}"),
        format!("redis://127.0.0.1:{port}/?protocol=resp3"),
    ] {
        let cache = cache(url.as_str());
        works(&cache).await;
        assert_eq!(
            cache.invalidate("api:e:*").await.unwrap().removed(),
            1,
            "{url}"
        );
    }
    let wrong = cache(format!("redis://app:wrong@127.0.0.1:{port}"));
    let (app, _) = app(&wrong);
    assert_eq!(get(&app, "/x").await.detail(), "store-error");
}

#[tokio::test]
async fn applications_on_one_redis_do_not_meet() {
    let redis = Redis::start();
    let named = |prefix: &str| {
        Cache::builder()
            .redis(redis.url())
            .lease(SHORT)
            .prefix(prefix)
            .build()
            .unwrap()
    };
    let (one, two) = (named("one"), named("one.two"));
    works(&one).await;
    works(&two).await;
    assert_eq!(one.invalidate("one:*").await.unwrap().removed(), 1);
    assert_eq!(redis.entries().len(), 1);
    assert!(redis.entries()[0].starts_with("one.two:e:"));
}

#[tokio::test]
async fn memory_only_answers_never_reach_redis() {
    let redis = Redis::start();
    let cache = Cache::builder()
        .redis(redis.url())
        .lease(SHORT)
        .memory(MIB)
        .build()
        .unwrap();
    let layer = cache.layer(Policy::ttl(minutes(1)).memory_only());
    let app = Router::new().route("/x", on_get(|| async { "x" }).layer(layer));
    get(&app, "/x").await;
    cache.idle().await;
    assert!(get(&app, "/x").await.hit());
    assert!(redis.keys().is_empty());
    assert_eq!(redis.calls("get"), 0);
}

#[cfg(feature = "compression")]
#[tokio::test]
async fn a_large_body_is_compressed_in_redis() {
    let redis = Redis::start();
    let cache = cache(redis.url());
    let layer = cache.layer(Policy::ttl(minutes(1)));
    let body = "larder ".repeat(10_000);
    let answer = body.clone();
    let app = Router::new().route("/x", on_get(|| async { answer }).layer(layer));
    get(&app, "/x").await;
    cache.idle().await;
    let frame: Vec<u8> = redis.command(&["GET", &redis.entries()[0]]);
    assert!(frame.len() < 2_000, "{}", frame.len());
    let hit = get(&app, "/x").await;
    assert!(hit.hit() && hit.text() == body);
}

/// A store of a user's own that keeps none of its duties.
struct Broken(&'static str);

impl Store for Broken {
    fn get<'a>(&'a self, _key: &'a Key) -> StoreFuture<'a, Option<Bytes>> {
        Box::pin(async {
            match self.0 {
                "hangs" => std::future::pending().await,
                "panics" => panic!("in a store"),
                _ => Ok(Some(Bytes::from_static(b"lies"))),
            }
        })
    }

    fn put<'a>(&'a self, _record: Record<'a>) -> StoreFuture<'a, ()> {
        Box::pin(async { panic!("in a store") })
    }

    fn remove<'a>(&'a self, _removal: Removal<'a>) -> StoreFuture<'a, Removed> {
        Box::pin(async { Ok(Removed::default()) })
    }
}

#[tokio::test(start_paused = true)]
async fn a_users_store_cannot_stand_in_the_way() {
    for (how, detail) in [
        ("hangs", "store-error"),
        ("panics", "store-error"),
        ("lies", "corrupt"),
    ] {
        let cache = Cache::builder().store(Broken(how)).build().unwrap();
        let (app, _) = app(&cache);
        for n in 1..=3 {
            let reply = get(&app, "/x").await;
            assert_eq!(
                (reply.text(), reply.detail()),
                (format!("{n} /x").as_str(), detail)
            );
            cache.idle().await; // what is being written is shared until then
        }
    }
}
