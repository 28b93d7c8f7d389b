//! Invalidation: what it reaches, and what cannot bring it back.

mod support;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{Method, StatusCode};
use axum::routing::{any, get as on_get, put};
use futures_util::FutureExt;
use larder::{
    Cache, InvalidateErrorKind, MIB, Policy, Routes, Selector, endpoint, everything, key, minutes,
    tag, testing, uri,
};
use support::redis_server::Redis;
use support::{Calls, Reply, eventually, get, get_with, request, send, tiers};
use tokio::sync::Notify;
use tower::ServiceExt;

fn policy() -> Policy {
    Policy::ttl(minutes(5))
}

/// Characters and their list, as a user would annotate them. A PUT answers
/// with the status that it is asked for.
fn app(cache: &Cache) -> Router {
    let calls = Calls::default();
    let show = move |path: Option<Path<String>>| async move {
        format!(
            "{} {}",
            calls.count(),
            path.map_or_else(String::new, |p| p.0)
        )
    };
    let write = |headers: axum::http::HeaderMap| async move {
        let status = headers
            .get("x-status")
            .map_or("200", |v| v.to_str().unwrap());
        StatusCode::from_bytes(status.as_bytes()).unwrap()
    };
    let one = policy().tag("character:{id}").invalidates("api:list:*");
    Router::new()
        .route("/list", on_get(show.clone()).layer(cache.layer(policy())))
        .route(
            "/characters/{id}",
            on_get(show.clone()).put(write).layer(cache.layer(one)),
        )
        .route("/other/{id}", on_get(show).layer(cache.layer(policy())))
        .route(
            "/approve/{id}",
            put(write).layer(cache.invalidates(tag("character:{id}"))),
        )
}

async fn fill(app: &Router, cache: &Cache, uris: &[&str]) {
    for uri in uris {
        get(app, uri).await;
    }
    cache.idle().await;
}

async fn write(app: &Router, method: Method, uri: &str, status: &str) -> Reply {
    send(app, request(method, uri, &[("x-status", status)])).await
}

#[tokio::test]
async fn every_selector_reaches_its_own_and_nothing_else() {
    for tiers in tiers().await {
        let (cache, app) = (&tiers.cache, app(&tiers.cache));
        let all = [
            "/list",
            "/characters/1",
            "/characters/10",
            "/characters/1?x=1",
            "/other/1",
        ];
        let cases: [(Selector, &[&str]); 8] = [
            (
                "api:characters:*".into(),
                &["/characters/1", "/characters/10", "/characters/1?x=1"],
            ),
            ("api:[lo]*".into(), &["/list", "/other/1"]),
            (
                endpoint("characters"),
                &["/characters/1", "/characters/10", "/characters/1?x=1"],
            ),
            (endpoint("character"), &[]),
            (tag("character:1"), &["/characters/1", "/characters/1?x=1"]),
            (uri("/characters/1"), &["/characters/1"]),
            (
                uri("https://b.example/characters/1?x=1"),
                &["/characters/1?x=1"],
            ),
            (everything(), &all),
        ];
        for (selector, gone) in cases {
            fill(&app, cache, &all).await;
            let done = cache.invalidate(&selector).await.unwrap();
            assert_eq!(
                done.removed(),
                gone.len() as u64,
                "{} {selector:?}",
                tiers.name
            );
            for path in all {
                let hit = get(&app, path).await.hit();
                assert_eq!(
                    hit,
                    !gone.contains(&path),
                    "{} {selector:?} {path}",
                    tiers.name
                );
            }
            cache.idle().await;
        }
    }
}

#[tokio::test]
async fn a_key_is_a_selector() {
    let redis = Redis::start();
    let cache = Cache::builder()
        .redis(redis.url())
        .memory(MIB)
        .build()
        .unwrap();
    let app = app(&cache);
    fill(&app, &cache, &["/other/1", "/other/2"]).await;
    let name = redis.entries().remove(0);
    assert_eq!(cache.invalidate(key(&name)).await.unwrap().removed(), 1);
    assert_eq!(redis.entries().len(), 1);
    assert_eq!(cache.invalidate(key(&name)).await.unwrap().removed(), 0);
    let hits = [
        get(&app, "/other/1").await.hit(),
        get(&app, "/other/2").await.hit(),
    ];
    assert_eq!(hits.iter().filter(|hit| **hit).count(), 1);
}

#[tokio::test]
async fn a_uri_reaches_all_its_variants_users_and_hosts() {
    for tiers in tiers().await {
        let cache = &tiers.cache;
        let scoped = policy()
            .scope(larder::Scope::bearer())
            .vary(["accept-language"]);
        let answer = on_get(|| async { ([("vary", "accept")], "x") });
        let app = Router::new().route("/x", answer.layer(cache.layer(scoped)));
        let asks: [&[(&str, &str)]; 5] = [
            &[],
            &[("authorization", "a")],
            &[("accept-language", "de")],
            &[("accept", "text/html")],
            &[("host", "b.example")],
        ];
        for headers in asks {
            get_with(&app, "/x", headers).await;
        }
        cache.idle().await;
        cache.invalidate(uri("/x")).await.unwrap();
        for headers in asks {
            assert!(!get_with(&app, "/x", headers).await.hit(), "{headers:?}");
        }
    }
}

#[tokio::test]
async fn a_selector_that_makes_no_sense_is_refused_and_touches_nothing() {
    for tiers in tiers().await {
        let (cache, app) = (&tiers.cache, app(&tiers.cache));
        fill(&app, cache, &["/list"]).await;
        let bad: [Selector; 9] = [
            "".into(),
            "*".into(),
            "list:*".into(),
            "api*".into(),
            "other:list:*".into(),
            "api:!group:*".into(),
            key("nonsense"),
            tag(""),
            endpoint(""),
        ];
        for selector in bad {
            let error = cache.invalidate(&selector).await.unwrap_err();
            assert_eq!(
                error.kind(),
                InvalidateErrorKind::BadSelector,
                "{selector:?}: {error}"
            );
        }
        assert!(get(&app, "/list").await.hit());
    }
}

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

/// A handler that stands still until it is told to go on.
fn gated(cache: &Cache) -> (Router, Arc<Notify>, Arc<Notify>) {
    let (entered, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (Arc::clone(&entered), Arc::clone(&go));
    let calls = Calls::default();
    let handler = on_get(move || async move {
        let run = calls.count();
        tell.notify_one();
        wait.notified().await;
        format!("answer {run}")
    });
    let app = Router::new().route("/x", handler.layer(cache.layer(policy().tag("t"))));
    (app, entered, go)
}

#[tokio::test]
async fn an_answer_that_was_being_made_meanwhile_is_not_stored() {
    let selectors: [Selector; 5] = [
        "api:x:*".into(),
        endpoint("x"),
        tag("t"),
        uri("/x"),
        everything(),
    ];
    for tiers in tiers().await {
        for selector in &selectors {
            let cache = &tiers.cache;
            let (app, entered, go) = gated(cache);
            let slow = tokio::spawn({
                let app = app.clone();
                async move { get(&app, "/x").await }
            });
            entered.notified().await; // the handler has read the old row
            cache.invalidate(selector).await.unwrap();
            go.notify_one();
            assert_eq!(slow.await.unwrap().text(), "answer 1");
            cache.idle().await;
            go.notify_one();
            let fresh = get(&app, "/x").await;
            assert_eq!(fresh.text(), "answer 2", "{} {selector:?}", tiers.name);
            cache.idle().await;
            assert!(get(&app, "/x").await.hit());
            cache.invalidate(everything()).await.unwrap();
        }
    }
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
async fn a_caller_that_goes_away_does_not_stop_it() {
    let redis = Redis::start();
    let cache = Cache::builder().redis(redis.url()).build().unwrap();
    let app = app(&cache);
    fill(&app, &cache, &["/list"]).await;
    // begun, and dropped before it has ended
    assert!(cache.invalidate("api:list:*").now_or_never().is_none());
    cache.idle().await;
    assert!(redis.entries().is_empty());
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
    assert_eq!(error.kind(), InvalidateErrorKind::Store);
    assert!(!get(&app, "/list").await.hit());
    let reply = write(&app, Method::PUT, "/characters/1", "200").await;
    assert_eq!(reply.status, StatusCode::OK, "a committed write is no 500");
}

#[tokio::test]
async fn many_entries_of_one_endpoint_go_and_others_stay() {
    let redis = Redis::start();
    let cache = Cache::builder().redis(redis.url()).build().unwrap();
    for n in 0..3_000 {
        redis.command::<()>(&["SET", &format!("api:other:{n:032x}"), "x"]);
    }
    let mut pipe = redis::pipe();
    for n in 0..5_000 {
        pipe.set(format!("api:many:{n:032x}"), "x").ignore();
        pipe.set(format!("apix:many:{n:032x}"), "x").ignore();
    }
    let client = redis::Client::open(redis.url()).unwrap();
    pipe.query::<()>(&mut client.get_connection().unwrap())
        .unwrap();
    assert_eq!(
        cache.invalidate("api:many:*").await.unwrap().removed(),
        5_000
    );
    assert_eq!(redis.command::<u64>(&["DBSIZE"]), 8_000);
    assert_eq!(redis.calls("keys"), 0, "never KEYS");
    assert_eq!(
        cache.invalidate(everything()).await.unwrap().removed(),
        3_000
    );
    assert_eq!(
        redis.command::<u64>(&["DBSIZE"]),
        5_000,
        "another application's stay"
    );
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
async fn a_flood_of_writes_keeps_the_clock_small_and_the_rest_alive() {
    let (cache, _clock) = testing::cache();
    let app = app(&cache);
    fill(&app, &cache, &["/list", "/characters/keep"]).await;
    for n in 0..40_000 {
        let done = cache.invalidate(tag(format!("none:{n}"))).await.unwrap();
        assert_eq!(done.removed(), 0);
    }
    eventually("old numbers are forgotten", || async {
        cache.stats().invalidations == 40_000
    })
    .await;
    assert!(get(&app, "/characters/keep").await.hit());
    cache.invalidate(tag("character:keep")).await.unwrap();
    assert!(!get(&app, "/characters/keep").await.hit());
}

#[tokio::test]
async fn a_template_without_its_parameter_stores_nothing() {
    let (cache, _clock) = testing::cache();
    let layer = cache.layer(policy().tag("t:{missing}"));
    let app = Router::new().route("/x/{id}", on_get(|| async { Body::from("x") }).layer(layer));
    get(&app, "/x/1").await;
    assert_eq!(get(&app, "/x/1").await.detail(), "template");
}
