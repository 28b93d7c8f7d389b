//! Credentials, scopes and tenants: whose answer it is.

mod support;

use axum::Router;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::routing::{any, get as on_get};
use larder::{InvalidateErrorKind, Policy, Scope, Selector, minutes, testing};
use support::{Calls, Tiers, get, get_with, request, send, tiers, tiers_with};

/// Answers with what it sees of a field, and with a number that tells runs
/// apart.
fn echo(calls: &Calls, field: &'static str) -> axum::routing::MethodRouter {
    let calls = calls.clone();
    any(move |headers: HeaderMap| async move {
        let seen = headers
            .get(field)
            .map_or("nothing", |value| value.to_str().unwrap());
        format!("{} saw {seen}", calls.count())
    })
}

fn policy() -> Policy {
    Policy::ttl(minutes(5))
}

#[tokio::test]
async fn a_request_with_a_credential_goes_to_its_handler() {
    for tiers in tiers_with(|builder| builder.credentials(["X-Own-Session"])).await {
        let calls = Calls::default();
        let app = Router::new().route(
            "/x",
            echo(&calls, "cookie").layer(tiers.cache.layer(policy())),
        );
        get(&app, "/x").await;
        tiers.cache.idle().await;
        for name in [
            "authorization",
            "cookie",
            "proxy-authorization",
            "x-api-key",
            "x-auth-token",
            "x-forwarded-user",
            "x-own-session",
        ] {
            let reply = get_with(&app, "/x", &[(name, "secret")]).await;
            assert_eq!(
                (reply.hit(), reply.detail()),
                (false, "credential"),
                "{name}"
            );
        }
        assert!(get(&app, "/x").await.hit());
    }
}

/// Names that many use, and names of their shape that no list can know.
#[tokio::test]
async fn what_is_named_like_a_credential_is_one() {
    const NAMES: [&str; 30] = [
        "x-authorization",
        "x-serverless-authorization",
        "x-forwarded-authorization",
        "x-acme-api-key",
        "x-acme-access-token",
        "x-acme-session-token",
        "X-Acme-Auth-Token",
        "auth-token",
        "access-token",
        "session-id",
        "x-session",
        "x-username",
        "x-user-name",
        "x-id-token",
        "job-token",
        "x-subject-token",
        "x-plex-token",
        "x-hasura-admin-secret",
        "x-hasura-user-id",
        "remote-email",
        "remote-groups",
        "remote-name",
        "cf-access-authenticated-user-email",
        "x-ms-client-principal-name",
        "x-ms-client-principal-id",
        "x-authenticated-userid",
        "x-authentik-email",
        "x-authentik-groups",
        "x-authentik-uid",
        "signature",
    ];
    let (cache, _clock) = testing::cache();
    let site = |policy: Policy, field| {
        let calls = Calls::default();
        Router::new().route("/x", echo(&calls, field).layer(cache.layer(policy)))
    };
    for name in NAMES {
        let fields = |value| [(name, value)];
        let app = site(policy().endpoint(name.to_ascii_lowercase()), name);
        get(&app, "/x").await;
        let reply = get_with(&app, "/x", &fields("alice")).await;
        assert_eq!(reply.detail(), "credential", "{name}");
        let keyed = site(policy().vary([name]), name);
        let alice = get_with(&keyed, "/x", &fields("alice")).await;
        assert_eq!(alice.text(), "1 saw alice", "{name}");
        assert!(get_with(&keyed, "/x", &fields("alice")).await.hit());
        let bob = get_with(&keyed, "/x", &fields("bob")).await;
        assert_eq!(bob.text(), "2 saw bob", "{name}");
        let hides = policy().ignore_credentials().version(name);
        let hidden = site(hides, name);
        let first = get_with(&hidden, "/x", &fields("alice")).await;
        assert_eq!(first.text(), "1 saw nothing", "{name}");
        assert!(get(&hidden, "/x").await.hit(), "{name}");
    }
    let app = site(policy(), "x-key");
    get(&app, "/x").await;
    for name in [
        "x-key",
        "idempotency-key",
        "token",
        "x-page-token",
        "x-action",
    ] {
        assert!(get_with(&app, "/x", &[(name, "1")]).await.hit(), "{name}");
    }
}

#[tokio::test]
async fn ignored_credentials_are_hidden_from_the_handler() {
    for tiers in tiers().await {
        let calls = Calls::default();
        let layer = tiers.cache.layer(policy().ignore_credentials());
        let app = Router::new().route("/x", echo(&calls, "authorization").layer(layer));
        let first = get_with(&app, "/x", &[("authorization", "Bearer a")]).await;
        assert_eq!(first.text(), "1 saw nothing");
        tiers.cache.idle().await;
        let second = get_with(&app, "/x", &[("cookie", "a=b")]).await;
        assert!(second.hit());
        let put = send(
            &app,
            request(Method::PUT, "/x", &[("authorization", "Bearer a")]),
        )
        .await;
        assert_eq!(
            put.text(),
            "2 saw Bearer a",
            "what is not cached sees everything"
        );
    }
}

#[tokio::test]
async fn a_scope_keeps_users_apart() {
    for tiers in tiers().await {
        let calls = Calls::default();
        let layer = tiers.cache.layer(policy().scope(Scope::bearer()));
        let app = Router::new().route("/x", echo(&calls, "authorization").layer(layer));
        let ask = async |user: &str| {
            let reply = get_with(&app, "/x", &[("authorization", user)]).await;
            tiers.cache.idle().await;
            reply
        };
        assert_eq!(ask("Bearer a").await.text(), "1 saw Bearer a");
        assert_eq!(ask("Bearer b").await.text(), "2 saw Bearer b");
        assert_eq!(ask("Bearer a").await.text(), "1 saw Bearer a");
        assert_eq!(get(&app, "/x").await.text(), "3 saw nothing");
        let other = get_with(&app, "/x", &[("cookie", "a=b")]).await;
        assert_eq!(
            other.detail(),
            "credential",
            "a scope speaks for its own field alone"
        );
        tell_nothing(&tiers, &["Bearer a", "Bearer b"]);
    }
}

/// Answers echo their credential; the keys of their frames must not hold it too.
fn tell_nothing(tiers: &Tiers, secrets: &[&str]) {
    let Some(redis) = &tiers.redis else { return };
    for key in redis.entries() {
        let frame: Vec<u8> = redis.command(&["GET", &key]);
        let bare = frame.windows(8).filter(|text| {
            let mut secrets = secrets.iter();
            secrets.any(|secret| secret.as_bytes() == *text)
        });
        assert!(bare.count() <= 1, "{key}");
    }
}

#[tokio::test]
async fn a_credential_that_an_answer_varies_on_is_not_told_by_its_key() {
    for tiers in tiers().await {
        for name in ["x-api-key", "x-acme-api-key"] {
            let answer = move |headers: HeaderMap| async move {
                let said = [("cache-control", "max-age=60"), ("vary", name)];
                (said, headers[name].as_bytes().to_vec())
            };
            let layer = tiers.cache.layer(Policy::http().endpoint(name));
            let app = Router::new().route("/x", on_get(answer).layer(layer));
            for secret in ["secret-1", "secret-2"] {
                let ask = async || get_with(&app, "/x", &[(name, secret)]).await;
                assert_eq!(ask().await.text(), secret);
                tiers.cache.idle().await;
                assert!(ask().await.hit(), "{name}");
            }
        }
        tell_nothing(&tiers, &["secret-1", "secret-2"]);
    }
}

#[tokio::test]
async fn a_cookie_scope_shows_the_handler_that_cookie_alone() {
    let (cache, _clock) = testing::cache();
    let calls = Calls::default();
    let layer = cache.layer(policy().scope(Scope::cookie("sid")));
    let app = Router::new().route("/x", echo(&calls, "cookie").layer(layer));
    let first = get_with(&app, "/x", &[("cookie", "theme=dark; sid=1")]).await;
    assert_eq!(first.text(), "1 saw sid=1");
    assert!(
        get_with(&app, "/x", &[("cookie", "sid=1; theme=light")])
            .await
            .hit()
    );
    assert!(!get_with(&app, "/x", &[("cookie", "sid=2")]).await.hit());
    let twofold = get_with(&app, "/x", &[("cookie", "sid=1; sid=2")]).await;
    assert_eq!(twofold.detail(), "no-scope");
}

#[tokio::test]
async fn a_users_scope_may_decline_or_panic() {
    let (cache, _clock) = testing::cache();
    let calls = Calls::default();
    let scope = Scope::by(|head| {
        let user = head.headers().get("x-user")?.to_str().ok()?;
        assert_ne!(user, "trouble", "a panic in a callback");
        Some(user.to_owned())
    });
    let layer = cache.layer(policy().scope(scope));
    let app = Router::new().route("/x", echo(&calls, "x-user").layer(layer));
    let ask = async |user: &str| get_with(&app, "/x", &[("x-user", user), ("cookie", "a=b")]).await;
    ask("a").await;
    assert!(ask("a").await.hit());
    assert!(!ask("b").await.hit());
    assert_eq!(ask("trouble").await.detail(), "no-scope");
    assert_eq!(get(&app, "/x").await.detail(), "no-scope");
}

#[tokio::test]
async fn a_tenant_is_part_of_everything() {
    let tenant = |builder: larder::CacheBuilder| {
        builder.tenant(|head| Some(head.headers().get("x-tenant")?.to_str().ok()?.to_owned()))
    };
    for tiers in tiers_with(tenant).await {
        let cache = &tiers.cache;
        let calls = Calls::default();
        let app = Router::new().route(
            "/x",
            echo(&calls, "x-tenant").layer(cache.layer(policy().tag("t"))),
        );
        let ask = async |tenant: &str| {
            let reply = get_with(&app, "/x", &[("x-tenant", tenant)]).await;
            cache.idle().await;
            reply
        };
        assert_eq!(get(&app, "/x").await.detail(), "no-tenant");
        ask("a").await;
        assert!(!ask("b").await.hit());
        assert!(ask("a").await.hit() && ask("b").await.hit());
        for selector in [
            larder::tag("t"),
            "api:x:*".into(),
            larder::endpoint("x"),
            larder::uri("/x"),
            larder::everything(),
        ] {
            assert_eq!(
                cache
                    .invalidate_for("a", &selector)
                    .await
                    .unwrap()
                    .removed(),
                1,
                "{selector:?}"
            );
            assert!(ask("b").await.hit(), "{selector:?}");
            assert!(!ask("a").await.hit(), "{selector:?}");
        }
        let everybodys: [Selector; 6] = [
            larder::endpoint("x"),
            "api:x:*".into(),
            "api:?:[0-9a-f]*".into(),
            "api:x@*:*".into(),
            "api:[x]*".into(),
            larder::everything(),
        ];
        for selector in everybodys {
            ask("a").await;
            ask("b").await;
            let done = cache.invalidate(&selector).await.unwrap();
            assert_eq!(done.removed(), 2, "{selector:?}");
            assert!(!ask("a").await.hit() && !ask("b").await.hit());
        }
        let error = cache.invalidate("api:[x]:*").await.unwrap_err();
        assert_eq!(error.kind(), InvalidateErrorKind::BadSelector);
        assert!(
            tiers
                .redis
                .is_none_or(|redis| redis.keys().iter().all(|key| !key.contains("x-tenant")))
        );
    }
}

/// A webhook's, or an administrator's: the call does the same.
#[tokio::test]
async fn what_a_request_without_a_tenant_declares_is_invalidated_for_all_of_them() {
    let tenant = |builder: larder::CacheBuilder| {
        builder.tenant(|head| Some(head.headers().get("x-tenant")?.to_str().ok()?.to_owned()))
    };
    for tiers in tiers_with(tenant).await {
        let (cache, calls) = (&tiers.cache, Calls::default());
        let hook = |selector: Selector| {
            axum::routing::post(|| async {}).layer(cache.invalidates(selector))
        };
        let app = Router::new()
            .route(
                "/x",
                echo(&calls, "x-tenant").layer(cache.layer(policy().tag("t"))),
            )
            .route("/hook/endpoint", hook(larder::endpoint("x")))
            .route("/hook/pattern", hook("api:x:*".into()))
            .route("/hook/all", hook(larder::everything()))
            .route("/hook/tag", hook(larder::tag("t")));
        for (path, gone) in [
            ("/hook/endpoint", true),
            ("/hook/pattern", true),
            ("/hook/all", true),
            ("/hook/tag", false), // whose it is, nobody has said
        ] {
            for tenant in ["a", "b"] {
                get_with(&app, "/x", &[("x-tenant", tenant)]).await;
                cache.idle().await;
            }
            let done = send(&app, request(Method::POST, path, &[])).await;
            assert_eq!(done.status, 200);
            for tenant in ["a", "b"] {
                let hit = get_with(&app, "/x", &[("x-tenant", tenant)]).await.hit();
                assert_eq!(hit, !gone, "{path} {tenant} {}", tiers.name);
            }
        }
    }
}

/// Its handler knows ranges alone, and no tag that was made here.
#[tokio::test]
async fn who_resumes_with_a_credential_gets_the_whole() {
    let (cache, _clock) = testing::cache();
    let file = |headers: HeaderMap| async move {
        match headers.contains_key("range") {
            true => (StatusCode::PARTIAL_CONTENT, "new"),
            false => (StatusCode::OK, "old or new"),
        }
    };
    let app = Router::new().route("/x", on_get(file).layer(cache.layer(policy())));
    get(&app, "/x").await;
    let tag = get(&app, "/x").await.header("etag").to_owned();
    let part = [("cookie", "a=b"), ("range", "bytes=4-")];
    let resumed = [part[0], part[1], ("if-range", &tag)];
    let whole = get_with(&app, "/x", &resumed).await;
    assert_eq!((whole.text(), whole.detail()), ("old or new", "credential"));
    assert_eq!(get_with(&app, "/x", &part).await.text(), "new");
    for list in [
        tag.clone(),
        format!("\"x\", {tag}"),
        format!("\"a, b\",,{tag} ,\"y\""),
    ] {
        let matched = [part[1], ("if-match", &list)];
        let whole = get_with(&app, "/x", &matched).await;
        assert_eq!(
            (whole.text(), whole.detail()),
            ("old or new", "precondition"),
            "{list}"
        );
    }
    let matched = [part[1], ("if-match", "\"x, \", \"y\"")];
    assert_eq!(get_with(&app, "/x", &matched).await.text(), "new");
    cache.set_enabled(false);
    let whole = get_with(&app, "/x", &resumed[1..]).await;
    assert_eq!((whole.text(), whole.detail()), ("old or new", "disabled"));
}
