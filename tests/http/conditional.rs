//! A client's conditions, answered from what is stored (RFC 9111, 4.3.2).

use super::site::{everywhere, ok, status};

const CC: (&str, &str) = ("cache-control", "max-age=3600");
const MODIFIED: &str = "Thu, 19 Nov 2026 00:00:00 GMT";

#[tokio::test]
async fn entity_tags_are_compared_weakly() {
    everywhere(async |site| {
        for tag in ["\"a\"", "W/\"a\""] {
            site.store(ok("abc", &[CC, ("etag", tag)])).await;
            for (asked, code) in [
                ("\"a\"", 304),
                ("W/\"a\"", 304),
                ("*", 304),
                ("\"x\",\"a\", \"y\"", 304),
                ("\"x\"", 200),
                ("a", 200),
                ("\"A\"", 200),
                ("\"x, \"a\"\"", 200),
            ] {
                let reply = site.get(&[("if-none-match", asked)]).await;
                assert!(reply.hit());
                assert_eq!(reply.status.as_u16(), code, "{asked} for {tag}");
                assert_eq!(reply.body.is_empty(), code == 304);
            }
            let lines = [("if-none-match", "\"x\""), ("if-none-match", "\"a\"")];
            assert_eq!(site.get(&lines).await.status, 304);
            site.forget().await;
        }
    })
    .await;
}

#[tokio::test]
async fn dates_are_compared_where_no_tag_is_given() {
    everywhere(async |site| {
        site.store(ok(
            "abc",
            &[CC, ("last-modified", MODIFIED), ("etag", "\"a\"")],
        ))
        .await;
        for (since, code) in [
            (MODIFIED, 304),
            ("Thursday, 19-Nov-26 00:00:01 GMT", 304),
            ("Thu Nov 19 00:00:00 2026", 304),
            ("Wed, 18 Nov 2026 23:59:59 GMT", 200),
            ("soon", 200),
        ] {
            let reply = site.get(&[("if-modified-since", since)]).await;
            assert_eq!(reply.status.as_u16(), code, "{since}");
        }
        let both = [("if-none-match", "\"x\""), ("if-modified-since", MODIFIED)];
        assert_eq!(
            site.get(&both).await.status,
            200,
            "the tag decides (9110, 13.2.2)"
        );
    })
    .await;
}

#[tokio::test]
async fn without_last_modified_the_date_stands_for_it() {
    everywhere(async |site| {
        site.store(ok("abc", &[CC])).await;
        let (before, after) = (site.date(-1), site.date(0));
        assert_eq!(
            site.get(&[("if-modified-since", &before)]).await.status,
            200
        );
        assert_eq!(site.get(&[("if-modified-since", &after)]).await.status, 304);
    })
    .await;
}

#[tokio::test]
async fn a_304_has_the_fields_that_count_and_none_of_the_body() {
    everywhere(async |site| {
        let date = site.date(-2);
        let expires = site.date(3600);
        let kept = [
            CC,
            ("date", &*date),
            ("etag", "\"a\""),
            ("vary", "x-a"),
            ("expires", &*expires),
            ("content-location", "/y"),
            ("content-security-policy", "default-src 'self'"),
            ("x-own", "1"),
        ];
        let left = [
            ("content-type", "text/plain"),
            ("content-language", "en"),
            ("last-modified", MODIFIED),
        ];
        let fields: Vec<_> = kept.into_iter().chain(left).collect();
        site.store(ok("abc", &fields)).await;
        site.advance(5);
        let reply = site.get(&[("if-none-match", "\"a\"")]).await;
        assert_eq!((reply.status.as_u16(), reply.header("age")), (304, "7"));
        for (name, value) in kept {
            assert_eq!(reply.header(name), value);
        }
        for name in [
            "content-length",
            "content-type",
            "content-language",
            "last-modified",
        ] {
            assert!(!reply.headers.contains_key(name), "{name}");
        }
    })
    .await;
}

#[tokio::test]
async fn last_modified_stays_where_there_is_no_tag() {
    everywhere(async |site| {
        site.store(ok("abc", &[CC, ("last-modified", MODIFIED)]))
            .await;
        let reply = site.get(&[("if-modified-since", MODIFIED)]).await;
        assert_eq!(
            (reply.status.as_u16(), reply.header("last-modified")),
            (304, MODIFIED)
        );
    })
    .await;
}

#[tokio::test]
async fn head_is_conditional_too() {
    everywhere(async |site| {
        site.store(ok("abc", &[CC, ("etag", "\"a\"")])).await;
        let reply = site.send("HEAD", "/x", &[("if-none-match", "\"a\"")]).await;
        assert!(reply.hit() && reply.status == 304);
    })
    .await;
}

#[tokio::test]
async fn conditions_are_for_successes_alone() {
    everywhere(async |site| {
        site.store(status(404, "gone", &[CC, ("etag", "\"a\"")]))
            .await;
        let reply = site.get(&[("if-none-match", "\"a\"")]).await;
        assert_eq!((reply.status.as_u16(), reply.text()), (404, "gone"));
    })
    .await;
}

#[tokio::test]
async fn if_match_and_if_unmodified_since_are_the_origins() {
    everywhere(async |site| {
        site.store(ok("abc", &[CC, ("etag", "\"a\"")])).await;
        for asked in [("if-match", "\"b\""), ("if-unmodified-since", MODIFIED)] {
            site.answers([status(412, "", &[CC])]);
            let reply = site.get(&[asked]).await;
            assert_eq!(reply.status, 412, "{asked:?}");
            assert_eq!(site.asked_once().header(asked.0), asked.1);
            site.hits("abc").await;
        }
    })
    .await;
}

/// What a client sends that has an answer.
const KNOWN: (&str, &str) = ("if-none-match", "\"a\"");

#[tokio::test]
async fn an_answer_that_is_not_stored_is_told_by_304_to_who_has_it() {
    everywhere(async |site| {
        let refused = [
            ("/a", ("cache-control", "no-store")),
            ("/b", ("cache-control", "private")),
            ("/c", ("set-cookie", "a=b")),
        ];
        for (uri, field) in refused {
            site.answers([ok("whole", &[field, ("etag", "\"a\"")])]);
            let reply = site.send("GET", uri, &[KNOWN]).await;
            assert_eq!((reply.status.as_u16(), reply.text()), (304, ""), "{uri}");
            assert_eq!(reply.header(field.0), field.1);
            assert_eq!(site.asked_once().header("if-none-match"), "");
            site.answers([ok("whole", &[field, ("etag", "\"b\"")])]);
            assert_eq!(site.send("GET", uri, &[KNOWN]).await.text(), "whole");
            site.asked();
        }
        site.answers([status(404, "gone", &[("etag", "\"a\"")])]);
        let reply = site.send("GET", "/d", &[KNOWN]).await;
        assert_eq!((reply.status.as_u16(), reply.text()), (404, "gone"));
    })
    .await;
}

#[tokio::test]
async fn the_origin_judges_conditions_where_authorization_keeps_answers_apart() {
    everywhere(async |site| {
        let mine = [("authorization", "Bearer a"), KNOWN];
        // it could be an answer for all
        site.answers([ok("mine", &[CC, ("etag", "\"a\"")])]);
        assert_eq!(site.get(&mine).await.status, 304);
        assert_eq!(site.asked_once().header("if-none-match"), "");
        for _ in 0..2 {
            site.answers([status(304, "", &[("etag", "\"a\"")])]);
            assert_eq!(site.get(&mine).await.status, 304);
            assert_eq!(site.asked_once().header("if-none-match"), "\"a\"");
        }
        // others lead all the same, and what they store ends it
        let fields = [("cache-control", "public, max-age=60"), ("etag", "\"a\"")];
        site.answers([ok("for all", &fields)]);
        assert_eq!(site.get(&mine[..1]).await.text(), "for all");
        assert!(site.get(&mine).await.hit());
        site.advance(60);
        site.answers([ok("new", &fields)]);
        site.get(&mine).await;
        assert!(site.get(&mine[..1]).await.hit());
    })
    .await;
}
