//! What the handler withdraws, by an answer that is not stored: nobody gets it any more, and
//! nobody waits for another one like it.

use axum::body::Body;
use axum::http::StatusCode;
use larder::testing::outcome;
use larder::{Outcome, Policy, hours};

use crate::late::stale_site;
use crate::{Feeder, Run, Site, fed, is_miss, policy, settle, site, soon, text};

/// A site with something stale that can be confirmed.
async fn confirmable(policy: Policy) -> Site {
    let mut site = site(policy.revalidate(hours(24)));
    let first = site.ask();
    site.origin.run().await.answer(([("etag", "\"1\"")], "old"));
    text(first.response().await).await;
    settle().await;
    site.clock.advance(larder::minutes(6));
    site
}

fn confirms(run: Run, fields: [(&'static str, &'static str); 2]) {
    assert_eq!(run.header("if-none-match"), "\"1\"");
    run.answer((StatusCode::NOT_MODIFIED, fields));
}

#[tokio::test(start_paused = true)]
async fn a_304_that_forbids_to_store_frees_all_who_wait() {
    for value in ["no-store", "private"] {
        let mut site = confirmable(policy().stale_if_error(hours(6))).await;
        let asking = site.ask_many(5);
        let run = site.origin.run().await;
        confirms(run, [("etag", "\"1\""), ("cache-control", value)]);
        let runs = site.origin.all().await;
        assert_eq!(runs.len(), 4, "at once and side by side");
        for run in runs {
            run.answer(([("cache-control", value)], "own"));
        }
        let mut got = Vec::new();
        for asking in asking {
            got.push(text(asking.response().await).await);
        }
        got.sort();
        assert_eq!(got, ["old", "own", "own", "own", "own"]);
        let later = site.ask_many(3);
        assert_eq!(site.origin.all().await.len(), 3, "nobody queues after it");
        drop(later);
    }
}

#[tokio::test(start_paused = true)]
async fn a_304_of_another_answer_frees_all_who_wait() {
    let mut site = confirmable(policy().stale_if_error(hours(6))).await;
    let asking = site.ask_many(3);
    let run = site.origin.run().await;
    confirms(run, [("etag", "\"2\""), ("x-other", "1")]);
    let runs = site.origin.all().await;
    assert_eq!(runs.len(), 2);
    for run in runs {
        run.answer("new");
    }
    let mut got = Vec::new();
    for asking in asking {
        let response = asking.response().await;
        assert!(is_miss(&response) || matches!(outcome(&response), Outcome::Revalidated { .. }));
        got.push(text(response).await);
    }
    got.sort();
    assert_eq!(got, ["new", "new", "old"]);
    assert_eq!(site.hit().await, "new", "others like it are shared");
}

/// Ways to turn out to be no answer for all.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Turns {
    TooLong,
    Trailers,
}

fn turns(feeder: &Feeder, how: Turns) {
    match how {
        Turns::TooLong => {
            feeder.send(vec![b'x'; 1 << 20]);
            feeder.send("and more");
        }
        Turns::Trailers => feeder.trailers(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_cannot_be_stored_ends_what_was_stale() {
    for how in [Turns::TooLong, Turns::Trailers] {
        let mut site = stale_site(site(policy().stale_if_error(hours(6)))).await;
        let leader = site.ask();
        let feeder = site.origin.run().await.stream(None);
        turns(&feeder, how);
        feeder.end();
        text(leader.response().await).await;
        let later = site.ask();
        let run = site.origin.run().await;
        run.answer(StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(later.response().await.status(), 503, "{how:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_ends_it_too_and_reads_no_more_than_can_be_stored() {
    for how in [Turns::TooLong, Turns::Trailers] {
        let swr = policy().stale_while_revalidate(hours(6));
        let mut site = stale_site(site(swr)).await;
        assert_eq!(text(site.ask().response().await).await, "old");
        let feeder = site.origin.run().await.stream(None);
        turns(&feeder, how);
        feeder.dropped().await;
        let later = site.ask();
        site.origin.run().await.answer("new");
        assert_eq!(text(later.response().await).await, "new", "{how:?}");
        soon(site.cache.idle()).await;
        assert_eq!(site.cache.stats().in_flight_bytes, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_does_not_read_what_its_head_forbids_to_store() {
    let swr = policy().stale_while_revalidate(hours(6));
    let mut site = stale_site(site(swr)).await;
    assert_eq!(text(site.ask().response().await).await, "old");
    let (feeder, body) = fed(None);
    let run = site.origin.run().await;
    run.answer(([("cache-control", "no-store")], Body::new(body)));
    feeder.send("for ever");
    feeder.dropped().await;
    soon(site.cache.idle()).await;
}
