//! Invalidation: what it reaches, and what cannot bring it back.

mod support;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Method;
use axum::routing::{any, get as on_get};
use futures_util::FutureExt;
use larder::{
    Cache, Fault, InvalidateErrorKind, MIB, Policy, Selector, endpoint, everything, key, minutes,
    tag, testing, uri,
};
use support::characters::{app, fill, policy};
use support::log::Log;
use support::redis_server::Redis;
use support::{Calls, PATIENT, Reply, SHORT, eventually, get, get_with, request, send, tiers};
use tokio::sync::Notify;

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
        let cases: [(Selector, &[&str]); 9] = [
            (
                "api:characters:*".into(),
                &["/characters/1", "/characters/10", "/characters/1?x=1"],
            ),
            ("api:[lo]*".into(), &["/list", "/other/1"]),
            (
                endpoint("characters"),
                &["/characters/1", "/characters/10", "/characters/1?x=1"],
            ),
            (
                endpoint("/characters/{id}"), // as its route is written
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
        .lease(SHORT)
        .operation_timeout(PATIENT)
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
        let bad: [Selector; 13] = [
            "".into(),
            "*".into(),
            "list:*".into(),
            "api*".into(),
            "other:list:*".into(),
            "api:!group:*".into(),
            "api:list".into(),    // every key has a hash
            "api:/list:*".into(), // no key has a slash
            key("nonsense"),
            uri("list"),
            uri("localhost:3000"),
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
async fn a_caller_that_goes_away_does_not_stop_it() {
    let redis = Redis::start();
    let cache = Cache::builder()
        .redis(redis.url())
        .lease(SHORT)
        .operation_timeout(PATIENT)
        .build()
        .unwrap();
    let app = app(&cache);
    fill(&app, &cache, &["/list"]).await;
    // begun, and dropped before it has ended
    assert!(cache.invalidate("api:list:*").now_or_never().is_none());
    cache.idle().await;
    assert!(redis.entries().is_empty());
}

#[tokio::test]
async fn many_entries_of_one_endpoint_go_and_others_stay() {
    let redis = Redis::start();
    let cache = Cache::builder()
        .redis(redis.url())
        .lease(SHORT)
        .operation_timeout(PATIENT)
        .build()
        .unwrap();
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
    assert_eq!(redis.command::<u64>(&["DBSIZE"]), 8_001);
    assert_eq!(redis.calls("keys"), 0, "never KEYS");
    assert_eq!(
        cache.invalidate(everything()).await.unwrap().removed(),
        3_000
    );
    assert_eq!(
        redis.keys().len(),
        5_000,
        "another application's stay, and the clock"
    );
}

#[tokio::test]
async fn a_flood_of_writes_keeps_the_clock_small_and_the_rest_alive() {
    let log = Log::everybodys();
    let (cache, _clock) = testing::cache();
    let app = app(&cache);
    fill(&app, &cache, &["/list", "/characters/keep"]).await;
    for n in 0..70_000 {
        let done = cache.invalidate(tag(format!("none:{n}"))).await.unwrap();
        assert_eq!(done.removed(), 0);
    }
    eventually("old numbers are forgotten", || async {
        cache.stats().invalidations == 70_000
    })
    .await;
    eventually("that is told", || async {
        let times = cache.stats().faults.get(Fault::Forgotten);
        times > 0 && log.has("the clock forgets the oldest")
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

#[tokio::test]
async fn tags_come_from_the_answers_own_fields_and_no_client_sees_them() {
    for tiers in tiers().await {
        let (cache, calls) = (&tiers.cache, Calls::default());
        let counted = calls.clone();
        let handler = on_get(move |request: axum::extract::Request| async move {
            counted.count();
            let many = (0..1_001).map(|n| format!("t{n}")).collect::<Vec<_>>();
            let tags = match request.uri().path() {
                "/many" => many.join(" "),
                _ => "a, b c".to_owned(),
            };
            ([("surrogate-key", tags), ("x-other", "1".to_owned())], "x")
        });
        let policy = Policy::ttl(minutes(5)).tag_fields(["surrogate-key", "cache-tag"]);
        let app = Router::new()
            .route("/x", handler.clone())
            .route("/many", handler)
            .layer(cache.layer(policy));
        for name in ["a", "b", "c"] {
            let miss = get(&app, "/x").await;
            cache.idle().await;
            let hit = get(&app, "/x").await;
            assert!(hit.hit(), "{} {name}", tiers.name);
            for reply in [miss, hit] {
                assert_eq!(reply.header("surrogate-key"), "");
                assert_eq!(reply.header("x-other"), "1");
            }
            cache.invalidate(tag("other")).await.unwrap();
            assert!(get(&app, "/x").await.hit());
            cache.invalidate(tag(name)).await.unwrap();
            assert!(!get(&app, "/x").await.hit());
            cache.idle().await;
        }
        let refused = get(&app, "/many").await;
        assert_eq!((refused.status.as_u16(), refused.detail()), (200, "tags"));
        assert_eq!(refused.header("surrogate-key"), "");
    }
}

#[tokio::test]
async fn no_client_sees_tag_fields_whatever_becomes_of_a_request() {
    for tiers in tiers().await {
        let cache = &tiers.cache;
        let handler = any(|| async { ([("cache-tag", "a"), ("x-other", "1")], "x") });
        let policy = Policy::ttl(minutes(5)).tag_fields(["cache-tag"]);
        let none = Policy::none().tag_fields(["cache-tag"]);
        let app = Router::new()
            .route("/x", handler.clone().layer(cache.layer(policy)))
            .route("/none", handler.layer(cache.layer(none)));
        let with = |method: Method, path: &str, fields: &[(&str, &str)]| {
            send(&app, request(method, path, fields)).boxed()
        };
        let plain = |reply: Reply, why: &str| {
            assert_eq!(reply.detail(), why, "{}", tiers.name);
            let fields = (reply.header("cache-tag"), reply.header("x-other"));
            assert_eq!(fields, ("", "1"), "{}: {why}", tiers.name);
        };
        let user = [("authorization", "Bearer x")];
        plain(with(Method::GET, "/x", &user).await, "credential");
        plain(with(Method::POST, "/x", &[]).await, "method");
        plain(with(Method::OPTIONS, "/x", &[]).await, "method");
        plain(with(Method::GET, "/none", &[]).await, "not-cached");
        cache.set_enabled(false);
        plain(with(Method::GET, "/x", &[]).await, "disabled");
        plain(with(Method::POST, "/x", &[]).await, "method");
    }
}

#[tokio::test]
async fn a_layer_that_caches_nothing_leaves_tag_fields_to_the_one_that_does() {
    let (cache, _clock) = testing::cache();
    let fields = || Policy::ttl(minutes(5)).tag_fields(["cache-tag"]);
    let inner = Policy::none().tag_fields(["cache-tag"]);
    let handler = on_get(|| async { ([("cache-tag", "a")], "x") });
    let app = Router::new()
        .route("/x", handler.layer(cache.layer(inner)))
        .layer(cache.layer(fields()));
    for hit in [false, true] {
        let reply = get(&app, "/x").await;
        assert_eq!((reply.hit(), reply.header("cache-tag")), (hit, ""));
    }
    cache.invalidate(tag("a")).await.unwrap();
    assert!(!get(&app, "/x").await.hit());
}

#[tokio::test]
async fn a_layer_takes_its_tag_fields_from_what_another_has_decided() {
    let (cache, _clock) = testing::cache();
    let handler = on_get(|| async { ([("cache-tag", "a")], "x") });
    let app = Router::new()
        .route("/x", handler.layer(cache.layer(Policy::ttl(minutes(5)))))
        .layer(cache.layer(Policy::ttl(minutes(5)).tag_fields(["cache-tag"])));
    for hit in [false, true] {
        let reply = get(&app, "/x").await;
        assert_eq!((reply.hit(), reply.header("cache-tag")), (hit, ""));
    }
}
