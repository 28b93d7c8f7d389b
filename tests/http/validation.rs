//! Validation (RFC 9111, 4.3), and what a HEAD tells (4.3.5).

use larder::Policy;

use super::site::{everywhere, everywhere_under, member, ok, status};
use crate::support::Reply;

const CC: &str = "cache-control";
const MODIFIED: &str = "Thu, 19 Nov 2026 00:00:00 GMT";
const EARLIER: &str = "Wed, 18 Nov 2026 00:00:00 GMT";

fn revalidated(reply: &Reply) -> bool {
    let said = member(reply);
    said.fwd_status == Some(304) && !said.hit
}

#[tokio::test]
async fn what_is_stale_is_validated_by_all_its_validators() {
    everywhere(async |site| {
        let fields = [
            (CC, "max-age=10"),
            ("etag", "W/\"a\""),
            ("last-modified", MODIFIED),
        ];
        site.store(ok("a", &fields)).await;
        site.advance(10);
        site.answers([status(304, "", &[])]);
        let reply = site.get(&[("if-match-not", "x")]).await;
        assert!(revalidated(&reply) && reply.text() == "a");
        let asked = site.asked_once();
        assert_eq!(asked.header("if-none-match"), "W/\"a\"");
        assert_eq!(asked.header("if-modified-since"), MODIFIED);
    })
    .await;
}

#[tokio::test]
async fn a_304_renews_life_date_and_fields() {
    everywhere(async |site| {
        let date = site.date(0);
        let fields = [
            (CC, "max-age=10"),
            ("date", &date),
            ("etag", "\"a\""),
            ("x-kept", "1"),
            ("x-new", "1"),
            ("x-new", "1b"),
            ("content-type", "text/plain"),
        ];
        site.store(ok("abc", &fields)).await;
        site.advance(12);
        let now = site.date(0);
        let update = [
            (CC, "max-age=30"),
            ("date", &*now),
            ("age", "4"),
            ("etag", "\"a\""),
            ("x-new", "2"),
            ("x-more", "3"),
            ("content-type", "text/plain;charset=utf-8"),
            ("content-length", "0"),
            ("content-encoding", "gzip"),
        ];
        site.answers([status(304, "", &update)]);
        let reply = site.get(&[]).await;
        assert!(revalidated(&reply) && member(&reply).stored);
        assert_eq!(member(&reply).ttl, Some(26));
        let hit = site.hits("abc").await;
        for reply in [reply, hit] {
            assert_eq!((reply.status.as_u16(), reply.text()), (200, "abc"));
            assert_eq!((reply.header("date"), reply.header("age")), (&*now, "4"));
            assert_eq!((reply.header("x-kept"), reply.header("x-more")), ("1", "3"));
            assert_eq!(
                reply.headers.get_all("x-new").iter().collect::<Vec<_>>(),
                ["2"]
            );
            assert_eq!(reply.header("content-type"), "text/plain;charset=utf-8");
            // these describe the body that is stored (RFC 9111, 3.2)
            assert_eq!(reply.header("content-length"), "3");
            assert_eq!(reply.header("content-encoding"), "");
        }
        site.advance(25);
        site.hits("abc").await;
        site.advance(1);
        site.answers([ok("new", &[])]);
        assert_eq!(site.get(&[]).await.text(), "new");
    })
    .await;
}

#[tokio::test]
async fn a_304_without_a_date_begins_a_new_life_now() {
    everywhere(async |site| {
        let date = site.date(-3);
        site.store(ok(
            "a",
            &[(CC, "max-age=10"), ("date", &date), ("etag", "\"a\"")],
        ))
        .await;
        site.advance(20);
        site.answers([status(304, "", &[])]);
        let now = site.date(0);
        assert_eq!(site.get(&[]).await.header("date"), now);
        site.advance(9);
        assert_eq!(site.hits("a").await.header("age"), "9");
    })
    .await;
}

#[tokio::test]
async fn fields_of_the_304s_connection_change_nothing() {
    everywhere(async |site| {
        let fields = [(CC, "max-age=10"), ("etag", "\"a\""), ("x-listed", "1")];
        site.store(ok("a", &fields)).await;
        site.advance(10);
        let update = [
            ("connection", "X-Listed"),
            ("x-listed", "2"),
            ("keep-alive", "1"),
        ];
        site.answers([status(304, "", &update)]);
        let reply = site.get(&[]).await;
        for reply in [reply, site.hits("a").await] {
            assert_eq!(
                (reply.header("x-listed"), reply.header("keep-alive")),
                ("1", "")
            );
        }
    })
    .await;
}

#[tokio::test]
async fn the_same_tag_confirms_whatever_the_date() {
    everywhere(async |site| {
        let fields = [
            (CC, "max-age=10"),
            ("etag", "\"a\""),
            ("last-modified", EARLIER),
        ];
        site.store(ok("a", &fields)).await;
        site.advance(10);
        // a strong validator identifies it, and all fields are updated (4.3.4)
        site.answers([status(
            304,
            "",
            &[("etag", "\"a\""), ("last-modified", MODIFIED)],
        )]);
        assert!(member(&site.get(&[]).await).stored);
        assert_eq!(site.hits("a").await.header("last-modified"), MODIFIED);
    })
    .await;
}

#[tokio::test]
async fn a_304_of_another_answer_updates_nothing() {
    everywhere(async |site| {
        for (stored, said) in [
            (("etag", "\"a\""), ("etag", "\"b\"")),
            (("last-modified", EARLIER), ("last-modified", MODIFIED)),
        ] {
            site.store(ok("a", &[(CC, "max-age=10"), stored])).await;
            site.advance(10);
            site.answers([status(304, "", &[said, (CC, "max-age=99")])]);
            assert!(!member(&site.get(&[]).await).stored);
            site.asked();
            site.misses(&[]).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_304_may_end_what_is_stored() {
    everywhere(async |site| {
        for value in ["no-store", "private"] {
            site.store(ok("a", &[(CC, "max-age=10"), ("etag", "\"a\"")]))
                .await;
            site.advance(10);
            site.answers([status(304, "", &[(CC, value)])]);
            let reply = site.get(&[]).await;
            assert_eq!(
                (reply.text(), member(&reply).stored),
                ("a", false),
                "{value}"
            );
            site.asked();
            site.answers([ok("b", &[])]);
            site.get(&[]).await;
            assert_eq!(site.asked_once().header("if-none-match"), "", "{value}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_200_takes_the_place_of_what_was_stale() {
    everywhere(async |site| {
        site.store(ok(
            "a",
            &[(CC, "max-age=10"), ("etag", "\"a\""), ("x-old", "1")],
        ))
        .await;
        site.advance(10);
        site.answers([ok("b", &[(CC, "max-age=10"), ("etag", "\"b\"")])]);
        let reply = site.get(&[]).await;
        let said = member(&reply);
        assert_eq!(
            (said.fwd.as_deref(), said.fwd_status),
            (Some("stale"), Some(200))
        );
        assert!(said.stored);
        let hit = site.hits("b").await;
        assert_eq!((hit.header("etag"), hit.header("x-old")), ("\"b\"", ""));
    })
    .await;
}

#[tokio::test]
async fn a_conditional_client_is_answered_after_validation() {
    everywhere(async |site| {
        let fields = [(CC, "max-age=10"), ("etag", "\"a\"")];
        site.store(ok("abc", &fields)).await;
        for (asked, code, body) in [
            (("if-none-match", "\"x\", W/\"a\""), 304, ""),
            (("if-none-match", "\"x\""), 200, "abc"),
            (("range", "bytes=1-1"), 206, "b"),
        ] {
            site.advance(10);
            site.answers([status(304, "", &[])]);
            let reply = site.get(&[asked]).await;
            assert_eq!(
                (reply.status.as_u16(), reply.text()),
                (code, body),
                "{asked:?}"
            );
            assert!(revalidated(&reply));
            let sent = site.asked_once();
            assert_eq!(sent.header("if-none-match"), "\"a\"", "{asked:?}");
            assert_eq!(sent.header("range"), "");
        }
    })
    .await;
}

#[tokio::test]
async fn what_has_a_long_window_is_validated_all_the_same() {
    everywhere(async |site| {
        // longer than the day for which entries are kept for validation
        let value = "max-age=10, stale-if-error=999999";
        site.store(ok("a", &[(CC, value), ("etag", "\"a\"")])).await;
        site.advance(10);
        site.answers([status(304, "", &[])]);
        assert_eq!(site.get(&[]).await.text(), "a");
        assert_eq!(site.asked_once().header("if-none-match"), "\"a\"");
    })
    .await;
}

#[tokio::test]
async fn a_head_updates_what_it_confirms() {
    everywhere(async |site| {
        site.store(ok(
            "abc",
            &[(CC, "max-age=10"), ("etag", "\"a\""), ("x-new", "1")],
        ))
        .await;
        site.advance(10);
        let said = [
            (CC, "max-age=20"),
            ("etag", "\"a\""),
            ("content-length", "3"),
            ("x-new", "2"),
        ];
        site.answers([ok("", &said)]);
        site.send("HEAD", "/x", &[]).await;
        let asked = site.asked_once();
        assert_eq!(
            (asked.method.as_str(), asked.header("if-none-match")),
            ("HEAD", "")
        );
        assert_eq!(site.hits("abc").await.header("x-new"), "2");
        site.advance(19);
        site.hits("abc").await;
    })
    .await;
}

#[tokio::test]
async fn a_head_ends_what_it_contradicts() {
    everywhere(async |site| {
        for said in [
            ("etag", "\"b\""),
            ("last-modified", MODIFIED),
            ("content-length", "4"),
        ] {
            let window = "max-age=10, stale-while-revalidate=60";
            let fields = [(CC, window), ("etag", "\"a\""), ("last-modified", EARLIER)];
            site.store(ok("abc", &fields)).await;
            site.answers([ok("", &[(CC, "max-age=20"), said])]);
            site.send("HEAD", "/x", &[(CC, "no-cache")]).await;
            site.asked();
            site.misses(&[]).await;
        }
    })
    .await;
}

/// Else whoever asks by HEAD keeps a body for ever, for nothing says whether it is the
/// one that a GET would get.
#[tokio::test]
async fn a_head_that_confirms_nothing_renews_nothing() {
    const TAG: (&str, &str) = ("etag", "\"a\"");
    const DATE: (&str, &str) = ("last-modified", EARLIER);
    everywhere(async |site| {
        let none: &[(&str, &str)] = &[];
        for (stored, said) in [
            (none, none),
            (&[TAG], none),
            (&[DATE], none),
            (none, &[DATE]),
            (&[DATE], &[DATE, TAG]),
            (&[TAG], &[TAG, DATE]),
        ] {
            let with = |fields: &[(&'static str, &'static str)]| {
                [&[(CC, "max-age=10"), ("content-length", "3")], fields].concat()
            };
            site.store(ok("abc", &with(stored))).await;
            site.advance(8);
            site.answers([ok("", &with(said))]);
            site.send("HEAD", "/x", &[(CC, "no-cache")]).await;
            assert_eq!(site.hits("abc").await.header("age"), "8", "{said:?}");
            site.advance(3);
            site.asked();
            site.misses(&[]).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_failed_head_changes_nothing() {
    everywhere(async |site| {
        site.store(ok("abc", &[(CC, "max-age=10"), ("etag", "\"a\"")]))
            .await;
        site.answers([status(404, "", &[("etag", "\"b\"")])]);
        let reply = site.send("HEAD", "/x", &[(CC, "no-cache")]).await;
        assert_eq!(reply.status, 404);
        site.hits("abc").await;
    })
    .await;
}

#[tokio::test]
async fn what_clients_are_told_is_no_word_of_the_origins() {
    let policy = || Policy::http().client_cache("private");
    everywhere_under(policy, async |site| {
        let fields = |seconds| ("expires", site.date(seconds));
        let tag = ("etag", "\"a\"");
        let (name, first) = fields(10);
        site.store(ok("a", &[tag, (name, &first)])).await;
        site.advance(10);
        let (name, second) = fields(10);
        site.answers([status(304, "", &[tag, (name, &second)])]);
        let reply = site.get(&[]).await;
        assert!(revalidated(&reply) && member(&reply).stored);
        assert_eq!(site.hits("a").await.header(CC), "private");
        site.advance(10);
        let (name, third) = fields(10);
        site.answers([ok("", &[tag, (name, &third)])]);
        site.send("HEAD", "/x", &[]).await;
        assert_eq!(site.hits("a").await.header(CC), "private");
    })
    .await;
}

#[tokio::test]
async fn a_304_that_may_not_be_stored_is_as_old_as_it_says() {
    everywhere(async |site| {
        let fields = [(CC, "max-age=60"), ("etag", "\"a\"")];
        site.store(ok("a", &fields)).await;
        site.advance(1_000);
        let now = site.date(0);
        let private = [(CC, "private, max-age=60"), ("date", &now), ("age", "7")];
        site.answers([status(304, "", &private)]);
        let reply = site.get(&[]).await;
        assert!(revalidated(&reply) && !member(&reply).stored);
        assert_eq!((reply.header("date"), reply.header("age")), (&*now, "7"));
    })
    .await;
}
