//! The order of layers that the README recommends, and what a hit skips.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;
use larder::{Policy, minutes, testing};
use support::get_with;
use tower_http::cors::CorsLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::trace::TraceLayer;

async fn auth(request: Request, next: Next) -> Response {
    match request.headers().get("authorization") {
        Some(token) if token == "Bearer good" => next.run(request).await,
        _ => Response::builder()
            .status(StatusCode::UNAUTHORIZED)
            .body(Body::empty())
            .unwrap(),
    }
}

#[tokio::test]
async fn a_hit_passes_what_is_outside_and_skips_what_is_inside() {
    let (cache, _clock) = testing::cache();
    let inside = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&inside);
    let counting = from_fn(move |request: Request, next: Next| {
        count.fetch_add(1, Ordering::SeqCst);
        next.run(request)
    });
    let policy = Policy::ttl(minutes(5)).ignore_credentials();
    // the last layer is the outermost: trace, request id, CORS, auth, cache, handler
    let app = Router::new()
        .route("/characters", get(|| async { "[]" }))
        .layer(counting)
        .layer(cache.layer(policy))
        .layer(from_fn(auth))
        .layer(CorsLayer::permissive())
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .layer(TraceLayer::new_for_http());

    let good = [
        ("authorization", "Bearer good"),
        ("origin", "https://a.example"),
    ];
    let miss = app_get(&app, &good).await;
    let hit = app_get(&app, &good).await;
    assert_eq!(
        inside.load(Ordering::SeqCst),
        1,
        "a hit skips every layer inside the cache"
    );
    assert_ne!(
        miss.headers["x-request-id"], hit.headers["x-request-id"],
        "each has its own id"
    );
    assert_eq!(hit.headers["access-control-allow-origin"], "*");
    assert!(
        hit.headers["cache-status"]
            .to_str()
            .unwrap()
            .contains("hit")
    );
    let refused = app_get(&app, &[("authorization", "Bearer bad")]).await;
    assert_eq!(
        refused.status,
        StatusCode::UNAUTHORIZED,
        "authentication stands outside the cache"
    );
}

struct Plain {
    status: StatusCode,
    headers: axum::http::HeaderMap,
}

/// A response of any layer, whether it went through the cache or not.
async fn app_get(app: &Router, headers: &[(&str, &str)]) -> Plain {
    use http_body_util::BodyExt;
    use tower::ServiceExt;
    let request = support::request(axum::http::Method::GET, "/characters", headers);
    let (parts, body) = app.clone().oneshot(request).await.unwrap().into_parts();
    body.collect().await.unwrap();
    Plain {
        status: parts.status,
        headers: parts.headers,
    }
}

#[tokio::test]
async fn a_layer_on_get_does_not_see_a_separate_put() {
    let (cache, _clock) = testing::cache();
    let layer = cache.layer(Policy::ttl(minutes(5)));
    let app = Router::new().route(
        "/x",
        get(|| async { "x" })
            .layer(layer)
            .put(|| async { "written" }),
    );
    get_with(&app, "/x", &[]).await;
    let request = support::request(axum::http::Method::PUT, "/x", &[]);
    let response = tower::ServiceExt::oneshot(app.clone(), request)
        .await
        .unwrap();
    assert!(response.extensions().get::<larder::Outcome>().is_none());
    assert!(
        get_with(&app, "/x", &[]).await.hit(),
        "it knows nothing of the PUT"
    );
}

/// A coding outside the cache does not change the tag that larder has made: a part of the
/// plain body must not be joined to the rest of a coded one (RFC 9110, 8.8.3.3, 13.1.5).
#[tokio::test]
async fn a_download_resumed_through_compression_is_never_of_two_codings() {
    let (cache, _clock) = testing::cache();
    let body = || async { "the same line again and again\n".repeat(300) };
    let app = Router::new()
        .route("/text", get(body))
        .layer(cache.ttl(minutes(5)))
        .layer(tower_http::compression::CompressionLayer::new());
    let coded = ("accept-encoding", "gzip");
    get_with(&app, "/text", &[coded]).await;
    let first = get_with(&app, "/text", &[coded]).await;
    assert_eq!(first.header("content-encoding"), "gzip");
    let tag = first.header("etag").to_owned();
    for condition in [Some(("if-range", &*tag)), None] {
        let fields: Vec<_> = [coded, ("range", "bytes=100-")]
            .into_iter()
            .chain(condition)
            .collect();
        let rest = get_with(&app, "/text", &fields).await;
        assert_eq!(
            (rest.status, rest.body == first.body),
            (StatusCode::OK, true),
            "the whole again: {condition:?}"
        );
    }
    // who takes no coding has parts
    for plain in [None, Some(("accept-encoding", "identity;q=1, *;q=0"))] {
        let fields: Vec<_> = [("range", "bytes=4-7"), ("if-range", &*tag)]
            .into_iter()
            .chain(plain)
            .collect();
        let part = get_with(&app, "/text", &fields).await;
        assert_eq!(
            (part.status, part.text()),
            (StatusCode::PARTIAL_CONTENT, "same")
        );
    }
}

/// A part of coded bytes cannot be decoded: a layer that decodes (around a client) would
/// fail where without a cache it gets the whole.
#[tokio::test]
async fn what_is_compressed_inside_is_sent_whole_to_who_asks_for_a_part_of_it() {
    let (cache, _clock) = testing::cache();
    let body = || async { "the same line again and again\n".repeat(300) };
    let app = Router::new()
        .route("/text", get(body))
        .layer(tower_http::compression::CompressionLayer::new())
        .layer(cache.ttl(minutes(5)));
    let coded = ("accept-encoding", "gzip");
    let whole = get_with(&app, "/text", &[coded]).await;
    assert_eq!(whole.header("content-encoding"), "gzip");
    let part = get_with(&app, "/text", &[coded, ("range", "bytes=0-9")]).await;
    assert!(part.hit());
    assert_eq!(
        (part.status, part.body == whole.body),
        (StatusCode::OK, true)
    );
    get_with(&app, "/text", &[]).await;
    let part = get_with(&app, "/text", &[("range", "bytes=4-7")]).await;
    assert_eq!(
        (part.status, part.text()),
        (StatusCode::PARTIAL_CONTENT, "same")
    );
}
