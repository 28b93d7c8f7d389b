//! Of two answers to one request the one that began later is kept, whichever comes
//! first: nobody who has read it is served the older one after.

use axum::body::Body;
use axum::http::Method;
use larder::Policy;

use crate::{Feeder, Run, Site, ask, fed, is_miss, policy, settle, site, support, text, whole};

const FRESH: (&str, &str) = ("cache-control", "max-age=60");
const VARIES: (&str, &str) = ("vary", "x-a");

/// Two fills within one tick of the clock, of which the first ends last.
async fn overtaken(site: &mut Site, first: (&str, &str), second: (&str, &str)) {
    let early = site.ask();
    let (early, run) = (early, site.origin.run().await);
    let late = site.ask();
    let later = site.origin.run().await;
    later.answer(([second], "v2"));
    assert_eq!(text(late.response().await).await, "v2");
    settle().await;
    assert_eq!(site.hit().await, "v2");
    run.answer(([first], "v1"));
    let response = early.response().await;
    assert!(is_miss(&response));
    assert_eq!(text(response).await, "v1", "its own client has it");
    settle().await;
    assert_eq!(site.hit().await, "v2", "{first:?}, {second:?}");
}

#[tokio::test]
async fn an_older_fill_never_replaces_a_newer_one() {
    let others = [("x-b", "1"), VARIES, ("vary", "x-b")];
    for first in others {
        for second in others {
            let mut site = site(policy().coalesce(false));
            overtaken(&mut site, first, second).await;
        }
    }
}

#[tokio::test]
async fn a_body_that_ends_late_is_not_kept_over_a_newer_one() {
    let mut site = site(policy().coalesce(false));
    let early = site.ask();
    let feeder = site.origin.run().await.stream(None);
    feeder.send("v");
    let early = early.response().await;
    let late = site.ask();
    site.origin.run().await.answer("v2");
    assert_eq!(text(late.response().await).await, "v2");
    settle().await;
    feeder.send("1");
    feeder.end();
    assert_eq!(whole(early).await.unwrap(), "v1");
    settle().await;
    assert_eq!(site.hit().await, "v2");
}

/// Whatever the flight brings, a reload must refuse it: it does not wait for that.
#[tokio::test]
async fn a_reload_asks_at_once_and_those_who_wait_have_their_answer() {
    for reload in [
        ("cache-control", "no-cache"),
        ("cache-control", "max-age=0"),
        ("pragma", "no-cache"),
    ] {
        let mut site = site(Policy::http());
        let (leader, follower) = (site.ask(), site.ask());
        let run = site.origin.run().await;
        let newer = site.ask_with(&[reload]);
        site.origin.run().await.answer(([FRESH], "v2"));
        let response = newer.response().await;
        assert!(is_miss(&response), "{reload:?}");
        assert_eq!(text(response).await, "v2");
        settle().await;
        assert_eq!(site.hit().await, "v2", "and it is stored");
        let feeder = fed_by(run);
        feeder.send("v");
        settle().await;
        feeder.send("1");
        feeder.end();
        for asking in [leader, follower] {
            assert_eq!(text(asking.response().await).await, "v1", "{reload:?}");
        }
        settle().await;
        assert_eq!(site.hit().await, "v2");
        site.is_over(5).await;
    }
}

fn fed_by(run: Run) -> Feeder {
    let (feeder, body) = fed(None);
    run.answer(([FRESH], Body::new(body)));
    feeder
}

#[tokio::test]
async fn a_head_that_comes_late_brings_nothing_back() {
    let mut site = site(Policy::http());
    let answer = |tag: &'static str, body: &'static str| ([FRESH, ("etag", tag)], body);
    let first = site.ask();
    site.origin.run().await.answer(answer("\"1\"", "v1"));
    text(first.response().await).await;
    settle().await;
    let reload = [("cache-control", "no-cache")];
    let head = ask(&site.app, support::request(Method::HEAD, "/x", &reload));
    let slow = site.origin.run().await;
    let newer = site.ask_with(&reload);
    site.origin.run().await.answer(answer("\"2\"", "v2"));
    assert_eq!(text(newer.response().await).await, "v2");
    settle().await;
    assert_eq!(site.hit().await, "v2");
    slow.answer(([FRESH, ("etag", "\"1\"")], Body::empty()));
    head.response().await;
    settle().await;
    assert_eq!(site.hit().await, "v2");
}
