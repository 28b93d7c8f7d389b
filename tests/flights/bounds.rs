//! Bounds: how long a request waits for another's fill.

use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use http_body_util::BodyExt;
use larder::testing::{ManualClock, outcome};
use larder::{Bypass, Cache, MIB, Outcome, Policy, Staleness, hours, minutes, seconds};
use tokio::task::JoinHandle;

use crate::support::request;
use crate::{Asking, Site, ask, cached, handler, piece, policy, settle, site, soon, text};

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

/// A site with room for 1 MiB in flight.
fn narrow() -> Site {
    narrow_with(policy())
}

fn narrow_with(policy: Policy) -> Site {
    let clock = ManualClock::new();
    let builder = Cache::builder()
        .memory(2 * MIB)
        .clock(Arc::new(clock.clone()));
    let cache = builder.build().unwrap();
    let (handler, origin) = handler();
    Site {
        app: cached(&cache, policy, handler),
        cache,
        clock,
        origin,
    }
}

impl Site {
    fn ask_other(&self) -> Asking {
        ask(&self.app, request(Method::GET, "/other", &[]))
    }
}

/// A client that reads at once, and counts the bytes of a whole body.
fn read(asking: Asking) -> JoinHandle<usize> {
    tokio::spawn(async { text(asking.response().await).await.len() })
}

#[tokio::test]
async fn nobody_is_cut_off_when_too_much_comes_into_flight() {
    let mut site = narrow();
    let other = read(site.ask_other());
    let flying = site.origin.run().await.stream(Some(800_000));
    flying.send(vec![b'x'; 100_000]);
    settle().await;
    let readers: Vec<_> = site.ask_many(2).into_iter().map(read).collect();
    let feeder = site.origin.run().await.stream(Some(600_000));
    feeder.send(vec![b'x'; 200_000]);
    settle().await;
    flying.send(vec![b'x'; 600_000]);
    settle().await;
    feeder.send(vec![b'x'; 400_000]);
    feeder.end();
    settle().await;
    flying.send(vec![b'x'; 100_000]);
    flying.end();
    for run in site.origin.all().await {
        run.answer(vec![b'x'; 600_000]);
    }
    for reader in readers {
        assert_eq!(reader.await.expect("a whole body"), 600_000);
    }
    assert_eq!(other.await.expect("a whole body"), 800_000);
    site.is_over(3).await;
    assert_eq!(site.cache.stats().in_flight_bytes, 0);
}

#[tokio::test]
async fn what_is_sent_as_it_comes_has_its_room() {
    let mut site = narrow();
    let readers = site.ask_many(2);
    let feeder = site.origin.run().await.stream(Some(600_000));
    let mut responses = Vec::new();
    for asking in readers {
        responses.push(asking.response().await);
    }
    let other = read(site.ask_other());
    let flying = site.origin.run().await.stream(Some(800_000));
    flying.send(vec![b'x'; 700_000]);
    settle().await;
    feeder.send(vec![b'x'; 600_000]);
    feeder.end();
    settle().await;
    flying.send(vec![b'x'; 100_000]);
    flying.end();
    assert_eq!(other.await.expect("a whole body"), 800_000);
    for response in responses {
        assert_eq!(text(response).await.len(), 600_000);
    }
    assert_eq!(site.hit().await.len(), 600_000);
    site.is_over(4).await;
}

/// Most of the room that is in flight.
const MOST: usize = 700 << 10;

#[tokio::test]
async fn a_body_that_is_stored_takes_no_room_until_it_is_read() {
    let mut site = narrow();
    let asking = site.ask();
    let feeder = site.origin.run().await.stream(None);
    let mut body = asking.response().await.into_body();
    for _ in 0..7 {
        feeder.send(vec![b'x'; MOST / 7]);
    }
    feeder.end();
    assert_eq!(piece(&mut body).await.len(), MOST / 7); // and no more
    let stats = site.cache.stats();
    assert_eq!((stats.stores, stats.in_flight_bytes), (1, 0));
    let rest = soon(body.collect()).await.unwrap().to_bytes();
    assert_eq!(rest, vec![b'x'; MOST / 7 * 6]);
    site.is_over(1).await;
}

#[tokio::test]
async fn a_client_that_does_not_read_takes_no_room_from_others() {
    let mut site = narrow();
    let stalled = site.ask();
    let feeder = site.origin.run().await.stream(Some(MOST as u64));
    let mut stalled = stalled.response().await.into_body();
    feeder.send(vec![b'a'; MOST / 2]);
    let first = piece(&mut stalled).await;
    site.clock.advance(seconds(10));
    let other = ask(&site.app, request(Method::GET, "/y", &[]));
    site.origin.run().await.answer("y".repeat(MOST));
    text(other.response().await).await;
    let hit = ask(&site.app, request(Method::GET, "/y", &[]));
    larder::testing::assert_hit(&hit.response().await);
    // its own body is whole, and the next one for it fills
    let next = site.ask();
    site.origin.run().await.answer("next");
    assert_eq!(text(next.response().await).await, "next");
    feeder.send(vec![b'b'; MOST / 2]);
    feeder.end();
    let rest = soon(stalled.collect()).await.unwrap().to_bytes();
    assert_eq!(
        (first, rest),
        (vec![b'a'; MOST / 2].into(), vec![b'b'; MOST / 2].into())
    );
    assert_eq!(site.hit().await, "next");
    site.is_over(5).await;
}

#[tokio::test]
async fn a_policy_that_finishes_does_so_for_a_client_that_does_not_read() {
    let mut site = narrow_with(policy().finish());
    let stalled = site.ask();
    let feeder = site.origin.run().await.stream(Some(MOST as u64));
    let stalled = stalled.response().await;
    feeder.send(vec![b'a'; MOST]);
    feeder.end();
    site.clock.advance(seconds(10));
    let other = ask(&site.app, request(Method::GET, "/y", &[]));
    site.origin.run().await.answer("y");
    text(other.response().await).await;
    settle().await;
    assert_eq!(site.hit().await.len(), MOST);
    assert_eq!(text(stalled).await.len(), MOST);
}
