//! Clients that go away: the leader's at each stage, and followers with it.

use axum::body::Body;
use axum::http::{Method, Response};

use crate::support::request;
use crate::{Asking, ask, piece, policy, settle, site, text};

/// How many follow, and how many of them go away with the leader.
const CROWDS: [(usize, usize); 8] = [
    (0, 0),
    (1, 0),
    (1, 1),
    (10, 0),
    (10, 5),
    (10, 10),
    (1000, 999),
    (1000, 1000),
];

async fn all_go(asking: impl IntoIterator<Item = Asking>) {
    for asking in asking {
        asking.goes_away().await;
    }
}

#[tokio::test]
async fn before_the_head() {
    for (follow, go) in CROWDS {
        for leader_first in [true, false] {
            let mut site = site(policy());
            let leader = site.ask();
            let run = site.origin.run().await;
            let mut followers = site.ask_many(follow);
            assert!(site.origin.is_idle().await);
            let stay = followers.split_off(go);
            match leader_first {
                true => all_go(std::iter::once(leader).chain(followers)).await,
                false => all_go(followers.into_iter().chain([leader])).await,
            }
            settle().await;
            match stay.is_empty() {
                true => {
                    run.cancelled().await;
                    assert_eq!(site.cache.stats().stores, 0);
                    assert_eq!(site.cache.stats().flights, 0);
                }
                false => run.answer("body"),
            }
            for asking in stay {
                assert_eq!(text(asking.response().await).await, "body");
            }
            assert!(site.origin.is_idle().await, "nobody runs it again");
            site.is_over((follow - go) as u64).await;
        }
    }
}

/// A leader and its followers, all of whom have their heads.
async fn heads(
    site: &mut crate::Site,
    follow: usize,
) -> (crate::Feeder, Body, Vec<Response<Body>>) {
    let leader = site.ask();
    let followers = site.ask_many(follow);
    let feeder = site.origin.run().await.stream(Some(8));
    let leading = leader.response().await.into_body();
    let mut bodies = Vec::new();
    for follower in followers {
        bodies.push(follower.response().await);
    }
    (feeder, leading, bodies)
}

#[tokio::test]
async fn in_the_middle_of_the_body() {
    for (follow, go) in CROWDS {
        let mut site = site(policy());
        let (feeder, mut leading, mut bodies) = heads(&mut site, follow).await;
        feeder.send("one ");
        assert_eq!(piece(&mut leading).await, "one ");
        drop(leading);
        let stay = bodies.split_off(go);
        drop(bodies);
        match stay.is_empty() {
            true => {
                feeder.dropped().await;
                assert_eq!(site.cache.stats().stores, 0);
            }
            false => {
                feeder.send("more");
                feeder.end();
            }
        }
        for response in stay {
            assert_eq!(text(response).await, "one more");
        }
        site.is_over(1 + follow as u64).await;
    }
}

#[tokio::test]
async fn after_the_last_byte() {
    for (follow, go) in CROWDS {
        let mut site = site(policy());
        let (feeder, mut leading, mut bodies) = heads(&mut site, follow).await;
        feeder.send("one more");
        assert_eq!(piece(&mut leading).await, "one more");
        drop(leading); // a server stops at the declared length
        let stay = bodies.split_off(go);
        drop(bodies);
        for response in stay {
            let mut body = response.into_body();
            assert_eq!(piece(&mut body).await, "one more");
        }
        settle().await;
        assert_eq!(site.hit().await, "one more");
        drop(feeder);
        site.is_over(2 + follow as u64).await;
    }
}

#[tokio::test]
async fn when_the_head_was_made_and_not_yet_taken() {
    for stay in [false, true] {
        let mut site = site(policy());
        let leader = site.ask();
        let follower = site.ask();
        let run = site.origin.run().await;
        settle().await;
        // the fill runs in a task by now: the client goes between its answer
        // and the leader's next turn
        let feeder = run.stream(Some(8));
        leader.0.abort();
        settle().await;
        let body = follower.response().await;
        match stay {
            true => {
                feeder.send("one more");
                feeder.end();
                assert_eq!(text(body).await, "one more");
            }
            false => {
                drop(body);
                feeder.dropped().await;
            }
        }
        site.is_over(1).await;
    }
}

#[tokio::test]
async fn a_policy_that_finishes_needs_nobody() {
    for (follow, _) in CROWDS {
        let mut site = site(policy().finish());
        let leader = site.ask();
        let followers = site.ask_many(follow);
        let run = site.origin.run().await;
        settle().await;
        all_go(std::iter::once(leader).chain(followers)).await;
        settle().await;
        assert!(!run.is_cancelled());
        run.answer("body");
        settle().await;
        assert_eq!(site.hit().await, "body");
        site.is_over(1).await;
    }
}

#[tokio::test]
async fn a_policy_that_finishes_does_so_where_nobody_may_share() {
    let mut site = site(policy().finish());
    let first = site.ask();
    let refused = [("set-cookie", "a=b")];
    site.origin.run().await.answer((refused, "one's own"));
    text(first.response().await).await; // nobody waits for this key for a while
    let leaves = site.ask();
    let run = site.origin.run().await;
    leaves.goes_away().await;
    settle().await;
    assert!(!run.is_cancelled());
    let feeder = run.stream(None);
    settle().await;
    feeder.send("body");
    feeder.end();
    settle().await;
    assert_eq!(site.hit().await, "body");
    site.is_over(2).await;
}

#[tokio::test]
async fn a_policy_that_finishes_does_so_for_a_head_and_a_range() {
    let mut site = site(policy().finish());
    let range = site.ask_with(&[("range", "bytes=0-1")]);
    let run = site.origin.run().await;
    range.goes_away().await;
    settle().await;
    assert!(!run.is_cancelled());
    run.answer("body"); // the whole
    settle().await;
    assert_eq!(site.hit().await, "body");
    let head = ask(&site.app, request(Method::HEAD, "/y", &[]));
    let run = site.origin.run().await;
    head.goes_away().await;
    settle().await;
    assert!(!run.is_cancelled());
    run.answer("");
    site.is_over(1).await;
}

#[tokio::test]
async fn a_policy_that_finishes_reads_the_body_to_its_end() {
    let mut site = site(policy().finish());
    let (feeder, leading, followers) = heads(&mut site, 1).await;
    feeder.send("one ");
    settle().await;
    drop((leading, followers));
    feeder.send("more");
    feeder.end();
    settle().await;
    assert_eq!(site.hit().await, "one more");
    site.is_over(3).await;
}

#[tokio::test]
async fn one_that_comes_after_all_have_gone_leads() {
    let mut site = site(policy());
    let (leader, follower) = (site.ask(), site.ask());
    let run = site.origin.run().await;
    settle().await;
    all_go([leader, follower]).await;
    let next = site.ask();
    run.cancelled().await;
    site.origin.run().await.answer("body");
    assert_eq!(text(next.response().await).await, "body");
    site.is_over(1).await;
}

#[tokio::test]
async fn one_that_comes_at_the_moment_when_all_go_is_answered() {
    let mut site = site(policy());
    let (leader, follower) = (site.ask(), site.ask());
    let _first = site.origin.run().await;
    settle().await;
    leader.0.abort();
    follower.0.abort();
    let next = site.ask(); // in the same turn: the flight may still be listed
    site.origin.run().await.answer("body");
    assert_eq!(text(next.response().await).await, "body");
    site.is_over(1).await;
}
