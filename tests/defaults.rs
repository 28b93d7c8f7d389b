//! The safe defaults: what is not cached unless somebody says so.

mod support;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, Response, StatusCode};
use axum::routing::{any, get as on_get};
use larder::{Cache, Policy, minutes, testing};
use support::{Calls, Reply, get, get_with, request, send, tiers};

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

type Answer = fn() -> Response<Body>;

/// Asks twice and returns the second reply.
async fn twice(cache: &Cache, policy: Policy, answer: Answer) -> Reply {
    let app = Router::new().route(
        "/x",
        on_get(move || async move { answer() }).layer(cache.layer(policy)),
    );
    get(&app, "/x").await;
    cache.idle().await;
    get(&app, "/x").await
}

fn policy() -> Policy {
    Policy::ttl(minutes(5))
}

macro_rules! answer {
    ($status:literal, $($name:literal: $value:literal),*) => {
        || Response::builder().status($status)$(.header($name, $value))*.body(Body::from("body")).unwrap()
    };
}

#[tokio::test]
async fn an_answer_that_must_not_be_shared_is_not_stored() {
    let answers: &[(Answer, &str)] = &[
        (answer!(200, "set-cookie": "sid=1"), "set-cookie"),
        (answer!(200, "cache-control": "no-store"), "no-store"),
        (answer!(200, "cache-control": "PRIVATE"), "private"),
        (answer!(200, "cache-control": "private=\"x\""), "private"),
        (answer!(200, "cache-control": "no-cache"), "no-cache"),
        (answer!(200, "cache-control": "max-age=0"), "zero-ttl"),
        (answer!(200, "cache-control": "max-age=-1"), "zero-ttl"),
        (
            answer!(200, "cache-control": "max-age=60, s-maxage=0"),
            "zero-ttl",
        ),
        (answer!(200, "cache-control": "ext=\"open"), "malformed"),
        (
            answer!(200, "cache-control": "public", "cache-control": "no-store"),
            "no-store",
        ),
        (answer!(200, "vary": "*"), "vary"),
        (answer!(200, "vary": "accept, *"), "vary"),
        (
            answer!(200, "content-security-policy": "script-src 'nonce-abc'"),
            "csp-nonce",
        ),
        (
            answer!(200, "content-type": "text/event-stream"),
            "streaming",
        ),
        (
            answer!(200, "content-type": "application/grpc+proto"),
            "streaming",
        ),
        (answer!(200, "incremental": "?1"), "streaming"),
        (answer!(200, "content-range": "bytes 0-3/4"), "partial"),
        (answer!(200, "content-length": "x"), "malformed"),
        (answer!(206,), "status"),
        (answer!(301, "location": "/y"), "status"),
        (answer!(304,), "status"),
        (answer!(400,), "status"),
        (answer!(404,), "status"),
        (answer!(405,), "status"),
        (answer!(413,), "status"),
        (answer!(429,), "status"),
        (answer!(431,), "status"),
        (answer!(500,), "status"),
        (answer!(503,), "status"),
    ];
    for tiers in tiers().await {
        for (answer, reason) in answers {
            let reply = twice(&tiers.cache, policy(), *answer).await;
            assert_eq!(
                (reply.hit(), reply.detail()),
                (false, *reason),
                "{}",
                tiers.name
            );
        }
        assert_eq!(tiers.cache.stats().stores, 0);
        assert!(tiers.redis.is_none_or(|redis| redis.entries().is_empty()));
    }
}

#[tokio::test]
async fn cache_control_shortens_a_life_and_never_lengthens_it() {
    let (cache, _clock) = testing::cache();
    for (answer, ttl) in [
        (answer!(200, "cache-control": "max-age=60") as fn() -> _, 60),
        (answer!(200, "cache-control": "max-age=60, s-maxage=30"), 30),
        (answer!(200, "cache-control": "max-age=60", "age": "20"), 40),
        (answer!(200, "cache-control": "max-age=9999"), 300),
        (answer!(200, "cache-control": "public"), 300),
    ] {
        let reply = twice(&cache, policy(), answer).await;
        assert!(
            reply.cache_status().contains(&format!("ttl={ttl};")),
            "{}",
            reply.cache_status()
        );
        cache.invalidate(larder::everything()).await.unwrap();
    }
    let overridden = policy().override_cache_control();
    let reply = twice(
        &cache,
        overridden,
        answer!(200, "cache-control": "no-store"),
    )
    .await;
    assert!(reply.hit());
    assert_eq!(
        reply.header("cache-control"),
        "no-store",
        "the handler's own is never altered"
    );
}

#[tokio::test]
async fn errors_are_stored_only_where_the_route_says_so() {
    let (cache, clock) = testing::cache();
    let negative = || policy().negative_ttl(minutes(1));
    assert!(twice(&cache, negative(), answer!(404,)).await.hit());
    clock.advance(minutes(1));
    assert!(!twice(&cache, negative(), answer!(500,)).await.hit());
    let statuses = policy().statuses([200, 301]).endpoint("redirects");
    let reply = twice(&cache, statuses, answer!(301, "location": "/y")).await;
    assert!(reply.hit());
    assert_eq!(
        (reply.status, reply.header("location")),
        (StatusCode::MOVED_PERMANENTLY, "/y")
    );
}

/// RFC 9110, 15.5.2: a 401 without a challenge is none. Other fields of one request go.
#[tokio::test]
async fn a_stored_401_keeps_its_challenge() {
    for tiers in tiers().await {
        let statuses = policy().statuses([200, 401]);
        let challenge = answer!(401, "www-authenticate": "Basic", "retry-after": "5");
        let reply = twice(&tiers.cache, statuses, challenge).await;
        assert!(reply.hit(), "{}", tiers.name);
        let kept = ["www-authenticate", "retry-after"].map(|name| reply.header(name));
        assert_eq!(kept, ["Basic", ""], "{}", tiers.name);
    }
}

#[tokio::test]
async fn vary_is_honoured_with_several_variants() {
    for tiers in tiers().await {
        let calls = Calls::default();
        let count = calls.clone();
        let handler = on_get(move |headers: HeaderMap| async move {
            let lang = headers
                .get("accept-language")
                .map_or("-", |v| v.to_str().unwrap());
            (
                [("vary", "Accept-Language")],
                format!("{} {lang}", count.count()),
            )
        });
        let app = Router::new().route("/x", handler.layer(tiers.cache.layer(policy())));
        let ask = async |lang: &str| {
            let reply = get_with(&app, "/x", &[("accept-language", lang)]).await;
            tiers.cache.idle().await;
            reply
        };
        assert_eq!(ask("de").await.text(), "1 de");
        let other = ask("fr").await;
        assert_eq!((other.text(), other.detail()), ("2 fr", "variant"));
        assert!(other.cache_status().contains("fwd=vary-miss"));
        assert_eq!(ask("de").await.text(), "1 de", "{}", tiers.name);
        assert_eq!(ask("fr").await.text(), "2 fr");
        assert_eq!(get(&app, "/x").await.text(), "3 -");
        // another process learns it from the store
        if let Some(redis) = &tiers.redis {
            let clock = std::sync::Arc::new(tiers.clock.clone());
            let fresh = Cache::builder()
                .redis(redis.url())
                .clock(clock)
                .build()
                .unwrap();
            let app = Router::new().route(
                "/x",
                on_get(|| async { "other" }).layer(fresh.layer(policy())),
            );
            let reply = get_with(&app, "/x", &[("accept-language", "fr")]).await;
            assert_eq!(reply.text(), "2 fr");
        }
    }
}

#[tokio::test]
async fn an_echoed_origin_is_stored_as_varying_on_it() {
    let (cache, _clock) = testing::cache();
    let handler = on_get(|headers: HeaderMap| async move {
        [("access-control-allow-origin", headers["origin"].clone())]
    });
    let app = Router::new().route("/x", handler.layer(cache.layer(policy())));
    let ask = async |origin: &str| get_with(&app, "/x", &[("origin", origin)]).await;
    ask("https://a.example").await;
    assert!(!ask("https://b.example").await.hit());
    let hit = ask("https://a.example").await;
    assert!(hit.hit());
    assert_eq!(
        hit.header("access-control-allow-origin"),
        "https://a.example"
    );
}

#[tokio::test]
async fn fields_of_one_request_are_not_stored() {
    let (cache, _clock) = testing::cache();
    let answer = answer!(200,
        "x-request-id": "1", "traceparent": "00-1", "server-timing": "db;dur=5",
        "ratelimit-remaining": "9", "connection": "x-hop", "x-hop": "1", "x-kept": "1");
    let reply = twice(&cache, policy(), answer).await;
    assert!(reply.hit());
    for gone in [
        "x-request-id",
        "traceparent",
        "server-timing",
        "ratelimit-remaining",
        "x-hop",
        "connection",
    ] {
        assert_eq!(reply.header(gone), "", "{gone}");
    }
    assert_eq!(reply.header("x-kept"), "1");
    assert_ne!(
        reply.header("date"),
        "",
        "a stored answer has a date (RFC 9110, 6.6.1)"
    );
}

#[tokio::test]
async fn streams_and_upgrades_never_take_part() {
    let (cache, _clock) = testing::cache();
    let calls = Calls::default();
    let app = Router::new().route("/x", echo(&calls, "x").layer(cache.layer(policy())));
    for (name, value, reason) in [
        ("upgrade", "websocket", "streaming"),
        ("accept", "text/event-stream", "streaming"),
        ("content-type", "application/grpc", "streaming"),
        ("x-http-method-override", "DELETE", "method-override"),
    ] {
        let reply = get_with(&app, "/x", &[(name, value)]).await;
        assert_eq!((reply.hit(), reply.detail()), (false, reason));
    }
    let with_body = Request::builder().uri("/x").body(Body::from("x")).unwrap();
    assert_eq!(send(&app, with_body).await.detail(), "request-body");
    let options = send(&app, request(Method::OPTIONS, "/x", &[])).await;
    assert_eq!(options.detail(), "method");
    assert_eq!(cache.stats().stores, 0);
}

#[tokio::test]
async fn store_if_sees_the_whole_answer() {
    let (cache, _clock) = testing::cache();
    let graphql = || {
        policy().store_if(|status, _, body| {
            assert!(!body.ends_with(b"panic"));
            status == StatusCode::OK && !body.windows(8).any(|w| w == b"\"errors\"")
        })
    };
    let ok = || Response::new(Body::from("{\"data\":1}"));
    let failed = || Response::new(Body::from("{\"errors\":[]}"));
    let panics = || Response::new(Body::from("panic"));
    assert!(!twice(&cache, graphql(), failed).await.hit());
    assert!(!twice(&cache, graphql(), panics).await.hit());
    assert!(twice(&cache, graphql(), ok).await.hit());
}

#[tokio::test]
async fn client_cache_is_added_where_the_handler_says_nothing() {
    let (cache, _clock) = testing::cache();
    let browsers = || policy().client_cache("public, max-age=60");
    let reply = twice(&cache, browsers(), answer!(200,)).await;
    assert_eq!(reply.header("cache-control"), "public, max-age=60");
    cache.invalidate(larder::everything()).await.unwrap();
    let reply = twice(
        &cache,
        browsers(),
        answer!(200, "cache-control": "max-age=5"),
    )
    .await;
    assert_eq!(reply.header("cache-control"), "max-age=5");
    cache.invalidate(larder::everything()).await.unwrap();
    let reply = twice(&cache, policy(), answer!(200,)).await;
    assert_eq!(
        reply.header("cache-control"),
        "",
        "by default nothing is added"
    );
}
