//! Bounds: how long a request waits for another's fill.

use std::time::Duration;

use larder::testing::outcome;
use larder::{Bypass, Outcome, Staleness, hours, minutes, seconds};

use crate::{policy, settle, site, text};

const WAIT: Duration = Duration::from_secs(5);

#[tokio::test(start_paused = true)]
async fn one_that_waits_too_long_runs_its_own_handler() {
    let mut site = site(policy().wait(WAIT));
    let leader = site.ask();
    let run = site.origin.run().await;
    let follower = site.ask();
    settle().await;
    tokio::time::advance(WAIT - Duration::from_millis(10)).await;
    assert!(site.origin.is_idle().await);
    let own = site.origin.run().await; // the clock goes on by itself
    own.answer("own");
    let response = follower.response().await;
    let crowded = |reason| reason == Bypass::Crowded;
    assert!(matches!(outcome(&response), Outcome::Bypass { reason, .. } if crowded(reason)));
    let status = response.headers()["cache-status"].to_str().unwrap();
    assert!(status.ends_with("detail=crowded"), "{status}");
    assert_eq!(text(response).await, "own");
    assert_eq!(site.cache.stats().stores, 0);
    run.answer("body");
    assert_eq!(text(leader.response().await).await, "body");
    site.is_over(2).await;
}

#[tokio::test(start_paused = true)]
async fn it_is_served_stale_where_that_is_allowed() {
    let mut site = site(policy().wait(WAIT).stale_if_error(hours(1)));
    let first = site.ask();
    site.origin.run().await.answer("old");
    first.response().await;
    site.clock.advance(minutes(6));
    let leader = site.ask();
    let run = site.origin.run().await;
    let follower = site.ask().response().await;
    let crowded = |why| why == Staleness::Crowded;
    assert!(matches!(outcome(&follower), Outcome::Stale { why, .. } if crowded(why)));
    assert_eq!(text(follower).await, "old");
    run.answer("new");
    assert_eq!(text(leader.response().await).await, "new");
    site.is_over(3).await;
}

#[tokio::test(start_paused = true)]
async fn the_wait_is_for_all_fills_together() {
    let mut site = site(policy().wait(WAIT));
    let leader = site.ask();
    let first = site.origin.run().await;
    let followers = site.ask_many(2);
    settle().await;
    tokio::time::advance(WAIT - seconds(1)).await;
    first.fails();
    let second = site.origin.run().await; // one of them leads, the other waits on
    let start = tokio::time::Instant::now();
    site.origin.run().await.answer("own");
    assert!(start.elapsed() <= seconds(2), "{:?}", start.elapsed());
    second.answer("body");
    assert!(leader.result().await.is_err());
    for follower in followers {
        text(follower.response().await).await;
    }
    site.is_over(2).await;
}

#[tokio::test(start_paused = true)]
async fn the_longest_wait_is_no_overflow() {
    let mut site = site(policy().wait(larder::days(36_500)));
    let asking = site.ask_many(2);
    site.origin.run().await.answer("body");
    for asking in asking {
        assert_eq!(text(asking.response().await).await, "body");
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_has_come_ends_the_wait() {
    let mut site = site(policy().wait(WAIT));
    let asking = site.ask_many(2);
    let feeder = site.origin.run().await.stream(Some(4));
    let mut responses = Vec::new();
    for asking in asking {
        responses.push(asking.response().await);
    }
    tokio::time::advance(WAIT * 2).await;
    feeder.send("body");
    feeder.end();
    for response in responses {
        assert_eq!(text(response).await, "body");
    }
}
