//! Requests whose content is part of the key: QUERY (RFC 10008) and POST.

mod support;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use axum::routing::any;
use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, Full, Limited};
use larder::{Bypass, Policy, minutes, testing};
use support::{Calls, Reply, send, tiers};
use tower::{Layer, ServiceExt, service_fn};

fn query() -> Method {
    Method::from_bytes(b"QUERY").unwrap()
}

fn policy() -> Policy {
    Policy::ttl(minutes(5)).methods([query(), Method::POST])
}

/// Answers with the method and the content, and counts.
fn app(cache: &larder::Cache, policy: Policy, calls: &Calls) -> Router {
    let calls = calls.clone();
    let echo = move |method: Method, body: Bytes| async move {
        format!(
            "{} {method} {}",
            calls.count(),
            String::from_utf8_lossy(&body)
        )
    };
    Router::new().route("/search", any(echo).layer(cache.layer(policy)))
}

fn asks(method: Method, kind: &str, body: impl Into<Body>) -> Request<Body> {
    let request = Request::builder().method(method).uri("/search");
    let request = request.header("host", "a.example");
    let request = request.header("content-type", kind);
    request.body(body.into()).unwrap()
}

async fn json(app: &Router, method: Method, body: &'static str) -> Reply {
    send(app, asks(method, "application/json", body)).await
}

#[tokio::test]
async fn a_question_is_answered_by_its_content() {
    for tiers in tiers().await {
        let calls = Calls::default();
        let app = app(&tiers.cache, policy(), &calls);
        for method in [query(), Method::POST] {
            let first = json(&app, method.clone(), r#"{"a":1,"b":[2]}"#).await;
            assert!(!first.hit(), "{}: {method}", tiers.name);
            assert!(first.text().ends_with(r#"{"a":1,"b":[2]}"#));
            tiers.cache.idle().await;
            let same = json(&app, method.clone(), r#"{ "b": [2], "a": 1 }"#).await;
            assert!(same.hit(), "{}: {method}", tiers.name);
            assert_eq!(same.text(), first.text());
            assert!(!json(&app, method.clone(), r#"{"a":1,"b":[3]}"#).await.hit());
            let other = send(&app, asks(method, "text/plain", r#"{"a":1,"b":[2]}"#)).await;
            assert!(!other.hit());
        }
        // neither answers for the other, nor for a GET
        assert_eq!(calls.now(), 6, "{}", tiers.name);
        assert!(!support::get(&app, "/search").await.hit());
    }
}

#[tokio::test]
async fn without_being_asked_for_they_are_what_they_were() {
    let (cache, _clock) = testing::cache();
    let calls = Calls::default();
    let app = app(&cache, Policy::ttl(minutes(5)), &calls);
    for method in [query(), Method::POST] {
        for _ in 0..2 {
            let reply = json(&app, method.clone(), "[1]").await;
            assert_eq!(reply.detail(), "method");
        }
    }
    assert_eq!(calls.now(), 4);
}

#[tokio::test]
async fn a_post_that_asks_invalidates_nothing() {
    let (cache, _clock) = testing::cache();
    let app = app(&cache, policy(), &Calls::default());
    support::get(&app, "/search").await;
    json(&app, Method::POST, "[1]").await;
    assert!(support::get(&app, "/search").await.hit());
}

#[tokio::test]
async fn the_conditions_of_a_post_are_the_handlers_to_judge() {
    let (cache, _clock) = testing::cache();
    let app = app(&cache, policy(), &Calls::default());
    for (name, value) in [
        ("if-none-match", "*"),
        ("if-modified-since", "Fri, 31 Dec 2100 23:59:59 GMT"),
    ] {
        for method in [query(), Method::POST] {
            json(&app, method.clone(), "[1]").await;
            let mut again = asks(method.clone(), "application/json", "[1]");
            again.headers_mut().insert(name, value.parse().unwrap());
            let reply = send(&app, again).await;
            if method == Method::POST {
                assert_eq!(
                    (reply.status.as_u16(), reply.detail()),
                    (200, "precondition")
                );
            } else if name == "if-none-match" {
                assert_eq!(reply.status, 304, "a QUERY is as a GET (RFC 10008, 2.6)");
            }
        }
    }
}

#[tokio::test]
async fn what_is_too_long_reaches_the_handler_whole() {
    let (cache, _clock) = testing::cache();
    let app = app(&cache, policy().max_request_body(10), &Calls::default());
    for _ in 0..2 {
        let parts =
            ["12345", "67890", "abcde"].map(|part| Ok::<_, std::io::Error>(part.to_owned()));
        let body = Body::from_stream(stream::iter(parts));
        let reply = send(&app, asks(query(), "text/plain", body)).await;
        assert_eq!(reply.detail(), "request-body");
        assert!(
            reply.text().ends_with("QUERY 1234567890abcde"),
            "{}",
            reply.text()
        );
    }
}

#[tokio::test]
async fn a_content_that_fails_is_the_handlers_to_see() {
    let (cache, _clock) = testing::cache();
    let app = app(&cache, policy(), &Calls::default());
    let parts = [Ok("12345".to_owned()), Err(std::io::Error::other("gone"))];
    let body = Body::from_stream(stream::iter(parts));
    let reply = send(&app, asks(query(), "text/plain", body)).await;
    assert_eq!(reply.status, 400, "axum's extractor has seen the error");
    assert_eq!(reply.detail(), "request-body");
}

#[tokio::test]
async fn without_a_content_type_or_incremental_it_bypasses() {
    let (cache, _clock) = testing::cache();
    let app = app(&cache, policy(), &Calls::default());
    let mut untyped = asks(query(), "text/plain", "x");
    untyped.headers_mut().remove("content-type");
    assert_eq!(send(&app, untyped).await.detail(), "request-body");
    let mut incremental = asks(query(), "text/plain", "x");
    incremental
        .headers_mut()
        .insert("incremental", "?1".parse().unwrap());
    assert_eq!(send(&app, incremental).await.detail(), "streaming");
}

#[tokio::test]
async fn only_if_cached_asks_nobody_whatever_the_content_is() {
    let (cache, _clock) = testing::cache();
    let calls = Calls::default();
    let policy = Policy::http().methods([query()]).max_request_body(10);
    let app = app(&cache, policy, &calls);
    for (name, value) in [("incremental", "?1"), ("content-type", ""), ("x", "short")] {
        for content in ["x", "longer than ten"] {
            let mut request = asks(query(), "text/plain", content);
            let headers = request.headers_mut();
            headers.insert("cache-control", "only-if-cached".parse().unwrap());
            headers.insert(name, value.parse().unwrap());
            if value.is_empty() {
                headers.remove(name);
            }
            let reply = send(&app, request).await;
            assert_eq!(reply.status, 504, "{name}: {content}");
        }
    }
    assert_eq!(calls.now(), 0);
}

#[tokio::test]
async fn bodies_of_other_kinds_are_rebuilt_or_bypass() {
    let (cache, _clock) = testing::cache();
    let layer = cache.layer(policy());
    let full = layer.layer(service_fn(|request: Request<Full<Bytes>>| async move {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        Ok::<_, std::convert::Infallible>(axum::http::Response::new(Full::new(body)))
    }));
    let ask = || {
        let request = Request::builder().method("QUERY").uri("/full");
        let request = request.header("content-type", "text/plain");
        request.body(Full::new(Bytes::from_static(b"why"))).unwrap()
    };
    for hit in [false, true] {
        let response = full.clone().oneshot(ask()).await.unwrap();
        assert_eq!(testing::outcome(&response).is_hit(), hit);
        assert_eq!(
            response.into_body().collect().await.unwrap().to_bytes(),
            "why"
        );
    }
    let boxed = layer.layer(service_fn(
        |request: Request<
            http_body_util::combinators::BoxBody<Bytes, std::convert::Infallible>,
        >| async move {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            Ok::<_, std::convert::Infallible>(axum::http::Response::new(Full::new(body)))
        },
    ));
    let (parts, body) = ask().into_parts();
    let request = Request::from_parts(parts, BodyExt::boxed(body));
    let response = boxed.oneshot(request).await.unwrap();
    testing::assert_bypass(&response, Bypass::RequestBody);
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes(),
        "why"
    );
}

/// Sends a greeting, and nothing more until it has an answer.
fn greets() -> (tokio::sync::mpsc::Sender<Bytes>, Body) {
    let (says, said) = tokio::sync::mpsc::channel(1);
    says.try_send(Bytes::from_static(b"hello")).unwrap();
    let body = stream::unfold(said, |mut said| async {
        let next = said.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(next), said))
    });
    (says, Body::from_stream(body))
}

#[tokio::test(start_paused = true)]
async fn a_content_that_never_ends_reaches_the_handler_as_it_comes() {
    let decided = [
        ("content-type", "application/grpc", "streaming"),
        ("accept", "text/event-stream", "streaming"),
        ("cookie", "sid=1", "credential"),
        ("host", "b.example", "ambiguous-host"),
        ("x-http-method-override", "PUT", "method-override"),
        ("if-none-match", "\"a\"", "precondition"),
        ("x-plain", "1", "request-body"),
    ];
    for (name, value, why) in decided {
        let (cache, _clock) = testing::cache();
        let echo = service_fn(|request: Request<Body>| async move {
            Ok::<_, std::convert::Infallible>(axum::http::Response::new(request.into_body()))
        });
        let app = cache.layer(policy()).layer(echo);
        let (says, body) = greets();
        let mut request = asks(Method::POST, "text/plain", body);
        match name {
            "content-type" => request.headers_mut().remove(name),
            _ => None,
        };
        request.headers_mut().append(name, value.parse().unwrap());
        let start = tokio::time::Instant::now();
        let answered = tokio::time::timeout(minutes(60), app.oneshot(request)).await;
        let response = answered.expect(why).unwrap();
        let waited = start.elapsed().as_millis();
        match why {
            "request-body" => assert!((250..300).contains(&waited), "{waited} ms"),
            _ => assert_eq!(waited, 0, "{why}"),
        }
        let status = response.headers()["cache-status"].to_str().unwrap();
        assert!(status.ends_with(&format!("detail={why}")), "{status}");
        let mut body = response.into_body();
        for word in ["hello", "there"] {
            let frame = body.frame().await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), word);
            let _ = says.try_send(Bytes::from_static(b"there"));
        }
    }
}

/// axum looks for the limit two errors deep.
#[tokio::test]
async fn a_content_over_a_limit_further_out_is_413_as_without_a_cache() {
    let (cache, _clock) = testing::cache();
    let app = app(&cache, policy(), &Calls::default());
    let limited = |request: Request<Body>| request.map(|body| Body::new(Limited::new(body, 10)));
    let app = app.layer(tower::util::MapRequestLayer::new(limited));
    let parts = ["ten is all", "that there may be"].map(Ok::<_, std::convert::Infallible>);
    let content = Body::from_stream(stream::iter(parts));
    let reply = send(&app, asks(Method::POST, "text/plain", content)).await;
    assert_eq!(
        (reply.status.as_u16(), reply.detail()),
        (413, "request-body")
    );
}

/// A client that forwards it would have to send it in chunks.
#[tokio::test(start_paused = true)]
async fn a_content_that_was_read_in_part_keeps_its_length() {
    let (cache, _clock) = testing::cache();
    let length = service_fn(|request: Request<Body>| async move {
        let hint = http_body::Body::size_hint(request.body());
        let length = format!("{:?}", hint.exact());
        Ok::<_, std::convert::Infallible>(axum::http::Response::new(Body::from(length)))
    });
    let app = cache.layer(policy()).layer(length);
    let (_says, body) = greets();
    let declared = Declared { body, left: 10 };
    let request = asks(Method::POST, "text/plain", Body::new(declared));
    let response = app.oneshot(request).await.unwrap();
    testing::assert_bypass(&response, Bypass::RequestBody);
    let length = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(length, "Some(10)");
}

/// A body that tells how much of it is left.
struct Declared {
    body: Body,
    left: u64,
}

impl http_body::Body for Declared {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, axum::Error>>> {
        let next = std::pin::Pin::new(&mut self.body).poll_frame(cx);
        if let std::task::Poll::Ready(Some(Ok(frame))) = &next {
            self.left -= frame.data_ref().map_or(0, Bytes::len) as u64;
        }
        next
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.left)
    }
}
