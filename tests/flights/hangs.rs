//! Handlers that hang: they keep neither a key nor the cache's end.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::Response;
use bytes::Bytes;
use http_body::Frame;
use larder::testing::outcome;
use larder::{Outcome, Policy, hours, minutes, seconds};

use crate::late::{soft, stale};
use crate::{fed, is_coalesced, is_miss, piece, policy, settle, site, soon, text};

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
async fn a_renewal_whose_body_stalls_ends_where_nobody_reads_it() {
    for read in [false, true] {
        let swr = policy().stale_while_revalidate(minutes(2));
        let mut site = stale(swr.wait(seconds(1))).await;
        text(site.ask().response().await).await;
        let feeder = site.origin.run().await.stream(Some(8));
        settle().await;
        site.clock.advance(minutes(2)); // nothing stale any more
        feeder.send("one ");
        settle().await;
        if !read {
            tokio::time::advance(minutes(5)).await;
            feeder.dropped().await;
            site.is_over(2).await;
            continue;
        }
        let mut body = site.ask().response().await.into_body();
        assert_eq!(piece(&mut body).await, "one ");
        tokio::time::advance(hours(1)).await;
        settle().await;
        feeder.send("more");
        feeder.end();
        assert_eq!(text(Response::new(body)).await, "more");
    }
}

/// A body of empty frames, always ready, until it is to end.
struct Empty {
    frames: usize,
    ends: Arc<AtomicBool>,
}

impl http_body::Body for Empty {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        self.frames += 1;
        assert!(self.frames < 1_000_000, "nobody else gets a turn");
        let ends = self.ends.load(Ordering::SeqCst);
        Poll::Ready((!ends).then(|| Ok(Frame::data(Bytes::new()))))
    }
}

#[tokio::test]
async fn a_body_of_empty_frames_lets_others_have_their_turn() {
    let mut site = site(policy());
    let asking = site.ask_many(2);
    let ends = Arc::new(AtomicBool::new(false));
    let body = Empty {
        frames: 0,
        ends: Arc::clone(&ends),
    };
    site.origin.run().await.answer(Body::new(body));
    settle().await;
    ends.store(true, Ordering::SeqCst);
    for asking in asking {
        assert_eq!(text(asking.response().await).await, "");
    }
}

#[tokio::test(start_paused = true)]
async fn shutdown_does_not_wait_for_ever() {
    let mut site = stale(policy().stale_while_revalidate(hours(1)).wait(seconds(5))).await;
    text(site.ask().response().await).await;
    let _hangs = site.origin.run().await;
    let ended = tokio::time::timeout(hours(24), site.cache.shutdown()).await;
    assert!(ended.is_ok(), "a day");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stalls_does_not_keep_its_key() {
    let mut site = site(policy().wait(seconds(5)));
    let readers = site.ask_many(2);
    let stalled = site.origin.run().await.stream(Some(8));
    stalled.send("one ");
    let mut bodies = Vec::new();
    for reader in readers {
        let mut body = reader.response().await.into_body();
        assert_eq!(piece(&mut body).await, "one ");
        bodies.push(body);
    }
    site.clock.advance(seconds(6));
    let later = site.ask_many(3);
    site.origin.run().await.answer("another");
    for asking in later {
        assert_eq!(text(asking.response().await).await, "another");
    }
    assert!(site.origin.is_idle().await, "one run for all of them");
    stalled.send("more");
    stalled.end();
    for body in bodies {
        assert_eq!(text(Response::new(body)).await, "more", "nobody is cut off");
    }
    site.is_over(5).await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_comes_slowly_goes_on_being_shared() {
    let mut site = site(policy().wait(seconds(5)));
    let first = site.ask_many(2);
    let feeder = site.origin.run().await.stream(Some(12));
    let mut shared = Vec::new();
    for asking in first {
        shared.push(asking.response().await);
    }
    for part in ["one ", "and ", "more"] {
        site.clock.advance(seconds(4));
        feeder.send(part);
        settle().await;
        site.clock.advance(seconds(4));
        let response = site.ask().response().await;
        assert!(is_coalesced(&response), "{response:?}");
        shared.push(response);
    }
    feeder.end();
    for response in shared {
        assert_eq!(text(response).await, "one and more");
    }
    assert!(site.origin.is_idle().await);
    site.is_over(5).await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_comes_slowly_is_shared_until_it_is_no_longer_fresh() {
    let mut site = site(Policy::ttl(minutes(1)));
    let first = site.ask_many(2);
    let feeder = site.origin.run().await.stream(Some(12));
    let mut shared = Vec::new();
    for asking in first {
        shared.push(asking.response().await);
    }
    for (part, age) in [("one ", "25"), ("and ", "50")] {
        site.clock.advance(seconds(25));
        feeder.send(part);
        settle().await;
        let response = site.ask().response().await;
        assert!(is_coalesced(&response), "{response:?}");
        assert_eq!(response.headers()["age"], age);
        shared.push(response);
    }
    site.clock.advance(seconds(10));
    let later = site.ask_many(3);
    site.origin.run().await.answer("another");
    for asking in later {
        assert_eq!(text(asking.response().await).await, "another");
    }
    assert!(site.origin.is_idle().await, "one run for all of them");
    feeder.send("more");
    feeder.end();
    for response in shared {
        assert_eq!(text(response).await, "one and more", "nobody is cut off");
    }
    site.is_over(7).await;
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_what_is_no_longer_fresh() {
    let mut site = site(Policy::ttl(seconds(10)));
    let leader = site.ask();
    let feeder = site.origin.run().await.stream(Some(4));
    let leader = leader.response().await;
    site.clock.advance(seconds(10));
    let later = site.ask_many(2);
    for run in site.origin.all().await {
        run.answer("another");
    }
    for asking in later {
        assert_eq!(text(asking.response().await).await, "another");
    }
    feeder.send("body");
    feeder.end();
    assert_eq!(text(leader).await, "body");
}

#[tokio::test(start_paused = true)]
async fn who_wants_it_fresher_than_it_is_by_now_does_not_share_it() {
    let mut site = site(Policy::http());
    let leader = site.ask();
    let (feeder, body) = fed(Some(4));
    let fields = [("cache-control", "max-age=60")];
    site.origin.run().await.answer((fields, Body::new(body)));
    let leader = leader.response().await;
    site.clock.advance(seconds(6));
    let max_age = |value| site.ask_with(&[("cache-control", value)]);
    let (young, old) = (max_age("max-age=5"), max_age("max-age=6"));
    site.origin.run().await.answer("own");
    assert_eq!(text(young.response().await).await, "own");
    let old = old.response().await;
    feeder.send("body");
    feeder.end();
    assert_eq!(text(old).await, "body");
    assert_eq!(text(leader).await, "body");
}
