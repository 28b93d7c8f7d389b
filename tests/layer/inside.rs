//! Layers of one cache inside each other: the inner one decides.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get as on_get, post};
use larder::testing::{self, ManualClock};
use larder::{Cache, Coding, MIB, Policy, Routes, Scope, minutes, seconds};

use crate::counted;
use crate::support::redis_server::Redis;
use crate::support::{Calls, PATIENT, Reply, get, get_with, send, tiers};

#[tokio::test]
async fn where_two_layers_of_one_cache_meet_the_inner_one_decides() {
    let (cache, _clock) = testing::cache();
    let calls = Calls::default();
    let inner = cache.layer(Policy::ttl(seconds(10)).vary(["accept-language"]));
    let app = Router::new()
        .route("/x", counted(&calls).layer(inner))
        .layer(cache.routes(Routes::new().default_policy(minutes(5))));
    let ask = async |lang: &str| get_with(&app, "/x", &[("accept-language", lang)]).await;
    assert_eq!(ask("de").await.text(), "answer 1");
    assert_eq!(
        ask("fr").await.text(),
        "answer 2",
        "the inner layer's key holds"
    );
    let hit = ask("de").await;
    assert_eq!(hit.text(), "answer 1");
    assert_eq!(
        hit.cache_status(),
        "larder; hit; ttl=10; detail=memory",
        "one member"
    );
    assert_eq!(cache.stats().memory_entries, 2, "one layer stores");
}

#[tokio::test]
async fn a_layer_that_only_invalidates_leaves_storing_to_the_outer_one() {
    let (cache, _clock) = testing::cache();
    let calls = Calls::default();
    let app = Router::new()
        .route("/x", counted(&calls).layer(cache.invalidates("api:y:*")))
        .layer(cache.routes(Routes::new().default_policy(minutes(5))));
    get(&app, "/x").await;
    assert!(get(&app, "/x").await.hit());
}

#[tokio::test]
async fn a_miss_through_two_layers_does_not_wait_for_its_own_lease() {
    for tiers in tiers().await {
        let (cache, calls) = (&tiers.cache, Calls::default());
        let app = Router::new()
            .route("/x", counted(&calls).layer(cache.ttl(minutes(5))))
            .layer(cache.routes(Routes::new().default_policy(minutes(1))));
        let miss = tokio::time::timeout(PATIENT, get(&app, "/x")).await;
        assert_eq!(miss.expect("it waits for itself").text(), "answer 1");
        cache.idle().await;
        let hit = get(&app, "/x").await;
        assert_eq!((hit.hit(), calls.now()), (true, 1), "{}", tiers.name);
    }
}

/// Asks by a POST.
async fn search(app: &Router, query: &'static str) -> Reply {
    let request = Request::post("/search").header("host", "a.example");
    let request = request.header("content-type", "application/json");
    send(app, request.body(Body::from(query)).unwrap()).await
}

#[tokio::test]
async fn a_post_that_the_inner_layer_answers_as_a_question_is_no_write() {
    for tiers in tiers().await {
        let (cache, calls) = (&tiers.cache, Calls::default());
        let answer = {
            let calls = calls.clone();
            move || async move { format!("answer {}", calls.count()) }
        };
        let inner = cache.layer(Policy::ttl(minutes(5)).methods([Method::POST]));
        let outer = Policy::ttl(minutes(1)).invalidates("api:lists:*");
        let lists = cache.layer(Policy::ttl(minutes(5)));
        let app = Router::new()
            .route("/search", post(answer).layer(inner))
            .route("/lists", counted(&calls).layer(lists))
            .layer(cache.routes(Routes::new().default_policy(outer)));
        get(&app, "/lists").await;
        assert_eq!(search(&app, "{\"q\":1}").await.text(), "answer 2");
        cache.idle().await;
        for _ in 0..2 {
            let hit = search(&app, "{\"q\":1}").await;
            assert_eq!(
                (hit.hit(), hit.text()),
                (true, "answer 2"),
                "{}",
                tiers.name
            );
            cache.idle().await;
        }
        assert!(get(&app, "/lists").await.hit(), "{}", tiers.name);
        assert_eq!(cache.stats().invalidations, 0, "{}", tiers.name);
    }
}

#[tokio::test]
async fn a_post_that_the_inner_layer_takes_for_a_write_is_one_for_both() {
    let (cache, calls) = (testing::cache().0, Calls::default());
    let written = post(|| async { "written" }).layer(cache.ttl(minutes(5)));
    let outer = Policy::ttl(minutes(1)).invalidates("api:lists:*");
    let app = Router::new()
        .route("/search", written)
        .route("/lists", counted(&calls).layer(cache.ttl(minutes(5))))
        .layer(cache.routes(Routes::new().default_policy(outer)));
    get(&app, "/lists").await;
    search(&app, "{}").await;
    assert!(!get(&app, "/lists").await.hit());
}

/// What one has asked its Redis for is nothing to the other, whatever their keys are.
#[tokio::test]
async fn of_two_caches_each_fills_its_own_store() {
    let servers = [(), ()].map(|()| Redis::start());
    let over = |redis: &Redis| Cache::builder().redis(redis.url()).build().unwrap();
    let (calls, [outer, inner]) = (Calls::default(), servers.each_ref().map(over));
    let app = Router::new()
        .route("/x", counted(&calls).layer(inner.ttl(minutes(5))))
        .layer(outer.ttl(minutes(5)));
    get(&app, "/x").await;
    for (cache, redis) in [(&outer, &servers[0]), (&inner, &servers[1])] {
        cache.idle().await;
        let other = over(redis);
        let app = Router::new().route("/x", counted(&calls).layer(other.ttl(minutes(5))));
        let hit = get(&app, "/x").await;
        assert_eq!((hit.hit(), hit.text()), (true, "answer 1"));
    }
}

/// Both know the request by one name in one store.
#[tokio::test]
async fn of_two_caches_with_one_store_the_inner_one_does_not_wait_for_its_own_request() {
    let redis = Redis::start();
    let cache = || Cache::builder().redis(redis.url()).build().unwrap();
    let (outer, inner) = (cache(), cache());
    let calls = Calls::default();
    let app = Router::new()
        .route("/a", counted(&calls).layer(inner.ttl(minutes(5))))
        .layer(outer.ttl(minutes(5)));
    let first = tokio::time::timeout(Duration::from_secs(15), get(&app, "/a"));
    assert_eq!(first.await.expect("it waits for nobody").text(), "answer 1");
}

#[tokio::test]
async fn a_renewal_of_another_cache_is_a_request_as_any() {
    let clock = ManualClock::new();
    let cache = || {
        let builder = Cache::builder().memory(16 * MIB);
        builder.clock(Arc::new(clock.clone())).build().unwrap()
    };
    let (calls, outer, inner) = (Calls::default(), cache(), cache());
    let keyed = Policy::ttl(minutes(5)).vary(["accept-language"]);
    let app = Router::new()
        .route("/x", counted(&calls).layer(inner.layer(keyed)))
        .layer(inner.routes(Routes::new().default_policy(minutes(5))))
        .layer(outer.layer(Policy::ttl(seconds(1)).stale_while_revalidate(minutes(1))));
    get(&app, "/x").await;
    clock.advance(seconds(2));
    assert_eq!(get(&app, "/x").await.text(), "answer 1");
    outer.idle().await;
    assert_eq!((calls.now(), inner.stats().hits_memory), (1, 1));
}

#[tokio::test]
async fn a_condition_is_answered_whichever_layer_holds_the_answer() {
    let (cache, calls) = (testing::cache().0, Calls::default());
    let app = Router::new()
        .route("/x", counted(&calls).layer(cache.ttl(minutes(5))))
        .layer(cache.routes(Routes::new().default_policy(minutes(5))));
    get(&app, "/x").await;
    let tag = get(&app, "/x").await.header("etag").to_owned();
    for _ in 0..2 {
        let known = get_with(&app, "/x", &[("if-none-match", &tag)]).await;
        assert_eq!((known.status.as_u16(), known.text()), (304, ""));
        assert_eq!((known.hit(), known.header("etag")), (true, &*tag));
    }
    let other = get_with(&app, "/x", &[("if-none-match", "\"other\"")]).await;
    assert_eq!((other.status.as_u16(), other.text()), (200, "answer 1"));
    assert_eq!(calls.now(), 1);
}

/// Answers to the condition of a request that validates by its tag.
async fn tagged(fields: HeaderMap) -> Response {
    match fields
        .get("if-none-match")
        .is_some_and(|tag| tag == "\"a\"")
    {
        true => (StatusCode::NOT_MODIFIED, [("etag", "\"a\"")]).into_response(),
        false => ([("etag", "\"a\"")], "whole").into_response(),
    }
}

/// One cache's layers on a route and around its router, under the same policy.
fn twice(cache: &Cache, policy: &Policy) -> Router {
    Router::new()
        .route("/x", on_get(tagged).layer(cache.layer(policy.clone())))
        .layer(cache.routes(Routes::new().default_policy(policy.clone())))
}

#[tokio::test]
async fn the_outer_layers_own_condition_is_not_answered_to_its_client() {
    let (cache, clock) = testing::cache();
    let app = twice(&cache, &Policy::ttl(minutes(5)).revalidate(minutes(60)));
    get(&app, "/x").await;
    for (fields, status, text) in [
        (&[][..], 200, "whole"),
        (&[("if-none-match", "\"other\"")], 200, "whole"),
        (&[("if-none-match", "\"a\"")], 304, ""),
        (&[("range", "bytes=1-2")], 206, "ho"),
    ] {
        clock.advance(minutes(6));
        let reply = get_with(&app, "/x", fields).await;
        assert_eq!((reply.status.as_u16(), reply.text()), (status, text));
        assert_eq!(reply.detail(), "revalidated");
        assert_eq!(reply.header("age"), "0");
        assert!(get(&app, "/x").await.hit(), "{fields:?}");
    }
}

#[tokio::test]
async fn a_304_to_the_outer_layers_renewal_renews() {
    let (cache, clock) = testing::cache();
    let policy = Policy::ttl(minutes(5)).revalidate(minutes(60));
    let app = twice(&cache, &policy.stale_while_revalidate(minutes(5)));
    get(&app, "/x").await;
    clock.advance(minutes(6));
    let stale = get(&app, "/x").await;
    assert_eq!(stale.detail(), "stale-while-revalidate");
    cache.idle().await;
    let renewed = get(&app, "/x").await;
    assert_eq!((renewed.detail(), renewed.text()), ("memory", "whole"));
    assert_eq!(renewed.header("age"), "0");
}

#[tokio::test]
async fn a_condition_does_not_end_a_fill_of_the_inner_layer() {
    let cache = testing::cache().0;
    let handler = on_get(|| async { ([("etag", "\"a\"")], "whole") });
    let app = Router::new()
        .route("/x", handler.layer(cache.ttl(minutes(5))))
        .layer(cache.routes(Routes::new().default_policy(minutes(5))));
    get_with(&app, "/x", &[("if-none-match", "\"a\"")]).await;
    let hit = get(&app, "/x").await;
    assert_eq!((hit.hit(), hit.text()), (true, "whole"));
}

#[tokio::test]
async fn what_the_outer_policy_ignores_the_inner_layer_does_not_see() {
    let cache = testing::cache().0;
    let mine =
        on_get(|fields: HeaderMap| async move { format!("{:?}", fields.get("authorization")) });
    let own = Policy::ttl(minutes(5)).scope(Scope::bearer());
    let outer = Policy::ttl(minutes(5)).ignore_credentials();
    let app = |routes: Routes| {
        let mine = mine.clone().layer(cache.layer(own.clone()));
        Router::new()
            .route("/me", mine)
            .layer(cache.routes(routes.default_policy(outer.clone())))
    };
    let token = [("authorization", "Bearer a")];
    let hidden = get_with(&app(Routes::new()), "/me", &token).await;
    assert_eq!(hidden.text(), "None");
    let seen = get_with(&app(Routes::new().except(["/me"])), "/me", &token).await;
    assert!(seen.text().contains("Bearer a"), "{}", seen.text());
}

#[tokio::test]
async fn a_layer_without_a_policy_for_a_request_decides_nothing() {
    let (cache, _clock) = testing::cache();
    let calls = Calls::default();
    let inner = cache.routes(Routes::new().route("/a", seconds(10)));
    let table = Router::new()
        .route("/a", counted(&calls))
        .route("/b", counted(&calls))
        .layer(inner)
        .layer(cache.routes(Routes::new().default_policy(minutes(1))));
    let files = Router::new()
        .fallback(|| async { "file" })
        .layer(cache.ttl(seconds(10)));
    let row = Routes::new().route("/files/{*rest}", Policy::ttl(minutes(1)).unmatched());
    let files = Router::new()
        .nest_service("/files", files)
        .layer(cache.routes(row));
    for (app, path, ttl) in [
        (&table, "/a", 10),
        (&table, "/b", 60),
        (&files, "/files/a", 60),
    ] {
        get(app, path).await;
        let told = format!("larder; hit; ttl={ttl}; detail=memory");
        assert_eq!(get(app, path).await.cache_status(), told, "{path}");
    }
    let before = cache.stats();
    assert_eq!(
        (before.requests(), before.bypasses),
        (6, 0),
        "each is counted once"
    );
}

/// The outer layer found the inner one's entry under its own key, and served it by its own policy.
#[tokio::test]
async fn how_the_inner_policy_serves_holds_for_its_hits_too() {
    let inside = async |policy: Policy| {
        let (cache, _clock) = testing::cache();
        let calls = Calls::default();
        let handler = move || async move { format!("{} {}", calls.count(), "x".repeat(3_000)) };
        let app = Router::new()
            .route("/x", on_get(handler).layer(cache.layer(policy)))
            .layer(cache.routes(Routes::new().default_policy(minutes(5))));
        get(&app, "/x").await;
        cache.idle().await;
        get_with(&app, "/x", &[("accept-encoding", "gzip")]).await
    };
    let ttl = || Policy::ttl(minutes(5));
    let observed = inside(ttl().observe(0.0)).await;
    assert!(observed.text().starts_with("2 "), "nothing is served");
    let coded = inside(ttl().precompress([Coding::Gzip])).await;
    assert!(coded.hit(), "{}", coded.cache_status());
    assert_eq!(coded.header("content-encoding"), "gzip");
}

/// The outer one asked no longer for the right to fill, and neither did the inner one.
#[tokio::test]
async fn a_layer_around_its_own_route_shares_fills_after_hits_too() {
    let (cache, _clock) = testing::cache();
    let calls = Calls::default();
    let layer = cache.layer(Policy::ttl(minutes(5)).endpoint("e"));
    let handler = on_get(move || async move {
        tokio::task::yield_now().await;
        calls.count().to_string()
    });
    let route = handler.layer(layer.clone());
    let app = Router::new().route("/x", route).layer(layer);
    for run in 1..=3 {
        let asked = (0..20).map(|_| get(&app, "/x"));
        for reply in futures_util::future::join_all(asked).await {
            assert_eq!(reply.text(), run.to_string());
        }
        assert!(get(&app, "/x").await.hit());
        cache.invalidate("api:e:*").await.unwrap();
    }
}

/// What a HEAD's own handler is laid around tells nothing of GET.
#[tokio::test]
async fn where_heads_are_answered_inside_gets_share_fills() {
    let (cache, _clock) = testing::cache();
    let (calls, heads) = (Calls::default(), || async { "" });
    let handler = on_get(move || async move {
        tokio::task::yield_now().await;
        calls.count().to_string()
    });
    let heads = axum::routing::head(heads).layer(cache.ttl(minutes(5)));
    let app = Router::new().route("/x", heads.merge(handler));
    let app = app.layer(cache.routes(Routes::new().default_policy(minutes(5))));
    send(&app, crate::support::request(Method::HEAD, "/x", &[])).await;
    let asked = (0..20).map(|_| get(&app, "/x"));
    for reply in futures_util::future::join_all(asked).await {
        assert_eq!(reply.text(), "1");
    }
}
