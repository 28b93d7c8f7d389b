//! Bodies: a miss streams, and only what ended cleanly is stored.

mod support;

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Response};
use axum::routing::get as on_get;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use larder::{Cache, MIB, Policy, Refusal, minutes, testing};
use support::{get, request, tiers};
use tokio::sync::mpsc;
use tower::ServiceExt;

/// A body that a test feeds.
struct Fed {
    frames: mpsc::UnboundedReceiver<Result<Frame<Bytes>, &'static str>>,
    exact: Option<u64>,
}

impl http_body::Body for Fed {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        self.frames.poll_recv(cx)
    }

    fn size_hint(&self) -> SizeHint {
        self.exact
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

type Feeder = mpsc::UnboundedSender<Result<Frame<Bytes>, &'static str>>;

fn fed(exact: Option<u64>) -> (Feeder, Fed) {
    let (feeder, frames) = mpsc::unbounded_channel();
    (feeder, Fed { frames, exact })
}

fn data(text: &'static str) -> Result<Frame<Bytes>, &'static str> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

/// An app whose handler answers with each of these bodies in turn.
fn app(cache: &Cache, policy: Policy, bodies: Vec<Fed>) -> Router {
    let bodies = std::sync::Arc::new(std::sync::Mutex::new(bodies));
    let handler = on_get(move || async move {
        let body = bodies.lock().unwrap().remove(0);
        Response::new(Body::new(body))
    });
    Router::new().route("/x", handler.layer(cache.layer(policy)))
}

fn policy() -> Policy {
    Policy::ttl(minutes(5))
}

#[tokio::test]
async fn the_first_byte_comes_before_the_last_is_made() {
    for tiers in tiers().await {
        let (feeder, body) = fed(None);
        let app = app(&tiers.cache, policy(), vec![body]);
        let response = app
            .clone()
            .oneshot(request(Method::GET, "/x", &[]))
            .await
            .unwrap();
        let mut body = response.into_body();
        feeder.send(data("one ")).unwrap();
        let first = body.frame().await.unwrap().unwrap();
        assert_eq!(first.into_data().unwrap(), "one ");
        feeder.send(data("two")).unwrap();
        drop(feeder);
        assert_eq!(body.collect().await.unwrap().to_bytes(), "two");
        tiers.cache.idle().await;
        let hit = get(&app, "/x").await;
        assert_eq!((hit.hit(), hit.text()), (true, "one two"), "{}", tiers.name);
    }
}

#[tokio::test]
async fn a_body_over_the_limit_passes_whole_and_is_not_stored() {
    let (cache, _clock) = testing::cache();
    for exact in [None, Some(10)] {
        let (feeder, body) = fed(exact);
        let app = app(&cache, policy().max_body(8), vec![body]);
        feeder.send(data("01234")).unwrap();
        feeder.send(data("56789")).unwrap();
        drop(feeder);
        let reply = get(&app, "/x").await;
        assert_eq!(reply.text(), "0123456789");
        let said = if exact.is_some() { "too-large" } else { "new" };
        assert_eq!(reply.detail(), said);
    }
    let stats = cache.stats();
    assert_eq!(
        (stats.stores, stats.refusals_by.get(Refusal::TooLarge)),
        (0, 2)
    );
}

#[tokio::test]
async fn a_body_without_room_passes_whole_and_is_counted() {
    let cache = Cache::builder().memory(MIB).build().unwrap(); // half of it is for what comes
    for exact in [None, Some(600_000)] {
        let (feeder, body) = fed(exact);
        let app = app(&cache, policy(), vec![body]);
        feeder
            .send(Ok(Frame::data(vec![b'x'; 300_000].into())))
            .unwrap();
        feeder
            .send(Ok(Frame::data(vec![b'x'; 300_000].into())))
            .unwrap();
        drop(feeder);
        let reply = get(&app, "/x").await;
        assert_eq!(reply.body.len(), 600_000);
        let said = if exact.is_some() { "no-room" } else { "new" };
        assert_eq!(reply.detail(), said);
    }
    let stats = cache.stats();
    assert_eq!(
        (stats.stores, stats.refusals_by.get(Refusal::NoRoom)),
        (0, 2)
    );
}

/// The memory tier is divided, and an entry lies in one part of it.
#[tokio::test]
async fn a_body_that_memory_never_keeps_is_not_called_stored() {
    let cache = Cache::builder().memory(64 * MIB).build().unwrap();
    for exact in [None, Some(24 << 20)] {
        let fill = || {
            let (feeder, body) = fed(exact);
            for _ in 0..24 {
                let part = Bytes::from(vec![b'x'; 1 << 20]);
                feeder.send(Ok(Frame::data(part))).unwrap();
            }
            body
        };
        let app = app(
            &cache,
            policy().max_body(32 * MIB).etag(false),
            vec![fill(), fill()],
        );
        for _ in 0..2 {
            let reply = get(&app, "/x").await;
            assert_eq!((reply.body.len(), reply.hit()), (24 << 20, false));
            assert!(exact.is_none() || reply.detail() == "no-room");
        }
    }
    let stats = cache.stats();
    let refused = stats.refusals_by.get(Refusal::NoRoom);
    assert_eq!((stats.stores, refused), (0, 4));
    assert_eq!(stats.evictions.iter().map(|(_, n)| n).sum::<u64>(), 0);
}

#[tokio::test]
async fn a_body_that_fails_is_not_stored() {
    let (cache, _clock) = testing::cache();
    // also where all that it has declared has come before
    for (exact, policy) in [
        (None, policy()),
        (Some(4), policy()),
        (Some(4), policy().finish()),
    ] {
        let (feeder, body) = fed(exact);
        let app = app(&cache, policy, vec![body]);
        feeder.send(data("half")).unwrap();
        feeder.send(Err("gone")).unwrap();
        drop(feeder);
        let response = app.oneshot(request(Method::GET, "/x", &[])).await.unwrap();
        assert!(response.into_body().collect().await.is_err(), "{exact:?}");
        assert_eq!(cache.stats().stores, 0);
    }
}

#[tokio::test]
async fn a_body_that_is_not_read_to_its_end_is_not_stored() {
    let (cache, _clock) = testing::cache();
    let (feeder, body) = fed(None);
    let app = app(&cache, policy(), vec![body]);
    feeder.send(data("half")).unwrap();
    let response = app.oneshot(request(Method::GET, "/x", &[])).await.unwrap();
    let mut body = response.into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    assert_eq!(cache.stats().stores, 0);
}

#[tokio::test]
async fn a_body_that_breaks_its_declared_length_is_not_stored() {
    let (cache, _clock) = testing::cache();
    for (declared, stores) in [("4", 0), ("6", 0), ("5", 1)] {
        let handler = on_get(move || async move {
            let stream = futures_util::stream::iter([Ok::<_, Infallible>("12345")]);
            ([("content-length", declared)], Body::from_stream(stream))
        });
        let app = Router::new().route("/x", handler.layer(cache.layer(policy())));
        let _ = get(&app, "/x").await;
        assert_eq!(cache.stats().stores, stores, "{declared}");
    }
}

#[tokio::test]
async fn a_server_that_stops_at_the_declared_length_has_read_it_all() {
    let (cache, _clock) = testing::cache();
    let (feeder, body) = fed(Some(5));
    let app = app(&cache, policy(), vec![body]);
    feeder.send(data("12345")).unwrap();
    let response = app
        .clone()
        .oneshot(request(Method::GET, "/x", &[]))
        .await
        .unwrap();
    let mut body = response.into_body();
    body.frame().await.unwrap().unwrap();
    drop(body); // never asked for the end
    assert_eq!(get(&app, "/x").await.text(), "12345");
}

#[tokio::test]
async fn trailers_pass_and_are_not_stored() {
    let (cache, _clock) = testing::cache();
    let (feeder, body) = fed(None);
    let app = app(&cache, policy(), vec![body]);
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "1".parse().unwrap());
    feeder.send(data("body")).unwrap();
    feeder.send(Ok(Frame::trailers(trailers.clone()))).unwrap();
    drop(feeder);
    let response = app.oneshot(request(Method::GET, "/x", &[])).await.unwrap();
    let collected = response.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers(), Some(&trailers));
    let stats = cache.stats();
    assert_eq!(
        (stats.stores, stats.refusals_by.get(Refusal::Trailers)),
        (0, 1)
    );
}

/// As a handler answers that hands on what a server further back has said. Its body has
/// a length once it is recorded, and no server sends both.
#[tokio::test]
async fn a_transfer_coding_of_the_handlers_own_ends_where_the_body_is_whole() {
    let (cache, _clock) = testing::cache();
    let handler = || async {
        let chunks = ["first, ", "second"].map(Ok::<_, Infallible>);
        let body = Body::from_stream(futures_util::stream::iter(chunks));
        ([("transfer-encoding", "chunked")], body)
    };
    let policies = [policy(), policy().coalesce(false), policy().finish()];
    for (n, policy) in policies.into_iter().enumerate() {
        let app = Router::new().route("/{n}", on_get(handler).layer(cache.layer(policy)));
        for hit in [false, true] {
            let reply = get(&app, &format!("/{n}")).await;
            assert_eq!((reply.text(), reply.hit()), ("first, second", hit));
            assert_eq!(reply.header("content-length"), "13");
            assert!(!reply.headers.contains_key("transfer-encoding"), "{n}");
        }
    }
}

#[tokio::test]
async fn an_event_stream_is_never_buffered() {
    let (cache, _clock) = testing::cache();
    let (feeder, body) = fed(None);
    let body = std::sync::Mutex::new(Some(body));
    let body = std::sync::Arc::new(body);
    let handler = on_get(move || async move {
        let body = body.lock().unwrap().take().unwrap();
        ([("content-type", "text/event-stream")], Body::new(body))
    });
    let app = Router::new().route("/x", handler.layer(cache.layer(policy())));
    let response = app.oneshot(request(Method::GET, "/x", &[])).await.unwrap();
    let mut body = response.into_body();
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        feeder.send(data(event)).unwrap();
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), event);
    }
    drop(feeder);
    assert!(body.frame().await.is_none());
    assert_eq!(cache.stats().stores, 0);
}

#[tokio::test]
async fn an_empty_body_is_stored_too() {
    for tiers in tiers().await {
        let handler = on_get(|| async { Body::empty() });
        let app = Router::new().route("/x", handler.layer(tiers.cache.layer(policy())));
        get(&app, "/x").await;
        tiers.cache.idle().await;
        assert!(get(&app, "/x").await.hit(), "{}", tiers.name);
    }
}
