//! Each request is counted exactly once, by how it was answered.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode};
use axum::{Router, routing::get as on_get};
use larder::{
    Bypass, Cache, Cause, Eviction, Fault, InvalidatedBy, Latencies, LowCause, MIB, Policy, Refusal,
};
use larder::{endpoint, everything, minutes, seconds, tag, testing, uri};
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::support::{Calls, get, request, send};

async fn body_of(n: usize) -> String {
    "x".repeat(n)
}

/// A body that does not say how long it is.
async fn unbounded() -> Body {
    let chunks = ["1234", "56789"].map(Ok::<_, Infallible>);
    Body::from_stream(futures_util::stream::iter(chunks))
}

#[tokio::test]
async fn bodies_of_no_declared_length_are_counted_as_they_end() {
    let (cache, _clock) = testing::cache();
    let app = Router::new()
        .route("/a", on_get(unbounded).layer(cache.ttl(minutes(1))))
        .route("/b", on_get(unbounded).layer(cache.layer(Policy::none())));
    for path in ["/a", "/a", "/b"] {
        get(&app, path).await;
        cache.idle().await;
    }
    let stats = cache.stats();
    assert_eq!((stats.bytes_handled, stats.bytes_cached), (18, 9));
    // who goes away has had what was sent
    let answer = app.oneshot(request(Method::GET, "/b", &[])).await.unwrap();
    let mut body = answer.into_body();
    http_body_util::BodyExt::frame(&mut body).await;
    drop(body);
    assert_eq!(cache.stats().bytes_handled, 22);
}

#[tokio::test]
async fn the_outcomes_of_an_endpoint_add_up_to_its_requests() {
    let (cache, clock) = testing::cache();
    let app = Router::new()
        .route("/a", on_get(|| body_of(10)).layer(cache.ttl(minutes(1))))
        .route("/b", on_get(|| body_of(100)).layer(cache.ttl(seconds(1))))
        .route(
            "/c",
            on_get(|| async { StatusCode::NOT_FOUND }).layer(cache.ttl(seconds(1))),
        );
    for _ in 0..3 {
        get(&app, "/a").await;
    }
    get(&app, "/b").await;
    clock.advance(seconds(2));
    get(&app, "/b").await;
    get(&app, "/c").await;
    send(&app, request(Method::GET, "/a", &[("cookie", "a=b")])).await;
    let all = cache.endpoint_stats();
    let names: Vec<&str> = all.iter().map(|one| one.endpoint.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    let (a, b, c) = (&all[0].stats, &all[1].stats, &all[2].stats);
    assert_eq!((a.hits_memory, a.misses, a.bypasses), (2, 1, 1));
    assert_eq!((a.bytes_cached, a.bytes_handled), (20, 20));
    assert_eq!(a.bypasses_by.get(Bypass::Credential), 1);
    assert_eq!(
        (b.misses_by.get(Cause::New), b.misses_by.get(Cause::Expired)),
        (1, 1)
    );
    assert_eq!(
        (c.refusals_by.get(Refusal::Status), c.refusals, c.stores),
        (1, 1, 0)
    );
    let stats = cache.stats();
    assert_eq!(
        (stats.requests(), stats.stores, stats.calls_saved),
        (7, 3, 2)
    );
    let sum: u64 = all.iter().map(|one| one.stats.requests()).sum();
    assert_eq!(sum, 7);
}

#[tokio::test]
async fn a_request_in_nested_layers_counts_once() {
    let (cache, _clock) = testing::cache();
    let inner = Router::new()
        .route(
            "/a",
            on_get(|| body_of(1)).layer(cache.layer(Policy::ttl(minutes(1)).endpoint("in"))),
        )
        .route(
            "/b",
            on_get(|| body_of(1)).layer(cache.invalidates("api:x:*")),
        )
        .layer(cache.ttl(minutes(1)));
    let app = cache
        .layer(Policy::ttl(minutes(1)).endpoint("out"))
        .layer(inner);
    for path in ["/a", "/a", "/b", "/b", "/c"] {
        get(&app, path).await;
    }
    let stats = cache.stats();
    assert_eq!(stats.requests(), 5, "{stats:?}");
    assert_eq!(stats.hits_memory, 2, "{stats:?}");
    let all = cache.endpoint_stats();
    let of = |name| all.iter().find(|one| one.endpoint == name).unwrap();
    assert_eq!(
        of("in").stats.requests(),
        2,
        "the layer that decides counts"
    );
}

#[tokio::test]
async fn who_gets_no_answer_counts_once_too() {
    let (cache, _clock) = testing::cache();
    let handler = service_fn(|request: Request<Body>| async move {
        match request.uri().path() {
            "/hangs" => std::future::pending().await,
            "/panics" => panic!("as it is told"),
            "/fails" => Err("as it is told"),
            _ => Ok(Response::new(Body::empty())),
        }
    });
    // two layers: whichever ends first, one of them counts
    let app = cache
        .ttl(minutes(1))
        .layer(cache.ttl(minutes(1)).layer(handler));
    let ask = |path| app.clone().oneshot(request(Method::GET, path, &[]));
    let put = |path| app.clone().oneshot(request(Method::PUT, path, &[]));
    assert!(ask("/fails").await.is_err());
    assert!(put("/fails").await.is_err());
    assert!(tokio::spawn(ask("/panics")).await.is_err());
    let pause = Duration::from_millis(1);
    assert!(tokio::time::timeout(pause, ask("/hangs")).await.is_err());
    assert!(tokio::time::timeout(pause, put("/hangs")).await.is_err());
    drop(app.clone().call(request(Method::GET, "/never-polled", &[])));
    let stats = cache.stats();
    assert_eq!(
        (stats.misses, stats.bypasses, stats.abandoned),
        (4, 2, 4),
        "{stats:?}"
    );
    assert_eq!(stats.faults.get(Fault::Handler), 2);
    assert_eq!((stats.fills, stats.waiters), (0, 0));
}

#[tokio::test]
async fn waiters_and_fills_are_seen_while_they_last() {
    let (cache, _clock) = testing::cache();
    let (go, gate) = tokio::sync::watch::channel(false);
    let handler = service_fn(move |_: Request<Body>| {
        let mut gate = gate.clone();
        async move {
            let _ = gate.wait_for(|open| *open).await;
            Ok::<_, Infallible>(Response::new(Body::from("x")))
        }
    });
    let app = cache
        .layer(Policy::ttl(minutes(1)).endpoint("x"))
        .layer(handler);
    let asked: Vec<_> = (0..3)
        .map(|_| tokio::spawn(app.clone().oneshot(request(Method::GET, "/", &[]))))
        .collect();
    let seen = || {
        let stats = cache.stats();
        (stats.fills, stats.waiters)
    };
    crate::support::eventually("two wait for one", || async { seen() == (1, 2) }).await;
    go.send_replace(true);
    for asked in asked {
        asked.await.unwrap().unwrap();
    }
    assert_eq!(seen(), (0, 0));
    let stats = cache.stats();
    assert_eq!((stats.misses, stats.coalesced), (1, 2));
}

#[tokio::test]
async fn what_had_no_room_is_counted_by_cause() {
    let cache = Cache::builder().memory(MIB).build().unwrap();
    let app = Router::new().route(
        "/{n}",
        on_get(|| body_of(20_000)).layer(cache.ttl(minutes(1))),
    );
    for n in 0..100 {
        get(&app, &format!("/{n}")).await;
    }
    let stats = cache.stats();
    let gone = stats.evictions.get(Eviction::Capacity);
    assert_eq!(gone + stats.memory_entries, 100, "{stats:?}");
}

/// What makes way for a newer answer is no sign of a memory that is too small.
#[tokio::test]
async fn what_is_renewed_has_not_been_evicted() {
    let (cache, clock) = testing::cache();
    let policies = [
        ("plain", Policy::ttl(minutes(1))),
        (
            "stale",
            Policy::ttl(minutes(1)).stale_while_revalidate(minutes(9)),
        ),
        (
            "varying",
            Policy::ttl(minutes(1)).stale_if_error(minutes(9)),
        ),
    ];
    let calls = Calls::default();
    let mut app = Router::new();
    for (name, policy) in policies {
        let calls = calls.clone();
        // in the end it varies, and a marker takes the place of the answer
        let vary = move || match (name, calls.count()) {
            ("varying", 20..) => [("vary", "x-a")],
            _ => [("x-vary", "")],
        };
        let answer = on_get(async move || (vary(), "x"));
        app = app.route(&format!("/{name}"), answer.layer(cache.layer(policy)));
    }
    for _ in 0..10 {
        for path in ["/plain", "/stale", "/varying"] {
            get(&app, path).await;
            cache.idle().await;
        }
        clock.advance(minutes(2));
    }
    let stats = cache.stats();
    assert_eq!((stats.stores, calls.now()), (30, 30));
    assert_eq!(stats.evictions.iter().next(), None, "{stats:?}");
}

#[tokio::test]
async fn latencies_are_measured_and_what_was_saved_is_told() {
    let cache = Cache::builder().memory(MIB).build().unwrap();
    let app = Router::new().route("/", on_get(|| body_of(1)).layer(cache.ttl(minutes(1))));
    for _ in 0..1_281 {
        get(&app, "/").await;
    }
    let stats = cache.stats();
    assert_eq!((stats.latency.miss.count, stats.latency.fill.count), (1, 1));
    assert_eq!(stats.latency.hit.count, 1_280, "one in 64 counts 64");
    assert!(stats.latency.hit.p50 > Duration::ZERO);
    assert!(stats.latency.hit.p50 <= stats.latency.hit.p99);
    assert_eq!(stats.time_saved, stats.latency.fill.mean() * 1_280);
}

/// A slow handler that is seldom asked for makes no hit of a fast one's worth more.
#[tokio::test]
async fn what_was_saved_is_the_sum_of_what_each_endpoint_has() {
    let (cache, clock) = testing::cache();
    let takes = |time: Duration| {
        let (clock, layer) = (clock.clone(), cache.ttl(minutes(5)));
        on_get(async move || clock.advance(time)).layer(layer)
    };
    let app = Router::new()
        .route("/slow", takes(seconds(60)))
        .route("/fast", takes(Duration::from_millis(1)));
    get(&app, "/slow").await;
    for _ in 0..101 {
        get(&app, "/fast").await;
    }
    assert_eq!(cache.stats().calls_saved, 100);
    assert_eq!(cache.stats().time_saved, Duration::from_millis(100));
    cache.reset_stats();
    get(&app, "/fast").await;
    let stats = cache.stats();
    assert_eq!((stats.latency.fill.count, stats.calls_saved), (0, 1));
    assert_eq!(stats.time_saved, Duration::from_millis(1));
}

/// A handler that fails late is no slow hit, though something stale answers in the end.
#[tokio::test]
async fn who_has_waited_for_a_handler_that_failed_is_measured_as_that() {
    let (cache, clock) = testing::cache();
    let policy = Policy::ttl(minutes(1)).stale_if_error(minutes(60));
    let (calls, late) = (Calls::default(), clock.clone());
    let handler = on_get(async move || match calls.count() {
        1 => StatusCode::OK,
        _ => {
            late.advance(seconds(10));
            StatusCode::SERVICE_UNAVAILABLE
        }
    });
    let app = Router::new().route("/", handler.layer(cache.layer(policy)));
    get(&app, "/").await;
    clock.advance(minutes(2));
    assert_eq!(get(&app, "/").await.detail(), "stale-if-error");
    assert_eq!(get(&app, "/").await.detail(), "left-alone");
    let Latencies { hit, miss, .. } = cache.stats().latency;
    assert_eq!((hit.count, miss.count), (1, 2));
    assert!(hit.sum < seconds(1) && miss.sum >= seconds(10), "{hit:?}");
}

#[tokio::test]
async fn the_numbers_serialize() {
    let (cache, _clock) = testing::cache();
    let app = Router::new().route("/a", on_get(|| body_of(1)).layer(cache.ttl(minutes(1))));
    get(&app, "/a").await;
    let json = serde_json::to_value(cache.endpoint_stats()).unwrap();
    assert_eq!(json[0]["endpoint"], "a");
    assert_eq!(json[0]["stats"]["misses_by"]["new"], 1);
    assert!(json[0]["stats"]["latency"]["miss"]["p99"].is_f64());
}

#[tokio::test]
async fn a_miss_knows_what_became_of_what_was_there() {
    let cache = Cache::builder().memory(MIB).build().unwrap();
    let policy = Policy::ttl(minutes(1)).endpoint("x").tag("n:{n}");
    let handler = on_get(|| body_of(20_000)).put(|| async {});
    let app = Router::new().route("/{n}", handler.layer(cache.layer(policy)));
    for n in (0..100).chain(0..100) {
        get(&app, &format!("/{n}")).await;
    }
    let stats = cache.stats();
    // a trace may be lost to another key's
    let evicted = stats.misses_by.get(Cause::Evicted);
    assert!(evicted > 0 && evicted >= stats.misses - 105, "{stats:?}");
    let selectors = [
        tag("n:0"),
        endpoint("x"),
        everything(),
        uri("/0"),
        "api:x:*".into(),
    ];
    for selector in selectors {
        get(&app, "/0").await;
        cache.invalidate(selector).await.unwrap();
        get(&app, "/0").await;
    }
    let stats = cache.stats();
    assert_eq!(stats.misses_by.get(Cause::Invalidated), 5);
    let by = |by| stats.invalidated_by.get(by);
    use InvalidatedBy::{Endpoint, Everything, Pattern, Tag, Uri};
    let all = [Tag, Endpoint, Everything, Uri, Pattern].map(by);
    assert_eq!(all, [1; 5], "{stats:?}");
}

#[tokio::test]
async fn a_low_hit_rate_is_told_with_its_cause_until_it_is_well_again() {
    let (cache, clock) = testing::cache();
    let policy = |endpoint| {
        Policy::ttl(minutes(1))
            .endpoint(endpoint)
            .least_hit_rate(0.6)
    };
    let handler = || on_get(|| body_of(1));
    let app = Router::new()
        .route("/keys/{n}", handler().layer(cache.layer(policy("keys"))))
        .route("/short", handler().layer(cache.layer(policy("short"))))
        .route("/good", handler().layer(cache.layer(policy("good"))));
    for minute in 0..190 {
        for n in 0..2 {
            get(&app, &format!("/keys/{minute}-{n}")).await;
            get(&app, "/short").await;
        }
        for _ in 0..3 {
            get(&app, "/good").await;
        }
        clock.advance(minutes(1));
        cache.recent().await;
    }
    let low = cache.low_hit_rates();
    let causes: Vec<_> = low
        .iter()
        .map(|low| (low.endpoint.as_str(), low.cause))
        .collect();
    let keys = ("keys", LowCause::ChangingKey);
    let of_each = [keys, ("short", LowCause::ShortTtl)];
    assert_eq!((causes[0].0, &causes[1..]), ("", &of_each[..]), "{low:?}");
    assert!(low[1].hit_rate == 0.0 && low[1].wanted == 0.6);
    let advice = cache.advice().await;
    let low = advice.iter().filter(|one| one.rule == "hit-rate-low");
    let low: Vec<_> = low.map(|one| one.subject.as_deref()).collect();
    assert_eq!(low, [None, Some("keys"), Some("short")], "each once");
    for _ in 0..600 {
        get(&app, "/keys/0").await;
    }
    clock.advance(minutes(1));
    cache.recent().await;
    let low = cache.low_hit_rates();
    assert_eq!(low.len(), 1, "{low:?}");
    assert_eq!(low[0].endpoint, "short", "too few have asked for it since");
}
