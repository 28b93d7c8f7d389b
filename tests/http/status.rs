//! `Cache-Status` (RFC 9211), member by member.

use larder::{Policy, hours, seconds};

use super::site::{Member, everywhere, everywhere_under, fresh, member, ok, status};

const CC: &str = "cache-control";

fn forwarded(fwd: &str, code: i64, stored: bool, detail: &str) -> Member {
    Member {
        fwd: Some(fwd.to_owned()),
        fwd_status: Some(code),
        stored,
        detail: Some(detail.to_owned()),
        ..Member::default()
    }
}

fn hit(ttl: i64, detail: &str) -> Member {
    Member {
        hit: true,
        ttl: Some(ttl),
        detail: Some(detail.to_owned()),
        ..Member::default()
    }
}

#[tokio::test]
async fn every_way_has_its_member() {
    everywhere(async |site| {
        let value = "max-age=10, stale-while-revalidate=5";
        let tier = site.name.replace("both", "memory");
        site.answers([ok("a", &[(CC, value), ("etag", "\"a\"")])]);
        assert_eq!(
            member(&site.get(&[]).await),
            forwarded("uri-miss", 200, true, "new")
        );
        assert_eq!(member(&site.get(&[]).await), hit(10, &tier));
        site.advance(14);
        site.answers([status(503, "", &[])]);
        assert_eq!(
            member(&site.get(&[]).await),
            hit(-4, "stale-while-revalidate")
        );
        site.advance(1);
        site.answers([status(304, "", &[])]);
        let said = member(&site.get(&[]).await);
        let ttl = Some(10);
        assert_eq!(
            said,
            Member {
                ttl,
                ..forwarded("stale", 304, true, "revalidated")
            }
        );
        site.advance(20);
        site.answers([status(404, "", &[])]);
        assert_eq!(
            member(&site.get(&[]).await),
            forwarded("stale", 404, false, "zero-ttl")
        );
    })
    .await;
}

#[tokio::test]
async fn a_request_that_asks_for_more_says_request() {
    everywhere(async |site| {
        site.store(ok("a", &[(CC, "max-age=60"), ("etag", "\"a\"")]))
            .await;
        // what is stored is fresh: `stale` would be wrong (RFC 9211, 2.2)
        site.answers([status(304, "", &[])]);
        let said = member(&site.get(&[(CC, "no-cache")]).await);
        let ttl = Some(60);
        assert_eq!(
            said,
            Member {
                ttl,
                ..forwarded("request", 304, true, "revalidated")
            }
        );
        site.answers([fresh("b")]);
        let said = member(&site.get(&[(CC, "max-age=0")]).await);
        assert_eq!(said, forwarded("request", 200, true, "request"));
    })
    .await;
}

#[tokio::test]
async fn what_takes_no_part_says_why() {
    everywhere(async |site| {
        for (method, fields, fwd, detail) in [
            ("POST", &[][..], "method", "method"),
            ("OPTIONS", &[], "method", "method"),
            ("GET", &[(CC, "no-store")], "request", "request-no-store"),
            ("GET", &[("if-match", "\"a\"")], "request", "precondition"),
            ("HEAD", &[], "uri-miss", "head"),
        ] {
            site.answers([fresh("a")]);
            let said = member(&site.send(method, "/x", fields).await);
            assert_eq!(
                said,
                forwarded(fwd, 200, false, detail),
                "{method} {fields:?}"
            );
        }
        let only = member(&site.get(&[(CC, "only-if-cached")]).await);
        let detail = Some("only-if-cached".to_owned());
        assert_eq!(
            only,
            Member {
                detail,
                ..Member::default()
            }
        );
    })
    .await;
}

#[tokio::test]
async fn members_of_caches_further_in_stay_before_it() {
    everywhere(async |site| {
        site.store(ok(
            "a",
            &[(CC, "max-age=60"), ("cache-status", "Inner; hit; ttl=9")],
        ))
        .await;
        let reply = site.hits("a").await;
        let lines: Vec<_> = reply.headers.get_all("cache-status").iter().collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0], "Inner; hit; ttl=9");
        assert!(member(&reply).hit);
    })
    .await;
}

/// A 304 would speak of the answer that is no error (RFC 9110, 13.2.1): the error would
/// be served for ever.
#[tokio::test]
async fn what_is_no_success_is_never_asked_for_by_conditions() {
    let route = || {
        let policy = Policy::ttl(seconds(10)).negative_ttl(seconds(10));
        policy.statuses([200, 301, 404]).revalidate(hours(1))
    };
    for (policy, codes) in [
        (Policy::http as fn() -> Policy, &[301, 404, 410, 503][..]),
        (route, &[301, 404]),
    ] {
        everywhere_under(policy, async |site| {
            for code in codes {
                let modified = ("last-modified", "Thu, 19 Nov 2026 12:00:00 GMT");
                let fields = [(CC, "max-age=10"), ("etag", "\"a\""), modified];
                site.store(status(*code, "not here", &fields)).await;
                assert_eq!(site.hits("not here").await.status, *code);
                site.advance(11);
                site.answers([ok("the page", &fields)]);
                let page = site.get(&[]).await;
                assert_eq!((page.status.as_u16(), page.text()), (200, "the page"));
                let asked = site.asked_once();
                assert_eq!(asked.header("if-none-match"), "", "{code}");
                assert_eq!(asked.header("if-modified-since"), "", "{code}");
                site.hits("the page").await;
                site.forget().await;
            }
        })
        .await;
    }
}
