//! Routes of different kinds.

use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use larder::{Cache, Policy, Scope, hours, minutes, seconds};

const NAMES: [&str; 12] = [
    "characters",
    "content",
    "platform",
    "scenes",
    "status",
    "search",
    "profiles",
    "images",
    "prices",
    "orders",
    "reports",
    "news",
];

/// The name of an endpoint.
pub fn name(at: usize) -> String {
    let name = NAMES[at % NAMES.len()];
    match at / NAMES.len() {
        0 => name.to_owned(),
        n => format!("{name}-{n}"),
    }
}

/// The kinds take turns.
fn policy(at: usize) -> Policy {
    match at % 6 {
        0 => Policy::ttl(minutes(5)).tag("item:{id}"),
        1 => Policy::ttl(seconds(20)).stale_while_revalidate(minutes(1)),
        2 => Policy::ttl(hours(1)),
        3 => Policy::ttl(seconds(3)),
        4 => Policy::ttl(minutes(1)).scope(Scope::bearer()),
        _ => Policy::ttl(seconds(45)).stale_if_error(hours(1)),
    }
}

pub fn router(cache: &Cache, endpoints: usize) -> Router {
    let mut router = Router::new();
    for at in 0..endpoints {
        let handler = get(move |Path(id): Path<u64>| answer(at, id));
        let layer = cache.layer(policy(at));
        router = router.route(&format!("/{}/{{id}}", name(at)), handler.layer(layer));
    }
    router
}

/// Takes a while, sometimes fails, and sometimes may not be stored.
async fn answer(at: usize, id: u64) -> Response {
    let took = 4 + (at as u64 * 7 + id * 13) % 90;
    tokio::time::sleep(Duration::from_millis(took)).await;
    let body = format!("{{\"id\":{id},\"text\":\"{}\"}}", "lorem ipsum ".repeat(40));
    match (at % 12, id % 23) {
        (_, 22) => axum::http::StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        (9, _) => ([("cache-control", "private")], body).into_response(),
        _ => body.into_response(),
    }
}
