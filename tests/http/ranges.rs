//! Parts of what is stored (RFC 9110, 14).

use super::site::{everywhere, ok, status};
use crate::support::Reply;

const CC: (&str, &str) = ("cache-control", "max-age=3600");
const MODIFIED: &str = "Thu, 19 Nov 2026 00:00:00 GMT";

fn seen(reply: &Reply) -> (u16, &str, &str) {
    (
        reply.status.as_u16(),
        reply.text(),
        reply.header("content-range"),
    )
}

#[tokio::test]
async fn one_range_is_a_part() {
    everywhere(async |site| {
        site.store(ok("0123456789", &[CC, ("etag", "\"a\""), ("x-own", "1")]))
            .await;
        for (range, body, content) in [
            ("bytes=0-0", "0", "bytes 0-0/10"),
            ("bytes=2-4", "234", "bytes 2-4/10"),
            ("bytes=7-", "789", "bytes 7-9/10"),
            ("bytes=-2", "89", "bytes 8-9/10"),
            ("bytes=8-99", "89", "bytes 8-9/10"),
            ("bytes=-99", "0123456789", "bytes 0-9/10"),
        ] {
            let reply = site.get(&[("range", range)]).await;
            assert!(reply.hit());
            assert_eq!(seen(&reply), (206, body, content), "{range}");
            assert_eq!(reply.header("content-length"), body.len().to_string());
            assert_eq!(
                (reply.header("etag"), reply.header("x-own")),
                ("\"a\"", "1")
            );
        }
    })
    .await;
}

#[tokio::test]
async fn several_ranges_other_units_and_rubbish_are_the_whole() {
    everywhere(async |site| {
        site.store(ok("0123456789", &[CC])).await;
        for range in [
            "bytes=0-1,4-5",
            "items=0-1",
            "bytes=4-2",
            "bytes=x-",
            "bytes",
            "",
        ] {
            let reply = site.get(&[("range", range)]).await;
            assert_eq!(seen(&reply), (200, "0123456789", ""), "{range}");
        }
        let lines = [("range", "bytes=0-1"), ("range", "bytes=2-3")];
        assert_eq!(site.get(&lines).await.status, 200);
        let head = site.send("HEAD", "/x", &[("range", "bytes=0-1")]).await;
        assert_eq!(
            (head.status.as_u16(), head.header("content-length")),
            (200, "10")
        );
    })
    .await;
}

#[tokio::test]
async fn behind_the_end_is_unsatisfiable_and_nothing_to_keep() {
    everywhere(async |site| {
        let expires = site.date(3600);
        let fields = [
            CC,
            ("cdn-cache-control", "max-age=3600"),
            ("expires", &*expires),
            ("etag", "\"a\""),
            ("last-modified", MODIFIED),
            ("content-type", "text/plain"),
        ];
        site.store(ok("0123456789", &fields)).await;
        for range in ["bytes=10-", "bytes=99-100", "bytes=-0"] {
            let reply = site.get(&[("range", range)]).await;
            assert_eq!(seen(&reply), (416, "", "bytes */10"), "{range}");
            // a cache further out must not take it for the resource
            for (name, _) in fields {
                assert!(!reply.headers.contains_key(name), "{name}");
            }
        }
        site.hits("0123456789").await;
    })
    .await;
}

#[tokio::test]
async fn if_range_wants_the_very_same() {
    everywhere(async |site| {
        let date = site.date(0);
        let fields = [
            CC,
            ("etag", "\"a\""),
            ("last-modified", MODIFIED),
            ("date", &*date),
        ];
        site.store(ok("0123456789", &fields)).await;
        for (validator, code) in [
            ("\"a\"", 206),
            (MODIFIED, 206),
            ("W/\"a\"", 200),
            ("\"b\"", 200),
            ("Thu, 19 Nov 2026 00:00:01 GMT", 200),
            ("yesterday", 200),
        ] {
            let asked = [("range", "bytes=0-1"), ("if-range", validator)];
            assert_eq!(site.get(&asked).await.status.as_u16(), code, "{validator}");
        }
        // which of two counts nobody knows
        let two = [("if-range", "\"a\""), ("if-range", "\"b\"")];
        let asked = [("range", "bytes=0-1"), two[0], two[1]];
        assert_eq!(site.get(&asked).await.status, 200);
        // a range that would be unsatisfiable is not looked at where If-Range fails
        let asked = [("range", "bytes=99-"), ("if-range", "\"b\"")];
        assert_eq!(site.get(&asked).await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn a_weak_validator_allows_no_part() {
    everywhere(async |site| {
        // modified in the second in which it was made (RFC 9110, 8.8.2.2)
        let now = site.date(0);
        let fields = [
            CC,
            ("etag", "W/\"a\""),
            ("last-modified", &*now),
            ("date", &*now),
        ];
        site.store(ok("0123456789", &fields)).await;
        for validator in ["W/\"a\"", "\"a\"", &now] {
            let asked = [("range", "bytes=0-1"), ("if-range", validator)];
            assert_eq!(site.get(&asked).await.status, 200, "{validator}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_304_comes_before_a_part() {
    everywhere(async |site| {
        site.store(ok("0123456789", &[CC, ("etag", "\"a\"")])).await;
        let asked = [("range", "bytes=0-1"), ("if-none-match", "\"a\"")];
        assert_eq!(site.get(&asked).await.status, 304);
    })
    .await;
}

#[tokio::test]
async fn only_a_200_has_parts() {
    everywhere(async |site| {
        for code in [203, 404] {
            site.store(status(code, "0123456789", &[CC])).await;
            let reply = site.get(&[("range", "bytes=0-1")]).await;
            assert_eq!(seen(&reply), (code, "0123456789", ""));
            site.forget().await;
        }
    })
    .await;
}

/// `Content-Digest` is of the content of the message that has it, `Repr-Digest` of the whole
/// (RFC 9530, 2 and 3).
#[tokio::test]
async fn a_part_has_no_digest_of_the_whole_content() {
    everywhere(async |site| {
        let of_content = [
            ("content-digest", "sha-256=:AAAA:"),
            ("content-md5", "AAAA"),
        ];
        let of_whole = ("repr-digest", "sha-256=:AAAA:");
        let mut fields = vec![("cache-control", "max-age=60"), of_whole];
        fields.extend(of_content);
        site.store(ok("0123456789", &fields)).await;
        let part = site.get(&[("range", "bytes=0-3")]).await;
        assert_eq!((part.status.as_u16(), part.text()), (206, "0123"));
        assert_eq!(part.header(of_whole.0), of_whole.1);
        let whole = site.get(&[]).await;
        for (name, value) in of_content {
            assert!(!part.headers.contains_key(name), "{name}");
            assert_eq!(whole.header(name), value);
        }
    })
    .await;
}
