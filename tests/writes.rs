//! Writes: what an unsafe request invalidates, and when.

mod support;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode};
use axum::routing::{any, get as on_get};
use larder::{Cache, InvalidateErrorKind, MIB, Policy, Routes, minutes, testing, uri};
use support::characters::{app, fill, policy, write};
use support::redis_server::Redis;
use support::{get, request, send, tiers};
use tokio::sync::Notify;
use tower::{Layer, ServiceExt};

#[tokio::test]
async fn a_glob_in_a_parameter_is_no_glob() {
    for tiers in tiers().await {
        let cache = &tiers.cache;
        let handler = || any(|| async { "x" });
        let app = Router::new()
            .route(
                "/users/{id}",
                handler().layer(
                    cache.layer(
                        policy()
                            .endpoint("users")
                            .key(|head| Some(head.uri().path().to_owned())),
                    ),
                ),
            )
            .route(
                "/drop/{name}",
                handler().layer(cache.invalidates("api:{name}:*")),
            );
        fill(&app, cache, &["/users/1", "/users/2"]).await;
        for name in ["*", "u*", "[u]sers", "user?"] {
            let path = format!(
                "/drop/{}",
                name.replace('?', "%3F")
                    .replace('[', "%5B")
                    .replace(']', "%5D")
            );
            write(&app, Method::POST, &path, "200").await;
            cache.idle().await;
            assert!(get(&app, "/users/1").await.hit(), "{name}");
        }
        write(&app, Method::POST, "/drop/users", "200").await;
        assert!(!get(&app, "/users/1").await.hit());
    }
}

/// As a handler writes it that puts a name into it: `Redirect::to("/my café")` of axum's.
#[tokio::test]
async fn a_location_that_is_not_escaped_is_invalidated_too() {
    let (cache, _clock) = testing::cache();
    let created = || async { axum::response::Redirect::to("/names/my caf\u{e9}?q=\u{fc}") };
    let app = Router::new()
        .route("/names", axum::routing::post(created))
        .route("/names/{name}", on_get(|| async { "x" }))
        .layer(cache.ttl(minutes(1)));
    let shown = "/names/my%20caf%C3%A9?q=%C3%BC";
    get(&app, shown).await;
    assert!(get(&app, shown).await.hit());
    let answer = app
        .clone()
        .oneshot(request(Method::POST, "/names", &[]))
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    assert!(!get(&app, shown).await.hit());
    let written = uri("/names/my caf\u{e9}?q=\u{fc}");
    assert_eq!(cache.invalidate(written).await.unwrap().removed(), 1);
}

#[tokio::test]
async fn a_successful_write_invalidates_its_uri_and_what_it_declares() {
    for tiers in tiers().await {
        let (cache, app) = (&tiers.cache, app(&tiers.cache));
        let all = ["/list", "/characters/1", "/characters/2"];
        for (method, path, gone) in [
            (
                Method::PUT,
                "/characters/1",
                &["/list", "/characters/1"][..],
            ),
            (Method::PUT, "/approve/1", &["/characters/1"]),
        ] {
            fill(&app, cache, &all).await;
            let reply = write(&app, method, path, "204").await;
            assert_eq!(reply.detail(), "method");
            for path in all {
                assert_eq!(
                    get(&app, path).await.hit(),
                    !gone.contains(&path),
                    "{} {path}",
                    tiers.name
                );
            }
            cache.idle().await;
        }
    }
}

#[tokio::test]
async fn a_uri_is_the_same_in_every_spelling() {
    let spellings = [
        ("/other/ada@x.org", "/other/ada%40x.org"),
        ("/other/a", "/other/%61"),
        ("/other/caf%c3%a9", "/other/caf%C3%A9"),
        ("/list?q=a+b", "/list?q=a%20b"),
        ("/list?b=%2f&a=1", "/list?a=1&%62=%2F"),
    ];
    for tiers in tiers().await {
        let (cache, app) = (&tiers.cache, app(&tiers.cache));
        for (one, other) in spellings {
            for (stored, told) in [(one, other), (other, one)] {
                fill(&app, cache, &[stored]).await;
                assert!(get(&app, stored).await.hit(), "{} {stored}", tiers.name);
                cache.invalidate(uri(told)).await.unwrap();
                let hit = get(&app, stored).await.hit();
                assert!(!hit, "{} {stored} by {told}", tiers.name);
                cache.idle().await;
            }
        }
    }
}

#[tokio::test]
async fn a_declared_uri_reaches_the_path_that_its_parameter_comes_from() {
    for tiers in tiers().await {
        let (cache, handler) = (&tiers.cache, || any(|| async { "x" }));
        let posts = handler().layer(cache.layer(policy().only_params(["page"])));
        let user = handler().layer(cache.invalidates(uri("/users/{id}/posts")));
        let app = Router::new()
            .route("/users/{id}", user)
            .route("/users/{id}/posts", posts);
        for id in ["ada%40x.org", "a%2Fb", "caf%c3%a9", "a:b,c"] {
            let (user, posts) = (format!("/users/{id}"), format!("/users/{id}/posts"));
            fill(&app, cache, &[&posts]).await;
            assert!(get(&app, &posts).await.hit(), "{} {id}", tiers.name);
            write(&app, Method::PUT, &user, "200").await;
            assert!(!get(&app, &posts).await.hit(), "{} {id}", tiers.name);
        }
    }
}

#[tokio::test]
async fn a_write_that_was_refused_invalidates_nothing() {
    for tiers in tiers().await {
        let (cache, app) = (&tiers.cache, app(&tiers.cache));
        fill(&app, cache, &["/list", "/characters/1"]).await;
        for status in ["400", "401", "403", "404", "409", "422", "500", "503"] {
            write(&app, Method::PUT, "/characters/1", status).await;
            cache.idle().await;
            assert!(get(&app, "/characters/1").await.hit(), "{status}");
        }
        for status in ["200", "303", "408", "504"] {
            write(&app, Method::PUT, "/characters/1", status).await;
            let reply = get(&app, "/characters/1").await;
            assert!(!reply.hit(), "{status}");
            cache.idle().await;
        }
    }
}

#[tokio::test]
async fn a_write_that_was_dropped_invalidates_for_it_may_have_written() {
    for tiers in tiers().await {
        let cache = &tiers.cache;
        let entered = Arc::new(Notify::new());
        let tell = Arc::clone(&entered);
        let never = move || async move {
            tell.notify_one();
            std::future::pending::<()>().await;
        };
        let show = on_get(|| async { "x" });
        let app = Router::new().route("/x", show.put(never).layer(cache.layer(policy())));
        fill(&app, cache, &["/x"]).await;
        let writing = tokio::spawn(app.clone().oneshot(request(Method::PUT, "/x", &[])));
        entered.notified().await;
        assert!(get(&app, "/x").await.hit(), "not before");
        writing.abort();
        let _ = writing.await;
        cache.idle().await;
        assert!(!get(&app, "/x").await.hit(), "{}", tiers.name);
    }
}

#[tokio::test]
async fn a_write_that_panics_invalidates_too() {
    let (cache, _clock) = testing::cache();
    let panics = || async {
        if true {
            panic!("after the commit");
        }
    };
    let show = on_get(|| async { "x" });
    let app = Router::new().route("/x", show.put(panics).layer(cache.layer(policy())));
    get(&app, "/x").await;
    let request = request(Method::PUT, "/x", &[]);
    assert!(tokio::spawn(app.clone().oneshot(request)).await.is_err());
    assert!(!get(&app, "/x").await.hit());
}

#[tokio::test]
async fn an_unsafe_request_without_a_policy_costs_no_command() {
    let redis = Redis::start();
    let cache = Cache::builder().redis(redis.url()).build().unwrap();
    let table = Routes::new().route("/cached", minutes(1));
    let app = Router::new()
        .route("/cached", any(|| async { "x" }))
        .route("/other", any(|| async { "x" }))
        .layer(cache.routes(table));
    get(&app, "/cached").await;
    cache.idle().await;
    let before = redis.calls("evalsha");
    write(&app, Method::POST, "/other", "200").await;
    cache.idle().await;
    assert_eq!(redis.calls("evalsha"), before);
    write(&app, Method::POST, "/cached", "200").await;
    cache.idle().await;
    assert!(redis.calls("evalsha") > before);
}

#[tokio::test]
async fn two_processes_on_redis_alone_see_each_others_writes() {
    let redis = Redis::start();
    let instance = || Cache::builder().redis(redis.url()).build().unwrap();
    let (one, two) = (instance(), instance());
    let (first, second) = (app(&one), app(&two));
    fill(&first, &one, &["/characters/1", "/list"]).await;
    assert!(get(&second, "/characters/1").await.hit());
    write(&second, Method::PUT, "/characters/1", "200").await;
    assert!(!get(&first, "/characters/1").await.hit());
    assert!(!get(&first, "/list").await.hit());
}

#[tokio::test]
async fn with_redis_away_memory_is_invalidated_and_the_call_says_so() {
    let mut redis = Redis::start();
    let cache = Cache::builder()
        .memory(MIB)
        .redis(redis.url())
        .build()
        .unwrap();
    let app = app(&cache);
    fill(&app, &cache, &["/list"]).await;
    redis.kill();
    let error = cache.invalidate("api:list:*").await.unwrap_err();
    assert_eq!(error.kind(), InvalidateErrorKind::Queued);
    assert!(!get(&app, "/list").await.hit());
    let reply = write(&app, Method::PUT, "/characters/1", "200").await;
    assert_eq!(reply.status, StatusCode::OK, "a committed write is no 500");
}

/// `nest_service` and a fallback: `unmatched` is about what is cached there.
#[tokio::test]
async fn what_is_declared_is_invalidated_where_axum_names_no_route_too() {
    let (cache, _clock) = testing::cache();
    let written = tower::service_fn(|_: Request<Body>| async {
        Ok::<_, std::convert::Infallible>(Response::new(Body::from("written")))
    });
    let list = on_get(|| async { "list" }).layer(cache.ttl(minutes(5)));
    let app = Router::new()
        .route("/list", list.clone())
        .nest_service("/rpc", cache.invalidates("api:list:*").layer(written))
        .nest_service(
            "/own",
            cache
                .layer(policy().invalidates("api:list:*"))
                .layer(written),
        )
        .fallback_service(cache.invalidates(larder::everything()).layer(written));
    let rows = Routes::new()
        .route("/list", minutes(5))
        .route("/table/{name}", Policy::none().invalidates("api:{name}:*"));
    let table = Router::new()
        .route("/list", on_get(|| async { "list" }))
        .nest_service("/table", written)
        .layer(cache.routes(rows));
    assert_eq!(get(&app, "/own/read").await.detail(), "unmatched");
    for (app, path) in [
        (&app, "/rpc/write"),
        (&app, "/own/write"),
        (&app, "/anything"),
        (&table, "/table/list"),
    ] {
        get(app, "/list").await;
        assert!(get(app, "/list").await.hit());
        write(app, Method::POST, path, "200").await;
        assert!(!get(app, "/list").await.hit(), "{path}");
    }
}

/// A WebSocket over HTTP/2 (RFC 8441), on the very path of a page: over HTTP/1.1 it is a
/// GET, and ends nothing either.
#[tokio::test]
async fn a_tunnel_is_no_write() {
    let (cache, _clock) = testing::cache();
    for policy in [policy(), Policy::http()] {
        let declares = policy.endpoint("rooms").invalidates("api:rooms:*");
        let page = any(|| async { ([("cache-control", "max-age=60")], "page") });
        let app = Router::new().route("/x", page.layer(cache.layer(declares)));
        get(&app, "/x").await;
        let tunnel = send(&app, request(Method::CONNECT, "/x", &[])).await;
        assert_eq!(tunnel.detail(), "method");
        assert!(get(&app, "/x").await.hit());
        send(&app, request(Method::POST, "/x", &[])).await;
        assert!(!get(&app, "/x").await.hit());
    }
}
