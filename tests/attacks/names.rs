//! 14 and 15: names that reach further than they should.

use axum::Router;
use axum::http::Method;
use larder::{Cache, Policy, endpoint, everything, tag, uri};

use crate::support::redis_server::Redis;
use crate::support::{get, request, send};
use crate::{Site, counted, policy, ways};
use crate::{tiers, tiers_with};

// 14
#[tokio::test]
async fn user_1_never_reaches_user_10() {
    for tiers in tiers().await {
        let cache = &tiers.cache;
        let users = policy()
            .tag("user:{id}")
            .endpoint("user")
            .invalidates(tag("user:{id}"))
            .invalidates("api:nothing:{id}*");
        let app = Router::new()
            .route(
                "/user/{id}",
                counted().put(|| async {}).layer(cache.layer(users)),
            )
            .route(
                "/users/{id}",
                counted().layer(cache.layer(policy().endpoint("users"))),
            );
        let all = [
            "/user/10",
            "/user/11",
            "/user/%2A",
            "/user/1*",
            "/user/[1-9]",
            "/users/1",
        ];
        let fill = async || {
            for path in all {
                get(&app, path).await;
            }
            cache.idle().await;
        };
        fill().await;
        let left = async |gone: &[&str]| {
            for path in all {
                let expected = !gone.contains(&path);
                assert_eq!(
                    get(&app, path).await.hit(),
                    expected,
                    "{}: {path}",
                    tiers.name
                );
            }
            cache.idle().await;
        };
        for (path, gone) in [
            ("/user/1", &[][..]),
            ("/user/*", &["/user/1*", "/user/%2A"]),
            ("/user/%3F", &[]),
            ("/user/[0-9]*", &[]),
            ("/user/1%2A", &["/user/1*"]),
            ("/user/%5C", &[]),
        ] {
            send(&app, request(Method::PUT, path, &[])).await;
            let gone: Vec<&str> = gone
                .iter()
                .copied()
                // a tag is the decoded value: `*` and `%2A` are one user
                .filter(|gone| path != "/user/*" || *gone == "/user/%2A")
                .collect();
            left(&gone).await;
            fill().await;
        }
        for selector in [
            tag("user:1"),
            tag("user:1?"),
            tag("user:*0"),
            endpoint("use"),
            endpoint("user*"),
        ] {
            cache.invalidate(&selector).await.unwrap();
            left(&[]).await;
        }
        let users = [
            "/user/10",
            "/user/11",
            "/user/%2A",
            "/user/1*",
            "/user/[1-9]",
        ];
        cache.invalidate(endpoint("user")).await.unwrap();
        left(&users).await;
        fill().await;
        let escaped = larder::escape_pattern("us*");
        cache.invalidate(format!("api:{escaped}:*")).await.unwrap();
        left(&[]).await;
    }
}

// 14
#[tokio::test]
async fn a_route_parameter_injects_nothing_into_a_declared_invalidation() {
    for tiers in tiers().await {
        let cache = &tiers.cache;
        let writes = Policy::none()
            .invalidates("api:page-{id}:*")
            .invalidates(uri("/pages/{id}"))
            .invalidates(tag("t:{id}"));
        let app = Router::new()
            .route(
                "/pages/{id}",
                counted().layer(cache.layer(policy().tag("t:{id}:x"))),
            )
            .route("/secret/{id}", counted().layer(cache.layer(policy())))
            .route(
                "/write/{id}",
                axum::routing::put(|| async {}).layer(cache.layer(writes)),
            );
        let app = app.route(
            "/of-page-1",
            counted().layer(cache.layer(policy().endpoint("page-1"))),
        );
        let all = [
            "/pages/1",
            "/pages/1?a=b",
            "/secret/1",
            "/pages/x%2Fy",
            "/of-page-1",
        ];
        for path in all {
            get(&app, path).await;
        }
        cache.idle().await;
        for value in [
            "*",
            "%2A",
            "..%2Fsecret%2F1",
            "1%3Fa=b",
            "%0D%0A",
            "%00",
            "1%23",
            "1%3Ax%00",
            "%5C%2A",
            "%5Ba-z%5D%2A",
        ] {
            let reply = send(&app, request(Method::PUT, &format!("/write/{value}"), &[])).await;
            assert!(reply.status.is_success());
        }
        for path in all {
            assert!(get(&app, path).await.hit(), "{}: {path}", tiers.name);
        }
        send(&app, request(Method::PUT, "/write/1", &[])).await;
        assert!(!get(&app, "/pages/1").await.hit());
        assert!(!get(&app, "/of-page-1").await.hit());
        assert!(get(&app, "/pages/1?a=b").await.hit());
    }
}

// 15
#[tokio::test]
async fn two_applications_on_one_redis_never_meet() {
    let redis = Redis::start();
    let application = |prefix: &str| {
        let cache = Cache::builder().redis(redis.url()).prefix(prefix).build();
        let cache = cache.unwrap();
        Site::new(&cache, policy().endpoint("x").tag("t"), counted())
    };
    let (one, two) = (application("api"), application("api.2"));
    let fill = async || {
        for site in [&one, &two] {
            site.get("/x", &[]).await;
        }
    };
    fill().await;
    for selector in [
        everything(),
        tag("t"),
        endpoint("x"),
        uri("/x"),
        "api*".into(),
        "api:*".into(),
    ] {
        let Ok(done) = one.cache.invalidate(&selector).await else {
            assert!(two.get("/x", &[]).await.hit());
            continue; // a pattern that could reach others is refused
        };
        assert_eq!(done.removed(), 1, "{selector:?}");
        assert!(two.get("/x", &[]).await.hit(), "{selector:?}");
        assert!(!one.get("/x", &[]).await.hit(), "{selector:?}");
    }
    for foreign in ["api.2:*", "*", "?pi:*", "[a-z]*", "api.?:*", "api:!*"] {
        let _ = one.cache.invalidate(foreign).await;
        assert!(two.get("/x", &[]).await.hit(), "{foreign}");
    }
}

// 15
#[tokio::test]
async fn two_tenants_never_meet_under_any_rules() {
    let tenant = |builder: larder::CacheBuilder| {
        builder.tenant(|head| Some(head.headers().get("x-tenant")?.to_str().ok()?.to_owned()))
    };
    for rules in [policy(), Policy::http()] {
        for tiers in tiers_with(tenant).await {
            let site = Site::new(&tiers.cache, rules.clone(), crate::reflects("x-tenant"));
            for name in ["a", "b", "", "a@b", "a:b", "a*"] {
                let reply = site.get("/x", &[("x-tenant", name)]).await;
                assert_eq!(reply.text(), format!("saw {name}"), "{}", tiers.name);
            }
            // patterns of one tenant reach nobody else
            for pattern in ["api:*", "api:*:*", "api:*@*:*", "api:?*", "api:x*"] {
                tiers.cache.invalidate_for("a", pattern).await.unwrap();
                assert!(
                    site.get("/x", &[("x-tenant", "b")]).await.hit(),
                    "{pattern}"
                );
                assert!(
                    site.get("/x", &[("x-tenant", "a*")]).await.hit(),
                    "{pattern}"
                );
            }
            assert!(!site.get("/x", &[("x-tenant", "a")]).await.hit());
        }
    }
}

// 12 and 14
#[tokio::test]
async fn names_from_a_request_stand_in_redis_as_hashes() {
    for way in ways().await {
        let Some(redis) = &way.tiers.redis else {
            continue;
        };
        let policy = way.policy.clone().tag("user:{path}").endpoint("e:*{}?");
        let site = way.site_with(policy, counted());
        for path in [
            "/a*?[]{}",
            "/%0d%0aDEL%20x",
            "/!lock",
            "/x:!group:y",
            &format!("/{}", "long".repeat(2_000)),
        ] {
            site.get(path, &[("host", "a{b}:*")]).await;
        }
        let names = redis.keys();
        assert!(names.len() >= 5);
        for name in names {
            assert!(name.starts_with("api:") && name.len() < 100, "{name}");
            assert!(!name.contains(['*', '?', '[', '\r', '\n', ' ']), "{name}");
            assert!(!name.contains("long") && !name.contains("DEL"), "{name}");
        }
    }
}
