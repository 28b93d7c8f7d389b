//! Answers that vary (RFC 9111, 4.1; RFC 9110, 12.5.5).

use axum::Router;
use axum::http::Method;
use axum::routing::get as on_get;
use larder::{Cache, MIB, Policy, Tier, Would};

use super::site::{Site, everywhere, everywhere_with, member, ok};
use crate::support::redis_server::Redis;
use crate::support::{PATIENT, get_with, request};

const CC: (&str, &str) = ("cache-control", "max-age=60");

/// Asks with these fields; the origin would answer `new`.
async fn ask(site: &Site, fields: &[(&str, &str)], vary: &str, new: &'static str) -> String {
    site.answers([ok(new, &[CC, ("vary", vary)])]);
    let reply = site.get(fields).await;
    if reply.hit() {
        site.forget_script();
    }
    reply.text().to_owned()
}

#[tokio::test]
async fn each_variant_is_its_own() {
    everywhere(async |site| {
        let foo = async |value, new| ask(&site, &[("foo", value)], "Foo", new).await;
        assert_eq!(foo("1", "one").await, "one");
        assert_eq!(foo("2", "two").await, "two");
        assert_eq!(foo("1", "x").await, "one");
        assert_eq!(foo("2", "x").await, "two");
        assert_eq!(ask(&site, &[], "Foo", "none").await, "none");
        assert_eq!(ask(&site, &[("foo", "")], "Foo", "empty").await, "empty");
        assert_eq!(ask(&site, &[], "Foo", "x").await, "none");
        site.answers([ok("three", &[CC, ("vary", "Foo")])]);
        let miss = site.get(&[("foo", "3")]).await;
        assert_eq!(member(&miss).fwd.as_deref(), Some("vary-miss"));
    })
    .await;
}

#[tokio::test]
async fn several_lines_name_several_fields() {
    everywhere(async |site| {
        let answer = |body| ok(body, &[CC, ("vary", "foo"), ("vary", "bar, foo")]);
        site.answers([answer("a")]);
        site.get(&[("foo", "1"), ("bar", "1")]).await;
        assert!(
            site.get(&[("bar", "1"), ("foo", "1"), ("other", "1")])
                .await
                .hit()
        );
        for fields in [[("foo", "1"), ("bar", "2")], [("foo", "2"), ("bar", "1")]] {
            site.answers([answer("b")]);
            assert!(!site.get(&fields).await.hit());
        }
    })
    .await;
}

#[tokio::test]
async fn a_star_is_never_stored() {
    everywhere(async |site| {
        for vary in ["*", "foo, *", "*, foo", ",*"] {
            site.answers([ok("a", &[CC, ("vary", vary)])]);
            let miss = site.get(&[]).await;
            assert_eq!(member(&miss).detail.as_deref(), Some("vary"), "{vary}");
            site.misses(&[]).await;
        }
        site.answers([ok("a", &[CC, ("vary", "foo"), ("vary", "*")])]);
        site.get(&[]).await;
        site.misses(&[]).await;
    })
    .await;
}

#[tokio::test]
async fn what_means_the_same_is_one_variant() {
    everywhere(async |site| {
        for (name, first, same) in [
            ("foo", &["1, 2"][..], &["1", "2"][..]),
            ("foo", &["a,b"], &[" a ,b "]),
            ("accept-language", &["en, de;q=0.5"], &["DE; q=0.50", "EN"]),
            ("accept-encoding", &["gzip, br"], &["br,x-gzip"]),
        ] {
            let fields = |lines: &[&'static str]| -> Vec<(&str, &str)> {
                lines.iter().map(|line| (name, *line)).collect()
            };
            assert_eq!(ask(&site, &fields(first), name, "a").await, "a");
            assert_eq!(
                ask(&site, &fields(same), name, "b").await,
                "a",
                "{name}: {same:?}"
            );
            site.forget().await;
        }
        for (one, other) in [("a", "A"), ("1, 2", "2, 1"), ("\"a, b\"", "\"a,b\"")] {
            assert_eq!(ask(&site, &[("foo", one)], "foo", "a").await, "a");
            assert_eq!(
                ask(&site, &[("foo", other)], "foo", "b").await,
                "b",
                "{one} {other}"
            );
            site.forget().await;
        }
    })
    .await;
}

#[tokio::test]
async fn memory_chooses_by_the_language_that_is_liked_best() {
    everywhere(async |site| {
        if site.name == "redis" {
            return; // what is known of variants is known to the process
        }
        for (lang, body) in [("en", "hello"), ("de", "hallo")] {
            let fields = [CC, ("vary", "accept-language"), ("content-language", lang)];
            site.answers([ok(body, &fields)]);
            site.get(&[("accept-language", lang)]).await;
        }
        let with = async |value| site.get(&[("accept-language", value)]).await;
        assert_eq!(with("fr;q=0.3, de;q=0.8").await.text(), "hallo");
        assert_eq!(with("En, de;q=0.9").await.text(), "hello");
        let asked = [("accept-language", "fr;q=0.2, de")];
        let would = site
            .cache
            .explain(&request(Method::GET, "/x", &asked))
            .await;
        assert_eq!(would.would, Would::Hit(Tier::Memory), "{would}");
        let key = would.key.as_ref().expect("it takes part");
        let entry = site.cache.entry(key.as_str()).await.unwrap();
        assert!(entry.is_some(), "{would}");
        for unknown in ["en, de", "fr, de;q=0.1", "*"] {
            site.answers([ok("new", &[])]);
            assert_eq!(with(unknown).await.text(), "new", "{unknown}");
        }
    })
    .await;
}

#[tokio::test]
async fn variants_are_bounded_and_the_oldest_goes() {
    everywhere_with(
        |builder| builder.max_variants(2),
        async |site| {
            let foo = async |value, new| ask(&site, &[("foo", value)], "foo", new).await;
            for value in ["1", "2", "3"] {
                foo(value, value).await;
                site.cache.idle().await;
            }
            assert_eq!(foo("3", "x").await, "3");
            assert_eq!(foo("2", "x").await, "2");
            assert_eq!(foo("1", "again").await, "again", "{}", site.name);
        },
    )
    .await;
}

#[tokio::test]
async fn a_stale_variant_is_validated_by_its_own_tag() {
    everywhere(async |site| {
        for (value, tag) in [("1", "\"a\""), ("2", "\"b\"")] {
            let fields = [
                ("cache-control", "max-age=10"),
                ("vary", "foo"),
                ("etag", tag),
            ];
            site.answers([ok(tag, &fields)]);
            site.get(&[("foo", value)]).await;
        }
        site.advance(10);
        site.asked();
        let answer = super::site::status(304, "", &[]);
        site.answers([answer]);
        assert_eq!(site.get(&[("foo", "1")]).await.text(), "\"a\"");
        assert_eq!(site.asked_once().header("if-none-match"), "\"a\"");
        assert!(site.get(&[("foo", "1")]).await.hit());
    })
    .await;
}

#[tokio::test]
async fn a_coding_or_an_echoed_origin_varies_said_or_not() {
    everywhere(async |site| {
        site.answers([ok("zip", &[CC, ("content-encoding", "gzip")])]);
        site.get(&[("accept-encoding", "gzip")]).await;
        assert!(site.get(&[("accept-encoding", "gzip")]).await.hit());
        site.misses(&[]).await;
        site.forget().await;
        let echo = [CC, ("access-control-allow-origin", "https://b.example")];
        site.answers([ok("echo", &echo)]);
        site.get(&[("origin", "https://b.example")]).await;
        assert!(site.get(&[("origin", "https://b.example")]).await.hit());
        site.misses(&[("origin", "https://c.example")]).await;
    })
    .await;
}

#[tokio::test]
async fn an_invalidation_reaches_every_variant() {
    everywhere(async |site| {
        for value in ["1", "2"] {
            ask(&site, &[("foo", value)], "foo", "old").await;
        }
        site.answers([ok("", &[])]);
        site.send("PUT", "/x", &[("foo", "3")]).await;
        for value in ["1", "2"] {
            assert_eq!(ask(&site, &[("foo", value)], "foo", "new").await, "new");
        }
    })
    .await;
}

/// What memory takes from another language, nobody finds in the store.
#[tokio::test]
async fn warming_fills_a_language_that_memory_answers_by_another() {
    let redis = Redis::start();
    let make = || {
        let cache = Cache::builder().memory(16 * MIB).redis(redis.url());
        let cache = cache.operation_timeout(PATIENT).build().unwrap();
        let fields = [CC, ("vary", "accept-language"), ("content-language", "de")];
        let handler = on_get(move || async move { (fields, "hallo") });
        let app = Router::new().route("/x", handler.layer(cache.layer(Policy::http())));
        (cache, app)
    };
    let ((a, app_a), (_b, app_b)) = (make(), make());
    get_with(&app_a, "/x", &[("accept-language", "de")]).await;
    a.idle().await;
    let asked = "fr;q=0.2, de";
    let warm = a.warm().host("a.example").header("accept-language", asked);
    let report = warm.requests(app_a.clone(), ["/x"]).report().await;
    assert_eq!(report.filled, 1, "{report:?}");
    a.idle().await;
    let other = get_with(&app_b, "/x", &[("accept-language", asked)]).await;
    assert!(other.hit(), "{:?}", other.outcome);
}
