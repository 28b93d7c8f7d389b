//! System A, driven through the example's own router, on memory and on Redis.

#[path = "../examples/characters/app.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod app;
#[path = "../examples/characters/database.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod database;
#[path = "../examples/characters/helpers.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod helpers;
#[path = "../examples/shared/sqlite.rs"]
#[allow(dead_code, unreachable_pub, reason = "the examples'")]
mod sqlite;
mod support;
#[path = "../examples/characters/upstream.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod upstream;

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use larder::config::Config;
use larder::{Cache, CacheBuilder, MIB};
use support::redis_server::Redis;
use support::{PATIENT, SHORT, ask, get, send};
use upstream::Upstream;

fn config() -> Config {
    toml::from_str(app::CACHE_TOML).unwrap()
}

struct System {
    cache: Cache,
    app: Router,
    upstream: Upstream,
    redis: Option<Redis>,
}

async fn system(builder: CacheBuilder, redis: Option<Redis>) -> System {
    let cache = builder.build().unwrap();
    let database = database::Database::seeded(200).unwrap();
    let upstream = Upstream::start(Duration::from_millis(1)).await.unwrap();
    let app = app::router(&cache, &config(), database, &upstream).unwrap();
    System {
        cache,
        app,
        upstream,
        redis,
    }
}

fn on(redis: &Redis) -> CacheBuilder {
    let builder = Cache::builder().redis(redis.url());
    builder.lease(SHORT).operation_timeout(PATIENT)
}

/// In memory, and on Redis alone.
async fn systems() -> Vec<System> {
    let redis = Redis::start();
    let memory = system(config().builder().unwrap(), None).await;
    let shared = system(on(&redis), Some(redis)).await;
    vec![memory, shared]
}

/// In memory, and in memory before Redis.
async fn systems_with_memory() -> Vec<System> {
    let redis = Redis::start();
    let memory = system(config().builder().unwrap(), None).await;
    let both = system(on(&redis).memory(16 * MIB), Some(redis)).await;
    vec![memory, both]
}

impl System {
    /// Asks until the answer is in its tiers.
    async fn warm(&self, uris: &[&str]) {
        for uri in uris {
            let reply = get(&self.app, uri).await;
            assert!(
                reply.status.is_success(),
                "{uri}: {} {}",
                reply.text(),
                reply.cache_status()
            );
        }
        self.cache.idle().await;
        for uri in uris {
            assert!(get(&self.app, uri).await.hit(), "{uri}");
        }
    }
}

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
async fn a6_one_call_for_a_character_reaches_its_value_and_its_responses() {
    for system in systems().await {
        let all = ["/characters/1", "/characters/2", "/content/1/metadata"];
        let removed = async |what: &str| {
            system.warm(&all).await;
            let uri = format!("/cache/invalidate?{what}");
            let done = ask(&system.app, "POST", &uri, None).await;
            done.json()["removed"].as_u64().unwrap()
        };
        assert_eq!(
            removed("character=1").await,
            2,
            "the value and the response"
        );
        assert_eq!(removed("character=all").await, 4);
        assert_eq!(
            removed("pattern=character:*").await,
            2,
            "the values' namespace"
        );
        assert_eq!(removed("endpoint=character").await, 2);
        assert_eq!(removed("content=1").await, 1);
        let bad = ask(&system.app, "POST", "/cache/invalidate?what=else", None).await;
        assert_eq!(bad.status, 400);
    }
}

#[tokio::test]
async fn a6_by_tag_by_endpoint_by_pattern_and_by_key() {
    for system in systems().await {
        let all = [
            "/characters/1",
            "/characters/2",
            "/characters",
            "/content/1/metadata",
        ];
        system.warm(&all).await;
        let removed = async |selector: larder::Selector| {
            let done = system.cache.invalidate(selector).await.unwrap().removed();
            system.warm(&all).await;
            done
        };
        assert_eq!(
            removed(larder::tag("character:1")).await,
            2,
            "and its value"
        );
        assert_eq!(removed(larder::endpoint("character")).await, 3);
        assert_eq!(removed("api:content_metadata:*".into()).await, 1);
        assert_eq!(removed("api:c*".into()).await, 4);
        let pattern = Request::post("/cache/invalidate?pattern=api:character:*");
        let reply = send(&system.app, pattern.body(Body::empty()).unwrap()).await;
        assert_eq!(reply.text(), r#"{"removed":3}"#);
    }
}

#[tokio::test]
async fn a7_a_write_invalidates_declared_and_by_hand() {
    for system in systems().await {
        system
            .warm(&[
                "/characters/1",
                "/characters/2",
                "/characters",
                "/content/1/metadata",
            ])
            .await;
        let put = Request::builder()
            .method(Method::PUT)
            .uri("/characters/1")
            .header("host", "a.example");
        let put = put
            .header("content-type", "application/json")
            .body(Body::from(r#"{"name":"Ada"}"#));
        assert_eq!(send(&system.app, put.unwrap()).await.status, 204);
        let fresh = get(&system.app, "/characters/1").await;
        assert!(
            !fresh.hit() && fresh.text().contains("Ada"),
            "{}",
            fresh.text()
        );
        assert!(!get(&system.app, "/characters").await.hit(), "its list");
        assert!(
            get(&system.app, "/characters/2").await.hit(),
            "another one stays"
        );

        let approve = Request::post("/content/1/approve")
            .body(Body::empty())
            .unwrap();
        assert_eq!(send(&system.app, approve).await.status, 204);
        let fresh = get(&system.app, "/content/1/metadata").await;
        assert!(!fresh.hit() && fresh.text().contains(r#""approved":true"#));
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

#[tokio::test]
async fn a8_connections_are_pooled_and_redis_is_shared_and_watched() {
    for system in systems_with_memory().await {
        for round in 0..3 {
            system
                .warm(&["/checkpoints", "/samplers", "/schedulers"])
                .await;
            system.warm(&["/characters/1"]).await;
            system.cache.invalidate("api:*").await.unwrap();
            assert_eq!(system.upstream.calls(), 3 * (round + 1));
        }
        assert_eq!(
            system.upstream.connections(),
            1,
            "nine calls, one connection"
        );
        let shown = ask(&system.app, "GET", "/cache/stats", None).await.json();
        assert!(shown["misses"].as_u64().unwrap() > 0, "{shown}");
        assert!(
            shown["endpoints"]["character"]["misses"].is_u64(),
            "{shown}"
        );
        let Some(redis) = &system.redis else { continue };
        let server = &shown["redis"][0];
        for field in ["keyspace_hits", "keyspace_misses", "used_memory"] {
            assert!(server[field].is_u64(), "{field}: {shown}");
        }
        let clients: String = redis.command(&["CLIENT", "LIST"]);
        let ours = clients.lines().filter(|line| !line.contains("cmd=client"));
        assert!(
            ours.count() <= 2,
            "one for commands, one to listen:\n{clients}"
        );
    }
}

#[tokio::test]
async fn a9_warmed_at_the_start_before_anybody_asks() {
    for system in systems_with_memory().await {
        let warmup = system.cache.warm().host("a.example");
        let run = warmup.requests(system.app.clone(), app::favourites());
        let report = run.report().await;
        assert!(report.is_complete() && report.filled == 25, "{report:?}");
        let calls = system.upstream.calls();
        for uri in app::favourites() {
            assert!(get(&system.app, &uri).await.hit(), "{uri}");
        }
        assert_eq!(system.upstream.calls(), calls);
    }
}

#[tokio::test]
async fn a9_large_objects_are_compressed_and_ttls_are_proposed() {
    let redis = Redis::start();
    let clock = larder::testing::ManualClock::new();
    let cache = on(&redis)
        .memory(16 * MIB)
        .clock(std::sync::Arc::new(clock.clone()));
    let system = system(cache, None).await;
    system.warm(&["/characters"]).await;
    let body = get(&system.app, "/characters").await.body.len();
    let key = redis
        .entries()
        .into_iter()
        .find(|key| key.starts_with("api:character:"))
        .unwrap();
    let stored: usize = redis.command(&["STRLEN", &key]);
    assert!(body > 1_024 && stored < body, "{stored} of {body}");
    for _ in 0..25 {
        system.warm(&["/characters/1"]).await;
        clock.advance(Duration::from_secs(301));
    }
    let shown = ask(&system.app, "GET", "/cache/stats", None).await.json();
    let proposed = shown["ttls"]["character"]["proposed"].as_f64().unwrap();
    assert!(proposed > 300.0, "it never changes: {shown}");
}
