//! The layer around services that are no axum routes.

mod support;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, Response};
use axum::routing::get as on_get;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use larder::testing::{self, assert_hit, assert_miss};
use larder::{Cache, minutes};
use support::{Calls, get, request, send};
use tower::{Layer, Service, ServiceExt, service_fn};

fn counted(calls: &Calls) -> axum::routing::MethodRouter {
    let calls = calls.clone();
    on_get(move || async move { format!("answer {}", calls.count()) })
}

#[tokio::test]
async fn it_works_around_a_plain_service_and_keeps_its_error() {
    #[derive(Debug, PartialEq)]
    struct Own;
    let (cache, _clock) = testing::cache();
    let service = service_fn(|request: Request<Full<Bytes>>| async move {
        match request.uri().path() {
            "/fails" => Err(Own),
            _ => Ok(Response::new(Full::new(Bytes::from("plain")))),
        }
    });
    let service = cache.ttl(minutes(1)).layer(service);
    let ask = |path: &str| {
        let request = Request::builder().uri(path).body(Full::default()).unwrap();
        service.clone().oneshot(request)
    };
    assert_eq!(ask("/fails").await.unwrap_err(), Own);
    let miss = ask("/x").await.unwrap();
    assert_miss(&miss);
    miss.into_body().collect().await.unwrap();
    let hit = ask("/x").await.unwrap();
    assert_hit(&hit);
    assert_eq!(hit.into_body().collect().await.unwrap().to_bytes(), "plain");
}

#[tokio::test]
async fn a_hit_does_not_wait_behind_a_miss_at_a_concurrency_limit() {
    let (cache, _clock) = testing::cache();
    let gate = Arc::new(tokio::sync::Notify::new());
    let entered = Arc::new(tokio::sync::Notify::new());
    let (wait, tell) = (Arc::clone(&gate), Arc::clone(&entered));
    let service = service_fn(move |request: Request<Body>| {
        let (wait, tell) = (Arc::clone(&wait), Arc::clone(&tell));
        async move {
            if request.uri().path() == "/slow" {
                tell.notify_one();
                wait.notified().await;
            }
            Ok::<_, Infallible>(Response::new(Body::from("x")))
        }
    });
    let limited = tower::ServiceBuilder::new()
        .layer(cache.ttl(minutes(1)))
        .concurrency_limit(1)
        .service(service);
    get(&limited, "/fast").await;
    let slow = tokio::spawn({
        let limited = limited.clone();
        async move { get(&limited, "/slow").await }
    });
    entered.notified().await; // the only permit is taken
    assert!(get(&limited, "/fast").await.hit());
    gate.notify_one();
    assert!(!slow.await.unwrap().hit());
}

#[tokio::test]
async fn an_outbound_client_is_wrapped_by_the_same_layer() {
    use hyper_util::client::legacy::Client;
    use hyper_util::rt::TokioExecutor;

    let calls = Calls::default();
    let origin = Router::new().route("/samplers", counted(&calls));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, origin).await });

    let (cache, _clock) = testing::cache();
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let client = cache.ttl(minutes(1)).layer(client);
    let ask = || async {
        let uri = format!("http://{address}/samplers");
        let request = Request::builder().uri(uri).body(Full::default()).unwrap();
        let response = client.clone().oneshot(request).await.unwrap();
        let hit = testing::outcome(&response).is_hit();
        (
            hit,
            response.into_body().collect().await.unwrap().to_bytes(),
        )
    };
    assert_eq!(ask().await, (false, "answer 1".into()));
    assert_eq!(ask().await, (true, "answer 1".into()));
    server.abort();
}

#[test]
fn a_static_cache_works_across_runtimes() {
    let redis = support::redis_server::Redis::start();
    let cache = Cache::builder().redis(redis.url()).build().unwrap();
    let calls = Calls::default();
    let app = Router::new().route("/x", counted(&calls).layer(cache.ttl(minutes(1))));
    for round in 0..3 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let reply = get(&app, "/x").await;
            assert_eq!(
                reply.hit(),
                round > 0,
                "round {round}: {}",
                reply.cache_status()
            );
            cache.idle().await;
        });
    }
}

#[tokio::test]
async fn an_always_ready_service_says_so() {
    let (cache, _clock) = testing::cache();
    let never_ready = tower::limit::ConcurrencyLimit::new(
        service_fn(|_: Request<Body>| async { Ok::<_, Infallible>(Response::new(Body::empty())) }),
        0,
    );
    let mut service = cache.ttl(minutes(1)).layer(never_ready);
    futures_util::future::poll_fn(|cx| Service::<Request<Body>>::poll_ready(&mut service, cx))
        .await
        .unwrap();
}

/// A body of which only its frames are told, as some layers wrap those of requests
/// (tower-http's `RequestBodyTimeoutLayer`).
struct Silent(Body);

impl http_body::Body for Silent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }
}

#[tokio::test]
async fn a_body_that_does_not_tell_its_end_is_none_where_it_has_ended() {
    let (cache, _clock) = testing::cache();
    let mirror = on_get(|body: Bytes| async move { body });
    let silent = |request: Request<Body>| async { request.map(|body| Body::new(Silent(body))) };
    let app = Router::new()
        .route("/x", mirror)
        .layer(cache.ttl(minutes(5)))
        .layer(axum::middleware::map_request(silent));
    let ask = async |method, body| {
        let request = request(method, "/x", &[]).map(|_| body);
        send(&app, request).await
    };
    let late = futures_util::stream::once(async {
        tokio::task::yield_now().await;
        Ok::<_, Infallible>("late")
    });
    let late = Body::from_stream(late);
    for (body, text) in [(Body::from("evil"), "evil"), (late, "late")] {
        let fat = ask(Method::GET, body).await;
        assert_eq!((fat.text(), fat.detail()), (text, "request-body"));
    }
    assert_eq!(ask(Method::GET, Body::empty()).await.detail(), "new");
    for method in [Method::GET, Method::HEAD] {
        assert!(ask(method, Body::empty()).await.hit());
    }
    let zero = request(Method::GET, "/x", &[("content-length", "0")]);
    assert!(send(&app, zero).await.hit());
    let stats = cache.stats();
    assert_eq!((stats.bypasses, stats.misses, stats.hits_memory), (2, 1, 3));
}
