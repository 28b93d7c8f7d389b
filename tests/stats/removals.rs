//! What is removed is counted for its endpoint, in memory and in Redis.

use axum::{Router, routing::get as on_get};
use larder::{Cache, MIB, Policy, endpoint, everything, minutes, tag};

use crate::support::redis_server::Redis;
use crate::support::{PATIENT, SHORT, get};

fn app(cache: &Cache) -> Router {
    let route = |name| {
        let policy = Policy::ttl(minutes(5)).endpoint(name).tag("both");
        on_get(|| async { "x" }).layer(cache.layer(policy))
    };
    Router::new()
        .route("/a/{n}", route("a"))
        .route("/b/{n}", route("b"))
}

/// Removals of both endpoints, and of all.
fn removed(cache: &Cache) -> [u64; 3] {
    let all = cache.endpoint_stats();
    let of = |name| {
        let one = all.iter().find(|one| one.endpoint == name);
        one.map_or(0, |one| one.stats.removed)
    };
    [of("a"), of("b"), cache.stats().removed]
}

async fn fill(cache: &Cache, app: &Router) {
    for n in 0..3 {
        get(app, &format!("/a/{n}")).await;
        get(app, &format!("/b/{}", n % 2)).await;
    }
    cache.idle().await;
}

#[tokio::test]
async fn removals_count_for_their_endpoint() {
    let redis = Redis::start();
    for builder in [
        Cache::builder().memory(16 * MIB),
        Cache::builder().redis(redis.url()).lease(SHORT),
        Cache::builder()
            .redis(redis.url())
            .lease(SHORT)
            .memory(16 * MIB),
    ] {
        let cache = builder.operation_timeout(PATIENT).build().unwrap();
        let app = app(&cache);
        fill(&cache, &app).await;
        cache.invalidate(tag("both")).await.unwrap();
        assert_eq!(removed(&cache), [3, 2, 5]);
        fill(&cache, &app).await;
        cache.invalidate(endpoint("a")).await.unwrap();
        assert_eq!(removed(&cache), [6, 2, 8]);
        cache.invalidate("api:?:*").await.unwrap();
        assert_eq!(removed(&cache), [6, 4, 10]);
        fill(&cache, &app).await;
        cache.reset_stats();
        cache.invalidate(everything()).await.unwrap();
        assert_eq!(removed(&cache), [3, 2, 5], "since the reset");
        let recent = cache.recent().await.day.removed;
        assert!(recent >= 15, "{recent}");
        cache.shutdown().await;
    }
}
