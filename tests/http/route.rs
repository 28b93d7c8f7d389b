//! What of HTTP's rules a route's own policy has: `Policy::ttl`.

use axum::Router;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::routing::get as on_get;
use larder::{Policy, hours, seconds};

use super::site::{Answer, Unreachable, everywhere_under, member, ok, status};
use crate::support::{Calls, get, get_with, tiers};

const CC: &str = "cache-control";

fn policy() -> Policy {
    Policy::ttl(seconds(60)).endpoint("x").unmatched()
}

#[tokio::test]
async fn an_axum_routes_answer_gets_a_strong_tag() {
    for tiers in tiers().await {
        let calls = Calls::default();
        let counted = calls.clone();
        let show = on_get(move || async move { format!("answer {}", counted.count()) });
        let app = Router::new().route("/x", show.layer(tiers.cache.ttl(seconds(60))));
        get(&app, "/x").await;
        tiers.cache.idle().await;
        let hit = get(&app, "/x").await;
        let tag = hit.header("etag").to_owned();
        assert!(tag.starts_with('"') && tag.len() == 34, "{tag}");
        let known = get_with(&app, "/x", &[("if-none-match", &tag)]).await;
        assert_eq!((known.status.as_u16(), known.header("etag")), (304, &*tag));
        let asked = [("range", "bytes=0-5"), ("if-range", &*tag)];
        let part = get_with(&app, "/x", &asked).await;
        assert_eq!((part.status.as_u16(), part.text()), (206, "answer"));
        assert_eq!(part.header("content-range"), "bytes 0-5/8");
        let past = get_with(&app, "/x", &[("range", "bytes=8-")]).await;
        assert_eq!(past.status, 416);
        assert_eq!(calls.now(), 1);
    }
}

#[tokio::test]
async fn a_handlers_own_tag_stays_and_none_is_made_if_not_wanted() {
    everywhere_under(policy, async |site| {
        site.store(ok("a", &[("etag", "W/\"own\"")])).await;
        assert_eq!(site.hits("a").await.header("etag"), "W/\"own\"");
        let known = site.get(&[("if-none-match", "\"own\"")]).await;
        assert_eq!(known.status, 304);
    })
    .await;
    everywhere_under(
        || policy().etag(false),
        async |site| {
            site.store(ok("a", &[])).await;
            assert_eq!(site.hits("a").await.header("etag"), "");
        },
    )
    .await;
}

#[tokio::test]
async fn a_made_tag_is_never_sent_to_the_handler() {
    let policy = || {
        policy()
            .revalidate(seconds(600))
            .stale_if_error(seconds(600))
    };
    everywhere_under(policy, async |site| {
        site.store(ok("a", &[])).await;
        site.advance(60);
        site.answers([ok("b", &[])]);
        assert_eq!(site.get(&[]).await.text(), "b");
        assert_eq!(site.asked_once().header("if-none-match"), "");
    })
    .await;
}

/// Handlers that know `Range` and not `If-Range` would send a part of something else.
#[tokio::test]
async fn a_part_of_what_has_a_made_tag_is_asked_of_no_handler() {
    everywhere_under(policy, async |site| {
        site.store(ok("aaaa", &[])).await;
        let tag = site.hits("aaaa").await.header("etag").to_owned();
        site.advance(60);
        let resumes = [("range", "bytes=2-"), ("if-range", &*tag)];
        site.answers([ok("bbbb", &[])]);
        let reply = site.get(&resumes).await;
        assert_eq!((reply.status.as_u16(), reply.text()), (200, "bbbb"));
        let asked = site.asked_once();
        assert_eq!((asked.header("range"), asked.header("if-range")), ("", ""));
        site.hits("bbbb").await;
        // one of the handler's own is its own to judge
        site.forget().await;
        let own = [
            ("range", "bytes=2-"),
            ("if-range", "\"0123456789abcdef0123456789abcdef\""),
        ];
        site.answers([status(206, "cc", &[("content-range", "bytes 2-3/4")])]);
        assert_eq!(site.get(&own).await.status, 206);
        assert_eq!(site.asked_once().header("range"), "bytes=2-");
    })
    .await;
}

#[tokio::test]
async fn requests_cannot_punch_through() {
    everywhere_under(policy, async |site| {
        site.store(ok("a", &[])).await;
        site.advance(30);
        for asked in [
            "no-cache",
            "no-store",
            "max-age=0",
            "min-fresh=50",
            "only-if-cached",
        ] {
            assert!(site.get(&[(CC, asked)]).await.hit(), "{asked}");
        }
        assert!(site.get(&[("pragma", "no-cache")]).await.hit());
        site.advance(30);
        site.misses(&[(CC, "max-stale")]).await;
        site.forget().await;
        site.answers([ok("b", &[])]);
        let reply = site.get(&[(CC, "only-if-cached, no-store")]).await;
        assert_eq!((reply.text(), member(&reply).stored), ("b", true));
    })
    .await;
}

#[tokio::test]
async fn the_handlers_cache_control_shortens_and_forbids() {
    everywhere_under(policy, async |site| {
        let expires = site.date(9);
        for (fields, ttl) in [
            (&[(CC, "max-age=10")][..], Some(10)),
            (&[(CC, "max-age=100")], Some(60)),
            (&[(CC, "max-age=10, s-maxage=20")], Some(20)),
            (&[("expires", &*expires)], Some(9)),
            (&[(CC, "max-age=20"), ("age", "15")], Some(5)),
            (
                &[(CC, "max-age=10"), ("cdn-cache-control", "max-age=30")],
                Some(30),
            ),
            (
                &[(CC, "no-store"), ("cdn-cache-control", "max-age=30")],
                Some(30),
            ),
            (
                &[(CC, "max-age=10"), ("cdn-cache-control", "no-store")],
                None,
            ),
            // an age that cannot be read
            (
                &[(CC, "no-store"), ("cdn-cache-control", "max-age=\"9\"")],
                None,
            ),
            (&[("cdn-cache-control", "s-maxage, max-age=9")], None),
            (&[("cdn-cache-control", "max-age=-1")], None),
            (&[(CC, "no-cache")], None),
            (&[(CC, "private=\"x\"")], None),
            (&[(CC, "max-age=0")], None),
        ] {
            site.answers([ok("a", fields)]);
            let miss = site.get(&[]).await;
            assert_eq!(member(&miss).stored, ttl.is_some(), "{fields:?}");
            if let Some(ttl) = ttl {
                assert_eq!(member(&site.hits("a").await).ttl, Some(ttl), "{fields:?}");
            }
            site.forget().await;
        }
    })
    .await;
}

#[tokio::test]
async fn stale_while_revalidate_is_a_setting() {
    let policy = || policy().stale_while_revalidate(seconds(30));
    everywhere_under(policy, async |site| {
        site.store(ok("a", &[])).await;
        site.advance(89);
        site.answers([ok("b", &[])]);
        let stale = site.hits("a").await;
        assert_eq!(member(&stale).ttl, Some(-29));
        site.hits("b").await;
        site.advance(90);
        site.misses(&[]).await;
        site.forget().await;
        site.store(ok("a", &[(CC, "must-revalidate")])).await;
        site.advance(61);
        site.misses(&[]).await;
    })
    .await;
}

#[tokio::test]
async fn stale_if_error_is_a_setting() {
    let policy = || policy().stale_if_error(seconds(30));
    everywhere_under(policy, async |site| {
        site.store(ok("a", &[])).await;
        site.advance(89);
        site.answers([Answer::from(status(500, "no", &[])), Answer::Unreachable]);
        for (why, asks) in [("stale-if-error", true), ("left-alone", false)] {
            let reply = site.get(&[]).await;
            assert_eq!((reply.status.as_u16(), reply.text()), (200, "a"));
            let said = member(&reply);
            assert_eq!(said.detail.as_deref(), Some(why));
            assert_eq!((said.hit, said.fwd.is_some()), (!asks, asks), "RFC 9211, 2");
        }
        site.advance(1);
        site.answers([Answer::Unreachable]);
        let get = crate::support::request(axum::http::Method::GET, "/x", &[]);
        assert_eq!(site.try_send(get).await.unwrap_err(), Unreachable);
    })
    .await;
}

#[tokio::test]
async fn a_settings_windows_are_not_for_what_states_no_life() {
    let policy = || {
        let policy = policy().stale_while_revalidate(seconds(30));
        policy.stale_if_error(seconds(30))
    };
    everywhere_under(policy, async |site| {
        let past = site.date(-10);
        for field in [(CC, "max-age=0"), (CC, "max-age=x"), ("expires", &past)] {
            site.answers([ok("a", &[field]), ok("b", &[field])]);
            for own in ["a", "b"] {
                let reply = site.get(&[]).await;
                assert_eq!((reply.text(), member(&reply).stored), (own, false));
            }
        }
        // its own windows are its word
        let own = (
            CC,
            "max-age=0, stale-while-revalidate=10, stale-if-error=20",
        );
        site.store(ok("a", &[own])).await;
        site.advance(9);
        site.answers([status(500, "no", &[])]);
        site.hits("a").await;
        site.advance(10);
        assert_eq!(site.get(&[]).await.text(), "a");
        site.advance(1);
        site.misses(&[]).await;
    })
    .await;
}

#[tokio::test]
async fn without_a_setting_nothing_stale_is_served() {
    everywhere_under(policy, async |site| {
        site.store(ok("a", &[("etag", "\"a\"")])).await;
        site.advance(60);
        site.answers([Answer::Unreachable]);
        let get = crate::support::request(axum::http::Method::GET, "/x", &[]);
        assert_eq!(site.try_send(get).await.unwrap_err(), Unreachable);
        let asked = site.asked_once();
        assert_eq!(asked.header("if-none-match"), "", "nor is it validated");
    })
    .await;
}

// an entry tells its clients what no handler said: that must not count as its word
#[tokio::test]
async fn what_clients_are_told_is_not_the_handlers_word() {
    for told in ["private", "max-age=5"] {
        let policy = move || policy().revalidate(seconds(600)).client_cache(told);
        everywhere_under(policy, async |site| {
            let tag = ("etag", "\"a\"");
            site.store(ok("a", &[tag])).await;
            for _ in 0..2 {
                site.advance(60);
                site.answers([status(304, "", &[tag])]);
                let reply = site.get(&[]).await;
                assert_eq!((reply.text(), reply.header(CC)), ("a", told));
                assert!(member(&reply).stored, "{}: {told}", site.name);
                site.advance(59);
                assert_eq!(site.hits("a").await.header(CC), told);
                site.advance(1);
            }
            site.answers([status(304, "", &[tag, (CC, "max-age=7")])]);
            assert_eq!(site.get(&[]).await.header(CC), "max-age=7");
            site.advance(6);
            site.hits("a").await;
            site.advance(1);
            site.answers([status(304, "", &[tag])]);
            let reply = site.get(&[]).await;
            assert_eq!(member(&reply).ttl, Some(7), "its own word stays");
        })
        .await;
    }
}

#[tokio::test]
async fn revalidate_asks_a_handler_that_knows_its_tags() {
    for tiers in tiers().await {
        let calls = Calls::default();
        let counted = calls.clone();
        let show = move |headers: HeaderMap| async move {
            counted.count();
            match headers.get("if-none-match") {
                Some(tag) if tag == "\"v1\"" => {
                    axum::http::StatusCode::NOT_MODIFIED.into_response()
                }
                _ => ([("etag", "\"v1\"")], "whole").into_response(),
            }
        };
        let policy = Policy::ttl(seconds(60)).revalidate(seconds(600));
        let app = Router::new().route("/x", on_get(show).layer(tiers.cache.layer(policy)));
        get(&app, "/x").await;
        tiers.cache.idle().await;
        tiers.clock.advance(seconds(60));
        let reply = get(&app, "/x").await;
        assert_eq!((reply.status.as_u16(), reply.text()), (200, "whole"));
        assert_eq!(member(&reply).fwd_status, Some(304));
        tiers.cache.idle().await;
        tiers.clock.advance(seconds(59));
        assert!(get(&app, "/x").await.hit());
        assert_eq!(calls.now(), 2);
    }
}

/// `store_if` looks at what a 304 makes of the answer: status, merged fields and body.
#[tokio::test]
async fn a_304_stores_nothing_that_store_if_declines() {
    let policy = || {
        let policy = Policy::ttl(seconds(10)).revalidate(hours(1));
        policy.store_if(|status, fields, body| {
            status == 200 && body == b"page" && fields.get("x-ok").is_some_and(|ok| ok == "1")
        })
    };
    everywhere_under(policy, async |site| {
        let said = |ok| [("etag", "\"a\""), ("x-ok", ok)];
        site.store(ok("page", &said("1"))).await;
        site.advance(11);
        site.answers([status(304, "", &said("1"))]);
        assert!(member(&site.get(&[]).await).stored);
        site.hits("page").await;
        site.advance(11);
        site.asked();
        site.answers([status(304, "", &said("0"))]);
        let declined = site.get(&[]).await;
        assert_eq!((declined.text(), declined.header("x-ok")), ("page", "0"));
        let said = member(&declined);
        assert!(
            !said.stored && said.detail.as_deref() == Some("store-if"),
            "{said:?}"
        );
        site.asked();
        let next = site.misses(&[]).await;
        assert_eq!(member(&next).fwd_status, Some(200));
    })
    .await;
}
