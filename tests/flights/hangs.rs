//! Handlers that hang: they keep neither a key nor the cache's end.

use std::time::Duration;

use larder::testing::outcome;
use larder::{Outcome, hours, seconds};

use crate::late::{soft, stale};
use crate::{is_miss, policy, settle, site, soon, text};

#[tokio::test(start_paused = true)]
async fn hard_timeout_at_a_bound() {
    let hard = Duration::from_secs(2);
    let mut site = site(policy().wait(seconds(1)).hard_timeout(hard));
    let leader = site.ask();
    let _one = site.origin.run().await;
    let follower = site.ask();
    settle().await;
    tokio::time::advance(seconds(1)).await;
    let _two = site.origin.run().await; // crowded: it runs the handler
    tokio::time::advance(seconds(60)).await;
    settle().await;
    assert!(leader.is_answered());
    assert!(follower.is_answered(), "the handler has taken a minute");
}

#[tokio::test(start_paused = true)]
async fn shutdown_waits_for_what_was_left_behind() {
    let mut site = stale(soft()).await;
    let asking = site.ask();
    let run = site.origin.run().await;
    text(asking.response().await).await;
    let cache = site.cache.clone();
    let ended = tokio::spawn(async move { cache.shutdown().await });
    settle().await;
    assert!(!ended.is_finished(), "a fill goes on behind the back");
    run.answer("new");
    soon(ended).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_renewal_at_a_time_without_coalescing() {
    let swr = policy().stale_while_revalidate(hours(1)).coalesce(false);
    let mut site = stale(swr).await;
    for asking in site.ask_many(20) {
        assert_eq!(text(asking.response().await).await, "old");
    }
    assert_eq!(site.origin.all().await.len(), 1, "runs");
}

#[tokio::test(start_paused = true)]
async fn a_hung_fill_left_behind_does_not_keep_its_key() {
    let mut site = stale(soft().wait(seconds(5))).await;
    let leader = site.ask();
    let _hangs = site.origin.run().await;
    text(leader.response().await).await;
    site.clock.advance(hours(2)); // nothing stale any more
    tokio::time::advance(hours(2)).await;
    for _ in 0..3 {
        let asking = site.ask();
        let run = site.origin.run().await; // after its wait of 30 s
        run.answer("new");
        let response = asking.response().await;
        let said = outcome(&response);
        text(response).await;
        settle().await;
        if matches!(said, Outcome::Miss { .. }) {
            assert_eq!(site.hit().await, "new");
            return;
        }
    }
    panic!(
        "after two hours nobody can fill this key: flights {}",
        site.cache.stats().flights
    );
}

#[tokio::test(start_paused = true)]
async fn a_hung_renewal_does_not_keep_its_key() {
    let mut site = stale(policy().stale_while_revalidate(hours(1)).wait(seconds(5))).await;
    text(site.ask().response().await).await;
    let _hangs = site.origin.run().await;
    site.clock.advance(hours(2));
    tokio::time::advance(hours(2)).await;
    for _ in 0..3 {
        let asking = site.ask();
        let run = site.origin.run().await;
        run.answer("new");
        let response = asking.response().await;
        if is_miss(&response) {
            return;
        }
    }
    panic!(
        "after two hours nobody can fill this key: flights {}",
        site.cache.stats().flights
    );
}

#[tokio::test(start_paused = true)]
async fn shutdown_does_not_wait_for_ever() {
    let mut site = stale(policy().stale_while_revalidate(hours(1)).wait(seconds(5))).await;
    text(site.ask().response().await).await;
    let _hangs = site.origin.run().await;
    let ended = tokio::time::timeout(hours(24), site.cache.shutdown()).await;
    assert!(ended.is_ok(), "a day");
}
