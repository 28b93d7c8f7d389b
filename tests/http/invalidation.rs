//! Invalidation by unsafe methods (RFC 9111, 4.4) and by groups (RFC 9875).

use super::site::{Answer, Site, everywhere, fresh, ok, status};
use crate::support::request;

const CC: (&str, &str) = ("cache-control", "max-age=60");

async fn stored(site: &Site, uri: &str) -> bool {
    site.answers([ok("new", &[])]);
    let hit = site.send("GET", uri, &[]).await.hit();
    site.forget_script();
    hit
}

async fn store(site: &Site, uris: &[&str]) {
    for uri in uris {
        site.answers([fresh("old")]);
        site.send("GET", uri, &[]).await;
    }
}

#[tokio::test]
async fn an_unsafe_or_unknown_method_invalidates_its_target() {
    everywhere(async |site| {
        for method in ["POST", "PUT", "DELETE", "PATCH", "FOO"] {
            for code in [200, 201, 204, 303] {
                store(&site, &["/x?a=1", "/x?a=2"]).await;
                site.answers([status(code, "", &[])]);
                site.send(method, "/x?a=1", &[]).await;
                assert!(!stored(&site, "/x?a=1").await, "{method} {code}");
                assert!(stored(&site, "/x?a=2").await, "{method} {code}");
                site.forget().await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_safe_or_a_refused_request_does_not() {
    everywhere(async |site| {
        store(&site, &["/x"]).await;
        let named = [("location", "/x"), ("cache-group-invalidation", "\"g\"")];
        for (method, code) in [
            ("OPTIONS", 200),
            ("TRACE", 200),
            ("HEAD", 200),
            ("POST", 400),
            ("PUT", 409),
            ("DELETE", 500),
        ] {
            site.answers([status(code, "", &named)]);
            let headers = [("cache-control", "no-cache")];
            site.send(method, "/x", &headers).await;
            site.forget_script();
            assert!(stored(&site, "/x").await, "{method} {code}");
        }
    })
    .await;
}

#[tokio::test]
async fn one_whose_end_is_unknown_does() {
    everywhere(async |site| {
        store(&site, &["/x"]).await;
        site.answers([Answer::Unreachable]);
        let put = request(axum::http::Method::PUT, "/x", &[]);
        assert!(site.try_send(put).await.is_err());
        assert!(!stored(&site, "/x").await);
    })
    .await;
}

#[tokio::test]
async fn so_are_the_uris_that_its_answer_names_on_the_same_host() {
    everywhere(async |site| {
        for name in ["location", "content-location"] {
            for (uri, gone) in [
                ("/b/y", true),
                ("y", true),
                ("../b/y#part", true),
                ("http://a.example/b/y", true),
                ("http://A.Example/b/y", true),
                ("//a.example/b/y", true),
                ("http://a.example:80/b/y", true),
                ("https://a.example:443/b/y", true),
                ("http://a.example/c/../b/y", true),
                ("//a.example/./b/y", true),
                ("/c/%2E%2e/b/y", true),
                ("http://a.example:443/b/y", false),
                ("http://b.example/b/y", false),
                ("//b.example/b/y", false),
                ("http://a.example:8080/b/y", false),
                ("http://a.example@b.example/b/y", false),
            ] {
                store(&site, &["/b/y"]).await;
                site.answers([ok("", &[(name, uri)])]);
                site.send("POST", "/b/x", &[]).await;
                assert_eq!(stored(&site, "/b/y").await, !gone, "{name}: {uri}");
                site.forget().await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_group_goes_at_the_word_of_an_unsafe_request() {
    everywhere(async |site| {
        let store = async || {
            for (uri, groups) in [
                ("/one", "\"g\";x=1, \"h\""),
                ("/two", "\"h\""),
                ("/three", "\"G\""),
                ("/four", "g"), // no String: the field is ignored
            ] {
                site.answers([ok("old", &[CC, ("cache-groups", groups)])]);
                site.send("GET", uri, &[]).await;
            }
        };
        let post = async |groups: &'static str, host| {
            site.answers([ok("", &[("cache-group-invalidation", groups)])]);
            site.send("POST", "/else", &[("host", host)]).await;
        };
        store().await;
        post("\"g\", token", "a.example").await;
        post("\"g\"", "b.example").await;
        assert!(
            stored(&site, "/one").await,
            "malformed, or of another origin"
        );
        post("\"x\", \"g\"", "a.example").await;
        assert!(!stored(&site, "/one").await);
        for uri in ["/two", "/three", "/four"] {
            assert!(stored(&site, uri).await, "{uri}: it does not cascade");
        }
    })
    .await;
}

#[tokio::test]
async fn a_group_is_one_whether_a_request_tells_its_scheme_or_not() {
    everywhere(async |site| {
        let http2 = ("https://a.example/x", "https://a.example/else");
        let http1 = ("/x", "/else"); // over TLS just so
        for ((uri, _), (_, other)) in [(http2, http1), (http1, http2)] {
            site.answers([ok("old", &[CC, ("cache-groups", "\"g\"")])]);
            site.send("GET", uri, &[]).await;
            assert!(stored(&site, uri).await, "{uri}");
            site.answers([ok("", &[("cache-group-invalidation", "\"g\"")])]);
            site.send("POST", other, &[]).await;
            assert!(!stored(&site, uri).await, "{uri} by {other}");
        }
    })
    .await;
}

#[tokio::test]
async fn many_long_groups_count() {
    everywhere(async |site| {
        let name = |n: usize| format!("\"{n:0>32}\"");
        let all: Vec<_> = (0..32).map(name).collect();
        site.store(ok("old", &[CC, ("cache-groups", &all.join(", "))]))
            .await;
        let last = name(31);
        site.answers([ok("", &[("cache-group-invalidation", &last)])]);
        site.send("POST", "/else", &[]).await;
        site.misses(&[]).await;
    })
    .await;
}
