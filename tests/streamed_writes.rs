//! Writes whose answers go on being made behind their heads.

mod support;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use axum::routing::get as on_get;
use futures_util::{FutureExt, StreamExt, stream};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use larder::{Cache, MIB, Policy, minutes, tag, testing};
use support::redis_server::Redis;
use support::{Calls, PATIENT, SHORT, get, request};
use tower::ServiceExt;

/// An import that tells of its progress, and a page of `/x` and of `/list`.
fn import(cache: &Cache) -> Router {
    let calls = Calls::default();
    let import = || async {
        let steps = stream::iter(["one\n", "two\n"]);
        let body = Body::from_stream(steps.map(Ok::<_, std::convert::Infallible>));
        // it could do for a GET
        (
            [("cache-control", "max-age=60"), ("content-location", "/x")],
            body,
        )
    };
    let page = || {
        let calls = calls.clone();
        let fresh = [("cache-control", "max-age=60")];
        on_get(move || async move { (fresh, calls.count().to_string()) })
    };
    let layer = cache.layer(Policy::http().tag("t").invalidates(tag("t")));
    let pages = page().post(import).layer(layer);
    let list = page().layer(cache.layer(Policy::http().tag("t")));
    Router::new().route("/x", pages).route("/list", list)
}

/// What was filled meanwhile is of before its end. In another process, too, that is known
/// once its client has the end.
#[tokio::test]
async fn a_write_that_goes_on_behind_its_head_invalidates_at_its_end_too() {
    let redis = Redis::start();
    let process = || {
        let cache = Cache::builder().memory(MIB).redis(redis.url());
        import(
            &cache
                .lease(SHORT)
                .operation_timeout(PATIENT)
                .build()
                .unwrap(),
        )
    };
    let one = import(&testing::cache().0);
    let (here, there) = (process(), process());
    for (app, other) in [(&one, &one), (&here, &here), (&here, &there)] {
        for path in ["/x", "/list"] {
            get(other, path).await;
            let post = Request::post("/x").header("host", "api.example");
            let post = app.clone().oneshot(post.body(Body::empty()).unwrap());
            let mut body = post.await.unwrap().into_body();
            body.frame().await.unwrap().unwrap();
            let meanwhile = get(other, path).await;
            assert!(!meanwhile.hit(), "it has begun");
            assert!(get(other, path).await.hit());
            while let Some(frame) = body.frame().await {
                frame.unwrap();
            }
            let then = get(other, path).await;
            assert!(!then.hit(), "{path}: {} again", meanwhile.text());
        }
    }
}

/// The trailers are the end to a client of HTTP/2.
#[tokio::test]
async fn so_does_one_that_ends_in_trailers_or_fails() {
    for fails in [false, true] {
        let (cache, _clock) = testing::cache();
        let end = move || match fails {
            true => Err(std::io::Error::other("cut")),
            false => Ok(Frame::trailers(HeaderMap::from_iter([(
                HeaderName::from_static("x-sum"),
                HeaderValue::from_static("2"),
            )]))),
        };
        let import = move || async move {
            let frames = [Ok(Frame::data(Bytes::from("one"))), end()];
            Body::new(StreamBody::new(stream::iter(frames)))
        };
        let page = on_get(|| async { "page" });
        let layer = cache.layer(Policy::ttl(minutes(5)));
        let app = Router::new().route("/x", page.post(import).layer(layer));
        let post = request(Method::POST, "/x", &[]);
        let mut body = app.clone().oneshot(post).await.unwrap().into_body();
        assert!(body.frame().await.unwrap().unwrap().is_data());
        get(&app, "/x").await;
        assert!(get(&app, "/x").await.hit());
        let last = body.frame().await.unwrap();
        assert_eq!(last.is_ok_and(|frame| frame.is_trailers()), !fails);
        assert!(!get(&app, "/x").await.hit());
        assert!(body.frame().await.is_none(), "trailers come once");
    }
}

/// Nobody drives the runtime of the request while its body is read.
#[test]
fn a_stream_that_is_read_outside_of_its_runtime_ends() {
    let redis = Redis::start();
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    let cache = Cache::builder()
        .memory(MIB)
        .redis(redis.url())
        .build()
        .unwrap();
    let app = import(&cache);
    let post = app.oneshot(request(Method::POST, "/x", &[]));
    let body = runtime.block_on(post).unwrap().into_body();
    let read = body.collect().now_or_never();
    assert_eq!(read.expect("its end").unwrap().to_bytes(), "one\ntwo\n");
}

/// Its handler may be at it still, in a task of its own.
#[tokio::test]
async fn one_whose_client_leaves_does_too() {
    let (cache, _clock) = testing::cache();
    let app = import(&cache);
    let post = request(Method::POST, "/x", &[]);
    let mut body = app.clone().oneshot(post).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    get(&app, "/x").await;
    assert!(get(&app, "/x").await.hit());
    drop(body);
    assert!(!get(&app, "/x").await.hit());
}
