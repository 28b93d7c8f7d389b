//! What is sent to Redis, counted by the server (`INFO commandstats`).

mod support;

use axum::Router;
use axum::http::Method;
use axum::routing::get as on_get;
use futures_util::future::join_all;
use larder::{Cache, MIB, Policy, Routes, minutes};
use support::redis_server::Redis;
use support::{Calls, PATIENT, SHORT, eventually, get, request, send};

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

#[tokio::test]
async fn a_hit_is_one_command_and_a_miss_three() {
    let redis = Redis::start();
    let builder = Cache::builder().redis(redis.url());
    // no beat comes in between
    let cache = builder.lease(minutes(1)).build().unwrap();
    let (app, _) = app(&cache);
    let calls = || {
        // a script counts as one, and what it calls too
        let names = ["evalsha", "eval", "get", "set", "unlink", "del", "expire"];
        names.map(|name| redis.calls(name))
    };
    works(&cache).await; // the script is known from here on
    let before = calls();
    get(&app, "/x").await;
    cache.idle().await;
    let after = calls();
    let scripts = after[0] + after[1] - before[0] - before[1];
    // GET; the lease, and the entry with its group and the lease's end: each script
    // looks at the lock too
    assert_eq!((scripts, after[2] - before[2]), (2, 1 + 2));
    for _ in 0..10 {
        assert!(get(&app, "/x").await.hit());
    }
    let last = calls();
    assert_eq!(last[2] - after[2], 10);
    assert_eq!((&last[..2], &last[3..]), (&after[..2], &after[3..]));
}

/// Each of them was a miss to the outer layer: three reads, a lock, and its end. So it was where
/// there is a third one.
#[tokio::test]
async fn a_hit_in_memory_is_none_in_a_layer_inside_another_either() {
    for (outermost, method) in [
        (false, Method::GET),
        (true, Method::GET),
        (false, Method::HEAD),
    ] {
        let redis = Redis::start();
        let builder = Cache::builder().memory(MIB).redis(redis.url());
        let cache = builder.lease(minutes(1)).build().unwrap();
        let (inner, handled) = app(&cache);
        let table = Routes::new().default_policy(minutes(5));
        let mut app = inner.layer(cache.routes(table));
        if outermost {
            app = app.layer(cache.invalidates("api:other:*"));
        }
        get(&app, "/x").await;
        cache.idle().await;
        let ask = async || {
            let reply = send(&app, request(method.clone(), "/x", &[])).await;
            assert!(reply.hit(), "{}", reply.cache_status());
            cache.idle().await;
        };
        ask().await; // of a HEAD nothing was known yet
        let calls = || ["evalsha", "get", "set", "publish"].map(|name| redis.calls(name));
        let before = calls();
        for _ in 0..10 {
            ask().await;
        }
        assert_eq!((calls(), handled.now()), (before, 1), "{method}");
    }
}

#[tokio::test]
async fn hits_that_are_asked_together_are_one_command_but_for_the_first_four() {
    let redis = Redis::start();
    let builder = Cache::builder().redis(redis.url());
    let cache = builder.lease(minutes(1)).build().unwrap();
    let (app, calls) = app(&cache);
    let ask = || async {
        let paths: Vec<String> = (0..10).map(|n| format!("/{n}")).collect();
        join_all(paths.iter().map(|path| get(&app, path))).await
    };
    let filled = ask().await;
    cache.idle().await;
    let before = [redis.calls("get"), redis.calls("mget")];
    for (hit, filled) in ask().await.iter().zip(&filled) {
        assert!(hit.hit(), "{}", hit.cache_status());
        assert_eq!(hit.body, filled.body);
    }
    let after = [redis.calls("get"), redis.calls("mget")];
    assert_eq!([after[0] - before[0], after[1] - before[1]], [4, 1]);
    assert_eq!(calls.count(), 11);
}

/// Of all that larder sends.
fn sent(redis: &Redis) -> u64 {
    let names = "get mget set eval evalsha unlink del ping publish subscribe scan hget";
    names.split(' ').map(|name| redis.calls(name)).sum()
}

#[tokio::test]
async fn a_hit_in_memory_is_no_command() {
    let redis = Redis::start();
    let builder = Cache::builder().redis(redis.url()).memory(MIB);
    let cache = builder.lease(minutes(1)).build().unwrap();
    let (app, _) = app(&cache);
    works(&cache).await;
    get(&app, "/x").await;
    cache.idle().await;
    let before = sent(&redis);
    for _ in 0..1_000 {
        assert_eq!(get(&app, "/x").await.detail(), "memory");
    }
    assert_eq!(sent(&redis), before);
}

#[tokio::test]
async fn a_process_without_requests_sends_nothing() {
    let (redis, other) = (Redis::start(), Redis::start());
    let cache = cache(redis.url());
    works(&cache).await;
    let rows = |redis: &Redis| {
        let fields: Vec<String> = redis.command(&["HKEYS", "api:!{clock}"]);
        fields
            .into_iter()
            .filter(|f| f.starts_with('@'))
            .collect::<Vec<_>>()
    };
    eventually("its row is gone", || async { rows(&redis).is_empty() }).await;
    cache.idle().await;
    let before = sent(&redis);
    // meanwhile another one beats, elsewhere
    let busy = Cache::builder()
        .redis(other.url())
        .lease(SHORT)
        .build()
        .unwrap();
    let (app, _) = app(&busy);
    eventually("it has beaten thirty times", || async {
        get(&app, "/x").await;
        let beats = |row: &String| {
            let row = other.command::<Option<String>>(&["HGET", "api:!{clock}", row]);
            let row = row.unwrap_or_default();
            row.rsplit_once(' ')
                .map_or(0, |(_, n)| n.parse::<u64>().unwrap_or(0))
        };
        rows(&other).iter().map(beats).sum::<u64>() > 30
    })
    .await;
    assert_eq!(sent(&redis), before);
}
