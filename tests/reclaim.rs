//! What an invalidation costs where its entries lie, and what it says of them.

mod support;

use axum::Router;
use axum::http::Method;
use axum::routing::{get as on_get, put};
use futures_util::future::join_all;
use larder::{Cache, Policy, minutes, tag};
use support::characters::{app, fill};
use support::redis_server::Redis;
use support::{PATIENT, SHORT, eventually, get, request, send};

fn cache(redis: &Redis) -> Cache {
    let builder = Cache::builder().redis(redis.url()).lease(SHORT);
    builder.operation_timeout(PATIENT).build().unwrap()
}

/// So many keys, none of them larder's.
fn crowd(redis: &Redis, keys: u32) {
    let script = "for n = 1, ARGV[1] do redis.call('SET', 'x:' .. n, '') end";
    redis.command::<()>(&["EVAL", script, "0", &keys.to_string()]);
}

#[tokio::test]
async fn writes_that_come_together_scan_once_and_once_more() {
    let redis = Redis::start();
    let cache = cache(&redis);
    let app = app(&cache).route(
        "/writes",
        put(|| async {}).layer(cache.invalidates("api:other:*")),
    );
    crowd(&redis, 50_000);
    fill(&app, &cache, &["/other/1", "/other/2"]).await;
    let before = redis.calls("scan");
    cache.invalidate("api:nothing:*").await.unwrap();
    let one = redis.calls("scan") - before;
    assert!(one > 100, "{one} steps look at all keys");
    let writes = (0..20).map(|_| send(&app, request(Method::PUT, "/writes", &[])));
    for reply in join_all(writes).await {
        assert_eq!(reply.status, 200);
    }
    cache.idle().await;
    let all = redis.calls("scan") - before - one;
    assert!(all <= 2 * one + 10, "{all} steps, where one scan has {one}");
    assert!(redis.entries().iter().all(|key| key.starts_with("x:")));
    assert!(!get(&app, "/other/1").await.hit());
}

#[tokio::test]
async fn those_who_ask_together_are_told_of_each_entry_once() {
    let redis = Redis::start();
    let cache = cache(&redis);
    let app = app(&cache);
    crowd(&redis, 20_000);
    let uris: Vec<_> = (0..30).map(|n| format!("/other/{n}")).collect();
    let uris: Vec<_> = uris.iter().map(String::as_str).collect();
    fill(&app, &cache, &uris).await;
    let before = redis.calls("scan");
    let calls = (0..10).map(|_| cache.invalidate("api:other:*"));
    let done = join_all(calls).await;
    let removed: u64 = done
        .iter()
        .map(|done| done.as_ref().unwrap().removed())
        .sum();
    assert_eq!(removed, 30);
    assert!(redis.calls("scan") - before <= 2 * 100, "twice at most");
    // one that comes later finds what came later
    fill(&app, &cache, &uris[..3]).await;
    assert_eq!(cache.invalidate("api:other:*").await.unwrap().removed(), 3);
}

#[tokio::test]
async fn what_has_gone_leaves_its_group() {
    let redis = Redis::start();
    let cache = cache(&redis);
    let policy = |tag: &str| Policy::ttl(minutes(5)).tag("all").tag(tag);
    let handler = || on_get(|| async { "x" });
    let app = Router::new()
        .route("/a/{id}", handler().layer(cache.layer(policy("a"))))
        .route("/b/{id}", handler().layer(cache.layer(policy("b"))));
    fill(&app, &cache, &["/a/1", "/a/2", "/b/1"]).await;
    let names = || {
        let keys = redis.keys().into_iter();
        let groups = keys.filter(|key| key.contains(":!group:"));
        let sizes = groups.map(|group| redis.command::<u64>(&["ZCARD", &group]));
        sizes.collect::<Vec<_>>()
    };
    let before: u64 = names().iter().sum();
    assert_eq!(cache.invalidate(tag("a")).await.unwrap().removed(), 2);
    assert_eq!(before - names().iter().sum::<u64>(), 2);
    let unlinks = redis.calls("unlink");
    assert_eq!(cache.invalidate(tag("a")).await.unwrap().removed(), 0);
    assert_eq!(redis.calls("unlink"), unlinks, "nothing is left to remove");
    // what comes back is found again
    fill(&app, &cache, &["/a/1"]).await;
    assert_eq!(cache.invalidate(tag("all")).await.unwrap().removed(), 2);
    assert!(redis.entries().is_empty());
}

/// What a write has reached is served to nobody: its space can wait for its time to live.
#[tokio::test]
async fn the_end_of_the_cache_waits_for_no_scan() {
    let redis = Redis::start();
    let cache = cache(&redis);
    let writes = put(|| async {}).layer(cache.invalidates("api:other:*"));
    let app = app(&cache).route("/writes", writes);
    fill(&app, &cache, &["/other/1"]).await;
    crowd(&redis, 400_000);
    let write = tokio::spawn(async move { send(&app, request(Method::PUT, "/writes", &[])).await });
    eventually("it scans", || async { redis.calls("scan") > 0 }).await;
    cache.shutdown().await;
    assert!(redis.calls("scan") < 1_600, "not to its end");
    assert_eq!(write.await.unwrap().status, 200);
}
