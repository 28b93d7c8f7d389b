//! Which fields of an answer are stored (RFC 9111, 3.1), and trailers.

use std::convert::Infallible;

use axum::body::Body;
use axum::http::{HeaderMap, Response};
use bytes::Bytes;
use http_body::Frame;
use http_body_util::StreamBody;

use super::site::{everywhere, fresh, member, ok};

const CC: (&str, &str) = ("cache-control", "max-age=60");

#[tokio::test]
async fn fields_of_one_connection_or_proxy_are_not_stored() {
    everywhere(async |site| {
        let never = [
            ("connection", "close, X-Listed"),
            ("x-listed", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "close"),
            ("proxy-authenticate", "Basic"),
            ("proxy-authentication-info", "x"),
            ("te", "trailers"),
            ("trailer", "x-sum"),
            ("upgrade", "h2c"),
        ];
        let fields: Vec<_> = never.into_iter().chain([CC, ("x-kept", "1")]).collect();
        site.store(ok("a", &fields)).await;
        let hit = site.hits("a").await;
        for (name, _) in never {
            assert!(!hit.headers.contains_key(name), "{name}");
        }
        assert_eq!(hit.header("x-kept"), "1");
    })
    .await;
}

#[tokio::test]
async fn all_other_fields_are_with_every_line() {
    everywhere(async |site| {
        let fields = [
            CC,
            ("x-two", "1"),
            ("x-two", "2, 3"),
            ("x-empty", ""),
            ("x-request-id", "7"),
            ("retry-after", "5"),
            ("content-range", "odd"),
            ("surrogate-control", "max-age=5"),
        ];
        site.store(ok("a", &fields)).await;
        let hit = site.hits("a").await;
        for (name, value) in fields {
            let lines = hit.headers.get_all(name);
            assert!(lines.iter().any(|line| line == value), "{name}: {value}");
        }
        assert_eq!(hit.headers.get_all("x-two").iter().count(), 2);
    })
    .await;
}

#[tokio::test]
async fn an_answer_without_a_date_is_dated_when_it_came() {
    everywhere(async |site| {
        let date = site.date(0);
        site.store(fresh("a")).await;
        site.advance(5);
        let hit = site.hits("a").await;
        assert_eq!((hit.header("date"), hit.header("age")), (&*date, "5"));
        let own = site.date(-5);
        site.forget().await;
        site.store(ok("b", &[CC, ("date", &own)])).await;
        assert_eq!(site.hits("b").await.header("date"), own);
    })
    .await;
}

#[tokio::test]
async fn an_answer_with_trailers_passes_and_is_not_stored() {
    everywhere(async |site| {
        let frames = || {
            let mut trailers = HeaderMap::new();
            trailers.insert("x-sum", "1".parse().unwrap());
            let data = Frame::data(Bytes::from_static(b"data"));
            [Ok::<_, Infallible>(data), Ok(Frame::trailers(trailers))]
        };
        let body = Body::new(StreamBody::new(futures_util::stream::iter(frames())));
        let answer = Response::builder().header(CC.0, CC.1).body(body).unwrap();
        site.answers([answer]);
        assert_eq!(site.get(&[]).await.text(), "data");
        site.misses(&[]).await;
    })
    .await;
}

#[tokio::test]
async fn head_is_answered_from_a_get() {
    everywhere(async |site| {
        site.store(ok("abc", &[CC, ("etag", "\"a\"")])).await;
        let head = site.send("HEAD", "/x", &[]).await;
        assert!(head.hit() && member(&head).hit);
        assert!(head.body.is_empty());
        assert_eq!(
            (head.header("content-length"), head.header("etag")),
            ("3", "\"a\"")
        );
    })
    .await;
}
