//! 22: URLs that look like what they are not.

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::get as on_get;
use larder::{Cache, Policy, Routes, seconds};

use crate::FRESH;
use crate::policy;
use crate::support::get_with;
use crate::tiers;

const LURES: [&str; 14] = [
    "/account/x.css",
    "/account/nonexistent.js",
    "/account;x.css",
    "/account%2fx.css",
    "/account%0a.css",
    "/account%00.css",
    "/account%3fx.css",
    "/account%23x.css",
    "/account.css",
    "/static/..%2faccount",
    "/static/../account",
    "/static/%2e%2e/account",
    "/static/..%5caccount",
    "//account/x.css",
];

/// What an account's page shows to whoever is logged in by an unlisted field,
/// which no default can know.
fn account() -> axum::routing::MethodRouter {
    on_get(|headers: HeaderMap| async move {
        let user = headers.get("x-who").map(|who| who.to_str().unwrap());
        ([FRESH], format!("account of {}", user.unwrap_or("nobody")))
    })
}

async fn deceived(app: &Router, cache: &Cache, uri: &str) -> bool {
    get_with(app, uri, &[("x-who", "victim")]).await;
    cache.idle().await;
    let thief = get_with(app, uri, &[]).await;
    thief.text().contains("victim")
}

// 22
#[tokio::test]
async fn cacheability_follows_the_route_and_never_the_look_of_a_url() {
    for tiers in tiers().await {
        let cache = &tiers.cache;
        let page = || on_get(|| async { ([FRESH], "static") });
        // accounts have no policy, static files have one
        let app = Router::new()
            .route("/account", account())
            .route("/account/{*rest}", account())
            .route("/account{x}", account())
            .route("/static/{*file}", page().layer(cache.layer(policy())))
            .fallback(account())
            .layer(cache.layer(Policy::none()));
        for lure in LURES {
            assert!(!deceived(&app, cache, lure).await, "{}: {lure}", tiers.name);
        }
    }
}

// 22
#[tokio::test]
async fn a_fallback_is_not_cached_unless_asked() {
    for tiers in tiers().await {
        let cache = &tiers.cache;
        let app = Router::new()
            .route("/static/{file}", on_get(|| async { ([FRESH], "static") }))
            .fallback(account())
            .layer(cache.layer(policy()));
        for lure in LURES.iter().chain(&["/", "/static/a/b.css"]) {
            let one = get_with(&app, lure, &[("x-who", "victim")]).await;
            cache.idle().await;
            let two = get_with(&app, lure, &[]).await;
            if one.text() != "static" {
                assert_eq!(one.detail(), "unmatched", "{}: {lure}", tiers.name);
                assert_eq!(two.text(), "account of nobody", "{}: {lure}", tiers.name);
            }
        }
        get_with(&app, "/static/a.css", &[]).await;
        cache.idle().await;
        assert!(get_with(&app, "/static/a.css", &[]).await.hit());
    }
}

// 22
#[tokio::test]
async fn a_table_takes_a_path_as_the_router_takes_it() {
    for tiers in tiers().await {
        let cache = &tiers.cache;
        let table = Routes::new().route("/static/{file}", Policy::ttl(seconds(60)));
        let inner = tower::service_fn(|request: axum::extract::Request| async move {
            let who = request
                .headers()
                .get("x-who")
                .map(|who| who.to_str().unwrap());
            let text = format!("account of {}", who.unwrap_or("nobody"));
            let answer = axum::http::Response::builder().header(FRESH.0, FRESH.1);
            Ok::<_, std::convert::Infallible>(answer.body(axum::body::Body::from(text)).unwrap())
        });
        use tower::Layer;
        let app = cache.routes(table).layer(inner);
        for lure in LURES {
            if lure.starts_with("/static/..%") {
                continue; // one segment, for the router as for the table
            }
            get_with(&app, lure, &[("x-who", "victim")]).await;
            cache.idle().await;
            let thief = get_with(&app, lure, &[]).await;
            assert!(!thief.text().contains("victim"), "{}: {lure}", tiers.name);
        }
    }
}
