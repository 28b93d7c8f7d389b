//! What may be stored and shared (RFC 9111, 3 and 5.2.2).

use larder::Policy;

use super::site::{everywhere, everywhere_under, fresh, member, ok, status};
use crate::support::eventually;

const CC: &str = "cache-control";

#[tokio::test]
async fn no_store_and_private_are_not_stored() {
    everywhere(async |site| {
        for (value, detail) in [
            ("max-age=60, no-store", "no-store"),
            ("max-age=60, Private", "private"),
            ("max-age=60, private=\"\"", "private"),
        ] {
            site.answers([ok("a", &[(CC, value)])]);
            let miss = site.get(&[]).await;
            assert_eq!(member(&miss).detail.as_deref(), Some(detail), "{value}");
            assert!(!member(&miss).stored);
            site.misses(&[]).await;
        }
    })
    .await;
}

#[tokio::test]
async fn no_cache_is_validated_before_each_use() {
    everywhere(async |site| {
        let fields = [(CC, "max-age=60, no-cache"), ("etag", "\"a\"")];
        site.store(ok("a", &fields)).await;
        for _ in 0..2 {
            site.answers([status(304, "", &[])]);
            let reply = site.get(&[]).await;
            assert_eq!(reply.text(), "a");
            assert_eq!(site.asked_once().header("if-none-match"), "\"a\"");
        }
    })
    .await;
}

/// Without its `Vary`, a 304 that named none made one variant everybody's; without its
/// `Content-Encoding`, a body was no text.
#[tokio::test]
async fn what_tells_how_to_read_an_answer_is_not_left_out_of_it() {
    everywhere(async |site| {
        for directive in ["no-cache", "private"] {
            let value = format!("max-age=10, {directive}=\"vary\"");
            let fields = [(CC, &*value), ("vary", "foo"), ("etag", "\"1\"")];
            site.answers([ok("one", &fields)]);
            site.get(&[("foo", "1")]).await;
            site.advance(11);
            let answer = match directive {
                "private" => ok("one", &fields),
                _ => status(304, "", &[("etag", "\"1\"")]),
            };
            site.answers([answer]);
            assert_eq!(site.get(&[("foo", "1")]).await.text(), "one");
            site.answers([ok("two", &fields)]);
            let other = site.get(&[("foo", "2")]).await;
            assert_eq!(other.text(), "two", "{}: {directive}", site.name);
            site.forget().await;
            site.forget_script();

            let value = format!("max-age=60, {directive}=\"Content-Encoding\"");
            let coded = [(CC, &*value), ("content-encoding", "gzip")];
            for _ in 0..2 {
                site.answers([ok("coded", &coded)]);
                let reply = site.get(&[]).await;
                assert_eq!(reply.header("content-encoding"), "gzip", "{directive}");
            }
            site.forget().await;
            site.forget_script();
        }
    })
    .await;
}

#[tokio::test]
async fn named_fields_are_left_out_and_the_rest_is_stored() {
    everywhere(async |site| {
        for directive in [
            "private=\"x-mine, x-other\"",
            "no-cache=\"X-Mine\", private=x-other",
        ] {
            let value = format!("max-age=60, {directive}");
            let fields = [
                (CC, &*value),
                ("x-mine", "1"),
                ("x-other", "2"),
                ("x-all", "3"),
            ];
            site.answers([ok("a", &fields)]);
            assert_eq!(site.get(&[]).await.header("x-mine"), "1");
            let hit = site.hits("a").await;
            assert_eq!(
                (hit.header("x-mine"), hit.header("x-other")),
                ("", ""),
                "{value}"
            );
            assert_eq!(hit.header("x-all"), "3");
            site.forget().await;
        }
    })
    .await;
}

#[tokio::test]
async fn must_understand_overrides_no_store_where_the_status_is_understood() {
    everywhere(async |site| {
        let value = [(CC, "max-age=60, no-store, must-understand")];
        site.store(ok("a", &value)).await;
        site.hits("a").await;
        site.forget().await;
        for fields in [&value[..], &[(CC, "max-age=60, must-understand")]] {
            site.answers([status(599, "a", fields)]);
            assert!(!member(&site.get(&[]).await).stored);
            site.misses(&[]).await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_answer_to_authorization_is_shared_only_if_it_says_so() {
    everywhere(async |site| {
        let mine = [("authorization", "Basic eA==")];
        site.answers([fresh("a")]);
        let miss = site.get(&mine).await;
        assert_eq!(member(&miss).detail.as_deref(), Some("authorization"));
        site.misses(&[]).await;
        for directive in ["public", "must-revalidate", "s-maxage=60"] {
            let value = format!("max-age=60, {directive}");
            site.answers([ok(directive, &[(CC, &value)])]);
            site.get(&mine).await;
            site.hits(directive).await;
            assert!(site.get(&mine).await.hit());
            site.forget().await;
        }
    })
    .await;
}

#[tokio::test]
async fn cookies_are_stored_only_on_request() {
    let fields = [
        (CC, "max-age=60"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
    ];
    everywhere(async |site| {
        site.answers([ok("a", &fields)]);
        let miss = site.get(&[]).await;
        assert_eq!(member(&miss).detail.as_deref(), Some("set-cookie"));
        site.misses(&[]).await;
    })
    .await;
    everywhere_under(
        || Policy::http().store_set_cookie(),
        async |site| {
            site.store(ok("a", &fields)).await;
            let hit = site.hits("a").await;
            let cookies: Vec<_> = hit.headers.get_all("set-cookie").iter().collect();
            assert_eq!(cookies, ["a=1", "b=2"]);
        },
    )
    .await;
}

#[tokio::test]
async fn a_cookie_that_a_directive_names_is_left_out() {
    everywhere(async |site| {
        for directive in ["private", "no-cache"] {
            let value = format!("max-age=60, {directive}=\"Set-Cookie\"");
            site.answers([ok("a", &[(CC, &value), ("set-cookie", "a=1")])]);
            assert_eq!(site.get(&[]).await.header("set-cookie"), "a=1");
            assert_eq!(site.hits("a").await.header("set-cookie"), "", "{directive}");
            site.forget().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_requests_cookie_does_not_matter_unless_vary_names_it() {
    everywhere(async |site| {
        site.answers([fresh("a")]);
        site.get(&[("cookie", "a=1")]).await;
        assert!(site.get(&[("cookie", "a=2")]).await.hit());
    })
    .await;
}

#[tokio::test]
async fn what_answers_a_range_is_not_stored_for_the_whole() {
    everywhere(async |site| {
        let range = [("range", "bytes=90-99")];
        for (code, body) in [(206, "part"), (416, "")] {
            let fields = [(CC, "public, max-age=60"), ("content-range", "bytes */50")];
            site.answers([status(code, body, &fields)]);
            let reply = site.get(&range).await;
            assert_eq!(reply.status, code);
            assert!(!member(&reply).stored, "{code}");
            site.misses(&[]).await;
        }
        // one that takes no notice of the range is the whole
        site.answers([fresh("whole")]);
        site.get(&range).await;
        site.hits("whole").await;
    })
    .await;
}

#[tokio::test]
async fn a_condition_of_one_client_does_not_keep_the_rest_from_the_whole() {
    everywhere(async |site| {
        let known = [("if-none-match", "\"a\"")];
        site.answers([ok("whole", &[(CC, "max-age=60"), ("etag", "\"a\"")])]);
        let reply = site.get(&known).await;
        assert_eq!((reply.status.as_u16(), reply.text()), (304, ""));
        assert_eq!(site.asked_once().header("if-none-match"), "");
        site.hits("whole").await;
    })
    .await;
}

#[tokio::test]
async fn a_post_that_stands_for_a_get_answers_it() {
    everywhere(async |site| {
        let fields = [(CC, "max-age=60"), ("content-location", "/x")];
        site.answers([ok("posted", &fields)]);
        site.send("POST", "/x", &[]).await;
        site.hits("posted").await;
        site.answers([ok("again", &[])]); // a POST is never answered from the cache
        assert_eq!(site.send("POST", "/x", &[]).await.text(), "again");
        site.misses(&[]).await;
    })
    .await;
}

#[tokio::test]
async fn no_other_post_does() {
    everywhere(async |site| {
        for (code, fields) in [
            (200, &[("content-location", "/x")][..]),
            (200, &[(CC, "max-age=60")]),
            (200, &[(CC, "max-age=60"), ("content-location", "/y")]),
            (
                200,
                &[
                    (CC, "max-age=60"),
                    ("content-location", "http://b.example/x"),
                ],
            ),
            (
                200,
                &[(CC, "max-age=60, private"), ("content-location", "/x")],
            ),
            // what was created is not what a GET asks for
            (201, &[(CC, "max-age=60"), ("content-location", "/x")]),
            (
                303,
                &[
                    (CC, "max-age=60"),
                    ("content-location", "/x"),
                    ("location", "/z"),
                ],
            ),
        ] {
            site.answers([status(code, "posted", fields)]);
            site.send("POST", "/x", &[]).await;
            site.misses(&[]).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_post_that_another_write_overtook_does_not() {
    everywhere(async |site| {
        let later = site.answers_later();
        let posting = site.send("POST", "/x", &[]);
        let overtaking = async {
            eventually("the POST has arrived", || async { site.count() == 1 }).await;
            site.answers([ok("", &[])]);
            site.send("PUT", "/x", &[]).await;
            let fields = [(CC, "max-age=60"), ("content-location", "/x")];
            later.send(ok("before the PUT", &fields)).unwrap();
        };
        tokio::join!(posting, overtaking);
        site.misses(&[]).await;
    })
    .await;
}

/// RFC 6585, 6: 511 "MUST NOT be stored"; 407 is said to one client of a proxy.
#[tokio::test]
async fn what_is_said_on_the_way_to_the_origin_is_not_stored() {
    everywhere(async |site| {
        let fields = [("cache-control", "max-age=60, public, must-understand")];
        for code in [407, 511] {
            site.answers([status(code, "log in", &fields)]);
            assert_eq!(site.get(&[]).await.status, code);
            site.asked();
            site.misses(&[]).await;
        }
    })
    .await;
}
