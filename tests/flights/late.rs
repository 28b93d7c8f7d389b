//! Fills that take too long: the soft timeout, the hard one, and what answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::http::{Method, Response};
use bytes::Bytes;
use larder::testing::outcome;
use larder::{Bypass, FailureKind, Outcome, Policy, Refusal, Staleness, hours, minutes, seconds};

use crate::support::request;
use crate::{Site, ask, is_miss, policy, settle, site, text};

pub(crate) const SOFT: Duration = Duration::from_millis(300);
const HARD: Duration = Duration::from_secs(2);

/// A site with something stale.
pub(crate) async fn stale(policy: Policy) -> Site {
    stale_site(site(policy)).await
}

pub(crate) async fn stale_site(mut site: Site) -> Site {
    let first = site.ask();
    site.origin.run().await.answer("old");
    text(first.response().await).await;
    settle().await;
    site.clock.advance(minutes(6));
    site
}

pub(crate) fn soft() -> Policy {
    policy().stale_if_error(hours(1)).soft_timeout(SOFT)
}

fn hard() -> Policy {
    policy().hard_timeout(HARD)
}

fn is_stale(response: &Response<axum::body::Body>, as_is: Staleness) -> bool {
    matches!(outcome(response), Outcome::Stale { why, .. } if why == as_is)
}

#[tokio::test(start_paused = true)]
async fn a_fill_that_takes_long_is_overtaken_by_what_is_stale_and_stored() {
    let mut site = stale(soft()).await;
    let (leader, follower) = (site.ask(), site.ask());
    let run = site.origin.run().await;
    settle().await;
    tokio::time::advance(SOFT - Duration::from_millis(10)).await;
    settle().await;
    assert!(!leader.is_answered() && !follower.is_answered());
    for asking in [leader, follower] {
        let response = asking.response().await;
        assert!(is_stale(&response, Staleness::Timeout), "{response:?}");
        assert_eq!(text(response).await, "old");
    }
    assert!(site.origin.is_idle().await && !run.is_cancelled());
    run.answer("new");
    settle().await;
    assert_eq!(site.hit().await, "new");
    site.is_over(4).await;
}

#[tokio::test(start_paused = true)]
async fn a_fill_that_is_quick_enough_answers() {
    let mut site = stale(soft()).await;
    let leader = site.ask();
    site.origin.run().await.answer("new");
    let response = leader.response().await;
    assert!(is_miss(&response));
    assert_eq!(text(response).await, "new");
    site.is_over(2).await;
}

#[tokio::test(start_paused = true)]
async fn one_left_behind_may_fail_without_harm() {
    let mut site = stale(soft()).await;
    let leader = site.ask();
    let run = site.origin.run().await;
    assert!(is_stale(&leader.response().await, Staleness::Timeout));
    run.panics();
    settle().await;
    let next = site.ask();
    site.origin.run().await.answer("new");
    assert_eq!(text(next.response().await).await, "new");
    site.is_over(3).await;
}

#[tokio::test(start_paused = true)]
async fn without_anything_stale_a_request_waits_on() {
    let mut site = site(soft());
    let leader = site.ask();
    let run = site.origin.run().await;
    settle().await;
    tokio::time::advance(SOFT * 10).await;
    settle().await;
    assert!(!leader.is_answered());
    run.answer("new");
    assert_eq!(text(leader.response().await).await, "new");
}

#[tokio::test(start_paused = true)]
async fn at_its_hard_limit_a_handler_is_dropped_and_all_get_504() {
    let mut site = site(hard());
    let asking = site.ask_many(3);
    let run = site.origin.run().await;
    for asking in asking {
        let response = asking.response().await;
        assert_eq!(response.status(), 504);
        let Outcome::Miss { stored, .. } = outcome(&response) else {
            panic!("{response:?}");
        };
        assert_eq!(stored, Err(Refusal::Timeout));
        let status = response.headers()["cache-status"].to_str().unwrap();
        assert_eq!(status, "larder; fwd=uri-miss; detail=hard-timeout");
    }
    run.cancelled().await;
    assert!(site.origin.is_idle().await, "nobody asks it at once again");
    assert_eq!(site.cache.stats().stores, 0);
    site.is_over(3).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_stale_comes_before_the_fallback_and_that_before_504() {
    let sorry = |failure: &larder::Failure<'_>| {
        assert_eq!(
            (failure.kind(), failure.status()),
            (FailureKind::Timeout, None)
        );
        Some(Response::new(Bytes::from("sorry")))
    };
    let mut site = stale(hard().stale_if_error(hours(1)).fallback(sorry)).await;
    let asking = site.ask_many(2);
    let _run = site.origin.run().await;
    for asking in asking {
        let response = asking.response().await;
        assert!(is_stale(&response, Staleness::IfError));
        assert_eq!(text(response).await, "old");
    }
    site.clock.advance(hours(2));
    let asking = site.ask_many(2);
    let _run = site.origin.run().await;
    for asking in asking {
        assert_eq!(text(asking.response().await).await, "sorry");
    }
    site.is_over(5).await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_has_begun_is_not_cut_off() {
    let mut site = site(hard());
    let leader = site.ask();
    let feeder = site.origin.run().await.stream(Some(4));
    let response = leader.response().await;
    tokio::time::advance(HARD * 2).await;
    feeder.send("body");
    feeder.end();
    assert_eq!(text(response).await, "body");
    assert_eq!(site.hit().await, "body");
}

#[tokio::test(start_paused = true)]
async fn at_a_bound_the_fallback_comes_before_the_handler() {
    let sorry = |failure: &larder::Failure<'_>| {
        assert_eq!(failure.kind(), FailureKind::Crowded);
        Some(Response::new(Bytes::from("sorry")))
    };
    let mut site = site(policy().wait(seconds(5)).fallback(sorry));
    let leader = site.ask();
    let run = site.origin.run().await;
    let response = site.ask().response().await;
    let crowded = |reason| reason == Bypass::Crowded;
    assert!(matches!(outcome(&response), Outcome::Bypass { reason, .. } if crowded(reason)));
    assert_eq!(text(response).await, "sorry");
    run.answer("body");
    text(leader.response().await).await;
    site.is_over(2).await;
}

#[tokio::test(start_paused = true)]
async fn a_renewal_has_no_fallback_and_a_limit_too() {
    let asked = Arc::new(AtomicBool::new(false));
    let asking = Arc::clone(&asked);
    let policy = hard().stale_while_revalidate(hours(1)).fallback(move |_| {
        asking.store(true, Ordering::SeqCst);
        None
    });
    let mut site = stale(policy).await;
    for fails in [false, true] {
        let response = site.ask().response().await;
        assert!(is_stale(&response, Staleness::WhileRevalidating));
        let run = site.origin.run().await;
        match fails {
            true => run.fails(),
            false => run.cancelled().await,
        }
        settle().await;
        site.clock.advance(seconds(31));
    }
    assert!(!asked.load(Ordering::SeqCst), "nobody waits for it");
    site.is_over(3).await;
}

#[tokio::test]
async fn what_is_filled_right_after_an_invalidation_does_not_live_long() {
    let policy = || policy().tag("a").settle(seconds(10));
    let mut site = site(policy());
    let fill = async |site: &mut Site, body: &'static str| {
        let asking = site.ask();
        site.origin.run().await.answer(body);
        text(asking.response().await).await;
    };
    fill(&mut site, "one").await;
    site.clock.advance(minutes(4));
    assert_eq!(site.hit().await, "one", "nothing was invalidated");
    for (wait, lives) in [(9, 10), (11, 300)] {
        site.cache.invalidate(larder::tag("a")).await.unwrap();
        site.clock.advance(seconds(wait));
        fill(&mut site, "two").await;
        site.clock.advance(seconds(lives - 1));
        assert_eq!(site.hit().await, "two");
        site.clock.advance(seconds(2));
        fill(&mut site, "three").await;
        site.cache.invalidate(larder::tag("a")).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn soft_timeout_of_a_follower_does_not_cancel_the_fill() {
    let mut site = stale(soft()).await;
    let leader = site.ask();
    let run = site.origin.run().await;
    let follower = site.ask();
    settle().await;
    leader.goes_away().await;
    let response = follower.response().await;
    assert!(matches!(
        outcome(&response),
        Outcome::Stale {
            why: Staleness::Timeout,
            ..
        }
    ));
    settle().await;
    assert!(!run.is_cancelled(), "the fill goes on, to be stored");
    run.answer("new");
    settle().await;
    assert_eq!(site.hit().await, "new");
}

#[tokio::test(start_paused = true)]
async fn soft_timeout_of_head() {
    let mut site = stale(soft()).await;
    let head = ask(&site.app, request(Method::HEAD, "/x", &[]));
    let run = site.origin.run().await;
    tokio::time::advance(SOFT * 3).await;
    settle().await;
    assert!(head.is_answered(), "HEAD waits for its handler");
    run.answer("new");
    site.is_over(2).await;
}

#[tokio::test(start_paused = true)]
async fn soft_timeout_of_range() {
    let mut site = stale(soft()).await;
    let range = site.ask_with(&[("range", "bytes=0-1")]);
    let _run = site.origin.run().await;
    tokio::time::advance(SOFT * 3).await;
    settle().await;
    assert!(range.is_answered(), "a range waits for its handler");
}

#[tokio::test(start_paused = true)]
async fn soft_timeout_of_a_marked_key() {
    let mut site = stale(soft().store_if(|_, _, body| body != b"no")).await;
    let leader = site.ask();
    site.origin.run().await.answer("no");
    text(leader.response().await).await;
    settle().await;
    let next = site.ask();
    let _run = site.origin.run().await;
    tokio::time::advance(SOFT * 3).await;
    settle().await;
    assert!(next.is_answered(), "a marked key waits for its handler");
}

#[tokio::test(start_paused = true)]
async fn followers_of_a_hard_timeout_get_what_the_leader_gets() {
    let mut site = site(Policy::http().hard_timeout(seconds(2)));
    let first = site.ask();
    site.origin
        .run()
        .await
        .answer(([("cache-control", "max-age=60"), ("etag", "\"1\"")], "old"));
    text(first.response().await).await;
    site.clock.advance(minutes(6));
    let (leader, follower) = (site.ask(), site.ask());
    let _run = site.origin.run().await;
    settle().await;
    tokio::time::advance(seconds(3)).await;
    let (leader, follower) = (leader.response().await, follower.response().await);
    assert_eq!(leader.status(), 200);
    assert_eq!(follower.status(), leader.status());
}

#[tokio::test(start_paused = true)]
async fn a_lapsed_follower_of_another_kind_of_leader() {
    // the leader asks with `no-cache`, so has nothing that may stand in; it goes away
    let policy = Policy::http().soft_timeout(SOFT);
    let mut site = site(policy);
    let first = site.ask();
    site.origin.run().await.answer((
        [("cache-control", "max-age=60, stale-if-error=3600")],
        "old",
    ));
    text(first.response().await).await;
    site.clock.advance(minutes(6));
    let leader = site.ask_with(&[("cache-control", "no-cache")]);
    let run = site.origin.run().await;
    let follower = site.ask();
    settle().await;
    tokio::time::advance(SOFT * 2).await;
    let response = follower.response().await;
    assert!(matches!(
        outcome(&response),
        Outcome::Stale {
            why: Staleness::Timeout,
            ..
        }
    ));
    assert!(!leader.is_answered());
    leader.goes_away().await;
    settle().await;
    assert!(!run.is_cancelled(), "the fill goes on, to be stored");
}

#[tokio::test(start_paused = true)]
async fn ranges_and_heads_at_the_hard_limit() {
    let mut site = site(policy().hard_timeout(seconds(1)).wait(seconds(30)));
    let leader = site.ask();
    let _run = site.origin.run().await;
    let range = site.ask_with(&[("range", "bytes=0-1")]);
    let head = ask(&site.app, request(Method::HEAD, "/x", &[]));
    let _runs = site.origin.all().await;
    for asking in [leader, range, head] {
        let response = asking.response().await;
        assert_eq!(response.status(), 504);
    }
    site.is_over(3).await;
}
