//! What a 304, or the answer to a HEAD, may do to an entry.

use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::{HeaderMap, Method, Response};
use axum::routing::{MethodRouter, any};
use larder::{Policy, hours, seconds};

use crate::support::Tiers;
use crate::tiers;
use crate::{Site, policy, ways};

/// What the handler adds to a 304 or a HEAD.
type Added = Arc<Mutex<Vec<(&'static str, &'static str)>>>;

/// Answers conditions by 304, with `added`.
fn confirms(added: &Added) -> MethodRouter {
    let added = Arc::clone(added);
    any(move |method: Method, headers: HeaderMap| async move {
        let mut answer = Response::builder();
        let confirmed = headers
            .get("if-none-match")
            .is_some_and(|tag| tag == "\"a\"");
        let added = added.lock().unwrap().clone();
        if confirmed || method == Method::HEAD {
            for (name, value) in &added {
                answer = answer.header(*name, *value);
            }
        }
        let set = |name| added.iter().any(|(n, _)| *n == name);
        if !(set("cache-control") && (confirmed || method == Method::HEAD)) {
            answer = answer.header("cache-control", "max-age=10");
        }
        if !(set("etag") && confirmed) {
            answer = answer.header("etag", "\"a\"");
        }
        let page = Body::from(if method == Method::HEAD { "" } else { "page" });
        match confirmed {
            true => answer.status(304).body(Body::empty()).unwrap(),
            false => answer.body(page).unwrap(),
        }
    })
}

/// Both rules on both tiers, with something that has become stale.
async fn stale() -> Vec<(String, Tiers, Site, Added)> {
    let mut all = Vec::new();
    for (rules, policy) in [
        ("ttl", policy().revalidate(hours(1))),
        ("http", Policy::http()),
    ] {
        for tiers in tiers().await {
            let added = Added::default();
            let site = Site::new(&tiers.cache, policy.clone(), confirms(&added));
            site.get("/x", &[]).await;
            assert!(site.get("/x", &[]).await.hit());
            tiers.clock.advance(seconds(11));
            all.push((format!("{rules}, {}", tiers.name), tiers, site, added));
        }
    }
    all
}

// 17
#[tokio::test]
async fn a_set_cookie_of_a_304_is_for_one_client() {
    for (name, tiers, site, added) in stale().await {
        added.lock().unwrap().push(("set-cookie", "sid=alice"));
        let alice = site.get("/x", &[]).await;
        assert_eq!(
            (alice.status.as_u16(), alice.text()),
            (200, "page"),
            "{name}"
        );
        assert_eq!(alice.header("set-cookie"), "sid=alice", "{name}");
        added.lock().unwrap().clear();
        for _ in 0..2 {
            let bob = site.get("/x", &[]).await;
            assert_eq!(
                (bob.text(), bob.header("set-cookie")),
                ("page", ""),
                "{name}"
            );
            tiers.clock.advance(seconds(11));
        }
    }
}

#[tokio::test]
async fn a_304_that_forbids_sharing_ends_the_entry() {
    for said in [
        ("cache-control", "private"),
        ("cache-control", "no-store"),
        ("cache-control", "max-age=10, PRIVATE"),
        ("cdn-cache-control", "no-store"),
        ("vary", "*"),
        ("vary", "accept, *"),
        ("x-auth-token", "alice"),
        ("content-security-policy", "script-src 'nonce-abc'"),
        ("etag", "\"b\""),
    ] {
        for (name, tiers, site, added) in stale().await {
            added.lock().unwrap().push(said);
            site.get("/x", &[]).await;
            let next = site.get("/x", &[("if-none-match", "\"z\"")]).await;
            assert!(!next.hit(), "{name}: {said:?}");
            assert_eq!(next.text(), "page", "{name}: {said:?}");
            assert_eq!(next.header("x-auth-token"), "", "{name}");
            drop(tiers);
        }
    }
}

#[tokio::test]
async fn a_304_that_brings_vary_moves_the_entry() {
    for (name, _tiers, site, added) in stale().await {
        added.lock().unwrap().push(("vary", "x-who"));
        let alice = site.get("/x", &[("x-who", "alice")]).await;
        assert_eq!(alice.text(), "page", "{name}");
        assert!(site.get("/x", &[("x-who", "alice")]).await.hit(), "{name}");
        let bob = site.get("/x", &[("x-who", "bob")]).await;
        assert!(!bob.hit(), "{name}: it varies by now");
    }
}

#[tokio::test]
async fn a_304_changes_nothing_that_describes_the_body() {
    for (name, _tiers, site, added) in stale().await {
        let before = site.get("/other", &[]).await;
        *added.lock().unwrap() = vec![
            ("content-length", "9999"),
            ("content-encoding", "br"),
            ("content-range", "bytes 0-0/1"),
            ("transfer-encoding", "chunked"),
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("age", "5"),
        ];
        site.get("/x", &[]).await;
        added.lock().unwrap().clear();
        let reply = site.get("/x", &[]).await;
        assert!(reply.hit(), "{name}");
        assert_eq!(
            (reply.status.as_u16(), reply.text()),
            (200, "page"),
            "{name}"
        );
        assert_eq!(
            reply.header("content-length"),
            before.body.len().to_string(),
            "{name}"
        );
        for gone in [
            "content-encoding",
            "content-range",
            "transfer-encoding",
            "connection",
            "x-hop",
        ] {
            assert_eq!(reply.header(gone), "", "{name}: {gone}");
        }
    }
}

#[tokio::test]
async fn a_clients_own_conditions_never_confirm_an_entry() {
    for (name, _tiers, site, _added) in stale().await {
        // the handler is asked by the entry's tag, and this client is told by its own
        let lies = [
            ("if-none-match", "\"z\""),
            ("if-modified-since", "Fri, 20 Nov 2099 12:00:00 GMT"),
            ("range", "bytes=0-0"),
        ];
        for lie in lies {
            let reply = site.get("/x", &[lie]).await;
            let status = reply.status.as_u16();
            assert!(matches!(status, 200 | 206 | 304), "{name}: {lie:?}");
            assert!(status != 200 || reply.text() == "page", "{name}: {lie:?}");
        }
        let plain = site.get("/x", &[]).await;
        assert_eq!(
            (plain.status.as_u16(), plain.text()),
            (200, "page"),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_head_that_speaks_of_something_else_does_not_poison_the_page() {
    for (name, _tiers, site, added) in stale().await {
        *added.lock().unwrap() = vec![
            ("set-cookie", "sid=alice"),
            ("content-length", "4"),
            ("content-encoding", "br"),
            ("x-hop", "1"),
            ("connection", "x-hop"),
        ];
        site.send(Method::HEAD, "/x", &[("x-who", "alice")]).await;
        added.lock().unwrap().clear();
        for _ in 0..2 {
            let reply = site.get("/x", &[]).await;
            assert_eq!(
                (reply.status.as_u16(), reply.text()),
                (200, "page"),
                "{name}"
            );
            for gone in ["set-cookie", "content-encoding", "x-hop", "connection"] {
                assert_eq!(reply.header(gone), "", "{name}: {gone}");
            }
        }
    }
}

/// A handler that varies on the user, and a layer inside the cache which adds its own
/// line of `Vary` to all answers: that of a 304 or a HEAD is then shorter.
#[tokio::test]
async fn a_shorter_vary_takes_no_field_off_an_entry() {
    for method in [Method::GET, Method::HEAD] {
        for way in ways().await {
            let policy = way.policy.clone().revalidate(hours(1));
            let site = way.site_with(policy, any(varying));
            let (alice, bob) = (("x-who", "alice"), ("x-who", "bob"));
            site.get("/x", &[alice]).await;
            for round in 0..3 {
                way.tiers.clock.advance(seconds(400));
                site.send(method.clone(), "/x", &[alice]).await;
                let own = site.get("/x", &[alice]).await;
                assert_eq!(own.text(), "page of alice", "{}", way.name);
                let bobs = site.get("/x", &[bob]).await;
                assert_eq!(bobs.text(), "page of bob", "{}, {round}", way.name);
                let vary: Vec<_> = own.headers.get_all("vary").iter().collect();
                assert_eq!(vary.len(), 2, "{}: {vary:?}", way.name);
            }
        }
    }
}

async fn varying(method: Method, headers: HeaderMap) -> Response<Body> {
    let who = headers.get("x-who").unwrap().to_str().unwrap();
    let tag = format!("\"{who}\"");
    let confirmed = headers.get("if-none-match").is_some_and(|t| *t == tag);
    let mut answer = Response::builder()
        .header("cache-control", "max-age=300")
        .header("etag", tag)
        .header("vary", "origin");
    if confirmed || method == Method::HEAD {
        let status = if confirmed { 304 } else { 200 };
        return answer.status(status).body(Body::empty()).unwrap();
    }
    answer = answer.header("vary", "X-Who, origin");
    answer.body(format!("page of {who}").into()).unwrap()
}
