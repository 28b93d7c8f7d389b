//! The request and the answer that every service has in common.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get};
use bytes::Bytes;

/// How many URLs are asked for in turn.
pub const KEYS: usize = 1_000;
/// The body of every answer.
pub const JSON: &[u8] = include_bytes!("item.json");
const _: () = assert!(JSON.len() == 1024, "the table says 1 KiB");
pub const JSON_TYPE: &str = "application/json";
pub const ROUTE: &str = "/items/{id}";

pub fn uri(n: usize) -> String {
    format!("/items/{}", n % KEYS)
}

/// A request as a browser's `fetch` sends it.
pub fn request(n: usize) -> Request<Body> {
    let request = Request::builder()
        .uri(uri(n))
        .header("host", "bench.example")
        .header(
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        )
        .header("accept", "application/json, text/plain, */*")
        .header("accept-language", "en-US,en;q=0.5")
        .header("accept-encoding", "identity")
        .header("referer", "https://bench.example/items")
        .header("sec-fetch-dest", "empty")
        .header("sec-fetch-mode", "cors")
        .header("sec-fetch-site", "same-origin")
        .body(Body::empty());
    request.expect("made of constants and a number")
}

/// The handler: so cheap that nothing but the caches is measured.
pub async fn answer() -> impl IntoResponse {
    ([(CONTENT_TYPE, JSON_TYPE)], Bytes::from_static(JSON))
}

/// How often a service's handler was called: the one way to tell a hit that
/// works with every peer.
#[derive(Debug, Clone, Copy)]
pub struct Calls(&'static AtomicU64);

impl Calls {
    #[allow(
        clippy::new_without_default,
        reason = "each leaks eight bytes, on purpose"
    )]
    pub fn new() -> Self {
        Self(Box::leak(Box::default()))
    }

    pub fn count(self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub fn add(self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// [`answer`], counted. A peer that makes the handler's future for a hit
    /// too and then drops it has not called it.
    pub fn handler(self) -> MethodRouter {
        get(move || async move {
            self.add();
            answer().await
        })
    }

    pub fn router(self) -> Router {
        router(self.handler())
    }
}

/// With its state, as `axum::serve` gives it one: routes are made once, not
/// for each request.
pub fn router(handler: MethodRouter) -> Router {
    Router::new().route(ROUTE, handler).with_state(())
}
