//! What is cached, under which keys, for how long, and where.

use std::time::Duration;

use axum::Router;
use upstream::Upstream;

use crate::support::get;
use crate::support::redis_server::Redis;
use crate::{app, config, database, helpers, on, systems, systems_with_memory, upstream};

/// A hit, and of this time to live.
async fn assert_ttl(app: &Router, uri: &str, ttl: u64) {
    let reply = get(app, uri).await;
    let status = reply.cache_status();
    let left = status
        .split(';')
        .find_map(|part| part.trim().strip_prefix("ttl="));
    let left: u64 = left
        .unwrap_or_else(|| panic!("{uri}: {status}"))
        .parse()
        .unwrap();
    assert!(left <= ttl && left + 5 >= ttl, "{uri}: {status}");
}

#[tokio::test]
async fn a1_and_a3_every_route_has_its_ttl_and_endpoint() {
    for system in systems_with_memory().await {
        for (uri, ttl) in [
            ("/characters/7", 300),
            ("/characters?page=1&style=noir", 300),
            ("/content/7/metadata", 600),
            ("/platform/status", 60),
            ("/analytics/affinity", 900),
            ("/system/status", 5),
            ("/checkpoints", 60),
            ("/samplers", 60),
            ("/schedulers", 60),
            ("/version", 60),
        ] {
            system.warm(&[uri]).await;
            assert_ttl(&system.app, uri, ttl).await;
        }
        assert_eq!(get(&system.app, "/cache/stats").await.detail(), "no-policy");
    }
}

#[tokio::test]
async fn a2_keys_have_three_parts() {
    for system in systems().await {
        system.warm(&["/characters/7"]).await;
        let found = system.cache.entries("api:character:*", None).await;
        let found = match &system.redis {
            Some(_) => found.unwrap().entries,
            None => {
                system
                    .cache
                    .memory_entries("api:character:*", None)
                    .unwrap()
                    .entries
            }
        };
        let key = found[0].key.as_str();
        let hash = key.strip_prefix("api:character:").unwrap();
        assert!(
            hash.len() == 32 && hash.bytes().all(|b| b.is_ascii_hexdigit()),
            "{key}"
        );
    }
}

#[tokio::test]
async fn a3_the_environment_comes_after_the_table_and_the_rest_has_a_default() {
    let config = config().with_vars([("CACHE_TTL_CHARACTER", "2m")]).unwrap();
    let redis = Redis::start();
    for builder in [config.builder().unwrap(), on(&redis)] {
        let cache = builder.build().unwrap();
        let database = database::Database::seeded(10).unwrap();
        let upstream = Upstream::start(Duration::ZERO).await.unwrap();
        let app = app::router(&cache, &config, database, &upstream).unwrap();
        for (uri, ttl) in [
            ("/characters/1", 120),
            ("/content/1/metadata", 600),
            ("/version", 60),
        ] {
            get(&app, uri).await;
            cache.idle().await;
            assert_ttl(&app, uri, ttl).await;
        }
    }
}

#[tokio::test]
async fn a4_a_query_is_cached_under_its_type_and_id() {
    for system in systems().await {
        system.warm(&["/characters/123"]).await;
        // the response goes, its value stays: the next one is made of it
        let before = system.cache.stats().misses;
        helpers::invalidate_api_cache(&system.cache, "character")
            .await
            .unwrap();
        assert!(!get(&system.app, "/characters/123").await.hit());
        assert_eq!(
            system.cache.stats().misses,
            before + 1,
            "the value is a hit"
        );
        if let Some(redis) = &system.redis {
            let keys = redis.entries();
            assert!(keys.contains(&"character:char_123".to_owned()), "{keys:?}");
        }
        assert_eq!(get(&system.app, "/characters/999").await.status, 404);
    }
}

#[tokio::test]
async fn a5_small_lists_stay_in_the_process_and_the_client_is_wrapped_too() {
    for system in systems_with_memory().await {
        let lists = ["/checkpoints", "/samplers", "/schedulers"];
        system.warm(&lists).await;
        system.warm(&lists).await;
        assert_eq!(system.upstream.calls(), 3);
        // the routes' answers go, and what the client got is still there
        let paths = lists.map(|path| get(&system.app, path));
        assert!(
            futures_util::future::join_all(paths)
                .await
                .iter()
                .all(|reply| reply.hit())
        );
        let inside = system
            .cache
            .memory_entries("api:*_list:*", None)
            .unwrap()
            .entries;
        assert_eq!(inside.len(), 6, "of the routes, and of the client");
        if let Some(redis) = &system.redis {
            assert!(redis.entries().is_empty(), "{:?}", redis.entries());
        }
    }
}

#[tokio::test]
async fn a_missing_character_is_not_cached() {
    for system in systems().await {
        for _ in 0..2 {
            let reply = get(&system.app, "/characters/99999").await;
            assert_eq!((reply.status.as_u16(), reply.detail()), (404, "status"));
        }
    }
}
