//! Stale answers (RFC 5861; RFC 9111, 4.2.4).

use larder::Policy;

use super::site::{Answer, Unreachable, everywhere, everywhere_under, fresh, member, ok, status};
use crate::support::{eventually, request};

const CC: &str = "cache-control";

#[tokio::test]
async fn while_it_is_revalidated_one_renewal_runs_behind() {
    everywhere(async |site| {
        let value = "max-age=10, stale-while-revalidate=20";
        site.store(ok("a", &[(CC, value), ("etag", "\"a\"")])).await;
        site.advance(12);
        let later = site.answers_later();
        for asked in ["\"x\"", "\"y\""] {
            let get = request(axum::http::Method::GET, "/x", &[("if-none-match", asked)]);
            let stale = site.begin(get).await.unwrap();
            assert_eq!((stale.text(), stale.header("age")), ("a", "12"));
            let said = member(&stale);
            assert!(said.hit && said.ttl == Some(-2), "{said:?}");
        }
        let asked = || async { site.count() == 1 };
        eventually("a renewal", asked).await;
        later.send(ok("b", &[(CC, value)])).unwrap();
        site.cache.idle().await;
        let renewal = site.asked_once();
        assert_eq!(
            renewal.header("if-none-match"),
            "\"a\"",
            "its own condition, not the client's"
        );
        site.hits("b").await;
    })
    .await;
}

#[tokio::test]
async fn a_settings_windows_are_not_for_what_states_no_life() {
    let policy = || {
        let policy = Policy::http().stale_while_revalidate(larder::seconds(30));
        policy.stale_if_error(larder::seconds(30))
    };
    everywhere_under(policy, async |site| {
        let past = site.date(-10);
        for field in [(CC, "max-age=0"), ("expires", &past)] {
            site.store(ok("a", &[field, ("etag", "\"a\"")])).await;
            site.answers([Answer::from(status(304, "", &[field]))]);
            let reply = site.get(&[]).await;
            assert_eq!((reply.text(), member(&reply).fwd_status), ("a", Some(304)));
            site.answers([status(500, "no", &[])]);
            assert_eq!(site.get(&[]).await.status.as_u16(), 500);
            site.forget().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_renewal_may_be_a_304() {
    everywhere(async |site| {
        let value = "max-age=10, stale-while-revalidate=20";
        site.store(ok("a", &[(CC, value), ("etag", "\"a\"")])).await;
        site.advance(12);
        site.answers([status(304, "", &[("x-new", "1")])]);
        site.hits("a").await;
        let hit = site.hits("a").await;
        assert_eq!((hit.header("x-new"), hit.header("age")), ("1", "0"));
        site.asked_once();
    })
    .await;
}

#[tokio::test]
async fn a_part_renews_the_whole_and_a_head_nothing() {
    everywhere(async |site| {
        let value = "max-age=10, stale-while-revalidate=20";
        site.store(ok("abc", &[(CC, value)])).await;
        site.advance(12);
        let stale = site.send("HEAD", "/x", &[]).await;
        assert!(stale.hit(), "{}: {stale:?}", site.name);
        site.answers([ok("new", &[(CC, value)])]);
        let stale = site.send("GET", "/x", &[("range", "bytes=0-0")]).await;
        assert!(stale.hit(), "{}: {stale:?}", site.name);
        let asked = site.asked_once();
        assert_eq!((asked.method.as_str(), asked.header("range")), ("GET", ""));
        site.hits("new").await;
    })
    .await;
}

#[tokio::test]
async fn the_window_ends() {
    everywhere(async |site| {
        let value = "max-age=10, stale-while-revalidate=20";
        site.store(ok("a", &[(CC, value)])).await;
        site.advance(29);
        site.answers([status(503, "", &[])]);
        site.hits("a").await;
        site.advance(1);
        let miss = site.misses(&[]).await;
        assert_eq!(member(&miss).fwd_status, Some(200));
    })
    .await;
}

#[tokio::test]
async fn stale_stands_in_for_a_failure_within_its_window() {
    everywhere(async |site| {
        for code in [500, 502, 503, 504] {
            site.store(ok("a", &[(CC, "max-age=10, stale-if-error=20")]))
                .await;
            site.advance(29);
            site.answers([status(code, "no", &[])]);
            let reply = site.get(&[]).await;
            assert_eq!((reply.status.as_u16(), reply.text()), (200, "a"), "{code}");
            let said = member(&reply);
            assert_eq!(
                (said.fwd.as_deref(), said.fwd_status),
                (Some("stale"), Some(code.into()))
            );
            site.advance(1);
            site.answers([status(code, "no", &[])]);
            assert_eq!(
                site.get(&[]).await.status.as_u16(),
                code,
                "the window has ended"
            );
            site.forget().await;
        }
        for code in [404, 501, 505] {
            site.store(ok("a", &[(CC, "max-age=10, stale-if-error=20")]))
                .await;
            site.advance(11);
            site.answers([status(code, "no", &[])]);
            assert_eq!(
                site.get(&[]).await.status.as_u16(),
                code,
                "no failure (RFC 5861, 4)"
            );
            site.forget().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_request_may_ask_for_it() {
    everywhere(async |site| {
        site.store(ok("a", &[(CC, "max-age=10"), ("etag", "\"a\"")]))
            .await;
        site.advance(15);
        for (asked, code) in [("stale-if-error=6", 200), ("stale-if-error=5", 503)] {
            site.answers([status(503, "no", &[])]);
            assert_eq!(
                site.get(&[(CC, asked)]).await.status.as_u16(),
                code,
                "{asked}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_reached_is_served_stale() {
    everywhere(async |site| {
        site.store(ok("a", &[(CC, "max-age=10"), ("etag", "\"a\"")]))
            .await;
        site.advance(100);
        site.answers([Answer::Unreachable]);
        let reply = site.get(&[]).await;
        assert_eq!((reply.text(), reply.header("age")), ("a", "100"));
        assert_eq!(member(&reply).fwd.as_deref(), Some("stale"));
        // left alone for a while
        site.advance(29);
        assert_eq!(site.get(&[]).await.header("age"), "129");
        // but a 503 is an answer
        site.advance(1);
        site.answers([status(503, "no", &[])]);
        assert_eq!(site.get(&[]).await.status, 503);
    })
    .await;
}

#[tokio::test]
async fn some_answers_are_never_stale() {
    everywhere(async |site| {
        for directive in [
            "must-revalidate",
            "proxy-revalidate",
            "s-maxage=10",
            "no-cache",
        ] {
            let windows = "max-age=10, stale-while-revalidate=60, stale-if-error=60";
            let value = format!("{windows}, {directive}");
            site.store(ok("a", &[(CC, &value), ("etag", "\"a\"")]))
                .await;
            site.advance(11);
            let get = || request(axum::http::Method::GET, "/x", &[(CC, "stale-if-error=60")]);
            site.answers([status(503, "no", &[])]);
            assert_eq!(
                site.try_send(get()).await.unwrap().status,
                503,
                "{directive}"
            );
            site.answers([Answer::Unreachable]);
            let error = site.try_send(get()).await.unwrap_err();
            assert_eq!(error, Unreachable, "{directive}");
            site.forget().await;
        }
    })
    .await;
}

#[tokio::test]
async fn no_cache_takes_nothing_that_was_not_validated() {
    everywhere(async |site| {
        site.store(ok("a", &[(CC, "max-age=10, stale-if-error=60")]))
            .await;
        for _ in 0..2 {
            // RFC 9111, 5.2.1.4: fresh or stale, not without successful validation
            site.answers([status(503, "no", &[])]);
            assert_eq!(site.get(&[(CC, "no-cache")]).await.status, 503);
            site.answers([Answer::Unreachable]);
            let get = request(axum::http::Method::GET, "/x", &[("pragma", "no-cache")]);
            assert_eq!(site.try_send(get).await.unwrap_err(), Unreachable);
            site.advance(11);
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_fresh_stands_in_for_a_failed_reload() {
    everywhere(async |site| {
        site.store(fresh("a")).await;
        site.answers([status(503, "no", &[])]);
        let reply = site.get(&[(CC, "max-age=0")]).await;
        assert_eq!(reply.text(), "a");
        assert_eq!(
            member(&reply).fwd.as_deref(),
            Some("request"),
            "it is not stale"
        );
    })
    .await;
}

#[tokio::test]
async fn the_policys_windows_come_before_the_answers() {
    let policy = || {
        let policy = Policy::http().stale_while_revalidate(larder::seconds(5));
        policy.stale_if_error(larder::seconds(30))
    };
    everywhere_under(policy, async |site| {
        let value = "max-age=10, stale-while-revalidate=60, stale-if-error=1";
        site.store(ok("a", &[(CC, value)])).await;
        site.advance(14);
        site.answers([status(503, "no", &[])]);
        site.hits("a").await;
        site.advance(1); // its renewal has just failed
        let reply = site.get(&[]).await;
        assert_eq!(member(&reply).detail.as_deref(), Some("left-alone"));
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_is_not_stored_ends_what_was_stale() {
    everywhere(async |site| {
        for (code, value) in [(404, "x"), (410, "x"), (200, "no-store"), (302, "private")] {
            let windows = "max-age=10, stale-while-revalidate=60, stale-if-error=60";
            site.store(ok("a", &[(CC, windows), ("etag", "\"a\"")]))
                .await;
            site.advance(12);
            site.answers([status(code, "", &[(CC, value)])]);
            site.hits("a").await; // and is told by its renewal that it is gone
            site.asked();
            site.answers([status(503, "no", &[])]);
            assert_eq!(site.get(&[]).await.status, 503, "{code} {}", site.name);
        }
        // these say nothing of what there is now
        for (code, asked) in [
            (403, &[][..]),
            (429, &[]),
            (503, &[]),
            (206, &[("range", "bytes=0-0")]),
        ] {
            let windows = "max-age=10, stale-if-error=60";
            site.store(ok("a", &[(CC, windows)])).await;
            site.advance(12);
            site.answers([status(code, "", &[])]);
            site.get(asked).await;
            site.answers([status(503, "no", &[])]);
            assert_eq!(site.get(&[]).await.text(), "a", "{code} {}", site.name);
            site.forget().await;
        }
    })
    .await;
}

/// It is not stale: no staleness is told of it.
#[tokio::test]
async fn what_is_fresh_and_left_alone_has_no_ttl_below_zero() {
    everywhere(async |site| {
        site.store(ok("a", &[(CC, "max-age=60"), ("etag", "\"a\"")]))
            .await;
        site.advance(5);
        let failed = "; fwd=request; fwd-status=503; detail=stale-if-error";
        for said in [failed, "; hit; detail=left-alone"] {
            site.answers([status(503, "no", &[])]);
            let reply = site.get(&[(CC, "max-age=2")]).await;
            assert_eq!((reply.text(), reply.header("age")), ("a", "5"));
            let told = reply.cache_status();
            assert!(told.ends_with(said), "{told}");
        }
    })
    .await;
}
