//! 23 to 27: answers that make a page useless, and floods.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, Method, Response, StatusCode};
use axum::routing::{MethodRouter, any, get as on_get};
use futures_util::FutureExt;
use larder::{Cache, MIB, Policy};
use tokio::sync::Semaphore;
use tower::ServiceExt;

use crate::support::request;
use crate::{FRESH, Site, policy, ways};

const PAGE: &str = "0123456789";

// 23
#[tokio::test]
async fn a_storm_of_errors_leaves_nothing_behind() {
    let storm = [
        400, 405, 408, 413, 414, 421, 425, 429, 431, 500, 501, 502, 503, 504, 507, 511,
    ];
    let handler = on_get(|headers: HeaderMap| async move {
        let long = headers.get("x-long").map_or(0, |v| v.len());
        let meta = headers.get("x-meta").is_some();
        let status = headers
            .get("x-status")
            .map(|v| v.to_str().unwrap().parse().unwrap());
        let status = match status {
            Some(status) => status,
            None if long > 8_000 => 431,
            None if meta => 400,
            None => return ([FRESH], PAGE).into_response(),
        };
        (StatusCode::from_u16(status).unwrap(), "error").into_response()
    });
    use axum::response::IntoResponse;
    for way in ways().await {
        let site = way.site(handler.clone());
        site.get("/x", &[("x-long", &"a".repeat(9_000))]).await;
        site.get("/x", &[("x-meta", "\u{85}")]).await;
        for status in storm {
            site.get("/x", &[("x-status", &status.to_string())]).await;
        }
        assert_eq!(way.tiers.cache.stats().stores, 0, "{}", way.name);
        assert_eq!(site.get("/x", &[]).await.text(), PAGE);
        // and a storm around a page that is stored does not touch it
        site.get("/x", &[("x-status", "500")]).await;
        assert_eq!(site.get("/x", &[]).await.text(), PAGE, "{}", way.name);
    }
}

/// A handler that answers ranges and conditions itself, rightly and wrongly.
fn honest(lies: bool) -> MethodRouter {
    any(move |headers: HeaderMap| async move {
        let answer = Response::builder()
            .header(FRESH.0, FRESH.1)
            .header("etag", "\"a\"");
        if headers.get("if-none-match").is_some() {
            return answer.status(304).body(Body::empty()).unwrap();
        }
        match headers.get("range").map(|v| v.to_str().unwrap()) {
            None => answer.body(Body::from(PAGE)),
            Some(range) if range.contains("99") => {
                let answer = answer.status(416).header("content-range", "bytes */10");
                answer.body(Body::from("no such part"))
            }
            Some(_) => {
                let answer = answer.status(if lies { 200 } else { 206 });
                let answer = answer.header("content-range", "bytes 0-0/10");
                answer.body(Body::from("0"))
            }
        }
        .unwrap()
    })
}

// 24
#[tokio::test]
async fn a_part_never_stands_for_the_whole() {
    let hundred: Vec<String> = (0..100).map(|n| format!("{n}-{n}")).collect();
    let hundred = format!("bytes={}", hundred.join(","));
    for way in ways().await {
        let statuses = way.policy.clone().statuses([200, 416]);
        for (policy, lies) in [
            (way.policy.clone(), false),
            (way.policy.clone(), true),
            (statuses, false),
        ] {
            let site = way.site_with(policy, honest(lies));
            for range in [
                "bytes=0-0",
                "bytes=99-",
                "bytes=-1",
                "bytes=0-0,2-2",
                &hundred,
                "x=1",
            ] {
                site.get("/x", &[("range", range)]).await;
                site.get("/x", &[("range", range), ("if-range", "\"a\"")])
                    .await;
                let victim = site.get("/x", &[]).await;
                assert_eq!(
                    (victim.status.as_u16(), victim.text()),
                    (200, PAGE),
                    "{}: {range}",
                    way.name
                );
                // from what is stored, parts are right, and nothing but the whole is kept
                let part = site.get("/x", &[("range", "bytes=2-3")]).await;
                assert_eq!(
                    (part.status.as_u16(), part.text()),
                    (206, "23"),
                    "{}",
                    way.name
                );
                let none = site.get("/x", &[("range", "bytes=10-")]).await;
                assert_eq!(
                    (none.status.as_u16(), none.text()),
                    (416, ""),
                    "{}",
                    way.name
                );
                let many = site.get("/x", &[("range", &hundred)]).await;
                assert_eq!(many.body.len(), PAGE.len(), "{}", way.name);
                assert_eq!(site.get("/x", &[]).await.text(), PAGE);
                way.tiers
                    .cache
                    .invalidate(larder::everything())
                    .await
                    .unwrap();
            }
        }
    }
}

// 24
#[tokio::test]
async fn a_part_of_a_coded_body_is_for_those_who_have_the_rest_of_it() {
    let coder = on_get(|headers: HeaderMap| async move {
        let coded = headers.get("accept-encoding").is_some_and(|v| v == "br");
        let tag = if coded { "\"br\"" } else { "\"plain\"" };
        let mut answer = Response::builder()
            .header(FRESH.0, FRESH.1)
            .header("etag", tag);
        answer = answer.header("vary", "accept-encoding");
        if coded {
            answer = answer.header("content-encoding", "br");
        }
        answer
            .body(Body::from(if coded { "coded-body" } else { "plain-body" }))
            .unwrap()
    });
    for way in ways().await {
        let site = way.site(coder.clone());
        let (br, plain) = (("accept-encoding", "br"), ("accept-encoding", "identity"));
        for fields in [[br], [plain]] {
            site.get("/x", &fields).await;
            assert!(site.get("/x", &fields).await.hit(), "{}", way.name);
        }
        let part = ("range", "bytes=0-4");
        let mixed = site.get("/x", &[plain, part, ("if-range", "\"br\"")]).await;
        assert_eq!(
            (mixed.status.as_u16(), mixed.text()),
            (200, "plain-body"),
            "{}",
            way.name
        );
        let own = site.get("/x", &[br, part, ("if-range", "\"br\"")]).await;
        assert_eq!(
            (own.status.as_u16(), own.text()),
            (206, "coded"),
            "{}",
            way.name
        );
        assert_eq!(own.header("content-encoding"), "br");
        let not_theirs = site.get("/x", &[plain, ("if-none-match", "\"br\"")]).await;
        assert_eq!(not_theirs.status.as_u16(), 200, "{}", way.name);
    }
}

// 25
#[tokio::test]
async fn a_304_for_one_client_is_never_an_empty_page_for_another() {
    for way in ways().await {
        for field in [("if-none-match", "\"a\""), ("if-none-match", "*")] {
            let site = way.site(honest(false));
            for method in [Method::GET, Method::HEAD] {
                let told = site.send(method, "/x", &[field]).await;
                assert_eq!(told.status.as_u16(), 304, "{}", way.name);
            }
            let asked = [field];
            let (one, two) = tokio::join!(site.get("/x", &asked), site.get("/x", &[]));
            assert_eq!((one.status.as_u16(), one.text()), (304, ""), "{}", way.name);
            assert_eq!(
                (two.status.as_u16(), two.text()),
                (200, PAGE),
                "{}",
                way.name
            );
            assert_eq!(site.get("/x", &[]).await.text(), PAGE);
            way.tiers
                .cache
                .invalidate(larder::everything())
                .await
                .unwrap();
        }
    }
}

// 26
#[tokio::test]
async fn a_head_fills_nothing_and_a_wrong_length_neither() {
    for way in ways().await {
        for (at, length) in ["0", "10", "11", "x", "-1", "10, 10"].iter().enumerate() {
            let handler = any(move |method: Method| async move {
                let answer = Response::builder().header(FRESH.0, FRESH.1);
                match method == Method::HEAD {
                    true => answer.header("content-length", *length).body(Body::empty()),
                    false => answer.body(Body::from(PAGE)),
                }
                .unwrap()
            });
            let site = way.site(handler);
            let uri = format!("/{at}");
            site.send(Method::HEAD, &uri, &[]).await;
            let page = site.get(&uri, &[]).await;
            assert_eq!((page.hit(), page.text()), (false, PAGE), "{}", way.name);
            let head = site.send(Method::HEAD, &uri, &[]).await;
            assert_eq!((head.hit(), head.text()), (true, ""), "{}", way.name);
            assert_eq!(head.header("content-length"), "10", "{}", way.name);
            assert_eq!(site.get(&uri, &[]).await.text(), PAGE, "{}", way.name);
        }
        for lie in ["9", "11", "0", "x", "10, 10"] {
            let calls = crate::support::Calls::default();
            let handler = on_get(move || async move {
                calls.count();
                let body =
                    Body::from_stream(futures_util::stream::iter([Ok::<_, std::io::Error>(PAGE)]));
                let answer = Response::builder().header(FRESH.0, FRESH.1);
                answer.header("content-length", lie).body(body).unwrap()
            });
            let site = way.site(handler);
            let uri = format!("/get/{lie}").replace(", ", "");
            site.get(&uri, &[]).await;
            assert!(!site.get(&uri, &[]).await.hit(), "{}: {lie}", way.name);
        }
    }
}

// 27
#[tokio::test]
async fn a_slow_leader_holds_up_no_thousand_followers() {
    for way in ways().await {
        let gate = Arc::new(Semaphore::new(0));
        let wait = Arc::clone(&gate);
        let handler = on_get(move || async move {
            let _go = wait.acquire().await.unwrap();
            ([FRESH], PAGE)
        });
        let other = way.site(on_get(|| async { ([FRESH], "other") }));
        let site = way.site(handler);
        let tasks: Vec<_> = (0..1_000)
            .map(|_| {
                let site = site.clone();
                tokio::spawn(async move { crate::support::get(&site.app, "/slow").await })
            })
            .collect();
        // others are answered while a thousand wait
        for _ in 0..2 {
            assert_eq!(
                crate::support::get(&other.app, "/fast").await.text(),
                "other"
            );
        }
        gate.add_permits(1_000);
        for task in tasks {
            let reply = task.await.unwrap();
            assert_eq!(
                (reply.status.as_u16(), reply.text()),
                (200, PAGE),
                "{}",
                way.name
            );
        }
        site.cache.idle().await;
        assert!(site.get("/slow", &[]).await.hit(), "{}", way.name);
    }
}

// 27
#[tokio::test]
async fn a_flood_of_keys_does_not_push_the_hot_set_out() {
    for policy in [policy(), Policy::http()] {
        let cache = Cache::builder().memory(MIB).build().unwrap();
        let site = Site::new(
            &cache,
            policy,
            on_get(|| async { ([FRESH], "x".repeat(1024)) }),
        );
        let hot: Vec<String> = (0..50).map(|n| format!("/hot/{n}")).collect();
        for _ in 0..5 {
            for uri in &hot {
                site.get(uri, &[]).await;
            }
        }
        for n in 0..5_000 {
            site.get(&format!("/flood/{n}"), &[]).await;
        }
        let mut kept = 0;
        for uri in &hot {
            kept += usize::from(site.get(uri, &[]).await.hit());
        }
        assert!(kept >= 45, "{kept} of 50 are left");
        assert!(cache.stats().memory_bytes <= MIB);
    }
}

/// A client writes as many names as a target holds, in no order and each to be decoded.
#[tokio::test]
async fn a_query_of_many_names_is_decoded_once() {
    const NAMES: u64 = 10_000;
    let (cache, _clock) = larder::testing::cache();
    let site = Site::new(&cache, policy(), on_get(|| async { PAGE }));
    let name = |n: u64| format!("+{:x}", n * 7_919 % 65_521);
    let query: Vec<String> = (0..NAMES).map(name).collect();
    let uri = format!("/x?{}", query.join("&"));
    site.get(&uri, &[]).await;
    let ask = request(Method::GET, &uri, &[]);
    let mut hit = None;
    let counted = allocation_counter::measure(|| {
        hit = site.app.clone().oneshot(ask).now_or_never();
    });
    assert!(larder::testing::outcome(&hit.unwrap().unwrap()).is_hit());
    let allocated = counted.count_total;
    assert!(allocated < 4 * NAMES, "{allocated} for {NAMES} names");
}
