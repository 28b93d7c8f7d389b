//! Characters and their list, for the tests of invalidation.

use axum::Router;
use axum::extract::Path;
use axum::http::{Method, StatusCode};
use axum::routing::{get as on_get, put};
use larder::{Cache, Policy, minutes, tag};

use super::{Calls, Reply, get, request, send};

pub fn policy() -> Policy {
    Policy::ttl(minutes(5))
}

/// Characters and their list, as a user would annotate them. A PUT answers
/// with the status that it is asked for.
pub fn app(cache: &Cache) -> Router {
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

pub async fn fill(app: &Router, cache: &Cache, uris: &[&str]) {
    for uri in uris {
        get(app, uri).await;
    }
    cache.idle().await;
}

pub async fn write(app: &Router, method: Method, uri: &str, status: &str) -> Reply {
    send(app, request(method, uri, &[("x-status", status)])).await
}
