//! 8 to 13: requests that are not the same.

use axum::routing::get as on_get;
use larder::{Cache, MIB, Policy, RequestHead, Scope};

use crate::tiers_with;
use crate::{FRESH, Site, counted, ways};

/// Asks for both twice: neither is ever answered with the other's answer.
async fn never_meet(
    site: &Site,
    one: (&str, &[(&str, &str)]),
    two: (&str, &[(&str, &str)]),
    what: &str,
) {
    let first = site.get(one.0, one.1).await;
    let second = site.get(two.0, two.1).await;
    assert_ne!(first.text(), second.text(), "{what}: {one:?} {two:?}");
    for (asked, wanted) in [(one, &first), (two, &second)] {
        let again = site.get(asked.0, asked.1).await;
        if again.hit() {
            assert_eq!(again.text(), wanted.text(), "{what}: {asked:?}");
        }
    }
}

// 8
#[tokio::test]
async fn the_bounds_of_keyed_fields_cannot_be_moved() {
    type Fields = &'static [(&'static str, &'static str)];
    let pairs: [(Fields, Fields); 8] = [
        (&[("a", "x"), ("b", "y")], &[("a", "xb"), ("b", "")]),
        (&[("a", "x"), ("b", "y")], &[("a", "x\tb\ty")]),
        (&[("a", "x|b:y")], &[("a", "x"), ("b", "y")]),
        (&[("a", "a"), ("a", "b")], &[("a", "ab")]),
        (&[("a", "\"a\",\"b\"")], &[("a", "\"ab\"")]),
        (&[("a", "")], &[]),
        (&[("a", "x")], &[("b", "x")]),
        (&[("a", "b\u{ff}")], &[("a", "b")]),
    ];
    for way in ways().await {
        let keyed = way.site_with(way.policy.clone().vary(["a", "b"]), counted());
        for (one, two) in pairs {
            never_meet(&keyed, ("/x", one), ("/x", two), &way.name).await;
        }
    }
}

// 8
#[tokio::test]
async fn control_characters_and_separators_in_a_target_move_nothing() {
    let pairs = [
        ("/x?a=1&b=2", "/x?a=1%26b=2"),
        ("/x?a=1", "/x%3Fa=1"),
        ("/x", "/x%00"),
        ("/x?a=%0d%0aHost:b", "/x?a="),
        ("/x:y", "/x%3Ay"),
        ("/x|y", "/x%7Cy"),
        ("/x?a=b%00", "/x?a=b"),
        ("/x?u=1&scope=2", "/x?u=1%00scope=2"),
    ];
    for way in ways().await {
        let site = way.site(counted());
        for (one, two) in pairs {
            never_meet(&site, (one, &[]), (two, &[]), &way.name).await;
        }
        if let Some(redis) = &way.tiers.redis {
            for key in redis.entries() {
                let parts = key.split(':').count();
                assert!(
                    parts == 3 && key.bytes().all(|b| b.is_ascii_graphic()),
                    "{key}"
                );
            }
        }
    }
}

// 9
#[tokio::test]
async fn a_key_that_cannot_be_made_is_shared_by_nobody() {
    let text = |head: &RequestHead<'_>| {
        let user = head.headers().get("x-id")?.to_str().ok()?;
        assert_ne!(user, "panic", "a callback's own trouble");
        Some(user.to_owned())
    };
    let tenant = |builder: larder::CacheBuilder| builder.tenant(text);
    let (plain, tenants) = (ways().await, tiers_with(tenant).await);
    let mut sites = Vec::new();
    for way in &plain {
        sites.push(way.site_with(way.policy.clone().key(text), counted()));
        sites.push(way.site_with(way.policy.clone().scope(Scope::by(text)), counted()));
    }
    for tiers in &tenants {
        for policy in [crate::policy(), Policy::http()] {
            sites.push(Site::new(&tiers.cache, policy, counted()));
        }
    }
    for site in &sites {
        let before = site.cache.stats().stores;
        for trouble in [&[][..], &[("x-id", "panic")], &[("x-id", "\u{ff}")]] {
            let (one, two) = tokio::join!(site.get("/x", trouble), site.get("/x", trouble));
            let three = site.get("/x", trouble).await;
            assert!(one.text() != two.text() && two.text() != three.text());
            assert!([one, two, three].iter().all(|reply| !reply.hit()));
        }
        assert_eq!(site.cache.stats().stores, before, "nothing was stored");
        site.get("/x", &[("x-id", "1")]).await;
        assert!(site.get("/x", &[("x-id", "1")]).await.hit());
    }
}

// 10
#[tokio::test]
async fn one_host_is_never_answered_for_another() {
    let host = on_get(|request: axum::extract::Request| async move {
        let field = request
            .headers()
            .get("host")
            .map(|h| h.to_str().unwrap().to_owned());
        let host = request.uri().host().map(str::to_owned).or(field);
        ([FRESH], host.unwrap_or_default())
    });
    for way in ways().await {
        let site = way.site(host.clone());
        for name in [
            "a.example",
            "b.example",
            "a.example:8080",
            "a.example.",
            "",
            "a.example@b",
        ] {
            let reply = site.get("/x", &[("host", name)]).await;
            assert_eq!(reply.text(), name, "{}", way.name);
        }
        assert!(
            site.get("/x", &[("host", "A.EXAMPLE")]).await.hit(),
            "{}",
            way.name
        );
        let absolute = site
            .get("http://c.example/x", &[("host", "c.example")])
            .await;
        assert_eq!(absolute.text(), "c.example", "{}", way.name);
        for (uri, fields) in [
            ("/x", &[("host", "a.example"), ("host", "evil.example")][..]),
            ("/x", &[("host", "a.example"), ("host", "a.example")]),
            ("http://a.example/x", &[("host", "evil.example")]),
            ("http://evil.example/x", &[("host", "a.example")]),
            ("http://u@a.example/x", &[("host", "a.example")]),
            ("http://a.example:80/x", &[("host", "a.example")]),
        ] {
            let reply = site.get(uri, fields).await;
            assert_eq!(reply.detail(), "ambiguous-host", "{}: {uri}", way.name);
        }
    }
}

// 11
#[tokio::test]
async fn parameters_are_never_confused() {
    let pairs = [
        ("/x?a=1;b=2", "/x?a=1&b=2"),
        ("/x?a=1&a=2", "/x?a=2&a=1"),
        ("/x?b=0&a=1&a=2", "/x?b=0&a=2&a=1"),
        ("/x?a=1&%61=2", "/x?%61=2&a=1"),
        ("/x?a+b=1&a%20b=2", "/x?a%20b=2&a+b=1"),
        ("/x?=1&a=2", "/x?a=2"),
        ("/x?a=+", "/x?a=%20"),
        ("/x?a=%2f", "/x?a=%2F"),
        ("/x?a", "/x?a="),
        ("/x?", "/x"),
        ("/x?&a=1", "/x?a=1"),
        ("/x?a[]=1&a[]=2", "/x?a[]=2&a[]=1"),
        ("/x?a=1&A=1", "/x?a=1"),
    ];
    for way in ways().await {
        let site = way.site(counted());
        for (one, two) in pairs {
            never_meet(&site, (one, &[]), (two, &[]), &way.name).await;
        }
    }
}

// 12
#[tokio::test]
async fn a_flood_of_unknown_parameters_stays_within_its_bounds() {
    for policy in [crate::policy(), Policy::http()] {
        let cache = Cache::builder().memory(MIB).build().unwrap();
        let page = on_get(|| async { ([FRESH], "x".repeat(1024)) });
        let site = Site::new(&cache, policy.clone(), page.clone());
        for n in 0..3_000 {
            site.get(&format!("/x?junk={n}"), &[]).await;
            assert!(cache.stats().memory_bytes <= MIB);
        }
        assert!(cache.stats().memory_entries < 1_000);
        // listed parameters alone make entries
        let site = Site::new(&cache, policy.only_params(["page"]), page);
        cache.invalidate(larder::everything()).await.unwrap();
        let before = cache.stats().stores;
        for n in 0..100 {
            site.get(&format!("/y?junk={n}&page={}&%6aunk=1", n % 3), &[])
                .await;
        }
        assert_eq!(cache.stats().stores - before, 3);
    }
}

// 13
#[tokio::test]
async fn paths_are_never_folded() {
    let paths = [
        "/a/b",
        "//a/b",
        "/a//b",
        "/a/./b",
        "/a/x/../b",
        "/a/%2e/b",
        "/a/x/%2e%2e/b",
        "/a%2fb",
        "/a%2Fb",
        "/a/b/",
        "/a/b;x",
        "/a/b;x=1",
        "/a/b%00",
        "/a/b%20",
        "/A/b",
        "/a/b%5c",
        "/%61/b",
        "/a/b.css",
        "/a/b%3fx",
        "/a/b%23",
    ];
    for way in ways().await {
        let site = way.site(on_get(|request: axum::extract::Request| async move {
            ([FRESH], request.uri().to_string())
        }));
        for path in paths.iter().chain(&paths) {
            assert_eq!(site.get(path, &[]).await.text(), *path, "{}", way.name);
        }
    }
}
