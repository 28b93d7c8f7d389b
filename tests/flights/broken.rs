//! Handlers that panic, fail, or break their word: nobody shares that, nobody
//! waits for ever, and nobody gets a part as if it were the whole.

use axum::response::IntoResponse;

use crate::{Asking, is_coalesced, is_miss, piece, policy, settle, site, soon, text, whole};

async fn finished(asking: &mut Vec<Asking>) -> Vec<Asking> {
    settle().await;
    let (done, rest) = std::mem::take(asking)
        .into_iter()
        .partition(Asking::is_answered);
    *asking = rest;
    done
}

#[tokio::test]
async fn a_panic_is_the_leaders_and_one_follower_leads_again() {
    for follow in [0, 1, 10, 1000] {
        let mut site = site(policy());
        let leader = site.ask();
        let run = site.origin.run().await;
        let followers = site.ask_many(follow);
        settle().await;
        run.panics();
        assert!(leader.panicked().await);
        if follow > 0 {
            let run = site.origin.run().await;
            assert!(site.origin.is_idle().await, "exactly one leads again");
            run.answer("body");
        }
        for follower in followers {
            assert_eq!(text(follower.response().await).await, "body");
        }
        site.is_over(follow as u64).await;
    }
}

#[tokio::test]
async fn an_error_is_the_leaders_and_one_follower_leads_again() {
    for follow in [0, 1, 1000] {
        let mut site = site(policy());
        let leader = site.ask();
        let run = site.origin.run().await;
        let followers = site.ask_many(follow);
        settle().await;
        run.fails();
        assert_eq!(leader.result().await.err(), Some("the service's own error"));
        if follow > 0 {
            let run = site.origin.run().await;
            assert!(site.origin.is_idle().await, "exactly one leads again");
            run.answer("body");
        }
        for follower in followers {
            assert_eq!(text(follower.response().await).await, "body");
        }
        site.is_over(follow as u64).await;
    }
}

#[tokio::test]
async fn a_handler_that_always_fails_ends_everybody() {
    let mut site = site(policy());
    let mut asking = site.ask_many(100);
    let mut failed = 0;
    while failed < 100 {
        for run in site.origin.all().await {
            run.fails();
        }
        for done in finished(&mut asking).await {
            assert!(done.result().await.is_err());
            failed += 1;
        }
    }
    site.is_over(0).await;
}

#[tokio::test]
async fn an_answer_that_fails_is_not_shared_and_what_is_stale_stands_in() {
    let mut site = site(policy().stale_if_error(larder::hours(1)));
    let first = site.ask();
    site.origin.run().await.answer("old");
    assert_eq!(text(first.response().await).await, "old");
    site.clock.advance(larder::minutes(6));
    let asking = site.ask_many(10);
    site.origin.run().await.fails();
    for asking in asking {
        assert_eq!(text(asking.response().await).await, "old");
    }
    assert!(site.origin.is_idle().await);
    assert_eq!(site.cache.stats().stale, 10);
    site.is_over(11).await;
}

/// How a body may end that is not whole.
#[derive(Clone, Copy, Debug)]
enum End {
    Error,
    Short,
    Panic,
}

const ENDS: [End; 3] = [End::Error, End::Short, End::Panic];

fn end(feeder: crate::Feeder, how: End) {
    match how {
        End::Error => feeder.breaks(),
        End::Short => feeder.end(),
        End::Panic => feeder.panics(),
    }
}

/// The answer of a site whose body declares its length in its own head.
fn declared(feeder_of: crate::Run) -> crate::Feeder {
    let (feeder, body) = crate::fed(None);
    let body = axum::body::Body::new(body);
    feeder_of.answer(([("content-length", "8")], body).into_response());
    feeder
}

#[tokio::test]
async fn those_who_stream_get_an_error_and_never_a_part() {
    for how in ENDS {
        let mut site = site(policy());
        let leader = site.ask();
        let follower = site.ask();
        let feeder = declared(site.origin.run().await);
        feeder.send("one ");
        let mut body = follower.response().await.into_body();
        assert_eq!(piece(&mut body).await, "one ");
        end(feeder, how);
        let rest = whole(axum::http::Response::new(body)).await;
        assert!(rest.is_err(), "{how:?}");
        let read = tokio::spawn(async move { whole(leader.response().await).await });
        let read = soon(read).await;
        match how {
            End::Error => assert!(read.unwrap().is_err()),
            End::Panic => assert!(read.unwrap_err().is_panic()),
            End::Short => assert_eq!(read.unwrap().unwrap(), "one "), // as without a cache
        }
        assert_eq!(site.cache.stats().stores, 0);
        site.is_over(2).await;
    }
}

#[tokio::test]
async fn those_who_wait_try_again() {
    for how in [End::Error, End::Panic] {
        for follow in [1, 10, 1000] {
            let mut site = site(policy());
            let leader = site.ask();
            let followers = site.ask_many(follow);
            let feeder = site.origin.run().await.stream(None);
            feeder.send("one ");
            let mut leading = leader.response().await.into_body();
            assert_eq!(piece(&mut leading).await, "one ");
            settle().await;
            end(feeder, how);
            let run = site.origin.run().await;
            assert!(site.origin.is_idle().await, "exactly one leads again");
            run.answer("body");
            for follower in followers {
                assert_eq!(text(follower.response().await).await, "body");
            }
            let rest = soon(tokio::spawn(whole(axum::http::Response::new(leading)))).await;
            match how {
                End::Panic => assert!(rest.unwrap_err().is_panic(), "as without a cache"),
                _ => assert!(rest.unwrap().is_err()),
            }
            site.is_over(1 + follow as u64).await;
        }
    }
}

#[tokio::test]
async fn a_body_that_is_longer_than_it_said_is_nobodys() {
    let mut site = site(policy());
    let (leader, follower) = (site.ask(), site.ask());
    let feeder = declared(site.origin.run().await);
    let (follower, leader) = (follower.response().await, leader.response().await);
    feeder.send("one more and more");
    feeder.end();
    assert!(whole(follower).await.is_err());
    assert_eq!(text(leader).await, "one more and more");
    assert_eq!(site.cache.stats().stores, 0);
    site.is_over(2).await;
}

#[tokio::test]
async fn after_a_failure_the_next_request_leads() {
    let mut site = site(policy());
    let first = site.ask();
    site.origin.run().await.panics();
    assert!(first.panicked().await);
    let (leader, follower) = (site.ask(), site.ask());
    site.origin.run().await.answer("body");
    assert!(is_miss(&leader.response().await));
    assert!(is_coalesced(&follower.response().await));
    site.is_over(2).await;
}
