//! Attacks and races, each of which once got through.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::support::{get, get_with, request, send, tiers};
use crate::{counted, policy};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, Method};
use axum::routing::get as on_get;
use bytes::Bytes;
use larder::{
    Cache, Hint, InvalidateErrorKind, Key, MIB, Policy, Record, Removal, Removed, Scope, Store,
    StoreFuture, tag, testing, uri,
};
use tokio::sync::Notify;
use tower::ServiceExt;

#[tokio::test]
async fn an_invalidation_can_be_repeated_and_reaches_late_writes_of_others() {
    let redis = crate::support::redis_server::Redis::start();
    let cache = Cache::builder().redis(redis.url()).build().unwrap();
    let app = Router::new().route("/x", counted().layer(cache.layer(policy().tag("t"))));
    get(&app, "/x").await;
    cache.idle().await;
    let key = redis.entries().remove(0);
    for selector in [tag("t"), uri("/x"), tag("t")] {
        // another process writes it again, and its name into its groups
        let groups: Vec<String> = redis.command(&["KEYS", "api:!group:*"]);
        let all = || groups.iter().chain([&key]);
        for name in all() {
            redis.command::<()>(&["COPY", name, &format!("kept:{name}")]);
        }
        assert_eq!(
            cache.invalidate(&selector).await.unwrap().removed(),
            1,
            "{selector:?}"
        );
        for name in all() {
            redis.command::<()>(&["RENAME", &format!("kept:{name}"), name]);
        }
        assert_eq!(
            cache.invalidate(&selector).await.unwrap().removed(),
            1,
            "{selector:?}"
        );
        assert!(!get(&app, "/x").await.hit());
        cache.idle().await;
    }
}

/// A store in memory whose writes end when they are told to.
#[derive(Clone, Default)]
struct Gated {
    frames: Arc<Mutex<HashMap<String, Bytes>>>,
    closed: Arc<AtomicBool>,
    written: Arc<Notify>,
    go: Arc<Notify>,
}

impl Store for Gated {
    fn get<'a>(&'a self, key: &'a Key) -> StoreFuture<'a, Option<Bytes>> {
        let frame = self.frames.lock().unwrap().get(key.as_str()).cloned();
        Box::pin(async move { Ok(frame) })
    }

    fn put<'a>(&'a self, record: Record<'a>) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.frames
                .lock()
                .unwrap()
                .insert(record.key.to_string(), record.frame);
            if self.closed.load(Ordering::SeqCst) {
                self.written.notify_one();
                self.go.notified().await;
            }
            Ok(())
        })
    }

    fn remove<'a>(&'a self, removal: Removal<'a>) -> StoreFuture<'a, Removed> {
        let gone = match removal {
            Removal::Key(key) => self.frames.lock().unwrap().remove(key.as_str()).is_some(),
            _ => false, // it came too early to see the late write
        };
        Box::pin(async move { Ok(u64::from(gone).into()) })
    }
}

#[tokio::test]
async fn a_late_write_of_this_process_is_not_served_before_it_is_taken_back() {
    let store = Gated::default();
    let cache = Cache::builder()
        .memory(MIB)
        .store(store.clone())
        .build()
        .unwrap();
    let app = Router::new().route("/x", counted().layer(cache.layer(policy().tag("t"))));
    store.closed.store(true, Ordering::SeqCst);
    get(&app, "/x").await;
    store.written.notified().await; // in the store, and its writer does not know yet
    cache.invalidate(tag("t")).await.unwrap();
    store.closed.store(false, Ordering::SeqCst);
    let after = get(&app, "/x").await;
    assert_eq!((after.hit(), after.text()), (false, "v2"));
    cache.invalidate(tag("t")).await.unwrap();
    store.go.notify_one();
    cache.idle().await;
    assert_ne!(get(&app, "/x").await.text(), "v1");
}

/// A store in memory whose removals wait until they are told to go on.
#[derive(Clone, Default)]
struct SlowRemoval {
    frames: Arc<Mutex<HashMap<String, Bytes>>>,
    begun: Arc<Notify>,
    go: Arc<Notify>,
}

impl Store for SlowRemoval {
    fn get<'a>(&'a self, key: &'a Key) -> StoreFuture<'a, Option<Bytes>> {
        let frame = self.frames.lock().unwrap().get(key.as_str()).cloned();
        Box::pin(async move { Ok(frame) })
    }

    fn put<'a>(&'a self, record: Record<'a>) -> StoreFuture<'a, ()> {
        let (key, frame) = (record.key.to_string(), record.frame);
        self.frames.lock().unwrap().insert(key, frame);
        Box::pin(async { Ok(()) })
    }

    fn remove<'a>(&'a self, _removal: Removal<'a>) -> StoreFuture<'a, Removed> {
        Box::pin(async {
            self.begun.notify_one();
            self.go.notified().await;
            self.frames.lock().unwrap().clear();
            Ok(1.into())
        })
    }
}

#[tokio::test]
async fn what_a_store_is_dropping_is_not_served_meanwhile_nor_later() {
    let store = SlowRemoval::default();
    let instance = || {
        Cache::builder()
            .memory(MIB)
            .store(store.clone())
            .build()
            .unwrap()
    };
    let (one, two) = (instance(), instance());
    let app =
        |cache: &Cache| Router::new().route("/x", counted().layer(cache.layer(policy().tag("t"))));
    get(&app(&one), "/x").await;
    one.idle().await;
    let second = app(&two);
    let invalidation = tokio::spawn({
        let two = two.clone();
        async move { two.invalidate(tag("t")).await }
    });
    store.begun.notified().await; // memory is fenced, the store still has it
    assert!(!get(&second, "/x").await.hit(), "it is being dropped");
    store.go.notify_one();
    invalidation.await.unwrap().unwrap();
    assert!(!get(&second, "/x").await.hit());
}

#[tokio::test]
async fn a_uri_reaches_what_unkeyed_parameters_have_filled() {
    for tiers in tiers().await {
        let cache = &tiers.cache;
        let layer = cache.layer(policy().ignore_params(["utm_*"]));
        let route = counted().put(|| async {}).layer(layer);
        let app = Router::new().route("/x", route);
        for write in [true, false] {
            get(&app, "/x?utm_source=evil").await;
            cache.idle().await;
            assert!(get(&app, "/x").await.hit());
            if write {
                send(&app, request(Method::PUT, "/x", &[])).await;
            } else {
                cache.invalidate(uri("/x?utm_source=other")).await.unwrap();
            }
            assert!(!get(&app, "/x").await.hit(), "{}", tiers.name);
            cache.invalidate(larder::everything()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn vary_on_a_credential_holds_within_a_scope() {
    let (cache, _clock) = testing::cache();
    let organisation =
        Scope::by(|head| Some(head.headers().get("x-org")?.to_str().ok()?.to_owned()));
    let handler = on_get(|headers: HeaderMap| async move {
        ([("vary", "Cookie")], headers["cookie"].as_bytes().to_vec())
    });
    let app = Router::new().route(
        "/x",
        handler.layer(cache.layer(policy().scope(organisation))),
    );
    let ask = async |user: &str| get_with(&app, "/x", &[("x-org", "1"), ("cookie", user)]).await;
    assert_eq!(ask("sid=alice").await.headers["vary"], "Cookie");
    assert!(!ask("sid=bob").await.hit());
    assert!(ask("sid=alice").await.hit());
}

#[tokio::test]
async fn two_scopes_and_two_keys_in_two_places_never_meet() {
    let (cache, _clock) = testing::cache();
    let field = |name: &'static str| {
        move |head: &larder::RequestHead<'_>| {
            Some(head.headers().get(name)?.to_str().ok()?.to_owned())
        }
    };
    let users = cache.layer(policy().scope(Scope::by(field("x-user"))));
    let organisations = cache.layer(policy().scope(Scope::by(field("x-org"))));
    let app = Router::new().route(
        "/x",
        counted().layer::<_, Infallible>(users).layer(organisations),
    );
    let user = get_with(&app, "/x", &[("x-org", "1"), ("x-user", "7")]).await;
    let other = get_with(&app, "/x", &[("x-org", "7"), ("x-user", "99")]).await;
    assert_ne!(user.text(), other.text());

    let last = || policy().key(|head| Some(head.uri().path().rsplit('/').next()?.to_owned()));
    let app = Router::new()
        .route(
            "/users/{id}",
            on_get(|| async { "user" }).layer(cache.layer(last())),
        )
        .route(
            "/orders/{id}",
            on_get(|| async { "order" }).layer(cache.layer(last())),
        );
    assert_eq!(get(&app, "/users/7").await.text(), "user");
    assert_eq!(get(&app, "/orders/7").await.text(), "order");
}

#[tokio::test]
async fn plain_text_never_answers_https() {
    let (cache, _clock) = testing::cache();
    let app = cache.layer(policy().endpoint("out")).around(
        Router::new().fallback(|request: Request| async move { request.uri().to_string() }),
    );
    let ask = async |uri: &str| get_with(&app, uri, &[("host", "bank.example")]).await;
    ask("http://bank.example/x").await;
    assert!(!ask("https://bank.example/x").await.hit());
    assert!(ask("http://bank.example/x").await.hit());
}

#[tokio::test]
async fn an_answer_that_hands_out_a_token_is_not_stored() {
    let (cache, _clock) = testing::cache();
    for name in [
        "x-auth-token",
        "x-csrf-token",
        "authorization",
        "x-acme-session-token",
    ] {
        let answer = on_get(move || async move { [(name, "secret")] });
        let app = Router::new().route("/x", answer.layer(cache.layer(policy())));
        assert_eq!(get(&app, "/x").await.detail(), "credential", "{name}");
    }
}

#[tokio::test]
async fn a_coded_answer_is_not_for_those_who_cannot_read_it() {
    let (cache, _clock) = testing::cache();
    let answer = on_get(|| async { ([("content-encoding", "br")], "...") });
    let app = Router::new().route("/x", answer.layer(cache.layer(policy())));
    get_with(&app, "/x", &[("accept-encoding", "br")]).await;
    assert!(
        !get_with(&app, "/x", &[("accept-encoding", "identity")])
            .await
            .hit()
    );
    assert!(
        get_with(&app, "/x", &[("accept-encoding", "br")])
            .await
            .hit()
    );
}

#[tokio::test]
async fn expires_is_honoured() {
    let (cache, _clock) = testing::cache();
    for past in ["0", "Thu, 01 Jan 1970 00:00:00 GMT", "nonsense"] {
        let answer = on_get(move || async move { [("expires", past)] });
        let app = Router::new().route("/x", answer.layer(cache.layer(policy())));
        assert_eq!(get(&app, "/x").await.detail(), "zero-ttl", "{past}");
    }
}

/// A store whose methods panic before they return a future.
struct Panics;

impl Store for Panics {
    fn get<'a>(&'a self, _key: &'a Key) -> StoreFuture<'a, Option<Bytes>> {
        panic!("at once")
    }

    fn put<'a>(&'a self, _record: Record<'a>) -> StoreFuture<'a, ()> {
        panic!("at once")
    }

    fn remove<'a>(&'a self, _removal: Removal<'a>) -> StoreFuture<'a, Removed> {
        panic!("at once")
    }
}

#[tokio::test]
async fn a_store_that_panics_at_once_is_an_error_of_the_store() {
    let cache = Cache::builder().store(Panics).build().unwrap();
    let app = Router::new().route("/x", counted().layer(cache.layer(policy())));
    assert_eq!(get(&app, "/x").await.detail(), "store-error");
    let error = cache.invalidate("api:x:*").await.unwrap_err();
    assert_eq!(error.kind(), InvalidateErrorKind::Store);
    cache.idle().await;
}

#[tokio::test]
async fn with_tenants_a_tag_is_somebodys() {
    let builder = Cache::builder().memory(MIB);
    let cache = builder.tenant(|_| Some("a".into())).build().unwrap();
    for selector in [tag("t"), uri("/x")] {
        let error = cache.invalidate(selector).await.unwrap_err();
        assert_eq!(error.kind(), InvalidateErrorKind::BadSelector);
    }
    let error = cache.invalidate_for("b", "api:[x:z]*").await.unwrap_err();
    assert_eq!(error.kind(), InvalidateErrorKind::BadSelector);
}

#[tokio::test]
async fn a_hint_reaches_every_cache() {
    let ((inner, _), (outer, _)) = (testing::cache(), testing::cache());
    let answer = on_get(|| async { (Hint::no_store(), "x") });
    let layered = answer
        .layer::<_, Infallible>(inner.layer(policy()))
        .layer(outer.layer(policy()));
    let app = Router::new().route("/x", layered);
    get(&app, "/x").await;
    assert_eq!((inner.stats().stores, outer.stats().stores), (0, 0));
}

#[tokio::test]
async fn a_huge_claim_reserves_nothing() {
    let (cache, _clock) = testing::cache();
    let answer = on_get(|| async {
        (
            [("content-length", "18446744073709551615")],
            Body::from("x"),
        )
    });
    let layer = cache.layer(policy().max_body(usize::MAX));
    let app = Router::new().route("/x", answer.layer(layer));
    let _ = app.oneshot(request(Method::GET, "/x", &[])).await.unwrap();
    let centuries = Policy::ttl(larder::days(365 * 101));
    assert_eq!(cache.try_layer(centuries).unwrap_err().setting(), "ttl");
}
