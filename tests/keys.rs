//! Keys: which requests share an answer, and which never do.

mod support;

use std::convert::Infallible;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Uri};
use axum::routing::get as on_get;
use larder::{Cache, FORWARDED, Policy, RequestHead, minutes, testing};
use support::{Calls, get, get_with, tiers};
use tower::util::MapRequestLayer;

fn policy() -> Policy {
    Policy::ttl(minutes(5))
}

fn app(cache: &Cache, policy: Policy) -> Router {
    let calls = Calls::default();
    let handler = on_get(move |uri: Uri| async move { format!("{} {uri}", calls.count()) });
    Router::new().route("/{*path}", handler.layer(cache.layer(policy)))
}

/// Whether the second request is answered with the first one's answer: in a router,
/// and in one nested in another, which cuts their paths.
async fn same(
    policy: Policy,
    first: (&str, &[(&str, &str)]),
    second: (&str, &[(&str, &str)]),
) -> bool {
    let (cache, _clock) = testing::cache();
    let plain = app(&cache, policy.clone());
    let nested = Router::new().nest("/nested", app(&cache, policy));
    let hit = async |app: &Router, prefix: &str| {
        let [one, two] = [first, second].map(|(uri, _)| format!("{prefix}{uri}"));
        get_with(app, &one, first.1).await;
        get_with(app, &two, second.1).await.hit()
    };
    let (plain, nested) = (hit(&plain, "").await, hit(&nested, "/nested").await);
    assert_eq!(plain, nested, "{first:?} {second:?}");
    plain
}

async fn same_uri(policy: Policy, first: &str, second: &str) -> bool {
    same(policy, (first, &[]), (second, &[])).await
}

async fn same_fields(first: &[(&str, &str)], second: &[(&str, &str)]) -> bool {
    same(policy(), ("/x", first), ("/x", second)).await
}

#[tokio::test]
async fn a_query_is_sorted_by_name() {
    assert!(same_uri(policy(), "/x?a=1&b=2", "/x?b=2&a=1").await);
    for (one, two) in [
        ("/x?a=1&a=2", "/x?a=2&a=1"),
        ("/x?a=1", "/x?a=2"),
        ("/x?a=1&b=2", "/x?a=1%26b=2"),
        ("/x?a=1;b=2", "/x?a=1&b=2"),
        ("/x?a", "/x?a="),
        ("/x", "/x?"),
        ("/x?a=%2f", "/x?a=%2F"),
        ("/x?a=+", "/x?a=%20"),
    ] {
        assert!(!same_uri(policy(), one, two).await, "{one} {two}");
    }
}

#[tokio::test]
async fn paths_are_taken_as_they_are() {
    for (one, two) in [
        ("/x", "/x/"),
        ("/x", "//x"),
        ("/a/b", "/a%2fb"),
        ("/a/./b", "/a/b"),
        ("/a/../b", "/b"),
        ("/x", "/X"),
        ("/x;a", "/x"),
        ("/x%00", "/x"),
    ] {
        assert!(!same_uri(policy(), one, two).await, "{one} {two}");
    }
}

#[tokio::test]
async fn parameters_can_be_listed() {
    let only = || policy().only_params(["page"]);
    assert!(same_uri(only(), "/x?page=1&junk=1", "/x?junk=2&page=1").await);
    assert!(!same_uri(only(), "/x?page=1", "/x?page=2").await);
    assert!(!same_uri(only(), "/x?page=1", "/x?page=1&p%61ge=2").await);
    let ignore = || policy().ignore_params(["utm_*"]);
    assert!(same_uri(ignore(), "/x?a=1&utm_source=y", "/x?a=1").await);
    assert!(!same_uri(ignore(), "/x?a=1&utm=y", "/x?a=1").await);
}

#[tokio::test]
async fn the_host_is_part_of_the_key() {
    assert!(same_fields(&[("host", "a.example")], &[("host", "A.Example")]).await);
    for other in ["b.example", "a.example:8080", "a.example."] {
        assert!(
            !same_fields(&[("host", "a.example")], &[("host", other)]).await,
            "{other}"
        );
    }
    let (cache, _clock) = testing::cache();
    let app = app(&cache, policy());
    let twofold = get_with(&app, "/x", &[("host", "a"), ("host", "b")]).await;
    assert_eq!(twofold.detail(), "ambiguous-host");
    let other = get_with(&app, "http://b.example/x", &[("host", "a.example")]).await;
    assert_eq!(other.detail(), "ambiguous-host");
}

#[tokio::test]
async fn what_a_proxy_or_a_script_adds_is_keyed() {
    for name in [
        "x-forwarded-host",
        "forwarded",
        "x-original-url",
        "rsc",
        "hx-request",
        "x-inertia",
        "x-requested-with",
    ] {
        assert!(!same_fields(&[], &[(name, "evil")]).await, "{name}");
        assert!(!same_fields(&[(name, "a")], &[(name, "b")]).await, "{name}");
        assert!(same_fields(&[(name, "a")], &[(name, "a")]).await, "{name}");
    }
    assert!(same_fields(&[("user-agent", "a")], &[("user-agent", "b")]).await);
}

#[tokio::test]
async fn what_is_hidden_is_not_keyed_and_not_seen() {
    let (cache, _clock) = testing::cache();
    let handler = on_get(|headers: axum::http::HeaderMap| async move {
        headers.contains_key("x-forwarded-host").to_string()
    });
    let layer = cache.layer(policy().hide(FORWARDED.iter().copied()));
    let app = Router::new().route("/x", handler.layer(layer));
    let first = get_with(&app, "/x", &[("x-forwarded-host", "evil")]).await;
    assert_eq!(first.text(), "false");
    assert!(get(&app, "/x").await.hit());
}

#[tokio::test]
async fn keyed_fields_do_not_run_into_each_other() {
    let vary = || policy().vary(["a", "b"]);
    type Fields = &'static [(&'static str, &'static str)];
    let pairs: [(Fields, Fields); 4] = [
        (&[("a", "x"), ("b", "y")], &[("a", "xb"), ("b", "")]),
        (&[("a", "x")], &[("b", "x")]),
        (&[("a", "x"), ("a", "y")], &[("a", "x,y")]),
        (&[("a", "")], &[]),
    ];
    for (one, two) in pairs {
        assert!(
            !same(vary(), ("/x", one), ("/x", two)).await,
            "{one:?} {two:?}"
        );
    }
    assert!(
        same(
            vary(),
            ("/x", &[("a", "1"), ("b", "2")]),
            ("/x", &[("b", "2"), ("a", "1")])
        )
        .await
    );
    let secret = policy().vary(["x-api-key"]);
    assert!(
        !same(
            secret,
            ("/x", &[("x-api-key", "1")]),
            ("/x", &[("x-api-key", "2")])
        )
        .await
    );
}

#[tokio::test]
async fn a_users_key_takes_the_place_of_path_and_query() {
    let (cache, _clock) = testing::cache();
    let keyed = policy().key(|head| {
        assert!(!head.uri().path().contains("panic"));
        head.uri().path().strip_prefix("/item-").map(str::to_owned)
    });
    let app = app(&cache, keyed);
    get(&app, "/item-1?a=1").await;
    assert!(get(&app, "/item-1?a=2").await.hit());
    assert!(!get(&app, "/item-2").await.hit());
    for none in ["/other", "/item-panic"] {
        assert_eq!(get(&app, none).await.detail(), "no-key");
        assert_eq!(
            get(&app, none).await.detail(),
            "no-key",
            "no shared empty key"
        );
    }
    let other_host = get_with(&app, "/item-1", &[("host", "b.example")]).await;
    assert!(!other_host.hit());
}

#[tokio::test]
async fn a_users_key_holds_in_a_nested_router() {
    let (cache, _clock) = testing::cache();
    let last = |head: &RequestHead<'_>| Some(head.uri().path().rsplit('/').next()?.to_owned());
    let app = Router::new()
        .nest("/{shop}/items", app(&cache, policy().key(last)))
        .nest("/cut", cutting(&cache, policy().key(last)));
    get(&app, "/a/items/old/1?a=1").await;
    assert!(get(&app, "/b/items/new/1?a=2").await.hit());
    assert!(!get(&app, "/b/items/new/2?a=2").await.hit());
    // what a layer does to a request is no nested router's doing
    let cut = async |to: &str| get_with(&app, "/cut/a/b", &[("x-to", to)]).await;
    for to in ["/a/b", "/b", "/a/b?a=1", "/other"] {
        let reply = cut(to).await;
        assert_eq!((reply.text(), reply.hit()), (to, false));
        assert!(cut(to).await.hit());
    }
}

/// Answers with the URI that a layer around the cache has made of a request's.
fn cutting(cache: &Cache, policy: Policy) -> Router {
    let handler = on_get(|uri: Uri| async move { uri.to_string() });
    let handler = handler.layer::<_, Infallible>(cache.layer(policy));
    let to = |mut request: Request<Body>| {
        *request.uri_mut() = request.headers()["x-to"].to_str().unwrap().parse().unwrap();
        request
    };
    Router::new().route("/{*path}", handler.layer(MapRequestLayer::new(to)))
}

#[tokio::test]
async fn a_version_or_a_release_leaves_older_entries_behind() {
    let redis = support::redis_server::Redis::start();
    let cache = |release: &str| {
        let builder = Cache::builder().redis(redis.url()).release(release);
        builder.build().unwrap()
    };
    let (old, new) = (cache("1"), cache("2"));
    get(&app(&old, policy()), "/x").await;
    old.idle().await;
    assert!(get(&app(&old, policy()), "/x").await.hit());
    assert!(!get(&app(&old, policy().version("2")), "/x").await.hit());
    assert!(!get(&app(&new, policy()), "/x").await.hit());
    old.idle().await;
    new.idle().await;
    let gone = new.invalidate("api:*").await.unwrap();
    assert_eq!(gone.removed(), 3, "an invalidation reaches all releases");
}

#[tokio::test]
async fn names_in_redis_show_the_endpoint_and_nothing_else() {
    for tiers in tiers().await {
        let Some(redis) = &tiers.redis else { continue };
        let app = app(
            &tiers.cache,
            policy().endpoint("my:end*point").tag("tag-{path}"),
        );
        get(&app, "/Alice-Liddell?born=1852-05-04").await;
        tiers.cache.idle().await;
        let entries = redis.entries();
        assert_eq!(entries.len(), 1);
        let parts: Vec<&str> = entries[0].split(':').collect();
        assert_eq!(parts[..2], ["api", "my%3Aend%2Apoint"]);
        assert!(
            parts.len() == 3
                && parts[2].len() == 32
                && parts[2].bytes().all(|b| b.is_ascii_hexdigit())
        );
        for key in redis.keys() {
            assert!(
                !key.contains("Alice") && !key.contains("1852") && !key.contains("tag-"),
                "{key}"
            );
        }
        let groups = redis
            .keys()
            .into_iter()
            .filter(|key| key.starts_with("api:!group:"));
        assert_eq!(groups.count(), 2, "its URI's and its tag's");
    }
}
