//! What a request asks of the cache (RFC 9111, 5.2.1).

use super::site::{everywhere, fresh, member, ok, status};

const CC: &str = "cache-control";

#[tokio::test]
async fn no_cache_and_pragma_ask_the_origin() {
    everywhere(async |site| {
        for fields in [
            &[(CC, "no-cache")][..],
            &[(CC, "max-age=0")],
            &[(CC, "No-Cache, x")],
            &[("pragma", "no-cache")],
            &[("pragma", "x, no-cache")],
        ] {
            site.store(fresh("a")).await;
            site.hits("a").await;
            site.answers([fresh("b")]);
            let reply = site.get(fields).await;
            assert_eq!(reply.text(), "b", "{fields:?}");
            let member = member(&reply);
            assert_eq!(member.fwd.as_deref(), Some("request"), "{fields:?}");
            assert!(member.stored);
            site.hits("b").await;
            site.forget().await;
        }
        site.store(fresh("a")).await;
        let both = [("pragma", "no-cache"), (CC, "max-age=60")];
        assert!(
            site.get(&both).await.hit(),
            "Cache-Control speaks alone (5.4)"
        );
    })
    .await;
}

#[tokio::test]
async fn max_age_and_min_fresh_bound_what_is_taken() {
    everywhere(async |site| {
        site.store(fresh("a")).await;
        site.advance(20);
        for (asked, taken) in [
            ("max-age=20", true),
            ("max-age=19", false),
            ("min-fresh=40", true),
            ("min-fresh=41", false),
            ("max-age=30, min-fresh=30", true),
            ("max-age=x", false),
            ("min-fresh=-1", false),
        ] {
            if !taken {
                site.answers([ok("new", &[(CC, "no-store")])]);
            }
            let reply = site.get(&[(CC, asked)]).await;
            assert_eq!(reply.hit(), taken, "{asked}");
        }
    })
    .await;
}

#[tokio::test]
async fn max_stale_takes_what_is_stale() {
    everywhere(async |site| {
        site.store(ok("a", &[(CC, "max-age=10"), ("etag", "\"a\"")]))
            .await;
        site.advance(15);
        for asked in ["max-stale", "max-stale=5", "max-age=15, max-stale=9"] {
            let reply = site.get(&[(CC, asked)]).await;
            assert_eq!((reply.text(), reply.header("age")), ("a", "15"), "{asked}");
            let member = member(&reply);
            assert!(member.hit && member.ttl == Some(-5), "{member:?}");
            assert_eq!(member.detail.as_deref(), Some("max-stale"));
        }
        for asked in ["max-stale=4", "max-stale=x", "max-age=14, max-stale"] {
            site.answers([ok("new", &[(CC, "no-store")])]);
            assert_eq!(site.get(&[(CC, asked)]).await.text(), "new", "{asked}");
        }
    })
    .await;
}

#[tokio::test]
async fn max_stale_does_not_take_what_must_be_revalidated() {
    everywhere(async |site| {
        for directive in [
            "must-revalidate",
            "proxy-revalidate",
            "s-maxage=10",
            "no-cache",
        ] {
            let value = format!("max-age=10, {directive}");
            site.store(ok("a", &[(CC, &value), ("etag", "\"a\"")]))
                .await;
            site.advance(11);
            site.answers([status(304, "", &[(CC, "no-store")])]);
            let reply = site.get(&[(CC, "max-stale")]).await;
            assert_eq!(member(&reply).fwd_status, Some(304), "{directive}");
        }
    })
    .await;
}

#[tokio::test]
async fn without_max_stale_max_age_takes_nothing_stale() {
    everywhere(async |site| {
        let answer = || ok("a", &[(CC, "max-age=10, stale-while-revalidate=60")]);
        site.store(answer()).await;
        site.advance(15);
        // RFC 9111, 5.2.1.1 and 5.2.1.2
        for asked in [
            "max-age=100",
            "max-stale=4",
            "max-age=100, max-stale=4",
            "min-fresh=0",
        ] {
            site.answers([status(403, "new", &[])]);
            assert_eq!(site.get(&[(CC, asked)]).await.text(), "new", "{asked}");
        }
        site.asked();
        site.answers([answer()]);
        let reply = site.get(&[(CC, "max-age=100, max-stale=5")]).await;
        assert!(reply.hit() && member(&reply).ttl == Some(-5));
        site.asked_once(); // and it is renewed, for it is in its window
    })
    .await;
}

#[tokio::test]
async fn no_store_stores_nothing() {
    everywhere(async |site| {
        site.answers([fresh("a")]);
        let reply = site.get(&[(CC, "no-store")]).await;
        assert!(!member(&reply).stored);
        site.misses(&[]).await;
    })
    .await;
}

#[tokio::test]
async fn only_if_cached_asks_nobody() {
    everywhere(async |site| {
        let only = [(CC, "only-if-cached")];
        let reply = site.get(&only).await;
        assert_eq!(reply.status, 504);
        let said = member(&reply);
        assert!(!said.hit && said.fwd.is_none(), "{said:?}");
        site.store(ok("a", &[(CC, "max-age=10"), ("etag", "\"a\"")]))
            .await;
        assert_eq!(site.get(&only).await.text(), "a");
        assert_eq!(site.send("HEAD", "/x", &only).await.status, 200);
        site.advance(10);
        assert_eq!(site.get(&only).await.status, 504);
        let stale = site.get(&[(CC, "only-if-cached, max-stale")]).await;
        assert_eq!(stale.text(), "a");
        assert!(site.asked().is_empty());
    })
    .await;
}

#[tokio::test]
async fn only_if_cached_asks_nobody_whatever_else_the_request_says() {
    everywhere(async |site| {
        for more in [
            (CC, "no-store"),
            ("if-match", "\"a\""),
            ("accept", "text/event-stream"),
            ("x-http-method-override", "DELETE"),
        ] {
            let reply = site.get(&[(CC, "only-if-cached"), more]).await;
            assert_eq!(reply.status, 504, "{more:?}");
        }
        assert!(site.asked().is_empty());
        site.store(fresh("a")).await;
        assert!(site.get(&[(CC, "only-if-cached, no-store")]).await.hit());
    })
    .await;
}

#[tokio::test]
async fn only_if_cached_is_not_passed_on_by_a_renewal() {
    everywhere(async |site| {
        site.store(ok("a", &[(CC, "max-age=10, stale-while-revalidate=60")]))
            .await;
        site.advance(11);
        site.answers([fresh("b")]);
        assert_eq!(site.get(&[(CC, "only-if-cached")]).await.text(), "a");
        assert_eq!(site.asked_once().header(CC), "");
        site.hits("b").await;
    })
    .await;
}

#[tokio::test]
async fn immutable_is_not_validated_by_a_reload_while_fresh() {
    everywhere(async |site| {
        site.store(ok("a", &[(CC, "max-age=10, immutable"), ("etag", "\"a\"")]))
            .await;
        assert!(site.get(&[(CC, "max-age=0")]).await.hit()); // RFC 8246, 2
        site.advance(10);
        site.answers([status(304, "", &[])]);
        assert!(!site.get(&[(CC, "max-age=0")]).await.hit());
    })
    .await;
}
