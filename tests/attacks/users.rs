//! 16 to 20: another user's data.

use axum::body::Body;
use axum::http::{HeaderMap, Method, Response};
use axum::routing::{MethodRouter, any};
use larder::{Policy, Scope};

use crate::tiers;
use crate::{FRESH, Site, reflects, ways};

/// A page of whoever asks, with more fields.
fn page_of(field: &'static str, more: &'static [(&'static str, &'static str)]) -> MethodRouter {
    any(move |headers: HeaderMap| async move {
        let who = headers.get(field).map_or("nobody", |v| v.to_str().unwrap());
        let mut answer = Response::builder();
        for (name, value) in more {
            answer = answer.header(*name, *value);
        }
        answer.body(Body::from(format!("page of {who}"))).unwrap()
    })
}

// 16
#[tokio::test]
async fn an_answer_to_authorization_is_shared_only_if_it_says_so() {
    type Fields = &'static [(&'static str, &'static str)];
    let secret: [Fields; 7] = [
        &[FRESH],
        &[("cache-control", "max-age=300, proxy-revalidate")],
        &[("cache-control", "max-age=300, immutable")],
        &[("cache-control", "max-age=300, x-public")],
        &[("expires", "Fri, 20 Nov 2027 12:00:00 GMT")],
        &[("last-modified", "Fri, 20 Nov 2020 12:00:00 GMT")],
        &[
            ("cdn-cache-control", "max-age=300"),
            ("cache-control", "public"),
        ],
    ];
    for way in ways().await {
        for (at, fields) in secret.iter().enumerate() {
            let site = way.site(page_of("authorization", fields));
            let uri = format!("/{at}");
            site.get(&uri, &[("authorization", "Bearer alice")]).await;
            let bob = site.get(&uri, &[("authorization", "Bearer bob")]).await;
            assert_eq!(bob.text(), "page of Bearer bob", "{}: {at}", way.name);
            assert_eq!(site.get(&uri, &[]).await.text(), "page of nobody");
            // and what anybody gets is not for those who have logged in
            let alice = site.get(&uri, &[("authorization", "Bearer alice")]).await;
            assert_eq!(alice.text(), "page of Bearer alice", "{}: {at}", way.name);
        }
        for shared in [
            "public, max-age=9",
            "s-maxage=9",
            "must-revalidate, max-age=9",
        ] {
            let handler = any(move || async move { ([("cache-control", shared)], "all") });
            let site = way.site(handler);
            let uri = format!("/{}", shared.len());
            site.get(&uri, &[("authorization", "Bearer alice")]).await;
            let bob = site.get(&uri, &[("authorization", "Bearer bob")]).await;
            assert_eq!(bob.hit(), way.http(), "{}: {shared}", way.name);
        }
    }
}

// 17
#[tokio::test]
async fn a_set_cookie_is_neither_stored_nor_replayed() {
    let more: &[_] = &[FRESH, ("set-cookie", "sid=alice")];
    let named: &[_] = &[
        ("cache-control", "max-age=300, no-cache=\"set-cookie\""),
        ("set-cookie", "sid=alice"),
        ("set-cookie2", "old=1"),
    ];
    for way in ways().await {
        for (uri, more) in [("/a", more), ("/b", named)] {
            let site = way.site(page_of("x", more));
            site.send(Method::HEAD, uri, &[]).await;
            assert_eq!(site.get(uri, &[]).await.header("set-cookie"), "sid=alice");
            let second = site.get(uri, &[]).await;
            assert!(!second.hit(), "{}", way.name);
        }
        assert_eq!(way.tiers.cache.stats().stores, 0);
        if let Some(redis) = &way.tiers.redis {
            assert!(redis.entries().is_empty());
        }
    }
}

// 18
#[tokio::test]
async fn vary_on_a_credential_is_heeded_and_vary_on_all_is_not_stored() {
    for way in ways().await {
        for (field, vary) in [
            ("cookie", "Cookie"),
            ("cookie", "accept, COOKIE"),
            ("authorization", "Authorization"),
            ("x-api-key", "X-Api-Key"),
            ("accept", "*"),
            ("accept", "accept, *"),
            ("accept", "*, accept"),
        ] {
            let handler = any(move |headers: HeaderMap| async move {
                let who = headers.get(field).map_or("-", |v| v.to_str().unwrap());
                let said = [("vary", vary), ("cache-control", "public, max-age=300")];
                (said, who.to_owned())
            });
            let site = way.site(handler);
            let uri = format!("/{field}/{}", vary.len());
            for who in ["alice", "bob", "alice", "carol"] {
                let reply = site.get(&uri, &[(field, who)]).await;
                assert_eq!(reply.text(), who, "{}: {vary}", way.name);
                assert!(!(vary.contains('*') && reply.hit()), "{}", way.name);
            }
            assert_eq!(site.get(&uri, &[]).await.text(), "-", "{}", way.name);
            if let Some(redis) = &way.tiers.redis {
                // who asked cannot be read in the store, but for the answers themselves
                for key in redis.keys() {
                    assert!(!key.contains("alice"));
                }
            }
        }
    }
}

// 19
#[tokio::test]
async fn a_session_that_is_refreshed_on_a_cacheable_page_stays_its_own() {
    // a framework that refreshes the session of whoever comes with one
    let handler = any(|headers: HeaderMap| async move {
        let mut answer = Response::builder().header("cache-control", "public, max-age=300");
        if let Some(session) = headers.get("cookie") {
            let fresh = format!("{}-refreshed", session.to_str().unwrap());
            answer = answer.header("set-cookie", fresh);
        }
        answer.body(Body::from("page")).unwrap()
    });
    for way in ways().await {
        let policies = [
            way.policy.clone(),
            way.policy.clone().scope(Scope::cookie("sid")),
            way.policy.clone().ignore_credentials(),
        ];
        for (at, policy) in policies.into_iter().enumerate() {
            let site = way.site_with(policy, handler.clone());
            let uri = format!("/{at}");
            for who in ["sid=alice", "sid=bob", "sid=alice"] {
                let reply = site.get(&uri, &[("cookie", who)]).await;
                let cookie = reply.header("set-cookie");
                assert!(
                    cookie.is_empty() || cookie.starts_with(who),
                    "{}: {cookie}",
                    way.name
                );
            }
            let anonymous = site.get(&uri, &[]).await;
            assert_eq!(anonymous.header("set-cookie"), "", "{}", way.name);
        }
    }
}

// 20
#[tokio::test]
async fn a_private_answer_is_handed_to_no_follower() {
    let gate = tokio::sync::watch::channel(false);
    for way in ways().await {
        for said in ["private, max-age=300", "no-store", "max-age=300"] {
            let mut open = gate.1.clone();
            gate.0.send_replace(false);
            let handler = any(move |headers: HeaderMap| async move {
                let who = headers["x-who"].to_str().unwrap().to_owned();
                open.wait_for(|open| *open).await.unwrap();
                let mut answer = Response::builder().header("cache-control", said);
                if said == "max-age=300" {
                    answer = answer.header("set-cookie", who.clone());
                }
                answer.body(Body::from(who)).unwrap()
            });
            let site = way.site(handler);
            let tasks: Vec<_> = (0..20)
                .map(|n| {
                    let (site, who) = (site.clone(), n.to_string());
                    tokio::spawn(async move {
                        let reply = site.get("/x", &[("x-who", &who)]).await;
                        assert_eq!(reply.text(), who, "another user's");
                    })
                })
                .collect();
            gate.0.send_replace(true);
            for task in tasks {
                task.await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_tag_made_of_one_users_answer_tells_another_nothing() {
    for tiers in tiers().await {
        let policy = crate::policy().scope(Scope::bearer());
        let site = Site::new(&tiers.cache, policy, reflects("authorization"));
        let ask = async |who: &str, more: &[(&str, &str)]| {
            let fields = [&[("authorization", who)], more].concat();
            site.get("/x", &fields).await
        };
        let mut tags = Vec::new();
        for who in ["alice", "bob"] {
            ask(who, &[]).await;
            let stored = ask(who, &[]).await;
            assert!(stored.hit());
            tags.push(stored.header("etag").to_owned());
        }
        assert!(tags[0] != tags[1] && !tags[0].is_empty());
        let curious = ask("bob", &[("if-none-match", &tags[0])]).await;
        assert_eq!((curious.status.as_u16(), curious.text()), (200, "saw bob"));
        let anonymous = site.get("/x", &[("if-none-match", &tags[0])]).await;
        assert_eq!(
            (anonymous.status.as_u16(), anonymous.text()),
            (200, "saw nothing")
        );
        let range = ask("bob", &[("range", "bytes=4-"), ("if-range", &tags[0])]).await;
        assert_eq!(
            (range.status.as_u16(), range.text()),
            (200, "saw bob"),
            "not alice's"
        );
        let own = ask("bob", &[("if-none-match", &tags[1])]).await;
        assert_eq!((own.status.as_u16(), own.text()), (304, ""));
    }
}

#[tokio::test]
async fn a_post_with_a_hidden_credential_does_not_answer_for_everybody() {
    let handler = any(|headers: HeaderMap| async move {
        let who = headers.get("authorization").or(headers.get("cookie"));
        let who = who.map_or("nobody", |v| v.to_str().unwrap()).to_owned();
        ([FRESH, ("content-location", "/x")], who)
    });
    for tiers in tiers().await {
        for (at, policy) in [
            Policy::http().ignore_credentials(),
            Policy::http().hide(["cookie"]),
            Policy::http().scope(Scope::cookie("other")),
        ]
        .into_iter()
        .enumerate()
        {
            let site = Site::new(&tiers.cache, policy, handler.clone());
            let credentials = [("authorization", "Bearer alice"), ("cookie", "sid=alice")];
            for credential in &credentials[usize::from(at > 0)..] {
                site.send(Method::POST, "/x", &[*credential]).await;
                let anybody = site.get("/x", &[]).await;
                assert_eq!(anybody.text(), "nobody", "{} {at}", tiers.name);
                tiers.cache.invalidate(larder::everything()).await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_life_that_nobody_stated_is_not_guessed_for_a_users_page() {
    let modified = ("last-modified", "Fri, 20 Nov 2020 12:00:00 GMT");
    for tiers in tiers().await {
        for field in [
            "cookie",
            "x-api-key",
            "x-auth-request-user",
            "x-acme-api-key",
        ] {
            let handler = any(move |headers: HeaderMap| async move {
                let who = headers.get(field).map_or("nobody", |v| v.to_str().unwrap());
                ([modified], who.to_owned())
            });
            let site = Site::new(&tiers.cache, Policy::http(), handler);
            let uri = format!("/{field}");
            for who in ["alice", "bob"] {
                let reply = site.get(&uri, &[(field, who)]).await;
                assert_eq!(reply.text(), who, "{}: {field}", tiers.name);
            }
            // stated, or of no one, it is stored as RFC 9111 has it
            assert_eq!(site.get(&uri, &[]).await.text(), "nobody");
            assert!(site.get(&uri, &[]).await.hit(), "{}", tiers.name);
        }
    }
}
