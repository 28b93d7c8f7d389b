//! Targeted cache control (RFC 9213).

use larder::Policy;

use super::site::{everywhere, everywhere_under, member, ok};

const CC: &str = "cache-control";
const CDN: &str = "cdn-cache-control";

#[tokio::test]
async fn it_replaces_cache_control_and_expires() {
    everywhere(async |site| {
        let (past, future) = (site.date(-60), site.date(60));
        for (fields, seconds) in [
            (&[(CDN, "max-age=30"), (CC, "no-store")][..], Some(30)),
            (&[(CDN, "max-age=30"), (CC, "max-age=5, private")], Some(30)),
            (
                &[(CDN, "max-age=30"), (CC, "x"), ("expires", &past)],
                Some(30),
            ),
            (
                &[(CDN, "max-age=30, s-maxage=7"), (CC, "max-age=60")],
                Some(7),
            ),
            (&[(CDN, "max-age=5"), (CDN, "stale-if-error=1")], Some(5)),
            (&[(CDN, "max-age=99999999999")], Some(1 << 31)),
            (&[(CDN, "max-age=30, foo, bar=\"x\", *q=(1 2);y")], Some(30)),
            (&[(CDN, "max-age=0"), (CC, "max-age=60")], None),
            (&[(CDN, "no-store"), (CC, "max-age=60")], None),
            (&[(CDN, "private"), (CC, "max-age=60")], None),
            (&[(CDN, "max-age=30, no-store"), (CC, "max-age=60")], None),
            (&[(CDN, "max-age=30"), ("age", "30")], None),
            // it states no freshness, and Expires does not count
            (
                &[(CDN, "foo"), (CC, "max-age=60"), ("expires", &future)],
                None,
            ),
            // wrong types are ignored, and what is left states no freshness
            (&[(CDN, "max-age=\"60\""), (CC, "max-age=60")], None),
            (&[(CDN, "max-age=60.5"), (CC, "max-age=60")], None),
            (&[(CDN, "max-age"), (CC, "max-age=60")], None),
        ] {
            site.answers([ok("a", fields)]);
            let miss = site.get(&[]).await;
            assert_eq!(member(&miss).stored, seconds.is_some(), "{fields:?}");
            if let Some(seconds) = seconds {
                assert_eq!(
                    member(&site.hits("a").await).ttl,
                    Some(seconds),
                    "{fields:?}"
                );
            }
            site.forget().await;
        }
    })
    .await;
}

#[tokio::test]
async fn one_that_does_not_parse_or_is_empty_is_absent() {
    everywhere(async |site| {
        for value in [
            "",
            "max-age=30, &&&",
            "max-age=30,",
            "Max-Age=30",
            "max-age =30",
            "max-age= 30",
        ] {
            site.answers([ok("a", &[(CDN, value), (CC, "no-store")])]);
            assert!(!member(&site.get(&[]).await).stored, "{value}");
            site.store(ok("a", &[(CDN, value), (CC, "max-age=9")]))
                .await;
            assert_eq!(member(&site.hits("a").await).ttl, Some(9), "{value}");
            site.forget().await;
        }
    })
    .await;
}

#[tokio::test]
async fn its_no_cache_is_validated() {
    everywhere(async |site| {
        let fields = [
            (CDN, "max-age=30, no-cache"),
            (CC, "max-age=60"),
            ("etag", "\"a\""),
        ];
        site.store(ok("a", &fields)).await;
        site.answers([super::site::status(304, "", &[])]);
        site.get(&[]).await;
        assert_eq!(site.asked_once().header("if-none-match"), "\"a\"");
    })
    .await;
}

#[tokio::test]
async fn it_reaches_caches_further_out() {
    everywhere(async |site| {
        site.store(ok("a", &[(CDN, "max-age=30"), (CC, "no-store")]))
            .await;
        let hit = site.hits("a").await;
        assert_eq!(
            (hit.header(CDN), hit.header(CC)),
            ("max-age=30", "no-store")
        );
    })
    .await;
}

#[tokio::test]
async fn a_304_may_change_it() {
    everywhere(async |site| {
        site.store(ok(
            "a",
            &[(CDN, "max-age=10"), (CC, "no-store"), ("etag", "\"a\"")],
        ))
        .await;
        site.advance(10);
        site.answers([super::site::status(304, "", &[(CDN, "max-age=25")])]);
        assert_eq!(member(&site.get(&[]).await).ttl, Some(25));
        site.advance(24);
        site.hits("a").await;
    })
    .await;
}

#[tokio::test]
async fn the_caches_own_name_comes_first() {
    let policy = || Policy::http().targets(["Larder-Cache-Control", CDN]);
    everywhere_under(policy, async |site| {
        const OWN: &str = "larder-cache-control";
        for (fields, ttl) in [
            (
                &[(CDN, "max-age=10"), (OWN, "max-age=20"), (CC, "no-store")][..],
                20,
            ),
            (
                &[(OWN, "oops,"), (CDN, "max-age=10"), (CC, "max-age=5")],
                10,
            ),
            (&[(OWN, "max-age=20"), (CDN, "no-store")], 20),
        ] {
            site.store(ok("a", fields)).await;
            assert_eq!(member(&site.hits("a").await).ttl, Some(ttl), "{fields:?}");
            site.forget().await;
        }
    })
    .await;
    everywhere_under(
        || Policy::http().targets(Vec::<String>::new()),
        async |site| {
            site.store(ok("a", &[(CDN, "no-store"), (CC, "max-age=5")]))
                .await;
            site.hits("a").await;
        },
    )
    .await;
}

#[tokio::test]
async fn it_may_share_an_answer_to_authorization() {
    everywhere(async |site| {
        let mine = [("authorization", "Basic eA==")];
        site.answers([ok("a", &[(CDN, "max-age=30, public")])]);
        site.get(&mine).await;
        site.hits("a").await;
        site.forget().await;
        // Cache-Control's word does not count any more
        site.answers([ok("a", &[(CDN, "max-age=30"), (CC, "public")])]);
        assert!(!member(&site.get(&mine).await).stored);
    })
    .await;
}
