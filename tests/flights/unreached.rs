//! A service that is out of reach, under `Policy::http()` (RFC 9111, 4.2.4): those who
//! share its fill get what its leader gets, and it is left alone for a while.

use axum::http::StatusCode;
use larder::{Fault, Policy, seconds};

use crate::{Site, settle, site, text};

/// A site whose entry is stale and has no window.
async fn stale(policy: Policy, control: &'static str) -> Site {
    let mut site = site(policy);
    let first = site.ask();
    let fields = [("cache-control", control), ("etag", "\"1\"")];
    site.origin.run().await.answer((fields, "old"));
    assert_eq!(text(first.response().await).await, "old");
    settle().await;
    site.clock.advance(seconds(100));
    site
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_get_what_the_leader_gets() {
    let mut site = stale(Policy::http(), "max-age=10").await;
    let asking = site.ask_many(5);
    site.origin.run().await.fails();
    assert!(site.origin.is_idle().await, "nobody asks it at once again");
    for asking in asking {
        assert_eq!(text(asking.response().await).await, "old");
    }
    assert_eq!(site.cache.stats().stale, 5);
    site.is_over(6).await;
}

#[tokio::test(start_paused = true)]
async fn it_is_left_alone_for_a_while() {
    let mut site = stale(Policy::http().hard_timeout(seconds(5)), "max-age=10").await;
    for hangs in [false, true] {
        let first = site.ask();
        let run = site.origin.run().await;
        if hangs {
            run.cancelled().await;
        } else {
            run.fails();
        }
        assert_eq!(text(first.response().await).await, "old");
        for asking in site.ask_many(3) {
            assert_eq!(text(asking.response().await).await, "old");
        }
        assert!(site.origin.is_idle().await);
        site.clock.advance(seconds(31));
    }
    let later = site.ask();
    site.origin.run().await.answer("new");
    assert_eq!(text(later.response().await).await, "new");
}

#[tokio::test(start_paused = true)]
async fn an_error_status_is_an_answer() {
    let mut site = stale(Policy::http(), "max-age=10").await;
    for _ in 0..2 {
        let asking = site.ask_many(2);
        for _ in 0..2 {
            let run = site.origin.run().await;
            run.answer(StatusCode::SERVICE_UNAVAILABLE);
        }
        for asking in asking {
            assert_eq!(asking.response().await.status(), 503);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_never_be_stale_is_not() {
    let mut site = stale(Policy::http(), "max-age=10, must-revalidate").await;
    for _ in 0..2 {
        let asking = site.ask_many(2);
        for _ in 0..2 {
            site.origin.run().await.fails();
        }
        for asking in asking {
            assert!(asking.result().await.is_err());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_waited_too_long_gets_it_too() {
    let mut site = stale(Policy::http().wait(seconds(5)), "max-age=10").await;
    let leader = site.ask();
    let _hangs = site.origin.run().await;
    let follower = site.ask();
    settle().await;
    tokio::time::advance(seconds(5)).await;
    site.origin.run().await.fails();
    assert_eq!(text(follower.response().await).await, "old");
    let hidden = site.cache.stats().faults.get(Fault::HandlerHidden);
    assert_eq!(hidden, 1, "that it is down is counted");
    drop(leader);
}
