//! Age and freshness (RFC 9111, 4.2).

use larder::{Policy, seconds};

use super::site::{everywhere, everywhere_under, member, ok, status};
use crate::support::eventually;

#[tokio::test]
async fn max_age_is_counted_from_the_answers_birth() {
    everywhere(async |site| {
        site.store(ok("a", &[("cache-control", "max-age=60"), ("age", "20")]))
            .await;
        site.advance(39);
        let hit = site.hits("a").await;
        assert_eq!(hit.header("age"), "59");
        assert_eq!(member(&hit).ttl, Some(1));
        site.advance(1);
        site.misses(&[]).await;
    })
    .await;
}

#[tokio::test]
async fn s_maxage_comes_before_max_age_and_expires() {
    everywhere(async |site| {
        let past = site.date(-10);
        let fields = [
            ("cache-control", "max-age=1, s-maxage=30"),
            ("expires", &*past),
        ];
        site.store(ok("a", &fields)).await;
        site.advance(29);
        site.hits("a").await;
        site.advance(1);
        site.misses(&[]).await;
    })
    .await;
}

#[tokio::test]
async fn expires_counts_from_date_and_behind_max_age() {
    everywhere(async |site| {
        // the origin's clock is an hour fast
        let (date, expires) = (site.date(3600), site.date(3630));
        site.store(ok("a", &[("date", &date), ("expires", &expires)]))
            .await;
        site.advance(29);
        site.hits("a").await;
        site.advance(1);
        let answer = ok(
            "b",
            &[("cache-control", "max-age=5"), ("expires", &site.date(100))],
        );
        site.answers([answer]);
        assert_eq!(site.get(&[]).await.text(), "b");
        site.advance(5);
        site.misses(&[]).await;
    })
    .await;
}

#[tokio::test]
async fn a_date_that_cannot_be_read_is_in_the_past() {
    everywhere(async |site| {
        for expires in ["0", "-1", "tomorrow", "Fri, 20 Nov 2099 00:00:00 UTC"] {
            site.answers([ok("a", &[("expires", expires)]), ok("b", &[])]);
            site.get(&[]).await;
            assert_eq!(site.get(&[]).await.text(), "b", "{expires}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_date_in_the_past_ages_an_answer() {
    everywhere(async |site| {
        let date = site.date(-50);
        site.store(ok("a", &[("cache-control", "max-age=60"), ("date", &date)]))
            .await;
        site.advance(9);
        assert_eq!(site.hits("a").await.header("age"), "59");
        site.advance(1);
        site.misses(&[]).await;
    })
    .await;
}

#[tokio::test]
async fn the_time_that_an_answer_took_is_part_of_its_age() {
    everywhere(async |site| {
        let later = site.answers_later();
        let asking = site.get(&[]);
        let answering = async {
            eventually("the origin is asked", || async { site.count() == 1 }).await;
            site.advance(10);
            later
                .send(ok("a", &[("cache-control", "max-age=60"), ("age", "5")]))
                .unwrap();
        };
        tokio::join!(biased; asking, answering);
        assert_eq!(site.hits("a").await.header("age"), "15");
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_came_stale_is_not_used() {
    everywhere(async |site| {
        for fields in [
            [("cache-control", "max-age=60"), ("age", "60")],
            [("cache-control", "max-age=60"), ("age", "7200, 0")],
        ] {
            site.answers([ok("a", &fields)]);
            site.get(&[]).await;
            site.misses(&[]).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_lifetime_is_guessed_where_none_is_stated() {
    everywhere(async |site| {
        let modified = site.date(-1000);
        site.store(ok("a", &[("last-modified", &modified)])).await;
        site.advance(99);
        site.hits("a").await;
        site.advance(1);
        site.answers([status(304, "", &[])]);
        site.get(&[]).await;
        assert_eq!(site.asked_once().header("if-modified-since"), modified);
    })
    .await;
}

#[tokio::test]
async fn none_is_guessed_for_statuses_that_do_not_allow_it() {
    everywhere(async |site| {
        let modified = site.date(-1000);
        for (code, guessed) in [
            (203, true),
            (204, true),
            (301, true),
            (308, true),
            (404, true),
            (405, true),
            (410, true),
            (414, true),
            (501, true),
            (201, false),
            (302, false),
            (307, false),
            (403, false),
            (500, false),
            (503, false),
        ] {
            let uri = format!("/{code}");
            site.answers([status(code, "", &[("last-modified", &modified)])]);
            site.send("GET", &uri, &[]).await;
            site.answers([ok("again", &[])]);
            let again = site.send("GET", &uri, &[]).await;
            assert_eq!(again.hit(), guessed, "{code}");
            if guessed {
                site.forget_script();
            }
        }
        // `public` allows a guess for any status (RFC 9111, 4.2.2)
        let public = [("cache-control", "public"), ("last-modified", &*modified)];
        site.store(status(403, "a", &public)).await;
        site.hits("a").await;
    })
    .await;
}

#[tokio::test]
async fn any_final_status_with_stated_freshness_is_stored() {
    everywhere(async |site| {
        for code in [
            200, 203, 204, 299, 301, 302, 303, 307, 400, 404, 410, 499, 500, 503, 599,
        ] {
            let uri = format!("/{code}");
            site.answers([status(code, "", &[("cache-control", "max-age=60")])]);
            site.send("GET", &uri, &[]).await;
            let again = site.send("GET", &uri, &[]).await;
            assert!(again.hit() && again.status.as_u16() == code, "{code}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_status_that_is_none_is_not_stored() {
    everywhere(async |site| {
        for code in [600, 999] {
            site.answers([status(code, "", &[("cache-control", "max-age=60")])]);
            let miss = site.get(&[]).await;
            assert_eq!(member(&miss).detail.as_deref(), Some("status"), "{code}");
            site.misses(&[]).await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_nothing_allows_to_store_is_not_kept_for_validation_either() {
    everywhere(async |site| {
        // 403 is not heuristically cacheable, and `no-cache` states no freshness (RFC 9111, 3)
        let fields = [("cache-control", "no-cache"), ("etag", "\"a\"")];
        site.answers([status(403, "a", &fields), status(403, "b", &[])]);
        assert_eq!(
            member(&site.get(&[]).await).detail.as_deref(),
            Some("status")
        );
        site.asked();
        site.get(&[]).await;
        assert_eq!(site.asked_once().header("if-none-match"), "");
    })
    .await;
}

// Redis gave back as damaged what policy and answer together let live longer
#[tokio::test]
async fn the_longest_lives_come_back_from_the_store() {
    let century = seconds(100 * 365 * 86_400);
    let http = move || Policy::http().revalidate(century);
    everywhere_under(http, async |site| {
        let never = ("expires", "Fri, 31 Dec 9999 23:59:59 GMT");
        site.store(ok("a", &[never, ("etag", "\"a\"")])).await;
        site.hits("a").await;
    })
    .await;
    let route = move || Policy::ttl(century).stale_if_error(century).unmatched();
    everywhere_under(route, async |site| {
        site.store(ok("a", &[("age", "86400")])).await;
        site.hits("a").await;
    })
    .await;
}
