//! Invalidations while a fill is under way: whoever begins after the call has
//! returned never gets the old body.

use larder::testing::outcome;
use larder::{Outcome, everything, tag};

use crate::{Feeder, Site, is_coalesced, is_miss, piece, policy, settle, site, soon, text};

/// What reaches the site's entry, known before the answer or only with it.
fn selectors() -> Vec<larder::Selector> {
    vec![
        "api:*".into(),
        everything(),
        tag("things"),
        larder::uri("/x"),
        larder::endpoint("things"),
    ]
}

fn tagged() -> Site {
    site(policy().tag("things").endpoint("things"))
}

async fn invalidate(site: &Site, selector: larder::Selector) {
    soon(site.cache.invalidate(selector)).await.unwrap();
}

#[tokio::test]
async fn before_the_head_the_next_request_leads_anew() {
    for selector in selectors() {
        let mut site = tagged();
        let (leader, early) = (site.ask(), site.ask());
        let old = site.origin.run().await;
        settle().await;
        invalidate(&site, selector.clone()).await;
        let late = site.ask();
        let new = site.origin.run().await;
        let later = site.ask();
        assert!(site.origin.is_idle().await);
        old.answer("old");
        assert_eq!(text(leader.response().await).await, "old");
        settle().await;
        assert!(!late.is_answered() && !later.is_answered());
        new.answer("new");
        for asking in [late, later, early] {
            assert_eq!(text(asking.response().await).await, "new", "{selector:?}");
        }
        assert!(
            site.origin.is_idle().await,
            "one fill for all who came again"
        );
        assert_eq!(site.hit().await, "new");
        site.is_over(5).await;
    }
}

/// A site whose leader has its head, and one follower too.
async fn streaming(site: &mut Site) -> (Feeder, axum::body::Body, axum::body::Body) {
    let (leader, follower) = (site.ask(), site.ask());
    let feeder = site.origin.run().await.stream(Some(3));
    let leading = leader.response().await.into_body();
    let following = follower.response().await;
    assert!(is_coalesced(&following));
    (feeder, leading, following.into_body())
}

#[tokio::test]
async fn in_the_body_the_next_request_leads_anew() {
    for selector in selectors() {
        for after in ["", "o"] {
            let mut site = tagged();
            let (feeder, mut leading, mut following) = streaming(&mut site).await;
            if !after.is_empty() {
                feeder.send(after);
                assert_eq!(piece(&mut leading).await, after);
            }
            invalidate(&site, selector.clone()).await;
            let late = site.ask();
            site.origin.run().await.answer("new");
            assert_eq!(text(late.response().await).await, "new", "{selector:?}");
            // those who began before may have the old one, and all of it
            feeder.send(&b"old"[after.len()..]);
            feeder.end();
            if !after.is_empty() {
                assert_eq!(piece(&mut following).await, after);
            }
            for body in [leading, following] {
                let rest = text(axum::http::Response::new(body)).await;
                assert_eq!(rest, "old"[after.len()..], "{selector:?}");
            }
            settle().await;
            assert_eq!(site.hit().await, "new");
            site.is_over(4).await;
        }
    }
}

#[tokio::test]
async fn a_tag_that_only_the_answer_names() {
    let mut site = site(policy());
    let (leader, early) = (site.ask(), site.ask());
    let old = site.origin.run().await;
    settle().await;
    invalidate(&site, tag("hinted")).await;
    let late = site.ask(); // may join: nobody knows yet
    assert!(site.origin.is_idle().await);
    let (feeder, body) = crate::fed(Some(3));
    let hint = larder::Hint::new().tag("hinted");
    old.answer((axum::Extension(hint), axum::body::Body::new(body)));
    let new = site.origin.run().await;
    assert!(site.origin.is_idle().await, "one of the two leads");
    new.answer("new");
    assert_eq!(text(late.response().await).await, "new");
    assert_eq!(text(early.response().await).await, "new");
    feeder.send("old");
    feeder.end();
    assert_eq!(text(leader.response().await).await, "old");
    settle().await;
    assert_eq!(site.hit().await, "new");
}

#[tokio::test]
async fn between_the_last_byte_and_the_end() {
    let mut site = tagged();
    let (feeder, mut leading, following) = streaming(&mut site).await;
    feeder.send("old");
    assert_eq!(piece(&mut leading).await, "old");
    invalidate(&site, tag("things")).await;
    feeder.end();
    drop(leading);
    assert_eq!(text(axum::http::Response::new(following)).await, "old");
    settle().await;
    let next = site.ask();
    site.origin.run().await.answer("new");
    let next = next.response().await;
    assert!(is_miss(&next));
    assert_eq!(text(next).await, "new");
}

#[tokio::test]
async fn while_it_is_renewed() {
    let window = larder::hours(1);
    let mut site = site(policy().tag("things").stale_while_revalidate(window));
    let first = site.ask();
    site.origin.run().await.answer("old");
    first.response().await;
    site.clock.advance(larder::minutes(6));
    let stale = site.ask().response().await;
    assert!(matches!(outcome(&stale), Outcome::Stale { .. }));
    let renewal = site.origin.run().await;
    invalidate(&site, tag("things")).await;
    let late = site.ask();
    let new = site.origin.run().await;
    renewal.answer("old again");
    settle().await;
    assert!(!late.is_answered());
    new.answer("new");
    assert_eq!(text(late.response().await).await, "new");
    assert_eq!(site.hit().await, "new");
    settle().await;
    assert_eq!(site.cache.stats().flights, 0);
}

#[tokio::test]
async fn while_it_is_confirmed() {
    let mut site = site(policy().tag("things").revalidate(larder::hours(1)));
    let first = site.ask();
    site.origin.run().await.answer(([("etag", "\"1\"")], "old"));
    first.response().await;
    site.clock.advance(larder::minutes(6));
    let (leader, early) = (site.ask(), site.ask());
    let confirming = site.origin.run().await;
    settle().await;
    invalidate(&site, tag("things")).await;
    let late = site.ask();
    let new = site.origin.run().await;
    assert_eq!(
        new.header("if-none-match"),
        "",
        "what is gone is not asked for"
    );
    confirming.answer(axum::http::StatusCode::NOT_MODIFIED);
    assert_eq!(text(leader.response().await).await, "old");
    settle().await;
    new.answer("new");
    for asking in [late, early] {
        assert_eq!(text(asking.response().await).await, "new");
    }
    assert_eq!(site.hit().await, "new");
}

#[tokio::test]
async fn again_and_again_there_is_one_fill_at_a_time() {
    let mut site = tagged();
    let asking = site.ask_many(100);
    for _ in 0..6 {
        let run = site.origin.run().await;
        assert!(site.origin.is_idle().await, "one fill for all");
        invalidate(&site, everything()).await;
        run.answer("old");
    }
    site.origin.run().await.answer("new");
    let mut old = 0;
    for asking in asking {
        old += usize::from(text(asking.response().await).await == "old");
    }
    assert_eq!(old, 6, "those who led");
    site.is_over(100).await;
}

#[tokio::test]
async fn everything_at_once_under_load_is_one_fill_for_each_key() {
    let mut site = tagged();
    let get = |n: usize| crate::support::request(axum::http::Method::GET, &format!("/{n}"), &[]);
    for _ in 0..2 {
        let asking: Vec<_> = (0..1_000)
            .map(|n| crate::ask(&site.app, get(n % 20)))
            .collect();
        let runs = site.origin.all().await;
        assert_eq!(runs.len(), 20);
        for run in runs {
            run.answer("body");
        }
        for asking in asking {
            assert_eq!(text(asking.response().await).await, "body");
        }
        invalidate(&site, everything()).await;
    }
    site.is_over(2_000).await;
}
