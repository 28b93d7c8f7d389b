//! Layers of one cache inside each other: every request counts once.

use std::time::Duration;

use larder::{hours, minutes, seconds};

use crate::late::{soft, stale_site};
use crate::nested::inside;
use crate::{policy, settle, text};

#[tokio::test(start_paused = true)]
async fn nested_soft_timeout_counts_once() {
    let mut site = stale_site(inside(soft(), soft())).await;
    let asking = site.ask_many(2);
    let run = site.origin.run().await;
    settle().await;
    for asking in asking {
        text(asking.response().await).await;
    }
    run.answer("new");
    site.is_over(3).await;
}

#[tokio::test(start_paused = true)]
async fn nested_swr_counts_once() {
    let swr = || policy().stale_while_revalidate(hours(1));
    let mut site = stale_site(inside(swr(), swr())).await;
    let asking = site.ask();
    assert_eq!(text(asking.response().await).await, "old");
    site.origin.run().await.answer("new");
    settle().await;
    site.is_over(2).await;
}

#[tokio::test(start_paused = true)]
async fn nested_early_counts_once_and_renews() {
    let mut site = inside(policy(), policy());
    let first = site.ask();
    let run = site.origin.run().await;
    site.clock.advance(seconds(100));
    run.answer("old");
    text(first.response().await).await;
    settle().await;
    site.clock.advance(minutes(5) - Duration::from_millis(1));
    assert_eq!(site.hit().await, "old");
    settle().await;
    for run in site.origin.all().await {
        run.answer("new");
    }
    site.is_over(2).await;
}

#[tokio::test(start_paused = true)]
async fn nested_hard_timeout_counts_once() {
    let mut site = inside(
        policy().hard_timeout(seconds(1)),
        policy().endpoint("inner").finish(),
    );
    let asking = site.ask();
    let run = site.origin.run().await;
    assert_eq!(asking.response().await.status(), 504);
    run.answer("new");
    settle().await;
    site.is_over(1).await;
}

#[tokio::test(start_paused = true)]
async fn nested_outer_soft_timeout_counts_once() {
    let inner = policy().stale_if_error(hours(1));
    let mut site = stale_site(inside(soft(), inner)).await;
    let asking = site.ask();
    let run = site.origin.run().await;
    let response = asking.response().await;
    text(response).await;
    run.answer("new");
    site.is_over(2).await;
}
