//! System A, driven through the example's own router, on memory and on Redis.

#[path = "../examples/characters/app.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod app;
#[path = "../examples/characters/database.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod database;
mod support;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use larder::Cache;
use larder::config::Config;
use support::redis_server::Redis;
use support::{get, send};

fn config() -> Config {
    toml::from_str(app::CACHE_TOML).unwrap()
}

struct System {
    cache: Cache,
    app: Router,
    _redis: Option<Redis>,
}

/// In memory, and on Redis.
fn systems() -> Vec<System> {
    let redis = Redis::start();
    let builders = [
        (config().builder().unwrap(), None),
        (Cache::builder().redis(redis.url()), Some(redis)),
    ];
    let system = |(builder, redis): (larder::CacheBuilder, Option<Redis>)| {
        let cache = builder.build().unwrap();
        let database = database::Database::seeded(200).unwrap();
        let app = app::router(&cache, &config(), database).unwrap();
        System {
            cache,
            app,
            _redis: redis,
        }
    };
    builders.into_iter().map(system).collect()
}

impl System {
    /// Asks until the answer is in its tiers.
    async fn warm(&self, uris: &[&str]) {
        for uri in uris {
            assert!(get(&self.app, uri).await.status.is_success(), "{uri}");
        }
        self.cache.idle().await;
        for uri in uris {
            assert!(get(&self.app, uri).await.hit(), "{uri}");
        }
    }
}

#[tokio::test]
async fn a1_and_a3_every_route_has_its_ttl_and_endpoint() {
    for system in systems() {
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
        ] {
            system.warm(&[uri]).await;
            let status = get(&system.app, uri).await.cache_status().to_owned();
            let left: u64 = status
                .split("ttl=")
                .nth(1)
                .unwrap()
                .split(';')
                .next()
                .unwrap()
                .parse()
                .unwrap();
            assert!(left <= ttl && left + 2 >= ttl, "{uri}: {status}");
        }
        assert_eq!(get(&system.app, "/cache/stats").await.detail(), "no-policy");
    }
}

#[tokio::test]
async fn a2_keys_have_three_parts() {
    let redis = Redis::start();
    let cache = Cache::builder().redis(redis.url()).build().unwrap();
    let app = app::router(&cache, &config(), database::Database::seeded(10).unwrap()).unwrap();
    get(&app, "/characters/7").await;
    cache.idle().await;
    let key = redis.entries().remove(0);
    assert!(
        key.starts_with("api:character:") && key.len() == "api:character:".len() + 32,
        "{key}"
    );
}

#[tokio::test]
async fn a6_by_tag_by_endpoint_by_pattern_and_by_key() {
    for system in systems() {
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
        assert_eq!(removed(larder::tag("character:1")).await, 1);
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
    for system in systems() {
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
    for system in systems() {
        for _ in 0..2 {
            let reply = get(&system.app, "/characters/99999").await;
            assert_eq!((reply.status.as_u16(), reply.detail()), (404, "status"));
        }
    }
}
