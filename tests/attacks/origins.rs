//! Other origins, other targets: groups, locations, answers to POST, and fields
//! of one connection.

use axum::body::Body;
use axum::http::{HeaderMap, Method, Response};
use axum::routing::{MethodRouter, any};
use larder::Policy;

use crate::{FRESH, Site, ways};
use crate::{tiers, tiers_with};

/// Pages by GET, members of the group `g`; by other methods it says what the
/// request tells it to.
fn obeys() -> MethodRouter {
    let calls = crate::support::Calls::default();
    any(move |method: Method, headers: HeaderMap| async move {
        let mut answer = Response::builder().header(FRESH.0, FRESH.1);
        if method.is_safe() {
            answer = answer.header("cache-groups", "\"g\"");
        } else {
            let names = ["location", "content-location", "cache-group-invalidation"];
            for name in names {
                if let Some(value) = headers.get(format!("x-{name}")) {
                    answer = answer.header(name, value);
                }
            }
        }
        answer
            .body(Body::from(format!("v{}", calls.count())))
            .unwrap()
    })
}

#[tokio::test]
async fn a_group_is_its_origins_and_its_tenants() {
    let tenant = |builder: larder::CacheBuilder| {
        builder.tenant(|head| Some(head.headers().get("x-tenant")?.to_str().ok()?.to_owned()))
    };
    for rules in [crate::policy(), Policy::http()] {
        for tiers in tiers_with(tenant).await {
            let site = Site::new(&tiers.cache, rules.clone(), obeys());
            let page = async |host: &str, tenant: &str| {
                site.get("/x", &[("host", host), ("x-tenant", tenant)])
                    .await
            };
            let pairs = [("a.example", "1"), ("a.example", "2"), ("b.example", "1")];
            for (host, tenant) in pairs {
                page(host, tenant).await;
            }
            let evil = [
                ("host", "b.example"),
                ("x-tenant", "1"),
                ("x-cache-group-invalidation", "\"g\""),
            ];
            site.send(Method::POST, "/other", &evil).await;
            assert!(page("a.example", "1").await.hit(), "{}", tiers.name);
            assert!(page("a.example", "2").await.hit(), "{}", tiers.name);
            assert!(!page("b.example", "1").await.hit(), "{}", tiers.name);
        }
    }
}

#[tokio::test]
async fn a_location_on_another_origin_invalidates_nothing() {
    for way in ways().await {
        let site = way.site(obeys());
        site.get("/victim", &[]).await;
        for elsewhere in [
            "http://b.example/victim",
            "https://b.example/victim",
            "//b.example/victim",
            "http://a.example@b.example/victim",
            "http://b.example@a.example/victim",
            "http://a.example:8080/victim",
            "http://a.example.b.example/victim",
            "javascript:/victim",
            "http:/victim",
            "\\\\a.example\\victim",
            "%2fvictim",
            "/victim%00",
        ] {
            for name in ["x-location", "x-content-location"] {
                site.send(Method::POST, "/y", &[(name, elsewhere)]).await;
                assert!(
                    site.get("/victim", &[]).await.hit(),
                    "{}: {elsewhere}",
                    way.name
                );
            }
        }
        site.send(
            Method::POST,
            "/y",
            &[("x-location", "http://a.example/victim")],
        )
        .await;
        assert!(!site.get("/victim", &[]).await.hit(), "{}", way.name);
    }
}

#[tokio::test]
async fn a_post_never_answers_for_another_target() {
    for way in ways().await {
        let site = way.site(obeys());
        for elsewhere in [
            "/victim",
            "http://a.example/victim",
            "http://b.example/mine",
            "//b.example/mine",
            "/mine?x",
            "/mine/",
            "/mine%00",
            "../victim",
        ] {
            site.send(Method::POST, "/mine", &[("x-content-location", elsewhere)])
                .await;
            for target in ["/victim", "/mine"] {
                assert!(
                    !site.get(target, &[]).await.hit(),
                    "{}: {elsewhere} {target}",
                    way.name
                );
            }
            let other = [("host", "b.example")];
            assert!(!site.get("/mine", &other).await.hit(), "{}", way.name);
            way.tiers
                .cache
                .invalidate(larder::everything())
                .await
                .unwrap();
        }
        // its own target is the one that it may speak for, under HTTP's rules
        site.send(Method::POST, "/mine", &[("x-content-location", "/mine")])
            .await;
        assert_eq!(
            site.get("/mine", &[]).await.hit(),
            way.http(),
            "{}",
            way.name
        );
    }
}

#[tokio::test]
async fn a_post_of_one_user_or_tenant_is_not_anothers_get() {
    let handler = any(|headers: HeaderMap| async move {
        let of = |name: &str| {
            headers
                .get(name)
                .map_or("-", |v| v.to_str().unwrap())
                .to_owned()
        };
        let text = format!("{} {}", of("authorization"), of("x-tenant"));
        ([FRESH, ("content-location", "/x")], text)
    });
    let tenant = |builder: larder::CacheBuilder| {
        builder.tenant(|head| Some(head.headers().get("x-tenant")?.to_str().ok()?.to_owned()))
    };
    for tiers in tiers_with(tenant).await {
        let site = Site::new(&tiers.cache, Policy::http(), handler.clone());
        let alice = [("authorization", "alice"), ("x-tenant", "a")];
        site.send(Method::POST, "/x", &alice).await;
        let in_a = site.get("/x", &[("x-tenant", "a")]).await;
        assert_eq!(in_a.text(), "- a", "{}", tiers.name);
        site.send(Method::POST, "/x", &[("x-tenant", "a")]).await;
        let in_b = site.get("/x", &[("x-tenant", "b")]).await;
        assert_eq!(in_b.text(), "- b", "{}", tiers.name);
        let bob = site
            .get("/x", &[("x-tenant", "a"), ("authorization", "bob")])
            .await;
        assert_eq!(bob.text(), "bob a", "{}", tiers.name);
    }
    for tiers in tiers().await {
        let scoped = Policy::http().scope(larder::Scope::bearer());
        let site = Site::new(&tiers.cache, scoped, handler.clone());
        site.send(Method::POST, "/x", &[("authorization", "alice")])
            .await;
        let bob = site.get("/x", &[("authorization", "bob")]).await;
        assert_eq!(bob.text(), "bob -", "{}", tiers.name);
        assert_eq!(site.get("/x", &[]).await.text(), "- -", "{}", tiers.name);
    }
}

/// A gateway takes off what `Connection` lists before it asks the origin, which
/// then answers another request than the one that is keyed.
#[tokio::test]
async fn a_field_that_connection_lists_keys_nothing() {
    let gateway = any(|mut headers: HeaderMap| async move {
        for line in headers.clone().get_all("connection") {
            for name in line.to_str().unwrap().split(',') {
                headers.remove(name.trim());
            }
        }
        let seen = headers
            .get("accept-language")
            .or(headers.get("x-forwarded-host"));
        let seen = seen.map_or("default", |v| v.to_str().unwrap()).to_owned();
        ([FRESH, ("vary", "accept-language")], seen)
    });
    for way in ways().await {
        let site = way.site(gateway.clone());
        for (name, listed) in [
            ("accept-language", "accept-language"),
            ("accept-language", "close, Accept-Language"),
            ("accept-language", "keep-alive,accept-language ,te"),
            ("x-forwarded-host", "X-Forwarded-Host"),
        ] {
            let uri = format!("/{}", listed.len());
            site.get(&uri, &[(name, "de"), ("connection", listed)])
                .await;
            let lines = [
                (name, "de"),
                ("connection", "close"),
                ("connection", listed),
            ];
            site.get(&uri, &lines).await;
            let victim = site.get(&uri, &[(name, "de")]).await;
            assert_eq!(victim.text(), "de", "{}: {listed}", way.name);
        }
        for usual in [
            "keep-alive",
            "close",
            "Keep-Alive",
            "close, TE",
            "keep-alive, te",
        ] {
            let uri = format!("/usual/{}", usual.len());
            site.get(&uri, &[]).await;
            assert!(
                site.get(&uri, &[("connection", usual)]).await.hit(),
                "{}: {usual}",
                way.name
            );
        }
    }
}
