//! Warming: by requests through a service, bounded, paced, told and reported.

mod support;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::http::{StatusCode, Uri, header};
use axum::response::IntoResponse;
use axum::routing::get as on_get;
use larder::{Cache, MIB, Policy, Routes, WarmList, WarmReport, Warmed, hours, minutes, seconds};
use support::{Calls, eventually, get, tiers, tiers_with};
use tokio::sync::Semaphore;

/// Answers by path, one of which sets a cookie, one fails, one has no policy.
fn app(cache: &Cache, calls: &Calls) -> Router {
    let calls = calls.clone();
    let show = move |Path(id): Path<String>| async move {
        let body = format!("{id} {}", calls.count());
        match &*id {
            "cookie" => ([(header::SET_COOKIE, "a=b")], body).into_response(),
            "broken" => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            "panics" => panic!("as asked"),
            _ => body.into_response(),
        }
    };
    Router::new()
        .route("/things/{id}", on_get(show).layer(cache.ttl(minutes(5))))
        .route("/plain", on_get(|| async { "plain" }))
}

fn failures(report: &WarmReport) -> Vec<(usize, &str, &str)> {
    let failed = report.failed.iter();
    failed.map(|f| (f.at, &*f.name, &*f.why)).collect()
}

#[tokio::test]
async fn what_was_warmed_is_a_hit_for_the_first_request() {
    for tiers in tiers().await {
        let (calls, cache) = (Calls::default(), tiers.cache);
        let app = app(&cache, &calls);
        let run = cache.warm().host("a.example");
        let report = run
            .requests(app.clone(), ["/things/1", "/things/2"])
            .report()
            .await;
        assert_eq!((report.filled, report.total), (2, 2), "{report:?}");
        assert!(report.is_complete(), "{report:?}");
        cache.idle().await;
        assert!(get(&app, "/things/1").await.hit(), "{}", tiers.name);
        assert!(get(&app, "/things/2").await.hit(), "{}", tiers.name);
        assert_eq!(calls.now(), 2, "{}", tiers.name);
    }
}

#[tokio::test]
async fn what_is_fresh_is_skipped_and_nothing_counts_as_traffic() {
    for tiers in tiers().await {
        let (calls, cache) = (Calls::default(), tiers.cache);
        let app = app(&cache, &calls);
        get(&app, "/things/1").await;
        cache.idle().await;
        let before = cache.stats();
        let targets = ["/things/1", "/things/2"];
        let warm = || {
            cache
                .warm()
                .host("a.example")
                .requests(app.clone(), targets)
        };
        let report = warm().report().await;
        assert_eq!((report.filled, report.fresh), (1, 1), "{report:?}");
        cache.idle().await;
        let report = warm().report().await;
        assert_eq!((report.filled, report.fresh), (0, 2), "{report:?}");
        let after = cache.stats();
        assert_eq!(after.requests(), before.requests(), "{}", tiers.name);
        assert_eq!(calls.now(), 2, "{}", tiers.name);
    }
}

#[tokio::test]
async fn what_ends_too_soon_is_filled_again_where_that_is_asked() {
    for tiers in tiers_with(|builder| builder).await {
        let (calls, cache) = (Calls::default(), tiers.cache);
        let app = app(&cache, &calls);
        get(&app, "/things/1").await;
        cache.idle().await;
        let warm = |left| {
            let how = cache.warm().host("a.example").fresh_for(left);
            how.requests(app.clone(), ["/things/1"])
        };
        assert_eq!(warm(minutes(4)).report().await.fresh, 1, "{}", tiers.name);
        assert_eq!(warm(minutes(6)).report().await.filled, 1, "{}", tiers.name);
        cache.idle().await;
        assert_eq!(get(&app, "/things/1").await.text(), "1 2", "{}", tiers.name);
    }
}

#[tokio::test]
async fn each_failure_is_reported_with_its_reason_and_the_run_goes_on() {
    let cache = Cache::builder().memory(16 * MIB).build().unwrap();
    let calls = Calls::default();
    let text = "/things/cookie\nthings\n/things/broken\n/things/panics\n/plain\n/things/ok\n";
    let list = WarmList::parse(text, str::parse::<Uri>);
    let run = cache.warm().host("a.example").concurrency(1);
    let report = run.requests(app(&cache, &calls), list).report().await;
    let expected = [
        (1, "/things/cookie", "not stored: set-cookie"),
        (
            2,
            "things",
            "neither a path that begins with / nor an absolute URI",
        ),
        (3, "/things/broken", "status 500"),
        (4, "/things/panics", "it panicked"),
        (5, "/plain", "no layer of this cache answered, status 200"),
    ];
    assert_eq!(failures(&report), expected);
    assert_eq!((report.filled, report.is_complete()), (1, false));
}

#[tokio::test]
async fn a_target_without_a_host_is_nobodys_request() {
    let (cache, _clock) = larder::testing::cache();
    let calls = Calls::default();
    let app = app(&cache, &calls);
    let targets = ["/things/1", "http://a.example/things/1"];
    let report = cache.warm().requests(app.clone(), targets).report().await;
    assert_eq!(failures(&report)[0].0, 1);
    assert!(failures(&report)[0].2.starts_with("no host"));
    assert_eq!(report.filled, 1);
    assert!(get(&app, "/things/1").await.hit());
    let report = cache.warm().header("no name", "x");
    let report = report.requests(app, targets).report().await;
    assert!(failures(&report)[0].2.contains("is no field"), "{report:?}");
}

#[tokio::test]
async fn a_cache_that_is_off_runs_no_handler() {
    let (cache, _clock) = larder::testing::cache();
    let calls = Calls::default();
    cache.set_enabled(false);
    let run = cache.warm().host("a.example");
    let report = run.requests(app(&cache, &calls), ["/things/1"]);
    let report = report.report().await;
    assert_eq!(failures(&report)[0].2, "disabled");
    assert_eq!(calls.now(), 0);
}

/// A handler that waits for permits, and counts how many are in it.
fn gated(cache: &Cache, gate: &Arc<Semaphore>, inside: &Arc<(AtomicUsize, AtomicUsize)>) -> Router {
    let (gate, inside) = (Arc::clone(gate), Arc::clone(inside));
    let show = move |Path(id): Path<String>| async move {
        let now = inside.0.fetch_add(1, Ordering::SeqCst) + 1;
        inside.1.fetch_max(now, Ordering::SeqCst);
        gate.acquire().await.unwrap().forget();
        inside.0.fetch_sub(1, Ordering::SeqCst);
        id
    };
    Router::new().route("/{id}", on_get(show).layer(cache.ttl(minutes(5))))
}

#[tokio::test]
async fn no_more_than_so_many_run_at_a_time_and_each_is_told() {
    let (cache, _clock) = larder::testing::cache();
    let (gate, inside) = (Arc::new(Semaphore::new(0)), Arc::default());
    let app = gated(&cache, &gate, &inside);
    let targets: Vec<String> = (0..10).map(|n| format!("/{n}")).collect();
    let run = cache.warm().host("a.example").concurrency(3);
    let mut run = run.requests(app, targets);
    assert_eq!(run.total(), 10);
    eventually("three are in it", || async {
        inside.0.load(Ordering::SeqCst) == 3
    })
    .await;
    gate.add_permits(10);
    let mut done = 0;
    while let Some(step) = run.next().await {
        done += 1;
        assert_eq!((step.done, step.total), (done, 10));
        assert_eq!(step.warmed, Warmed::Filled);
    }
    assert_eq!((done, inside.1.load(Ordering::SeqCst)), (10, 3));
    assert_eq!(run.report().await.filled, 10);
}

#[tokio::test]
async fn a_request_shares_what_is_being_warmed_and_waits_for_nothing_else() {
    let (cache, _clock) = larder::testing::cache();
    let (gate, inside) = (Arc::new(Semaphore::new(0)), Arc::default());
    let app = gated(&cache, &gate, &inside);
    let run = cache.warm().host("a.example").concurrency(1);
    let run = run.requests(app.clone(), ["/a", "/b"]);
    eventually("it is in the handler", || async {
        inside.0.load(Ordering::SeqCst) == 1
    })
    .await;
    let same = tokio::spawn({
        let app = app.clone();
        async move { get(&app, "/a").await }
    });
    let other = tokio::spawn({
        let app = app.clone();
        async move { get(&app, "/c").await }
    });
    eventually("the other request is not kept waiting", || async {
        inside.0.load(Ordering::SeqCst) == 2
    })
    .await;
    gate.add_permits(3);
    assert_eq!(same.await.unwrap().text(), "a");
    assert_eq!(other.await.unwrap().text(), "c");
    assert!(run.report().await.is_complete());
    assert_eq!(gate.available_permits(), 0, "three keys, three runs");
}

#[tokio::test]
async fn a_cancelled_run_begins_nothing_more() {
    let (cache, _clock) = larder::testing::cache();
    let (gate, inside) = (Arc::new(Semaphore::new(0)), Arc::default());
    let app = gated(&cache, &gate, &inside);
    let targets: Vec<String> = (0..10).map(|n| format!("/{n}")).collect();
    let run = cache.warm().host("a.example").concurrency(2);
    let run = run.requests(app, targets);
    eventually("two are in it", || async {
        inside.0.load(Ordering::SeqCst) == 2
    })
    .await;
    run.cancel();
    gate.add_permits(10);
    let report = run.report().await;
    assert_eq!((report.filled, report.left), (2, 8));
    assert!(!report.is_complete());
}

#[tokio::test]
async fn the_end_of_the_cache_is_the_end_of_its_runs() {
    let (cache, _clock) = larder::testing::cache();
    let (gate, inside) = (Arc::new(Semaphore::new(0)), Arc::default());
    let app = gated(&cache, &gate, &inside);
    let run = cache.warm().host("a.example").concurrency(1);
    let run = run.requests(app, ["/1", "/2", "/3"]);
    eventually("one is in it", || async {
        inside.0.load(Ordering::SeqCst) == 1
    })
    .await;
    let end = tokio::spawn({
        let cache = cache.clone();
        async move { cache.shutdown().await }
    });
    eventually("it shuts down", || async {
        gate.add_permits(1);
        end.is_finished()
    })
    .await;
    assert!(run.report().await.left >= 1);
}

/// Its turns would come for hours.
#[tokio::test(start_paused = true)]
async fn the_end_of_the_cache_waits_for_nobodys_turn() {
    let (cache, _clock) = larder::testing::cache();
    let calls = Calls::default();
    let app = app(&cache, &calls);
    let how = || cache.warm().host("a.example").every(hours(1));
    let targets: Vec<String> = (0..9).map(|n| format!("/things/{n}")).collect();
    let requests = how().requests(app, targets);
    let works = how().each(0..9, |_| async { Ok::<_, String>(()) });
    eventually("each has had its first", || async { calls.now() == 1 }).await;
    let start = tokio::time::Instant::now();
    cache.shutdown().await;
    assert!(start.elapsed() < seconds(1), "{:?}", start.elapsed());
    let left = (requests.report().await.left, works.report().await.left);
    assert_eq!((left, calls.now()), ((8, 8), 1));
}

#[tokio::test(start_paused = true)]
async fn fills_are_so_far_apart_and_what_is_fresh_takes_no_turn() {
    let (cache, _clock) = larder::testing::cache();
    let calls = Calls::default();
    let app = app(&cache, &calls);
    for n in 0..50 {
        get(&app, &format!("/things/{n}")).await;
    }
    let targets: Vec<String> = (0..60).map(|n| format!("/things/{n}")).collect();
    let start = tokio::time::Instant::now();
    let run = cache.warm().host("a.example").every(seconds(1));
    let report = run.requests(app, targets).report().await;
    assert_eq!((report.fresh, report.filled), (50, 10));
    // the first begins at once
    assert_eq!(start.elapsed().as_secs(), 9);
}

#[tokio::test(start_paused = true)]
async fn what_hangs_fails_and_its_turn_does_not_count() {
    let (cache, _clock) = larder::testing::cache();
    let (gate, inside) = (Arc::new(Semaphore::new(0)), Arc::default());
    let app = gated(&cache, &gate, &inside);
    let how = cache.warm().host("a.example").every(minutes(1));
    let run = how.timeout(seconds(5)).requests(app, ["/1", "/2", "/3"]);
    let report = run.report().await;
    assert_eq!(report.failed.len(), 3, "{report:?}");
    assert_eq!(failures(&report)[0].2, "it took longer than 5 s");
}

#[tokio::test]
async fn layers_inside_each_other_are_warmed_where_the_answer_lies() {
    for tiers in tiers().await {
        let (calls, cache) = (Calls::default(), tiers.cache);
        let inner = app(&cache, &calls);
        let table = Routes::new().route("/things/{id}", Policy::ttl(hours(1)));
        let app = inner.layer(cache.routes(table));
        let warm = || {
            let run = cache.warm().host("a.example");
            run.requests(app.clone(), ["/things/1"]).report()
        };
        let report = warm().await;
        assert_eq!(report.filled, 1, "{}: {report:?}", tiers.name);
        cache.idle().await;
        assert_eq!(warm().await.fresh, 1, "{}", tiers.name);
        assert!(get(&app, "/things/1").await.hit(), "{}", tiers.name);
        assert_eq!(calls.now(), 1, "{}", tiers.name);
    }
}

#[tokio::test]
async fn any_work_is_bounded_and_reported() {
    let (cache, _clock) = larder::testing::cache();
    let run = cache.warm().concurrency(2).each(1..=5_u32, |n| async move {
        match n {
            3 => Err("three"),
            _ => Ok(()),
        }
    });
    let report = run.report().await;
    assert_eq!(failures(&report), [(3, "3", "three")]);
    assert_eq!(report.to_string(), "4 filled, 0 fresh, 1 failed in 0.0 s");
}

#[tokio::test]
async fn without_its_report_a_run_goes_on() {
    let (cache, _clock) = larder::testing::cache();
    let calls = Calls::default();
    let app = app(&cache, &calls);
    drop(
        cache
            .warm()
            .host("a.example")
            .requests(app.clone(), ["/things/1"]),
    );
    cache.idle().await;
    assert!(get(&app, "/things/1").await.hit());
}

#[tokio::test]
async fn a_plain_service_is_warmed_too() {
    use axum::body::Body;
    use axum::http::{Request, Response};
    use tower::Layer;

    let (cache, _clock) = larder::testing::cache();
    let service = tower::service_fn(|_: Request<Body>| async {
        Ok::<_, Infallible>(Response::new(Body::from("plain")))
    });
    let service = cache.ttl(minutes(1)).layer(service);
    let report = cache.warm().requests(service, ["http://a.example/"]);
    assert_eq!(report.report().await.filled, 1);
}

#[tokio::test]
async fn an_item_may_take_for_ever() {
    let (cache, _clock) = larder::testing::cache();
    let app = app(&cache, &Calls::default());
    let warm = || cache.warm().host("a.example").timeout(Duration::MAX);
    let report = warm().requests(app, ["/things/1"]).report().await;
    assert_eq!(report.filled, 1, "{report:?}");
    let values = cache.values::<u8>("numbers").build().unwrap();
    let load = |_: &str| async { Ok::<_, Infallible>(1) };
    let report = warm().values(&values, ["one"], load).report().await;
    assert_eq!(report.filled, 1, "{report:?}");
    let report = warm().each([1], |_| async { Ok::<_, Infallible>(()) });
    assert!(report.report().await.is_complete());
}
