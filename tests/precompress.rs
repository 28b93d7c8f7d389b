//! Coded variants made beforehand.

mod support;

use std::convert::Infallible;
use std::io::Read;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::Method;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::routing::get as on_get;
use futures_util::StreamExt;
use http_body_util::BodyExt;
use larder::{Cache, Coding, MIB, Outcome, Policy, minutes, testing};
use support::{Calls, Reply, eventually, get, get_with, request};
use tokio::sync::Semaphore;
use tower::ServiceExt;

fn text() -> String {
    "{\"name\":\"larder\"},".repeat(200)
}

/// Text that a coding makes about half as long.
fn digits(seed: u64, len: usize) -> String {
    let mut state = seed;
    let digit = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        char::from_digit((state >> 60) as u32, 16).unwrap()
    };
    std::iter::repeat_with(digit).take(len).collect()
}

fn app(cache: &Cache, kind: &'static str, control: &'static str) -> Router {
    let policy = Policy::ttl(minutes(5)).precompress([Coding::Brotli, Coding::Gzip]);
    let handler = move || async move {
        (
            [
                (CONTENT_TYPE, kind),
                (axum::http::header::CACHE_CONTROL, control),
            ],
            text(),
        )
    };
    Router::new().route("/x", on_get(handler).layer(cache.layer(policy)))
}

fn decoded(reply: &Reply) -> String {
    let mut out = String::new();
    match reply.header("content-encoding") {
        "br" => brotli::Decompressor::new(&reply.body[..], 4096).read_to_string(&mut out),
        "gzip" => flate2::read::GzDecoder::new(&reply.body[..]).read_to_string(&mut out),
        other => panic!("not coded: {other:?}"),
    }
    .unwrap();
    out
}

#[tokio::test]
async fn a_hit_has_the_coding_that_its_client_reads() {
    let (cache, _clock) = testing::cache();
    let app = app(&cache, "application/json", "");
    let miss = get_with(&app, "/x", &[("accept-encoding", "br")]).await;
    assert_eq!(miss.text(), text(), "the first answer is not held up");
    assert_eq!(miss.header("vary"), "accept-encoding");
    cache.idle().await;

    let mut tags = Vec::new();
    for (accepted, coding) in [
        ("gzip, br", "br"),
        ("gzip", "gzip"),
        ("br;q=0.5, gzip", "gzip"),
    ] {
        let hit = get_with(&app, "/x", &[("accept-encoding", accepted)]).await;
        assert!(hit.hit());
        assert_eq!(hit.header("content-encoding"), coding, "{accepted}");
        assert_eq!(hit.header("vary"), "accept-encoding");
        assert_eq!(hit.header("content-length"), hit.body.len().to_string());
        assert!(hit.body.len() < text().len() / 2);
        assert_eq!(decoded(&hit), text());
        tags.push(hit.header("etag").to_owned());
    }
    for accepted in ["identity", "br;q=0", "", "zstd"] {
        let hit = get_with(&app, "/x", &[("accept-encoding", accepted)]).await;
        assert_eq!(hit.header("content-encoding"), "", "{accepted}");
        assert_eq!(hit.text(), text());
        tags.push(hit.header("etag").to_owned());
    }
    assert_eq!(tags[1], tags[2]);
    assert!(tags[0] != tags[1] && tags[0] != tags[3] && tags[3] == tags[4]);
    assert!(tags[0].ends_with("-br\""), "{}", tags[0]);
}

#[tokio::test]
async fn conditions_and_ranges_are_of_the_coded_bytes() {
    let (cache, _clock) = testing::cache();
    let app = app(&cache, "application/json", "");
    get(&app, "/x").await;
    cache.idle().await;
    let br = ("accept-encoding", "br");
    let coded = get_with(&app, "/x", &[br]).await;
    let tag = coded.header("etag").to_owned();
    let same = get_with(&app, "/x", &[br, ("if-none-match", &tag)]).await;
    assert_eq!(same.status, 304);
    let identity = get_with(&app, "/x", &[("if-none-match", &tag)]).await;
    assert_eq!(identity.status, 200, "the tag is another representation's");
    let part = get_with(&app, "/x", &[br, ("range", "bytes=0-9")]).await;
    assert_eq!(part.status, 206);
    assert_eq!(part.body, coded.body[..10]);
    let total = format!("bytes 0-9/{}", coded.body.len());
    assert_eq!(part.header("content-range"), total);
}

#[tokio::test]
async fn what_must_or_need_not_be_coded_is_not() {
    for (kind, control) in [("image/png", ""), ("application/json", "no-transform")] {
        let (cache, _clock) = testing::cache();
        let app = app(&cache, kind, control);
        get(&app, "/x").await;
        cache.idle().await;
        let hit = get_with(&app, "/x", &[("accept-encoding", "br")]).await;
        assert!(hit.hit());
        assert_eq!(hit.header("content-encoding"), "", "{kind} {control}");
    }
}

#[tokio::test]
async fn variants_count_as_memory_and_come_back_from_redis() {
    let redis = support::redis_server::Redis::start();
    let with_memory = || {
        Cache::builder()
            .memory(16 * MIB)
            .redis(redis.url())
            .build()
            .unwrap()
    };
    let first = with_memory();
    let app_of = |cache| app(cache, "application/json", "");
    get(&app_of(&first), "/x").await;
    first.idle().await;
    let plain = testing::cache().0;
    let uncoded = Router::new().route(
        "/x",
        on_get(|| async { ([(CONTENT_TYPE, "application/json")], text()) })
            .layer(plain.ttl(minutes(5))),
    );
    get(&uncoded, "/x").await;
    assert!(first.stats().memory_bytes > plain.stats().memory_bytes + 100);

    let second = with_memory();
    let app = app_of(&second);
    let promoted = get_with(&app, "/x", &[("accept-encoding", "br")]).await;
    assert!(promoted.hit());
    assert_eq!(promoted.header("vary"), "accept-encoding");
    second.idle().await;
    let coded = get_with(&app, "/x", &[("accept-encoding", "br")]).await;
    assert_eq!(decoded(&coded), text());
}

/// A handler whose body comes in two parts, the second when it is let go.
fn in_parts(cache: &Cache, gate: &Arc<Semaphore>, calls: &Calls) -> Router {
    let policy = Policy::ttl(minutes(5)).precompress([Coding::Brotli]);
    let (gate, calls) = (Arc::clone(gate), calls.clone());
    let handler = move || {
        calls.count();
        let gate = Arc::clone(&gate);
        let rest = futures_util::stream::once(async move {
            gate.acquire().await.unwrap().forget();
            Ok::<_, Infallible>(text())
        });
        let parts = futures_util::stream::iter([Ok(text())]).chain(rest);
        let headers = [
            (CONTENT_TYPE, "application/json".to_owned()),
            (CONTENT_LENGTH, (2 * text().len()).to_string()),
        ];
        async move { (headers, Body::from_stream(parts)) }
    };
    Router::new().route("/x", on_get(handler).layer(cache.layer(policy)))
}

#[tokio::test]
async fn who_shares_a_fill_is_told_that_answers_vary_too() {
    let (cache, _clock) = testing::cache();
    let (gate, calls) = (Arc::new(Semaphore::new(0)), Calls::default());
    let app = in_parts(&cache, &gate, &calls);
    let br = [("accept-encoding", "br")];
    let ask = || request(Method::GET, "/x", &br);
    let leader = app.clone().oneshot(ask()).await.unwrap();
    let streamed = app.clone().oneshot(ask()).await.unwrap();
    let outcome = streamed.extensions().get::<Outcome>();
    assert!(
        matches!(outcome, Some(Outcome::Coalesced { .. })),
        "{outcome:?}"
    );
    for response in [&leader, &streamed] {
        assert_eq!(response.headers()["vary"], "accept-encoding");
    }
    gate.add_permits(1);
    let whole = streamed.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(whole, text().repeat(2));
    assert_eq!(calls.now(), 1);
}

#[tokio::test]
async fn who_waits_for_another_instance_is_told_that_answers_vary_too() {
    let redis = support::redis_server::Redis::start();
    let instance = || Cache::builder().redis(redis.url()).build().unwrap();
    let (gate, calls) = (Arc::new(Semaphore::new(0)), Calls::default());
    let ask = |cache: &Cache| {
        let app = in_parts(cache, &gate, &calls);
        let br = [("accept-encoding", "br")];
        tokio::spawn(async move { get_with(&app, "/x", &br).await })
    };
    let first = ask(&instance());
    eventually("the handler runs", || async { calls.now() == 1 }).await;
    let second = ask(&instance());
    eventually("the other instance has asked", || async {
        redis.waiters() > 0
    })
    .await;
    gate.add_permits(1);
    for reply in [first.await.unwrap(), second.await.unwrap()] {
        assert_eq!(reply.header("vary"), "accept-encoding");
        assert_eq!(reply.text(), text().repeat(2));
    }
    assert_eq!(calls.now(), 1);
}

/// A client edits what it has read coded.
#[tokio::test]
async fn an_edit_of_what_was_read_coded_names_the_plain_tag_too() {
    let (cache, _clock) = testing::cache();
    let policy = Policy::ttl(minutes(5)).precompress([Coding::Brotli, Coding::Gzip]);
    let show = || async { ([("etag", "\"v1\""), ("content-type", "text/plain")], text()) };
    let edit = |headers: axum::http::HeaderMap| async move {
        let lines = headers.get_all("if-match").iter();
        let lines: Vec<_> = lines.map(|line| line.to_str().unwrap()).collect();
        lines.join(" | ")
    };
    let route = on_get(show).put(edit).layer(cache.layer(policy));
    let app = Router::new().route("/x", route);
    get(&app, "/x").await;
    cache.idle().await;
    let coded = get_with(&app, "/x", &[("accept-encoding", "br")]).await;
    assert_eq!(coded.header("etag"), "\"v1-br\"");
    for (said, seen) in [
        (coded.header("etag"), "\"v1\" | \"v1-br\""),
        ("\"a\", \"v,1-gzip\"", "\"v,1\" | \"a\", \"v,1-gzip\""),
        ("\"v1\"", "\"v1\""),
        ("\"v1-zstd\"", "\"v1-zstd\""),
        ("*", "*"),
    ] {
        let put = request(Method::PUT, "/x", &[("if-match", said)]);
        assert_eq!(support::send(&app, put).await.text(), seen);
    }
}

/// Its handler knows neither the tag nor `If-Range`, and would send a part of the plain body.
#[tokio::test]
async fn a_rest_of_what_was_read_coded_is_not_the_plain_bodys() {
    let (cache, _clock) = testing::cache();
    let policy = Policy::ttl(minutes(5)).precompress([Coding::Brotli]);
    let handler = |headers: axum::http::HeaderMap| async move {
        let mut lines = headers.get_all("if-match").iter();
        let known = !headers.contains_key("if-match") || lines.any(|line| line == "\"v1\"");
        let status = match (known, headers.contains_key("range")) {
            (false, _) => 412,
            (true, true) => 206,
            (true, false) => 200,
        };
        let status = axum::http::StatusCode::from_u16(status).unwrap();
        let fields = [("etag", "\"v1\""), ("content-type", "text/plain")];
        (status, fields, text())
    };
    let app = Router::new().route("/x", on_get(handler).layer(cache.layer(policy)));
    for field in ["if-range", "if-match"] {
        for method in [Method::GET, Method::HEAD] {
            let asked = [(field, "\"v1-br\""), ("range", "bytes=9-")];
            let reply = support::send(&app, request(method, "/x", &asked)).await;
            assert_eq!(reply.status.as_u16(), 200, "{field}");
            let _ = cache.invalidate(larder::everything()).await;
        }
    }
}

/// A date alone does not tell the plain body from a coded one.
#[tokio::test]
async fn by_a_date_alone_nobody_gets_a_part_who_may_have_another_coding() {
    let (cache, _clock) = testing::cache();
    let date = "Wed, 18 Nov 2026 00:00:00 GMT";
    let policy = Policy::ttl(minutes(5)).revalidate(minutes(5));
    let handler = move |headers: axum::http::HeaderMap| async move {
        let status = match headers.get("range") {
            None => axum::http::StatusCode::OK,
            Some(_) => axum::http::StatusCode::PARTIAL_CONTENT,
        };
        let fields = [("last-modified", date), ("content-type", "text/plain")];
        (status, fields, text())
    };
    let layer = cache.layer(policy.precompress([Coding::Brotli]));
    let app = Router::new().route("/x", on_get(handler).layer(layer));
    for stored in [false, true] {
        for (coding, status) in [("br", 200), ("identity", 206)] {
            let resumed = [
                ("if-range", date),
                ("range", "bytes=9-"),
                ("accept-encoding", coding),
            ];
            let reply = get_with(&app, "/x", &resumed).await;
            assert_eq!(reply.status.as_u16(), status, "{stored} {coding}");
            if !stored {
                let _ = cache.invalidate(larder::everything()).await;
            }
        }
        get(&app, "/x").await;
        cache.idle().await;
    }
}

/// What weighs too much with its variants stays without them.
#[tokio::test]
async fn variants_never_take_memory_over_its_bound() {
    let cache = Cache::builder().memory(128 << 10).build().unwrap();
    let body = digits(1, 65_000);
    let policy = Policy::ttl(minutes(5)).precompress([Coding::Brotli, Coding::Gzip]);
    let route = on_get(move || async move { body.clone() }).layer(cache.layer(policy));
    let app = Router::new().route("/x", route);
    get(&app, "/x").await;
    cache.idle().await;
    let bytes = cache.stats().memory_bytes;
    assert!(bytes <= 128 << 10, "{bytes}");
    let again = get_with(&app, "/x", &[("accept-encoding", "br")]).await;
    assert!(again.hit());
    assert_eq!(
        (again.header("content-encoding"), again.body.len()),
        ("", 65_000)
    );
}

#[tokio::test]
async fn variants_push_out_what_they_take_the_room_of() {
    let cache = Cache::builder().memory(MIB).build().unwrap();
    let policy = Policy::ttl(minutes(5)).precompress([Coding::Brotli, Coding::Gzip]);
    let digits = |Path(seed): Path<u64>| async move { digits(seed, 16_000) };
    let app = Router::new().route("/{n}", on_get(digits).layer(cache.layer(policy)));
    for n in 0..60 {
        get(&app, &format!("/{n}")).await;
    }
    cache.idle().await;
    let bytes = cache.stats().memory_bytes;
    assert!(bytes <= MIB, "{bytes}");
    assert!(bytes > MIB / 2, "{bytes}");
}
