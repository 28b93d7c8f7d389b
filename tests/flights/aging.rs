//! What is stale when it is asked for: it ages while a request waits, and may be
//! invalidated meanwhile.

use axum::body::Body;
use axum::http::{Response, StatusCode};
use bytes::Bytes;
use larder::{Policy, hours, minutes, seconds, tag};

use crate::late::{SOFT, soft, stale};
use crate::{fed, policy, settle, site, soon, text};

#[tokio::test(start_paused = true)]
async fn stale_is_not_served_beyond_its_window() {
    let mut site = stale(policy().stale_if_error(minutes(2))).await; // age 6:00, window to 7:00
    let asking = site.ask();
    let run = site.origin.run().await;
    site.clock.advance(minutes(3)); // the handler takes three minutes
    run.answer(StatusCode::SERVICE_UNAVAILABLE);
    let response = asking.response().await;
    let age = response.headers().get("age").cloned();
    assert_eq!(
        response.status(),
        503,
        "its window ended two minutes ago: age {age:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn age_is_the_age() {
    let mut site = stale(policy().stale_if_error(hours(1))).await;
    let asking = site.ask();
    let run = site.origin.run().await;
    site.clock.advance(minutes(3));
    run.answer(StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(asking.response().await.headers()["age"], "540");
}

#[tokio::test(start_paused = true)]
async fn a_soft_timeout_does_not_serve_beyond_the_window() {
    let mut site = stale(
        policy()
            .stale_if_error(minutes(2))
            .soft_timeout(seconds(10)),
    )
    .await;
    site.clock.advance(seconds(55)); // 5 s left
    let leader = site.ask();
    let run = site.origin.run().await;
    site.clock.advance(seconds(10));
    settle().await;
    tokio::time::advance(seconds(10)).await;
    settle().await;
    assert!(!leader.is_answered(), "nothing stale may stand in any more");
    run.answer("new");
    assert_eq!(text(leader.response().await).await, "new");
}

#[tokio::test(start_paused = true)]
async fn what_was_invalidated_does_not_overtake() {
    let mut site = stale(soft().tag("a")).await;
    let (leader, follower) = (site.ask(), site.ask());
    let run = site.origin.run().await;
    settle().await;
    soon(site.cache.invalidate(tag("a"))).await.unwrap();
    tokio::time::advance(SOFT * 2).await;
    settle().await;
    let served = [leader.is_answered(), follower.is_answered()];
    assert_eq!(served, [false, false], "the old body is served after Ok");
    run.answer("new");
}

#[tokio::test(start_paused = true)]
async fn what_was_invalidated_does_not_stand_in() {
    let mut site = stale(policy().stale_if_error(hours(1)).tag("a")).await;
    let leader = site.ask();
    let run = site.origin.run().await;
    soon(site.cache.invalidate(tag("a"))).await.unwrap();
    run.answer(StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        leader.response().await.status(),
        503,
        "the old body is served after Ok"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stored_failure_does_not_replace_what_stands_in() {
    let mut site = stale(soft().statuses([200, 503])).await;
    let leader = site.ask();
    let run = site.origin.run().await;
    text(leader.response().await).await;
    run.answer((StatusCode::SERVICE_UNAVAILABLE, "down"));
    settle().await;
    let next = site.ask();
    settle().await;
    let next = next.response().await;
    assert_eq!(
        (next.status().as_u16(), text(next).await),
        (200, "old".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn the_same_in_front() {
    let mut site = stale(policy().stale_if_error(hours(1)).statuses([200, 503])).await;
    let leader = site.ask();
    site.origin
        .run()
        .await
        .answer((StatusCode::SERVICE_UNAVAILABLE, "down"));
    assert_eq!(text(leader.response().await).await, "old");
    assert_eq!(text(site.ask().response().await).await, "old");
}

#[tokio::test(start_paused = true)]
async fn the_same_in_a_renewal() {
    let swr = policy()
        .stale_if_error(hours(1))
        .stale_while_revalidate(hours(1));
    let mut site = stale(swr.statuses([200, 503])).await;
    assert_eq!(text(site.ask().response().await).await, "old");
    site.origin
        .run()
        .await
        .answer((StatusCode::SERVICE_UNAVAILABLE, "down"));
    settle().await;
    let next = site.ask().response().await;
    assert_eq!(
        (next.status().as_u16(), text(next).await),
        (200, "old".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn a_fallback_is_not_narrowed() {
    for field in [
        ("if-none-match", "*"),
        ("if-modified-since", "Fri, 20 Nov 2099 12:00:00 GMT"),
    ] {
        let sorry = |_: &larder::Failure<'_>| {
            let response = Response::builder().header("date", "Fri, 20 Nov 2026 12:00:00 GMT");
            Some(response.body(Bytes::from("sorry")).unwrap())
        };
        let mut site = site(policy().fallback(sorry));
        let leader = site.ask_with(&[field]);
        site.origin
            .run()
            .await
            .answer(StatusCode::SERVICE_UNAVAILABLE);
        let response = leader.response().await;
        assert_eq!(response.status(), 200, "{field:?}");
    }
}

/// An invalidation while a fill goes on behind the back: what that makes is
/// nobody's.
async fn overtaken_by_an_invalidation(site: &mut crate::Site) {
    let run = site.origin.run().await;
    soon(site.cache.invalidate(tag("a"))).await.unwrap();
    run.answer("made before");
    settle().await;
    soon(site.cache.idle()).await;
    let next = site.ask();
    site.origin.run().await.answer("new");
    assert_eq!(text(next.response().await).await, "new");
    assert_eq!(site.hit().await, "new");
}

#[tokio::test(start_paused = true)]
async fn a_fill_left_behind_brings_nothing_back() {
    let mut site = stale(soft().tag("a")).await;
    assert_eq!(text(site.ask().response().await).await, "old");
    overtaken_by_an_invalidation(&mut site).await;
}

#[tokio::test(start_paused = true)]
async fn a_renewal_brings_nothing_back() {
    let swr = policy().stale_while_revalidate(hours(1)).tag("a");
    let mut site = stale(swr).await;
    assert_eq!(text(site.ask().response().await).await, "old");
    overtaken_by_an_invalidation(&mut site).await;
}

#[tokio::test(start_paused = true)]
async fn an_early_renewal_brings_nothing_back() {
    let mut site = site(policy().tag("a"));
    let first = site.ask();
    let run = site.origin.run().await;
    site.clock.advance(seconds(10)); // it takes so long
    run.answer("old");
    text(first.response().await).await;
    let left = std::time::Duration::from_millis(1);
    site.clock.advance(minutes(5) - left);
    assert_eq!(site.hit().await, "old");
    overtaken_by_an_invalidation(&mut site).await;
}

/// Of an answer that takes six seconds and is fresh for five: how many asked in all, and
/// what all got.
async fn slower_than_fresh(control: &'static str, declared: Option<u64>) -> usize {
    let mut site = site(Policy::http());
    let asking = site.ask_many(5);
    let mut runs = vec![site.origin.run().await];
    let mut asked = 0;
    site.clock.advance(seconds(6));
    while let Some(run) = runs.pop() {
        asked += 1;
        let (feeder, body) = fed(declared);
        run.answer(([("cache-control", control)], Body::new(body)));
        feeder.send("body");
        feeder.end();
        runs.extend(site.origin.all().await);
    }
    for asking in asking {
        assert_eq!(text(asking.response().await).await, "body");
    }
    asked
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_get_what_the_next_one_would_get_while_it_is_renewed() {
    for declared in [None, Some(4)] {
        let windowed = "max-age=5, stale-while-revalidate=60";
        assert_eq!(slower_than_fresh(windowed, declared).await, 1);
        assert_eq!(slower_than_fresh("max-age=5", declared).await, 5);
    }
}
